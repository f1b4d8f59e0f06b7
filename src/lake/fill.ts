/** From plain objects to columns, every value checked against the column's type: what code made is held to what the table promises. */
import { closest, emptyRows, invalid, type Field, type NumberColumn, type Rows, type Schema } from '../base/index.ts'

/** Refuses with the row's number (counted from 1, after `before` others), the column and what is wrong. */
export function fillRows(schema: Schema, objects: readonly unknown[], before: number, model: string): Rows {
  const rows = emptyRows(schema, objects.length)
  for (const [row, object] of objects.entries()) {
    const refuse = (what: string, hint: string): never => {
      throw invalid('lake.rows_value', `Row ${before + row + 1} of ${model}: ${what}`, { hint })
    }
    if (!isRecord(object)) return refuse(`an object is wanted, this is ${kindOf(object)}`, 'Yield objects with the columns of the table, or arrays of them.')
    for (const column of rows.columns) {
      const { name, field } = column
      const value = Object.hasOwn(object, name) ? object[name] : undefined
      if (value === null || value === undefined) {
        if (!field.isNullable) refuse(`${name} ${value === null ? 'is null' : 'is missing'}`, `Give it a value, or declare the column .nullable().`)
        continue
      }
      if (column.kind === 'text') {
        const text = field.type === 'json' ? JSON.stringify(value) : value
        if (typeof text !== 'string') refuse(`${name} is ${kindOf(value)}, text is wanted`, 'Convert it, for example with String(...).')
        else column.values[row] = text
      } else put(column, row, field, value, refuse)
    }
    const extra = Object.keys(object).find((name) => !Object.hasOwn(schema, name) && object[name] !== undefined)
    if (extra !== undefined) {
      const near = closest(extra, Object.keys(schema))
      refuse(`there is no column ${extra}`, near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The columns are: ${Object.keys(schema).join(', ')}.`)
    }
  }
  return rows
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)

const kindOf = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value}`

function put(column: NumberColumn, row: number, field: Field, value: unknown, refuse: (what: string, hint: string) => never): void {
  const number = numberFor(field, value)
  if (Number.isNaN(number))
    refuse(`${column.name} is ${shown(value)}, ${WANTED[field.type] ?? field.type} is wanted`, 'Convert it, or declare the column with another type.')
  column.values[row] = number
  column.valid[row] = 1
}

const WANTED: Readonly<Record<string, string>> = {
  int: 'a 32-bit whole number',
  long: 'a whole number up to 2^53 - 1',
  double: 'a finite number',
  boolean: 'true or false',
  timestamp: 'a Date, epoch milliseconds or ISO 8601 text with a zone',
  date: 'a day as YYYY-MM-DD',
}

/** The number that stands for the value in a column, or NaN when the value is not of the type. */
function numberFor({ type }: Field, value: unknown): number {
  switch (type) {
    case 'double':
      return typeof value === 'number' && Number.isFinite(value) ? value : Number.NaN
    case 'int':
      return typeof value === 'number' && Number.isInteger(value) && Math.abs(value + 0.5) <= 2_147_483_647.5 ? value : Number.NaN
    case 'long': {
      const number = typeof value === 'bigint' ? Number(value) : value
      return typeof number === 'number' && Number.isSafeInteger(number) ? number : Number.NaN
    }
    case 'boolean':
      return value === true ? 1 : value === false ? 0 : Number.NaN
    case 'timestamp':
      return instantOf(value)
    case 'date':
      return dayOf(value)
    default:
      return Number.NaN
  }
}

function instantOf(value: unknown): number {
  const time = value instanceof Date ? value.getTime() : typeof value === 'number' ? value : typeof value === 'string' ? parsedInstant(value) : Number.NaN
  // Years 1 to 9999, which every engine can hold.
  return time >= -62_135_596_800_000 && time < 253_402_300_800_000 ? time : Number.NaN
}

/** `Date.parse` knows milliseconds; what stands behind them is added. */
function parsedInstant(text: string): number {
  const match = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.(\d+))?)?(?:Z|[+-]\d\d(?::?\d\d)?)$/i.exec(text)
  if (!match) return Number.NaN
  const micros = Number(`0.${(match[1] ?? '').slice(3, 6) || '0'}`)
  return (
    Date.parse(
      text
        .replace(' ', 'T')
        .replace(/([+-]\d\d)$/, '$1:00')
        .replace(/([+-]\d\d)(\d\d)$/, '$1:$2')
        .replace(/\.(\d{3})\d+/, '.$1'),
    ) + micros
  )
}

function dayOf(value: unknown): number {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(value)) return Number.NaN
  const time = Date.parse(`${value}T00:00:00Z`)
  return new Date(time).toISOString().slice(0, 10) === value ? time / 86_400_000 : Number.NaN
}

const shown = (value: unknown): string => {
  const text = typeof value === 'string' ? `"${value}"` : typeof value === 'object' ? kindOf(value) : String(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
