/** Ordering rows for skipping: the same rows in other files, fewer of them to read, and nothing to do the second time. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planCubes } from '../../../src/lake/delta/zorder.ts'
import { openTable, type DeltaTable } from '../../../src/lake/delta/index.ts'
import type { AddFile } from '../../../src/lake/delta/actions.ts'
import { commitFile, field, lines, openLake, untext } from '../../helpers/delta.ts'
import { watchedObjects } from '../../helpers/watched-objects.ts'

const lake = await openLake()
let made = 0
const fresh = (): string => `silver/z${++made}`
const POINTS = [field('x', 'long'), field('y', 'string'), field('at', 'timestamp'), field('note', 'string')]
/** Rows whose columns have nothing to do with each other, and a few nulls. */
const points = (from: number, to: number): string =>
  `select hash(i) % 10000 as x, md5(i::varchar) as y, case when i % 50 = 0 then null else timestamptz '2024-01-01 00:00:00Z' + interval (hash(i * 7) % 100000) second end as at, 'row ' || i as note from range(${from}, ${to}) r(i)`
const filesFor = async (table: DeltaTable, where: string): Promise<number> =>
  ((await table.scan((await table.snapshot())!, { where })).match(/\.parquet'/g) ?? []).length

describe('planning cubes', () => {
  const file = fc.record({
    size: fc.integer({ min: 1, max: 100 }),
    partition: fc.constantFrom('a', 'b'),
    cube: fc.option(fc.constantFrom('c1', 'c2', 'c3'), { nil: null }),
  })
  const adds = (files: readonly { size: number; partition: string; cube: string | null }[]): AddFile[] =>
    files.map(({ size, partition, cube }, i) => ({
      path: `f${i}`,
      partitionValues: { p: partition },
      size,
      modificationTime: 0,
      dataChange: true,
      stats: null,
      tags: cube === null ? null : { 'lagoa.order': '["x"]', 'lagoa.cube': `${partition}${cube}` },
      deletionVector: null,
    }))
  test('takes every file that is not in the order, never mixes partitions, stays within the limit and comes to an end', () => {
    fc.assert(
      fc.property(fc.array(file, { maxLength: 40 }), (files) => {
        let live = adds(files)
        for (let round = 0; ; round++) {
          expect(round).toBeLessThan(60)
          const cubes = planCubes(live, '["x"]', { mostBytes: 250, atLeast: 1 })
          if (cubes.length === 0) break
          for (const cube of cubes) expect(new Set(cube.map(({ partitionValues }) => partitionValues.p)).size).toBe(1)
          const chosen = cubes.flat()
          expect(new Set(chosen).size).toBe(chosen.length)
          expect(chosen.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(250)
          live = [
            ...live.filter((one) => !chosen.includes(one)),
            ...cubes.flatMap((cube, i) => cube.map((one) => ({ ...one, tags: { 'lagoa.order': '["x"]', 'lagoa.cube': `new${round}.${i}` } }))),
          ]
        }
        expect(live.every(({ tags }) => tags?.['lagoa.order'] === '["x"]')).toBe(true)
      }),
    )
  })
})

describe('ordering by several columns', () => {
  test('lets a condition on any of them skip most files, and keeps every row', { timeout: 60_000 }, async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: POINTS })
    for (let i = 0; i < 8; i++) await table.append(lake.select(points(i * 5000, (i + 1) * 5000)))
    const before = await lake.content(table)
    const targetBytes = Math.ceil((await table.snapshot())!.bytes / 32)
    const follower = lake.table(root)
    const seen = (await follower.snapshot())!.version
    const result = await table.optimize({ zOrderBy: ['x', 'y', 'AT'], targetBytes })
    expect(result).toMatchObject({ filesRemoved: 8, filesAdded: 32, rowsAdded: 0 })
    for (const handle of [table, lake.table(root)]) expect(await lake.content(handle)).toEqual(before)
    for (const where of [
      'x between 1000 and 1100',
      "y like '7%' and y >= '7a' and y < '7b'",
      `"at" between timestamptz '2024-01-01 05:00:00Z' and timestamptz '2024-01-01 05:10:00Z'`,
    ])
      expect(await filesFor(table, where), where).toBeLessThanOrEqual(20)
    expect(await filesFor(table, "x between 1000 and 1100 and y >= '7a' and y < '7b'")).toBeLessThanOrEqual(6)
    expect(await follower.changes(seen, (await follower.snapshot())!)).toMatchObject({ appendOnly: true, rows: 0 })
    expect((await table.history(1))[0]).toMatchObject({ operation: 'OPTIMIZE', parameters: { zOrderBy: '["x","y","AT"]' } })
  })
  test('the second time there is nothing to do; after an append, what is new joins what was not full', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: POINTS })
    for (let i = 0; i < 3; i++) await table.append(lake.select(points(i * 100, (i + 1) * 100)))
    const options = { zOrderBy: ['x', 'y'] }
    expect(await table.optimize(options)).toMatchObject({ filesRemoved: 3, filesAdded: 1 })
    expect(await table.optimize(options)).toMatchObject({ skipped: true, version: 4 })
    await table.append(lake.select(points(300, 400)))
    expect(await lake.table(root).optimize(options)).toMatchObject({ filesRemoved: 2, filesAdded: 1 })
    expect(await table.optimize(options)).toMatchObject({ skipped: true })
    expect(await table.optimize({ zOrderBy: ['y'] })).toMatchObject({ filesRemoved: 1 })
    expect((await table.snapshot())?.rowCount).toBe(400)
    // Packing leaves it alone: one file is no run.
    expect(await table.optimize()).toMatchObject({ skipped: true })
  })
  test('partitions are ordered each for itself, and only those that are asked for', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: [...POINTS, field('day', 'date')], partitionBy: ['day'] })
    for (let i = 0; i < 3; i++)
      await table.append(
        lake.select(`select *, date '2024-01-01' + (x % 3)::int as "day" from (${points(i * 50, i * 50 + 50)}) union all select 1, 'y', null, 'n', null`),
      )
    const before = await lake.content(table)
    expect(await table.optimize({ zOrderBy: ['x'], where: `"day" >= '2024-01-02'` })).toMatchObject({ filesRemoved: 6, filesAdded: 2 })
    expect(await table.optimize({ where: '"day" is null' })).toMatchObject({ filesRemoved: 3, filesAdded: 1 })
    expect(await table.optimize({ zOrderBy: ['x'] })).toMatchObject({ filesRemoved: 4, filesAdded: 2 })
    expect(await lake.content(table)).toEqual(before)
    await expect(table.optimize({ where: 'x > 3' })).rejects.toMatchObject({ code: 'lake.bad_condition', hint: expect.stringContaining('day') as string })
    await expect(table.optimize({ zOrderBy: ['day'] })).rejects.toMatchObject({ code: 'lake.bad_option' })
  })
  test('columns of every type that has an order, few values, nothing but nulls, quotes and nested ones', async () => {
    const root = fresh()
    const table = lake.table(root)
    const struct = { type: 'struct' as const, fields: [field('deep', 'integer')] }
    await table.create({
      fields: [
        field('a"b', 'string'),
        field('f', 'float'),
        field('d', 'decimal(10,2)'),
        field('b', 'boolean'),
        field('bin', 'binary'),
        field('day', 'date'),
        field('n', 'long'),
        field('st', struct),
      ],
    })
    const rows = `select 'v''' || (i % 3) as "a""b", case when i % 4 = 0 then 'nan'::float when i % 4 = 1 then 'inf'::float else i::float end as f, (i / 7)::decimal(10,2) as d, i % 2 = 0 as b,
      ('\\x0' || (i % 9)::varchar)::blob as bin, date '1969-12-01' + i::int as "day", null::bigint as n, {'deep': (hash(i) % 100)::int} as st from range(500) r(i)`
    await table.append(lake.select(rows))
    const before = await lake.content(table)
    for (const zOrderBy of [['a"b', 'f', 'd', 'b'], ['bin', 'day', 'n', 'st.deep'], ['n']])
      expect(await table.optimize({ zOrderBy })).toMatchObject({ filesRemoved: 1, filesAdded: 1 })
    expect(await lake.content(table)).toEqual(before)
    const refused: readonly (readonly [string[], string])[] = [
      [['st'], 'lake.bad_option'],
      [['nope'], 'lake.unknown_column'],
      [['f', 'F'], 'lake.bad_option'],
      [[], 'lake.bad_option'],
    ]
    for (const [zOrderBy, code] of refused) await expect(table.optimize({ zOrderBy })).rejects.toMatchObject({ code })
  })
  test('appends go past it, and when the commit fails nothing is left behind', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: POINTS })
    for (let i = 0; i < 3; i++) await table.append(lake.select(points(i * 100, (i + 1) * 100)))
    const { objects, duck } = lake.place
    const before = await lake.paths(`${root}/`)
    const failing = watchedObjects(objects, ({ kind }) => {
      if (kind === 'putIfAbsent') throw new Error('crash')
    })
    await expect(openTable({ objects: failing, duck }, root).optimize({ zOrderBy: ['x'] })).rejects.toThrow('crash')
    expect(await lake.paths(`${root}/`)).toEqual(before)
    let raced = false
    const racing = watchedObjects(objects, async ({ kind }) => {
      if (kind !== 'putIfAbsent' || raced) return
      raced = true
      await table.append(lake.select(points(300, 400)))
    })
    expect(await openTable({ objects: racing, duck }, root).optimize({ zOrderBy: ['x'] })).toMatchObject({ version: 5 })
    expect((await table.snapshot())?.rowCount).toBe(400)
  })
  test('a table with clustering columns is clustered by those', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: POINTS })
    await table.append(lake.select(points(0, 100)))
    await table.append(lake.select(points(100, 200)))
    const protocol = { minReaderVersion: 1, minWriterVersion: 7, writerFeatures: ['appendOnly', 'invariants', 'domainMetadata', 'clustering'] }
    const domainMetadata = {
      domain: 'delta.clustering',
      configuration: JSON.stringify({ clusteringColumns: [['y'], ['x']], domainName: 'delta.clustering' }),
      removed: false,
    }
    await lake.objects.putIfAbsent(commitFile(root, 3), lines({ commitInfo: {} }, { protocol }, { domainMetadata }))
    expect((await table.describe())?.clusterBy).toEqual([['y'], ['x']])
    await expect(table.optimize({ zOrderBy: ['x'] })).rejects.toMatchObject({ code: expect.stringMatching(/bad_option|feature_unsupported/) as string })
    expect(await table.optimize()).toMatchObject({ filesRemoved: 2, filesAdded: 1 })
    expect(untext(await lake.objects.get(commitFile(root, 4)))).toContain('"clusteringProvider":"lagoa"')
    expect(await table.optimize()).toMatchObject({ skipped: true })
    expect(await lake.table(root).optimize()).toMatchObject({ skipped: true })
    // What another engine clustered is left to it.
    const add = {
      path: 'of-another.parquet',
      partitionValues: {},
      size: 1,
      modificationTime: 0,
      dataChange: true,
      stats: '{"numRecords":1}',
      clusteringProvider: 'liquid',
    }
    await lake.objects.putIfAbsent(commitFile(root, 5), lines({ commitInfo: {} }, { add }))
    expect(await table.optimize()).toMatchObject({ skipped: true, version: 5 })
    await lake.objects.delete(commitFile(root, 5))
    expect((await lake.table(root).history(1))[0]?.parameters).toMatchObject({ clusterBy: '["y","x"]', zOrderBy: '[]' })
  })
})
