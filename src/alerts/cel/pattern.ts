/**
 * Patterns of `matches`, as CEL asks: RE2's syntax and RE2's promise that time is linear in the text whatever the pattern, which
 * JavaScript's backtracking engine cannot give. A pattern becomes a small machine (Thompson 1968) that is in a set of states at a
 * time; sets that occur are kept, so that most characters cost one look-up. Back references and looking ahead do not fit and are
 * refused. A pattern is found anywhere in the text unless it starts with ^ or ends with $.
 */

const LONGEST = 200
const MOST_STEPS = 2_000
/** Beyond this many kept sets they are forgotten and found anew. */
const MOST_SETS = 500
const DEEPEST = 50

/** Why a pattern is refused, and where in it. */
export class PatternProblem extends Error {
  readonly at: number

  constructor(reason: string, at: number) {
    super(reason)
    this.at = at
  }
}

/** A function that tells whether a text matches; throws a PatternProblem. */
export function compilePattern(pattern: string): (text: string) => boolean {
  if (pattern.length > LONGEST) throw new PatternProblem(`it has ${pattern.length} characters, more than ${LONGEST}`, LONGEST)
  const steps: Step[] = []
  const add = (step: Step): number => {
    if (steps.length >= MOST_STEPS) throw new PatternProblem('it repeats too much', 0)
    return steps.push(step) - 1
  }
  const start = build(parse(pattern), add({ op: 'match' }), add)
  return machine(steps, start)
}

// --- the pattern as a tree ---

type Tree =
  | { readonly op: 'set'; readonly has: (codePoint: number) => boolean }
  | { readonly op: 'sequence' | 'either'; readonly parts: readonly Tree[] }
  | { readonly op: 'repeat'; readonly part: Tree; readonly least: number; readonly most: number }
  | { readonly op: 'begin' | 'end' }

type Test = (codePoint: number) => boolean

