/** Lanes: every sink gets everything in order, whatever happens to it or to its neighbours. */
import { beforeAll, describe, expect, it } from 'vitest'
import { createLog } from '../../src/base/index.ts'
import { encodeJson, loadOffsets, simulate, type Sink } from '../../src/streams/index.ts'
import { testRecords } from '../helpers/postgres.ts'
import { collector, idsOf, openRunning, range, until, type Running } from './running.ts'

const { records } = await testRecords()
let at: Running
beforeAll(async () => {
  at = await openRunning(records)
  await records.query('create table taken (sink text, partition int, id int)')
  return () => at.log.close()
})

const taken = async (sink: string): Promise<number[]> =>
  (await records.query<{ id: number }>('select id from taken where sink = $1 order by partition, id', [sink])).map(({ id }) => id)

/** Writes ids and moves its offset in one transaction of its own; `dies` may throw inside the transaction or after it. */
function committing(name: string, dies: (moment: 'inside' | 'after') => void = () => undefined): Sink {
  return {
    name,
    kind: 'alerts',
    pace: { records: 7, ms: 10 },
    async deliver({ batches, partition, commitIn }) {
      await records.transaction(async (tx) => {
        await tx.query('insert into taken select $1, $2, unnest($3::int[])', [name, partition, batches.flatMap(({ rows }) => idsOf(rows))])
        await commitIn(tx)
        dies('inside')
      })
      dies('after')
    },
  }
}

