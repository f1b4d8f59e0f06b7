/**
 * Expressions that a table keeps (constraints, generated columns, defaults) are Spark SQL; here they become DuckDB SQL that means the
 * same. Only constructs whose meaning is known to agree are let through, with every conversion that Spark would do written out; any
 * other is refused by its name, so that no engine lets a row in that another keeps out. Instants are taken apart in UTC.
 */
import { closest, unsupported, type LagoaError } from '../../base/index.ts'
import { tokensOf, type Token } from './expression-tokens.ts'
import { duckType, typeName } from './schema.ts'
import { identifier, literal } from './sql.ts'
import { daysOf, microsOf } from './stats.ts'
import type { DeltaField, DeltaType } from './types.ts'

export interface Expression {
  readonly sql: string
  /** `void` for a bare NULL. */
  readonly type: DeltaType
  /** The top-level columns that it reads, as the table spells them. */
  readonly columns: ReadonlySet<string>
  /** The same for the same row, whenever it is asked. */
  readonly stable: boolean
}

/** `text` over the columns of a row. */
export function translate(text: string, fields: readonly DeltaField[]): Expression {
  const parser = new Parser(text, fields)
  const node = parser.whole()
  return { sql: node.sql, type: node.type, columns: parser.columns, stable: parser.stable }
}

/** SQL of an expression as a value of a column's type. */
export function translateAs(text: string, fields: readonly DeltaField[], type: DeltaType): Expression {
  const parser = new Parser(text, fields)
  const node = parser.whole()
  return { sql: parser.assigned(node, type), type, columns: parser.columns, stable: parser.stable }
}

interface Node {
  readonly sql: string
  readonly type: DeltaType
  /** Of a text literal. */
  readonly text?: string
}

const WHOLE: readonly DeltaType[] = ['byte', 'short', 'integer', 'long']
const INSTANTS: readonly DeltaType[] = ['timestamp', 'timestamp_ntz']
const TYPE_NAMES: Readonly<Record<string, string>> = {
  tinyint: 'byte',
  byte: 'byte',
  smallint: 'short',
  short: 'short',
  int: 'integer',
  integer: 'integer',
  bigint: 'long',
  long: 'long',
  float: 'float',
  real: 'float',
  double: 'double',
  string: 'string',
  boolean: 'boolean',
  date: 'date',
  timestamp: 'timestamp',
  timestamp_ntz: 'timestamp_ntz',
}

class Parser {
  readonly columns: Set<string> = new Set()
  stable = true
  readonly #text: string
  readonly #fields: readonly DeltaField[]
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(text: string, fields: readonly DeltaField[]) {
    this.#text = text
    this.#fields = fields
    const tokens = tokensOf(text)
    if (typeof tokens === 'string') throw this.#refusal(tokens)
    this.#tokens = tokens
  }

  whole(): Node {
    const node = this.#or()
    const rest = this.#tokens[this.#at]
    if (rest) throw this.#refusal(`${rest.text} at this place`)
    return node
  }

