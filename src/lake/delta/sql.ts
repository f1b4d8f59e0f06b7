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

/** One of the choices of `choiceSql`. */
export interface Choice {
  /** It is for numbers from this one on, up to where the next choice begins. */
  readonly from: number
  readonly sql: string
}

/**
 * Chooses by a number, `over` being SQL for it, with as few comparisons as there are digits in how many choices there are; what is not chosen
 * is not evaluated. Large lists and texts are no way to do that: DuckDB makes a constant anew for every two thousand rows.
 */
export function choiceSql(choices: readonly Choice[], over: string): string {
  if (choices.length <= 1) return choices[0]?.sql ?? 'null'
  const middle = choices.length >> 1
  return `case when ${over} < ${choices[middle]?.from ?? 0} then ${choiceSql(choices.slice(0, middle), over)} else ${choiceSql(choices.slice(middle), over)} end`
}

/** The value at a place of a list, `place` being SQL for it; neighbours that are the same are one choice. */
export function valueAtSql(values: readonly string[], place: string): string {
  return choiceSql(
    values.flatMap((sql, from) => (from > 0 && values[from - 1] === sql ? [] : [{ from, sql }])),
    place,
  )
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
