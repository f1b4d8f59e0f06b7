/** What a table says of itself, also one that cannot be read here. */
import { expect, test } from 'vitest'
import { checkpointFile, commitFile, field, lines, openLake } from '../../helpers/delta.ts'

const lake = await openLake()

test('a table tells its shape, size, history, features and pins', async () => {
  const table = lake.table('silver/told')
  await table.create({
    fields: [field('id', 'long', false), field('p', 'string')],
    partitionBy: ['p'],
    description: 'for the test',
    configuration: { 'delta.appendOnly': 'false', 'delta.checkpointInterval': '2' },
  })
  for (let i = 0; i < 3; i++) await table.append(lake.select(`select ${i} as id, 'x' as p`))
  await table.pin({ id: 'one', reason: 'backup', version: 1 })
  expect(await lake.objects.head(checkpointFile('silver/told', 2))).not.toBeNull()
  const told = (await table.describe())!
  expect(told).toMatchObject({
    root: 'silver/told',
    description: 'for the test',
    version: 3,
    protocol: { minReaderVersion: 1, minWriterVersion: 2 },
    unreadable: null,
    unwritable: null,
    partitionBy: ['p'],
    clusterBy: [],
    properties: { 'delta.appendOnly': 'false' },
    constraints: [],
    files: 3,
    rows: 3,
    oldestVersion: 0,
    commits: 4,
    checkpoints: [2],
    pins: [{ id: 'one', version: 1 }],
  })
  expect(told.features).toEqual([
    { name: 'appendOnly', reads: true, writes: true },
    { name: 'invariants', reads: true, writes: true },
  ])
  for (const version of [0, 1]) await lake.objects.delete(commitFile('silver/told', version))
  expect(await lake.table('silver/told').describe()).toMatchObject({ oldestVersion: 2, commits: 2, rows: 3 })
})

test('a table that cannot be read here is described as far as its log tells, with the reason', async () => {
  const root = 'silver/strange'
  const table = lake.table(root)
  await table.create({ fields: [field('id', 'long')], constraints: { positive: 'id > 0' } })
  const features = ['deletionVectors', 'somethingNew']
  await lake.objects.putIfAbsent(
    commitFile(root, 1),
    lines(
      { commitInfo: {} },
      { protocol: { minReaderVersion: 3, minWriterVersion: 7, readerFeatures: features, writerFeatures: [...features, 'appendOnly'] } },
    ),
  )
  expect(await lake.table(root).describe()).toMatchObject({
    version: 1,
    unreadable: expect.stringContaining('somethingNew') as string,
    unwritable: expect.stringContaining('somethingNew') as string,
    features: [
      { name: 'appendOnly', reads: true, writes: true },
      { name: 'deletionVectors', reads: true },
      { name: 'somethingNew', reads: false, writes: false },
    ] as unknown,
    constraints: [{ name: 'positive', expression: 'id > 0' }],
    columns: [{ name: 'id' }],
    files: null,
    rows: null,
  })
})

test('where there is no table there is nothing to tell', async () => {
  expect(await lake.table('silver/nothing').describe()).toBeNull()
})
