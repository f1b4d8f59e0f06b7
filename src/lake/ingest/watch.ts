/**
 * Keeps the tables that are declared with `files(...)` filled while Lagoa runs. Files are looked for at the table's pace and taken one
 * after the other in the order of their names; one that was written to a moment ago is left until it rests. A file that was refused is
 * left alone until it changes, and told in the status of its table.
 */
import { backoff, ERROR_KINDS, LagoaError, parseDuration, systemClock, toLagoaError, type Clock, type Log } from '../../base/index.ts'
import type { Objects } from '../../storage/index.ts'
import type { Table } from '../declare.ts'
import { knownEncoding } from './prepare.ts'
import type { FilesRef } from './declare.ts'
import { openIngestion, targetOf } from './ingest.ts'
import { findFiles, type SourceFile } from './paths.ts'
import type { FileOutcome, IngestPlace } from './run.ts'

export interface FileWatcher {
  /** Takes files until the signal aborts or `stop`. */
  run(signal?: AbortSignal): Promise<void>
  stop(): Promise<void>
  /** Takes all files that are there. A refused one does not keep the others from it; the first failure is thrown at the end. */
  drain(signal?: AbortSignal): Promise<void>
  /** Null for tables that are not filled by files. */
  status(table: string): FilesStatus | null
}

export interface FilesStatus {
  readonly state: 'idle' | 'running' | 'failed' | 'waiting'
  /** Files of which the rows are in the table, by this process's account. */
  readonly taken: number
  /** Files that were refused or could not be read, with the reason. */
  readonly failed: ReadonlyMap<string, LagoaError>
  readonly error: LagoaError | undefined
  readonly lastMs: number | null
  readonly lookedAt: number | null
}

export interface WatchOptions {
  readonly place: IngestPlace
  readonly objects: Objects
  readonly tables: readonly Table[]
  /** The project's folder, where relative paths start. */
  readonly folder: string
  readonly logger: Log
  readonly clock?: Clock
  readonly onIngested: (table: string, outcome: FileOutcome) => void
}

const DEFAULT_EVERY_MS = 5000
/** A file that was not written to for this long is whole; one that was renamed into place mostly is so at once. */
const REST_MS = 1000
/** A pass over what there is waits for files at rest no longer than this. */
const PATIENCE_MS = 30_000

interface Folder {
  readonly table: Table
  readonly from: FilesRef
  readonly everyMs: number
  /** What is known of each file: its state when it was taken or refused. */
  readonly seen: Map<string, Seen>
  running: boolean
  fault: LagoaError | undefined
  failures: number
  nextAt: number
  lastMs: number | null
  lookedAt: number | null
}

interface Seen {
  readonly mark: string
  readonly name: string
  readonly error: LagoaError | undefined
}

