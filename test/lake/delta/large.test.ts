/** Tables of more files than are held in memory: what is asked of them is answered from their checkpoint, and the next is made from it. */
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { makeManyCommits, makeManyFiles } from '../../../bench/million.ts'
import type { AddFile } from '../../../src/lake/delta/actions.ts'
import { writeCheckpoint } from '../../../src/lake/delta/checkpoint-write.ts'
import { openHead } from '../../../src/lake/delta/head.ts'
import type { TableState } from '../../../src/lake/delta/replay.ts'
import { predicateTest, pruneFiles } from '../../../src/lake/delta/scan.ts'
import type { Place } from '../../../src/lake/delta/index.ts'
import { checkpointFile, commitFile, lines, openLake } from '../../helpers/delta.ts'

const lake = await openLake()
const ROOT = 'large/files'
const FILES = 30_000
const inMemory: Place = { ...lake.place, filesInMemory: Number.POSITIVE_INFINITY }

const stateOf = async (place: Place, root: string = ROOT): Promise<TableState> => {
  const state = await openHead(place, root).refresh()
  if (state === null) throw new Error('there is no table')
  return state
}
const listed = async (state: TableState): Promise<AddFile[]> => state.files.adds(state.files.at(state.version))

beforeAll(async () => {
  await makeManyFiles(lake.connection, join(lake.folder, ROOT), FILES)
})

describe('a table of many files', () => {
  test('is the same as if its files were in memory, also for those that a condition leaves', async () => {
    const [large, small] = [await stateOf(lake.place), await stateOf(inMemory)]
    expect(large.files.base?.adds).toBe(FILES)
    expect(small.files.base).toBeNull()
    for (const state of [large, small]) expect(state).toMatchObject({ version: 10, fileCount: FILES, knownRows: FILES * 1000, filesWithoutRows: 0 })
    expect(large.bytes).toBe(small.bytes)
    for (const [where, files] of [
      ["day = date '2020-02-01'", 500],
      ['id between 5000500 and 5001200', 2],
      [`"at" >= timestamptz '2020-01-10 05:00:00+00' and "at" < timestamptz '2020-01-10 06:00:00+00'`, 21],
      ["sensor = 'sensor-0500' and day < date '2020-01-03'", 2],
      ['co is null and id < 7000', 6],
      ["day is null or sensor >= 'sensor-0999'", null],
      ['co > 50.9 and id > 29000000', null],
    ] as const) {
      const of = async (state: TableState): Promise<string[]> =>
        (await pruneFiles(state, await predicateTest(lake.connection, state, where))).map(({ path }) => path)
      const found = await of(large)
      expect(found, where).toEqual(await of(small))
      if (files !== null) expect(found, where).toHaveLength(files)
      expect(found.length).toBeGreaterThan(0)
    }
    expect(await listed(large)).toEqual(await listed(small))
  })

  test('goes on by commits, and its next checkpoint is made from the one before without its files passing through memory', async () => {
    const head = openHead(lake.place, ROOT)
    const first = await head.refresh()
    if (first === null) return expect.unreachable()
    const some = await first.files.adds([0, 1, 2, 15_000, FILES - 1])
    const [a, b, c, d, e] = some
    if (!a || !b || !c || !d || !e) return expect.unreachable()
    const added = (path: string, more: object = {}): object => ({
      add: { path, partitionValues: { day: '2020-01-01' }, size: 7, modificationTime: 1, dataChange: true, stats: '{"numRecords":3}', ...more },
    })
    const removed = ({ path }: AddFile, dataChange: boolean): object => ({ remove: { path, deletionTimestamp: Date.now(), dataChange } })
    await lake.objects.putIfAbsent(commitFile(ROOT, 11), lines({ commitInfo: {} }, added('new.parquet'), removed(d, true)))
    // Two neighbours are packed into one, which stands where the first stood; another file gets new statistics.
    await lake.objects.putIfAbsent(
      commitFile(ROOT, 12),
      lines({ commitInfo: {} }, removed(b, false), removed(c, false), added('packed.parquet', { dataChange: false, tags: { 'lagoa.place': b.path } })),
    )
    await lake.objects.putIfAbsent(
      commitFile(ROOT, 13),
      lines({ commitInfo: {} }, { add: { ...e, stats: '{"numRecords":1000}', tags: undefined, deletionVector: undefined, dataChange: false } }),
    )
    const followed = await head.refresh()
    if (followed === null) return expect.unreachable()
    const byBook = await stateOf(inMemory)
    expect(followed).toMatchObject({ version: 13, fileCount: FILES - 1, bytes: byBook.bytes, knownRows: byBook.knownRows })
    const expected = await listed(byBook)
    expect(expected.map(({ path }) => path).slice(0, 2)).toEqual([a.path, 'packed.parquet'])
    expect(await listed(followed)).toEqual(expected)
    // What came before is still what it was.
    expect((await listed(first)).length).toBe(FILES)

    await writeCheckpoint(lake.place, ROOT, followed, Date.now())
    for (let version = 0; version <= 12; version++) await lake.objects.delete(commitFile(ROOT, version))
    await lake.objects.delete(checkpointFile(ROOT, 10))
    for (const place of [lake.place, inMemory]) {
      const opened = await stateOf(place)
      expect(opened).toMatchObject({ version: 13, base: 13, fileCount: FILES - 1, bytes: byBook.bytes, knownRows: byBook.knownRows })
      expect(await listed(opened)).toEqual(expected)
      expect((await opened.files.adds(opened.files.tombstones(13, 0))).map(({ path }) => path).sort()).toEqual([b.path, c.path, d.path].sort())
    }
    // The checkpoint from which the first was opened is gone, and the files that it alone names with it.
    await expect(first.files.adds([20_000])).rejects.toMatchObject({ code: 'lake.snapshot_expired' })
    expect(await listed((await head.at(13)) ?? followed).catch(() => null)).toBeNull()
    await lake.objects.putIfAbsent(commitFile(ROOT, 14), lines({ commitInfo: {} }, removed(a, true)))
    // Looking for the file that the commit removes finds that out, and the newest checkpoint is read instead.
    expect(await listed((await head.refresh()) ?? followed)).toEqual(expected.slice(1))
  })
})

test('many commits are followed in few steps, and read at once when the table is opened', async () => {
  const root = 'large/commits'
  await makeManyCommits(join(lake.folder, root), 500)
  const table = lake.table(root)
  expect(await table.snapshot()).toMatchObject({ version: 499, fileCount: 500, rowCount: 500_000 })
  const add = { path: 'one more.parquet', partitionValues: {}, size: 1, modificationTime: 1, dataChange: true, stats: '{"numRecords":1}' }
  for (let version = 500; version < 700; version++)
    await lake.objects.putIfAbsent(commitFile(root, version), lines({ add: { ...add, path: `${version}.parquet` } }))
  for (const handle of [table, lake.table(root)]) expect(await handle.snapshot()).toMatchObject({ version: 699, fileCount: 700, rowCount: 500_200 })
})
