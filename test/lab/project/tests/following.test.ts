import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openLab, type Lab } from 'lagoa/testing'

const order = (id: string, at: string, amount: number) => ({ id, at: `${at}T12:00:00Z`, amount })

describe('a flow that follows', () => {
  let lab: Lab
  before(async () => {
    lab = await openLab()
    // What was there before is not news.
    await lab.publish('orders', [order('a', '2026-01-01', 10)])
    await lab.settle()
  })
  after(() => lab.close())

  test('a table runs for each new version, once', async () => {
    const before = (await lab.runs('after_table')).length
    await lab.publish('orders', [order('b', '2026-01-02', 5)])
    await lab.settle()
    await lab.settle()
    const runs = await lab.runs('after_table')
    assert.equal(runs.length, before + 1)
    assert.equal(runs.at(-1)?.state, 'succeeded')
    const { by, table, from, to } = (runs.at(-1)?.trigger ?? {}) as Record<string, unknown>
    assert.deepEqual([by, table], ['table', 'gold.daily'])
    assert.ok(Number(to) > Number(from))
    assert.deepEqual(await lab.sql('select sum(amount) as total from gold.daily'), [{ total: 15 }])
  })

  test('a stream has what came meanwhile in its next run', async () => {
    const seen = (await lab.runs('after_stream')).length
    // Its run goes on for ten minutes; three more lots come in that time.
    for (const [i, id] of ['c', 'd', 'e', 'f'].entries()) {
      await lab.publish('orders', [order(id, '2026-01-03', i)])
      await lab.settle()
    }
    await lab.advance('1h')
    const runs = (await lab.runs('after_stream')).slice(seen)
    const steps = runs.map(({ trigger }) => trigger as { from: number[]; to: number[] })
    assert.ok(runs.length <= 2, `${runs.length} runs`)
    // Every record is in exactly one of them.
    for (const [i, { from }] of steps.entries()) if (i > 0) assert.deepEqual(from, steps[i - 1]?.to)
    const sum = (offsets: readonly number[] = []) => offsets.reduce((a, b) => a + b, 0)
    assert.equal(sum(steps.at(-1)?.to), 6)
  })
})
