/** A stream at work: draining, dead letters, the live cache, taps. */
import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import { createLog, silentLog, t, unavailable, type Schema } from '../../src/base/index.ts'
import { openFolderObjects, openPostgresKeys, type KeyWrite, type Keys } from '../../src/storage/index.ts'
import {
  deadLetterTopic,
  encodeJson,
  encodeRecords,
  liveSink,
  objectsSink,
  planLive,
  planLives,
  planObjects,
  recordsOf,
  stream,
  type DeadLetter,
  type DecodedBatch,
  type EventLog,
  type Sink,
  type Source,
  type Stream,
} from '../../src/streams/index.ts'
import { tempFolder } from '../helpers/folder.ts'
import { testRecords } from '../helpers/postgres.ts'
import { collector, idsOf, openRunning, range, until, type Running } from './running.ts'

const { records } = await testRecords()
let at: Running
beforeAll(async () => {
  at = await openRunning(records)
  return () => at.log.close()
})

const forget = (of: Stream, sink: string): Promise<unknown> => records.query('delete from stream_offset where stream = $1 and sink = $2', [of.name, sink])

describe('draining', () => {
  it('waits for the source and for every sink, without waiting for their pace', async () => {
    const of = at.declare()
    const source: Source = {
      kind: 'test',
      ends: true,
      identity: () => Promise.resolve('test'),
      async *read() {
        for (let n = 0; n < 5; n++) {
          await new Promise((resolve) => setTimeout(resolve, 10))
          yield { sequence: n + 1, note: {}, values: [JSON.stringify({ id: n })], keys: null }
        }
      },
    }
    const lazy = collector('lazy', undefined, { records: 1e6, ms: 600_000 })
    const runtime = await at.start(of, [lazy], { source: { source, rate: Number.POSITIVE_INFINITY } })
    await runtime.drain()
    expect(lazy.ids).toEqual(range(0, 5))
    await runtime.stop()
  })

  it('ends with the signal, also while the source is still at it', async () => {
    const of = at.declare()
    const endless: Source = {
      kind: 'test',
      ends: true,
      identity: () => Promise.resolve('endless'),
      async *read({ signal }) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        yield { sequence: 0, note: {}, values: [], keys: null }
      },
    }
    const runtime = await at.start(of, [], { source: { source: endless, rate: 1 } })
    await expect(runtime.drain(AbortSignal.timeout(50))).rejects.toThrow('timeout')
    await runtime.stop()
    const stuck = at.declare()
    await at.append(stuck, [1])
    const other = await at.start(stuck, [collector('stuck', () => Promise.reject(new Error('stuck')))])
    await expect(other.drain(AbortSignal.timeout(50))).rejects.toThrow('timeout')
    await other.stop()
  })

  it('ends with what is wrong with the source', async () => {
    const broken: Source = { kind: 'test', ends: true, identity: () => Promise.reject(new Error('no such thing')), read: () => (async function* () {})() }
    const runtime = await at.start(at.declare(), [], { source: { source: broken, rate: 1 } })
    await expect(runtime.drain()).rejects.toThrow('no such thing')
    await runtime.stop()
  })
})

