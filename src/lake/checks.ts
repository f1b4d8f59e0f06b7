/** What is checked about a declaration when a project is loaded, each with an error that names the nearest right word. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { closest, invalid, parseDuration, type ColumnRef } from '../base/index.ts'
import { checkExpectation } from './conditions.ts'
import { declaredColumns, tableRoot, type Table } from './declare.ts'

export function checkName({ name }: Table): void {
  if (!/^[a-z][a-z0-9_-]*\.[A-Za-z_][A-Za-z0-9_]*$/.test(name) || tableRoot(name).length > 200) {
    throw invalid('lake.table_name', `"${name}" cannot be a table name`, {
      hint: 'Write layer.name, such as silver.readings: a small letter first, then letters, digits and underscores.',
    })
  }
}

export function checkColumn(column: ColumnRef, known: ReadonlyMap<string, Table>, user: string): void {
  const owner = known.get(column.asset)
  const columns = owner && declaredColumns(owner)
  if (!columns || Object.hasOwn(columns, column.name)) return
  const near = closest(column.name, Object.keys(columns))
  throw invalid('lake.unknown_column', `The SQL of ${user} uses ${column.asset}.${column.name}, which does not exist`, {
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its columns are: ${Object.keys(columns).join(', ')}.`,
  })
}

export function durationOf(value: string | number, what: string): number {
  const ms = value === '' ? null : parseDuration(value)
  if (ms === null) throw invalid('lake.duration', `${what}: "${value}" is no duration`, { hint: "Write '5s', '15 min' or '1d', for example." })
  return ms
}

/** What any table may say about itself. */
export function checkSettings(table: Table): void {
  const { name, options } = table
  if (options.freshness === undefined) return
  const { freshness } = options
  const within = typeof freshness === 'object' ? freshness.within : freshness
  if (durationOf(within, `Table ${name}: freshness`) === 0)
    throw invalid('lake.duration', `Table ${name}: nothing is fresh within no time`, { hint: "Write freshness: '15 min', for example." })
  if (typeof freshness !== 'object') return
  const column = typeof freshness.column === 'string' ? freshness.column : freshness.column.name
  const columns = declaredColumns(table) ?? undefined
  checkOwnColumn(name, columns, column, 'freshness')
  const type = columns?.[column]?.type
  if (type !== undefined && type !== 'timestamp' && type !== 'date')
    throw invalid('lake.freshness_column', `Table ${name}: freshness is measured by ${column}, which is no time`, { hint: 'Name a timestamp or date column.' })
}

/** What only a SELECT can keep is refused where rows come straight from a stream, instead of being forgotten. */
export function checkStreamTable({ name, options }: Table): void {
  if (options.from?.kind !== 'stream')
    throw invalid('lake.table_without_rows', `Table ${name} has no rows to come from`, {
      hint: 'Give it from: a stream, sql: a SELECT over other tables, or rows: a function.',
    })
  const without = (['merge', 'window', 'columns', 'expect', 'inputs'] as const).filter((option) => options[option] !== undefined)
  if (without.length > 0)
    throw invalid('lake.stream_table', `Table ${name} takes the records of ${options.from.name} as they are, so ${without.join(' and ')} cannot apply`, {
      hint: 'Put it on a table with sql: that reads this one.',
    })
  durationOf(options.every ?? 0, `Table ${name}: every`)
  for (const column of options.partitionBy ?? [])
    checkOwnColumn(name, declaredColumns({ kind: 'table', name, options, c: {} }) ?? undefined, column, 'partitionBy')
}

/** An option names a column of a table whose columns are known. */
export function checkOwnColumn(table: string, columns: Readonly<Record<string, unknown>> | undefined, column: string, option: string): void {
  if (columns === undefined || Object.hasOwn(columns, column)) return
  const near = closest(column, Object.keys(columns))
  throw invalid('lake.unknown_column', `${option} names ${table}.${column}, which does not exist`, {
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `Its columns are: ${Object.keys(columns).join(', ')}.`,
  })
}

/** What is wrong with an expectation is found when the project is loaded; its columns too, where the table promises them. */
export async function checkExpectations({ name, options }: Table, connection: DuckDBConnection): Promise<void> {
  const columns = Object.keys(options.columns ?? {})
  for (const [rule, expectation] of Object.entries(options.expect ?? {}))
    await checkExpectation(connection, expectation, columns, `Expectation ${rule} of ${name}`)
}
