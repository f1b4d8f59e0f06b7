import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openFolderObjects } from '../../../src/storage/index.ts'
import { tempFolder } from '../../helpers/folder.ts'

test('the folder of parts that a killed writer left beside its staged file is removed, a living one is not', async () => {
  const folder = tempFolder()
  const host = createHash('sha256').update(hostname()).digest('hex').slice(0, 8)
  const { pid: dead } = spawnSync(process.execPath, ['-e', ''])
  const parts = [dead, process.pid].map((pid) => join(folder, 'silver/t', `.lagoa-${host}-${pid}-00ff.parquet.parts`))
  for (const one of parts) {
    mkdirSync(one, { recursive: true })
    writeFileSync(join(one, 'data_0.parquet'), 'half')
  }
  const objects = await openFolderObjects(folder)
  expect(parts.map((one) => existsSync(one))).toEqual([false, true])
  mkdirSync(parts[0] ?? '')
  for await (const { path } of objects.list('silver/')) expect.unreachable(path)
  expect(parts.map((one) => existsSync(one))).toEqual([false, true])
  await objects.close()
})
