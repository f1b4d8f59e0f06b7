/**
 * Keys in Redis or Valkey. A key is a plain hash of the user's fields, so any Redis client reads it as it is; what the guard needs stands
 * beside it (redis/scripts.ts). Many keys go in one script call, several calls at a time; each key is replaced atomically.
 */
import { invalid, type Log, unavailable } from '../../base/index.ts'
import { openLasting, type Lasting } from '../lasting.ts'
import { compareUtf8 } from '../objects/paths.ts'
import { keptName } from './names.ts'
import { MOST_COUNTED, type KeyEntry, type KeyPrefix, type Keys, type KeysCapabilities, type KeyWrite } from './port.ts'
import { connectRedis, redisPlace, type RedisConnection } from './redis/connection.ts'
import { DELETE, MARK, MARK_PREFIX, MOVE_MARK, ORDER_PREFIX, READ, WRITE } from './redis/scripts.ts'
import { newestPerKey } from './writes.ts'

export interface RedisKeysOptions {
  /** `redis://user:password@host:6379/0`, `rediss://` for TLS. */
  readonly url: string
  /** A PEM file with the authority that signed the server's certificate, beside the public ones. */
  readonly ca?: string
  /** A server that says nothing for so long while it has something to answer is away; 10 seconds. */
  readonly silenceMs?: number
  readonly log: Log
}

/** A script holds up every other client of the server, so what one does is bounded. */
const LOT_KEYS = 250
const LOT_LENGTH = 500_000
const LOTS_AT_ONCE = 4
/** How many keys one call of scan may look at: with a rare prefix in a large database, a page is empty rather than late. */
const SCAN_KEYS = 200_000
const SCAN_STEP = 1_000
const MOST_PREFIXES = 10_000

/** A server that is away, or that refuses us, is told by the calls: they reject until it is there, and it is tried for ever. */
export async function openRedisKeys({ url, ca, silenceMs = 10_000, log }: RedisKeysOptions): Promise<Keys> {
  const place = await redisPlace(url, ca)
  const server = await openLasting<RedisConnection>({
    engine: 'redis',
    connect: (lost, signal) => connectRedis(place, { silenceMs, log }, lost, signal),
    end: (connection) => connection.close(),
    closed: () => unavailable('storage.closed', 'The key store was closed by this process'),
    log,
  })
  return new HashKeys(server)
}

class HashKeys implements Keys {
  readonly capabilities: KeysCapabilities = { name: 'redis', orderedScan: false }
  readonly #server: Lasting<RedisConnection>

  constructor(server: Lasting<RedisConnection>) {
    this.#server = server
  }

  async put(writes: readonly KeyWrite[]): Promise<void> {
    const server = await this.#server.use()
    const newest = newestPerKey(writes)
    const reserved = newest.find(({ key }) => isReserved(key))
    if (reserved)
      throw invalid(
        'storage.reserved_key',
        `The key ${JSON.stringify(reserved.key)} begins with ${prefixOf(reserved.key)}, where Lagoa keeps what it needs for itself`,
        {
          hint: 'Choose another prefix.',
        },
      )
    for (const group of groups(writeLots(newest))) await Promise.all(group.map(({ keys, values }) => server.run(WRITE, keys, values)))
  }

  async get(key: string): Promise<KeyEntry | null> {
    const [entry] = await this.getMany([key])
    return entry ?? null
  }

