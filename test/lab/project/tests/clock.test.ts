import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openLab, type Lab } from 'lagoa/testing'

const MINUTE = 60_000

describe('the clock', () => {
  let lab: Lab
  before(async () => {
    lab = await openLab({ now: '2026-03-28 00:00' })
  })
  after(() => lab.close())

  test('stands still until it is moved', async () => {
    const at = lab.now()
    await lab.settle()
    assert.equal(lab.now(), at)
    assert.equal(new Date(at).toISOString(), '2026-03-28T00:00:00.000Z')
  })

  test('is moved through every time of a schedule', async () => {
    await lab.advance('1h')
    const runs = await lab.runs('every_quarter')
    assert.deepEqual(
      runs.map(({ startedAt }) => new Date(startedAt ?? 0).toISOString().slice(11, 16)),
      ['00:15', '00:30', '00:45', '01:00'],
    )
    assert.ok(runs.every(({ state }) => state === 'succeeded'))
  })

  test('gives a scheduled run the partition that is over', async () => {
    await lab.advance('1d')
    // 2:30 in São Paulo is 5:30 in UTC.
    const [run] = await lab.runs('by_day')
    assert.equal(new Date(run?.startedAt ?? 0).toISOString(), '2026-03-28T05:30:00.000Z')
    assert.equal(run?.partition, '2026-03-27')
    assert.deepEqual(run?.tasks.tell?.output, ['2026-03-27T03:00:00.000Z', '2026-03-28T03:00:00.000Z'])
  })

  test('is moved on to the next try of a task', async () => {
    const run = await lab.run('stubborn')
    assert.equal(run.state, 'succeeded')
    assert.equal(run.tasks.try?.attempt, 3)
    assert.equal((run.endedAt ?? 0) - (run.startedAt ?? 0), 3 * MINUTE)
  })

  test('is what tasks are told', async () => {
    const at = lab.now()
    await lab.publish('orders', [{ id: 'a', at: '2026-03-28T00:00:00Z', amount: 1 }])
    await lab.advance('9min')
    assert.deepEqual(
      (await lab.runs('after_stream')).map(({ state, tasks }) => [state, tasks.begin?.output]),
      [['running', at]],
    )
    await lab.advance('1min')
    assert.equal((await lab.runs('after_stream')).at(-1)?.state, 'succeeded')
  })

  test('says what a flow waits for in vain', async () => {
    await assert.rejects(lab.run('forever', {}, { within: '6h' }), /waits for what does not come: never delayed/)
  })
})
