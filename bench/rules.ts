/**
 * What rules cost: a million readings from the bytes of the log to alerts, without the database behind them, and the rules' part of that. One rule,
 * and a thousand of the kinds that people write: limits of each station's own, holds, clears, texts. A few of them fire, most are quiet.
 */
import { compileRules, createRuleSet, RuleStates, takeReadings, alert, type Alert } from '../src/alerts/index.ts'
import { t } from '../src/base/index.ts'
import { createDecoder, encodeJson, stream, type RecordBatch } from '../src/streams/index.ts'
import { median, type Figure } from './figures.ts'

const COUNT = 1_000_000
const BATCH = 10_000
const RUNS = 5

const readings = stream('readings', {
  key: 'sensor',
  eventTime: 'at',
  schema: { sensor: t.string(), at: t.timestamp(), co: t.double().nullable(), no2: t.double().nullable(), temperature: t.double(), humidity: t.double() },
})

function batches(): RecordBatch[] {
  return Array.from({ length: COUNT / BATCH }, (_, batch) => {
    const values = Array.from({ length: BATCH }, (_, i) => {
      const n = batch * BATCH + i
      const noise = (salt: number): number => ((Math.imul(n + salt, 0x9e3779b1) >>> 8) & 0xffff) / 0xffff
      const reading = { sensor: `station-${n % 1000}`, at: new Date(Date.UTC(2026, 0, 1) + n).toISOString(), co: noise(1) * 10.01, no2: noise(2) * 200.1 }
      return JSON.stringify({ ...reading, temperature: 20 + noise(3) * 10, humidity: 50 + noise(4) * 25 })
    })
    return { ...encodeJson(null, values), baseOffset: batch * BATCH, appendedAt: Date.UTC(2026, 0, 1, 1) }
  })
}

const one = [alert('air', { on: readings, when: 'co > 10 || no2 > 200', clear: 'co < 9 && no2 < 180', to: [] })]

/** Ten kinds, a hundred of each. */
function thousand(): Alert[] {
  const kinds: readonly ((n: number) => { readonly when: string; readonly clear?: string; readonly for?: string })[] = [
    (n) => ({ when: `co > ${10 + n / 50} || no2 > ${200 + n}`, clear: 'co < 9 && no2 < 180' }),
    (n) => ({ when: `sensor == "station-${n * 7}" && co > ${9.9 + n / 100}` }),
    (n) => ({ when: `temperature > ${30 + n / 10}`, for: '5m' }),
    (n) => ({ when: `humidity < ${49 - n / 10}` }),
    (n) => ({ when: `co * 1.15 > ${11.5 + n / 10}` }),
    (n) => ({ when: `no2 > ${199 + n} && temperature > 29`, clear: 'no2 < 150' }),
    (n) => ({ when: `sensor.startsWith("station-${n}9") && no2 > ${200 + n / 10}` }),
    (n) => ({ when: `co + no2 / 20.0 > ${20 + n / 5}` }),
    (n) => ({ when: `co > 10 && humidity > ${74 + n / 20}` }),
    (n) => ({ when: `temperature < ${20 - n / 10} || humidity > ${75.5 + n / 10}` }),
  ]
  return kinds.flatMap((kind, k) => Array.from({ length: 100 }, (_, n) => alert(`rule_${k}_${n}`, { on: readings, to: [], ...kind(n) })))
}

export async function rules(): Promise<Figure[]> {
  const stored = batches()
  const decoder = createDecoder(readings.options)
  const compiled = { one: compileRules(one), many: compileRules(thousand()) }
  const whole = { one: [] as number[], many: [] as number[] }
  const steps = { one: [] as number[], many: [] as number[] }
  let fired = 0
  for (let run = 0; run < RUNS; run++) {
    for (const kind of ['one', 'many'] as const) {
      const set = createRuleSet(readings, compiled[kind])
      const states = new RuleStates(set.rules.length)
      const began = performance.now()
      let step = 0
      fired = 0
      for (const batch of stored) {
        const rows = decoder.decode(batch)
        const decoded = performance.now()
        fired += takeReadings(set, states, 0, [rows]).opened.length
        step += performance.now() - decoded
      }
      whole[kind].push(performance.now() - began)
      steps[kind].push(step)
    }
  }
  const figure = (name: string, { one: single, many }: typeof whole, target: string): Figure => ({
    name,
    value: `${Math.round(median(many))} ms`,
    baseline: `${Math.round(median(single))} ms one rule`,
    ratio: `${(median(many) / median(single)).toFixed(1)}x`,
    target,
  })
  return [
    figure(`1,000 rules over ${COUNT.toLocaleString('en')} readings (${fired.toLocaleString('en')} alerts), bytes to alerts`, whole, '< 5x'),
    figure('The rules alone of that, rows decoded before', steps, ''),
  ]
}
