/**
 * The Python that users' code runs on: an interpreter of this machine and, in a folder of ours, exactly the packages of
 * python/requirements.lock. Nothing is installed but by `installEnvironment`; it makes the folder beside its place and renames it, so that
 * there is a whole environment or none. Where the packages cannot be fetched, those of the system serve if a job really runs on them.
 *
 * The folder is `node_modules/.lagoa/python` in a checkout. Of an installed package it is a cache of the user, named by what is in it:
 * `~/.cache/lagoa/python-<hash>`, and `/var/cache/lagoa/python-<hash>` for root, because behind the walls a job is another user, who may not
 * look into root's home.
 */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { z } from 'zod'
import { errno, LagoaError, unavailable } from '../base/index.ts'
import type { PythonEnvironment } from './port.ts'

export type EnvironmentState =
  | {
      readonly ready: true
      /** The interpreter to start. */
      readonly python: string
      /** Null when the packages are the system's. */
      readonly folder: string | null
      readonly environment: PythonEnvironment
    }
  | { readonly ready: false; readonly code: string; readonly message: string; readonly hint: string }

export interface EnvironmentPlace {
  /** Where the environment is or will be; chosen as the head of this file says when it is absent. */
  readonly folder?: string | undefined
  /** The interpreter to build on; the first of this machine that will do when it is absent. */
  readonly interpreter?: string | undefined
}

export interface InstallOptions extends EnvironmentPlace {
  readonly signal: AbortSignal
  /** Told what is being done, in a few words each time. */
  readonly onProgress?: ((step: string) => void) | undefined
  /** Also when there is one already. */
  readonly again?: boolean | undefined
}

const PACKAGE = join(import.meta.dirname, '..', '..')
const SURVEY = join(PACKAGE, 'python', 'environment.py')
const LOCK = join(PACKAGE, 'python', 'requirements.lock')
const LEAST = [3, 11] as const
const INSTALL_PYTHON = 'apt-get install -y python3 python3-venv'
const LEFT_OVER_MS = 3_600_000
const INSTALL = 'Run: lagoa python install'

const survey = z.object({
  version: z.string(),
  implementation: z.string(),
  machine: z.string(),
  executable: z.string(),
  venv: z.boolean(),
  open: z.boolean(),
  packages: z.record(z.string(), z.string()).nullable(),
  why: z.string().nullable(),
})
type Survey = z.infer<typeof survey>

/** What `installEnvironment` leaves in the folder. */
const record = z.object({
  /** Of the lock that it was made from; tells without starting Python whether it is still the right one. */
  lock: z.string(),
  /** The interpreter whose packages serve; null when the folder holds an environment of its own. */
  system: z.string().nullable(),
  hash: z.string(),
  version: z.string(),
  packages: z.record(z.string(), z.string()),
})
type Recorded = z.infer<typeof record>

/** What there is. Starts nothing unless `tried`: then the packages are loaded and a job runs on them. */
export async function findEnvironment(place: EnvironmentPlace = {}, tried: AbortSignal | null = null): Promise<EnvironmentState> {
  const lock = await readLock()
  const folder = place.folder ?? defaultFolder(lock)
  const found = await readRecord(folder)
  if (found === null) return notReady('sandbox.no_environment', 'There is no Python environment for users’ code yet', INSTALL)
  if (found.lock !== lock.hash) return notReady('sandbox.old_environment', 'The Python environment was made for another version of Lagoa', INSTALL)
  const state = readyState(found, folder)
  if (!existsSync(state.python)) return notReady('sandbox.no_interpreter', `The Python of the environment is gone: ${state.python}`, INSTALL)
  if (tried) {
    const told = await lookAt(state.python, tried, true)
    if (!told?.packages)
      return notReady('sandbox.broken_environment', `The Python environment does not work: ${told?.why ?? 'it cannot be started'}`, `${INSTALL} --force`)
  }
  return state
}

