import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { simulate, type Source } from '../../src/streams/index.ts'
import { collect } from './collect.ts'

const stations = (options: { seed?: number; count?: number; devices?: number }): Source =>
  simulate({
    devices: Array.from({ length: options.devices ?? 3 }, (_, i) => `station ${i}`),
    seed: options.seed,
    count: options.count,
    start: Date.UTC(2026),
    reading: ({ index, n, random, drift }) => ({ index, n, a: random(1), b: drift(2, 7) }),
  })

describe('a simulation', () => {
  it('makes the same readings from the same seed, however it is cut and resumed', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 4 }),
        async (seed, count, devices, cuts) => {
          const whole = await collect(stations({ seed, count, devices }), [1000])
          expect(whole.values.length).toBe(count)
          expect(await collect(stations({ seed, count, devices }), cuts, true)).toEqual(whole)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('makes others from another seed', async () => {
    const [one, two] = await Promise.all([collect(stations({ seed: 1, count: 9 }), [9]), collect(stations({ seed: 2, count: 9 }), [9])])
    expect(one.values).not.toEqual(two.values)
    expect(await stations({ seed: 1 }).identity()).not.toBe(await stations({ seed: 2 }).identity())
  })

  it('gives each device its turn and its own clock', async () => {
    const { values, keys } = await collect(stations({ count: 6 }), [4])
    expect(keys).toEqual(['station 0', 'station 1', 'station 2', 'station 0', 'station 1', 'station 2'])
    const readings = values.map((value) => JSON.parse(value) as { sensor: string; at: string; n: number })
    expect(readings.map(({ sensor }) => sensor)).toEqual(keys)
    expect(readings.map(({ at }) => at.slice(17, 19))).toEqual(['00', '00', '00', '01', '01', '01'])
  })

  it('follows the clock at any pace, and has a clock of its own without one, which a resume keeps', async () => {
    const source = simulate({ devices: ['a', 'b'], everyMs: 500, reading: () => ({}) })
    expect(source.rate).toBe(4)
    const first = async (
      rate: number,
      resume: Parameters<Source['read']>[0]['resume'],
    ): Promise<{ times: number[]; note: Readonly<Record<string, unknown>> }> => {
      for await (const { values, note } of source.read({ resume, batch: 4, rate, signal: new AbortController().signal }))
        return { times: values.map((value) => Date.parse((JSON.parse(value) as { at: string }).at)), note }
      throw new Error('the simulation ended')
    }
    const live = await first(4, null)
    expect(live.times.map((time) => time - (live.times[0] ?? 0))).toEqual([0, 250, 500, 750])
    expect(Math.abs((live.times.at(-1) ?? 0) - Date.now())).toBeLessThan(1000)
    const fast = await first(Number.POSITIVE_INFINITY, null)
    const [origin = 0] = fast.times
    expect(fast.times).toEqual([origin, origin, origin + 500, origin + 500])
    expect((await first(Number.POSITIVE_INFINITY, { sequence: 4, note: fast.note })).times).toEqual([
      origin + 1000,
      origin + 1000,
      origin + 1500,
      origin + 1500,
    ])
  })

  it('draws numbers that stay in their bounds and spread over them', async () => {
    const { values } = await collect(stations({ count: 3000 }), [1000])
    const readings = values.map((value) => JSON.parse(value) as { a: number; b: number })
    expect(readings.every(({ a, b }) => a >= 0 && a < 1 && b >= -1 && b <= 1)).toBe(true)
    const mean = readings.reduce((sum, { a }) => sum + a, 0) / readings.length
    expect(mean).toBeGreaterThan(0.46)
    expect(mean).toBeLessThan(0.54)
  })

  it('goes on until it is stopped when it has no count, and needs a device', async () => {
    expect(stations({}).ends).toBe(false)
    const stop = new AbortController()
    let seen = 0
    for await (const { values } of stations({}).read({ resume: null, batch: 10, rate: Number.POSITIVE_INFINITY, signal: stop.signal })) {
      seen += values.length
      if (seen >= 50) stop.abort()
    }
    expect(seen).toBe(50)
    expect(() => simulate({ devices: [], reading: () => ({}) })).toThrow('at least one device')
  })
})
