/** Sources that are killed: at every append, before it was stored or after, and started again. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { invalid, silentLog, t, unavailable, type Clock, type Schema } from '../../src/base/index.ts'
import { migrate } from '../../src/storage/index.ts'
import {
  csv,
  deadLetterTopic,
  eventLogMigrations,
  openPostgresLog,
  recordsOf,
  simulate,
  stream,
  type DeadLetter,
  type EventLog,
  type Source,
} from '../../src/streams/index.ts'
import { partitionOf } from '../../src/streams/log/partition.ts'
import { runSource, type SourceStatus } from '../../src/streams/sources/run.ts'
import { tempFolder } from '../helpers/folder.ts'
import { testRecords } from '../helpers/postgres.ts'

const folder = tempFolder()
const { records } = await testRecords()
let log: EventLog
beforeAll(async () => {
  await migrate(records, eventLogMigrations)
  log = await openPostgresLog(records)
  return () => log.close()
})

let made = 0
const newTopic = (): string => `source_${++made}`

/** Time passes only while somebody sleeps. */
function quickClock(): Clock & { slept: number } {
  const clock = {
    slept: 0,
    now: () => clock.slept,
    sleep: async (ms: number, signal?: AbortSignal) => {
      signal?.throwIfAborted()
      clock.slept += ms
      await new Promise(setImmediate)
    },
  }
  return clock
}

async function run(topic: string, source: Source, options: { partitions: number; through?: EventLog; rate?: number; clock?: Clock }): Promise<SourceStatus> {
  const { partitions, through = log, rate = 60, clock = quickClock() } = options
  const keep = { retainMs: 1e9, retainBytes: 1e9 }
  await log.ensureTopic(topic, { partitions, ...keep })
  await log.ensureTopic(deadLetterTopic(topic), { partitions: 1, ...keep })
  const declared = stream<Schema>(topic, { schema: { id: t.string() }, partitions })
  const { status, done } = runSource({
    stream: declared,
    source,
    rate,
    log: through,
    clock,
    logger: silentLog,
    signal: new AbortController().signal,
    hasRoom: () => Promise.resolve(true),
  })
  await done
  return status
}

/** A log that dies at its n-th append, before or after it was stored. */
function dying(at: number, when: 'before' | 'after'): { readonly log: EventLog; count(): number } {
  let count = 0
  return {
    count: () => count,
    log: {
      ...log,
      async append(...call) {
        const dies = ++count === at
        if (dies && when === 'before') throw invalid('test.killed', 'killed')
        const answer = await log.append(...call)
        if (dies) throw invalid('test.killed', 'killed')
        return answer
      },
    },
  }
}

async function stored(topic: string): Promise<{ readonly id: string; readonly key: string | null; readonly partition: number }[]> {
  const found: { id: string; key: string | null; partition: number }[] = []
  for (const partition of (await log.ends(topic)).keys()) {
    for (const batch of await log.read(topic, partition, 0))
      for (const { key, value } of recordsOf(batch)) found.push({ id: (JSON.parse(value.toString()) as { id: string }).id, key, partition })
  }
  return found
}

async function lettersOf(topic: string): Promise<string[]> {
  return (await log.read(deadLetterTopic(topic), 0, 0)).flatMap((batch) =>
    [...recordsOf(batch)].map(({ value }) => (JSON.parse(value.toString()) as DeadLetter).reason),
  )
}

/** Records 0 to `count`, with seven keys, a broken line after every tenth and a blank one after every ninth. */
function content(from: number, to: number): string {
  let text = ''
  for (let id = from; id < to; id++) text += `${id};k${id % 7}\n${id % 10 === 9 ? `broken ${id}\n` : ''}${id % 9 === 8 ? ';\n' : ''}`
  return text
}

function file(): string {
  const path = join(folder, `${++made}.csv`)
  writeFileSync(path, 'id;key\n' + content(0, 45))
  return path
}

function expectOnce(found: Awaited<ReturnType<typeof stored>>, count: number): void {
  expect(found.map(({ id }) => Number(id)).sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i))
  for (const key of new Set(found.map((one) => one.key))) {
    const ids = found.filter((one) => one.key === key).map(({ id }) => Number(id))
    expect(ids).toEqual(ids.toSorted((a, b) => a - b))
  }
}

