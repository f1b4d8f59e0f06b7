/**
 * Backfills: a flow run for many partitions, planned first, then so many at a time. All their runs are made at once, in one transaction with the
 * backfill itself; which of them begin, and when, is the run engine's business. A backfill that is paused begins no more.
 */
import { invalid, missing, newId } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { RunEngine } from './engine/engine.ts'
import type { Json } from './engine/words.ts'
import type { LoadedFlow } from './execute.ts'
import { checkedParams } from './params.ts'
import { MOST_PARTITIONS, partitionBefore, partitionsBetween, windowOf } from './partitions.ts'

export interface BackfillRequest {
  /** The first and the last partition, both included; by default the last one is the newest that is over. */
  readonly from?: string | undefined
  readonly to?: string | undefined
  /** In place of a range. */
  readonly partitions?: readonly string[] | undefined
  readonly params?: unknown
  /** Leaves out what has succeeded or is under way (the default), or runs all again. */
  readonly existing?: 'skip' | 'again' | undefined
  readonly order?: 'oldest' | 'newest' | undefined
  /** Runs at a time. */
  readonly concurrency?: number | undefined
}

export interface BackfillPlan {
  /** Those that it will run. */
  readonly partitions: number
  /** Those that have succeeded or are under way. */
  readonly skipped: number
  readonly first: string | null
  readonly last: string | null
  readonly sample: readonly string[]
}

export interface BackfillView {
  readonly id: string
  readonly flow: string
  readonly state: 'running' | 'paused' | 'succeeded' | 'failed' | 'cancelled'
  readonly total: number
  readonly queued: number
  readonly running: number
  readonly succeeded: number
  readonly failed: number
  readonly cancelled: number
  readonly concurrency: number | null
  readonly params: Json
  readonly first: string
  readonly last: string
  readonly createdAt: number
  readonly endedAt: number | null
}

export interface Backfills {
  plan(flow: string, request: BackfillRequest): Promise<BackfillPlan>
  /** With a key the same request again is the same backfill. */
  create(flow: string, request: BackfillRequest & { readonly by: string; readonly key?: string | undefined }): Promise<BackfillView>
  list(filter: {
    readonly flow?: string | undefined
    readonly limit: number
    readonly cursor?: string | undefined
  }): Promise<{ items: BackfillView[]; cursor?: string }>
  get(id: string): Promise<BackfillView>
  pause(id: string, paused: boolean): Promise<BackfillView>
  cancel(id: string): Promise<BackfillView>
}

export interface BackfillsOptions {
  readonly records: Records
  readonly engine: RunEngine
  readonly known: (flow: string) => LoadedFlow
  readonly now: () => number
}

/** Runs at a time, unless said. */
const CONCURRENCY = 16
const SAMPLE = 20

interface Chosen {
  readonly partitions: readonly string[]
  readonly skipped: number
}

