import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openLab, type Lab } from 'lagoa/testing'

const FLOW = 'bronze_to_silver_etl'

describe('bronze to silver', () => {
  let lab: Lab
  before(async () => {
    lab = await openLab({ now: '2026-03-01 06:00' })
    await lab.settle()
  })
  after(() => lab.close())

  test('extracts, transforms and loads, and answers where', async () => {
    const run = await lab.run(FLOW)
    assert.equal(run.state, 'succeeded', JSON.stringify(run.tasks))
    assert.deepEqual(Object.keys(run.tasks), ['extract_bronze_data', 'transform_to_silver', 'load_to_silver'])
    assert.equal(run.tasks.load_to_silver?.output, 's3a://silver/clean_data_domain1/table1')
    const [silver] = await lab.sql(`select count(*) as n, count(distinct id) as ids, min(valor) > 0 as worth, min(processed_ts) as at
      from delta('silver/clean_data_domain1/table1')`)
    assert.deepEqual({ ...silver, at: new Date(String(silver?.at)).toISOString() }, { n: 6, ids: 6, worth: true, at: '2026-03-01T06:00:00.000Z' })
  })

  test('a second run leaves the same rows', async () => {
    await lab.run(FLOW)
    assert.deepEqual(await lab.sql("select count(*) as n from delta('silver/clean_data_domain1/table1')"), [{ n: 6 }])
  })

  test('tries three times more, thirty seconds apart, while the source is missing', async () => {
    const run = await lab.run(FLOW, { source: 'raw_data_source1/table2' })
    assert.equal(run.state, 'failed')
    assert.equal(run.tasks.extract_bronze_data?.attempt, 4)
    assert.match(run.tasks.extract_bronze_data.error ?? '', /no table at bronze\/raw_data_source1\/table2/)
    assert.equal(run.tasks.load_to_silver?.state, 'skipped')
    assert.equal((run.endedAt ?? 0) - (run.startedAt ?? 0), 90_000)
  })

  test('never writes over a table whose rows the project declares', async () => {
    const before = await lab.sql('select * from silver.sales order by id')
    const run = await lab.run(FLOW, { destination: 'sales' })
    assert.equal(run.state, 'failed')
    assert.match(run.tasks.load_to_silver?.error ?? '', /is table silver\.sales of the project/)
    assert.deepEqual(await lab.sql('select * from silver.sales order by id'), before)
  })
})
