/** The change feed: what is written for it, what is told, and what is refused to be told. */
import { describe, expect, test } from 'vitest'
import type { DeltaTable } from '../../../src/lake/delta/index.ts'
import { commitFile, field, lines, openLake, untext } from '../../helpers/delta.ts'
import { base85, bitmapArray } from './vectors.ts'

const lake = await openLake()
const FEED = { 'delta.enableChangeDataFeed': 'true' }

async function made(root: string, configuration: Readonly<Record<string, string>> = FEED): Promise<DeltaTable> {
  const table = lake.table(root)
  await table.create({ fields: [field('id', 'long'), field('p', 'string')], partitionBy: ['p'], configuration })
  await table.append(lake.select("select range::bigint as id, ['a', 'b'][1 + range % 2] as p from range(10)"))
  return table
}

const told = async (table: DeltaTable, from: number, to?: number): Promise<unknown[][]> => {
  const { sql } = await table.changeFeed({ version: from }, to === undefined ? undefined : { version: to })
  return lake.rows(`select _commit_version, _change_type, id, p from (${sql}) order by all`)
}

describe('a change feed', () => {
  test('costs no file where added and removed files tell it all', async () => {
    const table = await made('feed/cheap')
    await table.delete("p = 'a'")
    await table.merge(lake.select("select 100::bigint as id, 'c' as p"), { keys: ['id'] })
    await table.overwrite(lake.select("select 200::bigint as id, 'b' as p"), { where: "p = 'b'" })
    await table.overwrite(lake.select("select 1::bigint as id, 'd' as p"))
    expect(await lake.paths('feed/cheap/_change_data/')).toEqual([])
    expect(await told(table, 2)).toEqual([
      ...['0', '2', '4', '6', '8'].map((id) => ['2', 'delete', id, 'a']),
      ['3', 'insert', '100', 'c'],
      ...['1', '3', '5', '7', '9'].map((id) => ['4', 'delete', id, 'b']),
      ['4', 'insert', '200', 'b'],
      ['5', 'delete', '100', 'c'],
      ['5', 'delete', '200', 'b'],
      ['5', 'insert', '1', 'd'],
    ])
  })
  test('names whole files too in a commit that also changes rows of others, since its files speak alone', async () => {
    for (const vectors of ['false', 'true']) {
      const root = `feed/alone_${vectors}`
      const table = await made(root, { ...FEED, 'delta.enableDeletionVectors': vectors })
      await table.delete("p = 'a' or id = 3")
      expect(await told(table, 2)).toEqual([...['0', '2', '4', '6', '8'].map((id) => ['2', 'delete', id, 'a']), ['2', 'delete', '3', 'b']])
      const written = (await lake.paths(`${root}/_change_data/`)).map((path) => path.slice(root.length))
      expect(written).toEqual([expect.stringMatching(/^\/_change_data\/p=a\/cdc-.*\.parquet$/), expect.stringMatching(/^\/_change_data\/p=b\/cdc-/)])
      const log = untext(await lake.objects.get(commitFile(root, 2)))
      expect(log.match(/"cdc":\{"path":"_change_data\/p=a\/[^}]*"partitionValues":\{"p":"a"\},"size":\d+,"dataChange":false\}/)).not.toBeNull()
      // None of it is part of the table.
      expect(await lake.content(table, 'count(*)')).toEqual([['4']])
    }
  })
  test('tells what two deletion vectors differ in when another engine kept no change data', async () => {
    const root = 'feed/vectors'
    const table = lake.table(root)
    await table.create({ fields: [field('id', 'long')], configuration: { ...FEED, 'delta.enableDeletionVectors': 'true' } })
    await table.append(lake.select('select range::bigint as id from range(5000)'))
    const { add } = JSON.parse(untext(await lake.objects.get(commitFile(root, 1))).split('\n')[1] ?? '') as { add: Record<string, unknown> }
    const vector = (rows: readonly number[]) => {
      const data = bitmapArray(rows, () => 'plain')
      return { storageType: 'i', pathOrInlineDv: base85(data), sizeInBytes: data.length, cardinality: rows.length }
    }
    const commit = async (version: number, before: readonly number[] | null, after: readonly number[] | null, dataChange: boolean = true): Promise<void> => {
      const remove = {
        path: add.path,
        deletionTimestamp: 1,
        dataChange,
        partitionValues: {},
        size: add.size,
        ...(before ? { deletionVector: vector(before) } : {}),
      }
      await lake.objects.putIfAbsent(
        commitFile(root, version),
        lines({ remove }, ...(after ? [{ add: { ...add, dataChange, deletionVector: vector(after) } }] : [])),
      )
    }
    await commit(2, null, [1, 4000])
    await commit(3, [1, 4000], [1, 2, 3, 4999])
    await commit(4, [1, 2, 3, 4999], [1, 2, 3, 4999, 7], false)
    await commit(5, [1, 2, 3, 4999, 7], null)
    const { sql } = await lake.table(root).changeFeed({ version: 2 })
    const rows = await lake.rows(`select _commit_version, _change_type, list(id order by id) from (${sql}) where _commit_version < 5 group by all order by all`)
    expect(rows).toEqual([
      ['2', 'delete', ['1', '4000']],
      ['3', 'delete', ['2', '3', '4999']],
      ['3', 'insert', ['4000']],
    ])
    expect(await lake.rows(`select _change_type, count(*), sum(id) from (${sql}) where _commit_version = 5 group by all`)).toEqual([
      ['delete', '4995', String((5000 * 4999) / 2 - 1 - 2 - 3 - 7 - 4999)],
    ])
  })
  test('has each commit with its time, and can be asked by time', async () => {
    const table = await made('feed/times')
    for (const id of [1, 2, 3]) {
      await new Promise((resolve) => setTimeout(resolve, 15))
      await table.delete(`id = ${id}`)
    }
    const times = await Promise.all([0, 1, 2, 3, 4].map(async (version) => (await table.snapshot({ version }))!.timestamp))
    const feed = await table.changeFeed({ version: 0 })
    expect(await lake.rows(`select distinct _commit_version, epoch_ms(_commit_timestamp) from (${feed.sql}) order by 1`)).toEqual(
      [1, 2, 3, 4].map((version) => [String(version), String(times[version])]),
    )
    const range = async (from: number, to?: number): Promise<unknown> => {
      const found = await table.changeFeed({ timestamp: from }, to === undefined ? undefined : { timestamp: to })
      return [found.from, found.to]
    }
    expect(await range(times[2]!)).toEqual([2, 4])
    expect(await range(times[2]! + 1, times[3]! + 1)).toEqual([3, 3])
    expect(await range(0, times[1]!)).toEqual([0, 1])
    await expect(range(times[4]! + 10_000)).rejects.toMatchObject({ code: 'lake.bad_range' })
    await expect(table.changeFeed({ version: 3 }, { version: 2 })).rejects.toMatchObject({ code: 'lake.bad_range' })
  })
  test('is refused for versions that kept none, by their numbers', async () => {
    const table = await made('feed/off', {})
    await table.delete('id = 1')
    await table.alter({ kind: 'setProperties', properties: FEED })
    await table.delete('id = 2')
    await table.alter({ kind: 'setProperties', properties: { 'delta.enableChangeDataFeed': 'false' } })
    await table.delete('id = 3')
    await expect(told(table, 0)).rejects.toMatchObject({ code: 'lake.change_feed_off', message: expect.stringContaining('versions 0 to 2, 5 to 6') as string })
    await expect(told(table, 1, 4)).rejects.toMatchObject({ message: expect.stringContaining('versions 1 to 2') as string, hint: 'Ask from version 3 on.' })
    await expect(told(table, 5, 5)).rejects.toMatchObject({ message: expect.stringContaining('in version 5') as string })
    expect(await told(table, 3, 4)).toEqual([['4', 'delete', '2', 'a']])
    await expect(lake.table('feed/nowhere').changeFeed({ version: 0 })).rejects.toMatchObject({ code: 'lake.table_missing' })
  })
  test('has the columns of its last version, whatever they were called before', async () => {
    const table = await made('feed/renamed', { ...FEED, 'delta.columnMapping.mode': 'name' })
    await table.delete('id = 1')
    await table.alter({ kind: 'renameColumn', column: 'p', to: 'place' })
    await table.alter({ kind: 'addColumns', fields: [field('more', 'integer')] })
    await table.update({ set: { more: '5' }, where: 'id = 2' })
    const { sql } = await table.changeFeed({ version: 2 })
    expect(await lake.rows(`select _commit_version, _change_type, id, place, more from (${sql}) order by all`)).toEqual([
      ['2', 'delete', '1', 'b', null],
      ['5', 'update_postimage', '2', 'a', 5],
      ['5', 'update_preimage', '2', 'a', null],
    ])
    expect(await told(await made('feed/before', FEED), 0, 0)).toEqual([])
  })
  test('says nothing of commits that only rearrange rows, and needs its files', async () => {
    const table = await made('feed/packed')
    for (const id of [20, 21]) await table.append(lake.select(`select ${id}::bigint as id, 'a' as p`))
    await table.optimize()
    expect(await told(table, 4)).toEqual([])
    await table.delete('id = 20')
    expect(await told(table, 4)).toEqual([['5', 'delete', '20', 'a']])
    for (const path of await lake.paths('feed/packed/_change_data/')) await lake.objects.delete(path)
    await expect(told(table, 4)).rejects.toMatchObject({ code: 'lake.data_file_missing' })
  })
})