  #refusal(construct: string): LagoaError {
    return unsupported('lake.expression_unsupported', `The expression ${this.#text} uses ${construct}, which cannot be evaluated here`, {
      hint: 'It is Spark SQL: comparisons, and, or, not, in, between, like, case, cast, arithmetic and functions of text, numbers and time are known.',
    })
  }

  #peek(word: string, ahead: number = 0): boolean {
    const token = this.#tokens[this.#at + ahead]
    return token !== undefined && (token.kind === 'word' || token.kind === 'operator') && token.text.toLowerCase() === word
  }

  #take(...words: string[]): boolean {
    if (!words.every((word, i) => this.#peek(word, i))) return false
    this.#at += words.length
    return true
  }

  #expect(word: string): void {
    if (this.#take(word)) return
    const found = this.#tokens[this.#at]
    throw this.#refusal(found ? `${found.text} where ${word} should be` : `an end where ${word} should be`)
  }

  #or(): Node {
    let left = this.#and()
    while (this.#take('or')) left = { sql: `(${this.#condition(left)} or ${this.#condition(this.#and())})`, type: 'boolean' }
    return left
  }

  #and(): Node {
    let left = this.#not()
    while (this.#take('and')) left = { sql: `(${this.#condition(left)} and ${this.#condition(this.#not())})`, type: 'boolean' }
    return left
  }

  #not(): Node {
    if (!this.#take('not') && !this.#take('!')) return this.#predicate()
    return { sql: `(not ${this.#condition(this.#not())})`, type: 'boolean' }
  }

  #condition(node: Node): string {
    if (node.type === 'boolean') return node.sql
    if (node.type === 'void') return 'null::boolean'
    throw this.#refusal(`a value of type ${typeName(node.type)} as a condition`)
  }

  #predicate(): Node {
    let left = this.#concatenation()
    for (;;) {
      const operator = ['<=>', '<=', '>=', '<>', '!=', '==', '=', '<', '>'].find((one) => this.#peek(one))
      if (operator !== undefined) {
        this.#at++
        left = this.#comparison(operator, left, this.#concatenation())
        continue
      }
      if (this.#take('is')) {
        const not = this.#take('not') ? 'not ' : ''
        if (this.#take('null')) left = { sql: `(${left.sql} is ${not}null)`, type: 'boolean' }
        else if (this.#peek('true') || this.#peek('false')) {
          const truth = this.#take('true') ? 'true' : 'false'
          if (truth === 'false') this.#at++
          left = { sql: `(${this.#condition(left)} is ${not}${truth})`, type: 'boolean' }
        } else if (this.#take('distinct', 'from')) {
          const same = this.#comparison('<=>', left, this.#concatenation())
          left = not ? same : { sql: `(not ${same.sql})`, type: 'boolean' }
        } else throw this.#refusal('IS with something else than NULL, TRUE, FALSE or DISTINCT FROM')
        continue
      }
      const not = this.#peek('not') && ['in', 'between', 'like', 'rlike', 'regexp'].some((word) => this.#peek(word, 1))
      if (not) this.#at++
      const found = this.#membership(left)
      if (found === null) return left
      left = not ? { sql: `(not ${found.sql})`, type: 'boolean' } : found
    }
  }

  #membership(left: Node): Node | null {
    if (this.#take('in')) {
      this.#expect('(')
      const items = this.#list()
      if (items.length === 0) throw this.#refusal('IN of nothing')
      const tests = items.map((item) => this.#comparison('=', left, item).sql)
      return { sql: `(${tests.join(' or ')})`, type: 'boolean' }
    }
    if (this.#take('between')) {
      const low = this.#comparison('>=', left, this.#concatenation())
      this.#expect('and')
      const high = this.#comparison('<=', left, this.#concatenation())
      return { sql: `(${low.sql} and ${high.sql})`, type: 'boolean' }
    }
    if (this.#take('like')) {
      const pattern = this.#concatenation()
      if (pattern.text === undefined) throw this.#refusal('LIKE with a computed pattern')
      if (/\\(?![%_\\])|\\$/.test(pattern.text) || this.#peek('escape')) throw this.#refusal('LIKE with such an escape')
      return { sql: `(${this.#textual(left, 'LIKE')} like ${literal(pattern.text)} escape '\\')`, type: 'boolean' }
    }
    if (this.#take('rlike') || this.#take('regexp')) return this.#pattern(left, this.#concatenation())
    return null
  }

  /** Of regular expressions, those parts that Java and RE2 read alike, with what Java means by a dot and by an end spelled out. */
  #pattern(left: Node, pattern: Node): Node {
    if (pattern.text === undefined) throw this.#refusal('RLIKE with a computed pattern')
    const parts = /^(\^?)((?:[\w @%:,;/<>=~'"#&!-]|\.|\\[dDwW.+*?()[\]{}|^$\\/-]|\[\^?[\w .@%:,+-]+\]|[()|]|[*+?]|\{\d+(?:,\d*)?\})*)(\$?)$/.exec(pattern.text)
    if (!parts || pattern.text.includes('(?')) throw this.#refusal(`the regular expression ${pattern.text}`)
    const [, start = '', middle = '', end = ''] = parts
    const spelled = middle.replace(/\\.|\[[^\]]*\]|\./g, (part) => (part === '.' ? '[^\\n\\r\\x{85}\\x{2028}\\x{2029}]' : part))
    const re2 = `${start}${spelled}${end === '' ? '' : '(?:\\r\\n|[\\n\\r\\x{85}\\x{2028}\\x{2029}])?\\z'}`
    return { sql: `regexp_matches(${this.#textual(left, 'RLIKE')}, ${literal(re2)})`, type: 'boolean' }
  }

  #comparison(operator: string, left: Node, right: Node): Node {
    const [a, b] = this.#alike(left, right, `a comparison of ${typeName(left.type)} with ${typeName(right.type)}`)
    if (typeof a.type !== 'string') throw this.#refusal(`a comparison of values of type ${typeName(a.type)}`)
    const sign = operator === '<=>' ? 'is not distinct from' : operator === '==' ? '=' : operator === '!=' ? '<>' : operator
    return { sql: `(${a.sql} ${sign} ${b.sql})`, type: 'boolean' }
  }

  #concatenation(): Node {
    let left = this.#sum()
    while (this.#take('||')) left = { sql: `(${this.#textual(left, '||')} || ${this.#textual(this.#sum(), '||')})`, type: 'string' }
    return left
  }

  #sum(): Node {
    let left = this.#product()
    for (;;) {
      const sign = this.#take('+') ? '+' : this.#take('-') ? '-' : null
      if (sign === null) return left
      left = this.#arithmetic(sign, left, this.#product())
    }
  }

  #product(): Node {
    let left = this.#unary()
    for (;;) {
      const sign = ['*', '/', '%', 'div'].find((one) => this.#take(one))
      if (sign === undefined) return left
      left = this.#arithmetic(sign, left, this.#unary())
    }
  }

  #unary(): Node {
    if (this.#take('+')) return this.#numeric(this.#unary(), '+')
    if (!this.#take('-')) return this.#suffixed()
    const number = this.#tokens[this.#at]
    // The smallest long is a number only together with its sign.
    if (number?.kind === 'number') return this.#suffixed('-')
    const node = this.#numeric(this.#unary(), '-')
    return { sql: `(-${node.sql})`, type: node.type }
  }

  /** An overflow is an error here, where Spark may give another number or none: no row gets in by it. */
  #arithmetic(sign: string, left: Node, right: Node): Node {
    if (sign === '*' && (isDecimal(left.type) || isDecimal(right.type)) && !isFloat(left.type) && !isFloat(right.type)) return this.#decimalProduct(left, right)
    const [a, b] = this.#alike(this.#numeric(left, sign), this.#numeric(right, sign), `${sign} of ${typeName(left.type)} and ${typeName(right.type)}`, sign)
    const type = typeof a.type === 'string' ? a.type : 'void'
    if (type === 'void') return { sql: 'null::double', type: 'double' }
    if (isDecimal(type) && sign !== '+' && sign !== '-') throw this.#refusal(`${sign} of decimals`)
    if (isDecimal(type)) return { sql: `(${a.sql} ${sign} ${b.sql})`, type: grown(type) ?? this.#tooLong() }
    // Division gives a double whatever it divides; by zero it gives null.
    if (sign === '/') return { sql: `(cast(${a.sql} as double) / nullif(cast(${b.sql} as double), 0))`, type: 'double' }
    if (sign === 'div' && !WHOLE.includes(type)) throw this.#refusal(`div of ${type}`)
    if (sign === 'div') return { sql: `(cast(${a.sql} as bigint) // nullif(cast(${b.sql} as bigint), 0))`, type: 'long' }
    if (sign === '%') return { sql: `(${a.sql} % nullif(${b.sql}, 0))`, type }
    return { sql: `(${a.sql} ${sign} ${b.sql})`, type }
  }

  #decimalProduct(left: Node, right: Node): Node {
    const [a, b] = [digitsOf(this.#numeric(left, '*').type), digitsOf(this.#numeric(right, '*').type)]
    const scale = a.scale + b.scale
    const width = a.whole + b.whole + scale
    if (width > 37) this.#tooLong()
    const sql = [left, right].map((node) => (isDecimal(node.type) ? node.sql : `cast(${node.sql} as DECIMAL(${digitsOf(node.type).whole},0))`)).join(' * ')
    return { sql: `(${sql})`, type: `decimal(${width},${scale})` }
  }

  #tooLong(): never {
    throw this.#refusal('decimals of more than 38 digits')
  }

  #numeric(node: Node, what: string): Node {
    if (isNumeric(node.type) || node.type === 'void') return node
    throw this.#refusal(`${what} of ${typeName(node.type)}`)
  }

  #textual(node: Node, what: string): string {
    if (node.type === 'string') return node.sql
    if (node.type === 'void') return 'null::varchar'
    throw this.#refusal(`${what} of ${typeName(node.type)}`)
  }

  /** A value and what follows it: `.field`, `[index]`. */
  #suffixed(sign: '' | '-' = ''): Node {
    let node = this.#primary(sign)
    for (;;) {
      if (this.#take('.')) {
        const token = this.#tokens[this.#at++]
        const name = token?.kind === 'word' || token?.kind === 'name' ? token.text : ''
        const struct = typeof node.type !== 'string' && node.type.type === 'struct' ? node.type : null
        const found = struct?.fields.find((field) => field.name.toLowerCase() === name.toLowerCase())
        if (!found) throw this.#refusal(`${name}, which is no field of ${typeName(node.type)}`)
        node = { sql: `struct_extract(${node.sql}, ${literal(found.name)})`, type: found.type }
      } else if (this.#take('[')) {
        const key = this.#or()
        this.#expect(']')
        node = this.#element(node, key)
      } else return node
    }
  }

  #element(node: Node, key: Node): Node {
    if (typeof node.type !== 'string' && node.type.type === 'array' && /^cast\(\d+ as INTEGER\)$/.test(key.sql))
      return { sql: `list_extract(${node.sql}, ${key.sql} + 1)`, type: node.type.elementType }
    if (typeof node.type !== 'string' && node.type.type === 'map' && node.type.keyType === 'string' && key.text !== undefined)
      return { sql: `map_extract_value(${node.sql}, ${key.sql})`, type: node.type.valueType }
    throw this.#refusal('an index that is no whole number of an array and no text key of a map')
  }

  #primary(sign: '' | '-'): Node {
    const token = this.#tokens[this.#at++]
    if (!token) throw this.#refusal('an end where a value should be')
    switch (token.kind) {
      case 'number':
        return this.#number(sign + token.text)
      case 'text': {
        if (this.#tokens[this.#at]?.kind === 'text') throw this.#refusal('two texts in a row')
        return { sql: literal(token.text), type: 'string', text: token.text }
      }
      case 'name':
        return this.#column(token.text)
      case 'operator': {
        if (token.text !== '(') throw this.#refusal(`${token.text} where a value should be`)
        const node = this.#or()
        this.#expect(')')
        return node
      }
      case 'word':
        return this.#word(token.text)
    }
  }

  #word(word: string): Node {
    const lower = word.toLowerCase()
    if (lower === 'case') return this.#case()
    if (this.#peek('(')) {
      this.#at++
      return lower === 'cast' ? this.#castCall() : this.#call(lower)
    }
    if (lower === 'true' || lower === 'false') return { sql: lower, type: 'boolean' }
    if (lower === 'null') return { sql: 'null', type: 'void' }
    if (lower === 'current_timestamp' || lower === 'current_date') return this.#now(lower)
    const next = this.#tokens[this.#at]
    if (next?.kind === 'text' && (lower === 'date' || lower === 'timestamp' || lower === 'timestamp_ntz')) {
      this.#at++
      return this.#fromText(next.text, lower)
    }
    return this.#column(word)
  }

  #column(name: string): Node {
    const field = this.#fields.find((one) => one.name.toLowerCase() === name.toLowerCase())
    if (!field) {
      const near = closest(
        name,
        this.#fields.map((one) => one.name),
      )
      throw this.#refusal(`${name}, which is no column${near.length > 0 ? ` (did you mean ${near.join(' or ')}?)` : ''}`)
    }
    this.columns.add(field.name)
    return { sql: identifier(field.name), type: field.type }
  }

  #number(text: string): Node {
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
    if (!decimal || typed) throw this.#refusal(`the number ${text}`)
    const fraction = decimal[2] ?? ''
    const width = Math.max((decimal[1] ?? '').replace(/^0+/, '').length + fraction.length, fraction.length, 1)
    if (width > 38) throw this.#refusal(`the number ${text}`)
    return { sql: `cast('${value}' as DECIMAL(${width},${fraction.length}))`, type: `decimal(${width},${fraction.length})` }
  }

  #case(): Node {
    const subject = this.#peek('when') ? null : this.#or()
    const whens: { when: string; then: Node }[] = []
    while (this.#take('when')) {
      const test = this.#or()
      this.#expect('then')
      whens.push({ when: subject ? this.#comparison('=', subject, test).sql : this.#condition(test), then: this.#or() })
    }
    const otherwise: Node = this.#take('else') ? this.#or() : { sql: 'null', type: 'void' }
    this.#expect('end')
    if (whens.length === 0) throw this.#refusal('CASE without WHEN')
    const values = this.#allAlike([...whens.map(({ then }) => then), otherwise], 'CASE')
    const branches = whens.map(({ when }, i) => `when ${when} then ${values.sqls[i] ?? 'null'}`)
    return { sql: `(case ${branches.join(' ')} else ${values.sqls.at(-1) ?? 'null'} end)`, type: values.type }
  }

  #list(): Node[] {
    const items: Node[] = []
    if (this.#take(')')) return items
    do items.push(this.#or())
    while (this.#take(','))
    this.#expect(')')
    return items
  }

  #castCall(): Node {
    const node = this.#or()
    this.#expect('as')
    const word = this.#tokens[this.#at++]?.text.toLowerCase() ?? ''
    let type = TYPE_NAMES[word]
    if (word === 'decimal' || word === 'dec' || word === 'numeric') {
      const size = this.#take('(') ? this.#list().map(({ sql }) => Number(/^cast\((\d+) as INTEGER\)$/.exec(sql)?.[1] ?? Number.NaN)) : []
      const [width = 10, scale = 0] = size
      if (!(size.length <= 2 && width >= 1 && width <= 38 && scale >= 0 && scale <= width)) throw this.#refusal('such a decimal type')
      type = `decimal(${width},${scale})`
    }
    if (type === undefined) throw this.#refusal(`CAST AS ${word.toUpperCase()}`)
    this.#expect(')')
    return this.#cast(node, type)
  }

  #cast(node: Node, to: string): Node {
    const from = node.type
    const plain = (): Node => ({ sql: `cast(${node.sql} as ${duckType(to)})`, type: to })
    if (from === to) return node
    if (from === 'void') return plain()
    if (node.text !== undefined) return this.#fromText(node.text, to)
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
    throw this.#refusal(`a cast from ${typeName(from)} to ${to}`)
  }

  /** A literal that stands for a value of another type. */
  #fromText(text: string, to: DeltaType): Node {
    if (to === 'string') return { sql: literal(text), type: to, text }
    if (to === 'date' && daysOf(text) !== null) return { sql: `date ${literal(text)}`, type: to }
    if (INSTANTS.includes(to) && /^\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?)?$/.test(text) && microsOf(text) !== null) {
      const local = `timestamp ${literal(text.replace('Z', ''))}`
      if (to === 'timestamp') return { sql: `timezone('UTC', ${local})`, type: to }
      if (!text.endsWith('Z')) return { sql: local, type: to }
    }
    if (isNumeric(to) && (WHOLE.includes(to) ? /^-?\d{1,18}$/ : /^-?\d{1,18}(\.\d{1,18})?$/).test(text))
      return { sql: `cast(${literal(text)} as ${duckType(to)})`, type: to }
    throw this.#refusal(`the text ${literal(text)} as a value of type ${typeName(to)}`)
  }

  /** Both as the type to which Spark takes them before it compares or computes. */
  #alike(left: Node, right: Node, what: string, sign?: string): [Node, Node] {
    const { sqls, type } = this.#allAlike([left, right], what, sign)
    return [
      { sql: sqls[0] ?? '', type },
      { sql: sqls[1] ?? '', type },
    ]
  }

  #allAlike(nodes: readonly Node[], what: string, sign?: string): { sqls: string[]; type: DeltaType } {
    // A literal takes the type of what it stands beside.
    const types = nodes.filter((node) => node.type !== 'void' && node.text === undefined).map((node) => node.type)
    const first: DeltaType = nodes.some((node) => node.text !== undefined) ? 'string' : 'void'
    const type = types.reduce<DeltaType | null>((known, next) => known && common(known, next), types[0] ?? first)
    if (type === null) throw this.#refusal(what)
    const sqls = nodes.map((node) => {
      if (node.type === 'void') return type === 'void' ? node.sql : `null::${duckType(type)}`
      if (node.text !== undefined) return this.#fromText(node.text, type).sql
      // Decimals are added as they are: the sum takes care of their digits.
      if (sign !== undefined && isDecimal(type) && isDecimal(node.type)) return node.sql
      if (typeof type !== 'string' || typeof node.type !== 'string') return node.sql
      return this.#cast(node, type).sql
    })
    return { sqls, type }
  }

  assigned(node: Node, type: DeltaType): string {
    if (node.type === 'void') return `null::${duckType(type)}`
    if (JSON.stringify(node.type) === JSON.stringify(type)) return node.sql
    if (typeof type !== 'string' || typeof node.type !== 'string')
      throw this.#refusal(`a value of type ${typeName(node.type)} for a column of type ${typeName(type)}`)
    if (node.text !== undefined) return this.#fromText(node.text, type).sql
    const fits =
      (WHOLE.includes(node.type) && isNumeric(type)) ||
      (isDecimal(node.type) && (isFloat(type) || isDecimal(type))) ||
      (isFloat(node.type) && isFloat(type)) ||
      (node.type === 'date' && INSTANTS.includes(type))
    if (!fits) throw this.#refusal(`a value of type ${node.type} for a column of type ${type}`)
    return this.#cast(node, type).sql
  }

  #now(word: string): Node {
    this.stable = false
    return word === 'current_date' ? { sql: "cast(timezone('UTC', now()) as date)", type: 'date' } : { sql: 'now()', type: 'timestamp' }
  }

  #call(name: string): Node {
    const args = this.#list()
    const [a, b, c] = args
    const count = (...allowed: number[]): void => {
      if (!allowed.includes(args.length)) throw this.#refusal(`${name} of ${args.length} arguments`)
    }
    if (name in TIME_PARTS) {
      count(1)
      return this.#timePart(name, a ?? NOTHING)
    }
    switch (name) {
      case 'current_timestamp':
      case 'now':
      case 'current_date':
        count(0)
        return this.#now(name)
      case 'coalesce':
      case 'nvl':
      case 'ifnull':
      case 'greatest':
      case 'least': {
        if (args.length < (name === 'coalesce' ? 1 : 2) || ((name === 'nvl' || name === 'ifnull') && args.length > 2))
          throw this.#refusal(`${name} of ${args.length} arguments`)
        const { sqls, type } = this.#allAlike(args, `${name} of ${args.map((arg) => typeName(arg.type)).join(', ')}`)
        return { sql: `${name === 'nvl' || name === 'ifnull' ? 'coalesce' : name}(${sqls.join(', ')})`, type }
      }
      case 'nullif':
        count(2)
        return { sql: `(case when ${this.#comparison('=', a ?? NOTHING, b ?? NOTHING).sql} then null else ${a?.sql ?? ''} end)`, type: a?.type ?? 'void' }
      case 'if': {
        count(3)
        const { sqls, type } = this.#allAlike([b ?? NOTHING, c ?? NOTHING], 'if')
        return { sql: `(case when ${this.#condition(a ?? NOTHING)} then ${sqls[0] ?? ''} else ${sqls[1] ?? ''} end)`, type }
      }
      case 'isnull':
      case 'isnotnull':
        count(1)
        return { sql: `(${a?.sql ?? ''} is ${name === 'isnull' ? '' : 'not '}null)`, type: 'boolean' }
      case 'abs':
        count(1)
        return { sql: `abs(${this.#numeric(a ?? NOTHING, name).sql})`, type: a?.type ?? 'void' }
      case 'isnan':
        count(1)
        if (!isFloat(a?.type ?? 'void')) throw this.#refusal(`isnan of ${typeName(a?.type ?? 'void')}`)
        return { sql: `coalesce(isnan(${a?.sql ?? ''}), false)`, type: 'boolean' }
      case 'floor':
      case 'ceil':
      case 'ceiling':
        count(1)
        if (WHOLE.includes(a?.type ?? 'void')) return this.#cast(a ?? NOTHING, 'long')
        if (!isFloat(a?.type ?? 'void')) throw this.#refusal(`${name} of ${typeName(a?.type ?? 'void')}`)
        return { sql: `cast(${name === 'floor' ? 'floor' : 'ceil'}(${a?.sql ?? ''}) as bigint)`, type: 'long' }
      case 'mod':
        count(2)
        return this.#arithmetic('%', a ?? NOTHING, b ?? NOTHING)
      case 'length':
      case 'char_length':
      case 'character_length':
      case 'len':
        count(1)
        if (a?.type === 'binary') return { sql: `cast(octet_length(${a.sql}) as INTEGER)`, type: 'integer' }
        return { sql: `cast(length(${this.#textual(a ?? NOTHING, name)}) as INTEGER)`, type: 'integer' }
      case 'upper':
      case 'ucase':
      case 'lower':
      case 'lcase': {
        count(1)
        const text = this.#textual(a ?? NOTHING, name)
        const by = name.startsWith('u') ? 'upper' : 'lower'
        // Beyond these letters the two know other capitals (two letters for one, by language).
        return {
          sql: `(case when regexp_matches(${text}, '[^\\x00-\\x{de}\\x{e0}-\\x{fe}]') then error('${by} of letters beyond Western European ones') else ${by}(${text}) end)`,
          type: 'string',
        }
      }
      case 'trim':
      case 'ltrim':
      case 'rtrim':
        count(1)
        return { sql: `${name}(${this.#textual(a ?? NOTHING, name)}, ' ')`, type: 'string' }
      case 'concat':
        if (args.length === 0) throw this.#refusal('concat of nothing')
        return { sql: `(${args.map((arg) => this.#textual(arg, name)).join(' || ')})`, type: 'string' }
      case 'substring':
      case 'substr': {
        count(2, 3)
        if (![b, c].every((arg) => arg === undefined || /^cast\(\d+ as INTEGER\)$/.test(arg.sql)) || b?.sql === 'cast(0 as INTEGER)')
          throw this.#refusal(`${name} from a place that is no whole number above 0`)
        return { sql: `substring(${[this.#textual(a ?? NOTHING, name), b?.sql, c?.sql].filter((sql) => sql !== undefined).join(', ')})`, type: 'string' }
      }
      case 'startswith':
      case 'endswith':
      case 'contains': {
        count(2)
        const by = { startswith: 'starts_with', endswith: 'ends_with', contains: 'contains' }[name]
        return { sql: `${by}(${this.#textual(a ?? NOTHING, name)}, ${this.#textual(b ?? NOTHING, name)})`, type: 'boolean' }
      }
      case 'regexp_like':
      case 'rlike':
      case 'regexp':
        count(2)
        return this.#pattern(a ?? NOTHING, b ?? NOTHING)
      case 'to_date':
        count(1)
        return this.#cast(a ?? NOTHING, 'date')
      case 'date_add':
      case 'date_sub': {
        count(2)
        const days = b ?? NOTHING
        if (!['byte', 'short', 'integer'].includes(typeName(days.type))) throw this.#refusal(`${name} of ${typeName(days.type)}`)
        return { sql: `(${this.#cast(a ?? NOTHING, 'date').sql} ${name === 'date_add' ? '+' : '-'} cast(${days.sql} as INTEGER))`, type: 'date' }
      }
      case 'datediff':
      case 'date_diff':
        count(2)
        return { sql: `cast(date_diff('day', ${this.#cast(b ?? NOTHING, 'date').sql}, ${this.#cast(a ?? NOTHING, 'date').sql}) as INTEGER)`, type: 'integer' }
      case 'date_trunc':
        count(2)
        return this.#truncated(a?.text, b ?? NOTHING)
      case 'trunc': {
        count(2)
        const unit = UNITS[(b?.text ?? '').toLowerCase()]
        if (unit === undefined || unit === 'day' || unit === 'hour' || unit === 'minute' || unit === 'second')
          throw this.#refusal(`trunc to ${b?.text ?? 'a computed unit'}`)
        return { sql: `cast(date_trunc('${unit}', ${this.#cast(a ?? NOTHING, 'date').sql}) as date)`, type: 'date' }
      }
      case 'date_format': {
        count(2)
        const local = this.#local(a ?? NOTHING, name)
        const known = /^(yyyy|MM|dd|HH|mm|ss|[-/:. _])*$/.test(b?.text ?? 'x')
        if (!known) throw this.#refusal(`date_format by ${b?.text ?? 'a computed pattern'}`)
        const format = (b?.text ?? '').replace(/yyyy|MM|dd|HH|mm|ss/g, (part) => PATTERN[part] ?? part)
        return { sql: `strftime(${local}, ${literal(format)})`, type: 'string' }
      }
      default:
        if (name in TYPE_NAMES && args.length === 1) return this.#cast(a ?? NOTHING, TYPE_NAMES[name] ?? '')
        throw this.#refusal(`the function ${name}`)
    }
  }

  /** A date or an instant without its zone. */
  #local(node: Node, what: string): string {
    if (node.type === 'timestamp') return `timezone('UTC', ${node.sql})`
    if (node.type === 'timestamp_ntz') return node.sql
    if (node.type === 'date') return `cast(${node.sql} as TIMESTAMP)`
    throw this.#refusal(`${what} of ${typeName(node.type)}`)
  }

  #timePart(name: string, node: Node): Node {
    const part = TIME_PARTS[name] ?? ''
    const sql = `${part}(${this.#local(node, name)})`
    // Sunday is 1 in Spark.
    return { sql: `cast(${name === 'dayofweek' ? `${sql} + 1` : sql} as INTEGER)`, type: 'integer' }
  }

  #truncated(text: string | undefined, node: Node): Node {
    const unit = UNITS[(text ?? '').toLowerCase()]
    if (unit === undefined) throw this.#refusal(`date_trunc to ${text ?? 'a computed unit'}`)
    const cut = `date_trunc('${unit}', ${this.#local(node, 'date_trunc')})`
    return { sql: `timezone('UTC', ${cut})`, type: 'timestamp' }
  }
}

const NOTHING: Node = { sql: 'null', type: 'void' }

const TIME_PARTS: Readonly<Record<string, string>> = {
  year: 'year',
  month: 'month',
  day: 'day',
  dayofmonth: 'day',
  quarter: 'quarter',
  dayofweek: 'dayofweek',
  dayofyear: 'dayofyear',
  weekofyear: 'weekofyear',
  hour: 'hour',
  minute: 'minute',
  second: 'second',
}

const UNITS: Readonly<Record<string, string>> = {
  year: 'year',
  yyyy: 'year',
  yy: 'year',
  quarter: 'quarter',
  month: 'month',
  mon: 'month',
  mm: 'month',
  week: 'week',
  day: 'day',
  dd: 'day',
  hour: 'hour',
  minute: 'minute',
  second: 'second',
}

const PATTERN: Readonly<Record<string, string>> = { yyyy: '%Y', MM: '%m', dd: '%d', HH: '%H', mm: '%M', ss: '%S' }

function inRange(value: bigint, bits: number): boolean {
  return BigInt.asIntN(bits, value) === value
}

function isDecimal(type: DeltaType): type is string {
  return typeof type === 'string' && type.startsWith('decimal')
}

function isFloat(type: DeltaType): boolean {
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
