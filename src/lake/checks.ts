/** What is checked about a declaration when a project is loaded, each with an error that names the nearest right word. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { closest, invalid, parseDuration, type ColumnRef } from '../base/index.ts'
import { checkExpectation } from './conditions.ts'
import { declaredColumns, type Table } from './declare.ts'
import { FILE_FIELDS, type FilesRef } from './ingest/declare.ts'
import { isTableName } from './present.ts'

export function checkName({ name }: Pick<Table, 'name'>): void {
  if (!isTableName(name)) {
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

/** What only a SELECT can keep is refused where rows come straight from files, and a declaration that could never take a file. */
function checkFilesTable({ name, options }: Table, { options: { schema, types } }: FilesRef): void {
  const without = (['merge', 'window', 'expect'] as const).filter((option) => options[option] !== undefined)
  if (without.length > 0)
    throw invalid('lake.files_table', `Table ${name} takes the rows of files as they are, so ${without.join(' and ')} cannot apply`, {
      hint: 'Put it on a table with sql: that reads this one.',
    })
  const own = Object.keys(options.columns ?? {}).find((column) => Object.hasOwn(FILE_FIELDS, column.toLowerCase()))
  if (own !== undefined)
    throw invalid('lake.files_table', `Table ${name} declares ${own}, which every table of files has anyway`, { hint: 'Leave it out of columns.' })
  if (options.columns && types)
    throw invalid('lake.files_table', `Table ${name} has both columns and types of its files`, { hint: 'Keep columns: they are the types.' })
  if (options.columns && Object.keys(options.columns).length === 0)
    throw invalid('lake.files_table', `Table ${name} promises no column`, { hint: 'Name them, or leave out columns: then the files tell.' })
  const known = schema === 'evolve' ? undefined : (declaredColumns({ kind: 'table', name, options, c: {} }) ?? undefined)
  durationOf(options.every ?? 0, `Table ${name}: every`)
  for (const column of options.partitionBy ?? []) checkOwnColumn(name, known, column, 'partitionBy')
}

/** What any table may say about itself. */
export function checkSettings(table: Table): void {
  const { name, options } = table
  if (options.location !== undefined && !/^[a-z0-9][a-z0-9.-]{1,62}(?:\/[\w][\w.=-]*)+$/.test(options.location))
    throw invalid('lake.location', `Table ${name}: ${JSON.stringify(options.location)} is no place of the object store`, {
      hint: "Write location: 'bronze/sales/2026', a bucket and a folder in it.",
    })
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
export function checkStreamTable(table: Table): void {
  const { name, options } = table
  if (options.from?.kind === 'files') return checkFilesTable(table, options.from)
  if (options.from?.kind !== 'stream')
    throw invalid('lake.table_without_rows', `Table ${name} has no rows to come from`, {
      hint: 'Give it from: a stream or files(...), sql: a SELECT over other tables, or rows: a function.',
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
