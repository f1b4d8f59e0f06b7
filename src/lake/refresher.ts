/**
 * Keeps the models fresh while Lagoa runs: when a table gets a new version, the models that read it are refreshed, inputs before
 * outputs, one at a time (DuckDB uses all cores for each). A model that fails keeps its last version and is tried again when an input
 * changes, or with back-off when the failure may pass by itself. When no model is due, tables with many small files are packed.
 */
import { backoff, ERROR_KINDS, systemClock, toLagoaError, type Clock, type LagoaError, type Log } from '../base/index.ts'
import { quarantineName } from './declare.ts'
import type { Lake } from './lake.ts'
import type { Model } from './model.ts'
import type { RefreshResult } from './refresh.ts'
import type { ReplayResult } from './replay.ts'

export interface Refresher {
  /** Works until the signal aborts or `stop`; what it has begun is ended first. */
  run(signal?: AbortSignal): Promise<void>
  stop(): Promise<void>
  /** Tells that a table may have a new version. */
  changed(table: string): void
  /** Refreshes every model once, inputs first. A failure does not keep the others from it; the first one is thrown at the end. */
  drain(signal?: AbortSignal): Promise<void>
  /** Refreshes one model and, before it, all that it is made from. */
  refreshNow(table: string, options?: { readonly rebuild?: boolean }): Promise<RefreshResult>
  /** Puts back the held rows of a table that pass now; `dryRun` only counts them. */
  replay(table: string, dryRun: boolean): Promise<ReplayResult>
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
  readonly onReplayed?: (result: ReplayResult) => void
}

/** Also without a word from anybody the tables are looked at this often: another process may have written. */
const LOOK_MS = 2000

/** A table that could not be packed, because another writer was faster, is left alone this long. */
const PACK_PAUSE_MS = 60_000

interface ModelState {
  dirty: boolean
  running: boolean
  /** The versions of the inputs that the last attempt saw or could have seen. */
  seen: string | null
  lastMs: number | null
  refreshedAt: number | null
  startedAt: number
  error: LagoaError | undefined
  failures: number
  retryAt: number
}

