/**
 * Tables whose rows a TypeScript function makes: rows of the inputs go in by batches, rows of the table come out by batches, and neither
 * side is ever whole in memory. The function runs in this process, as all code of a project does.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid, LagoaError, type Field, type RecordOf, type Schema } from '../base/index.ts'
import { fieldsOfRelation, type DeltaType, type Duck } from './delta/index.ts'
import type { Table } from './declare.ts'
import { fillRows } from './fill.ts'
import { quoteName } from './sql.ts'
import { openStage, type Staged } from './stage.ts'

/** What a row of an input holds: a timestamp as epoch milliseconds with microseconds in the fraction, a date as text, json as its value. */
export type RowOf<S extends Schema> = { readonly [K in keyof S]: S[K] extends Field<infer T> ? Read<T> : never }
type Read<T> = unknown extends T ? unknown : [Date] extends [NonNullable<T>] ? number | Extract<T, null> : T

export interface RowsInput<R> {
  /** The rows in their order, some thousands at a time. Each call reads them from the beginning. */
  batches(): AsyncIterable<readonly R[]>
}

export interface RowsContext<R, N> {
  /** What `from` gives: all its rows, or in an incremental refresh those that the refresh is about. */
  readonly input: RowsInput<R>
  /** The other tables, whole. */
  readonly inputs: N
  /** Aborts when Lagoa stops. */
  readonly signal: AbortSignal
}

export type Made<R> = AsyncIterable<R | readonly R[]> | Iterable<R | readonly R[]>

/** Makes the rows of a table; yields them one by one or, which is faster, as arrays. */
export type RowsFunction<S extends Schema = Schema, D extends Schema = Schema, N extends Readonly<Record<string, Table>> = Readonly<Record<string, Table>>> = (
  context: RowsContext<RowOf<D>, { readonly [K in keyof N]: N[K] extends Table<infer I> ? RowsInput<RowOf<I>> : never }>,
) => Made<RecordOf<S>>

/** The function as it is called: what it yields is checked, whatever its types said. */
export type MakeRows = (context: RowsContext<never, never>) => unknown

export interface RowsJob {
  readonly duck: Duck
  /** Where the made rows are staged. */
  readonly connection: DuckDBConnection
  readonly model: string
  readonly make: MakeRows
  readonly columns: Schema
  readonly input: InputSource
  readonly inputs: Readonly<Record<string, InputSource>>
  readonly signal: AbortSignal | undefined
}

export interface InputSource {
  /** A SELECT that any connection can run. */
  readonly sql: string
  /** Columns that hold JSON as text. */
  readonly json: ReadonlySet<string>
}

const MADE_AT_ONCE = 2048

/** Runs the function and stages what it yields. What it throws becomes an error about the model. */
export async function makeRows(job: RowsJob): Promise<Staged> {
  const { model, columns, connection } = job
  const signal = job.signal ?? new AbortController().signal
  const stage = await openStage(connection, columns)
  let row = 0
  let waiting: unknown[] = []
  const flush = async (): Promise<void> => {
    if (waiting.length === 0) return
    const rows = fillRows(columns, waiting, row, model)
    row += waiting.length
    waiting = []
    await stage.append(rows)
    // A function that awaits nothing must not keep the process from hearing that it should stop.
    await new Promise(setImmediate)
    signal.throwIfAborted()
  }
  try {
    const context: RowsContext<unknown, Readonly<Record<string, RowsInput<unknown>>>> = {
      input: inputOf(job, job.input, signal),
      inputs: Object.fromEntries(Object.entries(job.inputs).map(([name, source]) => [name, inputOf(job, source, signal)])),
      signal,
    }
    const made: unknown = Reflect.apply(job.make, undefined, [context])
    if (!isIterable(made))
      throw invalid('lake.rows_nothing', `rows of ${model} gives nothing to iterate over`, {
        hint: 'Write it as: async function* ({ input }) { ... yield rows }',
      })
    for await (const some of made) {
      signal.throwIfAborted()
      for (const one of Array.isArray(some) ? some : [some]) {
        waiting.push(one)
        if (waiting.length >= MADE_AT_ONCE) await flush()
      }
    }
    await flush()
    return stage
  } catch (error) {
    await stage.drop()
    signal.throwIfAborted()
    throw error instanceof LagoaError ? error : thrown(model, row + waiting.length, error)
  }
}

const isIterable = (value: unknown): value is AsyncIterable<unknown> | Iterable<unknown> =>
  typeof value === 'object' && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value)

function thrown(model: string, rows: number, error: unknown): LagoaError {
  const place =
    error instanceof Error ? /\(?(?:file:\/\/)?([^\s()]+?)(?:\?load=\d+)?:(\d+):\d+\)?$/m.exec(error.stack?.split('\n').slice(1, 2).join('') ?? '') : null
  return invalid(
    'lake.rows_failed',
    `rows of ${model} failed after ${rows} rows: ${error instanceof Error ? error.message : String(error)}${place ? ` (${place[1]?.split('/').slice(-2).join('/')}:${place[2]})` : ''}`,
    { hint: 'Correct the function; the table stays at its last version until then.', cause: error },
  )
}

function inputOf({ duck }: RowsJob, { sql, json }: InputSource, signal: AbortSignal): RowsInput<unknown> {
  return {
    async *batches() {
      // A stream of results holds its connection, so every reading has one of its own.
      const connection = await duck.connect()
      try {
        const fields = await fieldsOfRelation({ connection, sql })
        const columns = fields.map(({ name, type }) => `${readable(quoteName(name), type)} as ${quoteName(name)}`)
        const parsed = fields.filter(({ name, type }) => typeof type !== 'string' || json.has(name)).map(({ name }) => name)
        const result = await connection.stream(`select ${columns.join(', ')} from (${sql}\n)`)
        for await (const rows of result.yieldRowObjectJs()) {
          signal.throwIfAborted()
          for (const row of parsed.length > 0 ? rows : []) for (const name of parsed) if (typeof row[name] === 'string') row[name] = JSON.parse(row[name])
          if (rows.length > 0) yield rows
        }
      } finally {
        connection.closeSync()
      }
    },
  }
}

/** A column as JavaScript can hold it. A whole number that it cannot hold is an error, never another number. */
function readable(column: string, type: DeltaType): string {
  if (typeof type !== 'string') return `to_json(${column})::varchar`
  if (type === 'long')
    return `case when abs(${column}) > 9007199254740991 then error('a whole number is too large for JavaScript: ' || ${column}::varchar) else ${column}::double end`
  if (type === 'timestamp' || type === 'timestamp_ntz') return `epoch_us(${column}) / 1000.0`
  if (type === 'date') return `strftime(${column}, '%Y-%m-%d')`
  if (type === 'binary') return `base64(${column})`
  return type.startsWith('decimal') ? `${column}::double` : column
}