  async getMany(keys: readonly string[]): Promise<(KeyEntry | null)[]> {
    return read(await this.#server.use(), keys.map(keptName))
  }

  async scan(
    prefix: string,
    options: { readonly limit: number; readonly cursor?: string },
  ): Promise<{ readonly entries: KeyEntry[]; readonly cursor?: string }> {
    const server = await this.#server.use()
    const start = options.cursor ?? '0'
    if (!/^\d{1,20}$/.test(start))
      throw invalid('storage.bad_cursor', `${JSON.stringify(start)} is no cursor of this scan`, { hint: 'Pass the cursor that the page before answered.' })
    const { names, cursor } = await scanNames(server, prefix, start, options.limit)
    const entries = (await read(server, names)).filter((entry) => entry !== null)
    return cursor === '0' ? { entries } : { entries, cursor }
  }

  async prefixes(prefix: string, { limit }: { readonly limit: number }): Promise<{ readonly prefixes: KeyPrefix[]; readonly complete: boolean }> {
    const server = await this.#server.use()
    const counts = new Map<string, number>()
    let cursor = '0'
    let all = true
    for (let looked = 0; looked < SCAN_KEYS; looked += SCAN_STEP) {
      const [next, found] = await server.scan(cursor, patternOf(prefix), SCAN_STEP)
      for (const name of found) {
        const colon = name.indexOf(':', prefix.length)
        if (colon < 0 || !isOwn(name)) continue
        const part = name.slice(0, colon + 1)
        if (counts.has(part) || counts.size < MOST_PREFIXES) counts.set(part, Math.min(MOST_COUNTED, (counts.get(part) ?? 0) + 1))
        else all = false
      }
      cursor = next
      if (cursor === '0') break
    }
    const prefixes = [...counts].map(([name, keys]) => ({ prefix: name, keys })).sort((a, b) => compareUtf8(a.prefix, b.prefix))
    return { prefixes: prefixes.slice(0, limit), complete: all && cursor === '0' && prefixes.length <= limit }
  }

  async mark(name: string): Promise<string | null> {
    const server = await this.#server.use()
    const mark = await server.run(MARK, [MARK_PREFIX + name], [])
    return typeof mark === 'string' ? mark : null
  }

  async moveMark(name: string, from: string | null, to: string): Promise<boolean> {
    const server = await this.#server.use()
    return (await server.run(MOVE_MARK, [MARK_PREFIX + name], from === null ? ['new', to] : ['from', from, to])) === 1
  }

  async delete(keys: readonly string[]): Promise<number> {
    const server = await this.#server.use()
    let gone = 0
    for (const lot of keyLots(keys.map(keptName).filter((name) => !isReserved(name)))) gone += Number(await server.run(DELETE, lot.flatMap(withOrder), []))
    return gone
  }

  async ping(): Promise<number> {
    const server = await this.#server.use()
    const start = performance.now()
    await server.ping()
    return performance.now() - start
  }

  retryAt(): number | null {
    return this.#server.retryAt()
  }

  close(): Promise<void> {
    return this.#server.close()
  }
}

async function read(server: RedisConnection, keys: readonly string[]): Promise<(KeyEntry | null)[]> {
  const entries: (KeyEntry | null)[] = []
  for (const group of groups(keyLots(keys))) {
    const replies = await Promise.all(group.map((lot) => server.run(READ, lot.flatMap(withOrder), [])))
    for (const [i, lot] of group.entries()) entries.push(...entriesOf(lot, replies[i]))
  }
  return entries
}

/** Each name once, from one or more steps of SCAN; a step that finds far more than is wanted is taken again, smaller. */
async function scanNames(
  server: RedisConnection,
  prefix: string,
  start: string,
  limit: number,
): Promise<{ readonly names: string[]; readonly cursor: string }> {
  const pattern = patternOf(prefix)
  const names = new Set<string>()
  let cursor = start
  let count = Math.min(limit, SCAN_STEP)
  for (let looked = 0; looked < SCAN_KEYS;) {
    const wanted = limit - names.size
    const [next, found] = await server.scan(cursor, pattern, count)
    const own = found.filter(isOwn)
    if (own.length > wanted && count > wanted) {
      count = wanted
      continue
    }
    looked += count
    for (const name of own) names.add(name)
    cursor = next
    if (cursor === '0' || names.size >= limit) break
    count = Math.min(SCAN_STEP, count * 2)
  }
  return { names: [...names], cursor }
}

/** Neither the adapter's, nor one that cannot be asked for. */
const isOwn = (name: string): boolean => !isReserved(name) && keptName(name) === name

const patternOf = (prefix: string): string => `${prefix.replaceAll(/[\\*?[\]]/g, '\\$&')}*`

/** The prefix of Lagoa's own names with which this one begins. */
const prefixOf = (key: string): string | undefined => [ORDER_PREFIX, MARK_PREFIX].find((prefix) => key.startsWith(prefix))

const isReserved = (key: string): boolean => prefixOf(key) !== undefined

const withOrder = (key: string): [string, string] => [key, ORDER_PREFIX + key]

interface WriteLot {
  readonly keys: string[]
  readonly values: string[]
}

function* writeLots(writes: readonly KeyWrite[]): Generator<WriteLot> {
  let lot: WriteLot = { keys: [], values: [] }
  let length = 0
  for (const { key, fields, ttlMs, order } of writes) {
    const given = Object.entries(fields)
    const size = given.reduce((sum, [name, value]) => sum + name.length + value.length, key.length)
    if (lot.keys.length > 0 && (lot.keys.length >= 2 * LOT_KEYS || length + size > LOT_LENGTH)) {
      yield lot
      lot = { keys: [], values: [] }
      length = 0
    }
    length += size
    lot.keys.push(...withOrder(key))
    lot.values.push(ttlMs === undefined ? '' : String(Math.max(1, Math.ceil(ttlMs))), order?.source ?? '', order === undefined ? '-' : String(order.offset))
    lot.values.push(String(2 * given.length))
    for (const [name, value] of given) lot.values.push(name, value)
  }
  if (lot.keys.length > 0) yield lot
}

function* keyLots(keys: readonly string[]): Generator<string[]> {
  for (let at = 0; at < keys.length; at += LOT_KEYS) yield keys.slice(at, at + LOT_KEYS)
}

function* groups<T>(lots: Iterable<T>): Generator<T[]> {
  let group: T[] = []
  for (const lot of lots) {
    group.push(lot)
    if (group.length < LOTS_AT_ONCE) continue
    yield group
    group = []
  }
  if (group.length > 0) yield group
}

/** The reply of READ. */
function entriesOf(keys: readonly string[], reply: unknown): (KeyEntry | null)[] {
  const [time, ...found]: unknown[] = Array.isArray(reply) ? reply : []
  return keys.map((key, i) => {
    const entry = found[i]
    return Array.isArray(entry) && !isReserved(key) ? entryOf(key, entry, Number(time)) : null
  })
}

function entryOf(key: string, reply: readonly unknown[], now: number): KeyEntry {
  const texts = reply.slice(0, -2).map(String)
  const ttl = Number(reply.at(-1))
  const written = /^(\d+) /.exec(String(reply.at(-2)))?.[1]
  return {
    key,
    fields: Object.fromEntries(Array.from({ length: texts.length / 2 }, (_, i) => [texts[2 * i] ?? '', texts[2 * i + 1] ?? ''])),
    updatedAt: Number(written ?? 0),
    expiresAt: ttl < 0 ? null : now + ttl,
  }
}
