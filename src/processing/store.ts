/** What is kept of jobs: one row each, with what was asked, where it stands, what came of it, and the notice that is still to be sent. */
import { conflict, missing } from '../base/index.ts'
import { plainText } from '../flows/index.ts'
import type { JobResult, JobStatus, Phase } from '../sandbox/index.ts'
import type { Migration, Records } from '../storage/index.ts'

export const processMigrations: readonly Migration[] = [
  {
    name: '0550_process_jobs',
    sql: `
      create table process_jobs (
        -- That of its run.
        id text primary key,
        dataset text not null,
        -- Code, and what it says, may be any text, also such as a text here cannot hold: json keeps it as it is, as long as nothing looks into it.
        request json not null,
        status text not null,
        phase text,
        result json,
        message text,
        parquet text,
        seconds double precision,
        -- Two requests with the same key are one job.
        key text unique,
        created_at timestamptz not null default now(),
        started_at timestamptz,
        ended_at timestamptz,
        webhook text,
        -- Of the webhook: waiting, delivered or given_up.
        delivery text check (delivery in ('waiting', 'delivered', 'given_up')),
        deliveries integer not null default 0,
        deliver_at timestamptz,
        delivery_error text
      );
      create index process_jobs_by_status on process_jobs (status, id desc);
      create index process_jobs_open on process_jobs (id) where ended_at is null;
      create index process_jobs_ended on process_jobs (ended_at) where ended_at is not null;
      create index process_jobs_due on process_jobs (deliver_at) where delivery = 'waiting' and ended_at is not null;
    `,
  },
]

/** A job that is over has the status of its result, or `cancelled`. */
export type ProcessStatus = 'queued' | 'running' | 'cancelled' | JobStatus

export interface StoredRequest {
  readonly dataset: string
  readonly code: string
  readonly timeoutMs: number
  readonly memoryBytes: number
}

export interface StoredJob {
  readonly id: string
  readonly dataset: string
  readonly status: ProcessStatus
  readonly phase: Phase | null
  /** Null while it is not over, and when it ended without one. */
  readonly result: JobResult | null
  /** Why it did not succeed. */
  readonly message: string | null
  readonly parquet: string | null
  readonly seconds: number | null
  readonly createdAt: number
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly webhook: string | null
  readonly delivery: 'waiting' | 'delivered' | 'given_up' | null
  readonly deliveries: number
  readonly deliverAt: number | null
  readonly deliveryError: string | null
}

export interface NewJob {
  readonly id: string
  readonly request: StoredRequest
  readonly key: string | null
  readonly webhook: string | null
}

/** How a job ended. */
export interface Ending {
  readonly status: ProcessStatus
  readonly result: JobResult | null
  readonly message: string | null
  readonly parquet: string | null
  readonly seconds: number | null
}

/** A job that was carried out without waiting in the queue. */
export interface PastJob extends Ending {
  readonly id: string
  readonly request: StoredRequest
  readonly startedAt: number
  readonly endedAt: number
}

