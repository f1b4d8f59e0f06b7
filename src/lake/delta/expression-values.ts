/**
 * Values of expressions: DuckDB SQL with its Delta type, and the operators on them. Every conversion that Spark would do by itself is
 * written out; where the two would differ, the construct is refused.
 */
import { duckType, typeName } from './schema.ts'
import { literal } from './sql.ts'
import { daysOf, microsOf } from './stats.ts'
import type { DeltaType } from './types.ts'

export interface Value {
  readonly sql: string
  /** `void` for a bare NULL. */
  readonly type: DeltaType
  /** Of a text literal, which takes the type of what it stands beside. */
  readonly text?: string
}

/** The name of a construct whose meaning is not known to be the same. */
export class Refused extends Error {}

export const NULL: Value = { sql: 'null', type: 'void' }

export const WHOLE: readonly DeltaType[] = ['byte', 'short', 'integer', 'long']
const INSTANTS: readonly DeltaType[] = ['timestamp', 'timestamp_ntz']
export const TYPE_NAMES: ReadonlyMap<string, string> = new Map([
  ['tinyint', 'byte'],
  ['byte', 'byte'],
  ['smallint', 'short'],
  ['short', 'short'],
  ['int', 'integer'],
  ['integer', 'integer'],
  ['bigint', 'long'],
  ['long', 'long'],
  ['float', 'float'],
  ['real', 'float'],
  ['double', 'double'],
  ['string', 'string'],
  ['boolean', 'boolean'],
  ['date', 'date'],
  ['timestamp', 'timestamp'],
  ['timestamp_ntz', 'timestamp_ntz'],
])

export function condition(node: Value): string {
  if (node.type === 'boolean') return node.sql
  if (node.type === 'void') return 'null::boolean'
  throw new Refused(`a value of type ${typeName(node.type)} as a condition`)
}

export function comparison(operator: string, left: Value, right: Value): Value {
  const [a, b] = alike(left, right, `a comparison of ${typeName(left.type)} with ${typeName(right.type)}`)
  if (typeof a.type !== 'string') throw new Refused(`a comparison of values of type ${typeName(a.type)}`)
  const sign = operator === '<=>' ? 'is not distinct from' : operator === '==' ? '=' : operator === '!=' ? '<>' : operator
  return { sql: `(${a.sql} ${sign} ${b.sql})`, type: 'boolean' }
}