export function createBackfills({ records, engine, known, now }: BackfillsOptions): Backfills {
  async function choose({ flow: { name, options } }: LoadedFlow, request: BackfillRequest): Promise<Chosen> {
    const asked = askedFor(name, options.partition, options.timeZone ?? 'UTC', request, now())
    if (request.existing === 'again') return { partitions: asked, skipped: 0 }
    const rows = await records.query<{ partition: string }>(
      `select distinct partition from runs where flow = $1 and partition = any($2) and state in ('succeeded', 'queued', 'running')`,
      [name, asked],
    )
    const there = new Set(rows.map(({ partition }) => partition))
    return { partitions: asked.filter((one) => !there.has(one)), skipped: there.size }
  }

  const read = (where: string, values: readonly (string | number | null)[]): Promise<BackfillView[]> =>
    records.query<BackfillView>(
      `select b.id, b.flow, b.slots as concurrency, b.params, b.first, b.last, b.total, b.created_at as "createdAt", c.queued, c.running, c.succeeded, c.failed, c.cancelled,
         case when c.queued + c.running > 0 then case when b.cancelled then 'cancelled' when b.paused then 'paused' else 'running' end
           when c.cancelled > 0 then 'cancelled' when c.failed > 0 then 'failed' else 'succeeded' end as state,
         case when c.queued + c.running = 0 then c.ended end as "endedAt"
       from run_backfills b cross join lateral (
         select count(*) filter (where state = 'queued') as queued, count(*) filter (where state = 'running') as running,
           count(*) filter (where state = 'succeeded') as succeeded, count(*) filter (where state = 'failed') as failed,
           count(*) filter (where state = 'cancelled') as cancelled, max(ended_at) as ended
         from runs where backfill = b.id
       ) c where ${where}`,
      values,
    )

  const get = async (id: string): Promise<BackfillView> => {
    const [found] = await read('b.id = $1', [id])
    if (!found) throw missing('flows.no_backfill', `There is no backfill ${id}`, { hint: 'GET /api/v1/backfills lists them, or lagoa flows backfills.' })
    return found
  }

  return {
    async plan(flow, request) {
      const { partitions, skipped } = await choose(known(flow), request)
      return { partitions: partitions.length, skipped, first: partitions[0] ?? null, last: partitions.at(-1) ?? null, sample: partitions.slice(0, SAMPLE) }
    },
    async create(name, request) {
      const loaded = known(name)
      const { by, key, order = 'oldest', concurrency = CONCURRENCY } = request
      if (!Number.isInteger(concurrency) || concurrency < 1)
        throw invalid('flows.concurrency', `A backfill cannot have ${concurrency} runs at a time`, { hint: 'Give a whole number from 1 on.' })
      const params = checkedParams(loaded.flow, request.params)
      if (key !== undefined) {
        const [made] = await records.query<{ id: string }>('select id from run_backfills where flow = $1 and key = $2', [name, key])
        if (made) return get(made.id)
      }
      const { partitions, skipped } = await choose(loaded, request)
      const [first, last] = [partitions[0], partitions.at(-1)]
      if (first === undefined || last === undefined)
        throw invalid('flows.backfill_empty', `All ${skipped} partitions have succeeded or are under way`, {
          hint: "Run them again with existing: 'again' (--again).",
        })
      const id = newId()
      // Runs begin in the order of their ids, which are those of the moments before now.
      const began = Date.now() - partitions.length
      const runs = (order === 'oldest' ? partitions : partitions.toReversed()).map((partition, i) => ({
        id: newId(began + i),
        kind: 'flow',
        flow: name,
        graph: loaded.hash,
        params,
        partition,
        backfill: id,
        priority: loaded.flow.options.priority,
        trigger: { by, backfill: id },
      }))
      await records.transaction(async (tx) => {
        await tx.query(
          `insert into run_backfills (id, flow, key, params, first, last, slots, total, created_at)
           values ($1, $2, $3, $4::jsonb, $5, $6, $7, $8, $9) on conflict (flow, key) do nothing`,
          [id, name, key ?? null, JSON.stringify(params), first, last, concurrency, partitions.length, new Date(now())],
        )
        const [made] = await tx.query('select id from run_backfills where id = $1', [id])
        if (made) await engine.enqueue(runs, tx)
      })
      void engine.look()
      if (key === undefined) return get(id)
      const [made] = await records.query<{ id: string }>('select id from run_backfills where flow = $1 and key = $2', [name, key])
      return get(made?.id ?? id)
    },
    async list({ flow, limit, cursor }) {
      const items = await read('($1::text is null or b.flow = $1) and ($2::text is null or b.id < $2) order by b.id desc limit $3', [
        flow ?? null,
        cursor ?? null,
        limit + 1,
      ])
      const last = items.length > limit ? items[limit - 1] : undefined
      return { items: items.slice(0, limit), ...(last ? { cursor: last.id } : {}) }
    },
    get,
    async pause(id, paused) {
      await get(id)
      await records.query('update run_backfills set paused = $2 where id = $1', [id, paused])
      void engine.look()
      return get(id)
    },
    async cancel(id) {
      await get(id)
      // A run that is just being begun is seen as running afterwards.
      await records.query('update run_backfills set cancelled = true where id = $1', [id])
      await records.query(
        `update runs set state = 'cancelled', cancel_at = $2, ended_at = $2 where id in (select id from runs where backfill = $1 and state = 'queued' for update)`,
        [id, new Date(now())],
      )
      const going = await records.query<{ id: string }>(`select id from runs where backfill = $1 and state = 'running'`, [id])
      for (const run of going) await engine.cancel(run.id)
      return get(id)
    },
  }
}

function askedFor(
  flow: string,
  unit: 'hour' | 'day' | 'week' | 'month' | undefined,
  timeZone: string,
  { from, to, partitions }: BackfillRequest,
  now: number,
): string[] {
  if (partitions) {
    if (from !== undefined || to !== undefined)
      throw invalid('flows.backfill_both', 'A backfill has a range or a list of partitions, not both', { hint: 'Take away from and to, or partitions.' })
    if (partitions.length > MOST_PARTITIONS)
      throw invalid('flows.backfill_size', `${partitions.length} partitions are too many at once`, { hint: `Give at most ${MOST_PARTITIONS}.` })
    if (unit !== undefined) for (const name of partitions) windowOf(unit, name, timeZone)
    return [...new Set(partitions)]
  }
  if (unit === undefined)
    throw invalid('flows.no_partition', `Flow ${flow} has no partitions in time`, {
      hint: "Declare flow(name, { partition: 'day' }, ...), or give a list of partitions.",
    })
  if (from === undefined) throw invalid('flows.backfill_from', 'A backfill needs to know where to begin', { hint: "Give from: '2026-03-01', for example." })
  return partitionsBetween(unit, from, to ?? partitionBefore(unit, now, timeZone))
}
