/** Going back to an earlier version, and clones that live on another table's files. */
import { describe, expect, test } from 'vitest'
import { openTable } from '../../../src/lake/delta/index.ts'
import { commitFile, field, lines, openLake, untext } from '../../helpers/delta.ts'
import { watchedObjects } from '../../helpers/watched-objects.ts'

const lake = await openLake()
const FIELDS = [field('id', 'long'), field('name', 'string')]
let made = 0
const fresh = (): string => `silver/r${++made}`
const ids = async (root: string): Promise<number[]> => (await lake.content(lake.table(root), 'id')).map(([id]) => Number(id))

async function threeVersions(root: string): Promise<ReturnType<typeof lake.table>> {
  const table = lake.table(root)
  await table.create({ fields: FIELDS })
  await table.append(lake.select("select 1 as id, 'a' as name union all select 2, 'b'"))
  await table.append(lake.select("select 3 as id, 'c' as name"))
  await table.merge(lake.select("select 1 as id, 'z' as name"), { keys: ['id'] })
  return table
}

describe('restoring', () => {
  test('brings rows, columns and settings of a version back in one commit, and what came since goes', async () => {
    const root = fresh()
    const table = await threeVersions(root)
    const before = await lake.content(table, '*', (await table.snapshot({ version: 2 }))!)
    await table.evolve([...FIELDS, field('more', 'double')])
    expect(await table.restore({ version: 2 })).toMatchObject({
      version: 5,
      filesAdded: 1,
      filesRemoved: 1,
      metrics: { numRestoredFiles: 1, numRemovedFiles: 1, numOfFilesAfterRestore: 2 },
    })
    for (const handle of [table, lake.table(root)]) {
      expect(await lake.content(handle)).toEqual(before)
      expect((await handle.snapshot())?.metadata.fields.map(({ name }) => name)).toEqual(['id', 'name'])
    }
    expect((await table.history(1))[0]).toMatchObject({ operation: 'RESTORE', parameters: { version: '2' } })
    // And forth again: what a restore took is a version like any other.
    await table.restore({ version: 4 })
    expect(await lake.content(lake.table(root))).toEqual([
      ['1', 'z', null],
      ['2', 'b', null],
      ['3', 'c', null],
    ])
  })
  test('goes by a time as well, and does nothing when that is the newest version', async () => {
    const root = fresh()
    const table = await threeVersions(root)
    const { timestamp } = (await table.snapshot({ version: 1 }))!
    expect(await table.restore({ timestamp })).toMatchObject({ version: 4, skipped: false })
    expect(await ids(root)).toEqual([1, 2])
    expect(await table.restore({ version: 4 })).toMatchObject({ version: 4, skipped: true })
    await expect(table.restore({ version: 9 })).rejects.toMatchObject({ code: 'lake.version_missing' })
  })
  test('keeps the progress of applications, so that nothing is brought twice', async () => {
    const root = fresh()
    const table = await threeVersions(root)
    await table.append(lake.select('select 9 as id'), { txn: { appId: 'stream', version: 41 } })
    await table.restore({ version: 1 })
    expect((await table.snapshot())?.txnVersion('stream')).toBe(41)
    expect(await table.append(lake.select('select 9 as id'), { txn: { appId: 'stream', version: 41 } })).toMatchObject({ skipped: true })
  })
  test('never lowers the protocol', async () => {
    const root = fresh()
    const table = await threeVersions(root)
    const protocol = { minReaderVersion: 1, minWriterVersion: 7, writerFeatures: ['appendOnly', 'invariants'] }
    await lake.objects.putIfAbsent(commitFile(root, 4), lines({ commitInfo: {} }, { protocol }))
    await table.restore({ version: 1 })
    expect((await lake.table(root).snapshot())?.protocol).toEqual(protocol)
    expect(await ids(root)).toEqual([1, 2])
  })
  test('names the files that are gone and changes nothing', async () => {
    const root = fresh()
    const table = await threeVersions(root)
    const add = (JSON.parse(untext(await lake.objects.get(commitFile(root, 1))).split('\n')[1] ?? '') as { add: { path: string } }).add
    await lake.objects.delete(`${root}/${add.path}`)
    await expect(table.restore({ version: 1 })).rejects.toMatchObject({ code: 'lake.version_vacuumed', message: expect.stringContaining(add.path) as string })
    expect(await table.snapshot()).toMatchObject({ version: 3 })
    expect(await table.pins()).toEqual([])
  })
  test('an append-only table is not taken back', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS, configuration: { 'delta.appendOnly': 'true' } })
    await table.append(lake.select('select 1 as id'))
    await expect(table.restore({ version: 0 })).rejects.toMatchObject({ code: 'lake.append_only' })
  })
  test('gives way to a row that came meanwhile, and takes no file with it', async () => {
    const root = fresh()
    const table = await threeVersions(root)
    const { objects, duck } = lake.place
    let raced = false
    const racing = watchedObjects(objects, async ({ kind, path }) => {
      if (kind !== 'putIfAbsent' || !path.endsWith('4.json') || raced) return
      raced = true
      await table.append(lake.select('select 8 as id'))
    })
    await expect(openTable({ objects: racing, duck }, root).restore({ version: 2 })).rejects.toMatchObject({ code: 'lake.commit_conflict' })
    expect(await ids(root)).toEqual([1, 2, 3, 8])
    await table.restore({ version: 2 })
    expect(await ids(root)).toEqual([1, 2, 3])
  })
  test('stopped at any of its writes it leaves the old version or the new one', async () => {
    for (let stop = 0; ; stop++) {
      const root = fresh()
      await threeVersions(root)
      const { objects, duck } = lake.place
      let steps = 0
      const stopping = watchedObjects(objects, () => {
        if (steps++ === stop) throw new Error('stopped')
      })
      const done = await openTable({ objects: stopping, duck }, root)
        .restore({ version: 1 })
        .then(
          () => true,
          () => false,
        )
      expect([
        [1, 2, 3],
        [1, 2],
      ]).toContainEqual(await ids(root))
      await lake.table(root).restore({ version: 0 })
      expect(await ids(root)).toEqual([])
      if (done && steps <= stop) break
    }
  })
})

