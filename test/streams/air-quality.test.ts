/** The Air Quality file (De Vito et al. 2008), where it is at hand, from its lines to what a sink gets. */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { jsonValue, silentLog, t, type Schema } from '../../src/base/index.ts'
import { migrate, type Records, soleDuties } from '../../src/storage/index.ts'
import {
  createStreamRuntime,
  csv,
  deadLetterTopic,
  eventLogMigrations,
  offsetMigrations,
  openPostgresLog,
  stream,
  type DecodedBatch,
  type EventLog,
  type Source,
  type StreamStatus,
} from '../../src/streams/index.ts'
import { tempFolder } from '../helpers/folder.ts'
import { testRecords } from '../helpers/postgres.ts'

const FILE = new URL('../../../shared/data/AirQualityUCI.csv', import.meta.url)
const reading = (): ReturnType<typeof t.double> => t.double().missing(-200)
const declared = stream<Schema>('sensor_raw', {
  schema: { at: t.timestamp(), co: reading(), no2: reading(), temperature: reading() },
  upcast: ({ date, time, CO, NO2, Temperature }) => ({
    at: `${String(date).split('/').toReversed().join('-')}T${String(time).replaceAll('.', ':')}+01:00`,
    co: CO,
    no2: NO2,
    temperature: Temperature,
  }),
})

const source = (path: string): Source =>
  csv({
    path,
    decimal: ',',
    columns: {
      date: 'Date',
      time: 'Time',
      CO: { from: 'CO(GT)', type: 'number' },
      NO2: { from: 'NO2(GT)', type: 'number' },
      Temperature: { from: 'T', type: 'number' },
    },
  })

describe.skipIf(!existsSync(FILE))(`the Air Quality file${existsSync(FILE) ? '' : ` (skipped: ${FILE} is not here)`}`, () => {
  const folder = tempFolder()
  let log: EventLog
  let records: Records
  beforeAll(async () => {
    records = (await testRecords()).records
    await migrate(records, [...eventLogMigrations, ...offsetMigrations])
    log = await openPostgresLog(records)
    return () => log.close()
  })

  async function replay(path: string): Promise<{ readonly status: StreamStatus; readonly taken: readonly DecodedBatch[] }> {
    const taken: DecodedBatch[] = []
    const runtime = createStreamRuntime({
      stream: declared,
      log,
      records,
      duties: soleDuties({ log: silentLog, url: 'test' }),
      logger: silentLog,
      source: { source: source(path), rate: Number.POSITIVE_INFINITY },
      sinks: [{ name: 'collector', kind: 'table', pace: { records: 50_000, ms: 50 }, deliver: ({ batches }) => Promise.resolve(void taken.push(...batches)) }],
    })
    await runtime.start()
    await runtime.drain()
    const status = await runtime.status()
    await runtime.stop()
    return { status, taken }
  }

  it('gives 9,357 records, none broken, 114 blank lines and the missing values that are known; a second run adds nothing; what it grows by is added', async () => {
    const path = join(folder, 'air.csv')
    copyFileSync(FILE, path)
    const { status, taken } = await replay(path)
    expect(status.source).toMatchObject({ state: 'ended', records: 9357, broken: 0, blank: 114 })
    expect(taken.reduce((sum, { rows }) => sum + rows.count, 0)).toBe(9357)
    const missing = (name: string): number =>
      taken.reduce(
        (sum, { rows }) =>
          sum +
          Array.from(
            { length: rows.count },
            (_, row) => rows.columns.filter((column) => column.name === name && jsonValue(column, row) === null).length,
          ).reduce((a, b) => a + b, 0),
        0,
      )
    expect([missing('co'), missing('no2'), missing('temperature')]).toEqual([1683, 1642, 366])
    const times = taken.flatMap(({ rows }) => rows.columns.flatMap((column) => (column.name === 'at' && column.kind === 'number' ? [...column.values] : [])))
    expect(new Date(times[0] ?? 0).toISOString()).toBe('2004-03-10T17:00:00.000Z')
    expect(new Date(times.at(-1) ?? 0).toISOString()).toBe('2005-04-04T13:00:00.000Z')
    expect(times.every((time, i) => i === 0 || time - (times[i - 1] ?? 0) === 3_600_000)).toBe(true)

    const again = await replay(path)
    expect(again.taken).toEqual([])
    expect(again.status.source).toMatchObject({ state: 'ended', records: 9357, blank: 114, broken: 0 })
    expect(await log.ends(declared.name)).toEqual([9357])

    const lines = readFileSync(FILE, 'latin1').split('\r\n')
    writeFileSync(path, [...lines.slice(0, -1), '04/04/2005;15.00.00;2,2;1000;-200;11;1000;500;900;200;900;1000;20,1;30,2;0,9;;', ''].join('\r\n'))
    const grown = await replay(path)
    expect(grown.status.source).toMatchObject({ records: 9358, blank: 114 })
    expect(grown.taken.map(({ rows }) => rows.count)).toEqual([1])
    expect(await log.ends(deadLetterTopic(declared.name))).toEqual([0])
  })
})
