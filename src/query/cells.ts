/** DuckDB values as JSON shows them: times as ISO text, big numbers as text when a double cannot hold them, lists and structs as themselves. */
import { DuckDBDateValue, DuckDBListValue, DuckDBStructValue, DuckDBTimestampTZValue, DuckDBTimestampValue, DuckDBMapValue, DuckDBArrayValue, DuckDBDecimalValue, DuckDBBlobValue, type DuckDBValue } from '@duckdb/node-api'

export function jsonCell(value: DuckDBValue): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString()
  if (value instanceof DuckDBTimestampTZValue || value instanceof DuckDBTimestampValue) return isoTime(value.micros, value instanceof DuckDBTimestampTZValue)
  if (value instanceof DuckDBDateValue) return value.toString()
  if (value instanceof DuckDBDecimalValue) return value.toString()
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map(jsonCell)
  if (value instanceof DuckDBStructValue) return Object.fromEntries(Object.entries(value.entries).map(([name, inner]) => [name, jsonCell(inner)]))
  if (value instanceof DuckDBMapValue) return value.entries.map(({ key, value: inner }) => ({ key: jsonCell(key), value: jsonCell(inner) }))
  if (value instanceof DuckDBBlobValue) return Buffer.from(value.bytes).toString('base64')
  return String(value)
}

function isoTime(micros: bigint, zoned: boolean): string {
  const ms = Number(micros / 1000n)
  const rest = Number(micros % 1000n)
  const date = new Date(ms)
  if (Number.isNaN(date.getTime())) return micros > 0n ? 'infinity' : '-infinity'
  const text = date.toISOString()
  return (rest === 0 ? text.slice(0, -1) : `${text.slice(0, -1)}${String(Math.abs(rest)).padStart(3, '0')}`) + (zoned ? 'Z' : '')
}
