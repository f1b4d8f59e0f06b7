/**
 * Statistics of data files (section "Per-file Statistics"): made from what DuckDB measured while it wrote a file, and read
 * back as bounds. A bound that could exclude a row that is there is left out; a wide bound only costs a needless read.
 */
import { isObject, numberOf, type JsonObject } from './json.ts'
import type { DeltaField, DeltaType } from './types.ts'

/** What `COPY ... (RETURN_STATS)` tells of one leaf column, all as text. */
export type LeafStats = Readonly<Record<string, string>>

/** Strings longer than this are cut to a prefix, as other writers do; the log is no place for documents. */
const PREFIX = 32

/**
 * The statistics of a file as JSON text. `leaves` is keyed by DuckDB's quoted path (`"address"."city"`); `columns` limits how many
 * leaf columns get statistics (delta.dataSkippingNumIndexedCols; -1 is all).
 */
export function fileStats(rows: number, fields: readonly DeltaField[], leaves: ReadonlyMap<string, LeafStats>, columns: number): string {
  const budget = { left: columns < 0 ? Number.MAX_SAFE_INTEGER : columns }
  const nullCount: string[] = []
  const minValues: string[] = []
  const maxValues: string[] = []
  const nanCount: string[] = []
  collect(fields, '', leaves, budget, { nullCount, minValues, maxValues, nanCount })
  const parts = [`"numRecords":${rows}`, `"minValues":{${minValues.join(',')}}`, `"maxValues":{${maxValues.join(',')}}`, `"nullCount":{${nullCount.join(',')}}`]
  // Not part of the protocol, and readers skip what they do not know: it lets a float's maximum be trusted, which without it may hide a NaN.
  if (nanCount.length > 0) parts.push(`"nanCount":{${nanCount.join(',')}}`)
  return `{${parts.join(',')}}`
}

interface Entries {
  readonly nullCount: string[]
  readonly minValues: string[]
  readonly maxValues: string[]
  readonly nanCount: string[]
}

function collect(fields: readonly DeltaField[], prefix: string, leaves: ReadonlyMap<string, LeafStats>, budget: { left: number }, into: Entries): void {
  for (const field of fields) {
    const path = `${prefix}"${field.name.replaceAll('"', '""')}"`
    const key = JSON.stringify(field.name)
    if (typeof field.type !== 'string') {
      if (field.type.type !== 'struct') continue
      const inner: Entries = { nullCount: [], minValues: [], maxValues: [], nanCount: [] }
      collect(field.type.fields, `${path}.`, leaves, budget, inner)
      if (inner.nullCount.length > 0) into.nullCount.push(`${key}:{${inner.nullCount.join(',')}}`)
      if (inner.minValues.length > 0) into.minValues.push(`${key}:{${inner.minValues.join(',')}}`)
      if (inner.maxValues.length > 0) into.maxValues.push(`${key}:{${inner.maxValues.join(',')}}`)
      continue
    }
    if (budget.left-- <= 0) return
    const leaf = leaves.get(path)
    if (!leaf) continue
    if (leaf.null_count !== undefined) into.nullCount.push(`${key}:${leaf.null_count}`)
    if (isFloat(field.type)) {
      if (leaf.has_nan !== 'false') continue
      into.nanCount.push(`${key}:0`)
    }
    const min = leaf.min === undefined ? null : lowerBound(field.type, leaf.min)
    const max = leaf.max === undefined ? null : upperBound(field.type, leaf.max)
    if (min !== null) into.minValues.push(`${key}:${min}`)
    if (max !== null) into.maxValues.push(`${key}:${max}`)
  }
}

function isFloat(type: DeltaType): boolean {
  return type === 'float' || type === 'double'
}

/** JSON text of a value that no row is below, from DuckDB's text of the smallest; null when there is none that is safe. */
export function lowerBound(type: string, text: string): string | null {
  if (type === 'string') return JSON.stringify([...text].slice(0, PREFIX).join(''))
  if (type === 'timestamp' || type === 'timestamp_ntz') return instant(type, text, Math.floor)
  return exactBound(type, text, '-0.0')
}

/** JSON text of a value that no row is above; null when there is none that is safe. */
export function upperBound(type: string, text: string): string | null {
  if (type === 'string') {
    const characters = [...text]
    if (characters.length <= PREFIX) return JSON.stringify(text)
    // A prefix lies below its own continuation: the greatest character behind it lifts it above.
    return characters[PREFIX] === '\u{10ffff}' ? null : JSON.stringify(characters.slice(0, PREFIX).join('') + '\u{10ffff}')
  }
  if (type === 'timestamp' || type === 'timestamp_ntz') return instant(type, text, Math.ceil)
  return exactBound(type, text, '0.0')
}

/** A float's zero may stand for both zeros, so each bound names the outer one: readers take equal bounds for the value itself. */
function exactBound(type: string, text: string, zero: string): string | null {
  if (type === 'date') return /^\d{4}-\d\d-\d\d$/.test(text) ? JSON.stringify(text) : null
  if (type === 'float' || type === 'double') {
    const value = type === 'float' ? Math.fround(Number(text)) : Number(text)
    return text === '' || !Number.isFinite(value) ? null : value === 0 ? zero : JSON.stringify(value)
  }
  if (type === 'byte' || type === 'short' || type === 'integer' || type === 'long') return /^-?\d+$/.test(text) ? text : null
  if (type.startsWith('decimal')) return /^-?\d+(\.\d+)?$/.test(text) ? text : null
  return null
}

