/** Records that somebody else's program wrote, and limits that somebody else set. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { encodeJson, encodeRecords, openKafkaLog, recordsOf, type EventLog } from '../../src/streams/index.ts'
import { tempFolder } from '../helpers/folder.ts'
import { noKafka, startKafka } from '../helpers/kafka.ts'
import { KEEP, readAll, readValues } from './kafka-reading.ts'

const PRODUCER = fileURLToPath(new URL('ForeignProducer.java', import.meta.url))

// Each tool of Kafka is a Java process of its own.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 400_000 })

const server = noKafka === null ? await startKafka({ properties: { 'log.cleaner.backoff.ms': 200, 'log.initial.task.delay.ms': 200 } }) : null
const broker = server?.broker ?? ''
const log = server ? await openKafkaLog({ brokers: [broker], log: silentLog }) : null
const opened = (): EventLog => {
  if (!log) throw new Error('there is no log')
  return log
}

afterAll(async () => {
  await log?.close()
})

interface Sent {
  readonly key: string | null
  /** Null is a tombstone. */
  readonly value: Buffer | null
  readonly headers?: Readonly<Record<string, Buffer>>
}

const base64 = (bytes: Buffer | string | null): string => (bytes === null ? '-' : Buffer.from(bytes).toString('base64'))
const send = (name: string, topic: string, { key, value, headers = {} }: Sent): string =>
  ['send', name, topic, '0', base64(key), base64(value), ...Object.entries(headers).map(([header, bytes]) => `${header}=${base64(bytes)}`)].join(' ')
const foreign = async (commands: readonly string[]): Promise<void> => void (await server?.tool(PRODUCER, [server.internal], `${commands.join('\n')}\n`))
const topics = async (...args: readonly string[]): Promise<void> =>
  void (await server?.tool('org.apache.kafka.tools.TopicCommand', ['--bootstrap-server', server.internal, ...args]))
const configs = async (...args: readonly string[]): Promise<void> =>
  void (await server?.tool('kafka.admin.ConfigCommand', ['--bootstrap-server', server.internal, ...args]))

const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const values = (from: number, to: number): string[] => all(to - from).map((i) => String(from + i))
const seen = (sent: readonly Sent[]): { key: string | null; value: Buffer }[] => sent.map(({ key, value }) => ({ key, value: value ?? Buffer.alloc(0) }))

