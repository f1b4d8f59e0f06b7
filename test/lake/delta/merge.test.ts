import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MergeByCondition } from '../../../src/lake/delta/index.ts'
import { commitFile, field, openLake, untext } from '../../helpers/delta.ts'

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

describe('merge by a condition', () => {
  const PEOPLE = [field('id', 'long'), field('name', 'string'), field('age', 'integer')]
  const people = async (root: string, configuration: Readonly<Record<string, string>> = {}) => {
    const table = lake.table(root)
    await table.create({ fields: PEOPLE, configuration })
    for (let part = 0; part < 3; part++)
      await table.append(lake.select(`select ${10 * part} + range::bigint as id, 'p' || (${10 * part} + range) as name, range::integer as age from range(10)`))
    return table
  }
  test('of the clauses the first applies, and each says what becomes of its rows', async () => {
    const table = await people('merge/clauses')
    const result = await table.merge(
      lake.select(
        "select * from (values (0, 'gone', 0), (1, 'one', 50), (2, 'two', 5), (40, 'new', 1), (41, 'skipped', -1), (42, 'other', 9)) r(key, label, years)",
      ),
      {
        on: 't.id = s.key',
        whenMatched: [
          { and: "s.label = 'gone'", delete: true },
          { and: 's.years > t.age * 10', update: { age: 's.years' } },
          { update: { name: "t.name || '/' || s.label" } },
        ],
        whenNotMatched: [
          { and: 's.years between 0 and 5', insert: { id: 's.key', name: 'upper(s.label)' } },
          { and: 'years > 5', insert: { id: 'key', age: 'years' } },
        ],
        whenNotMatchedBySource: [{ and: 't.id >= 20 and age > 7', update: { age: 'age + 100' } }],
      },
    )
    expect(result).toMatchObject({
      rowsAdded: 2,
      filesRemoved: 2,
      metrics: {
        numSourceRows: 6,
        numTargetRowsMatchedUpdated: 2,
        numTargetRowsMatchedDeleted: 1,
        numTargetRowsNotMatchedBySourceUpdated: 2,
        numTargetRowsInserted: 2,
        numTargetRowsCopied: 15,
      },
    })
    expect(await lake.rows(`select * from (${await table.scan((await table.snapshot())!)}) where id < 3 or id > 27 order by id`)).toEqual([
      ['1', 'p1', 50],
      ['2', 'p2/two', 2],
      ['28', 'p28', 108],
      ['29', 'p29', 109],
      ['40', 'NEW', null],
      ['42', null, 9],
    ])
    const [entry] = await table.history(1)
    expect(entry).toMatchObject({ operation: 'MERGE' })
    expect(JSON.parse(String(entry?.parameters.matchedPredicates))).toEqual([
      { predicate: "s.label = 'gone'", actionType: 'delete' },
      { predicate: 's.years > t.age * 10', actionType: 'update' },
      { actionType: 'update' },
    ])
  })
  test('two input rows that would change one row are an error, unless all that is done is to delete it', async () => {
    const table = await people('merge/ambiguous')
    const twice = lake.select('select * from (values (5, 1), (5, 2), (6, 1)) r(id, v)')
    await expect(table.merge(twice, { on: 't.id = s.id', whenMatched: [{ update: { age: 's.v' } }] })).rejects.toMatchObject({ code: 'lake.ambiguous_merge' })
    await expect(table.merge(twice, { on: 't.id = s.id', whenMatched: [{ and: 's.v < 3', delete: true }] })).rejects.toMatchObject({
      code: 'lake.ambiguous_merge',
    })
    expect(await table.merge(twice, { on: 't.id = s.id', whenMatched: [{ and: 's.v = 2', update: { age: 's.v' } }] })).toMatchObject({
      metrics: { numTargetRowsUpdated: 1 },
    })
    expect(await table.merge(twice, { on: 't.id = s.id', whenMatched: [{ delete: true }] })).toMatchObject({ metrics: { numTargetRowsDeleted: 2 } })
    expect(await lake.content(table, 'count(*)')).toEqual([['28']])
  })
  test('only files that its equalities and conditions on the table leave are read', async () => {
    const table = await people('merge/pruned')
    // The first and the last file are not there: reading either would fail.
    const [first, , last] = await Promise.all(
      [1, 2, 3].map(
        async (version) =>
          (JSON.parse(untext(await lake.objects.get(commitFile('merge/pruned', version))).split('\n')[1] ?? '') as { add: { path: string } }).add.path,
      ),
    )
    for (const path of [first, last]) await lake.objects.delete(`merge/pruned/${path}`)
    const input = lake.select('select 12 as key, 1 as v union all select 14, 2')
    for (const on of ['t.id = s.key', 's.key is not distinct from ID', 't.id between 10 and 19 and t.id + 0 = s.key', 't.age > 0 and id = key'])
      expect(await table.merge(input, { on, whenMatched: [{ update: { age: 'v' } }] }), on).toMatchObject({ metrics: { numTargetRowsUpdated: 2 } })
    expect(
      await table.merge(input, {
        on: 't.id = s.key',
        whenNotMatchedBySource: [
          { and: 't.id = 15', delete: true },
          { and: 'id in (16, 17)', update: { age: '0' } },
        ],
      }),
    ).toMatchObject({ metrics: { numTargetRowsDeleted: 1, numTargetRowsUpdated: 2 } })
    await expect(table.merge(input, { on: 't.id + 0 = s.key', whenMatched: [{ delete: true }] })).rejects.toMatchObject({ code: 'lake.data_file_missing' })
  })
  test('new columns of the input come into the table when that is asked for, and are refused otherwise', async () => {
    for (const mode of ['none', 'name']) {
      const table = await people(`merge/schema_${mode}`, mode === 'none' ? {} : { 'delta.columnMapping.mode': mode })
      const input = lake.select("select 1::bigint as id, 'x' as name, 99::integer as age, 1.5::double as score union all select 100, 'y', 1, 2.5")
      const clauses = { on: 't.id = s.id', whenMatched: [{ update: 'all' }], whenNotMatched: [{ insert: 'all' }] } as const
      await expect(table.merge(input, clauses)).rejects.toMatchObject({ code: 'lake.unknown_column' })
      await table.merge(input, { ...clauses, schema: true })
      expect((await table.snapshot())?.metadata.fields.map(({ name }) => name)).toEqual(['id', 'name', 'age', 'score'])
      expect(await lake.content(table, 'count(*), count(score), sum(score), max(age)')).toEqual([['31', '2', 4, 99]])
    }
  })
  test('clauses that could never apply, change what they do not see, or do nothing are refused', async () => {
    const table = await people('merge/bad')
    const input = lake.select('select 1::bigint as id, 2::integer as age')
    const refused = async (options: Omit<MergeByCondition, 'on'>, code: string): Promise<void> =>
      expect(table.merge(input, { on: 't.id = s.id', ...options })).rejects.toMatchObject({ code })
    await refused({}, 'lake.bad_option')
    await refused({ whenMatched: [{ delete: true }, { update: 'all' }] }, 'lake.bad_option')
    await refused({ whenNotMatchedBySource: [{ update: 'all' }] }, 'lake.bad_option')
    await refused({ whenNotMatchedBySource: [{ update: { age: 's.age' } }] }, 'lake.input_failed')
    await refused({ whenNotMatched: [{ insert: { age: 't.age' } }] }, 'lake.input_failed')
    await refused({ whenMatched: [{ update: { years: '1' } }] }, 'lake.unknown_column')
    await refused({ whenMatched: [{ update: { age: "'old'" } }] }, 'lake.type_mismatch')
    await expect(table.merge(input, { on: 'id = id', whenMatched: [{ delete: true }] })).rejects.toMatchObject({ code: 'lake.input_failed' })
    expect(await table.snapshot()).toMatchObject({ version: 3 })
  })
  test('a whole table is brought level with another one', async () => {
    for (const vectors of ['false', 'true']) {
      const table = await people(`merge/level_${vectors}`, { 'delta.enableDeletionVectors': vectors })
      const wanted = "select (2 * range)::bigint as id, 'n' || range as name, 7::integer as age from range(20)"
      await table.merge(lake.select(wanted), {
        on: 't.id = s.id',
        whenMatched: [{ update: 'all' }],
        whenNotMatched: [{ insert: 'all' }],
        whenNotMatchedBySource: [{ delete: true }],
      })
      expect(await lake.content(table)).toEqual(await lake.rows(`${wanted} order by all`))
    }
  })
})
