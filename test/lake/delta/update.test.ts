import { describe, expect, test } from 'vitest'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()

describe('update', () => {
  test('expressions see the row as it was, in any spelling of its columns', async () => {
    const table = lake.table('update/swap')
    await table.create({ fields: [field('a', 'integer'), field('b', 'integer'), field('c', 'double')] })
    await table.append(lake.select('select 1::integer as a, 2::integer as b, 0.5::double as c union all select 3, 4, null'))
    expect(await table.update({ set: { A: 'b', b: 'a', C: 'A + 1' }, where: 'c is null' })).toMatchObject({
      metrics: { numUpdatedRows: 1, numCopiedRows: 1, numRemovedFiles: 1, numAddedFiles: 1 },
    })
    expect(await lake.content(table)).toEqual([
      [1, 2, 0.5],
      [4, 3, 4],
    ])
    expect(await table.update({ set: { c: 'null' }, where: 'a > 100' })).toMatchObject({ skipped: true })
  })
  test('a file that is written anew keeps the order of its rows', async () => {
    const table = lake.table('update/order')
    await table.create({ fields: [field('id', 'long'), field('x', 'integer')] })
    await table.append(lake.select('select (range * 7919) % 100000 as id, 0::integer as x from range(100000)'))
    const order = async (): Promise<unknown[][]> => lake.rows(`select md5(string_agg(id::varchar, ',')) from (${await table.scan((await table.snapshot())!)})`)
    const before = await order()
    await table.update({ set: { x: '1' }, where: 'id % 10 = 3' })
    expect(await order()).toEqual(before)
    await table.alter({ kind: 'setProperties', properties: { 'delta.enableDeletionVectors': 'true' } })
    await table.delete('id % 10 = 3')
    const left = await order()
    expect(left).toEqual(
      await lake.rows("select md5(string_agg(id::varchar, ',')) from (select (range * 7919) % 100000 as id from range(100000)) where id % 10 <> 3"),
    )
  })
  test('values that a column cannot take without loss, columns that are not there and sets of nothing are refused', async () => {
    const table = lake.table('update/bad')
    await table.create({ fields: [field('id', 'long', false), field('n', 'short'), field('name', 'string')], constraints: { small: 'n < 100' } })
    await table.append(lake.select("select 1::bigint as id, 5::smallint as n, 'a' as name"))
    const refused = async (set: Readonly<Record<string, string>>, code: string): Promise<void> => expect(table.update({ set })).rejects.toMatchObject({ code })
    await refused({ n: "'x'" }, 'lake.type_mismatch')
    await refused({ n: '1.5' }, 'lake.type_mismatch')
    await refused({ n: '100000' }, 'lake.input_failed')
    await refused({ m: '1' }, 'lake.unknown_column')
    await refused({ n: 'n + ' }, 'lake.input_failed')
    await refused({ N: '1', n: '2' }, 'lake.duplicate_column')
    await refused({}, 'lake.bad_option')
    await refused({ id: 'null' }, 'lake.null_value')
    await refused({ n: 'n + 99' }, 'lake.check_failed')
    await refused({ name: 'uuid()::varchar' }, 'lake.unstable_expression')
    expect(await lake.content(table)).toEqual([['1', 5, 'a']])
    expect(await table.snapshot()).toMatchObject({ version: 1 })
  })
  test('generated columns follow what they come from, and may not be set to anything else', async () => {
    for (const vectors of ['false', 'true']) {
      const table = lake.table(`update/generated_${vectors}`)
      await table.create({
        fields: [field('id', 'long'), { ...field('twice', 'long'), generated: 'id * 2' }, { ...field('name', 'string'), default: "'none'" }],
        configuration: { 'delta.enableDeletionVectors': vectors },
      })
      await table.append(lake.select('select range::bigint as id from range(4)'))
      await table.update({ set: { id: 'id + 10' }, where: 'id = 1' })
      await table.merge(lake.select('select 2::bigint as id, 20::bigint as news union all select 7, 70'), {
        on: 't.id = s.id',
        whenMatched: [{ update: { id: 's.news' } }],
        whenNotMatched: [{ insert: { id: 's.news' } }],
      })
      expect(await lake.content(table)).toEqual([
        ['0', '0', 'none'],
        ['3', '6', 'none'],
        ['11', '22', 'none'],
        ['20', '40', 'none'],
        ['70', '140', 'none'],
      ])
      await expect(table.update({ set: { twice: '1' } })).rejects.toMatchObject({ code: 'lake.check_failed' })
      await table.update({ set: { twice: 'id * 2', name: "'b'" }, where: 'id = 0' })
      expect(await lake.rows(`select name from (${await table.scan((await table.snapshot())!)}) where id = 0`)).toEqual([['b']])
    }
  })
  test('rows move to the partition that they now belong to', async () => {
    const table = lake.table('update/partitions')
    await table.create({ fields: [field('id', 'long'), field('p', 'string')], partitionBy: ['p'], configuration: { 'delta.enableDeletionVectors': 'true' } })
    await table.append(lake.select("select range::bigint as id, ['a', 'b'][1 + range % 2] as p from range(10)"))
    await table.update({ set: { p: "case when id < 5 then 'c' else null end" }, where: "p = 'a'" })
    expect(await lake.content(table, "coalesce(p, '-'), id")).toEqual([
      ['-', '6'],
      ['-', '8'],
      ['b', '1'],
      ['b', '3'],
      ['b', '5'],
      ['b', '7'],
      ['b', '9'],
      ['c', '0'],
      ['c', '2'],
      ['c', '4'],
    ])
    expect(await table.snapshot()).toMatchObject({ fileCount: 3 })
  })
})
