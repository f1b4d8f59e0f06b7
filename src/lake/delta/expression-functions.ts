/** The functions of Spark SQL that expressions may call: those whose values are known to be the same here. */
import { typeName } from './schema.ts'
import { literal } from './sql.ts'
import {
  NULL,
  Refused,
  TYPE_NAMES,
  WHOLE,
  allAlike,
  arithmetic,
  cast,
  comparison,
  condition,
  isFloat,
  local,
  numeric,
  pattern,
  textual,
  type Value,
} from './expression-values.ts'

export function call(name: string, args: readonly Value[]): Value {
  const known = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined
  if (known) {
    const [least, most, value] = known
    if (args.length < least || args.length > most) throw new Refused(`${name} of ${args.length} arguments`)
    return value(args, name)
  }
  const [only] = args
  const type = TYPE_NAMES.get(name)
  if (only && type !== undefined && args.length === 1) return cast(only, type)
  throw new Refused(`the function ${name}`)
}

type Function = (args: readonly Value[], name: string) => Value

/** Of one, two or three values, whose number was checked before. */
const one =
  (value: (a: Value, name: string) => Value): Function =>
  ([a = NULL], name) =>
    value(a, name)
const two =
  (value: (a: Value, b: Value, name: string) => Value): Function =>
  ([a = NULL, b = NULL], name) =>
    value(a, b, name)

const fact = (sql: string): Value => ({ sql, type: 'boolean' })
const text = (sql: string): Value => ({ sql, type: 'string' })
const integer = (sql: string): Value => ({ sql: `cast(${sql} as INTEGER)`, type: 'integer' })

const first =
  (by: string): Function =>
  (args, name) => {
    const { sqls, type } = allAlike(args, `${name} of ${args.map((arg) => typeName(arg.type)).join(', ')}`)
    return { sql: `${by}(${sqls.join(', ')})`, type }
  }

const length = one((a, name) => integer(a.type === 'binary' ? `octet_length(${a.sql})` : `length(${textual(a, name)})`))

/** Beyond these letters the two know other capitals: two letters for one, by language. */
const inCase = (by: 'upper' | 'lower'): Function =>
  one((a, name) => {
    const sql = textual(a, name)
    return text(
      `(case when regexp_matches(${sql}, '[^\\x00-\\x{de}\\x{e0}-\\x{fe}]') then error('${by} of letters beyond Western European ones') else ${by}(${sql}) end)`,
    )
  })

const trim = one((a, name) => text(`${name}(${textual(a, name)}, ' ')`))

const substring: Function = ([a = NULL, ...places], name) => {
  if (!places.every(({ sql }) => /^cast\(\d+ as INTEGER\)$/.test(sql)) || places[0]?.sql === 'cast(0 as INTEGER)')
    throw new Refused(`${name} from a place that is no whole number above 0`)
  return text(`substring(${[textual(a, name), ...places.map(({ sql }) => sql)].join(', ')})`)
}

const among = (by: string): Function => two((a, b, name) => fact(`${by}(${textual(a, name)}, ${textual(b, name)})`))

const rounded = (by: 'floor' | 'ceil'): Function =>
  one((a, name) => {
    if (WHOLE.includes(a.type)) return cast(a, 'long')
    if (!isFloat(a.type)) throw new Refused(`${name} of ${typeName(a.type)}`)
    return { sql: `cast(${by}(${a.sql}) as BIGINT)`, type: 'long' }
  })

const part = (by: string): Function => one((a, name) => integer(`${by}(${local(a, name)})`))

const moved = (sign: '+' | '-'): Function =>
  two((a, b, name) => {
    if (b.type !== 'byte' && b.type !== 'short' && b.type !== 'integer') throw new Refused(`${name} by ${typeName(b.type)}`)
    return { sql: `(${cast(a, 'date').sql} ${sign} cast(${b.sql} as INTEGER))`, type: 'date' }
  })

const apart = two((a, b) => integer(`date_diff('day', ${cast(b, 'date').sql}, ${cast(a, 'date').sql})`))

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

function unitOf(unit: Value, name: string): string {
  const known = UNITS[unit.text?.toLowerCase() ?? '']
  if (known === undefined) throw new Refused(`${name} to ${unit.text ?? 'a computed unit'}`)
  return known
}

const PATTERN: Readonly<Record<string, string>> = { yyyy: '%Y', MM: '%m', dd: '%d', HH: '%H', mm: '%M', ss: '%S' }

