/** Refreshes against models: whatever comes in which order, through whatever crashes, the tables hold what one computation of everything gives. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { t } from '../../../src/base/index.ts'
import { table, type Table } from '../../../src/lake/declare.ts'
import { fail, quarantine, warn } from '../../../src/lake/expectations.ts'
import { CHECKS_INFO } from '../../../src/lake/refresh.ts'
import { openPlace, readings, type Project, type Reading } from './project.ts'

const raw = table('bronze.raw', { from: readings })
const CLEAN = 'select id, "at", value from bronze.raw'
const expectations = { value_plausible: quarantine('value between 0 and 100'), id_short: quarantine('length(id) < 3'), value_low: warn('value < 90') }
const clean = table('silver.clean', { merge: ['id', 'at'], sql: CLEAN, expect: expectations })
const HOURLY = `select id, date_trunc('hour', "at" at time zone 'America/Sao_Paulo') as hour, count(*) as n, sum(value) as total, max(value) as top from silver.clean group by all having count(*) <> 2`
const hourly = table('gold.hourly', { window: { column: 'hour', source: 'at', size: '1h' }, sql: HOURLY })
const DAILY = `select ("at" - interval 3 hours)::date as "day", count(*) as n, sum(value) as total from silver.clean group by all`
const daily = table('gold.daily', { window: { column: 'day', source: 'at', size: '1d' }, sql: DAILY, expect: { few: quarantine('n < 12') } })
const whole = table('gold.whole', { sql: 'select id, count(*) as n, max(value) as top from silver.clean group by all' })
const ALL = [raw, clean, hourly, daily, whole] as const
const MODELS = ['silver.clean', 'gold.hourly', 'gold.daily', 'gold.whole'] as const

const isBad = ({ id, value }: Reading): boolean => (value !== null && (value < 0 || value > 100)) || (id !== null && id.length >= 3)

/** Silver by hand: the last good row of each key in the order of bronze. */
function cleanOf(all: readonly Reading[]): Reading[] {
  return [...new Map(all.filter((row) => !isBad(row)).map((row) => [`${row.id}|${row.minute}`, row])).values()]
}

const asText = (rows: readonly Reading[]): string[] => rows.map(({ id, minute, value }) => JSON.stringify([id, minute, value])).sort()
const stored = async (project: Project, name: string): Promise<string[]> =>
  (await project.select(`select id, (epoch_ms("at") - 1704067200000) / 60000, value from ${name}`))
    .map(([id, minute, value]) => JSON.stringify([id, minute === null ? null : Number(minute), value]))
    .sort()

async function check(project: Project, all: readonly Reading[]): Promise<void> {
  expect(await stored(project, 'silver.clean')).toEqual(asText(cleanOf(all)))
  if ((await project.names()).includes('silver.clean_quarantine')) {
    expect(await stored(project, 'silver.clean_quarantine')).toEqual(asText(all.filter(isBad)))
    expect(
      await project.select(
        "select 1 from silver.clean_quarantine where (_failed like '%value_plausible%') is distinct from coalesce(value < 0 or value > 100, false) or (_failed like '%id_short%') is distinct from coalesce(length(id) >= 3, false)",
      ),
    ).toEqual([])
  } else {
    expect(all.filter(isBad)).toEqual([])
  }
  const same = async (text: string, name: string): Promise<void> =>
    expect([name, ...(await project.select(`select * from ${name} order by all`))]).toEqual([
      name,
      ...(await project.select(`select * from (${text}) order by all`)),
    ])
  await same(
    HOURLY.replace('as hour', '::timestamptz as hour').replace(
      "date_trunc('hour', \"at\" at time zone 'America/Sao_Paulo')",
      "(date_trunc('hour', \"at\" at time zone 'America/Sao_Paulo') at time zone 'UTC')",
    ),
    'gold.hourly',
  )
  await same(`from (${DAILY}) where n < 12`, 'gold.daily')
  if ((await project.names()).includes('gold.daily_quarantine'))
    await same(`from (${DAILY}) where n >= 12`, '(select day, n, total from gold.daily_quarantine)')
  await same(String(whole.options.sql), 'gold.whole')
}

