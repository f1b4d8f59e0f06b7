/** What every adapter of the Keys port promises; see src/storage/keys/port.ts. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/base/index.ts'
import { compareUtf8, type KeyEntry, type Keys } from '../../src/storage/index.ts'

/** `open` gives a new instance on the same store each time it is called. */
export function keysContract(name: string, open: () => Promise<Keys>): void {
  describe(`keys: ${name}`, () => {
    let keys: Keys
    beforeAll(async () => {
      keys = await open()
    })
    afterAll(async () => {
      await keys.close()
    })

    test('a missing key is null', async () => {
      expect(await keys.get(unique())).toBeNull()
      expect(await keys.getMany([])).toEqual([])
    })

    test('put stores a hash of text, also seen by another instance', async () => {
      const key = unique()
      const fields = { co: '2.5', empty: '', 'com acento': 'São Paulo \u{1F600}', quote: `"'\\{},` }
      const before = Date.now()
      await keys.put([{ key, fields }])
      const entry = await keys.get(key)
      expect(entry).toMatchObject({ key, fields, expiresAt: null })
      expect(Math.abs((entry?.updatedAt ?? 0) - before)).toBeLessThan(5_000)
      const other = await open()
      expect((await other.get(key))?.fields).toEqual(fields)
      await other.close()
    })

    test('put replaces all fields of a key', async () => {
      const key = unique()
      await keys.put([{ key, fields: { a: '1', b: '2' } }])
      await keys.put([{ key, fields: { c: '3' } }])
      expect((await keys.get(key))?.fields).toEqual({ c: '3' })
    })

    test('getMany answers in the order asked, null where there is none, twice where asked twice', async () => {
      const [a, b, none] = [unique(), unique(), unique()]
      await keys.put([
        { key: a, fields: { v: 'a' } },
        { key: b, fields: { v: 'b' } },
      ])
      expect((await keys.getMany([b, none, a, b])).map((entry) => entry?.fields['v'] ?? null)).toEqual(['b', null, 'a', 'b'])
    })

    test('within one call the later write to a key wins', async () => {
      const key = unique()
      await keys.put([
        { key, fields: { v: '1' } },
        { key, fields: { v: '2' } },
        { key, fields: { v: '3' } },
      ])
      expect((await keys.get(key))?.fields).toEqual({ v: '3' })
    })

    test('a replayed or older write of the same source is dropped, within a call and between calls', async () => {
      const key = unique()
      const at = (offset: number, source: string = 'topic/0') => ({ key, fields: { v: `${source}@${offset}` }, order: { source, offset } })
      await keys.put([at(5)])
      await keys.put([at(5), at(4)])
      expect((await keys.get(key))?.fields).toEqual({ v: 'topic/0@5' })
      await keys.put([at(7), at(6)])
      expect((await keys.get(key))?.fields).toEqual({ v: 'topic/0@7' })
      await keys.put([at(1, 'topic/1')])
      expect((await keys.get(key))?.fields).toEqual({ v: 'topic/1@1' })
    })

    test('an equal offset does not rewrite the fields', async () => {
      const key = unique()
      await keys.put([{ key, fields: { v: 'first' }, order: { source: 's', offset: 3 } }])
      await keys.put([{ key, fields: { v: 'again' }, order: { source: 's', offset: 3 } }])
      expect((await keys.get(key))?.fields).toEqual({ v: 'first' })
    })

    test('a write without order always applies, and an ordered one applies after it', async () => {
      const key = unique()
      await keys.put([{ key, fields: { v: 'ordered' }, order: { source: 's', offset: 9 } }])
      await keys.put([{ key, fields: { v: 'plain' } }])
      expect((await keys.get(key))?.fields).toEqual({ v: 'plain' })
      await keys.put([{ key, fields: { v: 'ordered again' }, order: { source: 's', offset: 1 } }])
      expect((await keys.get(key))?.fields).toEqual({ v: 'ordered again' })
    })

    test('replaying a stream any number of times ends in the same state', async () => {
      const names = [unique(), unique(), unique()]
      const stream = Array.from({ length: 60 }, (_, offset) => ({
        key: names[offset % 3] ?? '',
        fields: { n: String(offset) },
        order: { source: 'r', offset },
      }))
      await keys.put(stream)
      const before = await keys.getMany(names)
      for (const from of [0, 10, 59]) for (let i = from; i < stream.length; i += 7) await keys.put(stream.slice(i, i + 7))
      expect((await keys.getMany(names)).map((entry) => entry?.fields)).toEqual(before.map((entry) => entry?.fields))
      expect(before.map((entry) => entry?.fields['n'])).toEqual(['57', '58', '59'])
    })

    test('an entry is not returned once its time to live is over, and a new write starts it anew', async () => {
      const [short, long] = [unique(), unique()]
      await keys.put([
        { key: short, fields: { v: '1' }, ttlMs: 60 },
        { key: long, fields: { v: '1' }, ttlMs: 60_000 },
      ])
      expect((await keys.get(long))?.expiresAt ?? 0).toBeGreaterThan(Date.now() + 30_000)
      await sleep(120)
      expect(await keys.get(short)).toBeNull()
      expect(await keys.getMany([short, long])).toMatchObject([null, { key: long }])
      expect((await all(keys, short, 10)).length).toBe(0)
      expect(await keys.delete([short])).toBe(0)
      await keys.put([{ key: short, fields: { v: '2' } }])
      expect(await keys.get(short)).toMatchObject({ fields: { v: '2' }, expiresAt: null })
    })

    test('a write without a time to live takes an earlier one away', async () => {
      const key = unique()
      await keys.put([{ key, fields: { v: '1' }, ttlMs: 60 }])
      await keys.put([{ key, fields: { v: '2' } }])
      await sleep(120)
      expect((await keys.get(key))?.fields).toEqual({ v: '2' })
    })

    test('scan pages through a prefix and returns every entry at least once', async () => {
      const prefix = `${unique()}:`
      const names = Array.from({ length: 25 }, (_, i) => `${prefix}${['é', 'z', 'A', '\u{1F600}', '%_'][i % 5]}${i}`)
      await keys.put(names.map((key) => ({ key, fields: { v: key } })))
      await keys.put([
        { key: prefix.slice(0, -1), fields: { v: 'outside' } },
        { key: `${prefix.slice(0, -1)};`, fields: { v: 'outside' } },
      ])
      const found = (await all(keys, prefix, 7)).map((entry) => entry.key)
      const expected = [...names].sort(compareUtf8)
      if (keys.capabilities.orderedScan) expect(found).toEqual(expected)
      else expect([...new Set(found)].sort(compareUtf8)).toEqual(expected)
      expect(await keys.scan(`${prefix}nothing`, { limit: 10 })).toEqual({ entries: [] })
    })

    test('prefixes are what stands before the next colon, with how many keys go on, and no others', async () => {
      const root = `${unique()}:`
      const names = ['a:1', 'a:2', 'a:b:3', 'b:', 'c', 'd*:1', 'é:\u{1F600}:1', 'gone:1', ...Array.from({ length: 1_100 }, (_, i) => `many:${i}`)].map(
        (name) => root + name,
      )
      await keys.put(names.map((key) => ({ key, fields: { v: key }, ...(key.includes('gone') ? { ttlMs: 1 } : {}) })))
      await sleep(20)
      const found = [
        { prefix: `${root}a:`, keys: 3 },
        { prefix: `${root}b:`, keys: 1 },
        { prefix: `${root}d*:`, keys: 1 },
        { prefix: `${root}many:`, keys: 1_000 },
        { prefix: `${root}é:`, keys: 1 },
      ]
      expect(await keys.prefixes(root, { limit: 100 })).toEqual({ prefixes: found, complete: true })
      expect(await keys.prefixes(root, { limit: 5 })).toEqual({ prefixes: found, complete: true })
      expect(await keys.prefixes(root, { limit: 2 })).toEqual({ prefixes: found.slice(0, 2), complete: false })
      expect(await keys.prefixes(`${root}a:`, { limit: 100 })).toEqual({ prefixes: [{ prefix: `${root}a:b:`, keys: 1 }], complete: true })
      expect(await keys.prefixes(`${root}d*`, { limit: 100 })).toEqual({ prefixes: [{ prefix: `${root}d*:`, keys: 1 }], complete: true })
      expect(await keys.prefixes(`${root}nothing`, { limit: 100 })).toEqual({ prefixes: [], complete: true })
      expect((await keys.prefixes('', { limit: 200 })).prefixes).toContainEqual({ prefix: root, keys: 1_000 })
      await keys.delete(names)
    })

    test('a key of any length and with any character is kept, apart from others that begin alike, and found by the whole or by its kept name', async () => {
      const prefix = `${unique()}:`
      const long = prefix + randomBytes(4_000).toString('hex')
      const names = [
        long,
        `${long.slice(0, -1)}x`,
        `${prefix}nul\0`,
        `${prefix}nul\ufffd`,
        `${prefix}half\ud800`,
        `${prefix}half\udfff`,
        prefix + 'é'.repeat(600),
      ]
      await keys.put(names.map((key, i) => ({ key, fields: { v: String(i) }, order: { source: 's', offset: i } })))
      await keys.put(names.map((key, i) => ({ key, fields: { v: 'replayed' }, order: { source: 's', offset: i } })))
      expect((await keys.getMany(names)).map((entry) => entry?.fields['v'])).toEqual(names.map((_, i) => String(i)))
      expect((await keys.get(long))?.fields).toEqual({ v: '0' })
      const found = await all(keys, prefix, 100)
      expect(found.map((entry) => entry.fields['v'] ?? '').toSorted(compareUtf8)).toEqual(names.map((_, i) => String(i)))
      for (const { key } of found) expect(Buffer.byteLength(key)).toBeLessThanOrEqual(1_024)
      const first = found.find((entry) => entry.fields['v'] === '0')
      expect(first?.key.startsWith(long.slice(0, 150))).toBe(true)
      expect((await keys.get(first?.key ?? ''))?.fields).toEqual({ v: '0' })
      expect(await keys.delete(names)).toBe(names.length)
    })

    test('an entry without fields is refused, and nothing of its call is written', async () => {
      const key = unique()
      await expect(
        keys.put([
          { key, fields: { v: '1' } },
          { key: unique(), fields: {} },
        ]),
      ).rejects.toMatchObject({ code: 'storage.empty_entry', kind: 'invalid' })
      expect(await keys.get(key)).toBeNull()
    })

    test('an entry may have thousands of fields and large ones', async () => {
      const key = unique()
      const fields = { ...Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`f${i}`, String(i)])), large: 'é'.repeat(700_000) }
      await keys.put([{ key, fields }])
      expect((await keys.get(key))?.fields).toEqual(fields)
    })

    test('delete answers how many were there', async () => {
      const [a, b, none] = [unique(), unique(), unique()]
      await keys.put([
        { key: a, fields: { v: '1' } },
        { key: b, fields: { v: '1' } },
      ])
      expect(await keys.delete([a, b, none])).toBe(2)
      expect(await keys.delete([a])).toBe(0)
      expect(await keys.delete([])).toBe(0)
      expect(await keys.getMany([a, b])).toEqual([null, null])
    })

    test('concurrent batches over the same keys all come through', async () => {
      const names = Array.from({ length: 50 }, unique)
      const batch = (source: number): Promise<void> =>
        keys.put((source % 2 ? [...names].reverse() : names).map((key) => ({ key, fields: { from: String(source) } })))
      await Promise.all(Array.from({ length: 12 }, (_, i) => batch(i)))
      expect((await keys.getMany(names)).every((entry) => entry !== null)).toBe(true)
    })

    test('a batch of thousands is one call', async () => {
      const prefix = `${unique()}:`
      await keys.put(Array.from({ length: 5_000 }, (_, i) => ({ key: prefix + i, fields: { i: String(i) } })))
      expect((await keys.getMany([`${prefix}0`, `${prefix}4999`])).map((entry) => entry?.fields['i'])).toEqual(['0', '4999'])
    })

    test('a mark moves only from where it is, and is no key', async () => {
      const name = unique()
      expect(await keys.mark(name)).toBeNull()
      expect(await keys.moveMark(name, 'a', 'b')).toBe(false)
      expect(await keys.moveMark(name, null, '')).toBe(true)
      expect(await keys.moveMark(name, null, 'b')).toBe(false)
      expect(await keys.moveMark(name, '', 'full 1')).toBe(true)
      expect(await keys.moveMark(name, '', 'full 2')).toBe(false)
      const other = await open()
      expect(await other.mark(name)).toBe('full 1')
      const outcomes = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 ? keys : other).moveMark(name, 'full 1', `full ${i + 2}`)))
      expect(outcomes.filter(Boolean)).toEqual([true])
      await other.close()
      expect(await keys.get(name)).toBeNull()
      expect((await all(keys, '', 1000)).filter(({ key }) => key.includes(name))).toEqual([])
    })

    test('ping answers milliseconds', async () => {
      expect(await keys.ping()).toBeGreaterThanOrEqual(0)
    })

    test('after close every method rejects', async () => {
      const other = await open()
      await other.close()
      await other.close()
      const closed = { code: 'storage.closed', kind: 'unavailable' }
      await expect(other.get('a')).rejects.toMatchObject(closed)
      await expect(other.put([{ key: 'a', fields: {} }])).rejects.toMatchObject(closed)
      await expect(other.scan('a', { limit: 1 })).rejects.toMatchObject(closed)
      await expect(other.delete(['a'])).rejects.toMatchObject(closed)
      await expect(other.mark('a')).rejects.toMatchObject(closed)
      await expect(other.moveMark('a', null, 'b')).rejects.toMatchObject(closed)
      await expect(other.ping()).rejects.toMatchObject(closed)
    })
  })
}

const unique = (): string => `k-${newId()}`

async function all(keys: Keys, prefix: string, limit: number): Promise<KeyEntry[]> {
  const found: KeyEntry[] = []
  let cursor: string | undefined
  do {
    const page = await keys.scan(prefix, cursor === undefined ? { limit } : { limit, cursor })
    found.push(...page.entries)
    cursor = page.cursor
  } while (cursor !== undefined)
  return found
}
