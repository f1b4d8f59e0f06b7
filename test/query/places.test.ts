/** Tables by their place: `delta('...')` in SQL, inside the object store and, where it is allowed, outside of it. */
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { openPlaced } from '../../src/platform/index.ts'
import { openQuery } from '../../src/query/index.ts'
import { openFolderObjects } from '../../src/storage/index.ts'
import { openLake as openProjectLake, openTable } from '../../src/lake/index.ts'
import { silentLog } from '../../src/base/index.ts'
import { field, openLake } from '../helpers/delta.ts'
import { tempFolder } from '../helpers/folder.ts'

const lake = await openLake()
const project = await openProjectLake({ objects: lake.objects, duck: lake.place.duck, tables: [], logger: silentLog })
const FIELDS = [field('id', 'long'), field('p', 'string')]

const inside = lake.table('bronze/it is 100% "inside"')
await inside.create({ fields: FIELDS, partitionBy: ['p'] })
await inside.append(lake.select("select 1 as id, 'a b' as p"))
await inside.append(lake.select("select 2 as id, 'ç/%41' as p"))

const elsewhere = tempFolder()
const theirs = await openFolderObjects(elsewhere)
const outside = openTable({ objects: theirs, duck: lake.place.duck }, 'tables/far away')
await outside.create({ fields: FIELDS })
await outside.append(lake.select("select 7 as id, 'x' as p"))
await outside.overwrite(lake.select("select 7 as id, 'y' as p union all select 8, 'z'"))
const FAR = join(elsewhere, 'tables/far away')
afterAll(() => theirs.close())

const query = await openQuery({
  lake: () => project,
  place: (place, allowed) => openPlaced({ objects: lake.objects, duck: lake.place.duck, lake: project }, place, allowed),
  hold: () => lake.objects.hold(),
  allowedFolder: lake.folder,
  memoryLimit: '100MB',
  threads: 1,
  tempFolder: join(elsewhere, 'spill'),
})
afterAll(() => query.close())
const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`
const ask = async (text: string, options: { outside?: boolean } = {}): Promise<unknown> => (await query.run(text, options)).rows
const IN = quoted(inside.root)

describe('a table by its place', () => {
  test('is read by bucket and key, by its address and by its path', async () => {
    const uri = lake.objects.uri(inside.root)
    for (const place of [inside.root, `${inside.root}/`, uri, uri.replace('file:///', 'file:/'), join(lake.folder, inside.root)])
      expect(await ask(`select id, p from delta(${quoted(place)}) order by id`), place).toEqual([
        [1, 'a b'],
        [2, 'ç/%41'],
      ])
  })
  test('is read at a version or a time, under its own name or another, as often as one likes', async () => {
    const [, first] = (await inside.history()).map(({ timestamp }) => new Date(timestamp).toISOString())
    expect(await ask(`select count(*) from delta(${IN}, version => 1)`)).toEqual([[1]])
    expect(await ask(`select count(*) from delta(${IN}, version := 0)`)).toEqual([[0]])
    for (const at of [
      `timestamp => ${quoted(first ?? '')}`,
      `TIMESTAMP  => timestamptz ${quoted(first ?? '')}`,
      `"timestamp" := ${quoted((first ?? '').replace('T', ' ').replace('Z', ''))}`,
    ])
      expect(await ask(`select count(*) from delta(${IN}, ${at})`), at).toEqual([[1]])
    expect(await ask(`select delta.id from delta(${IN}) where delta.p = 'a b'`)).toEqual([[1]])
    expect(
      await ask(`select now.a, before.id from delta(${IN}) now(a, b) left join delta(${IN}, version => 1) as before on now.a = before.id order by 1`),
    ).toEqual([
      [1, 1],
      [2, null],
    ])
    expect(
      await ask(
        `with c as (select * from delta(${IN})), d as (from c) select count(*), 'timestamp => no' from d union all select id, p from delta(${IN}, timestamp => '2100-01-01') where id > 1`,
      ),
    ).toEqual([
      [2, 'timestamp => no'],
      [2, 'ç/%41'],
    ])
  })
  test('in a folder outside of the store is refused, and read where that is allowed', async () => {
    const before = readdirSync(elsewhere, { recursive: true })
    await expect(ask(`select * from delta(${quoted(FAR)})`)).rejects.toMatchObject({ code: 'query.outside_place', kind: 'denied' })
    expect(await ask(`select id, p from delta(${quoted(FAR)}) order by 1`, { outside: true })).toEqual([
      [7, 'y'],
      [8, 'z'],
    ])
    expect(await ask(`select o.p, i.p from delta(${quoted(FAR)}, version => 1) o, delta(${IN}) i order by all`, { outside: true })).toEqual([
      ['x', 'a b'],
      ['x', 'ç/%41'],
    ])
    expect(readdirSync(elsewhere, { recursive: true }).filter((name) => !name.toString().startsWith('spill'))).toEqual(
      before.filter((name) => !name.toString().startsWith('spill')),
    )
  })
  test('opens no way to other files, also when a folder outside is allowed', async () => {
    const attacks = [
      `select * from delta(${quoted(FAR)}), read_csv('/etc/passwd')`,
      `select * from delta(${quoted(FAR)}), '/etc/passwd'`,
      `select * from delta((select '/etc'))`,
      `select * from delta(${quoted(`${FAR}/../../../../../etc`)})`,
      `select * from delta('../etc/passwd')`,
      `select * from delta('bronze/../../..')`,
      `select * from delta('s3://bucket/key')`,
      `select * from delta('https://example.org/x')`,
      `select * from delta('file://%zz')`,
      `select * from delta('')`,
      `select * from delta()`,
      `select * from delta(1)`,
      `select * from delta(${IN}, 3)`,
      `select * from delta(${IN}, version => 1, timestamp => '2024-01-01')`,
      `select * from delta(${IN}, version => 'x')`,
      `select * from delta(${IN}, other => 1)`,
      `select * from delta(version => 1)`,
      `select delta(${IN})`,
      `select * from main.delta(${IN}), read_parquet('x')`,
    ]
    for (const text of attacks)
      await expect(ask(text, { outside: true }), text).rejects.toMatchObject({
        kind: expect.stringMatching(/^(denied|invalid|missing|unsupported)$/) as string,
      })
  })
  test('that is not there is said so, as is a folder without a table', async () => {
    await expect(ask("select * from delta('bronze/nothing')")).rejects.toMatchObject({
      code: 'lake.table_missing',
      message: expect.stringContaining('bronze/nothing') as string,
    })
    await expect(ask(`select * from delta(${quoted(join(elsewhere, 'nowhere'))})`, { outside: true })).rejects.toMatchObject({ code: 'lake.table_missing' })
    mkdirSync(join(elsewhere, 'empty'))
    await expect(ask(`select * from delta(${quoted(join(elsewhere, 'empty'))})`, { outside: true })).rejects.toMatchObject({ code: 'lake.table_missing' })
    await expect(ask(`select * from delta(${IN}, version => 99)`)).rejects.toMatchObject({ code: 'lake.version_missing' })
    await expect(ask("select * from delta('nobody.declared')")).rejects.toMatchObject({ code: 'lake.no_table' })
  })
  test('through a link reads what it leads to', async () => {
    symlinkSync(FAR, join(elsewhere, 'link'))
    expect(await ask(`select count(*) from delta(${quoted(join(elsewhere, 'link'))})`, { outside: true })).toEqual([[2]])
  })
})
