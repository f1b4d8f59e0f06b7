/** A process that writes rows one commit at a time and prints each number once its commit is acknowledged. */
import { writeSync } from 'node:fs'
import { openTable } from '../../../src/lake/delta/index.ts'
import { openDuck } from '../../../src/lake/duck.ts'
import { openFolderObjects, openS3Objects } from '../../../src/storage/index.ts'

const [folder = '', spill = '', mode = 'append', root = '', from = '0', count = '1'] = process.argv.slice(2)
// What is no folder is the options of a store, as JSON.
const objects = await (folder.startsWith('{') ? openS3Objects(JSON.parse(folder)) : openFolderObjects(folder))
const duck = await openDuck({ tempDirectory: spill, threads: 1 })
const connection = await duck.connect()
const table = openTable({ objects, duck }, root)
for (let id = Number(from); id < Number(from) + Number(count); id++) {
  const input = { connection, sql: `select ${id}::bigint as id` }
  if (mode === 'append') await table.append(input)
  else if (mode === 'merge') await table.merge(input, { keys: ['id'] })
  else await table.overwrite(input)
  writeSync(1, `${id}\n`)
}
connection.closeSync()
await duck.close()
await objects.close()
