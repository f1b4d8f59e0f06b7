import { describe, expect, test } from 'vitest'
import { flow, task, type FlowOptions } from '../../src/flows/index.ts'
import { dueAt, timesOf, type NextTime } from '../../src/flows/schedules.ts'

const HOUR = 3_600_000
const of = (options: FlowOptions, name = 'one'): NextTime => {
  const times = timesOf(flow(name, options, () => void task('first', { run: () => 1 })))
  if (!times) throw new Error('it has no times')
  return times
}
const first = (times: NextTime, count: number, from = Date.UTC(2026, 2, 28)): number[] => {
  const found: number[] = []
  for (let time = times(from); time !== null && found.length < count; time = times(time)) found.push(time)
  return found
}
const iso = (times: readonly number[]): string[] => times.map((time) => new Date(time).toISOString().slice(0, 16))

describe('times', () => {
  test('of cron follow the clock of the zone through its changes', () => {
    expect(iso(first(of({ cron: '30 3 * * *', timeZone: 'Europe/Berlin' }), 3))).toEqual(['2026-03-28T02:30', '2026-03-29T01:30', '2026-03-30T01:30'])
  })

  test('of an interval are its multiples', () => {
    expect(iso(first(of({ every: '15min' }), 3))).toEqual(['2026-03-28T00:15', '2026-03-28T00:30', '2026-03-28T00:45'])
  })

  test.each([
    [{ cron: '61 * * * *' }, 'cron of flow one'],
    [{ every: '10ms' }, 'every of flow one'],
    [{ cron: '0 3 * * *', every: '1h' }, 'both cron and every'],
    [{ every: '1h', jitter: 'some' }, 'jitter of flow one'],
    [{ cron: '0 3 * * *', timeZone: 'Mars/Olympus' }, 'Mars/Olympus'],
  ])('%j is refused', (options, message) => {
    expect(() => of(options)).toThrow(message)
  })
})

describe('jitter', () => {
  test('spreads times, each within its bound, none twice and none left out', () => {
    // From an hour before on: the time at the very beginning may come later than that.
    const plain = first(of({ every: '1h' }), 500, Date.UTC(2026, 2, 27, 23))
    const spread = first(of({ every: '1h', jitter: '20min' }), 500)
    const late = spread.map((time, i) => time - (plain[i] ?? 0))
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...late)).toBeLessThanOrEqual(20 * 60_000)
    expect(Math.max(...late) - Math.min(...late)).toBeGreaterThan(15 * 60_000)
  })

  test('is the same on every node, from wherever it looks, and another for another flow', () => {
    const options = { every: '1h', jitter: '59min' }
    const spread = first(of(options), 100)
    for (const [i, time] of spread.entries()) {
      expect(of(options)(time - 1)).toBe(time)
      expect(of(options)(time)).toBe(spread[i + 1] ?? of(options)(time))
    }
    expect(first(of(options, 'two'), 3)).not.toEqual(spread.slice(0, 3))
  })
})

describe('what is due after nobody ran', () => {
  const hourly = of({ every: '1h' })
  const noon = Date.UTC(2026, 0, 1, 12)
  test.each([
    ['newest', [noon]],
    ['all', [noon - 2 * HOUR, noon - HOUR, noon]],
    ['none', []],
  ] as const)('with catchUp %s', (catchUp, times) => {
    expect(dueAt(hourly, noon - 2 * HOUR, noon + HOUR / 2, catchUp)).toEqual({ times, next: noon + HOUR })
  })
})
