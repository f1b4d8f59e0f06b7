/** Delete: which files are read, removed and kept, what a vector costs, and what is left behind when it fails. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { DeltaTable } from '../../../src/lake/delta/index.ts'
import { watchedObjects, type WriteStep } from '../../helpers/watched-objects.ts'
import { openTable } from '../../../src/lake/delta/index.ts'
import { commitFile, field, openLake, untext } from '../../helpers/delta.ts'

const lake = await openLake()
const VECTORS = { 'delta.enableDeletionVectors': 'true' }

interface Action {
  readonly add?: { readonly path: string; readonly stats: string; readonly deletionVector?: Record<string, unknown> }
  readonly remove?: { readonly path: string; readonly deletionVector?: Record<string, unknown> }
  readonly cdc?: unknown
  readonly commitInfo?: { readonly operationMetrics: Record<string, string>; readonly isolationLevel: string }
}

async function actions(root: string, version: number): Promise<Action[]> {
  return untext(await lake.objects.get(commitFile(root, version)))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Action)
}

/** Days 1 to 4, each a partition with 100 rows in one file. */
async function days(root: string, configuration: Readonly<Record<string, string>> = {}): Promise<DeltaTable> {
  const table = lake.table(root)
  await table.create({ fields: [field('id', 'long'), field('day', 'date'), field('x', 'double')], partitionBy: ['day'], configuration })
  for (let day = 1; day <= 4; day++)
    await table.append(lake.select(`select ${100 * day} + range::bigint as id, date '2024-01-0${day}' as "day", range / 2.0 as x from range(100)`))
  return table
}

