/** A folder for what engines spill to disk, one for each process; what killed processes left is cleared by the next one. */
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { errno } from '../base/index.ts'

export interface Scratch {
  readonly folder: string
  remove(): Promise<void>
}

export async function openScratch(home: string): Promise<Scratch> {
  const root = join(home, 'tmp')
  const folder = join(root, String(process.pid))
  await make(root)
  // Two engines that spilled into one folder would overwrite each other's files.
  for (const name of await readdir(root))
    if (!isAlive(Number(name)) || name === String(process.pid)) await rm(join(root, name), { recursive: true, force: true }).catch(() => undefined)
  await make(folder)
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) }
}

/** Not `recursive`, which answers ENOENT on a read-only disk and so hides what is wrong. */
async function make(folder: string): Promise<void> {
  await mkdir(folder).catch((error: unknown) => {
    if (errno(error) !== 'EEXIST') throw error
  })
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errno(error) === 'EPERM'
  }
}