describe('dead letters', () => {
  const letters = async (of: Stream): Promise<DeadLetter[]> => {
    const found: DeadLetter[] = []
    for (let next = 0; ;) {
      const batches = await at.log.read(deadLetterTopic(of.name), 0, next)
      if (batches.length === 0) return found
      for (const batch of batches) {
        for (const { value } of recordsOf(batch)) found.push(JSON.parse(value.toString()) as DeadLetter)
        next = batch.baseOffset + batch.count
      }
    }
  }

  it('hold each bad record once, after any number of replays and failures', async () => {
    const of = at.declare({ partitions: 2 })
    await at.append(
      of,
      range(0, 60).map((n) => (n % 4 === 3 ? `bad ${n}` : n)),
      5,
    )
    let appends = 0
    const flaky: EventLog = {
      ...at.log,
      async append(...call) {
        const dies = call[0] === deadLetterTopic(of.name) && ++appends % 2 === 1
        if (dies && appends % 4 === 1) throw unavailable('test.away', 'away before')
        const answer = await at.log.append(...call)
        if (dies) throw unavailable('test.away', 'away after')
        return answer
      },
    }
    for (let turn = 0; turn < 3; turn++) {
      const runtime = await at.start(of, [], { through: flaky })
      await runtime.drain()
      await runtime.stop()
      await forget(of, 'dead-letters')
      // More of them, so that the replay is cut otherwise than what was stored.
      await at.append(
        of,
        range(60 + turn * 20, 80 + turn * 20).map((n) => (n % 4 === 3 ? `bad ${n}` : n)),
        5,
      )
    }
    const last = await at.start(of, [])
    await last.drain()
    await last.stop()
    const found = await letters(of)
    expect(found.map(({ text }) => text ?? '').sort()).toEqual(
      range(0, 120)
        .filter((n) => n % 4 === 3)
        .map((n) => `bad ${n}`)
        .sort(),
    )
    for (const letter of found) expect(letter).toMatchObject({ error: 'not_json', key: null })
    for (const partition of [0, 1]) {
      const offsets = found.filter((letter) => letter.partition === partition).map(({ offset }) => offset ?? -1)
      expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
    }
  })

  it('keep any bytes exactly, and the first ones of a large record', async () => {
    const of = at.declare()
    const bytes = [Buffer.from([0xff, 0xfe]), Buffer.from('\uFEFFno'), Buffer.from('nul \0'), Buffer.from(`{"id":${'ü'.repeat(900_000)}`)]
    await at.append(of, [])
    await at.log.append(of.name, 0, encodeRecords([...bytes.map((value) => ({ key: 'k\0ü', value })), { key: null, value: '{"id":1}' }]))
    const sink = collector('one')
    const runtime = await at.start(of, [sink])
    await runtime.drain()
    await runtime.stop()
    expect(sink.ids).toEqual([1])
    const found = await letters(of)
    expect(found.slice(0, 3)).toMatchObject([
      { key: 'k\0ü', error: 'not_utf8', base64: '//4=' },
      { error: 'not_json', text: '\uFEFFno' },
      { error: 'not_json', base64: Buffer.from('nul \0').toString('base64') },
    ])
    expect(found[3]).toMatchObject({ error: 'too_large', bytes: 1_800_006 })
    expect(Buffer.byteLength(found[3]?.text ?? '')).toBeLessThanOrEqual(65_536)
    expect(found[3]?.text?.endsWith('ü')).toBe(true)
  })

  it('of very many large records go out in several appends, none lost and none twice', async () => {
    const of = at.declare()
    await at.append(of, [])
    const value = 'x'.repeat(70_000)
    for (let n = 0; n < 10; n++) await at.log.append(of.name, 0, encodeRecords(range(0, 40).map((i) => ({ key: `${n * 40 + i}`, value }))))
    for (let turn = 0; turn < 2; turn++) {
      const runtime = await at.start(of, [])
      await runtime.drain()
      await runtime.stop()
      await forget(of, 'dead-letters')
    }
    expect((await letters(of)).map(({ key }) => Number(key))).toEqual(range(0, 400))
  })
})

