/** The loops over rows: plain functions over typed arrays, one for each thing, so that the compiler can make them tight. */
import type { CompareSign, TextTest } from './expression.ts'
import { UNKNOWN, type Bounds } from './outcomes.ts'

/** One loop per sign: a loop that switched on the sign for each row would be several times slower. */
export function compareWith(sign: CompareSign, values: Float64Array, c: number, unknowns: boolean, out: Uint8Array, count: number): void {
  switch (sign) {
    case '<':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) < c ? 1 : 0
      break
    case '<=':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) <= c ? 1 : 0
      break
    case '>':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) > c ? 1 : 0
      break
    case '>=':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) >= c ? 1 : 0
      break
    case '==':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) === c ? 1 : 0
      break
    case '!=':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) !== c ? 1 : 0
  }
  if (unknowns) markUnknowns(values, out, count)
}

export function comparePairs(sign: CompareSign, values: Float64Array, others: Float64Array, out: Uint8Array, count: number): void {
  switch (sign) {
    case '<':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) < (others[i] ?? 0) ? 1 : 0
      break
    case '<=':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) <= (others[i] ?? 0) ? 1 : 0
      break
    case '>':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) > (others[i] ?? 0) ? 1 : 0
      break
    case '>=':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) >= (others[i] ?? 0) ? 1 : 0
      break
    case '==':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) === (others[i] ?? 0) ? 1 : 0
      break
    case '!=':
      for (let i = 0; i < count; i++) out[i] = (values[i] ?? 0) !== (others[i] ?? 0) ? 1 : 0
  }
  markUnknowns(values, out, count)
  markUnknowns(others, out, count)
}

function markUnknowns(values: Float64Array, out: Uint8Array, count: number): void {
  for (let i = 0; i < count; i++) {
    const v = values[i] ?? 0
    if (v !== v) out[i] = UNKNOWN
  }
}

/** Copies a stretch of a column with NaN for what is unknown, and measures the rest. */
export function copyColumn(
  from: Float64Array,
  valid: Uint8Array,
  missing: readonly number[],
  start: number,
  count: number,
  into: Float64Array,
  bounds: Bounds,
): void {
  let least = Infinity
  let greatest = -Infinity
  let unknowns = false
  const first = missing[0] ?? Number.NaN
  for (let i = 0; i < count; i++) {
    const v = from[start + i] ?? 0
    if (valid[start + i] === 0 || v === first || (missing.length > 1 && missing.includes(v))) {
      into[i] = Number.NaN
      unknowns = true
    } else {
      into[i] = v
      if (v < least) least = v
      if (v > greatest) greatest = v
    }
  }
  bounds.least = least
  bounds.greatest = greatest
  bounds.unknowns = unknowns
}

export const TEXT_COMPARISONS: Readonly<Record<CompareSign, (x: string, y: string) => boolean>> = {
  '<': (x, y) => x < y,
  '<=': (x, y) => x <= y,
  '>': (x, y) => x > y,
  '>=': (x, y) => x >= y,
  '==': (x, y) => x === y,
  '!=': (x, y) => x !== y,
}

export const TEXT_TESTS: Readonly<Record<TextTest, (x: string, y: string) => boolean>> = {
  contains: (x, y) => x.includes(y),
  startsWith: (x, y) => x.startsWith(y),
  endsWith: (x, y) => x.endsWith(y),
}

/** Unicode code points, as CEL counts them. */
export function characters(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    const pair = unit >= 0xd800 && unit <= 0xdbff && i + 1 < text.length && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00
    if (pair) i++
    count++
  }
  return count
}
