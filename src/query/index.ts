/** Query: SQL over the lake's tables by their names, in a DuckDB of its own that can reach nothing else. */
export { openQuery, type PlacedTable, type Query, type QueryAnswer } from './query.ts'
