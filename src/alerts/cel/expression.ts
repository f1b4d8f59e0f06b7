/**
 * A condition after checking: plain data, every name resolved, every type known. It is what gets evaluated, shared and shown.
 *
 * Truth has three values. A field that is null, or that holds a value declared missing, is unknown; what is computed from
 * an unknown is unknown, save where logic decides without it (`true || unknown` is true). Arithmetic without a finite
 * result, such as a division by zero, is unknown too.
 */

export type ValueType = 'bool' | 'int' | 'double' | 'string' | 'timestamp' | 'date' | 'json'
export type CompareSign = '<' | '<=' | '>' | '>=' | '==' | '!='
export type ArithmeticSign = '+' | '-' | '*' | '/' | '%'

/** Timestamps are epoch milliseconds, dates days since 1970-01-01, booleans 0 or 1, as in the columns. */
export type Expression =
  | { readonly op: 'literal'; readonly type: ValueType; readonly value: number | string }
  | { readonly op: 'column'; readonly type: ValueType; readonly name: string }
  | { readonly op: 'compare'; readonly type: 'bool'; readonly sign: CompareSign; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'isNull'; readonly type: 'bool'; readonly operand: Expression }
  | { readonly op: 'and' | 'or'; readonly type: 'bool'; readonly args: readonly Expression[] }
  | { readonly op: 'not'; readonly type: 'bool'; readonly operand: Expression }
  | { readonly op: 'choose'; readonly type: ValueType; readonly condition: Expression; readonly yes: Expression; readonly no: Expression }
  | { readonly op: 'arithmetic'; readonly type: 'int' | 'double'; readonly sign: ArithmeticSign; readonly left: Expression; readonly right: Expression }
  | { readonly op: 'negate'; readonly type: 'int' | 'double'; readonly operand: Expression }
  | { readonly op: 'in'; readonly type: 'bool'; readonly operand: Expression; readonly list: readonly (number | string)[] }
  | { readonly op: 'text'; readonly type: 'bool'; readonly test: TextTest; readonly text: Expression; readonly part: Expression }
  | { readonly op: 'matches'; readonly type: 'bool'; readonly text: Expression; readonly pattern: string }
  | { readonly op: 'size'; readonly type: 'int'; readonly text: Expression }

export type TextTest = 'contains' | 'startsWith' | 'endsWith'

/** Equal texts mean equal values on every row, so that rules can share the work. */
export function canonical(e: Expression): string {
  switch (e.op) {
    case 'literal':
      return `${e.type}:${JSON.stringify(e.value)}`
    case 'column':
      return `$${JSON.stringify(e.name)}`
    case 'compare':
    case 'arithmetic':
      return `(${e.type} ${e.sign} ${canonical(e.left)} ${canonical(e.right)})`
    case 'and':
    case 'or':
      return `(${e.op} ${e.args.map(canonical).join(' ')})`
    case 'isNull':
    case 'not':
    case 'negate':
      return `(${e.op} ${canonical(e.operand)})`
    case 'choose':
      return `(? ${canonical(e.condition)} ${canonical(e.yes)} ${canonical(e.no)})`
    case 'in':
      return `(in ${canonical(e.operand)} ${JSON.stringify(e.list)})`
    case 'text':
      return `(${e.test} ${canonical(e.text)} ${canonical(e.part)})`
    case 'matches':
      return `(matches ${canonical(e.text)} ${JSON.stringify(e.pattern)})`
    case 'size':
      return `(size ${canonical(e.text)})`
  }
}

/** The fields an expression reads, in the order in which they appear. */
export function fieldsOf(e: Expression): string[] {
  const names = new Set<string>()
  collect(e, names)
  return [...names]
}

function collect(e: Expression, into: Set<string>): void {
  switch (e.op) {
    case 'literal':
      return
    case 'column':
      into.add(e.name)
      return
    case 'compare':
    case 'arithmetic':
      collect(e.left, into)
      collect(e.right, into)
      return
    case 'and':
    case 'or':
      for (const arg of e.args) collect(arg, into)
      return
    case 'isNull':
    case 'not':
    case 'negate':
    case 'in':
      collect(e.operand, into)
      return
    case 'choose':
      collect(e.condition, into)
      collect(e.yes, into)
      collect(e.no, into)
      return
    case 'text':
      collect(e.text, into)
      collect(e.part, into)
      return
    case 'matches':
    case 'size':
      collect(e.text, into)
  }
}

/** A plain `field op number` of a condition: a line in a chart. */
export interface Limit {
  readonly field: string
  readonly op: '>' | '>=' | '<' | '<='
  readonly value: number
}

const MIRRORED = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' } as const
const NEGATED = { '<': '>=', '<=': '>', '>': '<=', '>=': '<' } as const

/** The plain comparisons of a number field with a number, anywhere below `&&`, `||` and `!`. */
export function limitsOf(e: Expression, negated: boolean = false): Limit[] {
  if (e.op === 'and' || e.op === 'or') return e.args.flatMap((arg) => limitsOf(arg, negated))
  if (e.op === 'not') return limitsOf(e.operand, !negated)
  if (e.op !== 'compare' || e.sign === '==' || e.sign === '!=') return []
  const sign = negated ? NEGATED[e.sign] : e.sign
  const { left, right } = e
  if (left.op === 'column' && isNumber(left.type) && right.op === 'literal' && typeof right.value === 'number') {
    return [{ field: left.name, op: sign, value: right.value }]
  }
  if (right.op === 'column' && isNumber(right.type) && left.op === 'literal' && typeof left.value === 'number') {
    return [{ field: right.name, op: MIRRORED[sign], value: left.value }]
  }
  return []
}

export function isNumber(type: ValueType): type is 'int' | 'double' {
  return type === 'int' || type === 'double'
}

/** Whole numbers divide towards zero, as CEL asks. */
export function calculated(sign: ArithmeticSign, whole: boolean, a: number, b: number): number {
  switch (sign) {
    case '+':
      return a + b
    case '-':
      return a - b
    case '*':
      return a * b
    case '/':
      return whole ? Math.trunc(a / b) : a / b
    case '%':
      return a % b
  }
}