describe('lanes', () => {
  it('bring everything to every sink in order, what was there before and what comes later, good and bad', async () => {
    const of = at.declare()
    await at.append(of, [...range(0, 20), 'no json', ...range(20, 40)])
    const sinks = [collector('one'), collector('two', undefined, { records: 1, ms: 0 }), collector('three', undefined, { records: 1000, ms: 30 })]
    const runtime = await at.start(of, sinks)
    await until(() => sinks.every(({ ids }) => ids.length === 40))
    await at.append(of, range(40, 55))
    await runtime.drain()
    await runtime.stop()
    for (const sink of sinks) {
      expect(sink.ids).toEqual(range(0, 55))
      expect(sink.offsets.get(0)).toEqual(range(0, 56))
    }
  })

  it('keep the order within each of several partitions', async () => {
    const of = at.declare({ partitions: 3 })
    await at.append(of, range(0, 90), 4)
    const sink = collector('one')
    const runtime = await at.start(of, [sink])
    await runtime.drain()
    await runtime.stop()
    const ends = await at.log.ends(of.name)
    ends.forEach((end, partition) => expect(sink.offsets.get(partition)).toEqual(range(0, end)))
    expect(sink.ids.toSorted((a, b) => a - b)).toEqual(range(0, 90))
  })

  it('try a failing sink again with back-off, hold up no other, and say what is wrong meanwhile', async () => {
    const of = at.declare()
    await at.append(of, range(0, 30))
    let isDown = true
    const attempts: number[] = []
    const failing = collector('failing', () => {
      attempts.push(performance.now())
      if (isDown) throw new Error('the door is shut')
    })
    const healthy = collector('healthy')
    const runtime = await at.start(of, [failing, healthy])
    await until(() => healthy.ids.length === 30 && attempts.length >= 4)
    const status = await runtime.status()
    expect(status.sinks.find(({ name }) => name === 'failing')).toMatchObject({ state: 'retrying', error: 'the door is shut', position: 0, lag: 30 })
    expect(status.sinks.find(({ name }) => name === 'healthy')).toMatchObject({ state: 'running', position: 30, lag: 0 })
    const pauses = attempts.slice(1).map((time, i) => time - (attempts[i] ?? 0))
    expect(pauses[0]).toBeGreaterThan(40)
    expect(pauses[2]).toBeGreaterThan(pauses[0]! / 2 + 100)
    isDown = false
    await runtime.drain()
    expect((await runtime.status()).sinks.find(({ name }) => name === 'failing')).toMatchObject({ state: 'running', error: undefined, lag: 0 })
    await runtime.stop()
    expect(failing.ids).toEqual(range(0, 30))
  })

  it('give a sink that fails now and then everything in order', async () => {
    const of = at.declare()
    await at.append(of, range(0, 60))
    let calls = 0
    const sink = collector('flaky', () => {
      if (++calls % 3 === 1) throw new Error('now and then')
    })
    const runtime = await at.start(of, [sink])
    await runtime.drain()
    await runtime.stop()
    expect(sink.ids).toEqual(range(0, 60))
  })

  it('keep a sink that commits its offset itself exactly once, killed before or after its commit', async () => {
    const of = at.declare({ partitions: 2 })
    await at.append(of, range(0, 100))
    let moments = 0
    const runtime = await at.start(of, [
      committing('exact', () => {
        if (++moments % 3 === 0) throw new Error('killed')
      }),
    ])
    await runtime.drain()
    await runtime.stop()
    expect((await taken('exact')).toSorted((a, b) => a - b)).toEqual(range(0, 100))
  })

  it('move an offset that was moved by its sink no second time', async () => {
    const of = at.declare()
    await at.append(of, range(0, 50))
    const lines: string[] = []
    const runtime = await at.start(of, [committing('quiet')], { logger: createLog({ write: (line) => lines.push(line) }) })
    await runtime.drain()
    await runtime.stop()
    expect(lines).toEqual([])
    expect(await taken('quiet')).toEqual(range(0, 50))
  })

  it('let one of two movers win when another process runs the same sink, and lose nothing', async () => {
    const of = at.declare()
    await at.append(of, range(0, 100), 1)
    const [here, there] = [await at.start(of, [committing('both')]), await at.start(of, [committing('both')])]
    await Promise.all([here.drain(), there.drain()])
    await Promise.all([here.stop(), there.stop()])
    expect(await taken('both')).toEqual(range(0, 100))
  })

  it('lose nothing when they are stopped in the middle, and deliver nothing after the stop', async () => {
    const of = at.declare()
    await at.append(of, range(0, 300), 2)
    const exact = committing('stopped')
    const slow = collector('slow', () => new Promise((resolve) => setTimeout(resolve, 3)), { records: 5, ms: 1 })
    for (let turn = 0; turn < 6; turn++) {
      const runtime = await at.start(of, [exact, slow])
      await new Promise((resolve) => setTimeout(resolve, 15 + turn * 7))
      await runtime.stop()
      const [now, soon] = [slow.ids.length, await new Promise((resolve) => setTimeout(() => resolve(slow.ids.length), 20))]
      expect(soon).toBe(now)
    }
    const runtime = await at.start(of, [exact, slow])
    await runtime.drain()
    await runtime.stop()
    expect(await taken('stopped')).toEqual(range(0, 300))
    expect(slow.ids).toEqual(range(0, 300))
  })

  it("go on from a sink's own position when it is ahead of the stored offset", async () => {
    const of = at.declare()
    await at.append(of, range(0, 30))
    const sink: Sink = { ...collector('ahead'), position: () => Promise.resolve(12) }
    const seen: number[] = []
    const runtime = await at.start(of, [{ ...sink, deliver: ({ batches }) => Promise.resolve(void seen.push(...batches.flatMap(({ rows }) => idsOf(rows)))) }])
    await runtime.drain()
    await runtime.stop()
    expect(seen).toEqual(range(12, 30))
    expect(await loadOffsets(records, of.name)).toContainEqual({ sink: 'ahead', partition: 0, next_offset: 30 })
  })

  it('do not pass over new records in silence when a sink belongs to another log', async () => {
    const of = at.declare()
    await at.append(of, range(0, 5))
    const foreign: Sink = { ...collector('foreign'), position: () => Promise.resolve(5000) }
    const runtime = await at.start(of, [foreign])
    await until(async () => (await runtime.status()).sinks[0]?.state === 'retrying')
    expect((await runtime.status()).sinks[0]?.error).toContain('has records of')
    await runtime.stop()
  })

  it('go on at the earliest record that is left when retention was faster than a sink', async () => {
    const of = at.declare({ retention: { bytes: 1 } })
    let isDown = true
    const ids: number[] = []
    const late: Sink = {
      ...collector('late'),
      deliver: ({ batches }) => (isDown ? Promise.reject(new Error('down')) : Promise.resolve(void ids.push(...batches.flatMap(({ rows }) => idsOf(rows))))),
    }
    await at.append(of, range(0, 9))
    const lines: string[] = []
    const runtime = await at.start(of, [late], { logger: createLog({ write: (line) => lines.push(line) }) })
    await until(async () => (await runtime.status()).sinks[0]?.state === 'retrying')
    await at.log.ensureTopic(of.name, { partitions: 1, retainMs: 1e9, retainBytes: 1 })
    await at.log.trim()
    isDown = false
    await runtime.drain()
    await runtime.stop()
    expect(ids).toEqual([6, 7, 8])
    expect(lines.filter((line) => line.includes('stream.records_expired') && line.includes('"sink":"late"'))).toHaveLength(1)
  })

  it('wait with the source while a sink is far behind, and go on when it is not', { timeout: 60_000 }, async () => {
    const of = at.declare()
    let isDown = true
    const sink = collector(
      'stalled',
      () => {
        if (isDown) throw new Error('stalled')
      },
      { records: 50_000, ms: 20 },
    )
    const source = simulate({ devices: ['a'], count: 340_000, reading: ({ n }) => ({ id: n }) })
    const runtime = await at.start(of, [sink], { source: { source, rate: Number.POSITIVE_INFINITY } })
    await until(async () => (await runtime.status()).source?.state === 'paused')
    const [held = 0] = await at.log.ends(of.name)
    expect(held).toBeGreaterThanOrEqual(300_000)
    expect(held).toBeLessThanOrEqual(310_000)
    isDown = false
    await runtime.drain()
    await runtime.stop()
    expect(sink.ids.length).toBe(340_000)
    expect(sink.ids.every((id, i) => id === i)).toBe(true)
  })

  it('deliver when much memory is gathered, though few records are', async () => {
    const of = at.declare()
    await at.append(of, [])
    const filler = 'x'.repeat(1_000_000)
    const deliveries: number[] = []
    for (let n = 0; n < 90; n++) await at.log.append(of.name, 0, encodeJson(null, [JSON.stringify({ id: n, filler })]))
    const runtime = await at.start(of, [collector('large', ({ from, upTo }) => void deliveries.push(upTo - from), { records: 1e6, ms: 60_000 })])
    await until(() => deliveries.length > 0)
    await runtime.drain()
    await runtime.stop()
    expect(deliveries[0]).toBeLessThan(90)
    expect(deliveries.reduce((sum, count) => sum + count, 0)).toBe(90)
  })
})
