/** Our Delta tables on S3 and Spark 3.5 with Delta 3.3, which reads and writes the same ones as s3a://bucket/key. */
import { afterAll, describe, expect, test } from 'vitest'
import { field, openLake } from '../helpers/delta.ts'
import { noS3Server, openObjects, startS3 } from '../helpers/s3.ts'
import { comparable, readByUs } from './cells.ts'
import { changesOurTables } from './changes-our-tables.ts'
import { startEngine, type Engine } from './engine.ts'
import { makeOurTables } from './our-tables.ts'
import { readsOurTables } from './reads-our-tables.ts'

describe.skipIf(noS3Server !== null)(`Spark on S3${noS3Server === null ? '' : ` (skipped: ${noS3Server})`}`, async () => {
  if (noS3Server !== null) return
  const server = await startS3()
  const onDisk = await openLake((folder) => openObjects(server, { cache: { folder, limitBytes: 1e9 } }))
  // The suites name a table by its path below this folder.
  const lake = { ...onDisk, folder: '/s3a' }
  const spark = await startEngine('spark-3.5', {
    'spark.hadoop.fs.s3a.endpoint': server.endpoint,
    'spark.hadoop.fs.s3a.path.style.access': 'true',
    // Otherwise each write deletes the markers of all folders above it, which are no objects here.
    'spark.hadoop.fs.s3a.directory.marker.retention': 'keep',
    'spark.hadoop.fs.s3a.access.key': server.accessKeyId,
    'spark.hadoop.fs.s3a.secret.key': server.secretAccessKey,
  })
  afterAll(() => spark.close())
  const engine = onS3(spark)
  const tables = await makeOurTables(lake)

  // What a table holds was tried in a folder; here it matters how its files are named, found and fetched.
  readsOurTables(
    lake,
    engine,
    tables.filter(({ name }) => /^(every type: |partitions named by odd text|a checkpoint at every commit)/.test(name)),
  )
  changesOurTables(lake, engine, { checksums: false })

  test('a table that it writes is ours to read, at each version', async () => {
    const root = 'silver/theirs'
    const fields = [field('id', 'long'), field('site', 'string')]
    for (const id of [1, 2, 3]) await engine.write(`/s3a/${root}`, { fields, rows: [[String(id), `São ${id}`]], partitionBy: ['site'] })
    await engine.delete(`/s3a/${root}`, 'id = 2')
    for (const version of [0, 1, 2, 3])
      expect(comparable(await readByUs(lake.connection, lake.table(root), { version }))).toEqual(comparable(await engine.read(`/s3a/${root}`, { version })))
    expect(await lake.content(lake.table(root), 'id')).toEqual([['1'], ['3']])
  })
})

function onS3(engine: Engine): Engine {
  const at = (path: string): string => path.replace('/s3a/', 's3a://')
  return {
    ...engine,
    read: (path, options) => engine.read(at(path), options),
    write: (path, write) => engine.write(at(path), write),
    merge: (path, keys, rows) => engine.merge(at(path), keys, rows),
    delete: (path, where) => engine.delete(at(path), where),
    update: (path, set, where) => engine.update(at(path), set, where),
    optimize: (path) => engine.optimize(at(path)),
    checkpoint: (path) => engine.checkpoint(at(path)),
    restore: (path, version) => engine.restore(at(path), version),
    vacuum: (path) => engine.vacuum(at(path)),
    history: (path) => engine.history(at(path)),
    addConstraint: (path, name, check) => engine.addConstraint(at(path), name, check),
    createGenerated: (path, name, expression) => engine.createGenerated(at(path), name, expression),
  }
}
