/**
 * Another engine of Delta Lake in a process of its own that serves a whole test file; engines/worker.py says how the two talk.
 * Stopped by closing its input, and by its process group when that does not help.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { DeltaField } from '../../src/lake/delta/index.ts'
import { tempFolder } from '../helpers/folder.ts'
import type { Cell, Found } from './cells.ts'

export type EngineName = 'delta-rs' | 'spark-3.5' | 'spark-4.0'

/** Rows as they cross to an engine. */
export interface Rows {
  readonly fields: readonly DeltaField[]
  readonly rows: readonly (readonly Cell[])[]
}

export interface EngineWrite extends Rows {
  readonly mode?: 'append' | 'overwrite'
  readonly partitionBy?: readonly string[]
  readonly properties?: Readonly<Record<string, string>>
  /** With `overwrite`: only the rows that match are replaced. */
  readonly where?: string
  readonly schemaMode?: 'merge' | 'overwrite'
}

export interface Engine {
  readonly name: EngineName
  /** `where` is applied with the engine's own skipping of files. */
  read(path: string, options?: { readonly version?: number; readonly where?: string }): Promise<Found>
  /** The change feed from one version to another, both included, without the times of the commits. */
  changes(path: string, from: number, to: number): Promise<Found>
  write(path: string, write: EngineWrite): Promise<void>
  merge(path: string, keys: readonly string[], rows: Rows): Promise<void>
  delete(path: string, where?: string): Promise<void>
  /** `set` maps columns to SQL. */
  update(path: string, set: Readonly<Record<string, string>>, where?: string): Promise<void>
  optimize(path: string): Promise<void>
  checkpoint(path: string): Promise<void>
  restore(path: string, version: number): Promise<void>
  /** Deletes every file that the newest version does not name. */
  vacuum(path: string): Promise<void>
  /** Newest first. */
  history(path: string): Promise<string[]>
  addConstraint(path: string, name: string, check: string): Promise<void>
  /** A table of a bigint `id` and a bigint column that an expression, or for null a counter, gives its values. Spark only. */
  createGenerated(path: string, name: string, expression: string | null): Promise<void>
  /** Only Spark speaks SQL here; `settings` hold for these statements. */
  sql(statements: readonly string[], settings?: Readonly<Record<string, string>>): Promise<void>
  /** Lets go of what it remembers of tables, as a new process would have it. */
  forget(): Promise<void>
  close(): Promise<void>
}

/** What a worker prints is kept to this length, for the message when it dies. */
const LOG_LENGTH = 8_000

/** `settings` are Spark's own. */
export async function startEngine(name: EngineName, settings: Readonly<Record<string, string>> = {}): Promise<Engine> {
  const home = join(import.meta.dirname, '../../node_modules/.lagoa/interop', name)
  const python = join(home, 'bin/python')
  if (!existsSync(join(home, 'lagoa-stamp'))) throw new Error(`The engine ${name} is not installed: run node scripts/interop-setup.mjs`)
  const scratch = join(tempFolder(), name)
  await mkdir(scratch, { recursive: true })
  const script = join(import.meta.dirname, 'engines', name === 'delta-rs' ? 'delta_rs.py' : 'spark.py')
  const child = spawn(python, ['-B', script, ...(name === 'delta-rs' ? [] : [join(home, 'jars'), scratch, JSON.stringify(settings)])], {
    cwd: scratch,
    // A group of its own, so that a JVM behind the worker can be ended with it.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      HOME: scratch,
      TMPDIR: scratch,
      TZ: 'UTC',
      LANG: 'C.UTF-8',
      SPARK_LOCAL_IP: '127.0.0.1',
      PYSPARK_PYTHON: python,
      ...(process.env.JAVA_HOME === undefined ? {} : { JAVA_HOME: process.env.JAVA_HOME }),
    },
  })
  const ended = once(child, 'close')
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-LOG_LENGTH)))
  // A worker that died is told by the missing answer; the pipe's own error would only end the test run.
  child.stdin.on('error', () => {})
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()

  const answer = async (): Promise<unknown> => {
    const next = await answers.next()
    if (next.done) throw new Error(`The engine ${name} ended before it answered:\n${log}`)
    const parsed: unknown = JSON.parse(next.value)
    if (typeof parsed === 'object' && parsed !== null && 'result' in parsed) return parsed.result
    throw new EngineError(name, parsed)
  }
  // One request after the other: a worker answers in order and a test may ask for several at once.
  let last: Promise<unknown> = answer()
  const ask = (request: Readonly<Record<string, unknown>>): Promise<unknown> => {
    const asked = last.then(
      () => {
        child.stdin.write(JSON.stringify(request) + '\n')
        return answer()
      },
      (error: unknown) => {
        throw error
      },
    )
    last = asked.catch((error: unknown) => {
      if (!(error instanceof EngineError)) throw error
    })
    last.catch(() => {})
    return asked
  }
  const close = async (): Promise<void> => {
    child.stdin.end()
    const group = child.pid
    const timer = setTimeout(() => group !== undefined && process.kill(-group, 'SIGKILL'), 20_000)
    await ended
    clearTimeout(timer)
  }
  try {
    await last
  } catch (error) {
    await close()
    throw error
  }
  const schema = ({ fields }: Rows): unknown => ({ type: 'struct', fields })
  return {
    name,
    read: async (path, options = {}) => found(await ask({ op: 'read', path, ...options })),
    changes: async (path, from, to) => found(await ask({ op: 'changes', path, from, to })),
    write: async (path, { fields, ...write }) => void (await ask({ op: 'write', path, ...write, schema: schema({ fields, rows: [] }) })),
    merge: async (path, keys, rows) => void (await ask({ op: 'merge', path, keys, rows: rows.rows, schema: schema(rows) })),
    delete: async (path, where) => void (await ask({ op: 'delete', path, where })),
    update: async (path, set, where) => void (await ask({ op: 'update', path, set, where })),
    optimize: async (path) => void (await ask({ op: 'optimize', path })),
    checkpoint: async (path) => void (await ask({ op: 'checkpoint', path })),
    restore: async (path, version) => void (await ask({ op: 'restore', path, version })),
    vacuum: async (path) => void (await ask({ op: 'vacuum', path })),
    history: async (path) => {
      const operations = await ask({ op: 'history', path })
      return Array.isArray(operations) ? operations.map(String) : []
    },
    addConstraint: async (path, constraint, check) => void (await ask({ op: 'addConstraint', path, constraint: { [constraint]: check } })),
    createGenerated: async (path, column, expression) => void (await ask({ op: 'createGenerated', path, column, expression })),
    sql: async (statements, settings = {}) => void (await ask({ op: 'sql', statements, settings })),
    forget: async () => void (await ask({ op: 'forget' })),
    close,
  }
}

/** What the engine itself said, in contrast to a worker that died. */
export class EngineError extends Error {
  constructor(engine: string, answer: unknown) {
    super(`${engine}: ${JSON.stringify(answer)}`)
    this.name = 'EngineError'
  }
}

function found(value: unknown): Found {
  if (typeof value === 'object' && value !== null && 'schema' in value && 'rows' in value && Array.isArray(value.rows)) {
    const { schema } = value
    if (typeof schema === 'object' && schema !== null && 'fields' in schema)
      return { schema: schema.fields, rows: value.rows.map((row: unknown) => (Array.isArray(row) ? row : [])) }
  }
  throw new Error(`This is no answer to a read: ${JSON.stringify(value).slice(0, 200)}`)
}
