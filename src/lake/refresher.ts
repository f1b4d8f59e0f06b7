/**
 * Keeps the models fresh while Lagoa runs: when a table gets a new version, the models that read it are refreshed, inputs before
 * outputs, one at a time (DuckDB uses all cores for each). A model that fails keeps its last version and is tried again when an input
 * changes, or with back-off when the failure may pass by itself.
 */
import { backoff, ERROR_KINDS, systemClock, toLagoaError, type Clock, type LagoaError, type Log } from '../base/index.ts'
import type { Lake } from './lake.ts'
import type { RefreshResult } from './refresh.ts'

export interface Refresher {
  start(): void
  stop(): Promise<void>
  /** Tells that a table may have a new version. */
  changed(table: string): void
  /** Refreshes until nothing is left to do; rejects with the first failure. */
  drain(signal?: AbortSignal): Promise<void>
  /** Refreshes one model and what it reads, now. */
  refreshNow(table: string): Promise<RefreshResult>
  status(table: string): RefreshStatus
}

export interface RefreshStatus {
  readonly state: 'idle' | 'running' | 'failed' | 'waiting'
  readonly lastMs: number | null
  readonly refreshedAt: number | null
  readonly error: LagoaError | undefined
}

export interface RefresherOptions {
  readonly lake: Lake
  readonly logger: Log
  readonly clock?: Clock
  readonly onRefreshed: (result: RefreshResult) => void
}

/** Also without a word from anybody the models are looked at this often: another process may have written. */
const LOOK_MS = 2000

interface ModelState {
  dirty: boolean
  running: boolean
  lastMs: number | null
  refreshedAt: number | null
  startedAt: number
  error: LagoaError | undefined
  failures: number
  retryAt: number
}

export function createRefresher({ lake, logger, clock = systemClock, onRefreshed }: RefresherOptions): Refresher {
  const { models } = lake.plan
  const states = new Map<string, ModelState>(
    models.map(({ name }) => [name, { dirty: true, running: false, lastMs: null, refreshedAt: null, startedAt: Number.NEGATIVE_INFINITY, error: undefined, failures: 0, retryAt: 0 }]),
  )
  const stopping = new AbortController()
  let loop: Promise<void> = Promise.resolve()
  let wakeUp: () => void = () => undefined
  // One refresh at a time, whoever asks.
  let queue: Promise<unknown> = Promise.resolve()

  const markReaders = (table: string): void => {
    for (const model of models) {
      const state = states.get(model.name)
      if (state && model.inputs.includes(table)) state.dirty = true
    }
  }

  const refresh = (name: string): Promise<RefreshResult> => {
    const run = queue.then(async () => {
      const state = states.get(name)
      if (!state) return lake.refresh(name, stopping.signal)
      state.running = true
      state.dirty = false
      state.startedAt = clock.now()
      try {
        const result = await lake.refresh(name, stopping.signal)
        state.lastMs = result.ms
        state.refreshedAt = clock.now()
        state.error = undefined
        state.failures = 0
        if (result.outcome !== 'nothing') {
          logger.debug('lake.refreshed', { table: name, version: result.version, rows: result.rows, held: result.held, ms: Math.round(result.ms) })
          markReaders(name)
          onRefreshed(result)
        }
        return result
      } catch (thrown) {
        const error = toLagoaError(thrown)
        state.error = error
        state.retryAt = ERROR_KINDS[error.kind].retry ? clock.now() + backoff(state.failures++, 500) : Number.POSITIVE_INFINITY
        if (!stopping.signal.aborted) logger.warn('lake.refresh_failed', { table: name, error })
        throw error
      } finally {
        state.running = false
      }
    })
    queue = run.catch(() => undefined)
    return run
  }

  /** The first model, in dependency order, whose turn it is. */
  const next = (now: number): string | undefined =>
    models.find(({ name, everyMs }) => {
      const state = states.get(name)
      return state !== undefined && !state.running && ((state.dirty && now - state.startedAt >= everyMs) || (state.error !== undefined && now >= state.retryAt))
    })?.name

  const run = async (): Promise<void> => {
    let looked = clock.now()
    while (!stopping.signal.aborted) {
      const now = clock.now()
      if (now - looked >= LOOK_MS) {
        looked = now
        for (const state of states.values()) state.dirty = true
      }
      const name = next(now)
      if (name !== undefined) {
        await refresh(name).catch(() => undefined)
        continue
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 250)
        wakeUp = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  return {
    start() {
      loop = run()
    },
    async stop() {
      stopping.abort()
      wakeUp()
      await loop
      await queue
    },
    changed(table) {
      markReaders(table)
      wakeUp()
    },
    async drain(signal) {
      for (const model of models) {
        signal?.throwIfAborted()
        await refresh(model.name)
      }
    },
    async refreshNow(table) {
      const wanted = models.find(({ name }) => name === table)
      for (const input of wanted?.inputs ?? []) if (states.has(input)) await refresh(input)
      return refresh(table)
    },
    status(table) {
      const state = states.get(table)
      if (!state) return { state: 'idle', lastMs: null, refreshedAt: null, error: undefined }
      return { state: state.running ? 'running' : state.error ? 'failed' : state.refreshedAt === null ? 'waiting' : 'idle', lastMs: state.lastMs, refreshedAt: state.refreshedAt, error: state.error }
    },
  }
}
