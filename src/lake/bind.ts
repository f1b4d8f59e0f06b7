/** Gives names to relations for the length of one statement: a private in-memory database with a view for each table. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { quoteName } from './sql.ts'

export interface Binding {
  release(): Promise<void>
}

let counter = 0

/** Binds `name -> SELECT text` on this connection; names are `schema.name` or `name`. A failed binding leaves nothing attached. */
export async function bindTables(connection: DuckDBConnection, tables: ReadonlyMap<string, string>): Promise<Binding> {
  const database = `lagoa_${process.pid}_${++counter}`
  const release = async (): Promise<void> => {
    await connection.run('use memory')
    await connection.run(`detach ${database}`)
  }
  await connection.run(`attach ':memory:' as ${database}`)
  try {
    await connection.run(`use ${database}`)
    const schemas = new Set<string>()
    for (const [name, text] of tables) {
      const [schema, table] = splitName(name)
      if (schema !== null && !schemas.has(schema)) await connection.run(`create schema if not exists ${quoteName(schema)}`)
      if (schema !== null) schemas.add(schema)
      await connection.run(`create view ${schema === null ? '' : `${quoteName(schema)}.`}${quoteName(table)} as ${text}`)
    }
  } catch (error) {
    await release()
    throw error
  }
  return { release }
}

/** Only the first dot separates: what stands behind it is the name, whatever it holds. */
function splitName(name: string): [string | null, string] {
  const dot = name.indexOf('.')
  return dot === -1 ? [null, name] : [name.slice(0, dot), name.slice(dot + 1)]
}
