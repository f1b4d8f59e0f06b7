/** Values of Delta types as JSON, in the form that engines/worker.py describes, and tables of them made comparable. */
import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBConnection,
} from '@duckdb/node-api'
import type { DeltaField, DeltaTable, DeltaType, Snapshot } from '../../src/lake/delta/index.ts'

export type Cell = null | boolean | number | string | readonly Cell[]

/** What a read gave: the schema's fields as that engine tells them, and rows of cells. */
export interface Found {
  readonly schema: unknown
  readonly rows: readonly (readonly unknown[])[]
}

/** A table in a form in which equal tables are deeply equal: rows sorted, map entries sorted, the schema as names and types. */
export interface Comparable {
  readonly columns: unknown
  readonly rows: readonly string[]
}

export function comparable({ schema, rows }: Found): Comparable {
  const fields = Array.isArray(schema) ? schema : []
  const types = fields.map((field: unknown) => entry(field, 'type'))
  return {
    columns: fields.map((field: unknown) => [entry(field, 'name'), bare(entry(field, 'type'))]),
    rows: rows.map((row) => JSON.stringify(row.map((cell, i) => settled(cell, types[i])))).sort(),
  }
}

/** Names and types without nullability and metadata, which engines may widen on reading. */
function bare(type: unknown): unknown {
  switch (entry(type, 'type')) {
    case 'struct': {
      const fields = entry(type, 'fields')
      return Array.isArray(fields) ? ['struct', ...fields.map((field: unknown) => [entry(field, 'name'), bare(entry(field, 'type'))])] : type
    }
    case 'array':
      return ['array', bare(entry(type, 'elementType'))]
    case 'map':
      return ['map', bare(entry(type, 'keyType')), bare(entry(type, 'valueType'))]
    default:
      return type
  }
}

/** The entries of maps have no order. */
function settled(cell: unknown, type: unknown): unknown {
  if (!Array.isArray(cell)) return cell
  switch (entry(type, 'type')) {
    case 'array':
      return cell.map((item: unknown) => settled(item, entry(type, 'elementType')))
    case 'struct': {
      const fields = entry(type, 'fields')
      return cell.map((item: unknown, i) => settled(item, entry(Array.isArray(fields) ? fields[i] : null, 'type')))
    }
    case 'map':
      return cell
        .map((pair: unknown) => (Array.isArray(pair) ? [settled(pair[0], entry(type, 'keyType')), settled(pair[1], entry(type, 'valueType'))] : pair))
        .map((pair) => [JSON.stringify(pair), pair] as const)
        .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
        .map(([, pair]) => pair)
    default:
      return cell
  }
}

function entry(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined
}

/** What we read of a table, by its newest version or another; `where` is in DuckDB SQL and prunes files like the platform's own reads. */
export async function readByUs(
  connection: DuckDBConnection,
  table: DeltaTable,
  options: { readonly version?: number; readonly where?: string } = {},
): Promise<Found> {
  const snapshot = await table.snapshot(options.version === undefined ? undefined : { version: options.version })
  if (snapshot === null) throw new Error(`There is no table at ${table.root}`)
  return readSnapshot(connection, table, snapshot, options.where)
}

async function readSnapshot(connection: DuckDBConnection, table: DeltaTable, snapshot: Snapshot, where: string | undefined): Promise<Found> {
  const { fields } = snapshot.metadata
  const scan = await table.scan(snapshot, where === undefined ? {} : { where })
  return cellsOf(connection, `select * from (${scan})${where === undefined ? '' : ` where ${where}`}`, fields)
}

/** The rows of a query whose columns have the types of some fields. */
export async function cellsOf(connection: DuckDBConnection, sql: string, fields: readonly DeltaField[]): Promise<Found> {
  const reader = await connection.runAndReadAll(sql)
  return { schema: fields, rows: reader.getRows().map((row) => row.map((value, i) => cellOf(value, fields[i]?.type ?? 'unknown'))) }
}

function cellOf(value: unknown, type: DeltaType): Cell {
  if (value === null || value === undefined) return null
  if (typeof value === 'boolean') return value
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'string') return value
  if (typeof value === 'number') {
    if (type !== 'double' && type !== 'float') return String(value)
    // JSON has none of these.
    return !Number.isFinite(value) ? String(value) : Object.is(value, -0) ? '-0' : value
  }
  if (value instanceof DuckDBDecimalValue) return value.toString()
  if (value instanceof DuckDBDateValue) return new Date(value.days * 86_400_000).toISOString().slice(0, 10)
  if (value instanceof DuckDBTimestampTZValue) return `${instant(value.micros)}Z`
  if (value instanceof DuckDBTimestampValue) return instant(value.micros)
  if (value instanceof DuckDBBlobValue) return Buffer.from(value.bytes).toString('base64')
  if (typeof type === 'object') {
    if (type.type === 'array' && value instanceof DuckDBListValue) return value.items.map((item) => cellOf(item, type.elementType))
    if (type.type === 'struct' && value instanceof DuckDBStructValue) return type.fields.map((field) => cellOf(value.entries[field.name], field.type))
    if (type.type === 'map' && value instanceof DuckDBMapValue)
      return value.entries.map(({ key, value: item }) => [cellOf(key, type.keyType), cellOf(item, type.valueType)])
  }
  throw new Error(`No cell is known for a value of ${JSON.stringify(type)}: ${String(value)}`)
}

function instant(micros: bigint): string {
  const second = micros >= 0n ? micros / 1_000_000n : -((999_999n - micros) / 1_000_000n)
  const date = new Date(Number(second) * 1000).toISOString().slice(0, 19)
  return `${date}.${String(micros - second * 1_000_000n).padStart(6, '0')}`
}

/** A field of a schema. */
export function column(name: string, type: DeltaType): DeltaField {
  return { name, type, nullable: true, metadata: {} }
}
