/** Pieces of DuckDB SQL: quoted names, text literals, file lists, and one way to run a statement that can be interrupted. */
import type { DuckDBConnection, DuckDBResultReader } from '@duckdb/node-api'

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** A list of files for `read_parquet`; characters that DuckDB would take for a pattern stand for themselves. */
export function fileList(files: readonly string[]): string {
  return `[${files.map((file) => literal(file.replace(/[*?[]/g, '[$&]'))).join(', ')}]`
}

export async function query(connection: DuckDBConnection, sql: string, signal?: AbortSignal): Promise<DuckDBResultReader> {
  signal?.throwIfAborted()
  const interrupt = (): void => connection.interrupt()
  signal?.addEventListener('abort', interrupt, { once: true })
  try {
    return await connection.runAndReadAll(sql)
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', interrupt)
  }
}

/** The first row's first column as a number. */
export async function countOf(connection: DuckDBConnection, sql: string, signal?: AbortSignal): Promise<number> {
  return Number((await query(connection, sql, signal)).getRows()[0]?.[0] ?? 0)
}

let made = 0

/** A name for a temporary table that no other work of this process uses. */
export function temporary(purpose: string): string {
  return `lagoa_delta_${purpose}_${++made}`
}
