/**
 * Processing: a user's function `process(df)` over one data set of the object store, which gives one Parquet file there.
 *
 * A job is a run. One that is waited for (`run`) is carried out at once, without the queue, and kept in the history when it ends. One that is
 * submitted is stored first, then run by the run engine on any node; when its node dies it is run again, and when that happened too often it
 * is told as killed. Either way it has a row here, with what came of it, and a run of the same id.
 *
 * Whoever gave a webhook is told when the job is over: stored with it, tried again with growing delays for a day, heard at least once.
 */
import { basename, extname } from 'node:path'
import { z } from 'zod'
import { invalid, missing, newId, toLagoaError, unavailable, type LagoaError, type Log } from '../base/index.ts'
import { flow, task, type Flow, type Flows } from '../flows/index.ts'
import type { Finding, Phase, RunJobOptions } from '../sandbox/index.ts'
import type { Objects, Records } from '../storage/index.ts'
import { createHistory } from './history.ts'
import { openJobStore, type Ending, type JobFilter, type StoredJob, type StoredRequest } from './store.ts'
import { faultOf, refuseMore, type Walled } from './walled.ts'
import { isGone, type WebhookSender } from './webhooks.ts'

export interface Processing {
  /** At once and without the queue; ends when the signal aborts. */
  run(request: ProcessRequest, signal: AbortSignal): Promise<StoredJob>
  /** Stored, and run when it is its turn. With a key the same request again is the same job. */
  submit(request: ProcessRequest & { readonly key?: string | undefined; readonly webhook?: string | undefined }): Promise<StoredJob>
  get(id: string): Promise<StoredJob>
  /** What it has printed so far, at most the newest lines. */
  logs(id: string): Promise<string[]>
  /** The newest first, without their results. */
  list(filter: JobFilter): Promise<{ items: StoredJob[]; cursor?: string }>
  cancel(id: string): Promise<StoredJob>
  /** Resolves when the job is over, or with what it is when the signal aborts. */
  ended(id: string, signal: AbortSignal): Promise<StoredJob>
  /** What happens to it from `cursor` on, until it is over. */
  follow(id: string, cursor: string | undefined, signal: AbortSignal): AsyncIterable<JobEvent>
  validate(code: string): Promise<readonly Finding[]>
  /** The flow that carries jobs out; load it with the project's. */
  readonly flows: readonly Flow[]
  /** Sends webhooks, tells of jobs whose run is over without them, and removes old ones, until the signal aborts: a duty. */
  work(signal: AbortSignal): Promise<void>
  /** Waits for what is to be kept. */
  close(): Promise<void>
}

export interface ProcessRequest {
  /** `bucket/path/file.csv`. */
  readonly dataset: string
  readonly code: string
  /** Absent: the most that is allowed. */
  readonly timeoutMs?: number | undefined
  readonly memoryBytes?: number | undefined
}

export type JobEvent =
  | { readonly type: 'status'; readonly job: StoredJob; readonly cursor: string }
  | { readonly type: 'log'; readonly line: string; readonly cursor: string }
  | { readonly type: 'end'; readonly job: StoredJob; readonly cursor: string }

export interface ProcessingOptions {
  readonly walled: Walled
  readonly objects: Objects
  readonly records: Records
  readonly flows: () => Flows
  readonly webhooks: WebhookSender
  /** How long jobs that are over are kept; their results stay. */
  readonly keepMs: number
  readonly log: Log
}

const FLOW = 'process'
/** Its slots bound how many jobs are handed to the sandbox at a time. */
export const PROCESS_POOL = 'process'
const FORMATS: Readonly<Record<string, 'csv' | 'json' | 'parquet'>> = {
  '.csv': 'csv',
  '.tsv': 'csv',
  '.txt': 'csv',
  '.json': 'json',
  '.jsonl': 'json',
  '.ndjson': 'json',
  '.parquet': 'parquet',
}
const MOST_OPEN = 10_000
const LOOK_MS = 500
const SETTLE_MS = 2_000
const TRIM_MS = 60_000
const SHOWN_LINES = 200
/** The log of a task is written in batches: what it said last may come this much later than its end. */
const LATE_LINES_MS = 300
const SENT_AT_A_TIME = 8
/** How long until a webhook is sent again; after the last it is given up. */
const RETRY_MS = [5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 10_800_000, 21_600_000, 43_200_000]
/** Phases of a job are told at most this often. */
const PHASE_MS = 250

