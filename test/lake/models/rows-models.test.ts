/** Tables that a TypeScript function makes: the same refreshes as with SQL, rows by batches, and errors that name the row. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { t } from '../../../src/base/index.ts'
import { table, type Table } from '../../../src/lake/declare.ts'
import { notNull, quarantine } from '../../../src/lake/expectations.ts'
import { openPlace, readings, START, type Project, type Reading } from './project.ts'

const HOUR = 3_600_000
const raw = table('bronze.raw', { from: readings })
const one = (id: string | null, minute: number | null, value: number | null): Reading => ({ id, minute, value })
const columns = { id: t.string().nullable(), at: t.timestamp().nullable(), twice: t.double().nullable() }

const doubled = table('silver.doubled', {
  from: raw,
  columns,
  merge: ['id', 'at'],
  expect: { known: quarantine(notNull('id')) },
  rows: async function* ({ input }) {
    for await (const batch of input.batches()) yield batch.map(({ id, at, value }) => ({ id, at, twice: value === null ? null : value * 2 }))
  },
})
const hourly = table('gold.hourly', {
  from: doubled,
  columns: { hour: t.timestamp(), n: t.long(), total: t.double() },
  window: { column: 'hour', source: 'at', size: '1h' },
  rows: async function* ({ input }) {
    const hours = new Map<number, { n: number; total: number }>()
    for await (const batch of input.batches()) {
      for (const { at, twice } of batch) {
        if (at === null) continue
        const hour = Math.floor(at / HOUR) * HOUR
        const sum = hours.get(hour) ?? { n: 0, total: 0 }
        hours.set(hour, { n: sum.n + 1, total: sum.total + (twice ?? 0) })
      }
    }
    // As with HAVING, some groups are left out.
    for (const [hour, sum] of hours) if (sum.n !== 2) yield { hour, ...sum }
  },
})

/** What both tables must hold, by hand. */
function expected(all: readonly Reading[]): { doubled: unknown[]; hourly: unknown[] } {
  const rows = [...new Map(all.filter(({ id }) => id !== null).map((row) => [`${row.id}|${row.minute}`, row])).values()]
  const hours = new Map<number, number[]>()
  for (const { minute, value } of rows)
    if (minute !== null) hours.set(Math.floor(minute / 60), [...(hours.get(Math.floor(minute / 60)) ?? []), (value ?? 0) * 2])
  return {
    doubled: rows.map(({ id, minute, value }) => JSON.stringify([id, minute, value === null ? null : value * 2])).sort(),
    hourly: [...hours]
      .filter(([, values]) => values.length !== 2)
      .map(([hour, values]) => JSON.stringify([hour, values.length, values.reduce((a, b) => a + b)]))
      .sort(),
  }
}

async function stored(project: Project): Promise<{ doubled: unknown[]; hourly: unknown[] }> {
  const minutes = `(epoch_ms("at") - ${START}) / 60000`
  return {
    doubled: (await project.select(`select id, ${minutes}::integer, twice from silver.doubled`)).map((row) => JSON.stringify(row)).sort(),
    hourly: (await project.select(`select ((epoch_ms(hour) - ${START}) / ${HOUR})::integer, n::integer, total from gold.hourly`))
      .map((row) => JSON.stringify(row))
      .sort(),
  }
}

