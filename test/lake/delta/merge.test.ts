import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()
const FIELDS = [field('a', 'long'), field('b', 'string'), field('v', 'integer'), field('p', 'string')]

interface Row {
  readonly a: number | null
  readonly b: string | null
  readonly v: number
  readonly p: string | null
}

const row: fc.Arbitrary<Row> = fc.record({
  a: fc.option(fc.nat(6)),
  b: fc.option(fc.constantFrom('x', 'y', "it's", '')),
  v: fc.nat(1000),
  p: fc.option(fc.constantFrom('one', 'two')),
})
const keyOf = (one: Row): string => JSON.stringify([one.a, one.b])
const sqlOf = (rows: readonly Row[]): string => {
  const text = (value: string | null): string => (value === null ? 'null' : `'${value.replaceAll("'", "''")}'`)
  const values = rows.map((one) => `(${one.a ?? 'null'}::bigint, ${text(one.b)}::varchar, ${one.v}::integer, ${text(one.p)}::varchar)`)
  return values.length === 0
    ? 'select null::bigint as a, null::varchar as b, 0 as v, null::varchar as p where false'
    : `select * from (values ${values.join(', ')}) r(a, b, v, p)`
}
const sorted = (rows: Iterable<Row>): string[] => [...rows].map((one) => JSON.stringify([one.a === null ? null : String(one.a), one.b, one.v, one.p])).sort()

describe('merge', () => {
  test('agrees with a map by key for random rows with nulls, duplicates and partitions, batch after batch', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(fc.array(row, { maxLength: 8 }), { minLength: 1, maxLength: 4 }), async (partitioned, batches) => {
        const table = lake.table(`merge/t${++run}`)
        await table.create({ fields: FIELDS, ...(partitioned ? { partitionBy: ['p'] } : {}) })
        const model = new Map<string, Row>()
        for (const batch of batches) {
          const last = new Map(batch.map((one) => [keyOf(one), one]))
          const inserted = [...last.keys()].filter((key) => !model.has(key)).length
          const before = (await table.snapshot())!
          const result = await table.merge(lake.select(sqlOf(batch)), { keys: ['a', 'b'], duplicates: 'last' })
          for (const [key, one] of last) model.set(key, one)
          expect(result.rowsAdded).toBe(inserted)
          expect(result.skipped).toBe(batch.length === 0)
          const after = (await table.snapshot())!
          expect(after.rowCount).toBe(model.size)
          const content = (await lake.rows(await table.scan(after))).map((cells) => JSON.stringify(cells)).sort()
          expect(content).toEqual(sorted(model.values()))
          if (inserted === last.size && inserted > 0) expect(await table.changes(before.version, after)).toMatchObject({ appendOnly: true, rows: inserted })
        }
      }),
      { numRuns: 40 },
    )
  })
  test('two input rows with one key are an error that shows the key, unless the last may win', async () => {
    const table = lake.table('merge/duplicates')
    await table.create({ fields: FIELDS })
    const input = lake.select("select 1 as a, 'x' as b, i::integer as v, null as p from range(3) r(i)")
    await expect(table.merge(input, { keys: ['a', 'b'] })).rejects.toMatchObject({
      code: 'lake.duplicate_key',
      message: expect.stringContaining('a = 1, b = x') as string,
    })
    await table.merge(input, { keys: ['a', 'b'], duplicates: 'last' })
    expect(await lake.content(table, 'v')).toEqual([[2]])
  })
  test('only files with a matching row are rewritten; columns that the input lacks keep their value', async () => {
    const table = lake.table('merge/files')
    await table.create({ fields: FIELDS })
    for (const start of [0, 100, 200]) await table.append(lake.select(`select i as a, 'k' as b, 1 as v, 'p' as p from range(${start}, ${start + 100}) r(i)`))
    const result = await table.merge(lake.select('select 150 as a, 7 as v union all select 1000, 8'), { keys: ['a'] })
    expect(result).toMatchObject({
      filesRemoved: 1,
      filesAdded: 2,
      rowsAdded: 1,
      metrics: { numTargetRowsUpdated: 1, numTargetRowsCopied: 99, numTargetRowsInserted: 1 },
    })
    expect(await lake.rows(`select a, b, v, p from (${await table.scan((await table.snapshot())!)}) where a in (150, 1000, 151) order by a`)).toEqual([
      ['150', 'k', 7, 'p'],
      ['151', 'k', 1, 'p'],
      ['1000', null, 8, null],
    ])
  })
  test('keys that are NaN, negative zero or longer than any statistic are found', async () => {
    const table = lake.table('merge/odd')
    await table.create({ fields: [field('k', 'double'), field('s', 'string'), field('v', 'integer')] })
    const long = 'ß'.repeat(300)
    await table.append(lake.select(`select * from (values ('NaN'::double, 'a', 1), (0.0::double, '${long}', 1), ('-inf'::double, 'b', 1)) r(k, s, v)`))
    const result = await table.merge(
      lake.select(`select * from (values ('NaN'::double, 'a', 2), ('-0.0'::double, '${long}', 2), ('-inf'::double, 'b', 2)) r(k, s, v)`),
      { keys: ['k', 's'] },
    )
    expect(result.rowsAdded).toBe(0)
    expect(await lake.content(table, 'count(*), sum(v)')).toEqual([['3', '6']])
  })
  test('no rows commit nothing, a key that is no column is named', async () => {
    const table = lake.table('merge/none')
    await table.create({ fields: FIELDS })
    expect(await table.merge(lake.select('select 1 as a where false'), { keys: ['a'] })).toMatchObject({ skipped: true, version: 0 })
    await expect(table.merge(lake.select('select 1 as a'), { keys: ['aa'] })).rejects.toMatchObject({ code: 'lake.bad_key' })
    await expect(table.merge(lake.select('select 1 as a'), { keys: [] })).rejects.toMatchObject({ code: 'lake.bad_key' })
    expect(await table.merge(lake.select('select 1 as a where false'), { keys: ['a'], txn: { appId: 'x', version: 1 } })).toMatchObject({
      skipped: false,
      version: 1,
    })
    expect(await table.merge(lake.select('select 1 as a'), { keys: ['a'], txn: { appId: 'x', version: 1 } })).toMatchObject({ skipped: true })
  })
})
