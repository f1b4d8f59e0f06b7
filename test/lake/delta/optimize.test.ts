/** Packing small files and evolving schemas: the same rows in the same order, nothing new for followers, no conflict with appends. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planBins, type PackableFile } from '../../../src/lake/delta/optimize.ts'
import { openTable, type DeltaTable } from '../../../src/lake/delta/index.ts'
import { checkpointFile, commitFile, field, lines, openLake, untext } from '../../helpers/delta.ts'
import { watchedObjects } from '../../helpers/watched-objects.ts'

const lake = await openLake()
const FIELDS = [field('id', 'long'), field('name', 'string')]
let made = 0
const fresh = (): string => `silver/o${++made}`
const inOrder = async (table: DeltaTable): Promise<unknown[]> => (await lake.rows(await table.scan((await table.snapshot())!))).map(([id]) => Number(id))
const SMALL = { smallBytes: 100, targetBytes: 300, atLeast: 2, mostBytes: 1000, mostFiles: 100 }

describe('planning', () => {
  const partitions = [{}, { p: 'a' }]
  const file = fc.record({ size: fc.nat(200), partition: fc.constantFrom(...partitions) })
  test('packs runs of small neighbours of one partition into bins of the target size, and never across a larger file', () => {
    fc.assert(
      fc.property(fc.array(file, { maxLength: 60 }), (sizes) => {
        const files: PackableFile[] = sizes.map((one, row) => ({ row, ...one }))
        const bins = planBins(files, SMALL)
        expect(new Set(bins.flat()).size).toBe(bins.flat().length)
        for (const bin of bins) {
          const packed = bin.map((row) => files[row]!)
          expect(bin.length).toBeGreaterThan(1)
          expect(packed.every(({ size, partition }) => size < 100 && partition === packed[0]?.partition)).toBe(true)
          expect(packed.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(300)
          const between = files.slice(bin[0], bin.at(-1)! + 1).filter(({ partition }) => partition === packed[0]?.partition)
          expect(between).toEqual(packed)
        }
        const read = bins.flat().reduce((sum, row) => sum + (files[row]?.size ?? 0), 0)
        if (bins.length > 1) expect(read).toBeLessThanOrEqual(1000)
      }),
    )
  })
  test('does nothing for few small files', () => {
    const partition = {}
    const files = Array.from({ length: 5 }, (_, row) => ({ row, size: 1, partition }))
    expect(planBins(files, { ...SMALL, atLeast: 6 })).toEqual([])
    expect(planBins(files, SMALL)).toEqual([[0, 1, 2, 3, 4]])
  })
})

describe('optimizing', () => {
  test('keeps rows and their order, older versions, and brings followers nothing', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    for (let i = 1; i <= 6; i++) await table.append(lake.select(`select ${i} as id, 'n${i}' as name`))
    const before = (await table.snapshot())!
    const result = await table.optimize()
    expect(result).toMatchObject({ version: 7, filesAdded: 1, filesRemoved: 6, rowsAdded: 0, metrics: { numAddedFiles: 1, numRemovedFiles: 6 } })
    await table.append(lake.select("select 7 as id, 'n7' as name"))
    for (const handle of [table, lake.table(root)]) {
      expect(await inOrder(handle)).toEqual([1, 2, 3, 4, 5, 6, 7])
      const upTo = (await handle.snapshot())!
      expect(upTo).toMatchObject({ rowCount: 7, fileCount: 2 })
      expect(await handle.changes(6, upTo)).toMatchObject({ appendOnly: true, rows: 1 })
      const some = await handle.changes(4, upTo)
      expect(some).toMatchObject({ appendOnly: true, rows: 3 })
      expect(await lake.rows(`select id from (${some.sql})`)).toEqual([['5'], ['6'], ['7']])
    }
    expect(await lake.content(table, 'count(*)', before)).toEqual([['6']])
    expect((await table.history(2))[1]).toMatchObject({ operation: 'OPTIMIZE', metrics: { numRemovedFiles: 6 } })
    expect(await table.optimize({ atLeast: 3 })).toMatchObject({ skipped: true })
  })
  test('rows stand in their file in the order of the input, however many threads write', { timeout: 60_000 }, async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [field('id', 'long')] })
    await lake.connection.run('create or replace temp table numbers as select i as id from range(1000000) r(i)')
    for (let i = 0; i < 3; i++) {
      await table.overwrite(lake.select('select id from numbers'))
      const sql = await table.scan((await table.snapshot())!)
      expect(await lake.rows(`select count(*) from (select id, lag(id) over () as before from (${sql})) where id < before`)).toEqual([['0']])
    }
  })
  test('a file that became too large is cut into several, in order', { timeout: 120_000 }, async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: [field('id', 'long'), field('noise', 'string')] })
    await table.append(lake.select('select i as id, gen_random_uuid()::varchar as noise from range(6000000) r(i)'))
    const snapshot = (await table.snapshot())!
    expect([snapshot.fileCount, snapshot.rowCount]).toEqual([2, 6_000_000])
    expect(await lake.rows(`select count(*) from (select id, lag(id) over () as before from (${await table.scan(snapshot)})) where id <> before + 1`)).toEqual([
      ['0'],
    ])
  })
  test('the order of rows survives a tail that is packed before the head, a checkpoint and a new handle', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    await table.append(lake.select('select i as id, repeat(md5(i::varchar), 9) as name from range(3000) r(i)'))
    for (let i = 3000; i < 3004; i++) await table.append(lake.select(`select ${i} as id`))
    await table.append(lake.select('select i + 3004 as id, repeat(md5(i::varchar), 9) as name from range(3000) r(i)'))
    await table.append(lake.select('select 6004 as id'))
    const sizes = { smallBytes: 20_000 }
    expect(await table.optimize(sizes)).toMatchObject({ filesRemoved: 4, filesAdded: 1 })
    await table.append(lake.select('select 6005 as id'))
    const all = Array.from({ length: 6006 }, (_, i) => i)
    for (const handle of [table, lake.table(root)]) expect(await inOrder(handle)).toEqual(all)
    await table.optimize(sizes)
    for (let i = 6006; i < 6012; i++) await table.append(lake.select(`select ${i} as id`))
    expect(await lake.objects.head(checkpointFile(root, 10))).not.toBeNull()
    for (const handle of [table, lake.table(root)]) expect(await inOrder(handle)).toEqual(Array.from({ length: 6012 }, (_, i) => i))
  })
  test('followers who are behind a checkpoint read what came from the files that brought it, or all that was rearranged once data went', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    for (let i = 1; i <= 8; i++) await table.append(lake.select(`select ${i} as id, 'a' as name`))
    await table.optimize()
    for (let i = 10; i <= 12; i++) await table.append(lake.select(`select ${i} as id, 'a' as name`))
    for (const handle of [table, lake.table(root)]) {
      const some = await handle.changes(5, (await handle.snapshot())!)
      expect(some).toMatchObject({ appendOnly: true, rows: expect.anything() as number })
      expect(await lake.rows(`select id from (${some.sql}) order by 1`)).toEqual([['6'], ['7'], ['8'], ['10'], ['11'], ['12']])
    }
    await table.merge(lake.select("select 2 as id, 'b' as name"), { keys: ['id'] })
    for (const handle of [table, lake.table(root)]) {
      const some = await handle.changes(5, (await handle.snapshot())!)
      expect(some.appendOnly).toBe(false)
      expect(await lake.rows(`select id, name from (${some.sql}) order by 1`)).toEqual([
        ['1', 'a'],
        ['2', 'b'],
        ...[3, 4, 5, 6, 7, 8, 10, 11, 12].map((id) => [String(id), 'a']),
      ])
      expect(await lake.rows(`select id, name from (${await some.gone()}) where id = 2`)).toEqual([['2', 'a']])
    }
  })
  test('partitions are packed each for itself and keep their values', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [...FIELDS, field('day', 'date')], partitionBy: ['day'] })
    for (let i = 0; i < 6; i++) await table.append(lake.select(`select ${i} as id, date '2024-01-01' + ${i % 2} as "day" union all select ${i + 10}, null`))
    const before = await lake.content(table)
    expect(await table.optimize()).toMatchObject({ filesRemoved: 12, filesAdded: 3 })
    expect(await lake.content(table)).toEqual(before)
    expect(await table.scan((await table.snapshot())!, { where: `"day" = '2024-01-02'` })).not.toContain('2024-01-01')
  })
  test('files from before a column was added are packed with nulls in it', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    await table.append(lake.select('select 1 as id'))
    await table.evolve([...FIELDS, field('more', 'double')])
    await table.append(lake.select('select 2 as id, 0.5::double as more'))
    await table.optimize()
    expect(await lake.content(table)).toEqual([
      ['1', null, null],
      ['2', null, 0.5],
    ])
  })
  test('an append-only table may be packed', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS, configuration: { 'delta.appendOnly': 'true' } })
    for (let i = 0; i < 3; i++) await table.append(lake.select(`select ${i} as id`))
    expect(await table.optimize()).toMatchObject({ filesAdded: 1 })
  })
  test('appends go past it; a rewrite of the same files makes one of the two give way, and no row is lost', async () => {
    for (let round = 0; round < 5; round++) {
      const root = fresh()
      const table = lake.table(root)
      await table.create({ fields: FIELDS })
      for (let i = 0; i < 8; i++) await table.append(lake.select(`select ${i} as id, 'a' as name`))
      const [a, b, c] = await Promise.all([lake.place.duck.connect(), lake.place.duck.connect(), lake.place.duck.connect()])
      const [packed, appended, merged] = await Promise.allSettled([
        lake.table(root).optimize(),
        lake.table(root).append({ connection: a, sql: "select 100 as id, 'n' as name" }),
        lake.table(root).merge({ connection: b, sql: "select 3 as id, 'b' as name" }, { keys: ['id'] }),
      ])
      expect(appended.status).toBe('fulfilled')
      for (const one of [packed, merged]) if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'lake.commit_conflict' })
      expect(await lake.content(table, 'id')).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 100].map((id) => [String(id)]))
      expect(await lake.content(table, "count(*) filter (where name = 'b')")).toEqual([[merged.status === 'fulfilled' ? '1' : '0']])
      for (const one of [a, b, c]) one.closeSync()
    }
  })
  test('when the commit fails the packed files go and the table stays as it was', async () => {
    const root = fresh()
    const { objects, duck } = lake.place
    const failing = watchedObjects(objects, ({ kind }) => {
      if (kind === 'putIfAbsent') throw new Error('crash')
    })
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    for (let i = 0; i < 4; i++) await table.append(lake.select(`select ${i} as id`))
    const before = await lake.paths(`${root}/`)
    await expect(openTable({ objects: failing, duck }, root).optimize()).rejects.toThrow('crash')
    expect(await lake.paths(`${root}/`)).toEqual(before)
    expect(await table.optimize()).toMatchObject({ filesRemoved: 4 })
  })
  test('an OPTIMIZE of another engine, which says nothing of places, is followed as well', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    for (let i = 1; i <= 3; i++) await table.append(lake.select(`select ${i} as id`))
    await table.optimize()
    const actions = untext(await lake.objects.get(commitFile(root, 4)))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { add?: { tags?: unknown } })
    for (const { add } of actions) if (add) delete add.tags
    await lake.objects.put(commitFile(root, 4), lines(...actions))
    expect(await lake.content(lake.table(root), 'count(*)')).toEqual([['3']])
    const handle = lake.table(root)
    expect(await handle.changes(1, (await handle.snapshot())!)).toMatchObject({ appendOnly: true, files: 2, rows: 2 })
  })
})

describe('evolving', () => {
  test('adds columns at the end, lets columns take nulls, and commits nothing when there is nothing to do', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [field('id', 'long', false), field('name', 'string', false)] })
    await table.append(lake.select("select 1 as id, 'a' as name"))
    expect(await table.evolve([field('ID', 'long', false), field('name', 'string'), field('extra', 'double', false)])).toMatchObject({
      version: 2,
      filesAdded: 0,
    })
    expect((await table.snapshot())?.metadata.fields.map(({ name, nullable }) => [name, nullable])).toEqual([
      ['id', false],
      ['name', true],
      ['extra', true],
    ])
    expect(await table.evolve([field('extra', 'double')])).toMatchObject({ version: 2, skipped: true })
    await table.append(lake.select('select 2 as id, 0.5::double as extra'))
    expect(await lake.content(table)).toEqual([
      ['1', 'a', null],
      ['2', null, 0.5],
    ])
    expect(await table.changes(1, (await table.snapshot())!)).toMatchObject({ appendOnly: true, rows: 1 })
  })
  test('a column of another type is refused', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    await expect(table.evolve([field('id', 'string')])).rejects.toMatchObject({ code: 'lake.type_mismatch' })
  })
  test('an overwrite with a shape takes columns, partitions and settings in one commit', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS, configuration: { kept: 'yes' } })
    await table.append(lake.select('select 1 as id'))
    const as = { fields: [field('day', 'date', false), field('n', 'long')], partitionBy: ['day'], configuration: { added: 'too' }, description: 'days' }
    expect(await table.overwrite(lake.select('select 5 as n, date \'2024-01-01\' as "day"'), { as })).toMatchObject({ version: 2 })
    expect((await table.snapshot())?.metadata).toMatchObject({
      fields: as.fields,
      description: 'days',
      partitionColumns: ['day'],
      configuration: { kept: 'yes', added: 'too' },
    })
    expect(await lake.content(table)).toEqual([['2024-01-01', '5']])
    await expect(table.overwrite(lake.select('select null::date as "day", 1 as n'), { as })).rejects.toMatchObject({ code: 'lake.null_value' })
  })
})