describe('a shallow clone', () => {
  test('reads the source where it lies, and what either writes is its own', async () => {
    const root = fresh()
    const table = await threeVersions(root)
    const target = fresh()
    expect(await table.shallowClone(target, { at: { version: 2 } })).toMatchObject({ version: 0, filesAdded: 2 })
    const clone = lake.table(target)
    expect(await lake.content(clone)).toEqual([
      ['1', 'a'],
      ['2', 'b'],
      ['3', 'c'],
    ])
    expect((await lake.paths(`${target}/`)).filter((path) => !path.includes('/_'))).toEqual([])
    await clone.merge(lake.select("select 3 as id, 'clone' as name union all select 4, 'new'"), { keys: ['id'] })
    await table.append(lake.select('select 99 as id'))
    expect(await lake.content(clone)).toEqual([
      ['1', 'a'],
      ['2', 'b'],
      ['3', 'clone'],
      ['4', 'new'],
    ])
    expect(await ids(root)).toEqual([1, 2, 3, 99])
    expect((await clone.snapshot())?.metadata.id).not.toBe((await table.snapshot())?.metadata.id)
    expect((await clone.history(2))[1]).toMatchObject({ operation: 'CLONE', parameters: { sourceVersion: '2', isShallow: 'true' } })
    expect(await table.pins()).toMatchObject([{ reason: 'clone', version: 2, holder: target }])
  })
  test('names with characters that addresses escape are found again', async () => {
    const root = 'silver/São Paulo #1 100%41'
    const table = lake.table(root)
    await table.create({ fields: [field('id', 'long'), field('p', 'string')], partitionBy: ['p'] })
    await table.append(lake.select("select 1 as id, 'a b/ç%41?' as p union all select 2, null union all select 3, 'x=y&z'"))
    const target = fresh()
    await table.shallowClone(target)
    expect(await lake.content(lake.table(target))).toEqual(await lake.content(table))
    await table.vacuum({ retainMs: 0, force: true })
    await lake.table(target).vacuum({ retainMs: 0, force: true })
    expect(await lake.content(lake.table(target))).toEqual(await lake.content(table))
  })
  test('of a clone pins every table that it lives on', async () => {
    const [a, b, c] = [fresh(), fresh(), fresh()]
    await threeVersions(a)
    await lake.table(a).shallowClone(b)
    await lake.table(b).append(lake.select('select 50 as id'))
    await lake.table(b).shallowClone(c)
    expect(await lake.table(a).pins()).toMatchObject([{ holder: b }, { holder: c }])
    expect(await lake.table(b).pins()).toMatchObject([{ holder: c }])
    // The clone between them goes, with its pin: what it took from the first table is still needed by the other.
    for (const { id, holder } of await lake.table(a).pins()) if (holder === b) await lake.table(a).unpin(id)
    await lake.table(a).overwrite(lake.select('select 0 as id'))
    await lake.table(b).overwrite(lake.select('select 0 as id'))
    for (const root of [a, b, c]) await lake.table(root).vacuum({ retainMs: 0, force: true })
    expect(await ids(c)).toEqual([1, 2, 3, 50])
  })
  test('a place that is taken is refused, and nothing is pinned', async () => {
    const root = fresh()
    const table = await threeVersions(root)
    const target = fresh()
    await threeVersions(target)
    await expect(table.shallowClone(target)).rejects.toMatchObject({ code: 'lake.table_exists' })
    await expect(table.shallowClone(`${root}/inside`)).rejects.toMatchObject({ code: 'lake.bad_clone' })
    await expect(table.shallowClone(fresh(), { at: { version: 77 } })).rejects.toMatchObject({ code: 'lake.version_missing' })
    expect(await table.pins()).toEqual([])
  })
  test('stopped at any of its writes there is a whole clone whose source is pinned, or none', async () => {
    for (let stop = 0; ; stop++) {
      const root = fresh()
      await threeVersions(root)
      const target = fresh()
      const { objects, duck } = lake.place
      let steps = 0
      const stopping = watchedObjects(objects, () => {
        if (steps++ === stop) throw new Error('stopped')
      })
      const done = await openTable({ objects: stopping, duck }, root)
        .shallowClone(target)
        .then(
          () => true,
          () => false,
        )
      const clone = await lake.table(target).snapshot()
      if (clone !== null) expect(await lake.table(root).pins()).toHaveLength(1)
      expect(await ids(target)).toEqual(clone === null ? [] : [1, 2, 3])
      if (done && steps <= stop) break
    }
  })
})
