/** Syntax tree + schema -> checked expression. What CEL has and rules have not is refused by name, with a hint. */
import { closest, type Field, type FieldType, type LagoaError, type Schema } from '../../base/index.ts'
import { calculated, isNumber, type ArithmeticSign, type CompareSign, type Expression, type TextTest, type ValueType } from './expression.ts'
import { celError, parseCondition, type ASTNode, type Place } from './parse.ts'
import { compilePattern, PatternProblem } from './pattern.ts'

/** The checked form of a condition over records of this schema; throws an error that shows the place when it is none. */
export function checkCondition(place: Place, schema: Schema): Expression {
  const ast = parseCondition(place)
  const expression = check(ast, { place, schema })
  if (expression.type !== 'bool') {
    throw problem(
      { place, schema },
      'alerts.not_boolean',
      ast,
      `the expression is ${TYPE_NAMES[expression.type]}, not a condition`,
      'Compare it with something, such as co > 10.',
    )
  }
  return expression
}

interface Scope {
  readonly place: Place
  readonly schema: Schema
}

const TYPE_NAMES: Readonly<Record<ValueType, string>> = {
  bool: 'a boolean',
  int: 'a whole number',
  double: 'a number',
  string: 'text',
  timestamp: 'a timestamp',
  date: 'a date',
  json: 'JSON',
}

const FIELD_TYPES: Readonly<Record<FieldType, ValueType>> = {
  string: 'string',
  int: 'int',
  long: 'int',
  double: 'double',
  boolean: 'bool',
  timestamp: 'timestamp',
  date: 'date',
  json: 'json',
}

const SUPPORTED = 'Rules know comparisons, && || !, ? :, + - * / %, in [...], contains, startsWith, endsWith, matches, size and timestamp(...).'

function check(node: ASTNode, scope: Scope): Expression {
  switch (node.op) {
    case 'value':
      return literal(node, node.args, scope)
    case 'id':
      return column(node, node.args, scope)
    case '<':
    case '<=':
    case '>':
    case '>=':
    case '==':
    case '!=':
      return comparison(node, node.op, node.args, scope)
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return arithmetic(node.op, node.args, scope)
    case '&&':
    case '||': {
      const op = node.op === '&&' ? 'and' : 'or'
      const args = node.args.map((arg) => boolean(arg, node.op, scope))
      // a || b || c is one list, so that rules with the same parts share more.
      return { op, type: 'bool', args: args.flatMap((arg) => (arg.op === op ? arg.args : [arg])) }
    }
    case '!_':
      return { op: 'not', type: 'bool', operand: boolean(node.args, '!', scope) }
    case '-_': {
      const operand = number(node.args, '-', scope)
      if (operand.op === 'literal' && typeof operand.value === 'number') return { ...operand, value: -operand.value }
      return { op: 'negate', type: numberType(operand), operand }
    }
    case '?:':
      return choice(node, node.args, scope)
    case 'in':
      return membership(node.args, scope)
    case 'call':
      return call(node, node.args[0], node.args[1], scope)
    case 'rcall':
      return method(node, node.args[0], node.args[1], node.args[2], scope)
    case '.':
    case '.?':
      return refuseSelection(node, node.args, scope)
    case '[]':
    case '[?]':
      throw unsupported(scope, node, 'an index [...] is not something rules can use', SUPPORTED)
    case 'list':
      throw unsupported(scope, node, 'a list can stand only to the right of `in`', 'Write field in [1, 2, 3].')
    case 'map':
      throw unsupported(scope, node, 'a map {...} is not something rules can use', SUPPORTED)
  }
}

function literal(node: ASTNode, value: unknown, scope: Scope): Expression {
  if (typeof value === 'boolean') return { op: 'literal', type: 'bool', value: value ? 1 : 0 }
  if (typeof value === 'string') return { op: 'literal', type: 'string', value }
  if (typeof value === 'number') return { op: 'literal', type: 'double', value }
  if (typeof value === 'bigint') {
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw problem(
        scope,
        'alerts.cel_type',
        node,
        `${value} is beyond 2^53, where whole numbers stop being exact`,
        'Write it with a decimal point to compare with the nearest double.',
      )
    }
    return { op: 'literal', type: 'int', value: Number(value) }
  }
  if (value === null)
    throw problem(scope, 'alerts.cel_type', node, 'null can only be compared with == or !=', 'Write field == null to ask whether there is a reading.')
  if (value instanceof Uint8Array) throw unsupported(scope, node, 'bytes b"..." are not something rules can use', 'Write text without the b.')
  throw unsupported(scope, node, 'an unsigned number is not something rules can use', 'Leave out the u at its end.')
}

