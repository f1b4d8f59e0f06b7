import { describe, expect, it } from 'vitest'
import { Grid } from '../../console/src/features/live/grid.ts'
import { isStale, type Limit, tileState, valueState } from '../../console/src/features/live/limits.ts'
import { valueRange } from '../../console/src/features/live/shape.ts'

const limit = (op: Limit['op'], value: number, field = 'co'): Limit => ({ field, op, value, rule: 'air_critical', severity: 'critical' })

describe('the state of a tile', () => {
  it('is near from nine tenths of an upper limit, and over only beyond it', () => {
    const limits = [limit('>', 10)]
    expect(valueState(8.99, limits)).toBe('ok')
    expect(valueState(9, limits)).toBe('near')
    expect(valueState(10, limits)).toBe('near')
    expect(valueState(10.01, limits)).toBe('over')
    expect(valueState(10, [limit('>=', 10)])).toBe('over')
  })

  it('mirrors lower limits', () => {
    const limits = [limit('<', 90)]
    expect(valueState(120, limits)).toBe('ok')
    expect(valueState(95, limits)).toBe('near')
    expect(valueState(89, limits)).toBe('over')
  })

  it('knows no nearness to a limit of zero or below', () => {
    expect(valueState(-1, [limit('>', 0)])).toBe('ok')
    expect(valueState(1, [limit('>', 0)])).toBe('over')
    expect(valueState(-6, [limit('<', -5)])).toBe('over')
    expect(valueState(-4, [limit('<', -5)])).toBe('ok')
  })

  it('is the worst of its fields, and missing values harm nothing', () => {
    const limits = [limit('>', 10), limit('>', 200, 'no2')]
    expect(tileState({ co: 9.5, no2: null }, limits, 0, 1_000)).toBe('near')
    expect(tileState({ co: 9.5, no2: 231 }, limits, 0, 1_000)).toBe('over')
    expect(tileState({ co: null, no2: null }, limits, 0, 1_000)).toBe('ok')
  })

  it('is stale after fifteen seconds, or five intervals of a slow station', () => {
    expect(isStale(15_000, undefined)).toBe(false)
    expect(isStale(15_001, 1_000)).toBe(true)
    expect(isStale(200_000, 60_000)).toBe(false)
    expect(isStale(300_001, 60_000)).toBe(true)
    expect(tileState({ co: 99 }, [limit('>', 10)], 60_000, 1_000)).toBe('stale')
  })
})

describe('the grid of readings', () => {
  it('keeps the mean of a bucket, and null where nothing was read', () => {
    const grid = new Grid(1_000, 4)
    grid.add('co', 10_100, 2)
    grid.add('co', 10_900, 4)
    grid.add('co', 12_000, 8)
    expect(grid.values('co')).toEqual([null, 3, null, 8])
    expect(grid.times()).toEqual([9.5, 10.5, 11.5, 12.5])
  })

  it('forgets what leaves the window, also over a long silence', () => {
    const grid = new Grid(1_000, 4)
    for (let second = 0; second < 10; second++) grid.add('co', 100_000 + second * 1_000, second)
    expect(grid.values('co')).toEqual([6, 7, 8, 9])
    grid.advance(1_000_000)
    expect(grid.values('co')).toEqual([null, null, null, null])
    grid.add('co', 5_000, 1)
    expect(grid.values('co')).toEqual([null, null, null, null])
  })

  it('fills the past without touching what was seen live', () => {
    const grid = new Grid(1_000, 3)
    grid.add('co', 3_000, 7)
    grid.fill('co', 3_500, 1)
    grid.fill('co', 2_500, 2)
    expect(grid.values('co')).toEqual([null, 2, 7])
  })

  it('starts a lane empty that appears late', () => {
    const grid = new Grid(1_000, 3)
    for (let second = 1; second < 9; second++) grid.add('a', second * 1_000, 1)
    grid.add('b', 8_000, 5)
    expect(grid.values('b')).toEqual([null, null, 5])
  })

  it('never holds more lanes than it may', () => {
    const grid = new Grid(1_000, 2, 3)
    for (let lane = 0; lane < 50; lane++) grid.add(`lane ${lane}`, 1_000, lane)
    expect(grid.values('lane 2')).toEqual([null, 2])
    expect(grid.values('lane 3')).toEqual([null, null])
  })
})

describe('the scale of a chart', () => {
  it('starts at zero for values near it and shows the limits', () => {
    const [from, to] = valueRange(2, 8, [10])
    expect(from).toBe(0)
    expect(to).toBeGreaterThan(10)
  })

  it('rounds values far from zero', () => {
    const [from, to] = valueRange(1_010, 1_014, [])
    expect(from).toBeGreaterThan(1_000)
    expect(to).toBeGreaterThanOrEqual(1_014)
  })

  it('has a scale without data', () => {
    expect(valueRange(null, null, [])).toEqual([0, 1])
  })
})