const reading: fc.Arbitrary<Reading> = fc.record({
  id: fc.oneof({ weight: 8, arbitrary: fc.constantFrom('a', 'b', 'c') }, { weight: 1, arbitrary: fc.constantFrom('long', null) }),
  minute: fc.oneof({ weight: 12, arbitrary: fc.nat(60 * 30) }, { weight: 1, arbitrary: fc.constant(null) }),
  value: fc.oneof({ weight: 10, arbitrary: fc.nat(100) }, { weight: 1, arbitrary: fc.constantFrom(-5, 200, null) }),
})
const steps = fc.array(fc.record({ records: fc.array(reading, { maxLength: 8 }), refresh: fc.constantFrom('all', 'silver', 'crash', 'no', 'pack') }), {
  minLength: 1,
  maxLength: 7,
})

async function refreshAll(project: Project): Promise<void> {
  for (const name of MODELS) await project.refresh(name)
}

describe('incremental refreshes', () => {
  test(
    'with late, double, null-keyed and bad rows, packing and crashes at every commit, equal one computation of everything',
    { timeout: 240_000 },
    async () => {
      await fc.assert(
        fc.asyncProperty(steps, fc.array(fc.nat(5), { minLength: 1, maxLength: 12 }), async (plan, crashes) => {
          const place = await openPlace()
          const project = await place.open(...ALL)
          const all: Reading[] = []
          let crash = 0
          for (const { records, refresh } of plan) {
            if (records.length > 0) await project.feed(raw, records)
            all.push(...records)
            if (refresh === 'silver') await project.refresh('silver.clean')
            if (refresh === 'all') {
              await refreshAll(project)
              if (all.length > 0) await check(project, all)
            }
            if (refresh === 'pack') for (const name of await project.names()) if (await project.table(name).snapshot()) await project.table(name).optimize()
            if (refresh === 'crash') {
              for (const name of MODELS) {
                let left = crashes[crash++ % crashes.length] ?? 0
                await project
                  .refreshCrashing(name, () => {
                    if (left-- === 0) throw new Error('crash')
                  })
                  .catch((error: Error) => expect(error.message).toBe('crash'))
              }
            }
          }
          await refreshAll(project)
          if (all.length === 0) return
          await check(project, all)
          for (const name of MODELS) expect(await project.refresh(name)).toMatchObject({ outcome: 'nothing' })
          // Made anew by another definition the tables hold the same, whatever has been packed.
          const again = await place.open(raw, ...ALL.slice(1).map((one) => table(one.name, { ...one.options, sql: `${String(one.options.sql)} -- again` })))
          for (const name of MODELS) expect(await again.refresh(name)).toMatchObject({ outcome: 'rebuilt' })
          await check(again, all)
        }),
        { numRuns: 25 },
      )
    },
  )
  test('late rows correct their windows and touch no others', async () => {
    const project = await (await openPlace()).open(raw, clean, hourly)
    await project.feed(
      raw,
      [0, 1, 2, 100, 101, 102].map((minute) => ({ id: 'a', minute, value: 1 })),
    )
    for (const name of ['silver.clean', 'gold.hourly']) await project.refresh(name)
    await project.feed(raw, [{ id: 'a', minute: 3, value: 7 }])
    await project.refresh('silver.clean')
    expect(await project.refresh('gold.hourly')).toMatchObject({ outcome: 'changed', rows: 1 })
    expect(await project.select('select n, total from gold.hourly order by hour')).toEqual([
      ['4', 10],
      ['3', 3],
    ])
  })
  test('groups that HAVING takes away are told from windows that nothing new is in', async () => {
    const pairs = table('gold.pairs', {
      window: { column: 'hour', source: 'at', size: '1h' },
      sql: `select date_trunc('hour', "at") as hour, count(*) as n from silver.clean group by all having count(*) between 2 and 3 order by 1 limit 9`,
    })
    const project = await (await openPlace()).open(raw, clean, pairs)
    const counts: unknown[] = []
    for (const minute of [1, 2, 3, 4]) {
      await project.feed(raw, [{ id: 'a', minute, value: 1 }])
      for (const name of ['silver.clean', 'gold.pairs']) await project.refresh(name)
      counts.push(await project.select('select n from gold.pairs'))
    }
    expect(counts).toEqual([[], [['2']], [['3']], []])
  })
  test('rows held by a refresh that crashed are held once, though the next one covers more', async () => {
    const project = await (await openPlace()).open(raw, clean)
    await project.feed(raw, [{ id: 'a', minute: 0, value: 500 }])
    await project.refresh('silver.clean')
    await project.feed(raw, [{ id: 'b', minute: 0, value: 500 }])
    await expect(
      project.refreshCrashing('silver.clean', (moment, name) => {
        if (moment === 'before' && name === 'silver.clean') throw new Error('crash')
      }),
    ).rejects.toThrow('crash')
    expect(await project.select('select count(*) from silver.clean_quarantine')).toEqual([['2']])
    await project.feed(raw, [
      { id: 'c', minute: 0, value: 500 },
      { id: 'd', minute: 0, value: 5 },
    ])
    expect(await project.refresh('silver.clean')).toMatchObject({ held: 2, rows: 1 })
    expect(await project.select('select id from silver.clean_quarantine order by 1')).toEqual([['a'], ['b'], ['c']])
  })
  test('rows without a time, and windows that are null, are counted like others', async () => {
    const project = await (await openPlace()).open(raw, clean, daily)
    for (const minute of [null, 5, null]) {
      await project.feed(raw, [{ id: `${minute}`.slice(0, 2), minute, value: 1 }])
      for (const name of ['silver.clean', 'gold.daily']) await project.refresh(name)
    }
    await project.feed(raw, [{ id: 'x', minute: null, value: 1 }])
    for (const name of ['silver.clean', 'gold.daily']) await project.refresh(name)
    expect(await project.select('select "day", n from gold.daily order by 1 nulls last')).toEqual([
      ['2023-12-31', '1'],
      [null, '2'],
    ])
  })
  test('a row that moves to another window leaves the old one', async () => {
    const latest = table('silver.latest', { merge: ['id'], sql: CLEAN })
    const counts = table('gold.counts', {
      window: { column: 'hour', source: 'at', size: '1h' },
      sql: `select date_trunc('hour', "at") as hour, count(*) as n from silver.latest group by all`,
    })
    const project = await (await openPlace()).open(raw, latest, counts)
    const refresh = async (): Promise<unknown[][]> => {
      for (const name of ['silver.latest', 'gold.counts']) await project.refresh(name)
      return project.select('select n from gold.counts order by hour')
    }
    await project.feed(raw, [
      { id: 'a', minute: 0, value: 1 },
      { id: 'b', minute: 200, value: 1 },
    ])
    expect(await refresh()).toEqual([['1'], ['1']])
    await project.feed(raw, [{ id: 'a', minute: 205, value: 1 }])
    expect(await refresh()).toEqual([['2']])
  })
  test('a key that its driver no longer gives leaves the merged table', async () => {
    const latest = table('silver.latest', { merge: ['id'], sql: CLEAN })
    const high = table('gold.high', { merge: ['id'], sql: 'select id, value from silver.latest where value > 50' })
    const project = await (await openPlace()).open(raw, latest, high)
    const refresh = async (): Promise<unknown[][]> => {
      for (const name of ['silver.latest', 'gold.high']) await project.refresh(name)
      return project.select('select id, value from gold.high order by all')
    }
    await project.feed(raw, [
      { id: 'a', minute: 0, value: 60 },
      { id: 'b', minute: 0, value: 70 },
    ])
    expect(await refresh()).toEqual([
      ['a', 60],
      ['b', 70],
    ])
    await project.feed(raw, [{ id: 'b', minute: 1, value: 71 }])
    expect(await refresh()).toEqual([
      ['a', 60],
      ['b', 71],
    ])
    await project.feed(raw, [{ id: 'a', minute: 1, value: 10 }])
    expect(await refresh()).toEqual([['b', 71]])
  })
})