function parse(pattern: string): Tree {
  const chars = [...pattern]
  let at = 0
  let depth = 0
  let anyCase = false
  /** Counts in UTF-16 units, as positions in the rule's text do. */
  const place = (index: number = at): number => chars.slice(0, index).join('').length
  const problem = (reason: string, index: number = at): PatternProblem => new PatternProblem(reason, place(index))
  const startsWith = (text: string): boolean => chars.slice(at, at + text.length).join('') === text

  if (startsWith('(?i)')) {
    anyCase = true
    at += 4
  }
  const tree = either()
  if (at < chars.length) throw problem('its parentheses do not match')
  return tree

  function either(): Tree {
    if (++depth > DEEPEST) throw problem('its groups are nested too deep')
    const parts = [sequence()]
    while (chars[at] === '|') {
      at++
      parts.push(sequence())
    }
    depth--
    return { op: 'either', parts }
  }

  function sequence(): Tree {
    const parts: Tree[] = []
    while (at < chars.length && chars[at] !== '|' && chars[at] !== ')') parts.push(repeated(atom()))
    return { op: 'sequence', parts }
  }

  function repeated(part: Tree): Tree {
    const bounds = quantifier()
    if (bounds === null) return part
    if (part.op === 'begin' || part.op === 'end') throw problem('it repeats ^ or $', at - 1)
    // Lazy or not makes no difference to whether there is a match.
    if (chars[at] === '?') at++
    if (quantifier() !== null) throw problem('it repeats a repeat: put the inner one in a group', at - 1)
    return { op: 'repeat', part, ...bounds }
  }

  function quantifier(): { readonly least: number; readonly most: number } | null {
    const char = chars[at]
    if (char === '*' || char === '+' || char === '?') {
      at++
      return { least: char === '+' ? 1 : 0, most: char === '?' ? 1 : Infinity }
    }
    const counted = /^\{(\d+)(,?)(\d*)\}/.exec(chars.slice(at, at + 20).join(''))
    if (counted === null) return null
    const least = Number(counted[1])
    const most = counted[2] === '' ? least : counted[3] === '' ? Infinity : Number(counted[3])
    if (least > 1_000 || (most > 1_000 && most !== Infinity)) throw problem('it repeats something more than 1000 times')
    if (most < least) throw problem('its repeat counts backwards')
    at += counted[0].length
    return { least, most }
  }

  function atom(): Tree {
    const char = chars[at] ?? ''
    if (char === '(') return group()
    if (char === '[') return { op: 'set', has: bracket() }
    if (char === '\\') return { op: 'set', has: escape() }
    if (char === '*' || char === '+' || char === '?') throw problem(`there is nothing to repeat before ${char}`)
    at++
    if (char === '^') return { op: 'begin' }
    if (char === '$') return { op: 'end' }
    if (char === '.') return { op: 'set', has: (c) => c !== 10 }
    return { op: 'set', has: oneCase(codeOf(char)) }
  }

  function group(): Tree {
    const open = at
    const mark = /^\((?:\?:|\?P?<[A-Za-z_]\w*>)?/.exec(chars.slice(at, at + 100).join(''))?.[0] ?? '('
    at += mark.length
    if (chars[at] === '?') throw problem(/[=!<]/.test(chars[at + 1] ?? '') ? 'it looks ahead or behind' : 'it has a group of a kind that is not known', open)
    const inner = either()
    if (chars[at] !== ')') throw problem('its ( is not closed', open)
    at++
    return inner
  }

  function bracket(): Test {
    const open = at++
    const negated = chars[at] === '^'
    if (negated) at++
    const tests: Test[] = []
    for (let first = true; first || chars[at] !== ']'; first = false) {
      if (at >= chars.length) throw problem('its [ is not closed', open)
      const from = chars[at] === '\\' ? escapedChar() : codeOf(chars[at++] ?? '')
      if (typeof from === 'function') {
        tests.push(from)
        continue
      }
      if (chars[at] !== '-' || chars[at + 1] === ']' || at + 1 >= chars.length) {
        tests.push(oneCase(from))
        continue
      }
      at++
      const to = chars[at] === '\\' ? escapedChar() : codeOf(chars[at++] ?? '')
      if (typeof to === 'function' || to < from) throw problem('a range in [] goes backwards', at - 1)
      tests.push(rangeOf(from, to))
    }
    at++
    return (c) => tests.some((test) => test(c)) !== negated
  }

  function escape(): Test {
    const found = escapedChar()
    return typeof found === 'function' ? found : oneCase(found)
  }

  /** What a backslash stands for: a character, or a class of them. */
  function escapedChar(): number | Test {
    const begin = at
    const char = chars[at + 1]
    if (char === undefined) throw problem('it ends with a backslash')
    at += 2
    const known = CLASSES[char]
    if (known) return known
    const control = CONTROLS[char]
    if (control !== undefined) return control
    if (char === 'x') {
      const hex = /^(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})/.exec(chars.slice(at, at + 8).join(''))
      if (hex === null) throw problem('\\x needs two hexadecimal digits', begin)
      at += hex[0].length
      return Number.parseInt(hex[1] ?? hex[2] ?? '', 16)
    }
    if (/[0-9]/.test(char) || char === 'k') throw problem('it refers back to a group', begin)
    if (/[A-Za-z]/.test(char)) throw problem(`\\${char} is not known`, begin)
    return codeOf(char)
  }

  function oneCase(wanted: number): Test {
    return anyCase ? rangeOf(wanted, wanted) : (c) => c === wanted
  }

  function rangeOf(from: number, to: number): Test {
    const within: Test = (c) => c >= from && c <= to
    return anyCase ? (c) => within(c) || within(lower(c)) || within(upper(c)) : within
  }
}

const isDigit: Test = (c) => c >= 48 && c <= 57
const isWord: Test = (c) => isDigit(c) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 95
const isSpace: Test = (c) => c === 9 || c === 10 || c === 12 || c === 13 || c === 32
const CLASSES: Readonly<Record<string, Test>> = { d: isDigit, w: isWord, s: isSpace, D: (c) => !isDigit(c), W: (c) => !isWord(c), S: (c) => !isSpace(c) }
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 }

