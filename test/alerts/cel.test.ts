import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { t } from '../../src/base/index.ts'
import { alert, cel, checkCondition, compileRule, createEvaluator, evaluate, limitsOf, queue, STRETCH, type RuleStream } from '../../src/alerts/index.ts'
import { referenceResult, rowsOf, type Row } from './reference.ts'

const schema = {
  co: t.double().nullable().missing(-200),
  no2: t.double().nullable().missing(-200, -999),
  n: t.int().nullable().missing(-1),
  s: t.string().nullable().missing(''),
  place: t.string(),
  ok: t.boolean().nullable(),
  at: t.timestamp(),
  day: t.date().nullable(),
}

const condition = (text: string) => checkCondition({ rule: 'r', part: 'when', text }, schema)
const results = (text: string, rows: readonly Row[]): number[] => [...evaluate(schema, condition(text), rowsOf(schema, rows))]

const DAY = 19_000
const rowGiven: fc.Arbitrary<Row> = fc.record({
  co: fc.constantFrom(null, -200, 0, -0, 1, 9, 10, 10.5, 1e308),
  no2: fc.constantFrom(null, -200, -999, 1, 10, 200, 201),
  n: fc.constantFrom(null, -1, 0, 1, 2, 7, -7),
  s: fc.constantFrom(null, '', 'a', 'ab', 'ba', 'é😀'),
  place: fc.constantFrom('a', 'ab', 'roma'),
  ok: fc.constantFrom(null, true, false),
  at: fc.constantFrom(0, 1_000_000_000_000, 1_700_000_000_000),
  day: fc.constantFrom(null, 0, DAY, DAY + 1),
})

const quoted = (text: string): string => JSON.stringify(text)
const { truth: conditionText } = fc.letrec<{ truth: string; number: string; text: string }>((tie) => {
  const compare = fc.constantFrom('<', '<=', '>', '>=', '==', '!=')
  const equal = fc.constantFrom('==', '!=')
  return {
    number: fc.oneof(
      { maxDepth: 3, depthIdentifier: 'cel' },
      fc.constantFrom('co', 'no2', 'n', '10', '9.5', '-3', '0', '2'),
      fc.tuple(tie('number'), fc.constantFrom('+', '-', '*', '/', '%'), tie('number')).map(([a, sign, b]) => `(${a} ${sign} ${b})`),
      tie('number').map((a) => `(-${a})`),
      tie('text').map((a) => `size(${a})`),
      fc.tuple(tie('truth'), tie('number'), tie('number')).map(([c, a, b]) => `(${c} ? ${a} : ${b})`),
    ),
    text: fc.oneof(
      { maxDepth: 3, depthIdentifier: 'cel' },
      fc.constantFrom('s', 'place', "'a'", "'ab'", '"😀"'),
      fc.tuple(tie('truth'), tie('text'), tie('text')).map(([c, a, b]) => `(${c} ? ${a} : ${b})`),
    ),
    truth: fc.oneof(
      { maxDepth: 4, depthIdentifier: 'cel' },
      fc.constantFrom('ok', 'true', 'false'),
      fc.tuple(tie('number'), compare, tie('number')).map((parts) => parts.join(' ')),
      fc.tuple(tie('number'), equal, fc.constant('null')).map((parts) => parts.join(' ')),
      fc.tuple(tie('text'), compare, tie('text')).map((parts) => parts.join(' ')),
      fc.tuple(fc.constantFrom('s', 'ok', 'at', 'day', 'co'), equal).map(([field, sign]) => `${field} ${sign} null`),
      fc
        .tuple(fc.constantFrom('at', "timestamp('2001-09-09T01:46:40Z')"), compare, fc.constant("timestamp('2001-09-09T03:46:40+02:00')"))
        .map((parts) => parts.join(' ')),
      fc.tuple(compare).map(([sign]) => `day ${sign} '2022-01-08'`),
      fc.tuple(tie('truth'), equal, tie('truth')).map(([a, sign, b]) => `(${a}) ${sign} (${b})`),
      fc.tuple(tie('number'), fc.array(fc.constantFrom('1', '2.0', '-7', '200'))).map(([a, list]) => `${a} in [${list.join(', ')}]`),
      fc.tuple(tie('text'), fc.array(fc.constantFrom('a', 'roma', ''))).map(([a, list]) => `${a} in [${list.map(quoted).join(', ')}]`),
      fc.tuple(tie('text'), fc.constantFrom('contains', 'startsWith', 'endsWith'), tie('text')).map(([a, test, b]) => `${a}.${test}(${b})`),
      fc.tuple(tie('text'), fc.constantFrom('^a', 'b$', 'r.*a', '[^b]')).map(([a, pattern]) => `${a}.matches(${quoted(pattern)})`),
      fc.tuple(tie('truth'), fc.constantFrom('&&', '||'), tie('truth')).map(([a, sign, b]) => `(${a} ${sign} ${b})`),
      tie('truth').map((a) => `!(${a})`),
      fc.tuple(tie('truth'), tie('truth'), tie('truth')).map(([c, a, b]) => `((${c}) ? (${a}) : (${b}))`),
    ),
  }
})

