/** Reading what PostgreSQL leaves in its folder about the server that runs, or ran, there. */
import { chown, readFile, readlink, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { execFile } from 'node:child_process'
import { basename, join } from 'node:path'

/** `postmaster.pid`: pid, data folder, start time, port, socket folder, address, shared memory key, status, one a line. */
export interface Postmaster {
  readonly pid: number
  readonly socket: string
  readonly status: string
}

export async function readPostmaster(data: string): Promise<Postmaster | null> {
  const lines = (await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '')).split('\n')
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 0) return null
  return { pid, socket: lines[4] ?? '', status: (lines[7] ?? '').trim() }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Whether the process is a PostgreSQL server on this data folder, and not a stranger that got the number later. */
export async function isServerOf(pid: number, data: string): Promise<boolean> {
  if (!isAlive(pid)) return false
  if (process.platform !== 'linux') return (await commandOf(pid)).includes(data)
  // The server changes into its data folder. A zombie has no folder any more.
  const [folder, wanted] = await Promise.all([readlink(`/proc/${pid}/cwd`).catch(() => ''), realpath(data).catch(() => data)])
  if (folder !== '') return folder === wanted && basename(await readlink(`/proc/${pid}/exe`).catch(() => 'postgres')).startsWith('postgres')
  // Of another user's process only the command line is public.
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  return command.includes('postgres') && command.split('\0').includes(data)
}

/**
 * Whether that server is no more: its process is gone, a zombie that nobody has collected yet, or a stranger's. A process on its
 * way out loses its folder and its command line first; until its end it has not left.
 */
export async function hasLeft(pid: number, data: string): Promise<boolean> {
  if (!isAlive(pid)) return true
  if (await isServerOf(pid, data)) return false
  if (process.platform !== 'linux') return true
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  if (['', 'Z', 'X'].includes(status.slice(status.lastIndexOf(') ') + 2).charAt(0))) return true
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== ''
}

function commandOf(pid: number): Promise<string> {
  return new Promise((resolve) => execFile('ps', ['-o', 'command=', '-p', String(pid)], (error, out) => resolve(error ? '' : out)))
}

/**
 * Makes PostgreSQL ignore lock files whose pid was given to another program. The file in the data folder is kept, because it
 * names the shared memory by which a new server notices processes left over from the old one; PostgreSQL takes the pid of its
 * own parent for stale, so that pid is put in. The lock beside the socket protects nothing more and is removed.
 */
export async function disownLocks(data: string, socket: string, stale: Postmaster): Promise<void> {
  const file = join(data, 'postmaster.pid')
  const content = await readFile(file, 'utf8').catch(() => '')
  if (Number(content.split('\n')[0]) !== stale.pid) return
  const copy = join(data, `postmaster.pid.${process.pid}`)
  await writeFile(copy, content.replace(/^\d+/, String(process.pid)), { mode: 0o600 })
  const owner = await stat(file)
  if (process.getuid?.() === 0) await chown(copy, owner.uid, owner.gid)
  await rename(copy, file)
  await removeSocketLock(socket)
}

export async function removeSocketLock(socket: string): Promise<void> {
  await rm(join(socket, '.s.PGSQL.5432.lock'), { force: true })
  await rm(join(socket, '.s.PGSQL.5432'), { force: true })
}
