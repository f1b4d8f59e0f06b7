/**
 * Processes that outlive the command that started them. Each leaves a record of who it is, and is known by its number together with the
 * moment of its start, so that a process that got the number later is never taken for it, and never stopped.
 */
import { spawn, execFile } from 'node:child_process'
import { open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { denied, errno, systemClock, toLagoaError, unavailable } from '../base/index.ts'
import type { Program } from './service.ts'

export interface Running {
  readonly pid: number
  /** When it started, in epoch milliseconds. */
  readonly since: number
}

const LOG_LIMIT = 4 * 1024 * 1024

const recordFile = (folder: string, name: string): string => join(folder, `${name}.pid`)
export const logFile = (folder: string, name: string): string => join(folder, `${name}.log`)

/** The shell writes down who it is before it becomes the program: at no moment does a program run that nobody knows of. */
const RECORD =
  process.platform === 'linux'
    ? 'cat /proc/sys/kernel/random/boot_id "/proc/$$/stat" > "$0.$$" && mv "$0.$$" "$0" && exec "$@"'
    : '{ echo $$; LC_ALL=C ps -o lstart= -p $$; } > "$0.$$" && mv "$0.$$" "$0" && exec "$@"'

/** How long a shell may take to write its record on a machine that has much else to do. */
const RECORD_LIMIT_MS = 30_000

/** Starts a program in a session of its own: neither Ctrl+C nor the end of this process reaches it. Answers where in the log its words begin. */
export async function launch(folder: string, { name, command, env, user }: Program): Promise<number> {
  const log = logFile(folder, name)
  const record = recordFile(folder, name)
  const logStart = await rotateLog(log)
  await rm(record, { force: true })
  const output = await open(log, 'a', 0o600)
  try {
    if (user) await output.chown(user.uid, user.gid)
    const child = spawn('/bin/sh', ['-c', RECORD, record, ...command], {
      cwd: folder,
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
      env: { ...env },
      ...user,
    })
    const pid = await new Promise<number>((started, failed) => {
      child.once('error', (cause) => failed(toLagoaError(cause)))
      child.once('spawn', () => started(child.pid ?? 0))
    })
    child.unref()
    const deadline = Date.now() + RECORD_LIMIT_MS
    while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
      if (await hasRecord(folder, name)) return logStart
      await systemClock.sleep(5)
    }
    // It may have become the program and ended already.
    if (await hasRecord(folder, name)) return logStart
    child.kill('SIGKILL')
    throw unavailable(
      'services.not_started',
      `${command[0] ?? name} (process ${pid}) ended at once: ${(await wordsSince(log, logStart)) || 'it said nothing'}`,
      {
        hint: `See ${log}`,
      },
    )
  } finally {
    await output.close()
  }
}

/** The process that the record names, if it is alive. */
export async function recorded(folder: string, name: string): Promise<Running | null> {
  const identity = await identityIn(folder, name)
  if (identity === null || !(await lives(identity))) return null
  const info = await stat(recordFile(folder, name)).catch(() => null)
  return info && { pid: identity.pid, since: info.mtimeMs }
}

/** Whether there is a record, of a process alive or dead. */
export async function hasRecord(folder: string, name: string): Promise<boolean> {
  return (await stat(recordFile(folder, name)).catch(() => null)) !== null
}

/** Ends the recorded process by one signal after the other, and its record with it. */
export async function end(folder: string, name: string, signals: readonly NodeJS.Signals[], graceMs: number, signal?: AbortSignal): Promise<void> {
  const identity = await identityIn(folder, name)
  if (identity !== null) {
    for (const kind of signals) if (await endsBy(kind, identity, kind === 'SIGKILL' ? KILL_LIMIT_MS : graceMs, signal)) break
    if (await lives(identity))
      throw unavailable('services.still_runs', `Process ${identity.pid} does not end`, {
        hint: `Look what holds it up: ps -o pid,stat,wchan,cmd -p ${identity.pid}`,
      })
  }
  await rm(recordFile(folder, name), { force: true })
}

const KILL_LIMIT_MS = 10_000

async function endsBy(kind: NodeJS.Signals, identity: Identity, withinMs: number, signal?: AbortSignal): Promise<boolean> {
  if (!(await lives(identity))) return true
  try {
    process.kill(identity.pid, kind)
  } catch (error) {
    // It ended by itself between the look and the signal.
    if (errno(error) === 'ESRCH') return true
    if (errno(error) !== 'EPERM') throw error
    throw denied('services.foreign', `Process ${identity.pid} belongs to another user`, { hint: 'Stop it as the user who started it.', cause: error })
  }
  const deadline = Date.now() + withinMs
  while (Date.now() < deadline) {
    if (!(await lives(identity))) return true
    await systemClock.sleep(20, signal)
  }
  return false
}

/** The last lines of a log from a place on. */
export async function wordsSince(log: string, start: number): Promise<string> {
  const content = await readFile(log).catch(() => Buffer.alloc(0))
  return content
    .subarray(Math.max(start, content.length - 16_384))
    .toString()
    .trim()
    .split('\n')
    .slice(-6)
    .join('\n')
}

/** Keeps one older file; answers where the next lines begin. */
async function rotateLog(log: string): Promise<number> {
  const size = await stat(log).then(
    (info) => info.size,
    () => 0,
  )
  if (size <= LOG_LIMIT) return size
  await rename(log, `${log}.1`)
  return 0
}

// --- who a process is

interface Identity {
  readonly pid: number
  /** The same for as long as the process lives, and never the same for another one of its number. */
  readonly start: string
}

const identityIn = async (folder: string, name: string): Promise<Identity | null> =>
  readRecord(await readFile(recordFile(folder, name), 'utf8').catch(() => ''))

const lives = async ({ pid, start }: Identity): Promise<boolean> => (await startOf(pid)) === start

export const thisProcess = async (): Promise<Identity> => ({ pid: process.pid, start: (await startOf(process.pid)) ?? '' })

/** Null for a process that is no more, or that is dead and only not yet forgotten by its parent. */
export async function startOf(pid: number): Promise<string | null> {
  if (process.platform !== 'linux') return readRecord(`${pid}\n${await listed(pid)}`)?.start ?? null
  const [boot, line] = await Promise.all([bootId(), readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')])
  return readRecord(`${boot}\n${line}`)?.start ?? null
}

const bootId = async (): Promise<string> => (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim()

const listed = (pid: number): Promise<string> =>
  new Promise((done) => execFile('ps', ['-o', 'lstart=', '-p', String(pid)], { env: { LC_ALL: 'C' } }, (error, out) => done(error ? '' : out)))

/** On Linux the boot's id and a line of `/proc/PID/stat` (proc(5): the state is field 3, the start in ticks field 22); else the pid and what `ps` says. */
function readRecord(text: string): Identity | null {
  const [first = '', second = ''] = text.split('\n').map((line) => line.trim())
  if (second === '') return null
  if (process.platform !== 'linux') return { pid: Number(first), start: second }
  const [state, ...rest] = second
    .slice(second.lastIndexOf(')') + 1)
    .trim()
    .split(' ')
  const ticks = rest[18]
  const pid = Number.parseInt(second, 10)
  return !Number.isInteger(pid) || pid <= 0 || ticks === undefined || state === 'Z' || state === 'X' ? null : { pid, start: `${first} ${ticks}` }
}
