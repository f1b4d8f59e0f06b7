/** The live cache: browsed by prefix, filtered by pattern and by type, read and deleted key by key. */
import { z } from 'zod'
import { missing } from '../../base/index.ts'
import type { Platform } from '../../platform/index.ts'
import { entryBytes, entryType, matches, prefixOf } from '../entries.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import { KeyList, KeyPrefixes, KeyShape, KeyType } from '../wire.ts'

type Keys = Platform['engines']['keys']
type Entry = Awaited<ReturnType<Keys['scan']>>['entries'][number]

/** How many entries one answer looks at: with a rare pattern it is short, or empty, rather than late, and says where to go on. */
const MOST_LOOKED_AT = 10_000

const Filter = z.object({
  prefix: z.string().max(1024).default(''),
  pattern: z.string().max(500).optional().describe('The whole key with * for any text and ? for any character'),
  type: KeyType.optional(),
})

export function keyRoutes({ engines: { keys } }: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/keys',
      access: { action: 'read', resource: 'keys' },
      summary: 'Entries of the live cache whose key starts with a prefix, and fits a pattern; a page may be short though a cursor says that there are more',
      query: Filter.extend({ limit: limitParam(1000, 100), cursor: z.string().optional() }),
      answer: KeyList,
      async handle({ query: { limit, cursor, ...filter } }) {
        const page = await find(keys, filter, limit, cursor)
        return { items: page.entries.map(keyShape), ...(page.cursor === undefined ? {} : { cursor: page.cursor }) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/key-prefixes',
      access: { action: 'read', resource: 'keys' },
      summary: 'What stands in keys between a prefix and the next colon, and how many keys go on from there',
      query: z.object({ prefix: z.string().max(1024).default(''), limit: limitParam(200, 50) }),
      answer: KeyPrefixes,
      async handle({ query: { prefix, limit } }) {
        const { prefixes, complete } = await keys.prefixes(prefix, { limit })
        return { items: prefixes.map((one) => ({ ...one })), complete }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/keys/{key}',
      access: { action: 'read', resource: 'keys' },
      summary: 'One entry of the live cache',
      params: z.object({ key: z.string() }),
      answer: KeyShape,
      async handle({ params: { key } }) {
        const entry = await keys.get(key)
        if (!entry) throw missing('keys.no_key', `There is no key ${key}`, { hint: 'It never was, or its time to live is over; see GET /api/v1/keys?prefix=.' })
        return keyShape(entry)
      },
    }),
    jsonRoute({
      method: 'delete',
      path: '/api/v1/keys/{key}',
      access: { action: 'write', resource: 'keys' },
      summary: 'Delete one entry of the live cache; the next record of its key makes it anew',
      params: z.object({ key: z.string() }),
      answer: z.object({ deleted: z.number() }),
      async handle({ params: { key } }) {
        return { deleted: await keys.delete([key]) }
      },
    }),
  ]
}

/** A page of at most `limit` entries (and a few more where the engine's scan gives more), from as many of its pages as that takes. */
async function find(
  keys: Keys,
  { prefix, pattern, type }: z.output<typeof Filter>,
  limit: number,
  from: string | undefined,
): Promise<{ readonly entries: Entry[]; readonly cursor?: string }> {
  const literal = pattern === undefined ? '' : prefixOf(pattern)
  // Of the prefix that was asked for and the one that the pattern begins with, the longer says more; when they differ, no key has both.
  const [short, long] = literal.length < prefix.length ? [literal, prefix] : [prefix, literal]
  if (!long.startsWith(short)) return { entries: [] }
  const isWanted = (entry: Entry): boolean => (pattern === undefined || matches(pattern, entry.key)) && (type === undefined || entryType(entry.fields) === type)
  const entries: Entry[] = []
  let cursor = from
  let looked = 0
  do {
    const page = await keys.scan(long, { limit: limit - entries.length, ...(cursor === undefined ? {} : { cursor }) })
    entries.push(...page.entries.filter(isWanted))
    looked += Math.max(1, page.entries.length)
    cursor = page.cursor
    // A page that is half full is answered: filling it by ever smaller scans costs more than another request.
  } while (cursor !== undefined && entries.length < limit / 2 && looked < MOST_LOOKED_AT)
  return cursor === undefined ? { entries } : { entries, cursor }
}

function keyShape({ key, fields, updatedAt, expiresAt }: Entry): z.input<typeof KeyShape> {
  return { key, type: entryType(fields), bytes: entryBytes(fields), fields: { ...fields }, updatedAt, expiresAt }
}
