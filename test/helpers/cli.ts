/** The real `lagoa` command as a child process, each with a home of its own; nothing of it outlives the test file. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll } from 'vitest'

export const ROOT: string = resolve(import.meta.dirname, '../..')
export const EXAMPLE: string = join(ROOT, 'examples/air-quality')
const NODE = join(ROOT, 'node_modules/.bin/node')
const MAIN = join(ROOT, 'src/cli/main.ts')

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly home?: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly uid?: number
  readonly timeoutMs?: number
}

export interface Started {
  readonly pid: number
  readonly child: ChildProcess
  readonly finished: Promise<Finished>
  /** Resolves with the first line of standard output that is JSON and has this member. */
  line(member: string): Promise<Record<string, unknown>>
  kill(signal?: NodeJS.Signals): Promise<Finished>
}

const running = new Set<ChildProcess>()
const homes = new Set<string>()
const folders = new Set<string>()

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL')
  for (const home of homes) await stopPostgres(home)
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
})

/** A folder that is gone after the test file. */
export function temporaryFolder(name: string = 'work'): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `lagoa-${name}-`)))
  folders.add(folder)
  return folder
}

/** A home whose database is stopped and whose folder is removed after the test file. */
export function newHome(folder: string = temporaryFolder('home')): string {
  homes.add(folder)
  return folder
}

/** Writes a project of these files; `lagoa` resolves as it does for users. */
export function project(files: Readonly<Record<string, string>>, folder: string = temporaryFolder('project')): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

export function start(args: readonly string[], { home, env, cwd, uid, timeoutMs = 120_000 }: RunOptions = {}): Started {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(LAGOA_|VITEST|NODE_OPTIONS|FORCE_COLOR)/.test(name)))
  const child = spawn(NODE, [MAIN, ...args], {
    cwd: cwd ?? ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inherited, NO_COLOR: '1', ...(home === undefined ? {} : { LAGOA_HOME: home }), ...env },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  })
  running.add(child)
  if (home !== undefined) homes.add(home)
  let stdout = ''
  let stderr = ''
  const waiting = new Set<() => void>()
  const look = (): void => {
    for (const one of waiting) one()
  }
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
    look()
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  const finished = new Promise<Finished>((done) => {
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      running.delete(child)
      done({ code, signal, stdout, stderr })
      look()
    })
  })
  return {
    pid: child.pid ?? 0,
    child,
    finished,
    line: (member) =>
      new Promise((found, reject) => {
        const check = (): void => {
          for (const text of stdout.split('\n').slice(0, -1)) {
            const value = parsed(text)
            if (value && member in value) {
              waiting.delete(check)
              found(value)
              return
            }
          }
          if (child.exitCode !== null || child.signalCode !== null) {
            waiting.delete(check)
            reject(new Error(`lagoa ended with ${child.exitCode ?? child.signalCode} before it said ${member}:\n${stdout}\n${stderr}`))
          }
        }
        waiting.add(check)
        check()
        void finished.then(check)
      }),
    kill(signal = 'SIGTERM') {
      child.kill(signal)
      return finished
    },
  }
}

export const lagoa = (args: readonly string[], options: RunOptions = {}): Promise<Finished> => start(args, options).finished

export interface Summary {
  readonly streams: Readonly<Record<string, { readonly read: number; readonly dead_letter: number }>>
  readonly tables: Readonly<Record<string, { readonly rows: number; readonly version: number | null }>>
  readonly alerts: Readonly<Record<string, { readonly matched: number; readonly fired: number; readonly queued: number }>>
}

/** `lagoa start --once --json` over the example project, which must end well. */
export async function once(args: readonly string[], options: RunOptions): Promise<Summary> {
  return good(await lagoa(['start', '--project', EXAMPLE, '--once', '--json', ...args], options))
}

/** The rows that `lagoa sql` answers. */
export async function sql(text: string, options: RunOptions, folder: string = EXAMPLE): Promise<unknown[][]> {
  const answer: { rows: unknown[][] } = good(await lagoa(['sql', '--project', folder, '--json', text], options))
  return answer.rows
}

/** What a command that must end well printed as JSON; its shape is the caller's claim. */
export function good<T>({ code, signal, stdout, stderr }: Finished): T {
  if (code !== 0) throw new Error(`lagoa ended with ${code ?? signal}:\n${stdout}\n${stderr}`)
  return JSON.parse(stdout) as T
}

/** The one JSON line of a command that failed. */
export function failure({ code, signal, stdout, stderr }: Finished): { code: string; kind: string; message: string; hint?: string } {
  const lines = stdout.trim().split('\n')
  const value = parsed(lines.at(-1) ?? '')
  if (lines.length !== 1 || typeof value?.error !== 'object' || value.error === null)
    throw new Error(`one line of JSON with an error was expected, not an end with ${signal ?? code} and:\n${stdout}\n${stderr}`)
  return value.error as { code: string; kind: string; message: string; hint?: string }
}

export interface Served extends Started {
  readonly url: string
  readonly home: string
  get<T>(path: string): Promise<T>
  post<T>(path: string, body: unknown): Promise<T>
}

/** `lagoa start` or `lagoa dev` on a free port, ready. */
export async function serve(command: 'start' | 'dev', args: readonly string[], options: RunOptions = {}): Promise<Served> {
  const home = options.home ?? newHome()
  const started = start([command, ...args, '--port', '0', '--json'], { timeoutMs: 600_000, ...options, home })
  const { url } = await started.line('url')
  const base = String(url)
  const json = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const answer = await fetch(base + path, { ...init, headers: { accept: 'application/json', ...(init?.body ? { 'content-type': 'application/json' } : {}) } })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${text}`)
    return JSON.parse(text) as T
  }
  return { ...started, url: base, home, get: (path) => json(path), post: (path, body) => json(path, { method: 'POST', body: JSON.stringify(body) }) }
}

/** Repeats the look until it answers something other than undefined, or false. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs: number = 10_000,
  everyMs: number = 20,
): Promise<T> {
  const deadline = performance.now() + limitMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`)
    await sleep(everyMs)
  }
}

/** The pid of the embedded database of a home, or null when none runs. */
export function postgresOf(home: string): number | null {
  try {
    const pid = Number(readFileSync(join(home, 'pg/data/postmaster.pid'), 'utf8').split('\n')[0])
    return pid > 0 && isAlive(pid) ? pid : null
  } catch {
    return null
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.[0] !== 'Z'
  } catch {
    return false
  }
}

export async function stopPostgres(home: string): Promise<void> {
  const pid = postgresOf(home)
  if (pid === null) return
  process.kill(pid, 'SIGQUIT')
  for (let waited = 0; isAlive(pid) && waited < 5000; waited += 20) await sleep(20)
  if (isAlive(pid)) process.kill(pid, 'SIGKILL')
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : null
  } catch {
    return null
  }
}
