/** Parquet folders that become tables in place: nothing is rewritten, and what does not fit is refused by its name. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openTable } from '../../../src/lake/delta/index.ts'
import { checksumFile, commitFile, field, openLake, text, untext } from '../../helpers/delta.ts'
import { watchedObjects } from '../../helpers/watched-objects.ts'

const lake = await openLake()
let made = 0
const fresh = (): string => `bronze/c${++made}`

async function parquet(path: string, sql: string, options: string = ''): Promise<void> {
  const file = join(lake.folder, path)
  await mkdir(dirname(file), { recursive: true })
  await lake.connection.run(`copy (${sql}) to '${file.replaceAll("'", "''")}' (format parquet${options})`)
}
interface Add {
  readonly add: { readonly path: string; readonly stats: string; readonly partitionValues: Readonly<Record<string, string | null>> }
}
const addsOf = async (root: string): Promise<Add['add'][]> =>
  untext(await lake.objects.get(commitFile(root, 0)))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Partial<Add>)
    .flatMap(({ add }) => (add ? [add] : []))

describe('converting', () => {
  test('takes the files as they are, with columns and statistics from their footers', async () => {
    const root = fresh()
    const all = `select i as id, 'n' || i as name, i / 2 as half, date '2024-01-01' + i::int as "day", timestamptz '2024-01-01 00:00:00.123456Z' + interval (i) minute as at,
      (i * 1.5)::decimal(12,3) as price, i % 2 = 0 as even, case when i > 2 then i::int end as some, {'a': i, 'b': [i]} as nested, null::varchar as nothing from range`
    await parquet(`${root}/one.parquet`, `${all}(0, 3000) r(i)`, ', row_group_size 1000')
    await parquet(`${root}/sub/two.parquet`, `${all}(3000, 3003) r(i)`)
    await lake.objects.put(`${root}/_SUCCESS`, text(''))
    await lake.objects.put(`${root}/.one.parquet.crc`, text('x'))
    const before = await lake.paths(`${root}/`)
    const table = lake.table(root)
    expect(await table.convert()).toMatchObject({ version: 0, filesAdded: 2, rowsAdded: 3003 })
    expect(await lake.paths(`${root}/`)).toEqual([...before, checksumFile(root, 0), commitFile(root, 0)].sort())
    const snapshot = (await table.snapshot())!
    expect(snapshot).toMatchObject({ rowCount: 3003, fileCount: 2, protocol: { minReaderVersion: 1, minWriterVersion: 2 } })
    expect(snapshot.metadata.fields.map(({ name, type }) => [name, typeof type === 'string' ? type : type.type])).toEqual([
      ['id', 'long'],
      ['name', 'string'],
      ['half', 'double'],
      ['day', 'date'],
      ['at', 'timestamp'],
      ['price', 'decimal(12,3)'],
      ['even', 'boolean'],
      ['some', 'integer'],
      ['nested', 'struct'],
      ['nothing', 'string'],
    ])
    const [one] = await addsOf(root)
    const stats = JSON.parse(one?.stats ?? '') as Record<string, unknown>
    expect(stats).toMatchObject({
      numRecords: 3000,
      minValues: { id: 0, name: 'n0', day: '2024-01-01', at: '2024-01-01T00:00:00.123Z', price: 0, some: 3 },
      maxValues: { id: 2999, name: 'n999', price: 4498.5, at: '2024-01-03T01:59:00.124Z' },
      nullCount: { id: 0, some: 3, nothing: 3000 },
    })
    // A double's footer does not tell whether there is a NaN.
    expect(stats.maxValues).not.toHaveProperty('half')
    expect(await table.scan(snapshot, { where: 'id = 3001' })).not.toContain('one.parquet')
    expect(await lake.content(table, 'sum(id), count(name), max(price), sum(nested.a)')).toEqual([
      [String((3002 * 3003) / 2), '3003', '4503.000', String((3002 * 3003) / 2)],
    ])
    await table.append(lake.select('select 5000 as id'))
    await table.vacuum({ retainMs: 0, force: true })
    expect(await lake.content(table, 'count(*)')).toEqual([['3004']])
    expect((await table.history()).at(-1)).toMatchObject({ operation: 'CONVERT', metrics: { numConvertedFiles: 2 } })
  })
  test('reads partitions from the names of folders, as Hive escapes them', async () => {
    const root = fresh()
    await parquet(`${root}/day=2024-01-02/site=a%2Fb c/x.parquet`, 'select 1 as id')
    await parquet(`${root}/day=2024-01-02/site=São/x.parquet`, 'select 2 as id, 9 as more')
    await parquet(`${root}/day=__HIVE_DEFAULT_PARTITION__/site=__HIVE_DEFAULT_PARTITION__/x.parquet`, 'select 3 as id')
    const table = lake.table(root)
    await expect(table.convert()).rejects.toMatchObject({ code: 'lake.convert_partitions', hint: expect.stringContaining('day date, site string') as string })
    await expect(table.convert({ partitionBy: [field('day', 'integer'), field('site', 'string')] })).rejects.toMatchObject({
      code: 'lake.convert_partitions',
      message: expect.stringContaining('day=2024-01-02') as string,
    })
    await table.convert({ partitionBy: [field('day', 'date'), field('site', 'string')] })
    expect(await lake.content(table, 'id, "day", site, more')).toEqual(
      [
        ['1', '2024-01-02', 'a/b c', null],
        ['2', '2024-01-02', 'São', 9],
        ['3', null, null, null],
      ].map(([id, day, site, more]) => [Number(id), day, site, more]),
    )
    // In the spelling of Java, which Spark's VACUUM goes by.
    expect((await addsOf(root)).map(({ path }) => path)).toContain('day=2024-01-02/site=São/x.parquet')
    expect((await addsOf(root)).map(({ path }) => path)).toContain('day=2024-01-02/site=a%252Fb%20c/x.parquet')
    await table.vacuum({ retainMs: 0, force: true })
    expect(await lake.content(lake.table(root), 'count(*)')).toEqual([['3']])
  })
  test('a column of two types, a damaged file, other files and types without a place in Delta are refused with the file named', async () => {
    const types = fresh()
    await parquet(`${types}/a.parquet`, 'select 1::bigint as id')
    await parquet(`${types}/b.parquet`, "select 'x' as id")
    await expect(lake.table(types).convert()).rejects.toMatchObject({
      code: 'lake.convert_schema',
      message: expect.stringMatching(/a\.parquet.*|b\.parquet/) as string,
    })
    const damaged = fresh()
    await parquet(`${damaged}/a.parquet`, 'select 1 as id')
    await writeFile(join(lake.folder, damaged, 'b.parquet'), 'PAR1 no')
    await expect(lake.table(damaged).convert()).rejects.toMatchObject({
      code: 'lake.convert_damaged',
      message: expect.stringContaining(`${damaged}/b.parquet`) as string,
    })
    const other = fresh()
    await parquet(`${other}/a.parquet`, 'select 1 as id')
    await lake.objects.put(`${other}/readme.txt`, text('x'))
    await expect(lake.table(other).convert()).rejects.toMatchObject({
      code: 'lake.convert_other_file',
      message: expect.stringContaining('readme.txt') as string,
    })
    const uuid = fresh()
    await parquet(`${uuid}/a.parquet`, 'select gen_random_uuid() as id, 1 as n')
    await expect(lake.table(uuid).convert()).rejects.toMatchObject({ code: 'lake.type_unsupported', message: expect.stringContaining('UUID') as string })
    await expect(lake.table(fresh()).convert()).rejects.toMatchObject({ code: 'lake.convert_nothing' })
    for (const root of [types, damaged, other, uuid]) expect(await lake.table(root).snapshot()).toBeNull()
  })
  test('a table stays what it is, also when it was made meanwhile', async () => {
    const root = fresh()
    await parquet(`${root}/a.parquet`, 'select 1 as id')
    const { objects, duck } = lake.place
    const racing = watchedObjects(objects, async ({ kind }) => {
      if (kind === 'putIfAbsent') await lake.table(root).convert()
    })
    await expect(openTable({ objects: racing, duck }, root).convert()).rejects.toMatchObject({ code: 'lake.table_exists' })
    await expect(lake.table(root).convert()).rejects.toMatchObject({ code: 'lake.table_exists' })
    expect(await lake.content(lake.table(root))).toEqual([[1]])
  })
  test('six hundred files of two shapes are one commit', { timeout: 60_000 }, async () => {
    const root = fresh()
    await parquet(`${root}/0.parquet`, 'select 0 as id')
    await parquet(`${root}/1.parquet`, 'select 1 as id, 2 as more')
    for (let i = 2; i < 600; i++) await lake.objects.copy(`${root}/${i % 2}.parquet`, `${root}/${i}.parquet`)
    expect(await lake.table(root).convert()).toMatchObject({ filesAdded: 600, rowsAdded: 600 })
    expect(await lake.content(lake.table(root), 'count(*), sum(id), sum(more)')).toEqual([['600', '300', '600']])
  })
})