describe.skipIf(!server)(`records of others in kafka${noKafka === null ? '' : ` (skipped: ${noKafka})`}`, () => {
  it('are read byte for byte, however they were compressed, with tombstones, headers and keys of every kind', async () => {
    const sent = all(400).map((n): Sent => ({
      key: n % 7 === 0 ? null : n % 11 === 0 ? '' : `ключ/${n}`,
      value:
        n % 13 === 0 ? null : n % 5 === 0 ? randomBytes(n * 10) : n % 17 === 0 ? Buffer.alloc(0) : Buffer.from(JSON.stringify({ n, text: 'abc'.repeat(n) })),
      ...(n % 3 === 0 ? { headers: { trace: randomBytes(16), empty: Buffer.alloc(0) } } : {}),
    }))
    const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
    for (const codec of codecs) await opened().ensureTopic(`foreign.${codec}`, KEEP)
    await foreign(codecs.flatMap((codec) => [`open ${codec} ${codec} 60000`, ...sent.map((one) => send(codec, `foreign.${codec}`, one))]))
    for (const codec of codecs) {
      const found = await readAll(opened(), `foreign.${codec}`)
      expect(found.map(({ offset }) => offset)).toEqual(all(sent.length))
      expect(found.map(({ key, value }) => ({ key, value }))).toEqual(seen(sent))
    }
  })

  it('are not read when their transaction was aborted or is open, among those of others that were not', async () => {
    const topic = 'foreign.transactions'
    await opened().ensureTopic(topic, KEEP)
    const one = (text: string): Sent => ({ key: null, value: Buffer.from(text) })
    await foreign([
      'open plain none 0',
      'open first none 0 first',
      'open second gzip 16384 second',
      send('plain', topic, one('plain 0')),
      'flush plain',
      'begin first',
      'begin second',
      ...all(5).flatMap((n) => [
        send('first', topic, one(`lost ${n}`)),
        'flush first',
        send('plain', topic, one(`plain ${n + 1}`)),
        'flush plain',
        send('second', topic, one(`kept ${n}`)),
        'flush second',
      ]),
      'abort first',
      'begin first',
      send('first', topic, one('again')),
      'flush first',
      'commit second',
      'commit first',
      'begin second',
      send('second', topic, one('lost at the end')),
      'flush second',
      'abort second',
    ])
    const expected = ['plain 0', ...all(5).flatMap((n) => [`plain ${n + 1}`, `kept ${n}`]), 'again']
    expect(await readValues(opened(), topic)).toEqual(expected)
    const [end = 0] = await opened().ends(topic)
    const [rest] = await opened().read(topic, 0, end - 2)
    expect(rest).toMatchObject({ baseOffset: end, count: 0 })
    for (const { offset, value } of await readAll(opened(), topic))
      expect((await readAll(opened(), topic, 0, offset))[0]?.value.toString()).toBe(value.toString())
  })

  it('that a dead process left in an open transaction hold readers up no longer than until its producer appends again', async () => {
    const topic = 'foreign.open'
    await opened().ensureTopic(topic, KEEP)
    await opened().append(topic, 0, encodeJson(null, ['0']), { producer: { id: 'p', sequence: 1 } })
    await foreign([`open dead none 0 lagoa.${topic}/p`, 'begin dead', send('dead', topic, { key: null, value: Buffer.from('lost') }), 'flush dead', 'halt'])
    const [before = 0] = await opened().ends(topic)
    await opened().append(topic, 0, encodeJson(null, ['1']))
    expect(await opened().ends(topic)).toEqual([before])
    expect(await readValues(opened(), topic)).toEqual(['0'])
    const other = await openKafkaLog({ brokers: [broker], log: silentLog })
    expect(await other.producerState(topic, 'p')).toEqual({ id: 'p', sequence: 1 })
    const began = Date.now()
    await other.append(topic, 0, encodeJson(null, ['2']), { producer: { id: 'p', sequence: 2 } })
    expect(await readValues(opened(), topic)).toEqual(['0', '1', '2'])
    expect(Date.now() - began).toBeLessThan(5000)
    await other.close()
  })

  it('are read over the gaps that compaction leaves, and from any offset in them', async () => {
    const topic = 'foreign.compacted'
    const settings = { 'cleanup.policy': 'compact', 'segment.ms': 200, 'min.cleanable.dirty.ratio': 0.01, 'delete.retention.ms': 100 }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['--config', `${name}=${value}`])
    await topics('--create', '--topic', topic, '--partitions', '1', ...flags)
    const newest = new Map<string, { offset: number; value: string }>()
    for (let n = 0; n < 300; n++) {
      const [key, value] = [`k${n < 200 ? n % 40 : n % 3}`, String(n)]
      newest.set(key, { offset: n, value })
      if (n % 100 === 0) await sleep(300)
      await opened().append(topic, 0, encodeRecords([{ key, value }]))
    }
    await sleep(300)
    // The newest segment is never compacted.
    await opened().append(topic, 0, encodeRecords([{ key: 'end', value: 'end' }]))
    const wanted = [...newest].map(([key, { offset, value }]) => [offset, key, value]).toSorted((a, b) => Number(a[0]) - Number(b[0]))
    const read = async (from: number): Promise<unknown[]> => {
      const fresh = await openKafkaLog({ brokers: [broker], log: silentLog })
      const found = await readAll(fresh, topic, 0, from)
      await fresh.close()
      return found.map(({ offset, key, value }) => [offset, key, value.toString()]).slice(0, -1)
    }
    for (const until = Date.now() + 30_000; (await read(0)).length > wanted.length && Date.now() < until;) await sleep(200)
    expect(await read(0)).toEqual(wanted)
    for (const from of [1, 100, 160, 199, 200, 250, 296]) expect(await read(from)).toEqual(wanted.filter(([offset]) => Number(offset) >= from))
  })

  it('that were deleted from the front are passed over', async () => {
    const topic = 'foreign.deleted'
    await opened().ensureTopic(topic, KEEP)
    for (let n = 0; n < 10; n++) await opened().append(topic, 0, encodeJson(null, values(n * 10, n * 10 + 10)))
    const before = await openKafkaLog({ brokers: [broker], log: silentLog })
    expect(await readAll(before, topic)).toHaveLength(100)
    const file = join(tempFolder(), 'offsets.json')
    writeFileSync(file, JSON.stringify({ partitions: [{ topic, partition: 0, offset: 37 }], version: 1 }))
    await server?.tool('org.apache.kafka.tools.DeleteRecordsCommand', ['--bootstrap-server', server.internal, '--offset-json-file', file])
    const after = await openKafkaLog({ brokers: [broker], log: silentLog })
    expect(await after.offsets(topic)).toMatchObject([{ earliest: 37, next: 100 }])
    for (const from of [0, 5, 36, 37, 38, 99]) {
      const found = await readAll(after, topic, 0, from)
      expect(found.filter(({ offset }) => offset >= 37).map(({ value }) => value.toString())).toEqual(values(Math.max(from, 37), 100))
    }
    expect(await after.offsetAt(topic, 0, 0)).toBe(37)
    expect(await readAll(before, topic, 0, 50)).toHaveLength(50)
    await before.close()
    await after.close()
  })

  it('in many small batches are read in answers of the size that was asked for', async () => {
    const topic = 'foreign.small'
    await opened().ensureTopic(topic, KEEP)
    await foreign(['open small none 0', ...values(0, 5000).map((value) => send('small', topic, { key: null, value: Buffer.from(value) }))])
    expect(await readValues(opened(), topic)).toEqual(values(0, 5000))
    const few = await opened().read(topic, 0, 4000, { maxRecords: 10 })
    const offsets = few.flatMap((batch) => [...recordsOf(batch)].map(({ offset }) => offset))
    expect(few.length).toBeGreaterThan(3)
    expect(offsets.length).toBeLessThanOrEqual(10)
    expect(offsets).toEqual(all(offsets.length).map((n) => (offsets[0] ?? 0) + n))
    expect(offsets).toContain(4000)
  })

  it('that unfold to many times their size come one batch at a time', async () => {
    const topic = 'foreign.unfolding'
    await opened().ensureTopic(topic, KEEP)
    const codecs = ['gzip', 'snappy', 'lz4', 'zstd']
    const zeros = Buffer.alloc(40_000_000)
    await foreign(codecs.flatMap((codec) => [`open ${codec} ${codec} 16384`, `send ${codec} ${topic} 0 ${base64(codec)} *${zeros.length}`, `flush ${codec}`]))
    const fresh = await openKafkaLog({ brokers: [broker], log: silentLog })
    let next = 0
    for (const codec of codecs) {
      const batches = await fresh.read(topic, 0, next)
      expect(batches).toHaveLength(1)
      const [record] = batches.flatMap((batch) => [...recordsOf(batch)])
      expect(record?.key).toBe(codec)
      expect(record?.value.equals(zeros)).toBe(true)
      next++
    }
    await fresh.close()
  })
})

