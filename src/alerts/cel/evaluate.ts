/**
 * Evaluates many conditions over the rows of one schema, a stretch of rows at a time.
 *
 * Each distinct subexpression is one node, whoever uses it, and is worked out at most once a stretch and only when asked for.
 * Before any row is looked at, the least and greatest value of each column tell which results a condition can have at all:
 * a limit that nothing in the stretch reaches costs no loop. That is what makes a thousand quiet rules cheap.
 */
import { bug, type Field, type RowColumn, type Rows, type Schema } from '../../base/index.ts'
import { calculated, canonical, type ArithmeticSign, type CompareSign, type Expression, type TextTest } from './expression.ts'
import { characters, comparePairs, compareWith, copyColumn, TEXT_COMPARISONS, TEXT_TESTS } from './loops.ts'
import {
  AND_OUTCOMES,
  ANYTHING,
  CAN_BE_FALSE,
  CAN_BE_TRUE,
  CAN_BE_UNKNOWN,
  compareOutcomes,
  FALSE,
  NOT_OUTCOMES,
  ONLY,
  OR_OUTCOMES,
  outcomesOf,
  TRUE,
  UNKNOWN,
  type Bounds,
} from './outcomes.ts'
import { compilePattern } from './pattern.ts'

/** Rows in a stretch: small enough that its columns and results stay in the processor's cache, and that quiet stretches are common. */
export const STRETCH = 2048

export interface Evaluator {
  /** Looks at rows [from, from + count) of a batch from now on; answers count, at most STRETCH. */
  load(rows: Rows, from: number): number
  /** Whether the condition may be true for any of the loaded rows; when not, there is no need for its results. */
  canBeTrue(condition: number): boolean
  /** FALSE, TRUE or UNKNOWN per loaded row. Shared and overwritten by the next `load`: read it before that, and never write. */
  results(condition: number): Uint8Array
}

/** An evaluator for these conditions, which are then called by their index. */
export function createEvaluator(schema: Schema, conditions: readonly Expression[]): Evaluator {
  const frame: Frame = { rows: { count: 0, columns: [] }, from: 0, count: 0, stretch: 0 }
  const builder = createBuilder(schema, frame)
  const nodes = conditions.map(builder.truth)
  const node = (condition: number): TruthNode => nodes[condition] ?? noSuchCondition(condition)
  return {
    load(rows, from) {
      frame.rows = rows
      frame.from = from
      frame.count = Math.max(0, Math.min(STRETCH, rows.count - from))
      frame.stretch++
      return frame.count
    },
    canBeTrue: (condition) => (node(condition).outcomes() & CAN_BE_TRUE) !== 0,
    results: (condition) => node(condition).results(),
  }
}

/** The results of one condition over all rows. */
export function evaluate(schema: Schema, condition: Expression, rows: Rows): Uint8Array {
  const evaluator = createEvaluator(schema, [condition])
  const all = new Uint8Array(rows.count)
  for (let from = 0; from < rows.count; from += STRETCH) {
    const count = evaluator.load(rows, from)
    all.set(evaluator.results(0).subarray(0, count), from)
  }
  return all
}

function noSuchCondition(condition: number): never {
  throw bug('alerts.no_such_condition', `The evaluator has no condition ${condition}`)
}

/** The rows in view. `stretch` changes with every load, which is how nodes know that what they kept is old. */
interface Frame {
  rows: Rows
  from: number
  count: number
  stretch: number
}

interface TruthNode {
  /** Every result that occurs in the loaded rows is in this set; it may hold more. */
  outcomes(): number
  results(): Uint8Array
}

/** Numbers, with NaN for unknown: what the log holds and arithmetic answers is finite no. */
interface NumberNode {
  readonly constant: number | null
  /** Bounds of the known values; `least > greatest` when none is known. */
  readonly bounds: Bounds
  values(): Float64Array
  /** Brings `bounds` up to date with the loaded rows. */
  measure(): void
}

