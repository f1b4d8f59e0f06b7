import { describe, expect, test } from 'vitest'
import { partitionAt, partitionBefore, partitionsBetween, windowOf } from '../../src/flows/partitions.ts'

const iso = ({ from, to }: { from: number; to: number }): string[] => [from, to].map((at) => new Date(at).toISOString())

describe('partitions', () => {
  test('of a range are all from the first to the last', () => {
    expect(partitionsBetween('day', '2024-02-27', '2024-03-01')).toEqual(['2024-02-27', '2024-02-28', '2024-02-29', '2024-03-01'])
    expect(partitionsBetween('month', '2025-11', '2026-02')).toEqual(['2025-11', '2025-12', '2026-01', '2026-02'])
    expect(partitionsBetween('hour', '2026-03-01T22', '2026-03-02T01')).toEqual(['2026-03-01T22', '2026-03-01T23', '2026-03-02T00', '2026-03-02T01'])
  })

  test('begin and end with the weeks, months or hours that dates are in', () => {
    expect(partitionsBetween('week', '2026-11-21', '2026-11-23')).toEqual(['2026-11-16', '2026-11-23'])
    expect(partitionsBetween('month', '2026-01-31', '2026-02-01')).toEqual(['2026-01', '2026-02'])
    expect(partitionsBetween('hour', '2026-03-01', '2026-03-02')).toHaveLength(25)
  })

  test('are ten thousand hours without a gap', () => {
    const names = partitionsBetween('hour', '2025-01-01T00', '2026-02-21T15')
    expect(names).toHaveLength(10_000)
    expect(new Set(names).size).toBe(10_000)
    for (let i = 1; i < names.length; i++) expect(windowOf('hour', names[i] ?? '', 'UTC').from).toBe(windowOf('hour', names[i - 1] ?? '', 'UTC').to)
  })

  test.each([
    ['day', '2026-02-30'],
    ['day', '2026-2-1'],
    ['week', '2026-11-21'],
    ['month', '2026-13'],
    ['hour', '2026-03-01T24'],
    ['day', 'today'],
  ] as const)('no %s is called %s', (unit, name) => {
    expect(() => windowOf(unit, name, 'UTC')).toThrow(name)
  })

  test('that would never end are refused', () => {
    expect(() => partitionsBetween('hour', '1900-01-01', '2026-01-01')).toThrow('more than 100000 partitions')
    expect(() => partitionsBetween('day', '2026-01-02', '2026-01-01')).toThrow('There is no day from')
  })
})

describe('the window of a partition', () => {
  test('is its time in UTC', () => {
    expect(iso(windowOf('day', '2026-03-01', 'UTC'))).toEqual(['2026-03-01T00:00:00.000Z', '2026-03-02T00:00:00.000Z'])
    expect(iso(windowOf('week', '2026-11-16', 'UTC'))).toEqual(['2026-11-16T00:00:00.000Z', '2026-11-23T00:00:00.000Z'])
    expect(iso(windowOf('month', '2024-02', 'UTC'))).toEqual(['2024-02-01T00:00:00.000Z', '2024-03-01T00:00:00.000Z'])
  })

  test('follows the clock of its zone, whose days have 23, 24 or 25 hours', () => {
    expect(iso(windowOf('day', '2026-03-29', 'Europe/Berlin'))).toEqual(['2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'])
    expect(iso(windowOf('day', '2026-10-25', 'Europe/Berlin'))).toEqual(['2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z'])
    expect(iso(windowOf('day', '2026-07-01', 'Asia/Kolkata'))).toEqual(['2026-06-30T18:30:00.000Z', '2026-07-01T18:30:00.000Z'])
  })

  test('begins at the first moment of a day that has no midnight', () => {
    // In São Paulo the clocks went from 0:00 to 1:00 that night.
    expect(iso(windowOf('day', '2018-11-04', 'America/Sao_Paulo'))).toEqual(['2018-11-04T03:00:00.000Z', '2018-11-05T02:00:00.000Z'])
    expect(windowOf('day', '2018-11-03', 'America/Sao_Paulo').to).toBe(windowOf('day', '2018-11-04', 'America/Sao_Paulo').from)
  })

  test('leaves no gap and no overlap between neighbours in any zone', () => {
    for (const zone of ['UTC', 'Europe/London', 'America/Sao_Paulo', 'America/New_York', 'Australia/Lord_Howe', 'Pacific/Apia', 'Asia/Kathmandu'])
      for (const unit of ['day', 'week', 'month'] as const) {
        const names = partitionsBetween(unit, '2010-01-01', '2019-12-31')
        const windows = names.map((name) => windowOf(unit, name, zone))
        for (let i = 1; i < windows.length; i++) expect([zone, names[i], windows[i]?.from]).toEqual([zone, names[i], windows[i - 1]?.to])
      }
  })
})

describe('the partition of a moment', () => {
  test('is the one whose window it is in', () => {
    let seed = 7
    const random = (): number => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31
    for (let i = 0; i < 2_000; i++) {
      const at = Math.floor(Date.UTC(2015, 0, 1) + random() * 10 * 365 * 86_400_000)
      const zone = ['UTC', 'Europe/Berlin', 'America/Sao_Paulo', 'Asia/Tokyo'][i % 4] ?? 'UTC'
      const unit = (['hour', 'day', 'week', 'month'] as const)[Math.floor(i / 4) % 4] ?? 'day'
      const { from, to } = windowOf(unit, partitionAt(unit, at, zone), zone)
      expect(from).toBeLessThanOrEqual(at)
      expect(to).toBeGreaterThan(at)
      expect(windowOf(unit, partitionBefore(unit, at, zone), zone).to).toBe(from)
    }
  })
})
