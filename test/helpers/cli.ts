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
  readonly ms: number
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
  const began = performance.now()
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
      done({ code, signal, stdout, stderr, ms: performance.now() - began })
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

/** Runs a command that must end well and answers what it printed as JSON. */
export async function lagoaJson(args: readonly string[], options: RunOptions = {}): Promise<any> {
  const { code, stdout, stderr } = await lagoa([...args, '--json'], options)
  if (code !== 0) throw new Error(`lagoa ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`)
  return JSON.parse(stdout)
}