export function watchFiles({ place, objects, tables, folder: base, logger, clock = systemClock, onIngested }: WatchOptions): FileWatcher {
  const folders = new Map<string, Folder>()
  for (const table of tables) {
    const { from, every, sql } = table.options
    if (from?.kind !== 'files' || sql !== undefined) continue
    if (from.options.encoding !== undefined) knownEncoding(from.options.encoding)
    folders.set(table.name, {
      table,
      from,
      everyMs: parseDuration(every ?? DEFAULT_EVERY_MS) ?? DEFAULT_EVERY_MS,
      seen: new Map(),
      running: false,
      fault: undefined,
      failures: 0,
      nextAt: 0,
      lastMs: null,
      lookedAt: null,
    })
  }
  const stopping = new AbortController()
  const loops = new Set<Promise<void>>()
  let wakeUp: () => void = () => undefined

  /** Takes what rests; answers whether some files were still being written to. */
  const failed = ({ table, seen }: Folder, file: SourceFile, error: LagoaError): void => {
    const known = seen.get(file.path)
    // Without a mark it is tried again at every pass, for nothing about the file may tell that its cause is gone.
    seen.set(file.path, { mark: '', name: file.name, error })
    if (known?.error?.message !== error.message) logger.warn('lake.file_failed', { table: table.name, file: file.name, error })
  }
  const told = ({ table, seen, lastMs }: Folder, file: SourceFile, mark: string, outcome: FileOutcome): void => {
    seen.set(file.path, { mark, name: file.name, error: outcome.error })
    const facts = { table: table.name, file: file.name, rows: outcome.rows, bad: outcome.bad, ms: Math.round(lastMs ?? 0) }
    if (outcome.error) logger.warn('lake.file_refused', { ...facts, error: outcome.error })
    else if (outcome.version !== null) logger.info('lake.file_ingested', { ...facts, version: outcome.version })
    if (outcome.version !== null) onIngested(table.name, outcome)
  }
  const pass = async (one: Folder, signal: AbortSignal): Promise<boolean> => {
    const { table, from, seen } = one
    const found = await findFiles(from.paths, { objects, base, project: base, anyName: from.options.format !== undefined }, 'allow')
    const present = new Set(found.map(({ path }) => path))
    for (const path of seen.keys()) if (!present.has(path)) seen.delete(path)
    const ingestion = openIngestion(place, { target: targetOf(table.name, table, {}), signal })
    const markOf = (file: SourceFile): string => `${file.size} ${file.modified}`
    const changed = found.filter((file) => seen.get(file.path)?.mark !== markOf(file))
    let left = changed.filter((file) => rests(file, clock.now()))
    let restless = left.length < changed.length
    while (left.length > 0) {
      signal.throwIfAborted()
      const began = performance.now()
      const outcomes = await ingestion.takeNext(left).catch((thrown: unknown) => {
        const error = toLagoaError(thrown)
        signal.throwIfAborted()
        // It is looked at again at the next pass: it grew, or went away, while it was read.
        if (error.code === 'lake.file_grows' || error.code === 'lake.file_gone') return null
        // What is the matter with one file holds up no other; what is the matter with the store is no file's fault.
        if (ERROR_KINDS[error.kind].retry && error.code !== 'storage.no_permission') throw error
        return error
      })
      const taken = left.slice(0, Array.isArray(outcomes) ? outcomes.length : 1)
      left = left.slice(taken.length)
      if (outcomes === null) {
        restless = true
        continue
      }
      one.lastMs = performance.now() - began
      for (const [i, file] of taken.entries()) {
        const outcome = outcomes instanceof LagoaError ? outcomes : outcomes[i]
        if (outcome instanceof LagoaError) failed(one, file, outcome)
        else if (outcome) told(one, file, markOf(file), outcome)
      }
    }
    return restless
  }

  /** One at a time, whoever asks: DuckDB uses all cores for each. */
  let turn: Promise<unknown> = Promise.resolve()
  const look = (one: Folder, signal: AbortSignal): Promise<boolean> => {
    const run = turn.then(async () => {
      one.running = true
      try {
        const restless = await pass(one, signal)
        one.fault = undefined
        one.failures = 0
        one.nextAt = clock.now() + (restless ? Math.min(REST_MS, one.everyMs) : one.everyMs)
        one.lookedAt = clock.now()
        return restless
      } catch (thrown) {
        const fault = toLagoaError(thrown)
        if (!signal.aborted) {
          one.fault = fault
          one.nextAt = clock.now() + (ERROR_KINDS[fault.kind].retry ? backoff(one.failures++, 500) : Math.max(one.everyMs, 5000))
          logger.warn('lake.files_failed', { table: one.table.name, error: fault })
        }
        throw fault
      } finally {
        one.running = false
      }
    })
    turn = run.catch(() => undefined)
    return run
  }

  const work = async (signal: AbortSignal): Promise<void> => {
    signal.addEventListener('abort', () => wakeUp(), { once: true })
    while (!signal.aborted) {
      for (const one of folders.values()) if (clock.now() >= one.nextAt) await look(one, signal).catch(() => undefined)
      if (signal.aborted) return
      const next = Math.min(...[...folders.values()].map(({ nextAt }) => nextAt))
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(20, Math.min(next - clock.now(), 60_000)))
        wakeUp = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  return {
    async run(signal) {
      if (folders.size === 0) return
      const loop = work(signal ? AbortSignal.any([signal, stopping.signal]) : stopping.signal)
      loops.add(loop)
      await loop
      loops.delete(loop)
    },
    async stop() {
      stopping.abort()
      await Promise.all(loops)
      await turn
    },
    async drain(signal) {
      const stop = signal ? AbortSignal.any([signal, stopping.signal]) : stopping.signal
      let failure: unknown
      for (const one of folders.values()) {
        const deadline = clock.now() + PATIENCE_MS
        try {
          while ((await look(one, stop)) && clock.now() < deadline) await clock.sleep(100, stop)
        } catch (error) {
          stop.throwIfAborted()
          failure ??= error
        }
        failure ??= [...one.seen.values()].find(({ error }) => error)?.error
      }
      if (failure !== undefined) throw failure
    },
    status(table) {
      const one = folders.get(table)
      if (!one) return null
      const failed = new Map([...one.seen.values()].flatMap(({ name, error }) => (error ? [[name, error] as const] : [])))
      const error = one.fault ?? failed.values().next().value
      return {
        state: one.running ? 'running' : error ? 'failed' : one.lookedAt === null ? 'waiting' : 'idle',
        taken: one.seen.size - failed.size,
        failed,
        error,
        lastMs: one.lastMs,
        lookedAt: one.lookedAt,
      }
    },
  }
}

/** A time in the future is that of another machine's clock and tells nothing. */
const rests = ({ modified }: SourceFile, now: number): boolean => now - modified >= REST_MS || modified > now + 60_000