describe('a condition', () => {
  it('gives on every row what the row-by-row reference gives, nulls and missing values included', () => {
    fc.assert(
      fc.property(conditionText, fc.array(rowGiven, { minLength: 1, maxLength: 8 }), (text, rows) => {
        expect(results(text, rows)).toEqual(rows.map((row) => referenceResult(text, schema, row)))
      }),
      { numRuns: 3_000 },
    )
  })

  it('that shares its parts with others gives what it gives alone', () => {
    fc.assert(
      fc.property(fc.array(conditionText, { minLength: 2, maxLength: 6 }), fc.array(rowGiven, { minLength: 1, maxLength: 8 }), (texts, rows) => {
        const columns = rowsOf(schema, rows)
        const evaluator = createEvaluator(schema, texts.map(condition))
        evaluator.load(columns, 0)
        texts.forEach((text, i) => {
          const alone = rows.map((row) => referenceResult(text, schema, row))
          if (!evaluator.canBeTrue(i)) expect(alone).not.toContain(1)
          expect([...evaluator.results(i).subarray(0, rows.length)]).toEqual(alone)
        })
      }),
      { numRuns: 500 },
    )
  })

  it('is evaluated over batches longer than one stretch', () => {
    const rows = Array.from({ length: 2 * STRETCH + 77 }, (_, i): Row => ({ co: i % 13, no2: i % 5 === 0 ? null : i % 400, n: i % 9, place: 'a', at: i }))
    const text = 'co > 11 || no2 > 390 && n != 3'
    expect(results(text, rows)).toEqual(rows.map((row) => referenceResult(text, schema, row)))
  })

  it('takes a declared missing value for unknown, which no limit is compared with', () => {
    expect(results('co < 5', [{ co: -200 }, { co: 1 }, { co: null }])).toEqual([2, 1, 2])
    expect(
      results('co > 10 || no2 > 200', [
        { co: -200, no2: 300 },
        { co: -200, no2: 1 },
      ]),
    ).toEqual([1, 2])
    expect(results('co == null', [{ co: -200 }, { co: null }, { co: 1 }])).toEqual([1, 1, 0])
  })

  it('takes a division by zero for unknown', () => {
    expect(
      results('co / n > 1 || co % n == 1', [
        { co: 5, n: 0 },
        { co: 5, n: 2 },
      ]),
    ).toEqual([2, 1])
  })

  it('divides whole numbers towards zero', () => {
    expect(results('n / 2 == 3', [{ n: 7 }, { n: -7 }])).toEqual([1, 0])
    expect(results('n / 2.0 == 3.5', [{ n: 7 }])).toEqual([1])
  })

  it('shows its plain limits, mirrored and negated ones too', () => {
    expect(limitsOf(condition('co > 10 || 200 <= no2 || !(n < 5) || co > no2 || s == "a" || co == 3'))).toEqual([
      { field: 'co', op: '>', value: 10 },
      { field: 'no2', op: '>=', value: 200 },
      { field: 'n', op: '>=', value: 5 },
    ])
    expect(limitsOf(condition('co > 5 * 2'))).toEqual([{ field: 'co', op: '>', value: 10 }])
  })
})

describe('the cel template', () => {
  const readings: RuleStream<typeof schema> = { kind: 'stream', name: 'readings', schema, options: { key: 'place', eventTime: 'at' } }
  const co = { kind: 'column', asset: 'readings', name: 'co' } as const

  it('prints columns by name and values as literals', () => {
    const other = cel`${co} > ${9.5}`
    expect(cel`${other} && place == ${'a "b"'} || ok == ${true}`.text).toBe('(co > 9.5) && place == "a \\"b\\"" || ok == true')
    expect(compileRule(alert('r', { on: readings, when: cel`${other} && place == ${'a'}`, to: [queue('q')] })).whenText).toBe('(co > 9.5) && place == "a"')
  })

  it('refuses a column of another stream when the rule is loaded', () => {
    const elsewhere = { kind: 'column', asset: 'stations', name: 'co' } as const
    expect(() => compileRule(alert('high', { on: readings, when: cel`${elsewhere} > 1`, to: [] }))).toThrow(
      'Rule "high": its `when` uses stations.co, but the rule is on the stream readings',
    )
  })

  it('refuses a number that has no literal', () => {
    expect(() => cel`${co} > ${Number.NaN}`).toThrow('cel`...` was given the number NaN')
  })
})
