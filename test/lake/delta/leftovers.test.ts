import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { openFolderObjects } from '../../../src/storage/index.ts'
import { tempFolder } from '../../helpers/folder.ts'

test('the folder of parts that a killed writer left beside its staged file is removed, a living one is not', async () => {
  const folder = tempFolder()
  const objects = await openFolderObjects(folder)
  const { file } = await objects.stage('silver/t/part-0.parquet')
  const { pid: dead } = spawnSync(process.execPath, ['-e', ''])
  const parts = [file.replace(`-${process.pid}-`, `-${dead}-`), file].map((staged) => `${staged}.parts`)
  for (const one of parts) {
    mkdirSync(one, { recursive: true })
    writeFileSync(`${one}/data_0.parquet`, 'half')
  }
  await (await openFolderObjects(folder)).close()
  expect(parts.map((one) => existsSync(one))).toEqual([false, true])
  mkdirSync(parts[0] ?? '')
  for await (const { path } of objects.list('silver/')) expect.unreachable(path)
  expect(parts.map((one) => existsSync(one))).toEqual([false, true])
  await objects.close()
})
