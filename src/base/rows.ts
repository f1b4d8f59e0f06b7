/**
 * Rows by column, the one form in which bulk data moves between rooms inside this process.
 * Numbers of every kind share a Float64Array beside a validity byte per row; text stays JavaScript strings.
 */
import type { Field, Schema } from './schema.ts'

/**
 * double, int, long; boolean as 0 or 1; timestamp as epoch milliseconds with microseconds in the fraction;
 * date as days since 1970-01-01. `valid[i] === 0` means null and `values[i]` is then 0.
 */
export interface NumberColumn {
  readonly kind: 'number'
  readonly name: string
  readonly field: Field
  readonly values: Float64Array
  readonly valid: Uint8Array
}

/** string, and json as its text. */
export interface TextColumn {
  readonly kind: 'text'
  readonly name: string
  readonly field: Field
  readonly values: (string | null)[]
}

export type RowColumn = NumberColumn | TextColumn

export interface Rows {
  readonly count: number
  readonly columns: readonly RowColumn[]
}

export function emptyColumn(name: string, field: Field, count: number): RowColumn {
  return field.type === 'string' || field.type === 'json'
    ? { kind: 'text', name, field, values: Array.from<string | null>({ length: count }).fill(null) }
    : { kind: 'number', name, field, values: new Float64Array(count), valid: new Uint8Array(count) }
}

export function emptyRows(schema: Schema, count: number): Rows {
  return { count, columns: Object.entries(schema).map(([name, field]) => emptyColumn(name, field, count)) }
}

/** The same rows, only the first `count` of them, sharing memory. */
export function truncateRows(rows: Rows, count: number): Rows {
  if (count === rows.count) return rows
  return {
    count,
    columns: rows.columns.map((column) =>
      column.kind === 'number'
        ? { ...column, values: column.values.subarray(0, count), valid: column.valid.subarray(0, count) }
        : { ...column, values: column.values.slice(0, count) },
    ),
  }
}

/** The value as JSON would show it: null, number, boolean, ISO text. Values that the field declares as missing become null. */
export function jsonValue(column: RowColumn, row: number): string | number | boolean | null {
  if (isMissing(column, row)) return null
  if (column.kind === 'text') return column.values[row] ?? null
  const value = column.values[row] ?? 0
  switch (column.field.type) {
    case 'boolean':
      return value === 1
    case 'timestamp':
      return new Date(value).toISOString()
    case 'date':
      return new Date(value * 86_400_000).toISOString().slice(0, 10)
    default:
      return value
  }
}

/** Null, or one of the values that the field declares to mean "no reading". */
export function isMissing(column: RowColumn, row: number): boolean {
  if (column.kind === 'text') {
    const value = column.values[row]
    return value === null || value === undefined || (column.field.missingValues.length > 0 && column.field.missingValues.includes(value))
  }
  return column.valid[row] === 0 || (column.field.missingValues.length > 0 && column.field.missingValues.includes(column.values[row] ?? 0))
}
