/** Gives names to relations for the length of one statement: a private in-memory database with a view for each table. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { quoteName, quoteTable } from './sql.ts'

export interface Binding {
  release(): Promise<void>
}

let counter = 0

/** Binds `name -> SELECT text` on this connection; names are `schema.name` or `name`. */
export async function bindTables(connection: DuckDBConnection, tables: ReadonlyMap<string, string>): Promise<Binding> {
  const database = `lagoa_${process.pid}_${++counter}`
  await connection.run(`attach ':memory:' as ${database}`)
  await connection.run(`use ${database}`)
  const schemas = new Set([...tables.keys()].filter((name) => name.includes('.')).map((name) => name.slice(0, name.indexOf('.'))))
  for (const schema of schemas) await connection.run(`create schema if not exists ${quoteName(schema)}`)
  for (const [name, text] of tables) await connection.run(`create view ${quoteTable(name)} as ${text}`)
  return {
    async release() {
      await connection.run('use memory')
      await connection.run(`detach ${database}`)
    },
  }
}
