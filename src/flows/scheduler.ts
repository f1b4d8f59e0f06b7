/**
 * What makes runs by itself: times that have come, and tables and streams that have moved on. Every node looks; what was seen stands in the
 * database, and a run's key says what it is for, so that one time, or one step, makes one run however many nodes saw it.
 */
import { idFrom, newId, toLagoaError, type Log } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { Followed } from './declare.ts'
import type { RunEngine } from './engine/engine.ts'
import type { Json } from './engine/words.ts'
import type { LoadedFlow } from './execute.ts'
import { checkedParams } from './params.ts'
import { partitionBefore } from './partitions.ts'
import { dueAt, type NextTime } from './schedules.ts'

export interface Scheduler {
  /** Takes these in the place of those before. */
  set(flows: readonly Scheduled[]): Promise<void>
  readonly times: ReadonlyMap<string, NextTime>
  /** Looks once; answers whether it made runs. */
  look(): Promise<boolean>
  start(): void
  stop(): Promise<void>
}

export interface Scheduled {
  readonly loaded: LoadedFlow
  readonly times: NextTime | null
}

export interface SchedulerOptions {
  readonly records: Records
  readonly engine: RunEngine
  readonly log: Log
  /** How far a table or a stream is. */
  readonly position: (of: Followed) => Promise<Json>
  /** Null is the database's clock. */
  readonly now: (() => number) | null
}

const LOOK_MS = 500
/** Tables and streams are asked less often: each costs a round trip to where it is. */
const FOLLOW_MS = 1_000