const formatted = two((a, b, name) => {
  if (b.text === undefined || !/^(yyyy|MM|dd|HH|mm|ss|[-/:. _])*$/.test(b.text)) throw new Refused(`${name} by ${b.text ?? 'a computed pattern'}`)
  return text(`strftime(${local(a, name)}, ${literal(b.text.replace(/yyyy|MM|dd|HH|mm|ss/g, (item) => PATTERN[item] ?? item))})`)
})

/** By name: the least and the most values that it takes, and what it gives. */
const FUNCTIONS: Readonly<Record<string, readonly [least: number, most: number, value: Function]>> = {
  coalesce: [1, 99, first('coalesce')],
  nvl: [2, 2, first('coalesce')],
  ifnull: [2, 2, first('coalesce')],
  greatest: [2, 99, first('greatest')],
  least: [2, 99, first('least')],
  nullif: [2, 2, two((a, b) => ({ sql: `(case when ${comparison('=', a, b).sql} then null else ${a.sql} end)`, type: a.type }))],
  if: [
    3,
    3,
    ([test = NULL, ...values]) => {
      const { sqls, type } = allAlike(values, 'if')
      return { sql: `(case when ${condition(test)} then ${sqls.join(' else ')} end)`, type }
    },
  ],
  isnull: [1, 1, one((a) => fact(`(${a.sql} is null)`))],
  isnotnull: [1, 1, one((a) => fact(`(${a.sql} is not null)`))],
  isnan: [
    1,
    1,
    one((a, name) => {
      if (!isFloat(a.type)) throw new Refused(`${name} of ${typeName(a.type)}`)
      return fact(`coalesce(isnan(${a.sql}), false)`)
    }),
  ],
  abs: [1, 1, one((a, name) => ({ sql: `abs(${numeric(a, name).sql})`, type: a.type }))],
  floor: [1, 1, rounded('floor')],
  ceil: [1, 1, rounded('ceil')],
  ceiling: [1, 1, rounded('ceil')],
  mod: [2, 2, two((a, b) => arithmetic('%', a, b))],
  length: [1, 1, length],
  len: [1, 1, length],
  char_length: [1, 1, length],
  character_length: [1, 1, length],
  upper: [1, 1, inCase('upper')],
  ucase: [1, 1, inCase('upper')],
  lower: [1, 1, inCase('lower')],
  lcase: [1, 1, inCase('lower')],
  trim: [1, 1, trim],
  ltrim: [1, 1, trim],
  rtrim: [1, 1, trim],
  concat: [1, 99, (args, name) => text(`(${args.map((arg) => textual(arg, name)).join(' || ')})`)],
  substring: [2, 3, substring],
  substr: [2, 3, substring],
  startswith: [2, 2, among('starts_with')],
  endswith: [2, 2, among('ends_with')],
  contains: [2, 2, among('contains')],
  regexp_like: [2, 2, two(pattern)],
  regexp: [2, 2, two(pattern)],
  rlike: [2, 2, two(pattern)],
  year: [1, 1, part('year')],
  quarter: [1, 1, part('quarter')],
  month: [1, 1, part('month')],
  day: [1, 1, part('day')],
  dayofmonth: [1, 1, part('day')],
  dayofyear: [1, 1, part('dayofyear')],
  // Sunday is 1 in Spark.
  dayofweek: [1, 1, part('1 + dayofweek')],
  weekofyear: [1, 1, part('weekofyear')],
  hour: [1, 1, part('hour')],
  minute: [1, 1, part('minute')],
  second: [1, 1, part('second')],
  to_date: [1, 1, one((a) => cast(a, 'date'))],
  date_add: [2, 2, moved('+')],
  date_sub: [2, 2, moved('-')],
  datediff: [2, 2, apart],
  date_diff: [2, 2, apart],
  date_format: [2, 2, formatted],
  date_trunc: [2, 2, two((unit, a, name) => ({ sql: `timezone('UTC', date_trunc('${unitOf(unit, name)}', ${local(a, name)}))`, type: 'timestamp' }))],
  trunc: [
    2,
    2,
    two((a, unit, name) => {
      const known = unitOf(unit, name)
      if (!['year', 'quarter', 'month', 'week'].includes(known)) throw new Refused(`trunc to ${known}`)
      return { sql: `cast(date_trunc('${known}', ${cast(a, 'date').sql}) as DATE)`, type: 'date' }
    }),
  ],
}
