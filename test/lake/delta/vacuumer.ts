/** A process that vacuums a table and prints a line when it begins to delete. */
import { writeSync } from 'node:fs'
import { openTable } from '../../../src/lake/delta/index.ts'
import { openDuck } from '../../../src/lake/duck.ts'
import { openFolderObjects } from '../../../src/storage/index.ts'

const [folder = '', spill = '', root = ''] = process.argv.slice(2)
const objects = await openFolderObjects(folder)
const duck = await openDuck({ tempDirectory: spill, threads: 1 })
let told = false
await openTable({ objects, duck }, root).vacuum({
  retainMs: 0,
  force: true,
  onFile: () => {
    if (!told) writeSync(1, 'deleting\n')
    told = true
  },
})
await duck.close()
await objects.close()