function column(node: ASTNode, name: string, scope: Scope): Expression {
  return { op: 'column', type: FIELD_TYPES[field(node, name, scope).type], name }
}

function field(node: ASTNode, name: string, scope: Scope): Field {
  const found = Object.hasOwn(scope.schema, name) ? scope.schema[name] : undefined
  if (found) return found
  const near = closest(name, Object.keys(scope.schema))
  const hint = near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The stream has the fields ${Object.keys(scope.schema).slice(0, 30).join(', ')}.`
  throw problem(scope, 'alerts.unknown_field', node, `the stream has no field "${name}"`, hint)
}

function comparison(node: ASTNode, sign: CompareSign, [a, b]: readonly [ASTNode, ASTNode], scope: Scope): Expression {
  const nullSide = isNull(a) ? b : isNull(b) ? a : null
  if (nullSide) return nullTest(node, sign, nullSide, scope)
  const raw = { left: check(a, scope), right: check(b, scope) }
  const left = asDate(raw.left, raw.right, a, scope)
  const right = asDate(raw.right, raw.left, b, scope)
  if (left.type === 'json' || right.type === 'json') {
    throw problem(
      scope,
      'alerts.cel_type',
      left.type === 'json' ? a : b,
      'a JSON field can only be compared with null',
      'Declare what the rule needs as a field of its own in the stream.',
    )
  }
  if (left.type !== right.type && !(isNumber(left.type) && isNumber(right.type))) {
    const time = left.type === 'timestamp' || right.type === 'timestamp'
    throw problem(
      scope,
      'alerts.cel_type',
      node,
      `${TYPE_NAMES[left.type]} cannot be compared with ${TYPE_NAMES[right.type]}`,
      time ? "Write an instant as timestamp('2026-01-31T12:00:00Z')." : typeHint(left.type, right.type),
    )
  }
  if (left.type === 'bool' && sign !== '==' && sign !== '!=') {
    throw problem(scope, 'alerts.cel_type', node, `booleans have no order for ${sign}`, 'Compare one thing at a time: write 1 < x && x < 5, not 1 < x < 5.')
  }
  return { op: 'compare', type: 'bool', sign, left, right }
}

function nullTest(node: ASTNode, sign: CompareSign, side: ASTNode, scope: Scope): Expression {
  if (sign !== '==' && sign !== '!=') throw problem(scope, 'alerts.cel_type', node, `null has no order for ${sign}`, 'Write field == null or field != null.')
  if (isNull(side)) throw problem(scope, 'alerts.cel_type', node, 'null is compared with itself', 'Write field == null to ask whether there is a reading.')
  const test: Expression = { op: 'isNull', type: 'bool', operand: check(side, scope) }
  return sign === '==' ? test : { op: 'not', type: 'bool', operand: test }
}

/** A day is written as text beside a date field: `day >= '2026-01-31'`. */
function asDate(e: Expression, other: Expression, node: ASTNode, scope: Scope): Expression {
  if (other.type !== 'date' || e.op !== 'literal' || typeof e.value !== 'string') return e
  const days = Date.parse(`${e.value}T00:00:00Z`) / 86_400_000
  if (!/^\d{4}-\d\d-\d\d$/.test(e.value) || !Number.isInteger(days) || new Date(days * 86_400_000).toISOString().slice(0, 10) !== e.value) {
    throw problem(scope, 'alerts.cel_type', node, `"${e.value}" is no calendar day`, "Write a day as 'YYYY-MM-DD'.")
  }
  return { op: 'literal', type: 'date', value: days }
}

function arithmetic(sign: ArithmeticSign, [a, b]: readonly [ASTNode, ASTNode], scope: Scope): Expression {
  const left = number(a, sign, scope)
  const right = number(b, sign, scope)
  const type = left.type === 'int' && right.type === 'int' ? 'int' : 'double'
  // A limit that is calculated from literals, such as 5 * 60, is a plain limit to the evaluator and to charts.
  const value =
    left.op === 'literal' && right.op === 'literal' && typeof left.value === 'number' && typeof right.value === 'number'
      ? calculated(sign, type === 'int', left.value, right.value)
      : Number.NaN
  return Number.isFinite(value) ? { op: 'literal', type, value } : { op: 'arithmetic', type, sign, left, right }
}

function choice(node: ASTNode, [a, b, c]: readonly [ASTNode, ASTNode, ASTNode], scope: Scope): Expression {
  const condition = boolean(a, '? :', scope)
  const yes = check(b, scope)
  const no = check(c, scope)
  const type = yes.type === no.type ? yes.type : isNumber(yes.type) && isNumber(no.type) ? 'double' : null
  if (type === null) {
    throw problem(scope, 'alerts.cel_type', node, `the two results of ? : are ${TYPE_NAMES[yes.type]} and ${TYPE_NAMES[no.type]}`, 'Give both the same type.')
  }
  return { op: 'choose', type, condition, yes, no }
}

function membership([a, b]: readonly [ASTNode, ASTNode], scope: Scope): Expression {
  if (b.op !== 'list') throw unsupported(scope, b, '`in` needs a list of literals to its right', "Write field in ['a', 'b'], or text.contains('part').")
  const operand = check(a, scope)
  if (operand.type === 'json' || operand.type === 'bool') {
    throw problem(
      scope,
      'alerts.cel_type',
      a,
      `${TYPE_NAMES[operand.type]} cannot be looked up in a list`,
      'Use a field of text, numbers, dates or timestamps.',
    )
  }
  const list = b.args.map((item) => {
    const value = isNull(item) ? null : asDate(check(item, scope), operand, item, scope)
    if (value === null || value.op !== 'literal')
      throw unsupported(scope, item, 'the list of `in` can hold only literals', 'Write each comparison out with ||.')
    if (value.type !== operand.type && !(isNumber(value.type) && isNumber(operand.type))) {
      throw problem(
        scope,
        'alerts.cel_type',
        item,
        `${TYPE_NAMES[value.type]} is looked for among ${TYPE_NAMES[operand.type]}`,
        typeHint(value.type, operand.type),
      )
    }
    return value.value
  })
  return { op: 'in', type: 'bool', operand, list }
}

function call(node: ASTNode, name: string, args: readonly ASTNode[], scope: Scope): Expression {
  const [first] = args
  if (name === 'size' && first && args.length === 1) return { op: 'size', type: 'int', text: text(first, 'size', scope) }
  if (name === 'timestamp' && first && args.length === 1) return instant(first, scope)
  if (name === 'timestamp' || name === 'size') throw problem(scope, 'alerts.cel_type', node, `${name}(...) takes one argument`, SUPPORTED)
  if (METHODS.includes(name)) throw unsupported(scope, node, `${name} is called on a text`, `Write field.${name}('...').`)
  if (name === 'int' || name === 'double' || name === 'dyn')
    throw unsupported(scope, node, `the function ${name}(...) is not something rules can use`, 'Whole numbers and doubles compare freely: leave it out.')
  if (name === 'has') throw unsupported(scope, node, 'the function has(...) is not something rules can use', 'Write field != null.')
  if (name === 'duration')
    throw unsupported(scope, node, 'the function duration(...) is not something rules can use', "Give the rule `for: '5 min'` to ask for a time.")
  throw unsupported(scope, node, `the function ${name}(...) is not something rules can use`, suggestion(name))
}

const METHODS: readonly string[] = ['contains', 'startsWith', 'endsWith', 'matches']

function method(node: ASTNode, name: string, receiver: ASTNode, args: readonly ASTNode[], scope: Scope): Expression {
  const [first] = args
  if (name === 'size' && args.length === 0) return { op: 'size', type: 'int', text: text(receiver, 'size', scope) }
  const test = textTest(name)
  if (test !== null && first && args.length === 1) {
    return { op: 'text', type: 'bool', test, text: text(receiver, name, scope), part: text(first, name, scope) }
  }
  if (name === 'matches' && first && args.length === 1) {
    const subject = text(receiver, name, scope)
    const pattern = check(first, scope)
    if (pattern.op !== 'literal' || typeof pattern.value !== 'string')
      throw unsupported(scope, first, 'the pattern of matches must be a literal', "Write field.matches('^A[0-9]+').")
    refuseBadPattern(pattern.value, first, scope)
    return { op: 'matches', type: 'bool', text: subject, pattern: pattern.value }
  }
  if (METHODS.includes(name) || name === 'size')
    throw problem(scope, 'alerts.cel_type', node, `${name} takes ${name === 'size' ? 'no argument' : 'one argument'}`, SUPPORTED)
  throw unsupported(scope, node, `the method ${name}(...) is not something rules can use`, suggestion(name))
}

function refuseBadPattern(pattern: string, node: ASTNode, scope: Scope): void {
  try {
    compilePattern(pattern)
  } catch (error) {
    if (!(error instanceof PatternProblem)) throw error
    // Counts from the opening quote; an escape before the place would shift it, so the mark stays within the literal.
    const start = Math.min(node.start + 1 + error.at, node.end - 1)
    throw celError(
      'alerts.bad_pattern',
      scope.place,
      { start, end: start + 1 },
      `the pattern is refused: ${error.message}`,
      "Patterns are RE2's, at most 200 characters long: no back references, no looking ahead or behind.",
    )
  }
}

function textTest(name: string): TextTest | null {
  return name === 'contains' || name === 'startsWith' || name === 'endsWith' ? name : null
}

/** RFC 3339 with a zone, as CEL asks. */
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

function instant(node: ASTNode, scope: Scope): Expression {
  const argument = check(node, scope)
  if (argument.op !== 'literal' || typeof argument.value !== 'string')
    throw unsupported(scope, node, 'timestamp(...) takes a literal text', "Write timestamp('2026-01-31T12:00:00Z').")
  const value = INSTANT.test(argument.value) ? Date.parse(argument.value) : Number.NaN
  if (Number.isNaN(value))
    throw problem(scope, 'alerts.cel_type', node, `"${argument.value}" is no instant`, "Write date, time and zone, as in timestamp('2026-01-31T12:00:00Z').")
  return { op: 'literal', type: 'timestamp', value }
}

function refuseSelection(node: ASTNode, [object, name]: readonly [ASTNode, string], scope: Scope): never {
  if (object.op === 'id' && !Object.hasOwn(scope.schema, object.args) && Object.hasOwn(scope.schema, name)) {
    throw unsupported(scope, node, `"${object.args}.${name}" is not how a field is named`, `Write ${name} alone: the rule's stream is known from \`on\`.`)
  }
  if (object.op === 'id') field(object, object.args, scope)
  throw unsupported(scope, node, `rules cannot look into a value with .${name}`, 'Declare what the rule needs as a field of its own in the stream.')
}