export function openProcessing({ walled, objects, records, flows, webhooks, keepMs, log }: ProcessingOptions): Processing {
  const store = openJobStore(records)
  const history = createHistory({ store, flows, flow: FLOW, log })
  /** Who follows a job on this node; others look from time to time. */
  const followers = new Map<string, Set<() => void>>()
  let wakeWorker: () => void = () => undefined

  function changed(id: string): void {
    for (const wake of followers.get(id) ?? []) wake()
  }

  function checked({ dataset, code, timeoutMs = walled.most.wallMs, memoryBytes = walled.most.memoryBytes }: ProcessRequest): StoredRequest {
    formatOf(dataset)
    refuseMore({ timeoutMs, memoryBytes }, walled.most)
    return { dataset, code, timeoutMs, memoryBytes }
  }

  async function carryOut(id: string, { dataset, code, timeoutMs, memoryBytes }: StoredRequest, options: RunJobOptions): Promise<Ending> {
    const began = performance.now()
    const release = objects.hold()
    try {
      const info = await objects.head(dataset)
      if (!info) throw noDataset(dataset)
      const parquet = `processed/${id}.parquet`
      const staged = await objects.stage(parquet)
      try {
        const input = { path: await objects.localFile(dataset), format: formatOf(dataset), key: `${dataset} ${info.size} ${info.modified}` }
        const result = await walled.run({ code, input, output: staged.file, timeoutMs, memoryBytes }, options)
        const good = result.status === 'success'
        if (good) await staged.publish()
        return {
          status: result.status,
          result,
          message: null,
          parquet: good ? parquet : null,
          seconds: Math.round(performance.now() - began) / 1000,
        }
      } finally {
        await staged.discard()
      }
    } finally {
      release()
    }
  }

  const processFlow = flow(FLOW, { params: z.object({ id: z.string(), dataset: z.string() }) }, (p) => {
    task('run', {
      with: { id: p.id },
      pool: PROCESS_POOL,
      retries: 4,
      retryDelay: '2s',
      backoff: 'exponential',
      retryOn: ['unavailable'],
      async run({ id }, ctx) {
        const before = await store.get(id)
        if (before.endedAt !== null) return outcomeOf(before)
        const request = await store.request(id)
        const phases = paced(async (phase: Phase) => {
          await store.running(id, phase)
          changed(id)
        })
        let ending: Ending
        try {
          ending = await carryOut(id, request, {
            signal: ctx.signal,
            onLog: (line) => ctx.log(line),
            // Until the sandbox has a place for it, it waits.
            onPhase: (phase) => (phase === 'queued' ? undefined : phases.tell(phase)),
          })
        } catch (error) {
          await phases.close()
          // Its run would tell it a little later.
          if (ctx.signal.reason === 'cancelled' && (await store.end(id, nothing('cancelled', 'It was cancelled')))) over(id)
          throw error
        }
        await phases.close()
        await store.end(id, ending)
        over(id)
        return outcomeOf(await store.get(id))
      },
    })
  })

  function over(id: string): void {
    changed(id)
    wakeWorker()
  }

  async function begin(id: string, dataset: string): Promise<void> {
    await flows().trigger(FLOW, { id, params: { id, dataset }, kind: 'process', subject: dataset, by: 'process' })
  }

  /** Jobs whose run is over without having told so: cancelled in the queue, or lost too often; and those that were stored but never handed to the engine. */
  async function settle(): Promise<void> {
    let after = ''
    for (;;) {
      const ids = await store.open(after, 500)
      const states = await flows().states(ids)
      for (const id of ids) {
        const state = states.get(id)
        if (state === undefined) await begin(id, (await store.request(id)).dataset)
        else if (state !== 'queued' && state !== 'running') {
          const { error } = await flows().run(id)
          if (await store.end(id, endingOf(state, error))) over(id)
        }
      }
      const last = ids.at(-1)
      if (last === undefined || ids.length < 500) return
      after = last
    }
  }

  async function deliver(job: StoredJob, signal: AbortSignal): Promise<void> {
    try {
      await webhooks.send(job.webhook ?? '', { id: `job_${job.id}`, body: JSON.stringify(noticeOf(job)) }, signal)
      await store.delivered(job.id)
    } catch (error) {
      signal.throwIfAborted()
      const fault = toLagoaError(error)
      const delay = fault.kind === 'unavailable' && !isGone(fault) ? (RETRY_MS[job.deliveries] ?? null) : null
      // Many that failed together do not come back together.
      await store.notDelivered(job.id, fault.message, delay && delay * (0.8 + 0.4 * Math.random()))
      log.warn('process.webhook_failed', { job: job.id, attempt: job.deliveries + 1, givenUp: delay === null, error: fault })
    }
    changed(job.id)
  }

  async function read(id: string): Promise<StoredJob> {
    await history.written(id)
    return store.get(id)
  }

  /** Until something changed on this node, or it is time to look. */
  function change(id: string, signal: AbortSignal): Promise<void> {
    return new Promise((done) => {
      const wakers = followers.get(id) ?? new Set()
      followers.set(id, wakers)
      const wake = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', wake)
        wakers.delete(wake)
        if (wakers.size === 0) followers.delete(id)
        done()
      }
      const timer = setTimeout(wake, LOOK_MS)
      wakers.add(wake)
      signal.addEventListener('abort', wake, { once: true })
      if (signal.aborted) wake()
    })
  }

  return {
    flows: [processFlow],
    validate: (code) => walled.validate(code),
    async run(asked, signal) {
      const request = checked(asked)
      const id = newId()
      const startedAt = Date.now()
      const lines: string[] = []
      let ending: Ending
      try {
        ending = await carryOut(id, request, { signal, onLog: (line) => lines.push(line) })
      } catch (error) {
        if (signal.aborted) history.add({ id, request, ...nothing('cancelled', 'Who asked for it went away'), startedAt, endedAt: Date.now() }, lines)
        throw error
      }
      const endedAt = Date.now()
      history.add({ id, request, ...ending, startedAt, endedAt }, lines)
      return {
        id,
        dataset: request.dataset,
        ...ending,
        phase: null,
        createdAt: startedAt,
        startedAt,
        endedAt,
        webhook: null,
        delivery: null,
        deliveries: 0,
        deliverAt: null,
        deliveryError: null,
      }
    },
    async submit({ key, webhook, ...asked }) {
      const request = checked(asked)
      if (webhook !== undefined) webhooks.check(webhook)
      if (!(await objects.head(request.dataset))) throw noDataset(request.dataset)
      if ((await store.openCount()) >= MOST_OPEN)
        throw unavailable('process.busy', `${MOST_OPEN} jobs wait already`, { hint: 'Ask again when some have ended: GET /process/jobs?status=queued.' })
      const job = await store.insert({ id: newId(), request, key: key ?? null, webhook: webhook ?? null })
      // It is stored: what keeps it from the engine now is made up for by the worker.
      if (job.endedAt === null)
        await begin(job.id, job.dataset).catch((error: unknown) => log.warn('process.not_begun', { job: job.id, error: toLagoaError(error) }))
      return job
    },
    get: read,
    async logs(id) {
      const { items } = await flows()
        .logs(id, { limit: 100_000 })
        .catch((error: unknown) => (toLagoaError(error).kind === 'missing' ? { items: [] } : Promise.reject(error)))
      return items
        .filter(({ level }) => level === 'info')
        .map(({ text }) => text)
        .slice(-SHOWN_LINES)
    },
    list: (filter) => store.list(filter),
    async cancel(id) {
      const job = await read(id)
      if (job.endedAt !== null) return job
      const run = await flows()
        .cancel(id)
        .catch((error: unknown) => (toLagoaError(error).kind === 'missing' ? null : Promise.reject(error)))
      // One that runs is told within a second, and ends as what it is then.
      if (run === null || run.endedAt !== null) {
        await store.end(id, run === null ? nothing('cancelled', 'It was cancelled') : endingOf(run.state, run.error))
        over(id)
      }
      return store.get(id)
    },
    async ended(id, signal) {
      let job = await read(id)
      while (job.endedAt === null && !signal.aborted) {
        await change(id, signal)
        job = await store.get(id)
      }
      return job
    },
    async *follow(id, from, signal) {
      let cursor = from
      let told = ''
      let late = false
      await read(id)
      while (!signal.aborted) {
        const job = await store.get(id)
        const page = await flows()
          .logs(id, { cursor, limit: 1_000 })
          .catch((error: unknown) => (toLagoaError(error).kind === 'missing' ? { items: [], cursor: cursor ?? '' } : Promise.reject(error)))
        const state = `${job.status} ${job.phase}`
        if (state !== told && job.endedAt === null) yield { type: 'status', job, cursor: cursor ?? '' }
        told = state
        const lines = page.items.filter(({ level }) => level === 'info')
        for (const [place, { text }] of lines.entries()) yield { type: 'log', line: text, cursor: place === lines.length - 1 ? page.cursor : (cursor ?? '') }
        if (page.cursor !== '') cursor = page.cursor
        if (job.endedAt === null || page.items.length > 0) {
          late = false
          if (page.items.length === 0) await change(id, signal)
        } else if (late || Date.now() - job.endedAt > 2 * LATE_LINES_MS) {
          yield { type: 'end', job, cursor: cursor ?? '' }
          return
        } else {
          late = true
          await pause(LATE_LINES_MS, signal)
        }
      }
    },
    async work(signal) {
      let settleAt = 0
      let trimAt = 0
      while (!signal.aborted) {
        const woken = new Promise<void>((wake) => (wakeWorker = wake))
        const now = Date.now()
        if (now >= settleAt) {
          await settle()
          settleAt = now + SETTLE_MS
        }
        if (now >= trimAt) {
          await store.trim(keepMs, 1_000)
          trimAt = now + TRIM_MS
        }
        const due = await store.due(SENT_AT_A_TIME)
        await Promise.all(due.map((job) => deliver(job, signal)))
        if (due.length < SENT_AT_A_TIME) await Promise.race([woken, pause(LOOK_MS, signal)])
      }
    },
    close: () => history.close(),
  }
}

