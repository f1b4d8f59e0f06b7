/** How a value from a table is written in a cell, from its SQL type. */
import type { Format } from './format.ts'

export type CellKind = 'number' | 'time' | 'date' | 'mono' | 'text'

export function cellKind(type: string): CellKind {
  const plain = type.toLowerCase()
  if (/^(double|float|real|decimal|numeric|tinyint|smallint|int|integer|bigint|long|hugeint|u?int\d*|ubigint|uinteger|short|byte)\b/.test(plain))
    return 'number'
  if (plain.startsWith('timestamp') || plain === 'datetime') return 'time'
  if (plain === 'date') return 'date'
  if (/^(uuid|binary|blob|struct|map|list|json)|\[\]$/.test(plain)) return 'mono'
  return 'text'
}

export function cellText(value: unknown, kind: CellKind, format: Format): string {
  if (value === null || value === undefined) return 'null'
  if (kind === 'number' && typeof value === 'number') return Number.isInteger(value) ? format.number(value, 0) : format.number(value, decimals(value))
  if (kind === 'time') {
    const at = instant(value)
    if (at !== undefined) return format.dateTime(at)
  }
  if (typeof value === 'object') return JSON.stringify(value)
  return String(value)
}

/** Epoch milliseconds of a time as the server may send it: a number, or ISO text. */
export function instant(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  if (typeof value !== 'string') return undefined
  // DuckDB writes an offset of whole hours without its minutes.
  const text = value.replace(/(:\d\d(?:\.\d+)?[+-]\d\d)$/, '$1:00')
  const at = Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(text) ? text : `${text.replace(' ', 'T')}Z`)
  return Number.isNaN(at) ? undefined : at
}

/** Up to four decimals, as many as the value has: what was measured is shown, and noise of doubles is not. */
function decimals(value: number): number {
  const text = value.toPrecision(10)
  const after = /\.(\d*?)0*(e|$)/.exec(text)?.[1]?.length ?? 0
  return Math.min(4, after)
}

/** Width of a column in pixels, from its header and the texts of some of its cells. */
export function columnWidth(name: string, type: string, texts: readonly string[], least: number): number {
  // Ids are told apart by their first letters; the whole one is in the cell's title.
  const most = type.toLowerCase() === 'uuid' ? 168 : 340
  const longest = texts.reduce((most, text) => Math.max(most, text.length), 0)
  return Math.round(Math.min(most, Math.max(least, name.length * 7.2 + type.length * 6.2 + 36, longest * 7 + 26)))
}