export interface JobFilter {
  readonly status?: ProcessStatus | undefined
  readonly dataset?: string | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

export interface JobStore {
  /** The job; with a key that was there before the earlier one. Refuses when that asked for something else. */
  insert(job: NewJob): Promise<StoredJob>
  /** Jobs that are over, all in one statement. */
  keep(jobs: readonly PastJob[]): Promise<void>
  get(id: string): Promise<StoredJob>
  request(id: string): Promise<StoredRequest>
  list(filter: JobFilter): Promise<{ items: StoredJob[]; cursor?: string }>
  /** Those that are not over, in the order of their ids from `after` on. */
  open(after: string, limit: number): Promise<string[]>
  openCount(): Promise<number>
  /** It runs, and is in this phase. */
  running(id: string, phase: Phase): Promise<void>
  /** False when it was over already: then nothing changes. */
  end(id: string, ending: Ending): Promise<boolean>
  /** Whose webhook is due, the longest due first. */
  due(limit: number): Promise<StoredJob[]>
  delivered(id: string): Promise<void>
  /** With null the webhook is given up. */
  notDelivered(id: string, error: string, retryMs: number | null): Promise<void>
  /** Removes what ended longer ago than this and has no webhook to send; answers the ids, at most as many as it is told. */
  trim(olderMs: number, most: number): Promise<string[]>
}

const COLUMNS = `id, dataset, status, phase, result, message, parquet, seconds, created_at as "createdAt", started_at as "startedAt",
  ended_at as "endedAt", webhook, delivery, deliveries, deliver_at as "deliverAt", delivery_error as "deliveryError"`
/** Lists leave out what is long. */
const HEAD = COLUMNS.replace('result,', 'null::json as result,')

export function openJobStore(records: Records): JobStore {
  const noJob = (id: string): Error => missing('process.no_job', `There is no job ${id}`, { hint: 'GET /process/jobs lists them.' })

  async function get(id: string): Promise<StoredJob> {
    const [row] = await records.query<StoredJob>(`select ${COLUMNS} from process_jobs where id = $1`, [id], { name: 'process_get' })
    if (!row) throw noJob(id)
    return row
  }

  return {
    get,
    async insert({ id, request, key, webhook }) {
      const text = JSON.stringify(request)
      const [row] = await records.query<StoredJob>(
        `insert into process_jobs (id, dataset, request, status, key, webhook, delivery)
         values ($1, $5, $2::json, 'queued', $3, $4, case when $4::text is null then null else 'waiting' end)
         on conflict (key) do nothing returning ${COLUMNS}`,
        [id, text, key, webhook, plainText(request.dataset)],
        { name: 'process_insert' },
      )
      if (row) return row
      const [before] = await records.query<StoredJob & { same: boolean }>(
        `select ${COLUMNS}, request::text = $2 and webhook is not distinct from $3 as same from process_jobs where key = $1`,
        [key, text, webhook],
      )
      if (!before) throw noJob(id)
      const { same, ...job } = before
      if (same) return job
      throw conflict('process.key_used', `The Idempotency-Key ${key} was used for another request, which is job ${job.id}`, {
        hint: 'Use a new key for each request, and the same one only to send it again.',
      })
    },
    async keep(jobs) {
      await records.query(
        `insert into process_jobs (id, dataset, request, status, result, message, parquet, seconds, created_at, started_at, ended_at)
         select * from unnest($1::text[], $10::text[], $2::json[], $3::text[], $4::json[], $5::text[], $6::text[], $7::float8[], $8::timestamptz[], $8::timestamptz[], $9::timestamptz[])
         on conflict do nothing`,
        [
          jobs.map(({ id }) => id),
          jobs.map(({ request }) => JSON.stringify(request)),
          jobs.map(({ status }) => status),
          jobs.map(({ result }) => result && JSON.stringify(result)),
          jobs.map(messageOf),
          jobs.map(({ parquet }) => parquet),
          jobs.map(({ seconds }) => seconds),
          jobs.map(({ startedAt }) => new Date(startedAt)),
          jobs.map(({ endedAt }) => new Date(endedAt)),
          jobs.map(({ request }) => plainText(request.dataset)),
        ],
        { name: 'process_keep' },
      )
    },
    async request(id) {
      const [row] = await records.query<{ request: StoredRequest }>('select request from process_jobs where id = $1', [id], { name: 'process_request' })
      if (!row) throw noJob(id)
      return row.request
    },
    async list({ status, dataset, limit, cursor }) {
      const items = await records.query<StoredJob>(
        `select ${HEAD} from process_jobs
         where ($1::text is null or status = $1) and ($2::text is null or dataset = $2) and ($3::text is null or id < $3) order by id desc limit $4`,
        [status ?? null, dataset ?? null, cursor ?? null, limit + 1],
      )
      const last = items.length > limit ? items[limit - 1] : undefined
      return { items: items.slice(0, limit), ...(last ? { cursor: last.id } : {}) }
    },
    async open(after, limit) {
      const rows = await records.query<{ id: string }>(
        `select id from process_jobs where ended_at is null and id > $1 and created_at < now() - interval '1 second' order by id limit $2`,
        [after, limit],
        { name: 'process_open' },
      )
      return rows.map(({ id }) => id)
    },
    async openCount() {
      const [row] = await records.query<{ n: number }>('select count(*) as n from process_jobs where ended_at is null', [], { name: 'process_open_count' })
      return row?.n ?? 0
    },
    async running(id, phase) {
      await records.query(
        "update process_jobs set status = 'running', started_at = coalesce(started_at, now()), phase = $2 where id = $1 and ended_at is null",
        [id, phase],
        { name: 'process_running' },
      )
    },
    async end(id, { status, result, message, parquet, seconds }) {
      const rows = await records.query(
        `update process_jobs set status = $2, result = $3::json, message = $4, parquet = $5, seconds = $6, phase = null, ended_at = now(), deliver_at = now(),
           started_at = case when $3::json is null then started_at else coalesce(started_at, now()) end
         where id = $1 and ended_at is null returning id`,
        [id, status, result && JSON.stringify(result), messageOf({ message, result }), parquet, seconds],
        { name: 'process_end' },
      )
      return rows.length > 0
    },
    due: (limit) =>
      records.query<StoredJob>(
        `select ${COLUMNS} from process_jobs where delivery = 'waiting' and ended_at is not null and deliver_at <= now() order by deliver_at limit $1`,
        [limit],
        { name: 'process_due' },
      ),
    async delivered(id) {
      await records.query(
        "update process_jobs set delivery = 'delivered', deliveries = deliveries + 1, deliver_at = null, delivery_error = null where id = $1",
        [id],
      )
    },
    async notDelivered(id, error, retryMs) {
      await records.query(
        `update process_jobs set deliveries = deliveries + 1, delivery_error = $2, delivery = case when $3::float8 is null then 'given_up' else 'waiting' end,
           deliver_at = now() + $3::float8 * interval '1 ms' where id = $1`,
        [id, plainText(error), retryMs],
      )
    },
    async trim(olderMs, most) {
      const rows = await records.query<{ id: string }>(
        `delete from process_jobs where id in (
           select id from process_jobs where ended_at < now() - $1::float8 * interval '1 ms' and delivery is distinct from 'waiting' order by ended_at limit $2
         ) returning id`,
        [olderMs, most],
      )
      return rows.map(({ id }) => id)
    },
  }
}

/** Why it did not succeed, for lists that leave out results. */
const messageOf = ({ message, result }: Pick<Ending, 'message' | 'result'>): string | null => {
  const text = message ?? result?.message ?? null
  return text === null ? null : plainText(text)
}
