/** Names of files that are not whole yet: whoever finds one can tell whether its writer lives, and removes it when not. */
import { createHash, randomBytes } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { errno } from '../../base/index.ts'
import { RESERVED_PREFIX } from './paths.ts'

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8)
const HOST = digest(hostname())
/** Tells this process from an earlier one of the same pid: in a container every start may have the same. */
const START = digest(String(performance.timeOrigin))
const TEMPORARY = /^\.lagoa-(([0-9a-f]{8})-\d+-[0-9a-f]{8})[0-9a-f]+/
/** Of another machine's process nothing is known but its file's age. */
const ABANDONED_MS = 24 * 3_600_000

/** `<host>-<pid>-<start>`: how this process names itself in what it must take back when it is over. */
export const THIS_PROCESS: string = `${HOST}-${process.pid}-${START}`

/** Whether the process that named itself so is no more. Of another machine's nothing is known, so it may live. */
export function isKnownDead(name: string): boolean {
  const [, host, pid, start] = /^([0-9a-f]{8})-(\d+)-([0-9a-f]{8})$/.exec(name) ?? []
  return host === HOST && !(isRunning(Number(pid)) && (Number(pid) !== process.pid || start === START))
}

/** `.lagoa-<host>-<pid>-<start><random>` in a folder. */
export function temporaryName(folder: string): string {
  return join(folder, `${RESERVED_PREFIX}${THIS_PROCESS}${randomBytes(4).toString('hex')}`)
}

export async function removeWhenLeftOver(folder: string, name: string): Promise<void> {
  const match = TEMPORARY.exec(name)
  if (!match) return
  const file = join(folder, name)
  const [, writer = '', host] = match
  if (host === HOST) {
    if (!isKnownDead(writer)) return
  } else {
    const info = await stat(file).catch(() => null)
    if (!info || Date.now() - info.mtimeMs < ABANDONED_MS) return
  }
  // Engines that write several files put them into a folder beside the staged name.
  await rm(file, { recursive: true, force: true }).catch(() => undefined)
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return errno(error) === 'EPERM'
  }
}