describe('definitions', () => {
  test('each change rebuilds once, also back to an earlier one, and brings its schema, partitions and comments', async () => {
    const place = await openPlace()
    const one = table('silver.t', { merge: ['id'], sql: 'select id, value from bronze.raw' })
    const two = table('silver.t', {
      merge: ['id'],
      partitionBy: ['id'],
      columns: { id: t.string(), twice: t.double().nullable().unit('mg') },
      sql: 'select id, value * 2 as twice from bronze.raw',
    })
    const versions: unknown[] = []
    for (const declared of [one, two, one, two]) {
      const project = await place.open(raw, declared)
      if (declared === one && versions.length === 0)
        await project.feed(raw, [
          { id: 'a', minute: 0, value: 1 },
          { id: 'b', minute: 0, value: 2 },
        ])
      const result = await project.refresh('silver.t')
      expect(result).toMatchObject({ outcome: 'rebuilt' })
      expect(await project.refresh('silver.t')).toMatchObject({ outcome: 'nothing' })
      const { metadata } = (await project.table('silver.t').snapshot())!
      versions.push(await project.select('select * from silver.t order by all'))
      expect(metadata.partitionColumns).toEqual(declared === two ? ['id'] : [])
      expect(metadata.fields.map(({ name, nullable, metadata: more }) => [name, nullable, more.unit])).toEqual(
        declared === two
          ? [
              ['id', false, undefined],
              ['twice', true, 'mg'],
            ]
          : [
              ['id', true, undefined],
              ['value', true, undefined],
            ],
      )
    }
    expect(versions).toEqual([
      [
        ['a', 1],
        ['b', 2],
      ],
      [
        ['a', 2],
        ['b', 4],
      ],
      [
        ['a', 1],
        ['b', 2],
      ],
      [
        ['a', 2],
        ['b', 4],
      ],
    ])
  })
  test('a crash between quarantine and table of a rebuild is mended when the definition goes back', async () => {
    const place = await openPlace()
    const strict = (limit: number): Table => table('silver.t', { merge: ['id'], sql: `${CLEAN} -- ${limit}`, expect: { low: quarantine(`value < ${limit}`) } })
    const project = await place.open(raw, strict(50))
    await project.feed(raw, [
      { id: 'a', minute: 0, value: 10 },
      { id: 'b', minute: 0, value: 60 },
    ])
    await project.refresh('silver.t')
    const other = await place.open(raw, strict(5))
    await expect(
      other.refreshCrashing('silver.t', (moment, name) => {
        if (moment === 'before' && name === 'silver.t') throw new Error('crash')
      }),
    ).rejects.toThrow('crash')
    expect(await project.select('select count(*) from silver.t_quarantine')).toEqual([['2']])
    const back = await place.open(raw, strict(50))
    expect(await back.refresh('silver.t')).toMatchObject({ outcome: 'rebuilt' })
    expect(await back.select('select id from silver.t_quarantine')).toEqual([['b']])
  })
  test('an input that was dropped and made anew is read from its beginning', async () => {
    const place = await openPlace()
    const project = await place.open(raw, clean)
    await project.feed(raw, [{ id: 'a', minute: 0, value: 1 }])
    await project.refresh('silver.clean')
    for await (const { path } of place.objects.list('bronze/raw/')) await place.objects.delete(path)
    for (const id of ['b', 'c', 'd']) await project.feed(raw, [{ id, minute: 0, value: 1 }])
    expect(await project.refresh('silver.clean')).toMatchObject({ outcome: 'rebuilt' })
    expect(await project.select('select id from silver.clean order by 1')).toEqual([['b'], ['c'], ['d']])
  })
  test('select * follows an input that gained a column', async () => {
    const place = await openPlace()
    const copy = table('silver.copy', { merge: ['id'], sql: 'select * exclude (_partition, _offset, _ingested_at) from bronze.raw' })
    const project = await place.open(raw, copy)
    await project.feed(raw, [{ id: 'a', minute: 0, value: 1 }])
    await project.refresh('silver.copy')
    await project
      .table('bronze.raw')
      .evolve([...(await project.table('bronze.raw').snapshot())!.metadata.fields, { name: 'extra', type: 'string', nullable: true, metadata: {} }])
    await project.feed(raw, [{ id: 'b', minute: 0, value: 2 }])
    expect(await project.refresh('silver.copy')).toMatchObject({ outcome: 'rebuilt' })
    expect(await project.select('select id, extra from silver.copy order by 1')).toEqual([
      ['a', null],
      ['b', null],
    ])
  })
})

