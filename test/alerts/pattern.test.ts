import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { t } from '../../src/base/index.ts'
import { checkCondition, evaluate } from '../../src/alerts/index.ts'
import { rowsOf } from './reference.ts'

const schema = { s: t.string() }

function matches(pattern: string, texts: readonly string[]): boolean[] {
  const condition = checkCondition({ rule: 'r', part: 'when', text: `s.matches(${JSON.stringify(pattern)})` }, schema)
  return [
    ...evaluate(
      schema,
      condition,
      rowsOf(
        schema,
        texts.map((s) => ({ s })),
      ),
    ),
  ].map((result) => result === 1)
}

const { pattern: anyPattern } = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'pattern' },
    fc.constantFrom('a', 'b', 'c', '.', '[ab]', '[^a]', '[a-c1-3]', '\\d', '\\w', '\\s', '\\S', '\\.', '[\\d\\]-]', '😀', '^', '$', ''),
    fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => a + b),
    fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => `(${a}|${b})`),
    fc.tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '*?', '+?', '{2}', '{1,3}', '{2,}', '{0}')).map(([a, times]) => `(?:${a})${times}`),
  ),
}))
const anyText = fc.array(fc.constantFrom('a', 'b', 'c', '1', '.', ' ', '\n', '😀', ']', '-'), { maxLength: 12 }).map((chars) => chars.join(''))

describe('a pattern', () => {
  it("finds what JavaScript's own engine finds", () => {
    fc.assert(
      fc.property(anyPattern, fc.array(anyText, { minLength: 1, maxLength: 6 }), (pattern, texts) => {
        // There `.` stops at more line ends; the texts here hold only \n.
        const known = new RegExp(pattern, 'u')
        expect(matches(pattern, texts)).toEqual(texts.map((text) => known.test(text)))
      }),
      { numRuns: 3_000 },
    )
  })

  it('takes letters of either case after (?i)', () => {
    expect(matches('(?i)^roma [A-C]$', ['ROMA b', 'Roma C', 'rom b', 'roma d'])).toEqual([true, true, false, false])
  })

  it.each(['(a+)+b', '(a|a)*b', `${'a?'.repeat(40)}${'a'.repeat(40)}b`, 'a*a*a*a*b', '(a{0,10}){10}b', '(.*)(.*)(.*)(.*)x'])(
    '%s takes linear time on a text made to be slow',
    (pattern) => {
      const began = performance.now()
      expect(matches(pattern, ['a'.repeat(100_000)])).toEqual([false])
      expect(performance.now() - began).toBeLessThan(2_000)
    },
  )

  it('keeps its memory bounded on texts with many different characters', () => {
    const text = Array.from({ length: 50_000 }, (_, i) => String.fromCodePoint(0x4e00 + (i % 20_000))).join('')
    expect(matches('[ab].{0,50}c.{0,5}d', [text, `${text}a..c..d`])).toEqual([false, true])
  })
})