describe('the live cache', () => {
  const live = (options: Partial<Stream['options']> = {}): Stream => at.declare({ live: { by: 'sensor' }, key: 'sensor', ...options })
  async function content(keys: Keys, prefix: string): Promise<[string, unknown][]> {
    const { entries } = await keys.scan(prefix, { limit: 1000 })
    return entries.map(({ key, fields }) => [key, fields])
  }
  async function run(of: Stream, keys: Keys): Promise<void> {
    const plan = planLive(of)
    if (!plan) throw new Error('no plan')
    const runtime = await at.start(of, [liveSink(of, plan, keys)])
    await runtime.drain()
    await runtime.stop()
  }

  it('holds the newest record of each key, and the same after any replay', async () => {
    const of = live()
    const keys = openPostgresKeys(records)
    await at.append(of, [...range(0, 23), 'bad', ...range(23, 40)])
    await run(of, keys)
    const wanted = range(0, 5).map((i) => [`${of.name}:s${i}`, { id: String(35 + i), sensor: `s${i}` }])
    expect(await content(keys, `${of.name}:`)).toEqual(wanted)
    await forget(of, 'live')
    await run(of, keys)
    expect(await content(keys, `${of.name}:`)).toEqual(wanted)
    // A replay into an empty cache gives the same again.
    await keys.delete(wanted.map(([key]) => String(key)))
    await forget(of, 'live')
    await run(of, keys)
    expect(await content(keys, `${of.name}:`)).toEqual(wanted)
  })

  it('goes on after a record whose key no index takes, and holds that one too', async () => {
    const of = live()
    const keys = openPostgresKeys(records)
    const long = randomBytes(4_000).toString('hex')
    await at.append(of, [])
    await at.log.append(
      of.name,
      0,
      encodeJson(
        null,
        ['before', long, 'after'].map((sensor, id) => JSON.stringify({ id, sensor })),
      ),
    )
    await run(of, keys)
    const found = await keys.getMany(['before', long, 'after'].map((sensor) => `${of.name}:${sensor}`))
    expect(found.map((entry) => entry?.fields['id'])).toEqual(['0', '1', '2'])
    expect(found[1]?.fields['sensor']).toBe(long)
  })

  it('writes each key once a delivery, leaves out missing values and records without a key', async () => {
    const of = live({ schema: { id: t.int().nullable().missing(-200), sensor: t.string().nullable() } })
    await at.append(of, [])
    await at.log.append(of.name, 0, encodeJson(null, ['{"id":1,"sensor":"a"}', '{"id":2}', '{"id":3,"sensor":"b"}', '{"id":-200,"sensor":"a"}']))
    const writes: KeyWrite[] = []
    const keys: Keys = Object.assign(openPostgresKeys(records), { put: (some: readonly KeyWrite[]) => Promise.resolve(void writes.push(...some)) })
    await run(of, keys)
    expect(writes.toSorted((a, b) => a.key.localeCompare(b.key))).toEqual([
      { key: `${of.name}:a`, fields: { sensor: 'a' }, order: { source: `${of.name}/0`, offset: 3 } },
      { key: `${of.name}:b`, fields: { id: '3', sensor: 'b' }, order: { source: `${of.name}/0`, offset: 2 } },
    ])
  })

  it('makes keys by a template of fields', () => {
    const plan = planLive(live({ live: { by: 'sensor', key: 'sensor:{sensor}:{id}!', ttl: '1h' } }))
    expect(plan).toMatchObject({ prefix: 'sensor:', ttlMs: 3_600_000 })
    expect(
      plan?.keyOf(
        {
          count: 1,
          columns: [
            { kind: 'text', name: 'sensor', field: t.string(), values: ['a'] },
            { kind: 'number', name: 'id', field: t.int(), values: Float64Array.of(7), valid: Uint8Array.of(1) },
          ],
        },
        0,
      ),
    ).toBe('sensor:a:7!')
  })

  it('is refused when it names what is not there, or when the order of its keys would be lost', () => {
    const code = (options: Partial<Stream['options']>): unknown => {
      try {
        return planLive(at.declare(options))
      } catch (error) {
        return error instanceof Error && 'code' in error ? error.code : error
      }
    }
    expect(code({ live: { by: 'nothing' } })).toBe('streams.live_by')
    expect(code({ live: { by: 'sensor', ttl: 'soon' } })).toBe('streams.live_ttl')
    expect(code({ live: { by: 'sensor', key: '{nothing}' } })).toBe('streams.live_key')
    expect(code({ live: { by: 'sensor' }, partitions: 2 })).toBe('streams.live_order')
    expect(code({ live: { by: 'sensor' }, key: 'sensor', partitions: 2 })).toMatchObject({ by: 'sensor' })
    expect(code({})).toBeNull()
  })
})

