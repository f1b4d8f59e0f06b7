/** A live cache whose store lost what it held gets it again from the log, by itself, and nobody sees an old reading after a new one. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Log } from '../../src/base/index.ts'
import { openPostgresKeys, type Keys, type KeyWrite } from '../../src/storage/index.ts'
import { liveSink, openPostgresLog, planLive, type Sink, type Stream } from '../../src/streams/index.ts'
import { testRecords } from '../helpers/postgres.ts'
import { openRunning, range, until, type Running } from './running.ts'

const { records } = await testRecords()
let at: Running
beforeAll(async () => {
  at = await openRunning(records)
  return () => at.log.close()
})

/** As FLUSHALL does in Redis. */
async function empty(): Promise<void> {
  await records.query('truncate lagoa_key, lagoa_key_mark')
}

const declare = (options: Partial<Stream['options']> = {}): Stream => at.declare({ key: 'sensor', live: { by: 'sensor' }, ...options })

function sinkOf(of: Stream, keys: Keys = openPostgresKeys(records)): Sink {
  const plan = planLive(of)
  if (!plan) throw new Error('no plan')
  return liveSink(of, plan, keys)
}

async function idsIn(of: Stream): Promise<(string | undefined)[]> {
  const { entries } = await openPostgresKeys(records).scan(`${of.name}:`, { limit: 1_000 })
  return entries.map(({ fields }) => fields['id'])
}

const last = (count: number): string[] => range(count - 5, count).map(String)

/** What the log told of refills, and of what failed. */
function listening(): { readonly told: string[]; readonly logger: Log } {
  const told: string[] = []
  const tell = (event: string): void => void told.push(event)
  const logger: Log = { debug: tell, info: tell, warn: tell, error: tell, with: () => logger }
  return { told, logger }
}

describe('a live cache that was emptied', () => {
  it('is full again at the next record, and also when none comes', { timeout: 20_000 }, async () => {
    const of = declare()
    await at.append(of, range(0, 50))
    const { told, logger } = listening()
    const runtime = await at.start(of, [sinkOf(of)], { logger })
    await runtime.drain()
    expect(await idsIn(of)).toEqual(last(50))
    await empty()
    await at.append(of, [50])
    await until(async () => (await idsIn(of)).includes('50') && (await idsIn(of)).length === 5)
    // Emptied before that, it would be filled once for both.
    await until(() => told.includes('stream.refilled'))
    await empty()
    await until(async () => (await idsIn(of)).includes('50') && (await idsIn(of)).length === 5)
    await until(() => told.filter((event) => event === 'stream.refilled').length === 2)
    await runtime.stop()
  })

  it('while nobody ran is full again after the next start, before draining ends', async () => {
    const of = declare()
    await at.append(of, range(0, 30))
    const first = await at.start(of, [sinkOf(of)])
    await first.drain()
    await first.stop()
    await empty()
    const second = await at.start(of, [sinkOf(of)])
    await second.drain()
    expect(await idsIn(of)).toEqual(last(30))
    await second.stop()
  })

  it('in the middle of being filled is filled from the start', async () => {
    const of = declare()
    await at.append(of, range(0, 45_000), 5_000)
    const first = await at.start(of, [sinkOf(of)])
    await first.drain()
    await first.stop()
    await empty()
    const whole = openPostgresKeys(records)
    let puts = 0
    const put = async (writes: readonly KeyWrite[]): Promise<void> => {
      await openPostgresKeys(records).put(writes)
      if (++puts === 2) await empty()
    }
    const second = await at.start(of, [sinkOf(of, Object.assign(whole, { put }))])
    await second.drain()
    await until(async () => puts >= 5 && !(await second.status()).sinks.some(({ state }) => state === 'retrying'))
    await second.drain()
    expect(await idsIn(of)).toEqual(last(45_000))
    await second.stop()
  })

  it('gets the newest first, and nothing whose time is over', async () => {
    const of = declare({ live: { by: 'sensor', ttl: '1h' } })
    await at.append(of, range(0, 45_000), 5_000)
    const first = await at.start(of, [sinkOf(of)])
    await first.drain()
    await first.stop()
    await empty()
    await records.query("update event_batch set appended_at = now() - interval '2 hours' where topic = $1 and base_offset < 5000", [of.name])
    const seen: number[] = []
    const keys = openPostgresKeys(records)
    const put = async (writes: readonly KeyWrite[]): Promise<void> => {
      seen.push(Math.max(...writes.map(({ order }) => order?.offset ?? 0)))
      expect(Math.max(...writes.map(({ ttlMs = 0 }) => ttlMs))).toBeLessThan(3_600_000)
      await openPostgresKeys(records).put(writes)
    }
    // Another handle on the log: this one remembers what was appended lately.
    const through = await openPostgresLog(records)
    const second = await at.start(of, [sinkOf(of, Object.assign(keys, { put }))], { through })
    await second.drain()
    expect(seen).toEqual([44_999, 24_999])
    expect(await idsIn(of)).toEqual(last(45_000))
    await second.stop()
    await through.close()
  })

  it('with an older copy of itself goes on from where that was', async () => {
    const of = declare()
    await at.append(of, range(0, 20))
    const first = await at.start(of, [sinkOf(of)])
    await first.drain()
    await first.stop()
    const kept = await records.query<{ name: string; value: string }>('select name, value from lagoa_key_mark where name like $1', [`${of.name}/%`])
    expect(kept).toEqual([{ name: `${of.name}/live/0`, value: 'full 20' }])
    await at.append(of, range(20, 40))
    const second = await at.start(of, [sinkOf(of)])
    await second.drain()
    await second.stop()
    await records.query("update lagoa_key_mark set value = 'full 20' where name = $1", [`${of.name}/live/0`])
    await records.query('delete from lagoa_key where key like $1 and "offset" >= 20', [`${of.name}:%`])
    const third = await at.start(of, [sinkOf(of)])
    await third.drain()
    expect(await idsIn(of)).toEqual(last(40))
    await third.stop()
  })
})