export function createRefresher({ lake, logger, clock = systemClock, onRefreshed, onReplayed = () => undefined }: RefresherOptions): Refresher {
  const { models, tables } = lake.plan
  const states = new Map<string, ModelState>(
    models.map(({ name }) => [
      name,
      {
        dirty: true,
        running: false,
        seen: null,
        lastMs: null,
        refreshedAt: null,
        startedAt: Number.NEGATIVE_INFINITY,
        error: undefined,
        failures: 0,
        retryAt: 0,
      },
    ]),
  )
  /** Tables that may have many small files, with the time before which they are left alone. */
  const packable = new Map<string, number>([...tables.keys()].map((name) => [name, 0]))
  const stopping = new AbortController()
  const loops = new Set<Promise<void>>()
  let wakeUp: () => void = () => undefined
  // One piece of work at a time, whoever asks.
  let queue: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const run = queue.then(work)
    queue = run.catch(() => undefined)
    return run
  }

  const markReaders = (table: string): void => {
    for (const model of models) {
      const state = states.get(model.name)
      if (state && (model.inputs.includes(table) || model.inputs.includes(quarantineName(table)))) state.dirty = true
    }
    if (tables.has(table) && !packable.has(table)) packable.set(table, 0)
  }

  const versionsOf = async ({ inputs }: Model): Promise<string> => {
    const versions = await Promise.all(inputs.map(async (name) => (await lake.table(name).snapshot())?.version ?? -1))
    return versions.join(' ')
  }

  const refresh = (model: Model, rebuild: boolean = false): Promise<RefreshResult> =>
    inTurn(async () => {
      const { name } = model
      const state = states.get(name)
      stopping.signal.throwIfAborted()
      if (!state) return lake.refresh(name, stopping.signal)
      state.running = true
      state.dirty = false
      state.startedAt = clock.now()
      try {
        state.seen = await versionsOf(model)
        const result = await lake.refresh(name, stopping.signal, { rebuild })
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
        if (!stopping.signal.aborted) {
          state.error = error
          state.retryAt = ERROR_KINDS[error.kind].retry ? clock.now() + backoff(state.failures++, 500) : Number.POSITIVE_INFINITY
          logger.warn('lake.refresh_failed', { table: name, error })
        }
        throw error
      } finally {
        state.running = false
      }
    })

  /** The first model, in dependency order, whose turn it is. */
  const nextModel = (now: number): Model | undefined =>
    models.find(({ name, everyMs }) => {
      const state = states.get(name)
      return state !== undefined && !state.running && ((state.dirty && now - state.startedAt >= everyMs) || (state.error !== undefined && now >= state.retryAt))
    })

  /** Marks the models whose inputs moved on since their last attempt. */
  const look = async (): Promise<void> => {
    for (const model of models) {
      const state = states.get(model.name)
      if (!state || state.dirty || state.running) continue
      try {
        if ((await versionsOf(model)) !== state.seen) state.dirty = true
      } catch (error) {
        // The refresh meets the same trouble and keeps it for the table's status.
        logger.debug('lake.look_failed', { table: model.name, error: toLagoaError(error) })
        if (state.error === undefined) state.dirty = true
      }
    }
  }

  /** Packs one table a little; false when none wants it. */
  const packOne = async (now: number): Promise<boolean> => {
    const name = [...packable].find(([, from]) => now >= from)?.[0]
    if (name === undefined) return false
    packable.delete(name)
    await inTurn(async () => {
      try {
        const packed = await lake.pack(name, stopping.signal)
        if (!packed) return
        logger.debug('lake.packed', { table: name, version: packed.version, added: packed.filesAdded, removed: packed.filesRemoved })
        packable.set(name, 0)
      } catch (thrown) {
        if (stopping.signal.aborted) return
        logger.debug('lake.pack_failed', { table: name, error: toLagoaError(thrown) })
        packable.set(name, clock.now() + PACK_PAUSE_MS)
      }
    })
    return true
  }

  const work = async (signal: AbortSignal): Promise<void> => {
    let looked = clock.now()
    signal.addEventListener('abort', () => wakeUp(), { once: true })
    while (!signal.aborted) {
      if (clock.now() - looked >= LOOK_MS) {
        await look()
        looked = clock.now()
      }
      const model = nextModel(clock.now())
      if (model) {
        await refresh(model).catch(() => undefined)
        continue
      }
      if (await packOne(clock.now())) continue
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
    async run(signal) {
      const loop = work(signal ? AbortSignal.any([signal, stopping.signal]) : stopping.signal)
      loops.add(loop)
      await loop
      loops.delete(loop)
    },
    async stop() {
      stopping.abort()
      await Promise.all(loops)
      await queue
    },
    changed(table) {
      markReaders(table)
      wakeUp()
    },
    async drain(signal) {
      let failure: unknown
      for (const model of models) {
        signal?.throwIfAborted()
        await refresh(model).catch((error: unknown) => {
          failure ??= error
        })
      }
      if (failure !== undefined) throw failure
    },
    async replay(table, dryRun) {
      if (dryRun) return lake.replay(table, { dryRun, signal: stopping.signal })
      return inTurn(async () => {
        stopping.signal.throwIfAborted()
        const result = await lake.replay(table, { signal: stopping.signal })
        if (result.released + result.superseded > 0) {
          logger.info('lake.replayed', { table, version: result.version, released: result.released, superseded: result.superseded, held: result.stillHeld })
          markReaders(table)
          wakeUp()
          onReplayed(result)
        }
        return result
      })
    },
    async refreshNow(table, { rebuild = false } = {}) {
      const wanted = ancestors(models, table)
      for (const model of wanted.slice(0, -1)) await refresh(model)
      const last = wanted.at(-1)
      return last?.name === table ? refresh(last, rebuild) : lake.refresh(table)
    },
    status(table) {
      const state = states.get(table)
      if (!state) return { state: 'idle', lastMs: null, refreshedAt: null, error: undefined }
      return {
        state: state.running ? 'running' : state.error ? 'failed' : state.refreshedAt === null ? 'waiting' : 'idle',
        lastMs: state.lastMs,
        refreshedAt: state.refreshedAt,
        error: state.error,
      }
    },
  }
}

/** A model and all that it is made from, in the order of the plan, the model last; empty when no model has that name. */
function ancestors(models: readonly Model[], table: string): Model[] {
  const wanted = new Set([table])
  // Inputs stand before what is made from them, so one look from the end finds them all.
  for (const { name, inputs } of [...models].reverse()) {
    if (wanted.has(name) || wanted.has(quarantineName(name))) for (const input of [name, ...inputs]) wanted.add(input)
  }
  return models.filter(({ name }) => wanted.has(name))
}