/** Of regular expressions, those parts that Java and RE2 read alike, with what Java means by a dot and by an end spelled out. */
export function pattern(left: Value, pattern: Value): Value {
  if (pattern.text === undefined) throw new Refused('RLIKE with a computed pattern')
  const parts = /^(\^?)((?:[\w @%:,;/<>=~'"#&!-]|\.|\\[dDwW.+*?()[\]{}|^$\\/-]|\[\^?[\w .@%:,+-]+\]|[()|]|[*+?]|\{\d+(?:,\d*)?\})*)(\$?)$/.exec(pattern.text)
  if (!parts || pattern.text.includes('(?')) throw new Refused(`the regular expression ${pattern.text}`)
  const [, start = '', middle = '', end = ''] = parts
  const spelled = middle.replace(/\\.|\[[^\]]*\]|\./g, (part) => (part === '.' ? '[^\\n\\r\\x{85}\\x{2028}\\x{2029}]' : part))
  const re2 = `${start}${spelled}${end === '' ? '' : '(?:\\r\\n|[\\n\\r\\x{85}\\x{2028}\\x{2029}])?\\z'}`
  return { sql: `regexp_matches(${textual(left, 'RLIKE')}, ${literal(re2)})`, type: 'boolean' }
}

/** An overflow is an error here, where Spark may give another number or none: no row gets in by it. */
export function arithmetic(sign: string, left: Value, right: Value): Value {
  if (sign === '*' && (isDecimal(left.type) || isDecimal(right.type)) && !isFloat(left.type) && !isFloat(right.type)) return decimalProduct(left, right)
  const [a, b] = alike(numeric(left, sign), numeric(right, sign), `${sign} of ${typeName(left.type)} and ${typeName(right.type)}`, sign)
  const type = typeof a.type === 'string' ? a.type : 'void'
  if (type === 'void') return { sql: 'null::double', type: 'double' }
  if (isDecimal(type) && sign !== '+' && sign !== '-') throw new Refused(`${sign} of decimals`)
  if (isDecimal(type)) return { sql: `(${a.sql} ${sign} ${b.sql})`, type: grown(type) ?? tooLong() }
  // Division gives a double whatever it divides; by zero it gives null.
  if (sign === '/') return { sql: `(cast(${a.sql} as double) / nullif(cast(${b.sql} as double), 0))`, type: 'double' }
  if (sign === 'div' && !WHOLE.includes(type)) throw new Refused(`div of ${type}`)
  if (sign === 'div') return { sql: `(cast(${a.sql} as bigint) // nullif(cast(${b.sql} as bigint), 0))`, type: 'long' }
  if (sign === '%') return { sql: `(${a.sql} % nullif(${b.sql}, 0))`, type }
  return { sql: `(${a.sql} ${sign} ${b.sql})`, type }
}

function decimalProduct(left: Value, right: Value): Value {
  const [a, b] = [digitsOf(numeric(left, '*').type), digitsOf(numeric(right, '*').type)]
  const scale = a.scale + b.scale
  const width = a.whole + b.whole + scale
  if (width > 37) tooLong()
  const sql = [left, right].map((node) => (isDecimal(node.type) ? node.sql : `cast(${node.sql} as DECIMAL(${digitsOf(node.type).whole},0))`)).join(' * ')
  return { sql: `(${sql})`, type: `decimal(${width},${scale})` }
}

function tooLong(): never {
  throw new Refused('decimals of more than 38 digits')
}

export function numeric(node: Value, what: string): Value {
  if (isNumeric(node.type) || node.type === 'void') return node
  throw new Refused(`${what} of ${typeName(node.type)}`)
}

export function textual(node: Value, what: string): string {
  if (node.type === 'string') return node.sql
  if (node.type === 'void') return 'null::varchar'
  throw new Refused(`${what} of ${typeName(node.type)}`)
}

export function element(node: Value, key: Value): Value {
  if (typeof node.type !== 'string' && node.type.type === 'array' && /^cast\(\d+ as INTEGER\)$/.test(key.sql))
    return { sql: `list_extract(${node.sql}, ${key.sql} + 1)`, type: node.type.elementType }
  if (typeof node.type !== 'string' && node.type.type === 'map' && node.type.keyType === 'string' && key.text !== undefined)
    return { sql: `map_extract_value(${node.sql}, ${key.sql})`, type: node.type.valueType }
  throw new Refused('an index that is no whole number of an array and no text key of a map')
}

export function number(text: string): Value {
  const match = /^(-?)((?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)(bd|[lsydf])?$/i.exec(text)
  const [, sign = '', digits = '', suffix = ''] = match ?? []
  const value = sign + digits
  const typed = { l: 'long', s: 'short', y: 'byte', d: 'double', f: 'float' }[suffix.toLowerCase()]
  if (/e/i.test(digits) && suffix === '') return { sql: `cast('${value}' as DOUBLE)`, type: 'double' }
  if (typed === 'double' || typed === 'float') return { sql: `cast('${value}' as ${duckType(typed)})`, type: typed }
  if (/^\d+$/.test(digits) && suffix.toLowerCase() !== 'bd') {
    const whole = BigInt(value)
    const fits = typed ?? (inRange(whole, 32) ? 'integer' : inRange(whole, 64) ? 'long' : null)
    if (fits !== null) return { sql: `cast(${value} as ${duckType(fits)})`, type: fits }
    if (digits.length <= 38) return { sql: `cast('${value}' as DECIMAL(${digits.length},0))`, type: `decimal(${digits.length},0)` }
  }
  const decimal = /^(\d*)\.?(\d*)$/.exec(digits)
  if (!decimal || typed) throw new Refused(`the number ${text}`)
  const fraction = decimal[2] ?? ''
  const width = Math.max((decimal[1] ?? '').replace(/^0+/, '').length + fraction.length, fraction.length, 1)
  if (width > 38) throw new Refused(`the number ${text}`)
  return { sql: `cast('${value}' as DECIMAL(${width},${fraction.length}))`, type: `decimal(${width},${fraction.length})` }
}

export function cast(node: Value, to: string): Value {
  const from = node.type
  const plain = (): Value => ({ sql: `cast(${node.sql} as ${duckType(to)})`, type: to })
  if (from === to) return node
  if (from === 'void') return plain()
  if (node.text !== undefined) return fromText(node.text, to)
  if (WHOLE.includes(from) && (isNumeric(to) || to === 'string' || to === 'boolean')) return plain()
  if (from === 'boolean' && (WHOLE.includes(to) || to === 'string')) return plain()
  if (from === 'date' && to === 'string') return plain()
  // Fractions are cut off; DuckDB by itself would round.
  if (isNumeric(from) && WHOLE.includes(to)) return { sql: `cast(trunc(${node.sql}) as ${duckType(to)})`, type: to }
  if (isDecimal(from) && isNumeric(to)) return plain()
  if (isFloat(from) && isFloat(to)) return plain()
  if (from === 'timestamp' && (to === 'date' || to === 'timestamp_ntz' || to === 'string'))
    return { sql: `cast(timezone('UTC', ${node.sql}) as ${duckType(to)})`, type: to }
  if (from === 'timestamp_ntz' && (to === 'date' || to === 'string')) return plain()
  if (from === 'timestamp_ntz' && to === 'timestamp') return { sql: `timezone('UTC', ${node.sql})`, type: to }
  if (from === 'date' && to === 'timestamp_ntz') return plain()
  if (from === 'date' && to === 'timestamp') return { sql: `timezone('UTC', cast(${node.sql} as TIMESTAMP))`, type: to }
  throw new Refused(`a cast from ${typeName(from)} to ${to}`)
}

/** A literal that stands for a value of another type. */
export function fromText(text: string, to: DeltaType): Value {
  if (to === 'string') return { sql: literal(text), type: to, text }
  if (to === 'date' && daysOf(text) !== null) return { sql: `date ${literal(text)}`, type: to }
  if (INSTANTS.includes(to) && /^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?)?$/.test(text) && microsOf(text) !== null) {
    const local = `timestamp ${literal(text.replace('Z', ''))}`
    if (to === 'timestamp') return { sql: `timezone('UTC', ${local})`, type: to }
    if (!text.endsWith('Z')) return { sql: local, type: to }
  }
  if (isNumeric(to) && (WHOLE.includes(to) ? /^-?\d{1,18}$/ : /^-?\d{1,18}(\.\d{1,18})?$/).test(text))
    return { sql: `cast(${literal(text)} as ${duckType(to)})`, type: to }
  throw new Refused(`the text ${literal(text)} as a value of type ${typeName(to)}`)
}

/** Both as the type to which Spark takes them before it compares or computes. */
function alike(left: Value, right: Value, what: string, sign?: string): [Value, Value] {
  const { sqls, type } = allAlike([left, right], what, sign)
  return [
    { sql: sqls[0] ?? '', type },
    { sql: sqls[1] ?? '', type },
  ]
}

export function allAlike(nodes: readonly Value[], what: string, sign?: string): { sqls: string[]; type: DeltaType } {
  // A literal takes the type of what it stands beside.
  const types = nodes.filter((node) => node.type !== 'void' && node.text === undefined).map((node) => node.type)
  const first: DeltaType = nodes.some((node) => node.text !== undefined) ? 'string' : 'void'
  const type = types.reduce<DeltaType | null>((known, next) => known && common(known, next), types[0] ?? first)
  if (type === null) throw new Refused(what)
  const sqls = nodes.map((node) => {
    if (node.type === 'void') return type === 'void' ? node.sql : `null::${duckType(type)}`
    if (node.text !== undefined) return fromText(node.text, type).sql
    // Decimals are added as they are: the sum takes care of their digits.
    if (sign !== undefined && isDecimal(type) && isDecimal(node.type)) return node.sql
    if (typeof type !== 'string' || typeof node.type !== 'string') return node.sql
    return cast(node, type).sql
  })
  return { sqls, type }
}

export function assigned(node: Value, type: DeltaType): string {
  if (node.type === 'void') return `null::${duckType(type)}`
  if (JSON.stringify(node.type) === JSON.stringify(type)) return node.sql
  if (typeof type !== 'string' || typeof node.type !== 'string')
    throw new Refused(`a value of type ${typeName(node.type)} for a column of type ${typeName(type)}`)
  if (node.text !== undefined) return fromText(node.text, type).sql
  const fits =
    (WHOLE.includes(node.type) && isNumeric(type)) ||
    (isDecimal(node.type) && (isFloat(type) || isDecimal(type))) ||
    (isFloat(node.type) && isFloat(type)) ||
    (node.type === 'date' && INSTANTS.includes(type))
  if (!fits) throw new Refused(`a value of type ${node.type} for a column of type ${type}`)
  return cast(node, type).sql
}

/** A date or an instant without its zone. */
export function local(node: Value, what: string): string {
  if (node.type === 'timestamp') return `timezone('UTC', ${node.sql})`
  if (node.type === 'timestamp_ntz') return node.sql
  if (node.type === 'date') return `cast(${node.sql} as TIMESTAMP)`
  throw new Refused(`${what} of ${typeName(node.type)}`)
}

function inRange(value: bigint, bits: number): boolean {
  return BigInt.asIntN(bits, value) === value
}

function isDecimal(type: DeltaType): boolean {
  return typeof type === 'string' && type.startsWith('decimal')
}

export function isFloat(type: DeltaType): boolean {
  return type === 'float' || type === 'double'
}

function isNumeric(type: DeltaType): boolean {
  return WHOLE.includes(type) || isFloat(type) || isDecimal(type)
}

/** The type as which Spark compares values of two types; null when that is not known to be the same here. */
function common(a: DeltaType, b: DeltaType): DeltaType | null {
  if (JSON.stringify(a) === JSON.stringify(b)) return a
  if (isNumeric(a) && isNumeric(b)) {
    if (isDecimal(a) || isDecimal(b)) return isFloat(a) || isFloat(b) ? 'double' : widest(digitsOf(a), digitsOf(b))
    const order: readonly DeltaType[] = [...WHOLE, 'float', 'double']
    return order.indexOf(a) > order.indexOf(b) ? a : b
  }
  if (a === 'date' && INSTANTS.includes(b)) return b
  if (b === 'date' && INSTANTS.includes(a)) return a
  return null
}

interface Digits {
  readonly whole: number
  readonly scale: number
}

function digitsOf(type: DeltaType): Digits {
  const decimal = typeof type === 'string' ? /^decimal\((\d+),\s*(\d+)\)$/.exec(type) : null
  if (decimal) return { whole: Number(decimal[1]) - Number(decimal[2]), scale: Number(decimal[2]) }
  return { whole: type === 'byte' ? 3 : type === 'short' ? 5 : type === 'integer' ? 10 : type === 'long' ? 20 : 10, scale: 0 }
}

function widest(a: Digits, b: Digits): string | null {
  const scale = Math.max(a.scale, b.scale)
  const width = Math.max(a.whole, b.whole) + scale
  return width <= 38 ? `decimal(${width},${scale})` : null
}

/** A sum may have one more digit. */
function grown(type: string): string | null {
  const { whole, scale } = digitsOf(type)
  return whole + scale < 38 ? `decimal(${whole + scale + 1},${scale})` : null
}