interface TextNode {
  readonly constant: string | null
  values(): readonly (string | null)[]
}

interface Builder {
  truth(e: Expression): TruthNode
}

function createBuilder(schema: Schema, frame: Frame): Builder {
  const truths = shared(buildTruth)
  const numbers = shared(buildNumber)
  const texts = shared(buildText)
  return { truth: truths }

  function buildTruth(e: Expression): TruthNode {
    switch (e.op) {
      case 'literal':
        return constantTruth(e.value === 1 ? TRUE : FALSE)
      case 'column':
        return truthOfNumber(numbers(e))
      case 'compare':
        return e.left.type === 'string' ? compareTexts(e.sign, texts(e.left), texts(e.right)) : compareNumbers(e.sign, comparable(e.left), comparable(e.right))
      case 'isNull':
        return nullTest(e.operand)
      case 'and':
        return e.args.map(truths).reduce(and)
      case 'or':
        return e.args.map(truths).reduce(or)
      case 'not':
        return not(truths(e.operand))
      case 'choose':
        return chooseTruth(truths(e.condition), truths(e.yes), truths(e.no))
      case 'in':
        return e.operand.type === 'string' ? textIn(texts(e.operand), e.list) : numberIn(numbers(e.operand), e.list)
      case 'text':
        return testTexts(e.test, texts(e.text), texts(e.part))
      case 'matches':
        return matchTexts(texts(e.text), e.pattern)
      case 'arithmetic':
      case 'negate':
      case 'size':
        throw bug('alerts.not_boolean', `An expression of type ${e.type} was evaluated as a condition`)
    }
  }

  /** Booleans compare as 0 and 1, with NaN for unknown. */
  function comparable(e: Expression): NumberNode {
    return e.type === 'bool' && e.op !== 'column' && e.op !== 'literal' ? numberOfTruth(truths(e)) : numbers(e)
  }

  function buildNumber(e: Expression): NumberNode {
    switch (e.op) {
      case 'literal':
        return constantNumber(typeof e.value === 'number' ? e.value : Number.NaN)
      case 'column':
        return numberColumn(e.name)
      case 'arithmetic':
        return calculate(e.sign, e.type === 'int', numbers(e.left), numbers(e.right))
      case 'negate':
        return calculate('-', false, constantNumber(0), numbers(e.operand))
      case 'choose':
        return chooseNumber(truths(e.condition), numbers(e.yes), numbers(e.no))
      case 'size':
        return sizes(texts(e.text))
      default:
        throw bug('alerts.not_number', `An expression of type ${e.type} was evaluated as a number`)
    }
  }

  function buildText(e: Expression): TextNode {
    if (e.op === 'literal') return { constant: String(e.value), values: () => [] }
    if (e.op === 'column') return textColumn(e.name)
    if (e.op === 'choose') return chooseText(truths(e.condition), texts(e.yes), texts(e.no))
    throw bug('alerts.not_text', `An expression of type ${e.type} was evaluated as text`)
  }

  // --- columns ---

  function columnOf(name: string): RowColumn {
    const column = frame.rows.columns.find((candidate) => candidate.name === name)
    if (column) return column
    throw bug('alerts.no_such_column', `A batch of records has no column "${name}"`)
  }

  function numberColumn(name: string): NumberNode {
    const missing = numbersOf(fieldOf(schema, name))
    const bounds: Bounds = { least: Infinity, greatest: -Infinity, unknowns: false }
    const values = new Float64Array(STRETCH)
    const fill = once(frame, () => {
      const column = columnOf(name)
      if (column.kind !== 'number') throw bug('alerts.no_such_column', `The column "${name}" of a batch of records holds text, not numbers`)
      copyColumn(column.values, column.valid, missing, frame.from, frame.count, values, bounds)
    })
    return {
      constant: null,
      bounds,
      measure: fill,
      values: () => {
        fill()
        return values
      },
    }
  }

  function textColumn(name: string): TextNode {
    const missing = fieldOf(schema, name).missingValues
    let values: (string | null)[] = []
    const fill = once(frame, () => {
      const column = columnOf(name)
      if (column.kind !== 'text') throw bug('alerts.no_such_column', `The column "${name}" of a batch of records holds numbers, not text`)
      values = column.values.slice(frame.from, frame.from + frame.count)
      if (missing.length > 0) values = values.map((value) => (value !== null && missing.includes(value) ? null : value))
    })
    return {
      constant: null,
      values: () => {
        fill()
        return values
      },
    }
  }

  // --- truth ---

  function constantTruth(value: number): TruthNode {
    const all = new Uint8Array(STRETCH).fill(value)
    return { outcomes: () => 1 << value, results: () => all }
  }

  /** A node that fills its own results by `loop`, unless its outcomes leave only one. */
  function truthNode(outcomes: () => number, loop: (out: Uint8Array, count: number) => void): TruthNode {
    let kept = ANYTHING
    let out: Uint8Array | null = null
    const measure = once(frame, () => {
      kept = outcomes()
    })
    const fill = once(frame, () => {
      measure()
      out ??= new Uint8Array(STRETCH)
      const only = ONLY[kept]
      if (only === undefined) loop(out, frame.count)
      else out.fill(only, 0, frame.count)
    })
    return {
      outcomes: () => {
        measure()
        return kept
      },
      results: () => {
        fill()
        return out ?? noResults
      },
    }
  }

  function truthOfNumber(a: NumberNode): TruthNode {
    return truthNode(
      () => {
        a.measure()
        return outcomesOf(a.bounds.greatest >= 1, a.bounds.least < 1, a.bounds.unknowns)
      },
      (out, count) => {
        const values = a.values()
        for (let i = 0; i < count; i++) {
          const v = values[i] ?? 0
          out[i] = v === v ? v : UNKNOWN
        }
      },
    )
  }

  function compareNumbers(sign: CompareSign, a: NumberNode, b: NumberNode): TruthNode {
    if (a.constant !== null && b.constant === null) return compareNumbers(MIRRORED[sign], b, a)
    return truthNode(
      () => {
        a.measure()
        b.measure()
        return compareOutcomes(sign, a.bounds, b.bounds)
      },
      (out, count) => {
        if (b.constant === null) comparePairs(sign, a.values(), b.values(), out, count)
        else compareWith(sign, a.values(), b.constant, a.bounds.unknowns, out, count)
      },
    )
  }

  function nullTest(operand: Expression): TruthNode {
    if (operand.type === 'string' || operand.type === 'json') {
      const node = texts(operand)
      return truthNode(
        () => CAN_BE_FALSE | CAN_BE_TRUE,
        (out, count) => {
          const values = node.values()
          for (let i = 0; i < count; i++) out[i] = node.constant === null && (values[i] ?? null) === null ? TRUE : FALSE
        },
      )
    }
    const node = comparable(operand)
    return truthNode(
      () => {
        node.measure()
        return outcomesOf(node.bounds.unknowns, node.bounds.least <= node.bounds.greatest, false)
      },
      (out, count) => {
        const values = node.values()
        for (let i = 0; i < count; i++) out[i] = Number.isNaN(values[i] ?? 0) ? TRUE : FALSE
      },
    )
  }

  function and(a: TruthNode, b: TruthNode): TruthNode {
    return truthNode(
      () => AND_OUTCOMES[a.outcomes()]?.[b.outcomes()] ?? ANYTHING,
      (out, count) => {
        const x = a.results()
        const y = b.results()
        for (let i = 0; i < count; i++) {
          const v = x[i] ?? 0
          const w = y[i] ?? 0
          // False wins, then unknown: with 0 false, 1 true, 2 unknown that is 0 if either is 0, else the greater.
          out[i] = v === 0 || w === 0 ? 0 : v > w ? v : w
        }
      },
    )
  }

  function or(a: TruthNode, b: TruthNode): TruthNode {
    return truthNode(
      () => OR_OUTCOMES[a.outcomes()]?.[b.outcomes()] ?? ANYTHING,
      (out, count) => {
        const x = a.results()
        const y = b.results()
        // True wins, then unknown: either has bit 0, or else the greater.
        for (let i = 0; i < count; i++) {
          const both = (x[i] ?? 0) | (y[i] ?? 0)
          out[i] = both === 3 ? 1 : both
        }
      },
    )
  }

  function not(a: TruthNode): TruthNode {
    return truthNode(
      () => NOT_OUTCOMES[a.outcomes()] ?? ANYTHING,
      (out, count) => {
        const x = a.results()
        for (let i = 0; i < count; i++) {
          const v = x[i] ?? 0
          out[i] = v === UNKNOWN ? UNKNOWN : 1 - v
        }
      },
    )
  }

  function chooseTruth(condition: TruthNode, yes: TruthNode, no: TruthNode): TruthNode {
    return truthNode(
      () => {
        const c = condition.outcomes()
        const unknown = c & CAN_BE_UNKNOWN ? yes.outcomes() | no.outcomes() | CAN_BE_UNKNOWN : 0
        return (c & CAN_BE_TRUE ? yes.outcomes() : 0) | (c & CAN_BE_FALSE ? no.outcomes() : 0) | unknown
      },
      (out, count) => {
        const c = condition.results()
        const x = yes.results()
        const y = no.results()
        for (let i = 0; i < count; i++) {
          const v = x[i] ?? 0
          const w = y[i] ?? 0
          out[i] = c[i] === TRUE ? v : c[i] === FALSE ? w : v === w ? v : UNKNOWN
        }
      },
    )
  }

  function numberIn(a: NumberNode, list: readonly (number | string)[]): TruthNode {
    const wanted = new Set(list.filter((item) => typeof item === 'number'))
    const least = Math.min(...wanted)
    const greatest = Math.max(...wanted)
    return truthNode(
      () => {
        a.measure()
        const { bounds } = a
        return outcomesOf(bounds.least <= greatest && bounds.greatest >= least, bounds.least <= bounds.greatest, bounds.unknowns)
      },
      (out, count) => {
        const values = a.values()
        for (let i = 0; i < count; i++) {
          const v = values[i] ?? 0
          out[i] = v === v ? (wanted.has(v) ? TRUE : FALSE) : UNKNOWN
        }
      },
    )
  }

  function compareTexts(sign: CompareSign, a: TextNode, b: TextNode): TruthNode {
    return pairsOfTexts(a, b, TEXT_COMPARISONS[sign])
  }

  function testTexts(test: TextTest, a: TextNode, b: TextNode): TruthNode {
    return pairsOfTexts(a, b, TEXT_TESTS[test])
  }

  function pairsOfTexts(a: TextNode, b: TextNode, holds: (x: string, y: string) => boolean): TruthNode {
    return truthNode(
      () => ANYTHING,
      (out, count) => {
        const xs = a.values()
        const ys = b.values()
        for (let i = 0; i < count; i++) {
          const x = a.constant ?? xs[i] ?? null
          const y = b.constant ?? ys[i] ?? null
          out[i] = x === null || y === null ? UNKNOWN : holds(x, y) ? TRUE : FALSE
        }
      },
    )
  }

  function eachText(a: TextNode, holds: (x: string) => boolean): TruthNode {
    return pairsOfTexts(a, { constant: '', values: () => [] }, holds)
  }

  function textIn(a: TextNode, list: readonly (number | string)[]): TruthNode {
    const wanted = new Set(list.filter((item) => typeof item === 'string'))
    return eachText(a, (x) => wanted.has(x))
  }

  function matchTexts(a: TextNode, pattern: string): TruthNode {
    return eachText(a, compilePattern(pattern))
  }

  // --- numbers ---

  function constantNumber(value: number): NumberNode {
    const all = new Float64Array(STRETCH).fill(value)
    return { constant: value, bounds: { least: value, greatest: value, unknowns: false }, measure: () => undefined, values: () => all }
  }

  /** A node that is computed row by row; its bounds are not worked out. */
  function numberNode(loop: (out: Float64Array, count: number) => void): NumberNode {
    const values = new Float64Array(STRETCH)
    const fill = once(frame, () => loop(values, frame.count))
    return {
      constant: null,
      bounds: { least: -Infinity, greatest: Infinity, unknowns: true },
      measure: () => undefined,
      values: () => {
        fill()
        return values
      },
    }
  }

  function numberOfTruth(a: TruthNode): NumberNode {
    return numberNode((out, count) => {
      const x = a.results()
      for (let i = 0; i < count; i++) out[i] = x[i] === UNKNOWN ? Number.NaN : (x[i] ?? 0)
    })
  }

  function calculate(sign: ArithmeticSign, whole: boolean, a: NumberNode, b: NumberNode): NumberNode {
    return numberNode((out, count) => {
      const x = a.values()
      const y = b.values()
      for (let i = 0; i < count; i++) {
        const value = calculated(sign, whole, x[i] ?? 0, y[i] ?? 0)
        out[i] = Number.isFinite(value) ? value : Number.NaN
      }
    })
  }

  function chooseNumber(condition: TruthNode, yes: NumberNode, no: NumberNode): NumberNode {
    return numberNode((out, count) => {
      const c = condition.results()
      const x = yes.values()
      const y = no.values()
      for (let i = 0; i < count; i++) {
        const v = x[i] ?? 0
        const w = y[i] ?? 0
        out[i] = c[i] === TRUE ? v : c[i] === FALSE ? w : v === w ? v : Number.NaN
      }
    })
  }

  function sizes(a: TextNode): NumberNode {
    return numberNode((out, count) => {
      const values = a.values()
      for (let i = 0; i < count; i++) {
        const text = a.constant ?? values[i] ?? null
        out[i] = text === null ? Number.NaN : characters(text)
      }
    })
  }

  function chooseText(condition: TruthNode, yes: TextNode, no: TextNode): TextNode {
    let values: (string | null)[] = []
    const fill = once(frame, () => {
      const c = condition.results()
      const xs = yes.values()
      const ys = no.values()
      values = Array.from({ length: frame.count }, (_, i) => {
        const x = yes.constant ?? xs[i] ?? null
        const y = no.constant ?? ys[i] ?? null
        return c[i] === TRUE ? x : c[i] === FALSE ? y : x === y ? x : null
      })
    })
    return {
      constant: null,
      values: () => {
        fill()
        return values
      },
    }
  }
}

/** One node per distinct expression. */
function shared<Node>(build: (e: Expression) => Node): (e: Expression) => Node {
  const known = new Map<string, Node>()
  return (e) => {
    const key = canonical(e)
    const found = known.get(key)
    if (found !== undefined) return found
    const node = build(e)
    known.set(key, node)
    return node
  }
}

/** Runs `work` once a stretch. */
function once(frame: Frame, work: () => void): () => void {
  let done = -1
  return () => {
    if (done === frame.stretch) return
    work()
    // Only now: work that failed is tried again when it is next asked for.
    done = frame.stretch
  }
}

const noResults = new Uint8Array(STRETCH).fill(UNKNOWN)

const MIRRORED: Readonly<Record<CompareSign, CompareSign>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=', '==': '==', '!=': '!=' }

function fieldOf(schema: Schema, name: string): Field {
  const field = schema[name]
  if (field) return field
  throw bug('alerts.no_such_column', `The schema has no field "${name}"`)
}

function numbersOf(field: Field): readonly number[] {
  return field.missingValues.filter((value) => typeof value === 'number')
}
