/** The same path in two encodings: delta-rs removes `S%C3%A3o` where Spark added `São`. */
import { expect, test } from 'vitest'
import { commitFile, field, lines, openLake } from '../helpers/delta.ts'

const lake = await openLake()

test('a file that was removed in another encoding of its path is gone', async () => {
  const root = 'silver/spelled'
  const table = lake.table(root)
  await table.create({ fields: [field('id', 'long'), field('p', 'string')], partitionBy: ['p'] })
  const add = (path: string): unknown => ({
    add: { path, partitionValues: { p: 'São' }, size: 1, modificationTime: 0, dataChange: true, stats: '{"numRecords":1}' },
  })
  await lake.objects.putIfAbsent(commitFile(root, 1), lines(add('p=São/one.parquet'), add('p=S%C3%A3o/two.parquet')))
  expect(await table.snapshot()).toMatchObject({ fileCount: 2 })
  const remove = (path: string): unknown => ({ remove: { path, deletionTimestamp: Date.now(), dataChange: true } })
  await lake.objects.putIfAbsent(commitFile(root, 2), lines(remove('p=S%C3%A3o/one.parquet'), remove('p=São/two.parquet')))
  expect(await table.snapshot()).toMatchObject({ version: 2, fileCount: 0 })
  expect(await lake.table(root).snapshot()).toMatchObject({ fileCount: 0 })
})
