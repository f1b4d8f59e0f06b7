/** One command at a time starts or stops the services of a home. A lock whose holder was killed is taken over. */
import { randomUUID } from 'node:crypto'
import { link, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { conflict, errno, systemClock } from '../base/index.ts'
import { startOf, thisProcess } from './processes.ts'

const WAIT_MS = 180_000

export async function alone<T>(folder: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const file = join(folder, 'lock')
  const { pid, start } = await thisProcess()
  const own = `${file}.${randomUUID()}`
  await writeFile(own, JSON.stringify([pid, start]))
  try {
    await take(file, own, signal)
    try {
      await removeLeftovers(folder)
      return await work()
    } finally {
      await rm(file, { force: true })
    }
  } finally {
    await rm(own, { force: true })
  }
}

async function take(file: string, own: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + WAIT_MS
  for (;;) {
    try {
      // A link appears with its content, and not over another one.
      await link(own, file)
      return
    } catch (error) {
      if (errno(error) !== 'EEXIST') throw error
    }
    const text = await readFile(file, 'utf8').catch(() => null)
    if (text === null) continue
    const holder = await livingHolder(text)
    if (holder === null) {
      await removeStale(file, text)
      continue
    }
    if (Date.now() > deadline)
      throw conflict('services.busy', `Process ${holder} starts or stops services of this home`, { hint: 'Wait until it is done, or stop it with Ctrl+C.' })
    await systemClock.sleep(100, signal)
  }
}

/** Moved aside before it is removed, so that a lock that somebody took in between is seen and put back. */
async function removeStale(file: string, text: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`
  const moved = await rename(file, aside).then(
    () => true,
    () => false,
  )
  if (!moved) return
  if ((await readFile(aside, 'utf8').catch(() => text)) !== text) await link(aside, file).catch(() => undefined)
  await rm(aside, { force: true })
}

/** What killed commands wrote while they waited. */
async function removeLeftovers(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter((one) => one.startsWith('lock.'))) {
    const text = await readFile(join(folder, name), 'utf8').catch(() => null)
    if (text !== null && text !== '' && (await livingHolder(text)) === null) await rm(join(folder, name), { force: true })
  }
}

/** The number of the process that wrote this, if it is alive. */
async function livingHolder(text: string): Promise<number | null> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  const [pid, start]: readonly unknown[] = Array.isArray(value) ? value : []
  return typeof pid === 'number' && typeof start === 'string' && (await startOf(pid)) === start ? pid : null
}
