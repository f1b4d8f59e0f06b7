/**
 * Expressions that a table keeps (constraints, generated columns, defaults) are Spark SQL; here they become DuckDB SQL that means the
 * same. Only constructs whose meaning is known to agree are let through, with every conversion that Spark would do written out; any
 * other is refused by its name, so that no engine lets a row in that another keeps out. Instants are taken apart in UTC.
 */
import { closest, unsupported } from '../../base/index.ts'
import { call } from './expression-functions.ts'
import { tokensOf, type Token } from './expression-tokens.ts'
import {
  NULL,
  Refused,
  TYPE_NAMES,
  allAlike,
  arithmetic,
  assigned,
  cast,
  comparison,
  condition,
  element,
  fromText,
  number,
  numeric,
  pattern,
  textual,
  type Value,
} from './expression-values.ts'
import { typeName } from './schema.ts'
import { identifier, literal } from './sql.ts'
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
  return parsed(text, fields, (value) => value)
}

/** SQL of an expression as a value of a column's type. */
export function translateAs(text: string, fields: readonly DeltaField[], type: DeltaType): Expression {
  return parsed(text, fields, (value) => ({ sql: assigned(value, type), type }))
}

function parsed(text: string, fields: readonly DeltaField[], as: (value: Value) => Value): Expression {
  try {
    const parser = new Parser(text, fields)
    const { sql, type } = as(parser.whole())
    return { sql, type, columns: parser.columns, stable: parser.stable }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    throw unsupported('lake.expression_unsupported', `The expression ${text} uses ${error.message}, which cannot be evaluated here`, {
      hint: 'It is Spark SQL: comparisons, and, or, not, in, between, like, case, cast, arithmetic and functions of text, numbers and time are known.',
    })
  }
}

class Parser {
  readonly columns: Set<string> = new Set()
  stable = true
  readonly #fields: readonly DeltaField[]
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(text: string, fields: readonly DeltaField[]) {
    this.#fields = fields
    const tokens = tokensOf(text)
    if (typeof tokens === 'string') throw new Refused(tokens)
    this.#tokens = tokens
  }

  whole(): Value {
    const node = this.#or()
    const rest = this.#tokens[this.#at]
    if (rest) throw new Refused(`${rest.text} at this place`)
    return node
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
    throw new Refused(found ? `${found.text} where ${word} should be` : `an end where ${word} should be`)
  }

  #or(): Value {
    let left = this.#and()
    while (this.#take('or')) left = { sql: `(${condition(left)} or ${condition(this.#and())})`, type: 'boolean' }
    return left
  }

  #and(): Value {
    let left = this.#not()
    while (this.#take('and')) left = { sql: `(${condition(left)} and ${condition(this.#not())})`, type: 'boolean' }
    return left
  }

  #not(): Value {
    if (!this.#take('not') && !this.#take('!')) return this.#predicate()
    return { sql: `(not ${condition(this.#not())})`, type: 'boolean' }
  }

