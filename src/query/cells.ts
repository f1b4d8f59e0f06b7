/** DuckDB values as JSON shows them: times as ISO text, big numbers as text when a double cannot hold them, lists and structs as themselves. */
import {
  DuckDBArrayValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBUnionValue,
  type DuckDBValue,
} from '@duckdb/node-api'

export function jsonCell(value: DuckDBValue): unknown {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString()
  if (value instanceof DuckDBTimestampTZValue) return isoTime(value.micros * 1000n, 'Z')
  if (value instanceof DuckDBTimestampValue) return isoTime(value.micros * 1000n, '')
  if (value instanceof DuckDBTimestampSecondsValue) return isoTime(value.seconds * 1_000_000_000n, '')
  if (value instanceof DuckDBTimestampMillisecondsValue) return isoTime(value.millis * 1_000_000n, '')
  if (value instanceof DuckDBTimestampNanosecondsValue) return isoTime(value.nanos, '')
  if (value instanceof DuckDBDateValue || value instanceof DuckDBDecimalValue) return value.toString()
  if (value instanceof DuckDBListValue || value instanceof DuckDBArrayValue) return value.items.map(jsonCell)
  if (value instanceof DuckDBStructValue) return Object.fromEntries(Object.entries(value.entries).map(([name, inner]) => [name, jsonCell(inner)]))
  if (value instanceof DuckDBMapValue) return value.entries.map(({ key, value: inner }) => ({ key: jsonCell(key), value: jsonCell(inner) }))
  if (value instanceof DuckDBUnionValue) return jsonCell(value.value)
  if (value instanceof DuckDBBlobValue) return Buffer.from(value.bytes).toString('base64')
  return String(value)
}

/** `2024-05-01T10:00:00.123` with as many more digits as there are; DuckDB's own two infinities by their names. */
function isoTime(nanos: bigint, zone: string): string {
  const [ms, rest] = divide(nanos, 1_000_000n)
  const date = new Date(Number(ms))
  // DuckDB's largest instants lie beyond those of JavaScript; only the two outermost are infinite.
  if (Number.isNaN(date.getTime())) return nanos > 0n ? 'infinity' : '-infinity'
  const digits = rest === 0n ? '' : String(rest).padStart(6, '0').replace(/000$/, '')
  return date.toISOString().slice(0, -1) + digits + zone
}

/** Division that rounds down, so that the rest is never negative. */
function divide(value: bigint, by: bigint): [bigint, bigint] {
  const rest = ((value % by) + by) % by
  return [(value - rest) / by, rest]
}
