/** A process that writes rows one commit at a time and prints each number once its commit is acknowledged. */
import { writeSync } from 'node:fs'
import { LagoaError } from '../../../src/base/index.ts'
import { openTable } from '../../../src/lake/delta/index.ts'
import { openDuck } from '../../../src/lake/duck.ts'
import { openFolderObjects, openS3Objects } from '../../../src/storage/index.ts'

const [folder = '', spill = '', mode = 'append', root = '', from = '0', count = '1'] = process.argv.slice(2)
// What is no folder is the options of a store, as JSON.
const objects = await (folder.startsWith('{') ? openS3Objects(JSON.parse(folder)) : openFolderObjects(folder))
const duck = await openDuck({ tempDirectory: spill, threads: 1 })
const connection = await duck.connect()
const table = openTable({ objects, duck }, root)

/** Changes of one file's rows conflict: who loses runs again. */
async function retried(write: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await write()
      return
    } catch (error) {
      if (!(error instanceof LagoaError) || error.code !== 'lake.commit_conflict') throw error
    }
  }
}

for (let id = Number(from); id < Number(from) + Number(count); id++) {
  const input = { connection, sql: `select ${id}::bigint as id` }
  if (mode === 'append') await table.append(input)
  else if (mode === 'merge') await retried(() => table.merge(input, { keys: ['id'] }))
  else if (mode === 'optimize') await retried(() => table.optimize())
  // What a writer beside it has not committed yet is younger than that.
  else if (mode === 'vacuum') await table.vacuum({ retainMs: 60_000, force: true })
  else if (mode === 'delete') await retried(() => table.delete(`id = ${id}`))
  else if (mode === 'update') await retried(() => table.update({ set: { id: '-id' }, where: `id = ${id}` }))
  else await table.overwrite(input)
  writeSync(1, `${id}\n`)
}
connection.closeSync()
await duck.close()
await objects.close()
