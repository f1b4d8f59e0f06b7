/** Words that every room uses: errors, logs, ids, time, schemas and rows. */
export * from './errors.ts'
export * from './log.ts'
export * from './clock.ts'
export * from './ids.ts'
export * from './schema.ts'
export * from './rows.ts'
