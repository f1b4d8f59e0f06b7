import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openLab, type Lab } from 'lagoa/testing'

describe('a backfill', () => {
  let lab: Lab
  before(async () => {
    lab = await openLab({ now: '2026-02-10 12:00' })
  })
  after(() => lab.close())
  const all = () => lab.platform.flows.backfills

  test('is planned before anything is run', async () => {
    const plan = await all().plan('by_day', { from: '2026-02-01' })
    // The day that is not over in São Paulo is left out.
    assert.deepEqual({ ...plan, sample: plan.sample.length }, { partitions: 9, skipped: 0, first: '2026-02-01', last: '2026-02-09', sample: 9 })
    assert.equal((await lab.runs('by_day')).length, 0)
  })

  test('runs each partition with its window, the oldest first', async () => {
    const { id, total } = await all().create('by_day', { from: '2026-02-01', params: { bad: ['2026-02-03'] }, concurrency: 1, by: 'test' })
    assert.equal(total, 9)
    await lab.settle()
    const done = await all().get(id)
    assert.deepEqual([done.state, done.succeeded, done.failed], ['failed', 8, 1])
    const runs = await lab.runs('by_day')
    assert.deepEqual(
      runs.map(({ partition }) => partition),
      Array.from({ length: 9 }, (_, i) => `2026-02-0${i + 1}`),
    )
    assert.deepEqual(runs[0]?.tasks.tell?.output, ['2026-02-01T03:00:00.000Z', '2026-02-02T03:00:00.000Z'])
  })

  test('leaves out what has succeeded, and takes what failed', async () => {
    const plan = await all().plan('by_day', { from: '2026-02-01' })
    assert.deepEqual([plan.partitions, plan.skipped, plan.sample], [1, 8, ['2026-02-03']])
    await all().create('by_day', { from: '2026-02-01', by: 'test' })
    await lab.settle()
    await assert.rejects(all().create('by_day', { from: '2026-02-01', by: 'test' }), /All 9 partitions have succeeded/)
    assert.equal((await all().plan('by_day', { from: '2026-02-01', existing: 'again' })).partitions, 9)
  })

  test('with the same key is the same one', async () => {
    const request = { from: '2026-01-01', to: '2026-01-05', by: 'test', key: 'once' }
    const [one, two] = await Promise.all([all().create('by_day', request), all().create('by_day', request)])
    assert.equal(one.id, two.id)
    assert.equal((await all().create('by_day', request)).id, one.id)
    await lab.settle()
    assert.equal((await all().get(one.id)).succeeded, 5)
  })

  test('that is paused begins no more, goes on when it is resumed, and ends when it is cancelled', async () => {
    const { id } = await all().create('by_hour', { from: '2026-01-01', to: '2026-01-20', concurrency: 2, by: 'test' })
    await all().pause(id, true)
    await lab.settle()
    const paused = await all().get(id)
    assert.equal(paused.state, 'paused')
    assert.equal(paused.running, 0)
    assert.ok(paused.queued > 400)
    await all().pause(id, false)
    while ((await all().get(id)).succeeded < paused.succeeded + 20) await new Promise((done) => setTimeout(done, 5))
    await all().cancel(id)
    await lab.settle()
    const over = await all().get(id)
    assert.equal(over.state, 'cancelled')
    assert.equal(over.succeeded + over.cancelled, over.total)
    assert.ok(over.cancelled > 0)
  })

  test('keeps to its own runs at a time and to those of its flow', async () => {
    const { id } = await all().create('alone', { from: '2024-01', to: '2025-12', concurrency: 8, by: 'test' })
    let most = 0
    for (;;) {
      const { running, endedAt } = await all().get(id)
      most = Math.max(most, running)
      if (endedAt !== null) break
    }
    assert.equal(most, 1)
  })

  test('of ten thousand partitions is planned and queued in seconds, and runs to its end', async () => {
    const began = performance.now()
    const request = { from: '2024-01-01T00', to: '2025-02-20T15' }
    assert.equal((await all().plan('by_hour', request)).partitions, 10_000)
    const { id } = await all().create('by_hour', { ...request, order: 'newest', concurrency: 50, by: 'test' })
    const seconds = (performance.now() - began) / 1000
    assert.ok(seconds < 30, `${seconds} s`)
    await lab.settle()
    assert.deepEqual([(await all().get(id)).state, (await all().get(id)).succeeded], ['succeeded', 10_000])
    const [first] = await lab.platform.engines.records.query<{ partition: string }>(
      'select partition from runs where backfill = $1 order by started_at, id limit 1',
      [id],
    )
    assert.equal(first?.partition, '2025-02-20T15')
  })

  test('is refused with what to write instead', async () => {
    await assert.rejects(all().plan('stubborn', { from: '2026-01-01' }), /no partitions in time/)
    await assert.rejects(all().plan('by_day', {}), /where to begin/)
    await assert.rejects(all().plan('by_day', { from: '2026-02-30' }), /is neither a day nor a date/)
    await assert.rejects(all().plan('by_day', { from: '2026-02-02', to: '2026-02-01' }), /There is no day/)
    await assert.rejects(all().plan('by_dya', { from: '2026-02-02' }), /There is no flow by_dya/)
    await assert.rejects(all().plan('by_day', { partitions: ['2026-02-02', 'soon'] }), /"soon" is no day/)
    await assert.rejects(all().plan('by_day', { partitions: ['2026-02-02'], from: '2026-02-02' }), /not both/)
    await assert.rejects(all().create('by_day', { from: '2026-01-01', concurrency: 0, by: 'test' }), /cannot have 0 runs/)
  })
})