function boolean(node: ASTNode, operator: string, scope: Scope): Expression {
  const e = check(node, scope)
  if (e.type === 'bool') return e
  throw problem(
    scope,
    'alerts.cel_type',
    node,
    `${operator} needs a condition here, and this is ${TYPE_NAMES[e.type]}`,
    'Compare it with something, such as co > 10.',
  )
}

function number(node: ASTNode, operator: string, scope: Scope): Expression {
  const e = check(node, scope)
  if (isNumber(e.type)) return e
  throw problem(scope, 'alerts.cel_type', node, `${operator} needs a number here, and this is ${TYPE_NAMES[e.type]}`, 'Only numbers can be calculated with.')
}

function text(node: ASTNode, operator: string, scope: Scope): Expression {
  const e = check(node, scope)
  if (e.type === 'string') return e
  throw problem(
    scope,
    'alerts.cel_type',
    node,
    `${operator} needs text here, and this is ${TYPE_NAMES[e.type]}`,
    'Use a field that the stream declares as t.string().',
  )
}

function numberType(e: Expression): 'int' | 'double' {
  return e.type === 'int' ? 'int' : 'double'
}

function isNull(node: ASTNode): boolean {
  return node.op === 'value' && node.args === null
}

function typeHint(a: ValueType, b: ValueType): string {
  if (a === 'string' || b === 'string')
    return isNumber(a) || isNumber(b) ? 'Leave out the quotes around a number; put quotes around text.' : 'Put both sides in the same type.'
  return 'Put both sides in the same type.'
}

function suggestion(name: string): string {
  const near = closest(name, [...METHODS, 'size', 'timestamp'])
  return near.length > 0 ? `Did you mean ${near.join(' or ')}?` : SUPPORTED
}

function problem(scope: Scope, code: string, node: ASTNode, what: string, hint: string): LagoaError {
  return celError(code, scope.place, node, what, hint)
}

function unsupported(scope: Scope, node: ASTNode, what: string, hint: string): LagoaError {
  return celError('alerts.cel_unsupported', scope.place, node, what, hint, 'unsupported')
}
