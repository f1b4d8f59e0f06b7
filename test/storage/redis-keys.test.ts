import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { createLog, newId, silentLog } from '../../src/base/index.ts'
import { openRedisKeys, type Keys, type KeyWrite, type RedisKeysOptions } from '../../src/storage/index.ts'
import { keysContract } from '../contracts/keys.contract.ts'
import { makeCertificates, noOpenssl } from '../helpers/certificates.ts'
import { noRedis, startRedis, type RedisServer } from '../helpers/redis.ts'
import { freePort } from '../helpers/servers.ts'

const away = { kind: 'unavailable', code: 'storage.redis_away', hint: expect.stringContaining('redis.url') }

describe.skipIf(noRedis !== null)(`keys in Redis${noRedis === null ? '' : ` (skipped: ${noRedis})`}`, async () => {
  if (noRedis !== null) return
  const server = await startRedis()
  keysContract('redis', () => openRedisKeys({ url: server.url, log: silentLog }))

  const opened: Keys[] = []
  async function open(at: RedisServer = server, options: Partial<RedisKeysOptions> = {}): Promise<Keys> {
    const keys = await openRedisKeys({ url: at.url, log: silentLog, ...options })
    opened.push(keys)
    return keys
  }
  /** Another program on the same server. */
  function stranger(at: RedisServer = server): Redis {
    const client = new Redis({ port: at.port, password: at.password, lazyConnect: true })
    client.on('error', () => undefined)
    strangers.push(client)
    return client
  }
  const strangers: Redis[] = []
  afterAll(async () => {
    for (const client of strangers) client.disconnect()
    for (const keys of opened) await keys.close()
  })

  describe('beside other programs', () => {
    let key = ''
    const other = stranger()
    beforeEach(() => {
      key = `s-${newId()}`
    })

    test('an entry is a plain hash, and what stands beside it lives as long', async () => {
      const keys = await open()
      await keys.put([{ key, fields: { sensor: 'a', co: '2.5' }, ttlMs: 60_000, order: { source: 's/0', offset: 7 } }])
      expect(await other.hgetall(key)).toEqual({ sensor: 'a', co: '2.5' })
      expect(await other.get(`lagoa:order:${key}`)).toMatch(/^\d{13} 7 s\/0$/)
      const [entry, order] = [await other.pexpiretime(key), await other.pexpiretime(`lagoa:order:${key}`)]
      expect(order).toBe(entry)
      await keys.put([{ key, fields: { sensor: 'a' } }])
      expect([await other.pttl(key), await other.pttl(`lagoa:order:${key}`)]).toEqual([-1, -1])
      expect(await keys.delete([key])).toBe(1)
      expect(await other.exists(key, `lagoa:order:${key}`)).toBe(0)
    })

    test('hashes and texts of others are answered, without a time that nobody knows; lists and sets are not', async () => {
      const keys = await open()
      await other.hset(`${key}:hash`, { a: '1', ä: '2' })
      await other.set(`${key}:text`, 'plain', 'PX', 60_000)
      await other.rpush(`${key}:list`, 'x')
      await other.hset(`${key}:bytes`, 'b', Buffer.from([0xff, 0xfe]))
      expect(await keys.get(`${key}:hash`)).toEqual({ key: `${key}:hash`, fields: { a: '1', ä: '2' }, updatedAt: 0, expiresAt: null })
      expect(await keys.get(`${key}:text`)).toEqual({ key: `${key}:text`, fields: { value: 'plain' }, updatedAt: 0, expiresAt: expect.any(Number) })
      expect(await keys.get(`${key}:list`)).toBeNull()
      expect((await keys.get(`${key}:bytes`))?.fields).toEqual({ b: '\ufffd\ufffd' })
      const { entries } = await keys.scan(key, { limit: 100 })
      expect(entries.map((entry) => entry.key).sort()).toEqual([`${key}:bytes`, `${key}:hash`, `${key}:text`])
      await keys.put([{ key: `${key}:list`, fields: { now: 'a hash' }, order: { source: 's', offset: 1 } }])
      expect(await other.hgetall(`${key}:list`)).toEqual({ now: 'a hash' })
    })

    test('what Lagoa keeps for itself is neither written nor shown as a key', async () => {
      const keys = await open()
      await keys.put([{ key, fields: { v: '1' } }])
      await expect(keys.put([{ key: `lagoa:order:${key}`, fields: { v: '1' } }])).rejects.toMatchObject({ code: 'storage.reserved_key', kind: 'invalid' })
      expect(await keys.get(`lagoa:order:${key}`)).toBeNull()
      expect(await keys.delete([`lagoa:order:${key}`])).toBe(0)
      expect(await keys.scan('lagoa:order:', { limit: 100_000 })).toEqual({ entries: [] })
      expect((await keys.scan('', { limit: 1_000_000 })).entries.some((entry) => entry.key.startsWith('lagoa:order:'))).toBe(false)
    })

    test('an order that is no text, or not ours, guards nothing', async () => {
      const keys = await open()
      for (const spoil of [() => other.rpush(`lagoa:order:${key}`, 'x'), () => other.set(`lagoa:order:${key}`, 'x')]) {
        await other.del(key, `lagoa:order:${key}`)
        await other.hset(key, 'v', 'theirs')
        await spoil()
        expect(await keys.get(key)).toMatchObject({ updatedAt: 0 })
        await keys.put([{ key, fields: { v: 'ours' }, order: { source: 's', offset: 3 } }])
        await keys.put([{ key, fields: { v: 'older' }, order: { source: 's', offset: 2 } }])
        expect((await keys.get(key))?.fields).toEqual({ v: 'ours' })
      }
    })

    test('a prefix means itself, whatever it means in a pattern', async () => {
      const keys = await open()
      for (const part of ['*', '?', '[ab]', '\\', '[^a]', 'a-b']) {
        const prefix = `${key}${part}`
        await keys.put([prefix, `${key}a`, `${key}b`].map((name) => ({ key: name, fields: { v: '1' } })))
        expect((await keys.scan(prefix, { limit: 10 })).entries.map((entry) => entry.key)).toEqual([prefix])
      }
    })

    test('pages are hardly larger than asked for, also where entries are rare', async () => {
      const keys = await open()
      await keys.put(Array.from({ length: 3_000 }, (_, i) => ({ key: `${key}:${i}`, fields: { v: '1' } })))
      let cursor: string | undefined
      const found = new Set<string>()
      do {
        const page = await keys.scan(`${key}:`, { limit: 10, ...(cursor === undefined ? {} : { cursor }) })
        expect(page.entries.length).toBeLessThan(40)
        for (const entry of page.entries) found.add(entry.key)
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(found.size).toBe(3_000)
      await expect(keys.scan(key, { limit: 10, cursor: 'sideways' })).rejects.toMatchObject({ code: 'storage.bad_cursor' })
    })

    test('scripts that the server forgot are told again', async () => {
      const keys = await open()
      await keys.put([{ key, fields: { v: '1' } }])
      await other.script('FLUSH')
      await Promise.all([keys.put(Array.from({ length: 2_000 }, (_, i) => ({ key: `${key}:${i}`, fields: { v: '2' } }))), keys.get(key)])
      expect(await keys.get(`${key}:1999`)).toMatchObject({ fields: { v: '2' } })
    })
  })

  describe('after a loss', () => {
    const stream: KeyWrite[] = Array.from({ length: 300 }, (_, offset) => ({
      key: `replayed:${offset % 7}`,
      fields: { n: String(offset), of: `sensor ${offset % 7}` },
      order: { source: 'topic/0', offset },
    }))
    async function state(keys: Keys): Promise<unknown> {
      const { entries } = await keys.scan('replayed:', { limit: 1000 })
      return new Map(entries.map(({ key, fields }) => [key, fields]))
    }

    test('a replay gives the same keys, whatever part of them was deleted', async () => {
      const own = await startRedis()
      const keys = await open(own)
      const other = stranger(own)
      const replay = async (): Promise<void> => {
        for (let from = 0; from < stream.length; from += 40) await keys.put(stream.slice(from, from + 40))
      }
      await replay()
      const whole = await state(keys)
      const losses: readonly (() => Promise<unknown>)[] = [
        () => other.flushall(),
        () => other.del('replayed:0', 'replayed:3'),
        () => other.del('lagoa:order:replayed:1', 'lagoa:order:replayed:5'),
        () => other.del('replayed:2', 'lagoa:order:replayed:6'),
        () => other.set('replayed:4', 'overwritten by a text'),
      ]
      for (const lose of losses) {
        await lose()
        await replay()
        expect(await state(keys)).toEqual(whole)
      }
      await own.stop()
    })

    test('what was acknowledged is there again after the server was killed, and the same instance goes on', async () => {
      const own = await startRedis()
      const lines: string[] = []
      const keys = await open(own, { log: createLog({ write: (line) => lines.push(line) }) })
      await keys.put(stream)
      const before = await state(keys)
      await own.kill()
      await expect(keys.put(stream)).rejects.toMatchObject(away)
      await expect(keys.ping()).rejects.toMatchObject(away)
      await own.start()
      await expect.poll(() => keys.ping().catch(() => null), { timeout: 10_000 }).not.toBeNull()
      expect(await state(keys)).toEqual(before)
      expect(lines.map((line) => JSON.parse(line))).toMatchObject([
        { level: 'warn', event: 'engine.away', engine: 'redis', error: { code: 'storage.redis_away' } },
        { level: 'info', event: 'engine.back', engine: 'redis' },
      ])
      await own.stop()
    })

    test('writes that were under way when the server was killed reject or are there', async () => {
      const own = await startRedis()
      const keys = await open(own)
      const acknowledged = new Set<string>()
      let going = true
      const writer = async (id: number): Promise<void> => {
        for (let n = 0; going; n++) {
          const key = `w:${id}:${n}`
          await keys.put([{ key, fields: { v: '1' } }]).then(
            () => acknowledged.add(key),
            async (error: unknown) => {
              expect(error).toMatchObject({ kind: 'unavailable' })
              await sleep(20)
            },
          )
        }
      }
      const writers = [0, 1, 2, 3].map(writer)
      for (let round = 0; round < 3; round++) {
        await sleep(150)
        await own.restart()
      }
      await expect.poll(() => keys.ping().catch(() => null), { timeout: 10_000 }).not.toBeNull()
      await sleep(100)
      going = false
      await Promise.all(writers)
      expect(acknowledged.size).toBeGreaterThan(50)
      const found = await keys.getMany([...acknowledged])
      expect(found.filter((entry) => entry === null)).toEqual([])
      await own.stop()
    })

    test('a server that hangs is away, and back when it goes on', async () => {
      const own = await startRedis()
      const keys = await open(own, { silenceMs: 300 })
      await keys.put([{ key: 'a', fields: { v: '1' } }])
      process.kill(own.pid, 'SIGSTOP')
      try {
        await expect(keys.get('a')).rejects.toMatchObject(away)
      } finally {
        process.kill(own.pid, 'SIGCONT')
      }
      await expect.poll(() => keys.get('a').catch(() => null), { timeout: 10_000 }).toMatchObject({ fields: { v: '1' } })
      await own.stop()
    })

    test('a server without memory to spare says so', async () => {
      const own = await startRedis({ settings: ['maxmemory 3mb', 'maxmemory-policy noeviction'] })
      const keys = await open(own)
      const fill = async (): Promise<void> => {
        for (let i = 0; i < 100; i++) await keys.put([{ key: `big:${i}`, fields: { v: 'x'.repeat(100_000) } }])
      }
      await expect(fill()).rejects.toMatchObject({ kind: 'unavailable', code: 'storage.redis_full', hint: expect.stringContaining('maxmemory') })
      expect(await keys.get('big:0')).not.toBeNull()
      await own.stop()
    })
  })

  describe('connecting', () => {
    test('a server that is away at first is found when it comes', async () => {
      const port = await freePort()
      const keys = await openRedisKeys({ url: `redis://:later@127.0.0.1:${port}`, log: silentLog })
      opened.push(keys)
      const asked = Date.now()
      await expect(keys.get('a')).rejects.toMatchObject({ ...away, message: expect.stringContaining(`127.0.0.1:${port}`) })
      expect(Date.now() - asked).toBeLessThan(1_000)
      const own = await startRedis({ port, password: 'later' })
      await expect.poll(() => keys.ping().catch(() => null), { timeout: 10_000 }).not.toBeNull()
      await own.stop()
    })

    test('a wrong password is denied until it is right, and never told', async () => {
      const own = await startRedis({ password: 'the-right-one' })
      const lines: string[] = []
      const log = createLog({ level: 'debug', write: (line) => lines.push(line) })
      const keys = await openRedisKeys({ url: `redis://:my%2Fsecret@127.0.0.1:${own.port}`, log })
      opened.push(keys)
      const refused = await keys.get('a').catch((error: unknown) => error)
      expect(refused).toMatchObject({ kind: 'denied', code: 'storage.redis_login', hint: expect.stringContaining('LAGOA_REDIS__URL') })
      expect(String(refused)).not.toContain('secret')
      const none = await openRedisKeys({ url: `redis://127.0.0.1:${own.port}`, log })
      opened.push(none)
      await expect(none.ping()).rejects.toMatchObject({ kind: 'denied', code: 'storage.redis_login' })
      await stranger(own).config('SET', 'requirepass', 'my/secret')
      await expect.poll(() => keys.ping().catch(() => null), { timeout: 10_000 }).not.toBeNull()
      expect(lines.join('\n')).not.toMatch(/my\/secret|my%2Fsecret/)
      await own.stop()
    })

    test('a user of its own needs only the rights that the documentation lists', async () => {
      const other = stranger()
      await other.acl('SETUSER', 'lagoa', 'reset', 'on', '>p@ss', '~*', '+@read', '+@write', '+@scripting', '+@connection', '+info', '+time')
      await other.acl('SETUSER', 'reader', 'reset', 'on', '>p@ss', '~*', '+@read', '+@connection', '+info')
      const keys = await open(server, { url: `redis://lagoa:p%40ss@127.0.0.1:${server.port}/3` })
      await keys.put([{ key: 'mine', fields: { v: '1' }, ttlMs: 1000 }])
      expect((await keys.scan('mi', { limit: 10 })).entries).toHaveLength(1)
      expect(await keys.delete(['mine'])).toBe(1)
      await keys.put([{ key: 'mine', fields: { v: '1' } }])
      expect(await (await open()).get('mine')).toBeNull()
      const reader = await open(server, { url: `redis://reader:p%40ss@127.0.0.1:${server.port}` })
      await expect(reader.get('mine')).rejects.toMatchObject({ kind: 'denied', code: 'storage.redis_denied' })
    })

    test('a superfluous password does no harm, a database that is not there does', async () => {
      const own = await startRedis({ password: '' })
      expect(await (await open(own, { url: `redis://:superfluous@127.0.0.1:${own.port}` })).ping()).toBeGreaterThan(0)
      await expect((await open(own, { url: `${own.url}/99` })).ping()).rejects.toMatchObject({ kind: 'invalid', code: 'storage.redis_database' })
      await own.stop()
    })

    test('addresses that mean no server are refused at once, without their password', async () => {
      for (const url of ['http://127.0.0.1', 'redis://', '127.0.0.1:6379', 'redis://:hidden@h/zero', 'redis://:hidden@h/0?db=1', 'redis://:hid den@h:port']) {
        const refused = await openRedisKeys({ url, log: silentLog }).catch((error: unknown) => error)
        expect(refused).toMatchObject({ kind: 'invalid', code: 'storage.redis_url', hint: expect.stringContaining('redis://user:password@host:6379/0') })
        expect(String(refused)).not.toContain('hid')
      }
    })

    test('a cluster and a replica are told as what they are', async () => {
      const cluster = await startRedis({ settings: ['cluster-enabled yes'] })
      await expect((await open(cluster)).get('a')).rejects.toMatchObject({ kind: 'unsupported', code: 'storage.redis_cluster' })
      await cluster.stop()
      const replica = await startRedis({ settings: [`replicaof 127.0.0.1 ${server.port}`, `masterauth ${server.password}`] })
      const keys = await open(replica)
      await expect(keys.put([{ key: 'a', fields: { v: '1' } }])).rejects.toMatchObject({ kind: 'unavailable' })
      await replica.stop()
    })

    test.skipIf(noOpenssl !== null)(`TLS needs the authority that signed the certificate${noOpenssl === null ? '' : ` (skipped: ${noOpenssl})`}`, async () => {
      const [tls, others] = [makeCertificates(), makeCertificates()]
      const secure = await startRedis({ tls })
      const keys = await open(secure, { ca: tls.ca })
      await keys.put([{ key: 'a', fields: { v: '1' } }])
      expect((await keys.get('a'))?.fields).toEqual({ v: '1' })
      const untrusted = { kind: 'denied', code: 'storage.redis_tls', hint: expect.stringContaining('redis.ca') }
      await expect((await open(secure)).ping()).rejects.toMatchObject(untrusted)
      await expect((await open(secure, { ca: others.ca })).ping()).rejects.toMatchObject(untrusted)
      const named = await startRedis({ tls: makeCertificates('DNS:redis.example.com') })
      await expect((await open(named, { ca: tls.ca })).ping()).rejects.toMatchObject(untrusted)
      const mistaken = { ...away, hint: expect.stringContaining('rediss:// if it speaks TLS, else redis://') }
      await expect((await open(server, { url: server.url.replace('redis:', 'rediss:') })).ping()).rejects.toMatchObject(mistaken)
      await expect((await open(secure, { url: secure.url.replace('rediss:', 'redis:') })).ping()).rejects.toMatchObject(mistaken)
      await expect(openRedisKeys({ url: secure.url, ca: tls.key, log: silentLog })).rejects.toMatchObject({ code: 'storage.ca_file' })
      await expect(openRedisKeys({ url: server.url, ca: tls.ca, log: silentLog })).rejects.toMatchObject({ code: 'storage.redis_url' })
      for (const one of [secure, named]) await one.stop()
    })

    test('closing while the server is away is quick', async () => {
      const keys = await openRedisKeys({ url: `redis://127.0.0.1:${await freePort()}`, log: silentLog })
      await sleep(500)
      const began = Date.now()
      await keys.close()
      expect(Date.now() - began).toBeLessThan(3_000)
      await expect(keys.get('a')).rejects.toMatchObject({ code: 'storage.closed' })
    })
  })
})