  #predicate(): Value {
    let left = this.#concatenation()
    for (;;) {
      const operator = ['<=>', '<=', '>=', '<>', '!=', '==', '=', '<', '>'].find((one) => this.#peek(one))
      if (operator !== undefined) {
        this.#at++
        left = comparison(operator, left, this.#concatenation())
        continue
      }
      if (this.#take('is')) {
        const not = this.#take('not') ? 'not ' : ''
        if (this.#take('null')) left = { sql: `(${left.sql} is ${not}null)`, type: 'boolean' }
        else if (this.#peek('true') || this.#peek('false')) {
          const truth = this.#take('true') ? 'true' : 'false'
          if (truth === 'false') this.#at++
          left = { sql: `(${condition(left)} is ${not}${truth})`, type: 'boolean' }
        } else if (this.#take('distinct', 'from')) {
          const same = comparison('<=>', left, this.#concatenation())
          left = not ? same : { sql: `(not ${same.sql})`, type: 'boolean' }
        } else throw new Refused('IS with something else than NULL, TRUE, FALSE or DISTINCT FROM')
        continue
      }
      const not = this.#peek('not') && ['in', 'between', 'like', 'rlike', 'regexp'].some((word) => this.#peek(word, 1))
      if (not) this.#at++
      const found = this.#membership(left)
      if (found === null) return left
      left = not ? { sql: `(not ${found.sql})`, type: 'boolean' } : found
    }
  }

  #membership(left: Value): Value | null {
    if (this.#take('in')) {
      this.#expect('(')
      const items = this.#list()
      if (items.length === 0) throw new Refused('IN of nothing')
      const tests = items.map((item) => comparison('=', left, item).sql)
      return { sql: `(${tests.join(' or ')})`, type: 'boolean' }
    }
    if (this.#take('between')) {
      const low = comparison('>=', left, this.#concatenation())
      this.#expect('and')
      const high = comparison('<=', left, this.#concatenation())
      return { sql: `(${low.sql} and ${high.sql})`, type: 'boolean' }
    }
    if (this.#take('like')) {
      const pattern = this.#concatenation()
      if (pattern.text === undefined) throw new Refused('LIKE with a computed pattern')
      if (/\\(?![%_\\])|\\$/.test(pattern.text) || this.#peek('escape')) throw new Refused('LIKE with such an escape')
      return { sql: `(${textual(left, 'LIKE')} like ${literal(pattern.text)} escape '\\')`, type: 'boolean' }
    }
    if (this.#take('rlike') || this.#take('regexp')) return pattern(left, this.#concatenation())
    return null
  }

  #concatenation(): Value {
    let left = this.#sum()
    while (this.#take('||')) left = { sql: `(${textual(left, '||')} || ${textual(this.#sum(), '||')})`, type: 'string' }
    return left
  }

  #sum(): Value {
    let left = this.#product()
    for (;;) {
      const sign = this.#take('+') ? '+' : this.#take('-') ? '-' : null
      if (sign === null) return left
      left = arithmetic(sign, left, this.#product())
    }
  }

  #product(): Value {
    let left = this.#unary()
    for (;;) {
      const sign = ['*', '/', '%', 'div'].find((one) => this.#take(one))
      if (sign === undefined) return left
      left = arithmetic(sign, left, this.#unary())
    }
  }

  #unary(): Value {
    if (this.#take('+')) return numeric(this.#unary(), '+')
    if (!this.#take('-')) return this.#suffixed()
    const number = this.#tokens[this.#at]
    // The smallest long is a number only together with its sign.
    if (number?.kind === 'number') return this.#suffixed('-')
    const node = numeric(this.#unary(), '-')
    return { sql: `(-${node.sql})`, type: node.type }
  }

  /** A value and what follows it: `.field`, `[index]`. */
  #suffixed(sign: '' | '-' = ''): Value {
    let node = this.#primary(sign)
    for (;;) {
      if (this.#take('.')) {
        const token = this.#tokens[this.#at++]
        const name = token?.kind === 'word' || token?.kind === 'name' ? token.text : ''
        const struct = typeof node.type !== 'string' && node.type.type === 'struct' ? node.type : null
        const found = struct?.fields.find((field) => field.name.toLowerCase() === name.toLowerCase())
        if (!found) throw new Refused(`${name}, which is no field of ${typeName(node.type)}`)
        node = { sql: `struct_extract(${node.sql}, ${literal(found.name)})`, type: found.type }
      } else if (this.#take('[')) {
        const key = this.#or()
        this.#expect(']')
        node = element(node, key)
      } else return node
    }
  }

  #primary(sign: '' | '-'): Value {
    const token = this.#tokens[this.#at++]
    if (!token) throw new Refused('an end where a value should be')
    switch (token.kind) {
      case 'number':
        return number(sign + token.text)
      case 'text': {
        if (this.#tokens[this.#at]?.kind === 'text') throw new Refused('two texts in a row')
        return { sql: literal(token.text), type: 'string', text: token.text }
      }
      case 'name':
        return this.#column(token.text)
      case 'operator': {
        if (token.text !== '(') throw new Refused(`${token.text} where a value should be`)
        const node = this.#or()
        this.#expect(')')
        return node
      }
      case 'word':
        return this.#word(token.text)
    }
  }

  #word(word: string): Value {
    const lower = word.toLowerCase()
    if (lower === 'case') return this.#case()
    if (this.#peek('(')) {
      if (NOW.has(lower)) return this.#now(lower)
      this.#at++
      return lower === 'cast' ? this.#castCall() : call(lower, this.#list())
    }
    if (lower === 'true' || lower === 'false') return { sql: lower, type: 'boolean' }
    if (lower === 'null') return { sql: 'null', type: 'void' }
    if (NOW.has(lower) && lower !== 'now') return this.#now(lower)
    const next = this.#tokens[this.#at]
    if (next?.kind === 'text' && (lower === 'date' || lower === 'timestamp' || lower === 'timestamp_ntz')) {
      this.#at++
      return fromText(next.text, lower)
    }
    return this.#column(word)
  }

  #column(name: string): Value {
    const field = this.#fields.find((one) => one.name.toLowerCase() === name.toLowerCase())
    if (!field) {
      const near = closest(
        name,
        this.#fields.map((one) => one.name),
      )
      throw new Refused(`${name}, which is no column${near.length > 0 ? ` (did you mean ${near.join(' or ')}?)` : ''}`)
    }
    this.columns.add(field.name)
    return { sql: identifier(field.name), type: field.type }
  }

  #case(): Value {
    const subject = this.#peek('when') ? null : this.#or()
    const whens: { when: string; value: Value }[] = []
    while (this.#take('when')) {
      const test = this.#or()
      this.#expect('then')
      whens.push({ when: subject ? comparison('=', subject, test).sql : condition(test), value: this.#or() })
    }
    const otherwise: Value = this.#take('else') ? this.#or() : { sql: 'null', type: 'void' }
    this.#expect('end')
    if (whens.length === 0) throw new Refused('CASE without WHEN')
    const values = allAlike([...whens.map(({ value }) => value), otherwise], 'CASE')
    const branches = whens.map(({ when }, i) => `when ${when} then ${values.sqls[i] ?? 'null'}`)
    return { sql: `(case ${branches.join(' ')} else ${values.sqls.at(-1) ?? 'null'} end)`, type: values.type }
  }

  #list(): Value[] {
    const items: Value[] = []
    if (this.#take(')')) return items
    do items.push(this.#or())
    while (this.#take(','))
    this.#expect(')')
    return items
  }

  #castCall(): Value {
    const node = this.#or()
    this.#expect('as')
    const word = this.#tokens[this.#at++]?.text.toLowerCase() ?? ''
    let type = TYPE_NAMES.get(word)
    if (word === 'decimal' || word === 'dec' || word === 'numeric') {
      const size = this.#take('(') ? this.#list().map(({ sql }) => Number(/^cast\((\d+) as INTEGER\)$/.exec(sql)?.[1] ?? Number.NaN)) : []
      const [width = 10, scale = 0] = size
      if (!(size.length <= 2 && width >= 1 && width <= 38 && scale >= 0 && scale <= width)) throw new Refused('such a decimal type')
      type = `decimal(${width},${scale})`
    }
    if (type === undefined) throw new Refused(`CAST AS ${word.toUpperCase()}`)
    this.#expect(')')
    return cast(node, type)
  }

  #now(word: string): Value {
    if (this.#take('(')) this.#expect(')')
    this.stable = false
    return NOW.get(word) ?? NULL
  }
}

const NOW: ReadonlyMap<string, Value> = new Map<string, Value>([
  ['now', { sql: 'now()', type: 'timestamp' }],
  ['current_timestamp', { sql: 'now()', type: 'timestamp' }],
  ['current_date', { sql: "cast(timezone('UTC', now()) as DATE)", type: 'date' }],
])
