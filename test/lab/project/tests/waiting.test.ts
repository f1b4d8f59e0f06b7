import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openLab, type Lab } from 'lagoa/testing'

const order = (id: string, amount: number) => ({ id, at: '2026-05-01T00:00:00Z', amount })

describe('a sensor', () => {
  let lab: Lab
  before(async () => {
    lab = await openLab({ now: '2026-05-01 10:00' })
  })
  after(() => lab.close())

  test('goes on when there is what it waits for: an object, a table, a record, a moment', async () => {
    await lab.publish('orders', [order('a', 1)])
    await lab.settle()
    await lab.platform.flows.trigger('waiting', { params: { day: '2026-05-01', least: 1 }, by: 'test' })
    await lab.advance('10min')
    const states = async () => {
      const [run] = await lab.runs('waiting')
      return Object.entries(run?.tasks ?? {}).flatMap(([name, { state }]) => (state === 'succeeded' ? [name] : []))
    }
    assert.deepEqual(await states(), [])
    await lab.put('inbox/2026-05-01-b.csv', 'x')
    await lab.advance('2min')
    assert.deepEqual(await states(), ['file', 'table'])
    await lab.publish('orders', [order('b', 5_000)])
    await lab.advance('2min')
    assert.deepEqual(await states(), ['file', 'table', 'record'])
    await lab.advance('1h')
    const [run] = await lab.runs('waiting')
    assert.equal(run?.state, 'succeeded')
    assert.deepEqual(run?.tasks.file?.output, {
      path: 'inbox/2026-05-01-b.csv',
      size: 1,
      modified: (run?.tasks.file?.output as { modified?: number } | undefined)?.modified,
    })
    assert.deepEqual(run?.tasks.record?.output, order('b', 5_000))
    assert.equal(run?.tasks.time?.output, Date.parse('2026-05-01T11:00:00Z'))
  })
})