export function createScheduler({ records, engine, log, position, now }: SchedulerOptions): Scheduler {
  let flows: ReadonlyMap<string, Scheduled> = new Map()
  let times: ReadonlyMap<string, NextTime> = new Map()
  let followedAt = 0
  const stopping = new AbortController()
  let looking: Promise<void> = Promise.resolve()

  async function isGoing(flow: string, by: string): Promise<boolean> {
    const rows = await records.query(`select id from runs where flow = $1 and state in ('queued', 'running') and trigger ->> 'by' = $2 limit 1`, [flow, by])
    return rows.length > 0
  }

  /** Another node may have been quicker. */
  const move = (flow: string, from: number, next: number | null): Promise<unknown> =>
    records.query('update run_schedules set next_at = $3 where flow = $1 and next_at = $2', [flow, new Date(from), next === null ? null : new Date(next)])

  async function fire(): Promise<boolean> {
    if (times.size === 0) return false
    const due = await records.query<{ flow: string; nextAt: number; now: number }>(
      'select flow, next_at as "nextAt", run_now($2) as now from run_schedules where not paused and next_at <= run_now($2) and flow = any($1)',
      [[...times.keys()], now ? new Date(now()) : null],
      { name: 'run_schedules_due' },
    )
    for (const { flow: name, nextAt, now: at } of due) {
      const scheduled = flows.get(name)
      if (!scheduled?.times) continue
      const { flow, hash } = scheduled.loaded
      const { catchUp = 'newest', overlap = 'allow', scheduleParams, priority, partition, timeZone = 'UTC' } = flow.options
      const { times: moments, next } = dueAt(scheduled.times, nextAt, at, catchUp)
      if (overlap !== 'allow' && (await isGoing(name, 'schedule'))) {
        if (overlap === 'queue') continue
        await move(name, nextAt, next)
        log.info('flows.schedule_skipped', { flow: name, at: new Date(nextAt).toISOString() })
        continue
      }
      const params = checkedParams(flow, scheduleParams)
      await engine.enqueue(
        moments.map((time) => {
          const iso = new Date(time).toISOString()
          const of = partition === undefined ? {} : { partition: partitionBefore(partition, time, timeZone) }
          return { id: newId(), kind: 'flow', flow: name, graph: hash, params, priority, trigger: { by: 'schedule', at: iso }, key: `schedule ${iso}`, ...of }
        }),
      )
      await move(name, nextAt, next)
    }
    return due.length > 0
  }

  async function follow(): Promise<boolean> {
    let made = false
    for (const [name, { loaded }] of flows) {
      for (const asset of followedBy(loaded)) {
        try {
          made = (await step(name, loaded, asset)) || made
        } catch (error) {
          log.warn('flows.follow_failed', { flow: name, asset: asset.name, error: toLagoaError(error) })
        }
      }
    }
    return made
  }

  async function step(name: string, { flow, hash }: LoadedFlow, asset: Followed): Promise<boolean> {
    const known = nameOf(asset)
    const to = await position(asset)
    const [watch] = await records.query<{ seen: Json }>('select seen from run_watches where flow = $1 and asset = $2', [name, known])
    if (!watch) {
      // What was there before the flow followed it is not news.
      await records.query('insert into run_watches (flow, asset, seen) values ($1, $2, $3::jsonb) on conflict do nothing', [name, known, JSON.stringify(to)])
      return false
    }
    const from = watch.seen
    if (JSON.stringify(from) === JSON.stringify(to)) return false
    const { overlap = 'queue', scheduleParams, priority } = flow.options
    if (overlap !== 'allow' && (await isGoing(name, asset.kind))) return false
    const trigger = { by: asset.kind, [asset.kind]: asset.name, from, to }
    const key = `${known} ${idFrom(JSON.stringify([from, to]))}`
    await engine.enqueue([{ id: newId(), kind: 'flow', flow: name, graph: hash, params: checkedParams(flow, scheduleParams), priority, trigger, key }])
    await records.query('update run_watches set seen = $3::jsonb where flow = $1 and asset = $2 and seen = $4::jsonb', [
      name,
      known,
      JSON.stringify(to),
      JSON.stringify(from),
    ])
    return true
  }

  async function look(): Promise<boolean> {
    let made = await fire().catch((error: unknown) => {
      log.warn('flows.schedule_failed', { error: toLagoaError(error) })
      return false
    })
    if (now !== null || performance.now() - followedAt >= FOLLOW_MS) {
      made = (await follow()) || made
      followedAt = performance.now()
    }
    return made
  }

  async function loop(): Promise<void> {
    while (!stopping.signal.aborted) {
      await look()
      await new Promise<void>((done) => {
        const timer = setTimeout(done, LOOK_MS)
        stopping.signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true })
      })
    }
  }

  return {
    get times() {
      return times
    },
    async set(scheduled) {
      const from = now ? now() : Date.now()
      for (const { loaded, times: at } of scheduled) {
        if (!at) continue
        const { cron = '', every = '', timeZone = '', jitter } = loaded.flow.options
        const first = at(from)
        // A schedule that was changed begins anew; one that was not goes on from where it was, over the time that nobody ran it.
        await records.query(
          `insert into run_schedules (flow, spec, next_at) values ($1, $2, $3)
           on conflict (flow) do update set spec = excluded.spec, next_at = case when run_schedules.spec = excluded.spec then run_schedules.next_at else excluded.next_at end`,
          [loaded.flow.name, idFrom(cron, String(every), timeZone, ...(jitter === undefined ? [] : [String(jitter)])), first === null ? null : new Date(first)],
        )
      }
      flows = new Map(scheduled.map((one) => [one.loaded.flow.name, one]))
      times = new Map(scheduled.flatMap(({ loaded, times: at }) => (at ? [[loaded.flow.name, at] as const] : [])))
      followedAt = 0
    },
    look,
    start() {
      looking = loop()
    },
    async stop() {
      stopping.abort()
      await looking
    },
  }
}

const nameOf = ({ kind, name }: Followed): string => `${kind} ${name}`

export function followedBy({ flow: { options } }: Pick<LoadedFlow, 'flow'>): readonly Followed[] {
  const { on } = options
  return on === undefined ? [] : 'kind' in on ? [on] : on
}