describe('a source that is killed at any append and started again', () => {
  for (const partitions of [1, 3]) {
    it(`stores every record and every broken line once, with ${partitions} partition${partitions > 1 ? 's' : ''}`, async () => {
      const path = file()
      const source = (): Source => csv({ path, key: 'key' })
      const whole = dying(Infinity, 'before')
      await run(newTopic(), source(), { partitions, through: whole.log })
      expect(whole.count()).toBeGreaterThan(8)
      for (let at = 1; at <= whole.count(); at++) {
        for (const when of ['before', 'after'] as const) {
          const topic = newTopic()
          expect((await run(topic, source(), { partitions, through: dying(at, when).log })).failure?.code).toBe('test.killed')
          // The second start cuts otherwise, and dies as well.
          await run(topic, source(), { partitions, rate: 110, through: dying(3, when).log })
          const status = await run(topic, source(), { partitions, rate: 40 })
          expect(status).toMatchObject({ state: 'ended', records: 45, blank: 5, broken: 4 })
          expectOnce(await stored(topic), 45)
          expect(await lettersOf(topic)).toEqual([13, 25, 37, 49].map((line) => `line ${line}: 2 columns are wanted, this line has 1`))
        }
      }
    })
  }

  it('while its topic grows stores every record once, and new ones go where their keys belong now', async () => {
    for (const [before, after] of [
      [1, 3],
      [2, 3],
      [2, 5],
    ] as const) {
      for (let at = 1; at <= 14; at++) {
        const topic = newTopic()
        const path = file()
        const source = (): Source => csv({ path, key: 'key' })
        await run(topic, source(), { partitions: before, through: dying(at, at % 2 === 0 ? 'before' : 'after').log })
        await run(topic, source(), { partitions: after, rate: 250, through: dying(1 + (at % 5), at % 3 === 0 ? 'before' : 'after').log })
        await run(topic, source(), { partitions: after, rate: 50 })
        appendFileSync(path, content(45, 60))
        expect(await run(topic, source(), { partitions: after })).toMatchObject({ records: 60 })
        const found = await stored(topic)
        expect(found.map(({ id }) => Number(id)).sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, i) => i))
        for (const { id, key, partition } of found) if (Number(id) >= 45) expect(partition).toBe(partitionOf(key, after))
      }
    }
  })

  it('makes no reading twice when it is a simulation without a start time', async () => {
    const source = (): Source => simulate({ devices: ['a', 'b', 'c', 'd', 'e'], count: 40, reading: ({ index, n }) => ({ id: String(n * 5 + index) }) })
    for (let at = 1; at <= 12; at++) {
      const topic = newTopic()
      await run(topic, source(), { partitions: 3, through: dying(at, at % 2 === 0 ? 'before' : 'after').log })
      await run(topic, source(), { partitions: 3, rate: 90 })
      expectOnce(await stored(topic), 40)
    }
  })
})

describe('a source', () => {
  it('adds nothing when it is read again, and what is new when its file has grown', async () => {
    const path = file()
    const topic = newTopic()
    await run(topic, csv({ path, key: 'key' }), { partitions: 3 })
    await run(topic, csv({ path, key: 'key' }), { partitions: 3 })
    expectOnce(await stored(topic), 45)
    appendFileSync(path, content(45, 70))
    expect(await run(topic, csv({ path, key: 'key' }), { partitions: 3 })).toMatchObject({ state: 'ended', records: 70, broken: 7 })
    expectOnce(await stored(topic), 70)
    expect((await lettersOf(topic)).length).toBe(7)
  })

  it('does not read everything again because a partition gets no records', async () => {
    const topic = newTopic()
    const readings = (count: number): Source => simulate({ devices: ['only one'], count, reading: ({ n }) => ({ id: String(n) }) })
    await run(topic, readings(500), { partitions: 4, rate: 100 })
    const clock = quickClock()
    await run(topic, readings(510), { partitions: 4, rate: 100, clock })
    expectOnce(await stored(topic), 510)
    expect(clock.slept).toBeLessThan(1000)
  })

  it('keeps to its rate', async () => {
    const clock = quickClock()
    await run(newTopic(), simulate({ devices: ['a'], count: 300, reading: ({ n }) => ({ id: String(n) }) }), { partitions: 1, rate: 100, clock })
    expect(clock.slept).toBeGreaterThanOrEqual(2800)
    expect(clock.slept).toBeLessThanOrEqual(3200)
  })

  it('tries again while the engine is away, and stops with its reason when trying cannot help', async () => {
    const topic = newTopic()
    let away = 5
    const flaky: EventLog = { ...log, append: (...call) => (away-- > 0 ? Promise.reject(unavailable('storage.database_away', 'away')) : log.append(...call)) }
    expect(await run(topic, csv({ path: file(), key: 'key' }), { partitions: 1, through: flaky })).toMatchObject({
      state: 'ended',
      failure: undefined,
      records: 45,
    })
    expectOnce(await stored(topic), 45)
    expect(await run(topic, csv({ path: join(folder, 'none.csv') }), { partitions: 1 })).toMatchObject({
      state: 'failed',
      failure: { code: 'streams.csv_missing' },
    })
  })
})