describe('records in a shape of their own', () => {
  const schema = { id: t.int(), sensor: t.string().nullable() }
  const message = (id: number, sensor: string): string => JSON.stringify({ id, sensor })
  async function through(of: Stream, sinks: Sink[], values: readonly string[]): Promise<void> {
    await at.append(of, values)
    const runtime = await at.start(of, sinks)
    await runtime.drain()
    await runtime.stop()
  }
  const shape = {
    only: { sensor: 's1' },
    as: ({ id, sensor }: { readonly id: number | null; readonly sensor: string | null }) => ({ ID: id, place: `<${sensor}>` }),
  }

  it('stand in the live cache under the names of that shape, beside the first one', async () => {
    const of = stream<Schema>('shaped', {
      schema,
      key: 'sensor',
      live: [
        { by: 'sensor', ttl: '1h' },
        { by: 'id', key: 'shaped/{ID}', ...shape },
      ],
    })
    const keys = openPostgresKeys(records)
    const sinks = planLives(of).map((plan) => liveSink(of, plan, keys))
    expect(sinks.map(({ name }) => name)).toEqual(['live', 'live:shaped/{ID}'])
    await through(of, sinks, [message(1, 's1'), message(2, 's2'), message(3, 's1'), '{"id":3,"sensor":"s1","more":true}'])
    const { entries } = await keys.scan('shaped/', { limit: 10 })
    expect(entries.map(({ key, fields }) => [key, fields])).toEqual([
      ['shaped/1', { ID: '1', place: '<s1>' }],
      ['shaped/3', { ID: '3', place: '<s1>' }],
    ])
    expect((await keys.scan('shaped:', { limit: 10 })).entries.map(({ key }) => key)).toEqual(['shaped:s1', 'shaped:s2'])
  })

  it('are objects, the same bytes after any replay; what makes no path is passed over', async () => {
    const objects = await openFolderObjects(tempFolder())
    const kept = { bucket: 'kept', key: 'all/{sensor}.json' }
    const of = stream<Schema>('filed', { schema, objects: kept })
    const plan = planObjects(of)
    if (!plan) throw new Error('no plan')
    expect(plan.place).toBe('kept/all')
    const warned: string[] = []
    const log = createLog({ write: (line) => warned.push(line) })
    const all = async (): Promise<[string, string][]> => {
      const found: [string, string][] = []
      for await (const { path } of objects.list('kept/')) found.push([path, Buffer.from((await objects.get(path)) ?? []).toString()])
      return found
    }
    const odd = ['../../outside', '..', '', 'a//b', 'x'.repeat(300), '.lagoa-1', 'nested/name']
    await through(of, [objectsSink(of, plan, objects, log)], [message(1, 's1'), ...odd.map((sensor) => message(2, sensor)), '{"id":4}', message(3, 's1')])
    const wanted = [
      ['kept/all/.json', '{"id":2,"sensor":""}'],
      ['kept/all/nested/name.json', '{"id":2,"sensor":"nested/name"}'],
      ['kept/all/s1.json', '{"id":3,"sensor":"s1"}'],
    ]
    const before = await all()
    expect(before).toEqual(expect.arrayContaining(wanted))
    expect(before.every(([path]) => path.startsWith('kept/all/'))).toBe(true)
    expect(warned.join()).toContain('stream.objects_unnamed')
    await forget(of, 'objects')
    await through(of, [objectsSink(of, plan, objects, silentLog)], [])
    expect(await all()).toEqual(before)
    await objects.close()
  })

  it('hold the lane with the reason when their function fails, and go on when it is mended', async () => {
    let broken = true
    const of = stream<Schema>('mended', {
      schema,
      live: {
        by: 'id',
        key: 'mended/{id}',
        as: ({ id }) => {
          if (broken) throw new Error('not yet')
          return { id }
        },
      },
    })
    const keys = openPostgresKeys(records)
    await at.append(of, [message(7, 's1')])
    const runtime = await at.start(
      of,
      planLives(of).map((plan) => liveSink(of, plan, keys)),
    )
    await until(async () => (await runtime.status()).sinks.some(({ error }) => error?.includes('not yet')))
    broken = false
    await runtime.drain()
    await runtime.stop()
    expect((await keys.get('mended/7'))?.fields).toEqual({ id: '7' })
  })

  it('are refused where the declaration is wrong', () => {
    const code = (plan: () => unknown): unknown => {
      try {
        return plan()
      } catch (error) {
        return error instanceof Error && 'code' in error ? error.code : error
      }
    }
    const of = (options: Partial<Stream['options']>): Stream => at.declare(options)
    expect(code(() => planLives(of({ live: [{ by: 'id' }, { by: 'id' }] })))).toBe('streams.live_twice')
    expect(code(() => planLives(of({ live: { by: 'id', only: { nothing: 1 } } })))).toBe('streams.live_only')
    expect(code(() => planObjects(of({ objects: { bucket: 'b', key: '{nothing}.json' } })))).toBe('streams.objects_key')
    expect(code(() => planObjects(of({ objects: { bucket: 'b', key: 'all.json' } })))).toBe('streams.objects_key')
    expect(code(() => planObjects(of({ objects: { bucket: 'b/c', key: '{id}.json' } })))).toBe('streams.objects_place')
    expect(code(() => planObjects(of({ objects: { bucket: 'b', key: '{id}.json' }, partitions: 2, key: 'sensor' })))).toBe('streams.objects_order')
    expect(code(() => planObjects(of({ objects: { bucket: 'b', key: '{sensor}/{id}.json' }, partitions: 2, key: 'sensor' })))).toMatchObject({ bucket: 'b' })
  })
})

