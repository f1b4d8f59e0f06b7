/** The figures of the UCI Air Quality file (De Vito et al. 2008), where it is at hand. */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { t } from '../../src/base/index.ts'
import { alert, compileRule, createRuleSet, RuleStates, takeReadings, type AlertOptions, type RuleStream } from '../../src/alerts/index.ts'
import { batchesOf } from './deliveries.ts'
import type { Row } from './reference.ts'

const FILE = new URL('../../../shared/data/AirQualityUCI.csv', import.meta.url)

const schema = { sensor: t.string(), at: t.timestamp(), co: t.double().missing(-200), no2: t.double().missing(-200) }
const readings: RuleStream<typeof schema> = { kind: 'stream', name: 'readings', schema, options: { key: 'sensor', eventTime: 'at' } }

function readFile(): Row[] {
  const lines = readFileSync(FILE, 'utf8')
    .split('\r\n')
    .slice(1)
    .filter((line) => /^\d/.test(line))
  return lines.map((line) => {
    const [date = '', time = '', co = '', , , , , , , no2 = ''] = line.split(';')
    const [day, month, year] = date.split('/')
    return {
      sensor: 'roma',
      at: Date.parse(`${year}-${month}-${day}T${time.replaceAll('.', ':')}+01:00`),
      co: Number(co.replace(',', '.')),
      no2: Number(no2.replace(',', '.')),
    }
  })
}

describe.skipIf(!existsSync(FILE))(`the Air Quality file${existsSync(FILE) ? '' : ` (skipped: ${FILE} is not here)`}`, () => {
  const rows = existsSync(FILE) ? readFile() : []

  function count(options: Partial<AlertOptions<typeof schema>>, cuts: readonly number[] = []): { readonly matched: number; readonly fired: number } {
    const rule = compileRule(alert('r', { on: readings, when: 'co > 10 || no2 > 200', to: [], ...options }))
    const set = createRuleSet(readings, [rule])
    const states = new RuleStates(1)
    const totals = batchesOf(schema, rows, cuts, Date.UTC(2026)).map((batch) => takeReadings(set, states, 0, [batch]).totals[0] ?? { matched: 0, fired: 0 })
    return { matched: totals.reduce((sum, { matched }) => sum + matched, 0), fired: totals.reduce((sum, { fired }) => sum + fired, 0) }
  }

  it('has 9,357 readings', () => {
    expect(rows.length).toBe(9_357)
  })

  it('has 388 readings above a limit, 5 by CO and 386 by NO2', () => {
    expect(count({ mode: 'each' })).toEqual({ matched: 388, fired: 388 })
    expect(count({ mode: 'each', when: 'co > 10' }).fired).toBe(5)
    expect(count({ mode: 'each', when: 'no2 > 200' }).fired).toBe(386)
  })

  it('has 135 episodes without a clear condition', () => {
    expect(count({})).toEqual({ matched: 388, fired: 135 })
  })

  it('has 115 episodes with a clear condition that a missing value does not meet', () => {
    expect(count({ clear: 'co < 9 && no2 < 180' }).fired).toBe(115)
  })

  it('has 89 episodes of at least two readings', () => {
    expect(count({ for: { readings: 2 } }).fired).toBe(89)
    expect(count({ for: '1h' }).fired).toBe(89)
  })

  it('has the same episodes however it is cut', () => {
    const cuts = Array.from({ length: 700 }, (_, i) => i * 13 + (i % 7))
    expect(count({}, cuts).fired).toBe(135)
    expect(count({ clear: 'co < 9 && no2 < 180' }, cuts).fired).toBe(115)
    expect(count({ for: { readings: 2 } }, cuts).fired).toBe(89)
  })
})