/** Makes the environment, unless there is one that is right. Rejects with kind `unavailable` and the line that mends it. */
export async function installEnvironment(options: InstallOptions): Promise<EnvironmentState & { readonly ready: true }> {
  const { signal, onProgress = () => undefined } = options
  const present = options.again ? null : await findEnvironment(options, signal)
  if (present?.ready && present.environment.source === 'locked') return present
  const lock = await readLock()
  const folder = options.folder ?? defaultFolder(lock)
  onProgress('Looking for Python')
  const interpreter = await chooseInterpreter(options.interpreter, signal)
  const temporary = `${folder}.${randomBytes(4).toString('hex')}`
  try {
    await mkdir(dirname(folder), { recursive: true })
    await removeLeftOver(folder)
    const made = await make(temporary, interpreter, lock, signal, onProgress)
    await mkdir(temporary, { recursive: true })
    await writeFile(join(temporary, 'lagoa.json'), `${JSON.stringify(made, null, 2)}\n`)
    await replace(folder, temporary)
    return readyState(made, folder)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (error instanceof LagoaError) throw error
    throw unavailable('sandbox.environment_not_made', `The Python environment could not be made in ${folder}: ${textOf(error)}`, {
      hint: errno(error) === 'EACCES' ? `Give this user write access to ${dirname(folder)}.` : 'Run lagoa python install again.',
      cause: error,
    })
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

type Told = (step: string) => void

/** The locked packages in `temporary`, or those of the interpreter itself when they cannot be fetched. */
async function make(temporary: string, interpreter: Survey, lock: Lock, signal: AbortSignal, onProgress: Told): Promise<Recorded> {
  const locked = await makeLocked(temporary, interpreter, signal, onProgress)
  const system = locked.ready ? null : interpreter.executable
  onProgress(locked.ready ? 'Trying the packages' : 'Trying the packages of the system')
  const told = await lookAt(system ?? join(temporary, 'bin', 'python'), signal, true)
  if (!told?.packages)
    throw unavailable(
      locked.ready ? 'sandbox.broken_environment' : 'sandbox.no_packages',
      locked.ready ? `The packages do not work here: ${told?.why ?? 'Python cannot be started'}` : `The packages could not be installed: ${locked.why}`,
      { hint: locked.fix ?? 'Check the network and the settings of pip, then run: lagoa python install' },
    )
  const { version, packages } = told
  const what = system === null ? lock.text : JSON.stringify(packages)
  return { lock: lock.hash, system, hash: sha256([what, interpreter.implementation, version, interpreter.machine]), version, packages }
}

type Made = { readonly ready: true; readonly fix?: undefined } | { readonly ready: false; readonly why: string; readonly fix?: string | undefined }

async function makeLocked(temporary: string, interpreter: Survey, signal: AbortSignal, onProgress: Told): Promise<Made> {
  if (!interpreter.venv) return { ready: false, why: `${interpreter.executable} cannot make virtual environments`, fix: `Run: ${INSTALL_PYTHON}` }
  onProgress(`Making an environment with Python ${interpreter.version}`)
  const made = await run(interpreter.executable, ['-I', '-m', 'venv', temporary], signal)
  if (made.status !== 0) return { ready: false, why: lastLine(made.said), fix: `Run: ${INSTALL_PYTHON}` }
  const python = join(temporary, 'bin', 'python')
  const pip = ['-m', 'pip', '--no-input', '--disable-pip-version-check']
  const flags = ['--require-hashes', '--only-binary=:all:', '--no-deps', '--progress-bar=off', '--requirement', LOCK]
  const installed = await run(python, [...pip, 'install', ...flags], signal, (line) => {
    const name = /^Collecting ([\w-]+)/.exec(line)?.[1]
    if (name !== undefined) onProgress(`Fetching ${name}`)
    if (line.startsWith('Installing collected')) onProgress('Unpacking')
  })
  if (installed.status !== 0) return { ready: false, why: lastLine(installed.said) }
  // Nothing behind the walls installs anything.
  await run(python, [...pip, 'uninstall', '--yes', 'setuptools', 'pip'], signal)
  return { ready: true }
}

/** The new folder in the place of the old one; of two that do this at once the later one stays. */
async function replace(folder: string, by: string): Promise<void> {
  const old = `${by}.old`
  await rename(folder, old).catch((error: unknown) => {
    if (errno(error) !== 'ENOENT') throw error
  })
  try {
    await rename(by, folder)
  } finally {
    await rm(old, { recursive: true, force: true })
  }
}

/** What an install that was killed left beside the folder; one that goes on is younger. */
async function removeLeftOver(folder: string): Promise<void> {
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(`${basename(folder)}.`) || !/\.[0-9a-f]{8}(\.old)?$/.test(name)) continue
    const path = join(dirname(folder), name)
    const { mtimeMs } = await stat(path)
    if (Date.now() - mtimeMs > LEFT_OVER_MS) await rm(path, { recursive: true, force: true })
  }
}