describe('expectations and promises', () => {
  test('fail stops the table and leaves it as it was, says how many rows break which rule, and recovers', async () => {
    const place = await openPlace()
    const strict = table('silver.t', { merge: ['id'], sql: CLEAN, expect: { at_known: fail('at is not null') } })
    const project = await place.open(raw, strict, table('gold.n', { sql: 'select count(*) as n from silver.t' }))
    await project.feed(raw, [{ id: 'a', minute: 0, value: 1 }])
    await project.refresh('silver.t')
    await project.refresh('gold.n')
    await project.feed(raw, [
      { id: 'b', minute: null, value: 1 },
      { id: 'c', minute: null, value: 1 },
    ])
    await expect(project.refresh('silver.t')).rejects.toMatchObject({
      code: 'lake.expectation_failed',
      kind: 'invalid',
      message: 'silver.t: 2 rows break at_known (at is not null)',
      hint: expect.stringContaining('quarantine(...)') as string,
    })
    expect((await project.table('silver.t').snapshot())?.version).toBe(1)
    expect(await project.refresh('gold.n')).toMatchObject({ outcome: 'nothing' })
    const mended = await place.open(raw, table('silver.t', { ...strict.options, sql: `${CLEAN} where "at" is not null` }))
    expect(await mended.refresh('silver.t')).toMatchObject({ outcome: 'rebuilt', rows: 1 })
  })
  test('results stand in the commit, counts by rule and held rows by row', async () => {
    const project = await (await openPlace()).open(raw, clean)
    await project.feed(raw, [
      { id: 'long', minute: 0, value: 500 },
      { id: 'a', minute: 0, value: 95 },
      { id: 'b', minute: 0, value: null },
    ])
    const result = await project.refresh('silver.clean')
    const samples = [
      { id: 'long', at: '2024-01-01 00:00:00+00', value: 500 },
      { id: 'a', at: '2024-01-01 00:00:00+00', value: 95 },
    ]
    const checks = {
      value_plausible: { severity: 'quarantine', kind: 'sql', rule: 'value between 0 and 100', violations: 1 },
      id_short: { severity: 'quarantine', kind: 'sql', rule: 'length(id) < 3', violations: 1 },
      value_low: { severity: 'warn', kind: 'sql', rule: 'value < 90', violations: 2, samples },
    }
    expect(result).toMatchObject({ held: 1, rows: 2, checks })
    expect((await project.table('silver.clean').history(1))[0]?.info[CHECKS_INFO]).toEqual(checks)
    expect(await project.select('select id, _failed from silver.clean_quarantine')).toEqual([['long', 'value_plausible, id_short']])
  })
  test('a condition that is no condition over the columns is named', async () => {
    const project = await (await openPlace()).open(raw, table('silver.t', { sql: CLEAN, expect: { odd: warn('nowhere > 1') } }))
    await project.feed(raw, [{ id: 'a', minute: 0, value: 1 }])
    await expect(project.refresh('silver.t')).rejects.toMatchObject({ code: 'lake.expectation_sql', message: expect.stringContaining('nowhere') as string })
  })
  test('columns that the SQL does not give, or gives too many, are named', async () => {
    const project = await (
      await openPlace()
    ).open(raw, table('silver.t', { sql: 'select id, value as v from bronze.raw', columns: { id: t.string(), value: t.double() } }))
    await project.feed(raw, [{ id: 'a', minute: 0, value: 1 }])
    await expect(project.refresh('silver.t')).rejects.toMatchObject({
      code: 'lake.contract_broken',
      message: expect.stringMatching(/no value, v is not promised/) as string,
    })
  })
  test('a value that does not fit its promised type is named with its column', async () => {
    const columns = { number: t.int().nullable() }
    for (const options of [{}, { expect: { some: warn('number > 0') } }]) {
      const project = await (await openPlace()).open(raw, table('silver.t', { sql: 'select id as number from bronze.raw', columns, ...options }))
      await project.feed(raw, [
        { id: '17', minute: 0, value: 1 },
        { id: 'x1', minute: 0, value: 1 },
      ])
      await expect(project.refresh('silver.t')).rejects.toMatchObject({
        code: 'lake.contract_cast',
        kind: 'invalid',
        message: "1 values of number in silver.t are no integer, such as 'x1'",
        hint: expect.stringContaining('try_cast("number" as integer)') as string,
      })
    }
  })
  test('SQL that fails names its table', async () => {
    const project = await (await openPlace()).open(raw, table('silver.t', { sql: 'select nowhere from bronze.raw' }))
    await project.feed(raw, [{ id: 'a', minute: 0, value: 1 }])
    await expect(project.refresh('silver.t')).rejects.toMatchObject({
      code: 'lake.refresh_sql',
      message: expect.stringMatching(/SQL of silver\.t failed: Binder Error.*nowhere/) as string,
    })
  })
  test('columns called order and end are promised, merged, judged and windowed', async () => {
    const columns = { order: t.string().nullable(), end: t.timestamp(), case: t.double().nullable() }
    const words = table('silver.words', {
      merge: ['order'],
      columns,
      sql: 'select id as "order", "at" as "end", value as "case" from bronze.raw',
      expect: { a: quarantine('case < 50 and end is not null') },
    })
    const perDay = table('gold.words', {
      window: { column: 'group', source: 'end', size: '1d' },
      sql: 'select "end"::date as "group", sum("case") as "select" from silver.words group by all',
    })
    const project = await (await openPlace()).open(raw, words, perDay)
    for (const value of [1, 2]) {
      await project.feed(raw, [
        { id: 'a', minute: 0, value },
        { id: 'b', minute: 0, value: 99 },
      ])
      for (const name of ['silver.words', 'gold.words']) await project.refresh(name)
    }
    expect(await project.select('select "select" from gold.words')).toEqual([[2]])
    expect(await project.select('select count(*) from silver.words_quarantine')).toEqual([['2']])
  })
})
