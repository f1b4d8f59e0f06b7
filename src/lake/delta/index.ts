/** Delta Lake tables in TypeScript: read, append, overwrite, merge and travel in time, with DuckDB for the Parquet. */
export { openTable } from './table.ts'
export { fieldsOfRelation } from './schema.ts'
export { writeParquet } from './write.ts'
export type * from './types.ts'