describe('a tap', () => {
  function listener(): { readonly ids: number[]; readonly take: (partition: number, batch: DecodedBatch) => void } {
    const ids: number[] = []
    return { ids, take: (_, { rows }) => void ids.push(...idsOf(rows)) }
  }

  it('hears what comes from now on, once and in order, however often it is opened and closed', async () => {
    const of = at.declare({ partitions: 3 })
    await at.append(of, range(1000, 1010))
    const runtime = await at.start(of, [])
    for (let turn = 0; turn < 8; turn++) {
      const one = listener()
      const two = listener()
      const stopOne = runtime.tap(one.take)
      const stopTwo = runtime.tap(two.take)
      // It has begun when the first records are heard; until then some may pass it by.
      await until(async () => {
        await at.append(of, [-1, -2, -3], 1)
        await new Promise((resolve) => setTimeout(resolve, 10))
        return new Set(one.ids).size === 3
      })
      await new Promise((resolve) => setTimeout(resolve, 30))
      one.ids.length = two.ids.length = 0
      await at.append(of, range(0, 12), 2)
      await until(() => one.ids.length >= 12 && two.ids.length >= 12)
      await new Promise((resolve) => setTimeout(resolve, 20))
      for (const { ids } of [one, two]) {
        expect(ids.toSorted((a, b) => a - b)).toEqual(range(0, 12))
        for (const pair of [
          [0, 6],
          [2, 8],
          [4, 10],
        ])
          expect(ids.indexOf(pair[0]!)).toBeLessThan(ids.indexOf(pair[1]!))
      }
      stopTwo()
      stopOne()
      stopOne()
      await at.append(of, [99], 1)
    }
    await runtime.stop()
  })

  it('may be opened before the start and closed after the stop, and one that fails keeps nothing from the others', async () => {
    const of = at.declare()
    const runtime = await at.start(of, [])
    await runtime.stop()
    const heard = listener()
    const stopFailing = runtime.tap(() => {
      throw new Error('a broken screen')
    })
    const stop = runtime.tap(heard.take)
    await runtime.start()
    await until(async () => {
      await at.append(of, [1])
      return heard.ids.length > 0
    })
    await runtime.stop()
    const before = heard.ids.length
    await at.append(of, [2])
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(heard.ids.length).toBe(before)
    stop()
    stopFailing()
  })

  it('begins as soon as the log is there again', async () => {
    const of = at.declare()
    let away = 1
    const runtime = await at.start(of, [])
    await runtime.stop()
    let asked = 0
    const flaky: EventLog = { ...at.log, ends: (topic) => (++asked, away > 0 ? Promise.reject(unavailable('test.away', 'away')) : at.log.ends(topic)) }
    const other = await at.start(of, [], { through: flaky })
    const heard = listener()
    other.tap(heard.take)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(asked).toBeLessThan(20)
    away = 0
    await until(async () => {
      await at.append(of, [7])
      await new Promise((resolve) => setTimeout(resolve, 20))
      return heard.ids.length > 0
    })
    await other.stop()
  })
})