/** Milliseconds are all that Delta keeps of a timestamp in statistics. */
function instant(type: string, text: string, round: (value: number) => number): string | null {
  const micros = microsOf(text)
  if (micros === null) return null
  const date = new Date(round(micros / 1000))
  const year = date.getUTCFullYear()
  if (Number.isNaN(year) || year < 0 || year > 9999) return null
  return JSON.stringify(type === 'timestamp' ? date.toISOString() : date.toISOString().slice(0, -1))
}

/**
 * Epoch microseconds of ISO-like text; without a zone it counts as UTC. Null when it is anything else (infinity, BC, five-digit years), or
 * so far from 1970 (before 1684, after 2255) that a double cannot tell one microsecond from the next: nothing is concluded from such a time.
 */
export function microsOf(text: string): number | null {
  const micros = nearestMicros(text)
  return micros !== null && Number.isSafeInteger(micros) ? micros : null
}

function nearestMicros(text: string): number | null {
  const match = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?$/.exec(text.trim())
  if (!match) return null
  const [, year = '', month = '', day = '', hour = '0', minute = '0', second = '0', fraction = '', zone = 'Z'] = match
  const date = new Date(0)
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  date.setUTCHours(Number(hour), Number(minute), Number(second))
  if (date.getUTCDate() !== Number(day) || date.getUTCMonth() !== Number(month) - 1) return null
  const micros = Number(fraction.padEnd(6, '0').slice(0, 6))
  const offset = zone === 'Z' ? 0 : (zone.startsWith('-') ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3).replace(':', '') || 0))
  return date.getTime() * 1000 + micros - offset * 60_000_000
}

/** Days since 1970-01-01 of `YYYY-MM-DD`. */
export function daysOf(text: string): number | null {
  // Midnights are whole multiples of a large power of two, so they are exact at any distance.
  const micros = /^\d{4}-\d\d-\d\d$/.test(text) ? nearestMicros(text) : null
  return micros === null ? null : micros / 86_400_000_000
}

/** Numbers for numeric types, microseconds for timestamps, days for dates, text for strings. */
export type Comparable = number | string

/** What is known of one column of one file. Null means unknown, never "none". */
export interface Bounds {
  readonly min: Comparable | null
  readonly max: Comparable | null
  readonly nullCount: number | null
  readonly rows: number | null
  /** Rows above `max` may exist because they are NaN. */
  readonly maybeNaN: boolean
}

const NOTHING_KNOWN: Bounds = { min: null, max: null, nullCount: null, rows: null, maybeNaN: true }

export function parseStats(stats: string | null): JsonObject | null {
  if (stats === null) return null
  try {
    const parsed: unknown = JSON.parse(stats)
    return isObject(parsed) ? parsed : null
  } catch {
    return null
  }
}

export function boundsOf(stats: JsonObject | null, column: string, type: DeltaType): Bounds {
  if (stats === null || typeof type !== 'string') return NOTHING_KNOWN
  const of = (group: unknown): unknown => (isObject(group) ? group[column] : undefined)
  return {
    min: widened(type, of(stats.minValues), -1),
    max: widened(type, of(stats.maxValues), 1),
    nullCount: numberOf(of(stats.nullCount)),
    rows: numberOf(stats.numRecords),
    maybeNaN: isFloat(type) && of(stats.nanCount) !== 0,
  }
}

/** A bound read from a log, moved outwards by what its writer or JSON may have cut off. */
function widened(type: string, value: unknown, direction: -1 | 1): Comparable | null {
  if (type === 'string') return typeof value === 'string' ? value : null
  if (type === 'date') return typeof value === 'string' ? daysOf(value) : null
  if (type === 'timestamp' || type === 'timestamp_ntz') {
    const micros = typeof value === 'string' ? microsOf(value) : null
    // Other writers cut maxima down to milliseconds.
    return micros === null ? null : micros + (direction === 1 ? 999 : 0)
  }
  if (typeof value !== 'number' || !Number.isFinite(value)) return null
  if (type === 'double') return value
  if (type === 'float') return Math.fround(value) === value ? value : value + direction * Math.abs(value) * 1e-6
  if (Number.isSafeInteger(value)) return value
  return value + direction * Math.abs(value) * 1e-15
}

/** Order by code point, which is the order of UTF-8 bytes and so of DuckDB and Spark; JavaScript's own differs above U+FFFF. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x === y) continue
    const highX = x >= 0xd800 && x <= 0xdfff
    const highY = y >= 0xd800 && y <= 0xdfff
    return highX === highY ? x - y : highX ? 1 : -1
  }
  return a.length - b.length
}

/** Whether the statistics mention every column, so that the file is known to hold them all. */
export function mentionsAll(stats: JsonObject | null, columns: readonly string[]): boolean {
  const counts = stats?.nullCount
  return isObject(counts) && columns.every((column) => column in counts)
}
