/** Folders that survive a power cut: a new name is on the disk only when the folder that holds it was synced. */
import { mkdir, open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errno } from '../base/index.ts'

/**
 * Makes a folder and those above it, and syncs each folder that got a new entry. Not by `mkdir` with `recursive`, which never
 * ends below a folder that exists and answers ENOENT to every new name, as /proc does.
 */
export async function ensureFolder(folder: string, mode: number = 0o777): Promise<void> {
  if (await made(folder, mode)) return
  await ensureFolder(dirname(folder), mode)
  if (!(await made(folder, mode))) await mkdir(folder, { mode })
}

/** False when the folder above is missing. */
async function made(folder: string, mode: number): Promise<boolean> {
  try {
    await mkdir(folder, { mode })
  } catch (error) {
    if (errno(error) === 'EEXIST') return true
    if (errno(error) === 'ENOENT' && dirname(folder) !== folder) return false
    throw error
  }
  await syncFolder(dirname(folder))
  return true
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
