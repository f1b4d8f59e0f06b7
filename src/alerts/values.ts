/**
 * Field values in the form that alerts keep and send. Records hold what producers sent; an alert must be storable whatever
 * that was, or one record would hold up its stream for ever: so texts lose what PostgreSQL's text and jsonb cannot hold.
 */
import { idFrom, isMissing, jsonValue, type RowColumn, type Rows } from '../base/index.ts'

export type JsonScalar = string | number | boolean | null

/** All fields of one record; missing values are null. */
export function valuesOf(rows: Rows, row: number): Record<string, JsonScalar> {
  const values: [string, JsonScalar][] = rows.columns.map((column) => [storable(column.name), valueOf(column, row)])
  return Object.fromEntries(values)
}

function valueOf(column: RowColumn, row: number): JsonScalar {
  if (isMissing(column, row)) return null
  const beyondDates =
    column.kind === 'number' &&
    (column.field.type === 'timestamp' || column.field.type === 'date') &&
    instantOf((column.values[row] ?? 0) * (column.field.type === 'date' ? 86_400_000 : 1)) === null
  if (beyondDates) return null
  const value = jsonValue(column, row)
  return typeof value === 'string' ? storable(value) : value
}

/** ISO text, or null for an instant that no Date can hold. */
export function instantOf(ms: number): string | null {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : null
}

/** Without NUL and lone surrogates, which PostgreSQL refuses. */
export function storable(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  return whole.includes('\0') ? whole.replaceAll('\0', '\ufffd') : whole
}

/** An index entry has an upper size, and so has what a person reads. */
const LONGEST_KEY = 200

/** Whose reading a row is. Rows without a value share the empty key; a very long one is cut and told apart by its hash. */
export function keyOf(column: RowColumn | null, row: number): string {
  if (column === null) return ''
  const value = valueOf(column, row)
  const key = value === null ? '' : String(value)
  return key.length <= LONGEST_KEY ? key : `${storable(key.slice(0, LONGEST_KEY - 40))}...${idFrom(key)}`
}