describe('tables made by a function', () => {
  test('equal one computation of everything, with late rows, rows without a time and crashes', { timeout: 240_000 }, async () => {
    const reading = fc.record({
      id: fc.oneof({ weight: 9, arbitrary: fc.constantFrom('a', 'b') }, { weight: 1, arbitrary: fc.constant(null) }),
      minute: fc.oneof({ weight: 14, arbitrary: fc.nat(60 * 12) }, { weight: 1, arbitrary: fc.constant(null) }),
      value: fc.nat(50),
    })
    const step = fc.record({ records: fc.array(reading, { maxLength: 6 }), crash: fc.option(fc.nat(5), { nil: null }) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6 }), async (steps) => {
        const project = await (await openPlace()).open(raw, doubled, hourly)
        const all: Reading[] = []
        for (const { records, crash } of steps) {
          if (records.length > 0) await project.feed(raw, records)
          all.push(...records)
          for (const name of ['silver.doubled', 'gold.hourly']) {
            if (crash !== null) {
              let left = crash
              await project
                .refreshCrashing(name, () => {
                  if (left-- === 0) throw new Error('crash')
                })
                .catch((error: Error) => expect(error.message).toBe('crash'))
            }
            await project.refresh(name)
          }
          if (all.length > 0) expect(await stored(project)).toEqual(expected(all))
        }
      }),
      { numRuns: 20 },
    )
  })
  test('late rows compute their windows and the neighbours anew, not the rest', async () => {
    const seen: number[] = []
    const watched = table('gold.hourly', {
      ...hourly.options,
      from: doubled,
      columns: { hour: t.timestamp(), n: t.long() },
      rows: async function* ({ input }) {
        const hours = new Map<number, number>()
        for await (const batch of input.batches())
          for (const { at } of batch) hours.set(Math.floor((at ?? 0) / HOUR), (hours.get(Math.floor((at ?? 0) / HOUR)) ?? 0) + 1)
        seen.push(hours.size)
        for (const [hour, n] of hours) yield { hour: hour * HOUR, n }
      },
    })
    const project = await (await openPlace()).open(raw, doubled, watched)
    await project.feed(
      raw,
      Array.from({ length: 48 }, (_, hour) => one('a', hour * 60, 1)),
    )
    for (const name of ['silver.doubled', 'gold.hourly']) await project.refresh(name)
    await project.feed(raw, [one('b', 10 * 60 + 5, 1)])
    await project.refresh('silver.doubled')
    expect(await project.refresh('gold.hourly')).toMatchObject({ outcome: 'changed' })
    expect(seen[0]).toBe(48)
    expect(seen[1]).toBeLessThanOrEqual(5)
    expect(await project.select('select count(*), sum(n) from gold.hourly')).toEqual([['48', '49']])
  })
  test('read several inputs, typed by their columns, timestamps to the microsecond', async () => {
    const names = table('silver.names', { sql: `select 'a' as id, 'Ibirapuera' as name, {'k': 1} as extra from bronze.raw limit 1` })
    const joined = table('gold.joined', {
      from: doubled,
      inputs: { names },
      columns: { name: t.string(), at: t.timestamp().nullable(), day: t.date(), all: t.json() },
      rows: async function* ({ input, inputs }) {
        const known = new Map<unknown, unknown>()
        for await (const batch of inputs.names.batches()) for (const { id, name } of batch) known.set(id, name)
        for await (const batch of input.batches())
          for (const { id, at } of batch) yield { name: String(known.get(id)), at, day: '2024-02-29', all: { id, list: [1, 2] } }
      },
    })
    const project = await (await openPlace()).open(raw, doubled, names, joined)
    await project.feed(raw, [one('a', 1.00000005, 1)])
    for (const name of ['silver.doubled', 'silver.names', 'gold.joined']) await project.refresh(name)
    expect(await project.select('select name, "at"::varchar, day::varchar, "all" from gold.joined')).toEqual([
      ['Ibirapuera', '2024-01-01 00:01:00.000003+00', '2024-02-29', '{"id":"a","list":[1,2]}'],
    ])
  })
  test('keep memory bounded, however many rows pass', { timeout: 60_000 }, async () => {
    const many = table('silver.many', { sql: 'select i as id from bronze.raw, range(400000) r(i)' })
    let largest = 0
    const through = table('gold.through', {
      from: many,
      columns: { id: t.long() },
      rows: async function* ({ input }) {
        for await (const batch of input.batches()) {
          largest = Math.max(largest, batch.length)
          yield batch.map(({ id }) => ({ id: Number(id) }))
        }
      },
    })
    const project = await (await openPlace()).open(raw, many, through)
    await project.feed(raw, [one('a', 0, 1)])
    await project.refresh('silver.many')
    expect(await project.refresh('gold.through')).toMatchObject({ rows: 400_000 })
    expect(largest).toBeLessThanOrEqual(2048)
    expect(await project.select('select count(distinct id), max(id) from gold.through')).toEqual([['400000', '399999']])
  })
  test.each([
    ['a value of another type', () => [{ id: 'a', at: null, twice: '1' }], 'lake.rows_value', /Row 1 of silver\.x: twice is "1", a finite number is wanted/],
    ['a missing value', () => [[{ id: 'a', n: 1 }], [{ id: 'b' }]], 'lake.rows_value', /Row 2 of silver\.x: n is missing/],
    ['a column too many', () => [{ id: 'a', n: 1, twise: 2 }], 'lake.rows_value', /Row 1 of silver\.x: there is no column twise/],
    ['no object', () => [[1]], 'lake.rows_value', /Row 1 of silver\.x: an object is wanted, this is a number/],
    ['nothing to iterate over', () => 5, 'lake.rows_nothing', /silver\.x/],
    [
      'an error of its own',
      function* () {
        yield { id: 'a', n: 1 }
        throw new Error('no such station')
      },
      'lake.rows_failed',
      /rows of silver\.x failed after 1 rows: no such station/,
    ],
  ] as [string, () => unknown, string, RegExp][])('refuse %s and stay as they were', async (_, rows, code, message) => {
    const options = { from: raw, columns: { id: t.string(), at: t.timestamp().nullable(), twice: t.double().nullable(), n: t.long() } }
    // As a project in JavaScript could write it.
    const declared: Table = { ...table('silver.x', { columns: options.columns }), options: { ...options, rows } }
    const project = await (await openPlace()).open(raw, declared)
    await project.feed(raw, [one('a', 0, 1)])
    await expect(project.refresh('silver.x')).rejects.toSatisfy((error: { code: string; message: string }) => {
      expect(error.code).toBe(code)
      expect(error.message).toMatch(message)
      return true
    })
    expect(await project.table('silver.x').snapshot()).toBeNull()
  })
  test('stop when they are told to', async () => {
    const endless = table('silver.x', {
      from: raw,
      columns: { id: t.long() },
      rows: async function* () {
        for (let id = 0; ; id++) yield [{ id }]
      },
    })
    const project = await (await openPlace()).open(raw, endless)
    await project.feed(raw, [one('a', 0, 1)])
    const stop = AbortSignal.timeout(200)
    await expect(project.refresh('silver.x', stop)).rejects.toMatchObject({ name: 'TimeoutError' })
    expect(await project.table('silver.x').snapshot()).toBeNull()
  })
})