const noDataset = (dataset: string): LagoaError =>
  missing('process.no_dataset', `There is no data set ${dataset}`, { hint: 'dataset_path is bucket/path/file.csv in the object store.' })

const nothing = (status: Ending['status'], message: string): Ending => ({ status, result: null, message, parquet: null, seconds: null })

/** Of a job whose run ended without a result. */
function endingOf(state: string, error: { readonly kind: string; readonly message: string } | null): Ending {
  if (state === 'cancelled') return nothing('cancelled', 'It was cancelled')
  const isOfTheData = error?.kind === 'missing' || error?.kind === 'invalid'
  return nothing(isOfTheData ? 'error' : 'killed', error?.message ?? 'Its process ended again and again before it was done')
}

/** What the run of a job answers: where its result is. A job that did not succeed is a run that failed. */
function outcomeOf({ id, status, parquet, result, message }: StoredJob): { job: string; parquet: string | null; rows: number | null } {
  if (status === 'success') return { job: id, parquet, rows: result?.rows ?? null }
  throw (result && faultOf(result, 'the code')) ?? invalid(`process.${status}`, message ?? `The job ended as ${status}`)
}

/** What a webhook tells: enough to know whether to look. */
function noticeOf(job: StoredJob): object {
  const { id, status, dataset, endedAt } = job
  return {
    type: 'process.job.ended',
    timestamp: new Date(endedAt ?? 0).toISOString(),
    data: { job_id: id, status, dataset_path: dataset, ...factsOf(job) },
  }
}

