/**
 * Puts columnar Rows into a temporary DuckDB table, so that SQL can read them as the input of a write.
 * Values cross by data chunk (2,048 rows), numbers straight into the chunk's typed arrays.
 */
import {
  BIGINT,
  BOOLEAN,
  DATE,
  DOUBLE,
  DuckDBDataChunk,
  DuckDBVector,
  INTEGER,
  TIMESTAMPTZ,
  VARCHAR,
  type DuckDBConnection,
  type DuckDBType,
} from '@duckdb/node-api'
import { bug, invalid, type Field, type FieldType, type NumberColumn, type RowColumn, type Rows, type Schema, type TextColumn } from '../base/index.ts'
import type { DeltaField, Relation } from './delta/types.ts'

/** A relation over staged rows. `drop` frees them; do it when the write is done. */
export interface Staged extends Relation {
  readonly count: number
  drop(): Promise<void>
}

/** The Delta columns that hold a schema's fields. */
export function deltaFieldsOf(schema: Schema): DeltaField[] {
  return Object.entries(schema).map(([name, field]) => ({
    name,
    type: TYPES[field.type].delta,
    nullable: field.isNullable,
    metadata: { ...(field.description === undefined ? {} : { comment: field.description }), ...(field.unitText === undefined ? {} : { unit: field.unitText }) },
  }))
}

/** The DuckDB type of a field's values, as SQL has it. */
export const duckTypeOf = ({ type }: Field): string => TYPES[type].duck.toString()

/**
 * Stages batches that share one list of columns. `extra` adds columns by SQL expression (`{ ingested_at: 'now()' }`), which may use the others.
 * Long inputs let the event loop turn every few milliseconds; `batches` must not change until this resolves.
 */
export async function stageRows(connection: DuckDBConnection, batches: readonly Rows[], extra: Readonly<Record<string, string>> = {}): Promise<Staged> {
  const first = batches[0]
  if (!first || first.columns.length === 0)
    throw invalid('lake.nothing_to_stage', 'There are no columns to stage', {
      hint: 'Pass at least one batch, made with emptyRows(schema, 0) when it has no rows.',
    })
  for (const batch of batches) sameColumns(first, batch)
  const stage = await openStage(connection, Object.fromEntries(first.columns.map(({ name, field }) => [name, field])), extra)
  try {
    await stage.append(...batches)
  } catch (error) {
    await stage.drop()
    throw error
  }
  return stage
}

/** A stage that is filled bit by bit. */
export interface Stage extends Staged {
  append(...batches: readonly Rows[]): Promise<void>
}

/** An empty stage for rows of this schema; who opened it drops it. */
export async function openStage(connection: DuckDBConnection, schema: Schema, extra: Readonly<Record<string, string>> = {}): Promise<Stage> {
  const name = `lagoa_stage_${++staged}`
  const columns = Object.entries(schema).map(([column, field]) => `${quoted(column)} ${TYPES[field.type].duck.toString()}`)
  await connection.run(`create temp table ${name} (${columns.join(', ')})`)
  const added = Object.entries(extra).map(([column, sql]) => `, (${sql}) as ${quoted(column)}`)
  let count = 0
  return {
    connection,
    sql: `select *${added.join('')} from temp.${name}`,
    get count() {
      return count
    },
    async append(...batches) {
      const first = batches[0]
      if (!first) return
      await appendAll(connection, name, first, batches)
      count += batches.reduce((sum, batch) => sum + batch.count, 0)
    },
    drop: async () => void (await connection.run(`drop table if exists temp.${name}`)),
  }
}

const TYPES: Readonly<Record<FieldType, { readonly duck: DuckDBType; readonly delta: string }>> = {
  string: { duck: VARCHAR, delta: 'string' },
  json: { duck: VARCHAR, delta: 'string' },
  int: { duck: INTEGER, delta: 'integer' },
  long: { duck: BIGINT, delta: 'long' },
  double: { duck: DOUBLE, delta: 'double' },
  boolean: { duck: BOOLEAN, delta: 'boolean' },
  timestamp: { duck: TIMESTAMPTZ, delta: 'timestamp' },
  date: { duck: DATE, delta: 'date' },
}

let staged = 0

/** How long rows are copied between two turns of the event loop. */
const TURN_MS = 2

