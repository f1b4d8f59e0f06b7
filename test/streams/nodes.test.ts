/** Several nodes over one event log: each partition is carried by one of them, and nothing is lost or told twice when they come and go. */
import { beforeAll, describe, expect, it } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { openLeasedDuties, openRecords, type Duties, type Records } from '../../src/storage/index.ts'
import { openPostgresLog, simulate, type Sink, type Stream } from '../../src/streams/index.ts'
import { testRecords } from '../helpers/postgres.ts'
import { collector, idsOf, openRunning, range, until, type Running } from './running.ts'

const LEASE = 1_500

const { records, connection } = await testRecords()
let at: Running
beforeAll(async () => {
  at = await openRunning(records)
  await records.query('create table told (stream text, partition int, id int)')
  return () => at.log.close()
})

const node = (url: string, on: Records = records): Promise<Duties> => openLeasedDuties(on, { log: silentLog, url, leaseMs: LEASE })

/** Tells ids in the transaction that moves its offset, as the alert rules do. */
function teller(name: string, on: Records = records): Sink {
  return {
    name,
    kind: 'alerts',
    pace: { records: 7, ms: 5 },
    async deliver({ stream, batches, partition, commitIn }) {
      await on.transaction(async (tx) => {
        await tx.query('insert into told select $1, $2, unnest($3::int[])', [stream, partition, batches.flatMap(({ rows }) => idsOf(rows))])
        await commitIn(tx)
      })
    },
  }
}

const told = async ({ name }: Stream): Promise<number[]> =>
  (await records.query<{ id: number }>('select id from told where stream = $1 order by id', [name])).map(({ id }) => id)

describe('nodes', () => {
  it('share the partitions of a stream, each carried by one', async () => {
    const of = at.declare({ partitions: 4 })
    const [a, b] = [await node('a'), await node('b')]
    const [one, two] = [collector('table'), collector('table')]
    const first = await at.start(of, [one], { duties: a })
    const second = await at.start(of, [two], { duties: b })
    await until(async () => (await a.nodes()).every(({ duties }) => duties.length === 2))
    await at.append(of, range(0, 200), 5)
    await first.drain()
    await second.drain()
    const carried = [one, two].map(({ offsets }) => [...offsets.keys()])
    expect(carried.flat().sort((x, y) => x - y)).toEqual([0, 1, 2, 3])
    expect([...one.ids, ...two.ids].sort((x, y) => x - y)).toEqual(range(0, 200))
    for (const runtime of [first, second]) expect((await runtime.status()).sinks[0]).toMatchObject({ position: 200, lag: 0, state: 'running' })
    await Promise.all([first.stop(), second.stop()])
    await Promise.all([a.close(), b.close()])
  })

  it('read a source once, on one of them, and go on with it on another', async () => {
    const of = at.declare()
    const source = () => ({ source: simulate({ devices: ['s1'], count: 300, reading: ({ index }) => ({ id: index, sensor: 's' }) }), rate: 600 })
    const [a, b] = [await node('a'), await node('b')]
    const first = await at.start(of, [collector('table')], { duties: a, source: source() })
    const second = await at.start(of, [collector('table')], { duties: b, source: source() })
    const read = async (): Promise<number> => (await at.log.ends(of.name))[0] ?? 0
    await until(async () => (await read()) > 60)
    const [busy, idle] = (await first.status()).source ? [first, second] : [second, first]
    const [closing, staying] = busy === first ? [a, b] : [b, a]
    await busy.stop()
    await closing.close()
    await until(async () => (await read()) >= 300)
    await idle.drain()
    expect(await read()).toBe(300)
    await idle.stop()
    await staying.close()
  })

  it('that lose the database, die or come back tell every record once', { timeout: 60_000 }, async () => {
    const of = at.declare({ partitions: 3 })
    let appending = true
    const appended = (async () => {
      let next = 0
      for (; appending; next += 20) {
        await at.append(of, range(next, next + 20), 4)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      return next
    })()
    const steady = await node('steady')
    const stays = await at.start(of, [teller('alerts')], { duties: steady })
    for (let round = 0; round < 8; round++) {
      const own = await openRecords({ connection, max: 4, log: silentLog })
      const log = await openPostgresLog(own)
      const coming = await node(`round ${round}`, own)
      const runtime = await at.start(of, [teller('alerts', own)], { duties: coming, through: log })
      await until(async () => (await steady.nodes()).some(({ url, duties }) => url === `round ${round}` && duties.length > 0))
      await new Promise((resolve) => setTimeout(resolve, 60))
      // At odd rounds its connections break first, so it stops without a word to the others.
      if (round % 2 === 1) await own.close()
      await runtime.stop()
      await coming.close()
      await log.close().catch(() => undefined)
      if (round % 2 === 0) await own.close()
    }
    appending = false
    const count = await appended
    await until(async () => (await steady.nodes())[0]?.duties.length === 3)
    await stays.drain()
    expect(await told(of)).toEqual(range(0, count))
    await stays.stop()
    await steady.close()
  })
})