describe.skipIf(!server)('limits of kafka', () => {
  const text = (bytes: number): string => JSON.stringify('x'.repeat(bytes - 2))

  it('split what is larger than the topic takes, in order; a topic of our own takes ten megabytes in one piece', async () => {
    await opened().ensureTopic('limits.own', KEEP)
    await topics('--create', '--topic', 'limits.usual', '--partitions', '1')
    const sent = all(10_000).map((n) => JSON.stringify(`${n} ${'x'.repeat(1000)}`))
    for (const topic of ['limits.own', 'limits.usual']) {
      expect(await opened().append(topic, 0, encodeJson(null, sent))).toEqual({ baseOffset: 0, duplicate: false })
      expect((await readValues(opened(), topic)).join() === sent.join()).toBe(true)
      const marked = await opened().append(topic, 0, encodeJson(null, sent), { producer: { id: 'p', sequence: 1 } })
      expect(marked).toEqual({ baseOffset: 10_000, duplicate: false })
      expect((await readAll(opened(), topic, 0, 10_000)).map(({ value }) => value.toString()).join() === sent.join()).toBe(true)
      expect(await opened().ends(topic)).toEqual([20_001])
    }
  })

  it('refuse a record that the topic does not take by naming its limit, and nothing of its append is stored', async () => {
    const topic = 'limits.small'
    await topics('--create', '--topic', topic, '--partitions', '1', '--config', 'max.message.bytes=50000')
    const refused = { kind: 'limit', code: 'streams.record_too_large', message: expect.stringContaining('50000') as string }
    const large = encodeJson(null, [...values(0, 5), text(20_000), text(20_000), text(20_000), text(60_000), '6'])
    await expect(opened().append(topic, 0, large)).rejects.toMatchObject(refused)
    await expect(opened().append(topic, 0, large, { producer: { id: 'p', sequence: 1 } })).rejects.toMatchObject(refused)
    expect(await opened().ends(topic)).toEqual([0])
    expect(await opened().producerState(topic, 'p')).toBeNull()

    // Those that came at the same time are stored all the same.
    const together = await Promise.allSettled(['0', '1', text(60_000), '2', '3'].map((value) => opened().append(topic, 0, encodeJson(null, [value]))))
    expect(together.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
    expect(await readValues(opened(), topic)).toEqual(['0', '1', '2', '3'])

    await configs('--alter', '--topic', topic, '--add-config', 'max.message.bytes=100000')
    await opened().append(topic, 0, large, { producer: { id: 'p', sequence: 1 } })
    expect(await readAll(opened(), topic)).toHaveLength(14)
  })
})
