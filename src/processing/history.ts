/**
 * Jobs that were waited for, kept when they are over. Nobody waits for the writing: what ends together is written together, so that a
 * thousand short jobs cost a few dozen transactions. Whoever asks for one that is being written waits for that.
 */
import { toLagoaError, type Log } from '../base/index.ts'
import { plainText, type Flows, type PastRun } from '../flows/index.ts'
import type { JobStore, PastJob } from './store.ts'

export interface History {
  add(job: PastJob, lines: readonly string[]): void
  /** Resolves when this one is written, if it waits to be. */
  written(id: string): Promise<void>
  close(): Promise<void>
}

interface Entry {
  readonly job: PastJob
  readonly lines: readonly string[]
}

/** A database that is away must not fill the memory: beyond this the oldest are dropped. */
const MOST_WAITING = 1_000
const AT_ONCE = 100
const RETRY_MS = 1_000
const TRIES = 5

export function createHistory({
  store,
  flows,
  flow,
  log,
}: {
  readonly store: Pick<JobStore, 'keep'>
  readonly flows: () => Flows
  readonly flow: string
  readonly log: Log
}): History {
  let waiting: Entry[] = []
  let writing: readonly Entry[] = []
  let work: Promise<void> | null = null

  async function write(): Promise<void> {
    let failures = 0
    while (waiting.length > 0) {
      writing = waiting.slice(0, AT_ONCE)
      waiting = waiting.slice(AT_ONCE)
      try {
        await store.keep(writing.map(({ job }) => job))
        await flows().record(flow, writing.map(runOf))
        failures = 0
      } catch (error) {
        if (++failures >= TRIES) {
          log.warn('process.history_lost', { jobs: writing.length, error: toLagoaError(error) })
          failures = 0
        } else {
          waiting = [...writing, ...waiting]
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
        }
      }
      writing = []
    }
    work = null
  }

  return {
    add(job, lines) {
      waiting.push({ job, lines })
      if (waiting.length > MOST_WAITING) {
        const dropped = waiting.length - MOST_WAITING
        waiting = waiting.slice(dropped)
        log.warn('process.history_lost', { jobs: dropped })
      }
      work ??= write()
    },
    async written(id) {
      if ([...waiting, ...writing].some(({ job }) => job.id === id)) await work
    },
    async close() {
      await work
    },
  }
}

function runOf({ job: { id, request, status, result, message, parquet, startedAt, endedAt }, lines }: Entry): PastRun {
  const state = status === 'success' ? 'succeeded' : status === 'cancelled' ? 'cancelled' : 'failed'
  return {
    id,
    kind: 'process',
    by: 'process',
    subject: plainText(request.dataset),
    params: { id, dataset: plainText(request.dataset) },
    state,
    startedAt,
    endedAt,
    output: state === 'succeeded' ? { job: id, parquet, rows: result?.rows ?? null } : null,
    error: state === 'failed' ? { code: `process.${status}`, kind: 'invalid', message: message ?? result?.message ?? status } : null,
    lines,
  }
}
