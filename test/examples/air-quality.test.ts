/** The example project on the data set it was made for, and on a small file of the same format that is always there. */
import { appendFileSync, copyFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { newHome, once, ROOT, sql, temporaryFolder, type Summary } from '../helpers/cli.ts'
import { expected, line, readings, writeReadings, type Expected } from './readings.ts'

const DATA: string = join(ROOT, '../shared/data/AirQualityUCI.csv')
const WHOLE: Expected = { rows: 9357, coMissing: 1683, no2Missing: 1642, matched: 388, episodes: 115 }
const folder = temporaryFolder('air')

async function holds(summary: Summary, { rows, coMissing, no2Missing, matched, episodes }: Expected, home: string): Promise<void> {
  expect(summary.streams).toEqual({ sensor_raw: { read: rows, dead_letter: 0 } })
  expect(summary.tables['bronze.sensor']?.rows).toBe(rows)
  expect(summary.tables['silver.readings']?.rows).toBe(rows)
  expect(summary.tables['gold.air_hourly']?.rows).toBe(rows)
  expect(summary.alerts).toEqual({ air_critical: { matched, fired: matched, queued: matched }, air_episode: { matched, fired: episodes, queued: episodes } })
  const [counts] = await sql(
    'select count(*), count(*) filter (where co is null), count(*) filter (where no2 is null), count(distinct "at") from silver.readings',
    { home },
  )
  expect(counts).toEqual([rows, coMissing, no2Missing, rows])
  const [bronze] = await sql('select count(*), count(distinct _offset), max(_offset) from bronze.sensor', { home })
  expect(bronze).toEqual([rows, rows, rows - 1])
}

function story(name: string, given: { readonly path: () => string; readonly before: Expected; readonly after: (path: string) => Expected }): void {
  describe(name, () => {
    const home = newHome()
    let path = ''
    let first: Summary

    test('is carried whole into bronze and silver, and fires its alerts', async () => {
      path = given.path()
      first = await once(['--data', path, '--rate', 'max'], { home })
      await holds(first, given.before, home)
    })
    test('given again adds no row, no alert and no table version', async () => {
      const second = await once(['--data', path, '--rate', 'max'], { home })
      expect({ streams: second.streams, tables: second.tables, alerts: second.alerts }).toEqual({
        streams: first.streams,
        tables: first.tables,
        alerts: first.alerts,
      })
    })
    test('grown at its end adds just the new readings', async () => {
      const grown = given.after(path)
      await holds(await once(['--data', path, '--rate', 'max'], { home }), grown, home)
    })
  })
}

const few = readings(400)
const more = readings(60, 400)

story('a small file of the same format', {
  path: () => {
    const path = join(folder, 'small.csv')
    writeReadings(path, few)
    return path
  },
  before: expected(few),
  after: (path) => {
    appendFileSync(path, more.map((reading) => `${line(reading)}\r\n`).join(''))
    return expected([...few, ...more])
  },
})

describe.skipIf(!existsSync(DATA))(`the Air Quality file${existsSync(DATA) ? '' : ` (skipped: ${DATA} is not here)`}`, () => {
  story('of 9,357 readings', {
    path: () => {
      const path = join(folder, 'whole.csv')
      copyFileSync(DATA, path)
      return path
    },
    before: WHOLE,
    after: (path) => {
      // The last reading is of 2005-04-04 14:00; these two come after it, one of them above a limit and still unclear before.
      appendFileSync(
        path,
        '04/04/2005;15.00.00;2,1;1000;-200;8;900;200;700;150;1100;800;20,1;30,5;0,7;;\r\n04/04/2005;16.00.00;12,5;1000;-200;8;900;200;700;240;1100;800;20,1;30,5;0,7;;\r\n',
      )
      return { rows: 9359, coMissing: 1683, no2Missing: 1642, matched: 389, episodes: 116 }
    },
  })
})