describe('delete', () => {
  test('files of which partitions or statistics say that every row goes are removed unread', async () => {
    const table = await days('delete/unread')
    // Nobody can read what is not there.
    for (const path of await lake.paths('delete/unread/day=2024-01-0')) await lake.objects.delete(path)
    expect(await table.delete("day between '2024-01-01' and '2024-01-02' or day = '2024-01-04'")).toMatchObject({
      filesRemoved: 3,
      filesAdded: 0,
      metrics: { numDeletedRows: 300, numRemovedFiles: 3, numCopiedRows: 0 },
    })
    expect(await table.delete('id >= 300 and id < 400')).toMatchObject({ filesRemoved: 1, metrics: { numDeletedRows: 100 } })
    expect(await table.snapshot()).toMatchObject({ fileCount: 0, rowCount: 0 })
    expect(await table.delete()).toMatchObject({ skipped: true })
    expect(await table.delete('true', { txn: { appId: 'a', version: 1 } })).toMatchObject({ skipped: false })
    expect(await table.delete('true', { txn: { appId: 'a', version: 1 } })).toMatchObject({ skipped: true })
  })
  test('a file is thought to match as a whole only when each of its rows does', async () => {
    const value = fc.oneof(
      fc.constant('null'),
      fc.integer({ min: -3, max: 3 }).map((n) => `${n}::double`),
      fc.constantFrom("'NaN'::double", "'-0.0'::double", "'inf'::double", '0.5::double'),
    )
    const rows = fc.array(fc.tuple(value, fc.option(fc.constantFrom('a', 'b', 'ab', 'z'.repeat(40)))), { minLength: 1, maxLength: 4 })
    const one = fc.oneof(
      fc.tuple(fc.constantFrom('=', '<>', '<', '<=', '>', '>='), fc.integer({ min: -2, max: 2 })).map(([op, n]) => `d ${op} ${n}`),
      fc.tuple(fc.constantFrom('=', '<>', '<', '<=', '>', '>='), fc.constantFrom('a', 'ab', 'z', 'z'.repeat(33))).map(([op, text]) => `s ${op} '${text}'`),
      fc.constantFrom('d is null', 's is null', 'd is not null', 's is not null', "s in ('a', 'b')", 'd between -1 and 2', 'not (d > 0)', 'isnan(d)'),
    )
    const where = fc.oneof(
      one,
      fc.tuple(one, fc.constantFrom('and', 'or'), one).map(([a, op, b]) => `(${a}) ${op} (${b})`),
    )
    let made = 0
    await fc.assert(
      fc.asyncProperty(fc.array(rows, { minLength: 1, maxLength: 3 }), where, async (files, condition) => {
        const table = lake.table(`delete/certain${++made}`)
        await table.create({ fields: [field('d', 'double'), field('s', 'string')] })
        for (const of of files)
          await table.append(
            lake.select(`select * from (values ${of.map(([d, s]) => `(${d}, ${s === null ? 'null' : `'${s}'`}::varchar)`).join(', ')}) r(d, s)`),
          )
        const before = (await table.snapshot())!
        const left = await lake.rows(`select * from (${await table.scan(before)}) where (${condition}) is not true order by all`)
        await table.delete(condition)
        expect(await lake.content(table), condition).toEqual(left)
      }),
      { numRuns: 80 },
    )
  })
  test('by vectors: one file for all of a commit, small ones in the log, and a vector that grows replaces the one before', async () => {
    const root = 'delete/vectors'
    const table = await days(root, VECTORS)
    await table.delete('id in (101, 205)')
    expect(await lake.paths(`${root}/deletion_vector_`)).toEqual([])
    const second = await table.delete('id % 2 = 0 and id < 400 or id = 207')
    expect(second.metrics).toMatchObject({
      numDeletedRows: 151,
      numDeletionVectorsAdded: 3,
      numDeletionVectorsUpdated: 2,
      numRemovedFiles: 0,
      numCopiedRows: 0,
    })
    expect(await lake.paths(`${root}/deletion_vector_`)).toHaveLength(1)
    const adds = (await actions(root, 6)).flatMap(({ add }) => add ?? [])
    expect(adds.map(({ deletionVector }) => deletionVector)).toEqual([
      expect.objectContaining({ storageType: 'u', offset: 1, cardinality: 51 }),
      expect.objectContaining({ storageType: 'u', cardinality: 52 }),
      expect.objectContaining({ storageType: 'u', cardinality: 50 }),
    ])
    for (const { stats } of adds) expect(JSON.parse(stats)).toMatchObject({ numRecords: 100, tightBounds: false, nullCount: { id: 0 } })
    const removes = (await actions(root, 6)).flatMap(({ remove }) => remove ?? [])
    expect(removes.map(({ deletionVector }) => deletionVector?.cardinality)).toEqual([1, 1, undefined])
    // What is left of a file goes with it.
    expect(await table.delete('id < 200')).toMatchObject({
      metrics: { numDeletedRows: 49, numRemovedFiles: 1, numDeletionVectorsRemoved: 1, numDeletionVectorsAdded: 0 },
    })
    expect(await lake.content(table, 'count(*), sum(id % 2), min(id)')).toEqual([['198', '148', '201']])
    expect(await table.snapshot()).toMatchObject({ rowCount: 198, fileCount: 3 })
    expect(await lake.content(table, 'count(*)', (await table.snapshot({ version: 5 }))!)).toEqual([['398']])
  })
  test('rows of a file that are left are found and pruned by what is known of the whole file', async () => {
    const table = await days('delete/wide', VECTORS)
    await table.delete('id between 100 and 180')
    const snapshot = (await table.snapshot())!
    for (const where of ['id < 150', 'id = 199', "day = '2024-01-01'", 'x is null', 'x > 49'])
      expect(await lake.rows(`select count(*) from (${await table.scan(snapshot, { where })}) where ${where}`), where).toEqual(
        await lake.rows(`select count(*) from (${await table.scan(snapshot)}) where ${where}`),
      )
  })
  test('a file without statistics gets the number of its rows, which a vector needs', async () => {
    const root = 'delete/bare'
    const table = lake.table(root)
    await table.create({ fields: [field('id', 'long')], configuration: { ...VECTORS, 'delta.dataSkippingNumIndexedCols': '0' } })
    await table.append(lake.select('select range::bigint as id from range(10)'))
    const text = untext(await lake.objects.get(commitFile(root, 1))).replace(/,"stats":"(?:[^"\\]|\\.)*"/, '')
    await lake.objects.put(commitFile(root, 1), new TextEncoder().encode(text))
    expect(await lake.table(root).snapshot()).toMatchObject({ rowCount: null })
    await lake.table(root).delete('id = 3')
    expect((await actions(root, 2)).flatMap(({ add }) => add?.stats ?? [])).toEqual(['{"numRecords":10,"tightBounds":false}'])
    expect(await lake.table(root).snapshot()).toMatchObject({ rowCount: 9 })
  })
  test('columns called file_index, and paths with every character, do not confuse which rows go', async () => {
    const table = lake.table('delete/odd [names]*?')
    await table.create({ fields: [field('file_index', 'long'), field('p', 'string')], partitionBy: ['p'], configuration: VECTORS })
    for (let i = 0; i < 3; i++) await table.append(lake.select(`select range::bigint as file_index, '[*?] %41' as p from range(${10 * i}, ${10 * i + 10})`))
    await table.delete('file_index in (0, 11, 22)')
    await table.update({ set: { file_index: 'file_index + 100' }, where: 'file_index % 10 = 5' })
    expect(await lake.content(table, 'count(*), sum(file_index), count(*) filter (where file_index > 100)')).toEqual([
      ['27', String((29 * 30) / 2 - 33 + 300), '3'],
    ])
  })
  test('a condition that cannot be run, or gives another answer each time, is refused', async () => {
    const table = await days('delete/bad')
    await expect(table.delete('nothing = 1')).rejects.toMatchObject({ kind: 'invalid', code: 'lake.input_failed' })
    await expect(table.delete('id = ')).rejects.toMatchObject({ kind: 'invalid' })
    await expect(table.delete('random() < 0.5')).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining('random()') as string })
    await expect(table.delete('id > 1; drop table x')).rejects.toMatchObject({ kind: 'invalid' })
    // Within one command there is one now.
    expect(await table.delete('day < now() - interval 1 day and id % 100 > 1 -- and more')).toMatchObject({ metrics: { numDeletedRows: 392 } })
    expect(await lake.content(table, 'count(*)')).toEqual([['8']])
    await lake.table('delete/only').create({ fields: [field('id', 'long')], configuration: { 'delta.appendOnly': 'true' } })
    await expect(lake.table('delete/only').delete()).rejects.toMatchObject({ code: 'lake.append_only' })
    await expect(lake.table('delete/nowhere').delete()).rejects.toMatchObject({ code: 'lake.table_missing' })
  })
  test('one that fails at any of its steps leaves the version and the files as they were', async () => {
    const configuration = { ...VECTORS, 'delta.enableChangeDataFeed': 'true' }
    const steps: WriteStep[] = []
    const run = async (root: string, failAt: number): Promise<unknown> => {
      const table = await days(root, configuration)
      const before = await lake.paths(`${root}/`)
      let count = 0
      const objects = watchedObjects(lake.objects, (step) => {
        if (step.kind === 'discard' || step.kind === 'delete') return
        if (failAt < 0) steps.push(step)
        if (count++ === failAt) throw new Error('the disk is gone')
      })
      const failing = openTable({ ...lake.place, objects }, root)
      const result = await failing.update({ set: { x: 'x + 1' }, where: 'id % 3 = 0' }).catch((error: unknown) => error)
      if (failAt < 0) return result
      expect(result, steps[failAt]?.path).toBeInstanceOf(Error)
      expect(await lake.paths(`${root}/`), steps[failAt]?.path).toEqual(before)
      expect(await table.snapshot()).toMatchObject({ version: 4, rowCount: 400 })
      return result
    }
    await run('delete/steps', -1)
    const commit = steps.findIndex(({ path }) => path.endsWith('.json'))
    expect(commit).toBeGreaterThan(10)
    expect(steps.some(({ path }) => path.includes('_change_data/')) && steps.some(({ path }) => path.includes('deletion_vector_'))).toBe(true)
    for (let step = 0; step <= commit; step++) await run(`delete/steps${step}`, step)
  })
  test('an aborted one stops and leaves nothing behind', async () => {
    const root = 'delete/abort'
    const table = await days(root, VECTORS)
    const before = await lake.paths(`${root}/`)
    const controller = new AbortController()
    controller.abort(new Error('enough'))
    await expect(table.delete('id % 2 = 0', { signal: controller.signal })).rejects.toThrow('enough')
    const late = new AbortController()
    setTimeout(() => late.abort(new Error('enough')), 20)
    const slow = table.delete('(select count(*) from range(300000000) r(i) where i % 7 = id % 7) > 0', { signal: late.signal })
    await expect(slow).rejects.toThrow('enough')
    expect(await lake.paths(`${root}/`)).toEqual(before)
  })
})
