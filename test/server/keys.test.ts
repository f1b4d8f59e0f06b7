/** What is told of an entry of the live cache, which keys a pattern means, and how keys are found over the API's pages. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { openPlatform, resolveConfig, type Platform } from '../../src/platform/index.ts'
import { entryBytes, entryType, matches, prefixOf } from '../../src/server/entries.ts'
import { newHome, temporaryFolder } from '../helpers/cli.ts'

describe('a pattern', () => {
  const literal = (character: string): string => character.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  const asRegExp = (pattern: string): RegExp =>
    new RegExp(`^${Array.from(pattern, (one) => (one === '*' ? '.*' : one === '?' ? '.' : literal(one))).join('')}$`, 'su')

  test('means what the same regular expression means', () => {
    const letters = fc.constantFrom('a', 'b', ':', '*', '?', '.', '[', '\u{1F600}')
    const text = fc.array(letters, { maxLength: 8 }).map((all) => all.join(''))
    fc.assert(
      fc.property(text, text, (pattern, key) => {
        expect(matches(pattern, key)).toBe(asRegExp(pattern).test(key))
        if (matches(pattern, key)) expect(key.startsWith(prefixOf(pattern))).toBe(true)
      }),
      { numRuns: 3_000 },
    )
  })

  test('that would keep a regular expression busy for ever is answered at once', () => {
    const began = performance.now()
    expect(matches('*a'.repeat(200), 'a'.repeat(1_000) + 'b')).toBe(false)
    expect(performance.now() - began).toBeLessThan(2_000)
  })
})

test('an entry is a hash of its fields, or what its one value holds', () => {
  expect(entryType({ co: '1', no2: '2' })).toBe('hash')
  expect(entryType({ value: '{"a":1}', other: '' })).toBe('hash')
  expect(entryType({ value: ' [1]' })).toBe('json')
  expect(entryType({ value: '{not json' })).toBe('text')
  expect(entryType({ value: '-1.5e3' })).toBe('number')
  for (const value of ['', '  ', 'NaN', 'São Paulo']) expect(entryType({ value })).toBe('text')
  expect(entryBytes({ é: 'aa', b: '' })).toBe(5)
})

describe('keys whose time is over', () => {
  let platform: Platform
  beforeAll(async () => {
    const config = resolveConfig(temporaryFolder('keys'), [{ from: 'the test', values: { home: newHome() } }])
    platform = await openPlatform({ config, logger: silentLog, feed: null, tolerant: true })
  }, 60_000)
  afterAll(() => platform?.close())

  test('are removed from the database, so that it does not grow with what was', async () => {
    const { keys, records, sweepKeys } = platform.engines
    await keys.put(Array.from({ length: 2_000 }, (_, i) => ({ key: `k${i}`, fields: { v: '1' }, ...(i % 100 === 0 ? {} : { ttlMs: 1 }) })))
    await new Promise((later) => setTimeout(later, 20))
    await sweepKeys()
    expect(await records.query('select count(*) as left from lagoa_key')).toEqual([{ left: 20 }])
  })
})
