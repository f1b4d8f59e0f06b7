import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { crumbs } from '../../console/src/app/crumbs.ts'
import { keysSearch } from '../../console/src/app/search.ts'
import { bars } from '../../console/src/features/health/bars.ts'
import { listed, patternOf, prettyJson, rawText, shownPart, stepsTo } from '../../console/src/features/keys/shape.ts'

describe('what is typed to find a key', () => {
  it('is looked for anywhere below the prefix, or is a pattern for the rest of the key', () => {
    expect(patternOf('', '')).toBeUndefined()
    expect(patternOf('sensor_raw:', 'Lapa')).toBe('sensor_raw:*Lapa*')
    expect(patternOf('sensor_raw:', 'L??a')).toBe('sensor_raw:L??a')
    expect(patternOf('', '*:Lapa')).toBe('*:Lapa')
  })

  it('stays in the address, where what is unknown is dropped', () => {
    expect(keysSearch({ prefix: 'a:', q: 12, type: 'hash', key: 'a:1', view: 'raw' })).toEqual({ prefix: 'a:', q: '12', type: 'hash', key: 'a:1', view: 'raw' })
    expect(keysSearch({ type: 'list', view: 'pretty', prefix: '', key: {} })).toEqual({})
    expect(crumbs('/keys')).toMatchObject([{ page: 'page.keys' }])
    expect(crumbs('/health')).toMatchObject([{ page: 'page.health' }])
  })
})

describe('the way to a prefix', () => {
  it('is a step for each colon, and leads back to the prefix', () => {
    expect(stepsTo('')).toEqual([])
    expect(stepsTo('a:b:')).toEqual([
      { label: 'a:', prefix: 'a:' },
      { label: 'b:', prefix: 'a:b:' },
    ])
    fc.assert(
      fc.property(fc.string(), (prefix) => {
        const steps = stepsTo(prefix)
        expect(steps.map(({ label }) => label).join('')).toBe(prefix)
        if (prefix !== '') expect(steps.at(-1)?.prefix).toBe(prefix)
      }),
    )
  })
})

describe('an entry', () => {
  const entry = (key: string, value: string) => ({ key, type: 'text' as const, bytes: 1, fields: { value }, updatedAt: 0, expiresAt: null })

  it('that comes on two pages is listed once, as the last one has it', () => {
    const all = listed([{ items: [entry('a', '1'), entry('b', '1')] }, { items: [entry('a', '2')] }])
    expect(all.map(({ key, fields }) => [key, fields.value])).toEqual([
      ['a', '2'],
      ['b', '1'],
    ])
  })

  it('is shown as it is, indented where it is JSON, and only so much of it as a screen takes', () => {
    expect(rawText(entry('a', 'x'))).toBe('x')
    expect(JSON.parse(rawText({ type: 'hash', fields: { co: '1' } }))).toEqual({ co: '1' })
    expect(prettyJson('{"a":[1]}')).toBe('{\n  "a": [\n    1\n  ]\n}')
    for (const text of ['12', '{', 'null', '']) expect(prettyJson(text)).toBeNull()
    expect(shownPart('x')).toEqual({ text: 'x', cut: false })
    expect(shownPart('x'.repeat(1_000_000)).cut).toBe(true)
  })
})

describe('the bars of an engine', () => {
  it('stay in the drawing, the newest at its end, the slowest the tallest', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.double({ min: 0, max: 1e6, noNaN: true })), { maxLength: 90 }), (values) => {
        const drawn = bars(values, 26)
        expect(drawn).toHaveLength(Math.min(60, values.length))
        if (values.length > 0) expect(drawn.at(-1)?.place).toBe(59)
        for (const { top, place } of drawn) {
          expect(top).toBeGreaterThanOrEqual(-1e-9)
          expect(top).toBeLessThan(26)
          expect(place).toBeGreaterThanOrEqual(0)
        }
        expect(drawn.map(({ missed }) => missed)).toEqual(values.slice(-60).map((value) => value === null))
      }),
    )
    const [fast, slow] = bars([1, 100], 26)
    expect(fast?.top).toBeGreaterThan(slow?.top ?? 0)
  })
})