/** What came of a job in the words of the API, with null where there is nothing. */
export interface JobFacts {
  readonly parquet_path: string | null
  readonly rows: number | null
  readonly columns: string[] | null
  readonly execution_time: number | null
  readonly message: string | null
  readonly line: number | null
}

export const factsOf = ({ status, parquet, seconds, result, message }: StoredJob): JobFacts => ({
  parquet_path: parquet,
  rows: result?.rows ?? null,
  columns: result?.columns?.map(({ name }) => name) ?? null,
  execution_time: status === 'success' ? seconds : null,
  message: message ?? result?.message ?? null,
  line: result?.line ?? null,
})

export function formatOf(dataset: string): 'csv' | 'json' | 'parquet' {
  const name = basename(dataset).replace(/\.(gz|zst|bz2)$/i, '')
  const format = FORMATS[extname(name).toLowerCase()]
  if (format === undefined || !dataset.includes('/'))
    throw invalid('process.dataset_path', `"${dataset}" is no data set that can be read`, {
      hint: 'Write bucket/path/file with the ending .csv, .json, .jsonl or .parquet, also with .gz or .zst behind it.',
    })
  return format
}

/** Tells the first value at once, and from there on the newest one at most so often. */
function paced<T>(tell: (value: T) => Promise<void>): { tell(value: T): void; close(): Promise<void> } {
  let newest: { readonly value: T } | null = null
  let timer: NodeJS.Timeout | null = null
  let telling: Promise<void> = Promise.resolve()
  const say = (): void => {
    timer = null
    const next = newest
    newest = null
    if (next === null) return
    // What is not told is seen by the next look.
    telling = telling.then(() => tell(next.value)).catch(() => undefined)
    timer = setTimeout(say, PHASE_MS)
  }
  return {
    tell(value) {
      newest = { value }
      if (timer === null) say()
    },
    async close() {
      if (timer) clearTimeout(timer)
      await telling
    },
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      done()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
  })
}