async function appendAll(connection: DuckDBConnection, name: string, first: Rows, batches: readonly Rows[]): Promise<void> {
  const size = DuckDBVector.standardSize()
  const chunk = DuckDBDataChunk.create(first.columns.map((column) => TYPES[column.field.type].duck))
  const appender = await connection.createAppender(name, 'main', 'temp')
  let left = batches.reduce((sum, batch) => sum + batch.count, 0)
  let turned = performance.now()
  let room = 0
  let filled = 0
  try {
    // A chunk costs by itself, so it holds as many batches as fit.
    for (const batch of batches) {
      for (let start = 0, end = 0; start < batch.count; start = end) {
        if (filled === 0) {
          room = Math.min(size, left)
          chunk.reset()
          chunk.rowCount = room
        }
        end = Math.min(start + room - filled, batch.count)
        for (const [index, column] of batch.columns.entries()) writeColumn(chunk.getColumnVector(index), column, start, end, filled)
        filled += end - start
        if (performance.now() - turned > TURN_MS) {
          await new Promise(setImmediate)
          turned = performance.now()
        }
        if (filled < room) continue
        for (let index = 0; index < first.columns.length; index++) chunk.getColumnVector(index).flush()
        appender.appendDataChunk(chunk)
        left -= filled
        filled = 0
      }
    }
  } finally {
    appender.closeSync()
  }
}

/** Rows of a column to a vector, from its row `at` on. */
function writeColumn(vector: DuckDBVector, column: RowColumn, start: number, end: number, at: number): void {
  if (column.kind === 'text') writeText(vector, column, start, end, at)
  else writeNumbers(vector, column, start, end, at)
}

function writeText(vector: DuckDBVector, column: TextColumn, start: number, end: number, at: number): void {
  const values = column.values
  for (let row = start; row < end; row++) vector.setItem(row - start + at, values[row] ?? null)
}

function writeNumbers(vector: DuckDBVector, column: NumberColumn, start: number, end: number, at: number): void {
  const values = column.values
  const view = memoryOf(vector)
  const count = at + end - start
  switch (column.field.type) {
    case 'int':
    case 'date':
      new Int32Array(view.buffer, view.byteOffset, count).set(values.subarray(start, end), at)
      break
    case 'double':
      new Float64Array(view.buffer, view.byteOffset, count).set(values.subarray(start, end), at)
      break
    case 'boolean':
      new Uint8Array(view.buffer, view.byteOffset, count).set(values.subarray(start, end), at)
      break
    case 'long':
      writeInt64(new Uint32Array(view.buffer, view.byteOffset, 2 * count), values, start, end, at, 1)
      break
    case 'timestamp':
      writeInt64(new Uint32Array(view.buffer, view.byteOffset, 2 * count), values, start, end, at, 1000)
      break
    default:
      throw bug('lake.stage_type', `A ${column.field.type} column came as numbers`)
  }
  writeNulls(vector, column.valid, start, end, at)
}

/** Little-endian 64-bit integers as two halves: making a BigInt per value would cost four times as much. */
function writeInt64(words: Uint32Array, values: Float64Array, start: number, end: number, at: number, scale: number): void {
  for (let row = start, word = 2 * at; row < end; row++, word += 2) {
    const value = Math.round((values[row] ?? 0) * scale)
    const high = Math.floor(value / 4_294_967_296)
    words[word] = value - high * 4_294_967_296
    words[word + 1] = high
  }
}

function writeNulls(vector: DuckDBVector, valid: Uint8Array, start: number, end: number, at: number): void {
  const part = valid.subarray(start, end)
  for (let row = part.indexOf(0); row !== -1; row = part.indexOf(0, row + 1)) vector.setItem(at + row, null)
}

/** The typed array or DataView behind a vector of numbers; `flush` copies it to DuckDB. */
function memoryOf(vector: DuckDBVector): ArrayBufferView<ArrayBuffer> {
  for (const field of ['items', 'dataView']) {
    const memory: unknown = Reflect.get(vector, field)
    if (ArrayBuffer.isView(memory) && memory.buffer instanceof ArrayBuffer) return new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength)
  }
  throw bug('lake.stage_vector', `This version of @duckdb/node-api keeps the values of ${vector.type.toString()} vectors elsewhere`, {
    hint: 'Install the version of @duckdb/node-api that package.json names.',
  })
}

function sameColumns(first: Rows, batch: Rows): void {
  const same =
    batch.columns.length === first.columns.length &&
    batch.columns.every((column, i) => column.name === first.columns[i]?.name && column.field.type === first.columns[i]?.field.type)
  if (!same)
    throw invalid('lake.stage_columns', `Batches to stage together differ in their columns: ${names(first)} and ${names(batch)}`, {
      hint: 'Stage them one by one.',
    })
}

function names(rows: Rows): string {
  return rows.columns.map((column) => column.name).join(', ')
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
