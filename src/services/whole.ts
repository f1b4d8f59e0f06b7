/** A data folder that is there as a whole or not at all, also when its making is killed. */
import { randomUUID } from 'node:crypto'
import { readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncFolder } from '../storage/index.ts'

const UNFINISHED = 'unfinished-'

/** Made beside its place under a name of its own, since what makes it may outlive who asked for it; renamed when it is finished. */
export async function makeWhole(data: string, make: (fresh: string) => Promise<void>): Promise<void> {
  const folder = dirname(data)
  for (const name of (await readdir(folder)).filter((one) => one.startsWith(UNFINISHED)))
    await rm(join(folder, name), { recursive: true, force: true }).catch(() => undefined)
  const fresh = join(folder, `${UNFINISHED}${randomUUID()}`)
  try {
    await make(fresh)
    await rename(fresh, data)
    await syncFolder(folder)
  } finally {
    await rm(fresh, { recursive: true, force: true }).catch(() => undefined)
  }
}
