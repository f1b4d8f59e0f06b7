import { describe, expect, it } from 'vitest'
import { LagoaError, t } from '../../src/base/index.ts'
import { alert, checkCondition, compileRule, compileRules, queue, type AlertOptions, type RuleStream } from '../../src/alerts/index.ts'

const schema = { sensor: t.string(), at: t.timestamp(), day: t.date(), co: t.double().missing(-200), n: t.int(), ok: t.boolean(), extra: t.json() }

function refusal(work: () => unknown): LagoaError {
  try {
    work()
  } catch (error) {
    if (error instanceof LagoaError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

const of = (text: string): LagoaError => refusal(() => checkCondition({ rule: 'high', part: 'when', text }, schema))

describe('a condition that is refused', () => {
  it('shows the rule, the part, the expression and the place', () => {
    const error = of('co > 10 || cO2 > 200')
    expect(error.message).toBe('Rule "high", `when`: the stream has no field "cO2"\n  co > 10 || cO2 > 200\n             ^^^')
    expect(error).toMatchObject({ code: 'alerts.unknown_field', kind: 'invalid', hint: 'Did you mean co or ok?' })
  })

  it('shows the line in question of a condition with several lines', () => {
    expect(of('co > 10 ||\n\tsensro == "a"').message).toContain('\n  \tsensro == "a"\n  \t^^^^^^')
  })

  it.each([
    ['co > 10 or n > 2', 'alerts.cel_syntax', 'Write || for "or".', 'or n'],
    ['co > 10 and n > 2', 'alerts.cel_syntax', 'Write && for "and".', 'and n'],
    ['co = 10', 'alerts.cel_syntax', 'Write == to compare.', '= 10'],
    ['co >', 'alerts.cel_syntax', 'Conditions are CEL expressions', ''],
    ['sensor == "a', 'alerts.cel_syntax', 'Close the text with the quote', '"a'],
    ['co + 1', 'alerts.not_boolean', 'Compare it with something', 'co + 1'],
    ['co', 'alerts.not_boolean', 'Compare it with something', 'co'],
    ['co && ok', 'alerts.cel_type', 'Compare it with something', 'co && ok'],
    ['sensor > 5', 'alerts.cel_type', 'Leave out the quotes', 'sensor > 5'],
    ['1 < co < 5', 'alerts.cel_type', 'Put both sides in the same type', '1 < co < 5'],
    ['(1 < co) < ok', 'alerts.cel_type', 'Compare one thing at a time', '1 < co'],
    ["at > '2026-01-01'", 'alerts.cel_type', "timestamp('2026-01-31T12:00:00Z')", 'at >'],
    ["at > timestamp('2026-01-01')", 'alerts.cel_type', 'Write date, time and zone', "'2026"],
    ["day > '2026-02-30'", 'alerts.cel_type', "'YYYY-MM-DD'", "'2026"],
    ['co > null', 'alerts.cel_type', 'field == null', 'co > null'],
    ['co == -9007199254740993', 'alerts.cel_type', 'decimal point', '9007'],
    ['co == 10u', 'alerts.cel_unsupported', 'Leave out the u', '10u'],
    ['extra == "x"', 'alerts.cel_type', 'a field of its own', 'extra'],
    ['extra.a == 1', 'alerts.cel_unsupported', 'a field of its own', 'extra.a'],
    ['readings.co > 1', 'alerts.cel_unsupported', 'Write co alone', 'readings'],
    ['[1, 2].exists(x, x > co)', 'alerts.cel_unsupported', 'Rules know comparisons', '[1, 2]'],
    ['co in n', 'alerts.cel_unsupported', "Write field in ['a', 'b']", 'n'],
    ['co in [n]', 'alerts.cel_unsupported', 'Write each comparison out', 'n]'],
    ['has(extra.a)', 'alerts.cel_unsupported', 'field != null', 'has'],
    ['double(n) > 1.0', 'alerts.cel_unsupported', 'leave it out', 'double'],
    ['sensor.startWith("a")', 'alerts.cel_unsupported', 'Did you mean startsWith?', 'sensor.'],
    ['sensor + "x" == "y"', 'alerts.cel_type', 'Only numbers', 'sensor'],
    ['sensor.matches(sensor)', 'alerts.cel_unsupported', 'matches(', 'sensor)'],
    ['{"a": co}', 'alerts.cel_unsupported', 'Rules know', '{'],
  ])('%s', (text, code, hint, place) => {
    const error = of(text)
    expect(error.code).toBe(code)
    expect(error.hint).toContain(hint)
    const [, line = '', marks = ''] = error.message.split('\n')
    expect(line).toBe(`  ${text}`)
    expect(line.slice(marks.indexOf('^')).startsWith(place)).toBe(true)
  })

  it.each([
    ['(?=a)', '(?='],
    ['(?<!a)b', '(?<!'],
    ['(a)\\1', '\\\\1'],
    ['a{1,5000}', '{1'],
    ['[', '['],
    ['b(', '('],
    [')', ')'],
    ['a**', '*'],
    ['*a', '*a'],
    ['[z-a]', 'a]'],
    ['\\bx', '\\\\b'],
    ['a'.repeat(201), 'a'],
    ['((((a{100}){100}){100}){100}){100}', '('],
  ])('the pattern %s is not run', (pattern, place) => {
    const error = of(`sensor.matches(${JSON.stringify(pattern)})`)
    expect(error.code).toBe('alerts.bad_pattern')
    const [, line = '', marks = ''] = error.message.split('\n')
    if (pattern.length < 200) expect(line.slice(marks.indexOf('^')).startsWith(place)).toBe(true)
  })

  it.each(['^A[0-9]+$', '(abc)+', '(?:ab)?c', 'a{2,5}', 'a|b', '[(|)]+', '\\(x\\)', 'x.*y.*z', '(?<name>a)b', '(a+)+', '(a|b)*', '(?i)abc', '\\x{1F600}'])(
    'the pattern %s is run',
    (pattern) => {
      expect(checkCondition({ rule: 'r', part: 'when', text: `sensor.matches(${JSON.stringify(pattern)})` }, schema).op).toBe('matches')
    },
  )

  it('is refused when it is too large, before it can cost anything', () => {
    expect(of(`${'('.repeat(500)}ok${')'.repeat(500)}`).code).toBe('alerts.cel_syntax')
    expect(of(Array.from({ length: 3_000 }, () => 'ok').join('||')).code).toBe('alerts.cel_syntax')
    expect(of(' '.repeat(20_000)).code).toBe('alerts.cel_syntax')
  })
})

describe('a rule that is refused', () => {
  const readings: RuleStream<typeof schema> = { kind: 'stream', name: 'readings', schema, options: { key: 'sensor', eventTime: 'at' } }
  const good: AlertOptions<typeof schema> = { on: readings, when: 'co > 10', to: [queue('q')] }
  const compile = (name: string, options: object): LagoaError => refusal(() => compileRule({ ...alert(name, good), options: { ...good, ...options } }))

  it.each([
    [{ severity: 'fatal' }, '`severity`'],
    [{ for: 'soon' }, '`for` must be a duration'],
    [{ for: { readings: 0 } }, '`for` must be a duration'],
    [{ to: 'q' }, '`to` must be a list of routes'],
    [{ to: [{ kind: 'pigeon', name: 'x', durable: true }] }, '`to.0.kind`'],
    [{ queue: 'q' }, 'nrecognized key'],
    [{ when: 5 }, '`when` is no condition'],
    [{ by: 'sensr' }, '`by` names "sensr"'],
    [{ message: 'co is {c0}' }, '`message` names "c0"'],
    [{ mode: 'each', clear: 'co < 9' }, "mode 'each' alerts on every matching reading, so `clear` has no meaning"],
    [{ mode: 'each', for: '5 min' }, 'so `for` has no meaning'],
  ])('%j', (options, said) => {
    const error = compile('high', options)
    expect(error.message).toContain('Rule "high"')
    expect(error.message).toContain(said)
    expect(error.hint).toBeTruthy()
  })

  it('is refused for a name that cannot be written in a path', () => {
    expect(compile('a b', {}).code).toBe('alerts.bad_name')
  })

  it('is refused for a name that another rule has', () => {
    expect(refusal(() => compileRules([alert('a', good), alert('a', good)])).code).toBe('alerts.two_rules')
  })
})