/** The first interpreter that will do, or the reason why the best of them will not. */
async function chooseInterpreter(wanted: string | undefined, signal: AbortSignal): Promise<Survey> {
  const names = wanted === undefined ? ['python3', '/usr/bin/python3', '/usr/local/bin/python3'] : [wanted]
  const found = (await Promise.all(names.map((name) => lookAt(name, signal, false)))).flatMap((told) => told ?? [])
  // As root only one that other users can come to: behind the walls a job is one of them.
  const fit = found.filter((told) => isRecent(told) && (process.getuid?.() !== 0 || told.open))
  const best = fit.find((told) => told.venv) ?? fit[0]
  if (best) return best
  const [first] = found
  if (!first)
    throw unavailable('sandbox.no_python', wanted === undefined ? 'There is no Python on this machine' : `${wanted} is no Python that can be started`, {
      hint: `Run: ${INSTALL_PYTHON}`,
    })
  if (!isRecent(first))
    throw unavailable('sandbox.old_python', `Python ${first.version} is too old; ${LEAST.join('.')} is the least`, { hint: `Run: ${INSTALL_PYTHON}` })
  throw unavailable('sandbox.closed_python', `${first.executable} lies in a folder that only root can look into, and users’ code does not run as root`, {
    hint: `Run: ${INSTALL_PYTHON}`,
  })
}

function isRecent({ implementation, version }: Survey): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return implementation === 'CPython' && major === LEAST[0] && minor >= LEAST[1]
}

async function lookAt(python: string, signal: AbortSignal, packages: boolean): Promise<Survey | null> {
  const { status, said } = await run(python, ['-I', '-B', SURVEY, ...(packages ? ['--packages'] : [])], signal)
  try {
    return status === 0 ? survey.parse(JSON.parse(lastLine(said))) : null
  } catch {
    return null
  }
}

interface Ran {
  /** Null when it could not be started, or was ended by a signal. */
  readonly status: number | null
  /** Its last lines. */
  readonly said: readonly string[]
}

/** Files are made so that every user can read them, whatever this process's own mask is. */
async function run(program: string, args: readonly string[], signal: AbortSignal, onLine: (line: string) => void = () => undefined): Promise<Ran> {
  signal.throwIfAborted()
  const said: string[] = []
  // A group of its own, so that what it starts ends with it.
  const child = spawn('/bin/sh', ['-c', 'umask 022; exec "$@"', 'sh', program, ...args], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It had ended by itself.
    }
  }
  signal.addEventListener('abort', end)
  for (const stream of [child.stderr, child.stdout])
    createInterface({ input: stream }).on('line', (line) => {
      onLine(line)
      said.push(line)
      if (said.length > 50) said.shift()
    })
  const status = await new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(null))
    child.on('close', resolve)
  })
  signal.removeEventListener('abort', end)
  signal.throwIfAborted()
  return { status, said }
}

interface Lock {
  readonly text: string
  readonly hash: string
}

async function readLock(): Promise<Lock> {
  const text = await readFile(LOCK, 'utf8')
  return { text, hash: sha256([text]) }
}

function defaultFolder(lock: Lock): string {
  // The sources lie here only in a checkout.
  if (existsSync(join(PACKAGE, 'src', 'sandbox'))) return join(PACKAGE, 'node_modules', '.lagoa', 'python')
  const cache = process.getuid?.() === 0 ? '/var/cache' : join(homedir(), '.cache')
  return join(cache, 'lagoa', `python-${lock.hash.slice(0, 12)}`)
}

async function readRecord(folder: string): Promise<Recorded | null> {
  try {
    return record.parse(JSON.parse(await readFile(join(folder, 'lagoa.json'), 'utf8')))
  } catch {
    return null
  }
}

function readyState({ system, hash, version, packages }: Recorded, folder: string): EnvironmentState & { readonly ready: true } {
  const environment: PythonEnvironment = { hash, python: version, packages, source: system === null ? 'locked' : 'system' }
  return { ready: true, python: system ?? join(folder, 'bin', 'python'), folder: system === null ? folder : null, environment }
}

const notReady = (code: string, message: string, hint: string): EnvironmentState => ({ ready: false, code, message, hint })

function sha256(parts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex')
}

/** pip's error is the last line that says so; what follows it are notices. */
function lastLine(said: readonly string[]): string {
  return (
    said
      .findLast((line) => line.startsWith('ERROR:'))
      ?.slice('ERROR:'.length)
      .trim() ??
    said.at(-1) ??
    'it said nothing'
  )
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
