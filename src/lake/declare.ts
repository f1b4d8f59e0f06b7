/**
 * `table(...)`: how a project declares a Delta table and how its rows come about. The part before the dot is the layer and the
 * bucket (`silver.readings` lives at `silver/readings`).
 */
import { columnRefs, t, type ColumnRef, type ColumnRefs, type Schema } from '../base/index.ts'
import { FILE_FIELDS, type FilesRef } from './ingest/declare.ts'
import type { Expectation } from './expectations.ts'
import type { MakeRows, RowsFunction } from './rows-model.ts'
import type { Sql } from './sql.ts'

/** Anything whose records can fill a table; the stream of the streams room has this shape. */
export interface StreamRef<S extends Schema = Schema> {
  readonly kind: 'stream'
  readonly name: string
  readonly schema: S
}

/** Recomputes only the windows that new rows of the input touch, so late data corrects its windows. */
export interface TimeWindow {
  /** The output column that tells a row's window, such as `hour`. */
  readonly column: string
  /** The time column of the input that the window is computed from. */
  readonly source: string
  /** A window's length, such as '1h' or '1d'. */
  readonly size: string | number
}

export interface TableOptions<S extends Schema = Schema> {
  /** A stream: its records are appended as they are. Files: each is ingested once. A table: the one whose changes drive an incremental refresh. */
  readonly from?: StreamRef | FilesRef | Table
  /** The rows, as a SELECT over other tables. */
  readonly sql?: Sql | string
  /** The rows, made by a function from those of `from` and `inputs`; `columns` says what they are. */
  readonly rows?: MakeRows
  /** The rows, made by `process(df, ...)` of a Python script of the project from those of `from` and, by their names, of `inputs`; `columns` says what they are. */
  readonly python?: string
  /** Tables that `rows` or `python` reads whole, beside `from`. */
  readonly inputs?: Readonly<Record<string, Table>>
  /** Key columns: new rows update the row with the same key or are added. Only new rows of the input are read. */
  readonly merge?: readonly string[]
  readonly window?: TimeWindow
  /** The columns that the table promises; the SQL must give exactly these, and references to them are typed. */
  readonly columns?: S
  readonly partitionBy?: readonly string[]
  readonly expect?: Readonly<Record<string, Expectation>>
  /** What becomes of a changed schema: it is taken (`evolve`, the default), or refused and told as drift (`freeze`). */
  readonly schema?: 'evolve' | 'freeze'
  /** How old the table's data may be: that of its newest version, or the newest value of a time column. */
  readonly freshness?: string | number | { readonly column: string | ColumnRef; readonly within: string | number }
  /** A stream's table commits at least this often while records come (5 s); files are looked for this often (5 s); a SQL table refreshes at most this often (at once). */
  readonly every?: string | number
  readonly description?: string
  /** Where the table lies, as `bucket/key`; `silver.readings` lies at `silver/readings` when nothing is said. */
  readonly location?: string
  /** Who answers for it: a person or a team. */
  readonly owner?: string
  readonly tags?: readonly string[]
}

export interface Table<S extends Schema = Schema> {
  readonly kind: 'table'
  readonly name: string
  readonly options: TableOptions<S>
  /** References to the columns, for SQL and dashboards. */
  readonly c: ColumnRefs<S>
}

/** What a stream's table has beside the stream's fields. */
export const BRONZE_FIELDS = {
  _partition: t.int().describe('Partition of the stream'),
  _offset: t.long().describe('Offset in the partition'),
  _ingested_at: t.timestamp().describe('When the event log took the record'),
} satisfies Schema

export function table<const S extends Schema>(
  name: string,
  options: TableOptions<S> & { readonly columns: S; readonly from: FilesRef },
): Table<S & typeof FILE_FIELDS>
export function table<const S extends Schema, D extends Schema, const N extends Readonly<Record<string, Table>> = Readonly<Record<string, never>>>(
  name: string,
  options: Omit<TableOptions<S>, 'sql' | 'python' | 'rows' | 'from' | 'inputs'> & {
    readonly columns: S
    readonly from: Table<D>
    readonly inputs?: N
    readonly rows: RowsFunction<S, D, N>
  },
): Table<S>
export function table<const S extends Schema>(name: string, options: TableOptions<S> & { readonly columns: S; readonly rows?: never }): Table<S>
export function table<const S extends Schema>(
  name: string,
  options: Omit<TableOptions, 'sql' | 'columns'> & { readonly from: StreamRef<S>; readonly sql?: never },
): Table<S & typeof BRONZE_FIELDS>
export function table(name: string, options: TableOptions): Table
export function table(name: string, options: TableOptions): Table {
  const known = knownColumns(options)
  return { kind: 'table', name, options, c: known ? columnRefs(name, known) : anyColumn(name) }
}

/** References by any name, for tables that do not declare their columns; names are checked when the project is loaded. */
function anyColumn(asset: string): ColumnRefs<Schema> {
  return new Proxy<Record<string, ColumnRef>>({}, { get: (_, name) => (typeof name === 'string' ? { kind: 'column', asset, name } : undefined) })
}

/** The columns a table is known to have before it exists, or null when only its SQL tells. */
export const declaredColumns = ({ options }: Table): Schema | null => knownColumns(options)

function knownColumns(options: TableOptions): Schema | null {
  const { columns, from } = options
  if (columns) return from?.kind === 'files' && !isMade(options) ? { ...columns, ...FILE_FIELDS } : columns
  return from?.kind === 'stream' && !isMade(options) ? { ...from.schema, ...BRONZE_FIELDS } : null
}

/** Its rows are made from other tables, not taken from a stream or from files. */
export const isMade = ({ sql, rows, python }: TableOptions): boolean => sql !== undefined || rows !== undefined || python !== undefined

/** Some of its rows may be held in a quarantine table: those that break an expectation, or lines of files that cannot be read. */
export const holdsRows = ({ options }: Table): boolean =>
  (options.from?.kind === 'files' && !isMade(options)) || Object.values(options.expect ?? {}).some(({ severity }) => severity === 'quarantine')

export const quarantineName = (name: string): string => `${name}_quarantine`

/** `silver.readings` -> `silver/readings`. */
export const tableRoot = (name: string): string => name.replace('.', '/')

export function tierOf(name: string): 'bronze' | 'silver' | 'gold' | 'other' {
  const layer = name.slice(0, name.indexOf('.'))
  return layer === 'bronze' || layer === 'silver' || layer === 'gold' ? layer : 'other'
}
