import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openLab, type Lab } from 'lagoa/testing'

const FLOW = 'pipeline_sensor_airflow'
const HEAD = 'Date;Time;CO;NO2;Temperature;Relative_Humidity;Absolute_Humidity'

describe('the pipeline of a file', () => {
  let lab: Lab
  before(async () => {
    lab = await openLab({ now: '2026-03-01 06:00' })
  })
  after(() => lab.close())

  test('tries once more after a minute while its file is missing, and then fails', async () => {
    const run = await lab.run(FLOW)
    assert.equal(run.state, 'failed')
    const { load_csv_to_kafka: load, send_alert_to_rabbitmq: send } = run.tasks
    assert.equal(load?.attempt, 2)
    assert.match(load.error ?? '', /no object air-quality\/AirQualityUCI_Treated\.csv/)
    assert.equal(send?.state, 'skipped')
    assert.equal((run.endedAt ?? 0) - (run.startedAt ?? 0), 60_000)
  })

  test('loads, consumes, stores and sends, in this order', async () => {
    const rows = [
      '10/03/2004;18.00.00;2,6;113;13,6;48,9;0,7578',
      '10/03/2004;19.00.00;11,2;92;13,3;47,7;0,7255',
      '10/03/2004;20.00.00;-200;201;11,9;54,0;0,7502',
    ]
    await lab.put('air-quality/AirQualityUCI_Treated.csv', [HEAD, ...rows, ';;;;;;', ''].join('\r\n'))
    const run = await lab.run(FLOW)
    assert.equal(run.state, 'succeeded', JSON.stringify(run.tasks))
    assert.deepEqual(Object.keys(run.tasks), ['load_csv_to_kafka', 'consume_from_kafka', 'process_and_store_to_minio_and_redis', 'send_alert_to_rabbitmq'])
    assert.equal(run.tasks.process_and_store_to_minio_and_redis?.output, 3)
    assert.deepEqual(run.tasks.send_alert_to_rabbitmq?.output, { alerts: 2 })
    assert.equal((await lab.key('sensor:10/03/2004:19.00.00'))?.CO, '11.2')
    // A missing value is no reading of -200, and no alert either.
    const queued = (await lab.queue('sensor_alert')).map((text) => (JSON.parse(text) as { message: string }).message)
    assert.deepEqual(queued, ['CO 11.2 mg/m³, NO₂ 92 µg/m³ at Monza', 'CO no reading mg/m³, NO₂ 201 µg/m³ at Monza'])
    assert.ok(await lab.get('air-quality/processed/10/03/2004_20.00.00.json'))
  })

  test('keeps every run for those who ask later', async () => {
    assert.deepEqual(
      (await lab.runs(FLOW)).map(({ state }) => state),
      ['failed', 'succeeded'],
    )
  })
})