function codeOf(char: string): number {
  return char.codePointAt(0) ?? 0
}

function lower(c: number): number {
  return codeOf(String.fromCodePoint(c).toLowerCase())
}

function upper(c: number): number {
  return codeOf(String.fromCodePoint(c).toUpperCase())
}

// --- the machine ---

type Step =
  | { readonly op: 'match' }
  | { readonly op: 'set'; readonly has: Test; readonly next: number }
  | { readonly op: 'begin' | 'end'; readonly next: number }
  /** Goes on at any of these. The list grows only while the machine is built. */
  | { readonly op: 'fork'; readonly ways: number[] }

/** Adds the steps that match `tree` and then go on at `next`; answers where they begin. */
function build(tree: Tree, next: number, add: (step: Step) => number): number {
  switch (tree.op) {
    case 'set':
      return add({ op: 'set', has: tree.has, next })
    case 'begin':
    case 'end':
      return add({ op: tree.op, next })
    case 'sequence':
      return tree.parts.reduceRight((after, part) => build(part, after, add), next)
    case 'either':
      return add({ op: 'fork', ways: tree.parts.map((part) => build(part, next, add)) })
    case 'repeat': {
      let entry = next
      if (tree.most === Infinity) {
        const ways = [next]
        entry = add({ op: 'fork', ways })
        ways.push(build(tree.part, entry, add))
      } else {
        for (let i = tree.least; i < tree.most; i++) entry = add({ op: 'fork', ways: [next, build(tree.part, entry, add)] })
      }
      for (let i = 0; i < tree.least; i++) entry = build(tree.part, entry, add)
      return entry
    }
  }
}

interface StateSet {
  readonly steps: readonly number[]
  readonly matched: boolean
  /** Whether the end of the text here makes it a match. */
  readonly matchedAtEnd: boolean
  readonly after: Map<number, StateSet>
}

function machine(steps: readonly Step[], start: number): (text: string) => boolean {
  let kept = new Map<string, StateSet>()
  let first = setOf([start], true)

  /** Everything that can be reached without a character. */
  function reach(from: readonly number[], atBegin: boolean, atEnd: boolean): Set<number> {
    const reached = new Set<number>()
    const open = [...from]
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (reached.has(at)) continue
      reached.add(at)
      const step = steps[at]
      if (step?.op === 'fork') open.push(...step.ways)
      else if ((step?.op === 'begin' && atBegin) || (step?.op === 'end' && atEnd)) open.push(step.next)
    }
    return reached
  }

  function setOf(from: readonly number[], atBegin: boolean): StateSet {
    const reached = reach(from, atBegin, false)
    const waiting = [...reached].filter((at) => steps[at]?.op === 'set' || steps[at]?.op === 'end').sort((a, b) => a - b)
    const isMatch = (set: Set<number>): boolean => [...set].some((at) => steps[at]?.op === 'match')
    return { steps: waiting, matched: isMatch(reached), matchedAtEnd: isMatch(reach(from, atBegin, true)), after: new Map() }
  }

  function follow(set: StateSet, codePoint: number): StateSet {
    // A match may begin at every character, so the start is always among what follows.
    const next = [start]
    for (const at of set.steps) {
      const step = steps[at]
      if (step?.op === 'set' && step.has(codePoint)) next.push(step.next)
    }
    const key = next.join()
    let found = kept.get(key)
    if (found === undefined) {
      if (kept.size >= MOST_SETS) {
        kept = new Map()
        first = setOf([start], true)
      }
      kept.set(key, (found = setOf(next, false)))
    }
    if (set.after.size < MOST_SETS) set.after.set(codePoint, found)
    return found
  }

  return (text) => {
    let set = first
    for (let i = 0; i < text.length && !set.matched; i++) {
      const codePoint = text.codePointAt(i) ?? 0
      if (codePoint > 0xffff) i++
      set = set.after.get(codePoint) ?? follow(set, codePoint)
    }
    return set.matched || set.matchedAtEnd
  }
}
