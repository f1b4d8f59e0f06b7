/** What tests of the sandbox need of the machine: bubblewrap and a Python with the packages. Without them they are skipped, and say why. */

import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { afterAll } from 'vitest'
import { errno, silentLog } from '../../src/base/index.ts'
import { type Job, type JobLimits, type JobResult, openSandbox, type RunJobOptions, type Sandbox, type SandboxOptions } from '../../src/sandbox/index.ts'

const OURS = join(import.meta.dirname, '..', '..', 'node_modules', '.lagoa', 'python', 'bin', 'python')
export const python: string = existsSync(OURS) ? OURS : 'python3'

/** Why these tests cannot run here, or null. */
export const missingSandbox: string | null = (() => {
  if (process.platform !== 'linux') return 'the sandbox needs Linux'
  if (!['/usr/bin/bwrap', '/usr/local/bin/bwrap', '/bin/bwrap'].some((path) => existsSync(path))) return 'there is no bubblewrap'
  const { status } = spawnSync(python, ['-I', '-c', 'import pandas, numpy, pyarrow'], { stdio: 'ignore' })
  return status === 0 ? null : 'there is no Python with pandas and pyarrow'
})()

export const LIMITS: JobLimits = { wallMs: 20_000, cpuMs: 20_000, memoryBytes: 512 << 20, outputBytes: 64 << 20, logBytes: 64 << 10 }

export interface OpenedSandbox {
  readonly sandbox: Sandbox
  readonly folder: string
  /** Runs a code over the small data set, or over what is given. */
  run(code: string, job?: Partial<Job>, options?: Partial<RunJobOptions>): Promise<JobResult>
}

/** Everything that was opened is closed when the test file is over. */
export async function openTestSandbox(options: Partial<SandboxOptions> = {}): Promise<OpenedSandbox> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'lagoa-sandbox-')))
  chmodSync(folder, 0o755)
  const sandbox = await openSandbox({
    python,
    environment: { hash: 'test', python: '3', packages: {}, source: 'system' },
    folder,
    capacity: 2,
    maxQueued: 1_000,
    validator: 'on',
    log: silentLog,
    ...options,
  })
  opened.push({ sandbox, folder })
  const path = join(folder, 'input.csv')
  writeFileSync(path, `a,b\n${Array.from({ length: 10 }, (_, row) => `${row},${row / 2}\n`).join('')}`)
  let count = 0
  return {
    sandbox,
    folder,
    run: (code, job = {}, rest = {}) =>
      sandbox.run(
        { tenant: 'test', code, input: { path, format: 'csv', key: 'small' }, output: join(folder, `${++count}.parquet`), limits: LIMITS, ...job },
        { signal: new AbortController().signal, ...rest },
      ),
  }
}

const opened: { readonly sandbox: Sandbox; readonly folder: string }[] = []

afterAll(async () => {
  for (const { sandbox, folder } of opened.splice(0)) {
    await sandbox.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

/** Every process below one, as the kernel has it now: number and command line. */
export function descendants(pid: number): { readonly pid: number; readonly command: string }[] {
  const parents = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? parentOf(name) : null
    if (parent !== null) parents.set(parent, [...(parents.get(parent) ?? []), Number(name)])
  }
  const below = (of: number): number[] => (parents.get(of) ?? []).flatMap((child) => [child, ...below(child)])
  return below(pid).map((child) => ({ pid: child, command: read(`/proc/${child}/cmdline`).replaceAll('\0', ' ') }))
}

export const supervisors = (): number[] =>
  descendants(process.pid).flatMap(({ pid, command }) => (command.includes('supervisor.py') && parentOf(String(pid)) === process.pid ? [pid] : []))

/** A process that ended and that nobody has asked about yet is not alive. */
export const isAlive = (pid: number): boolean => !['', 'Z', 'X'].includes(read(`/proc/${pid}/stat`).split(') ').at(-1)?.slice(0, 1) ?? '')

/** Whether it is bound by a filter of system calls. */
export const isFiltered = (pid: number): boolean => /^Seccomp:\t2$/m.test(read(`/proc/${pid}/status`))

/** Of a tree that is killed from its root, some are gone before their turn. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if (errno(error) !== 'ESRCH') throw error
  }
}

function parentOf(pid: string): number | null {
  const fields = read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ')
  return fields?.[1] === undefined ? null : Number(fields[1])
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
