/** Certainty: whether a condition is true for every row of a file. The opposite of what pruning asks: what is not known counts as no. */
import type { Test } from './prune.ts'
import { compareText, type Bounds, type Comparable } from './stats.ts'

/** Whether a test is true for every row within some bounds. */
export function mustMatch(test: Test, bounds: (column: string) => Bounds): boolean {
  switch (test.kind) {
    case 'any':
      return false
    case 'and':
      return test.of.every((part) => mustMatch(part, bounds))
    case 'or':
      return test.of.some((part) => mustMatch(part, bounds))
    case 'null': {
      const { nullCount, rows } = bounds(test.column)
      return test.isNull ? nullCount !== null && nullCount === rows : nullCount === 0
    }
    case 'compare': {
      const { min, max, nullCount, maybeNaN } = bounds(test.column)
      if (nullCount !== 0 || maybeNaN || min === null || max === null) return false
      const low = compared(min, test.value)
      const high = compared(max, test.value)
      if (low === null || high === null) return false
      switch (test.operator) {
        case '=':
          return low === 0 && high === 0
        case '<>':
          return low > 0 || high < 0
        case '<':
          return high < 0
        case '<=':
          return high <= 0
        case '>':
          return low > 0
        case '>=':
          return low >= 0
      }
    }
  }
}

/** Null when the two are of different kinds and so say nothing. */
function compared(a: Comparable, b: Comparable): number | null {
  if (typeof a === 'string') return typeof b === 'string' ? compareText(a, b) : null
  return typeof b === 'number' ? a - b : null
}
