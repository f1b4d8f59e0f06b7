/**
 * Patterns of `matches`. CEL asks for RE2, whose run time is linear in the text; JavaScript's engine backtracks, so what can
 * make it explode is refused when the rule is loaded, and what is left runs over a bounded stretch of text.
 */

const LONGEST = 200
const MOST_REPEATS = 3
/** Only this many characters of a text are searched: three unbounded repeats over it stay below a millisecond or so on real text. */
export const SEARCHED_CHARACTERS = 1000

/** Why a pattern is refused, or null. `at` is the position in the pattern. */
export function patternProblem(pattern: string): { readonly reason: string; readonly at: number } | null {
  if (pattern.length > LONGEST) return { reason: `it has ${pattern.length} characters, more than ${LONGEST}`, at: LONGEST }
  /** For each open group, and below them the pattern itself: does it hold a repeat or an alternative? */
  const groups: { risky: boolean }[] = [{ risky: false }]
  let closed: { risky: boolean } | null = null
  let repeats = 0
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern.charAt(i)
    const innermost = groups[groups.length - 1]
    if (innermost === undefined) return { reason: 'its parentheses do not match', at: i }
    const quantifier = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(pattern.slice(i))?.[0]
    if (quantifier !== undefined) {
      const most = mostTimes(quantifier)
      if (most > 1 && closed?.risky) return { reason: 'a repeated group holds a repeat or an alternative', at: i }
      if (most > 100 && most < Infinity) return { reason: 'it repeats something more than 100 times', at: i }
      if (most > 10 && ++repeats > MOST_REPEATS) return { reason: `it has more than ${MOST_REPEATS} long repeats`, at: i }
      innermost.risky = true
      i += quantifier.length - 1
      // A lazy mark belongs to its quantifier.
      if (pattern.charAt(i + 1) === '?') i++
      closed = null
      continue
    }
    closed = null
    if (char === '\\') {
      const next = pattern.charAt(i + 1)
      if (/[1-9k]/.test(next)) return { reason: 'it refers back to a group', at: i }
      i++
    } else if (char === '[') {
      const end = endOfClass(pattern, i)
      if (end < 0) return { reason: 'its [ is not closed', at: i }
      i = end
    } else if (char === '(') {
      if (/^\(\?(?:[=!]|<[=!])/.test(pattern.slice(i))) return { reason: 'it looks ahead or behind', at: i }
      groups.push({ risky: false })
      // Skips the mark of a group that is named or not captured, so that its `?` is not read as a quantifier.
      const mark = /^\((?:\?:|\?<[A-Za-z_]\w*>)/.exec(pattern.slice(i))?.[0]
      if (mark !== undefined) i += mark.length - 1
    } else if (char === ')') {
      groups.pop()
      closed = innermost
      const outer = groups[groups.length - 1]
      if (outer && innermost.risky) outer.risky = true
    } else if (char === '|') {
      innermost.risky = true
    }
  }
  try {
    new RegExp(pattern, 'u')
    return null
  } catch (error) {
    return { reason: error instanceof Error ? error.message.replace(/^Invalid regular expression: /, '') : 'it is not a pattern', at: 0 }
  }
}

/** How often a quantifier repeats at most. */
function mostTimes(quantifier: string): number {
  if (quantifier === '?') return 1
  if (quantifier === '*' || quantifier === '+' || quantifier.endsWith(',}')) return Infinity
  return Number(/(\d+)\}$/.exec(quantifier)?.[1] ?? Infinity)
}

function endOfClass(pattern: string, open: number): number {
  for (let i = open + 1; i < pattern.length; i++) {
    if (pattern.charAt(i) === '\\') i++
    else if (pattern.charAt(i) === ']') return i
  }
  return -1
}
