/**
 * The run engine on one node: it takes tasks, has them executed, and says what came of them. All nodes do the same; none leads.
 *
 * Delivery: a task is executed at least once, and completed once. Whoever is stopped for longer than a lease finds its completion refused.
 * A try that was lost with its worker does not count against the task's retries, until it was lost `mostLost` times.
 *
 * Ordering: a task is handed out when all before it have ended; among those that are ready, by priority and then by age, pool by pool.
 *
 * Completions are gathered while a round trip is under way and go out together with the next, so a thousand short tasks cost a few dozen
 * transactions.
 */
import { createHash } from 'node:crypto'
import { backoff, missing, toLagoaError, type Log } from '../../base/index.ts'
import type { Queryable, Records, SqlValue } from '../../storage/index.ts'
import type { HeldTask, NewRun, Outcome, Progress, RunGraph, RunState, TaskError } from './words.ts'

export interface RunEngine {
  /** Keeps a graph; the same graph has the same name. */
  register(graph: RunGraph, options?: { readonly slots?: number | undefined }): Promise<string>
  /** Null is no bound. */
  setPool(name: string, slots: number | null): Promise<void>
  /** Answers the ids: of a run with the same key when there is one. Within a transaction, `look` must follow its end. */
  enqueue(runs: readonly NewRun[], within?: Queryable): Promise<string[]>
  /** Looks for what to do, and has other nodes do so; resolves when this one has, and has taken what it can. */
  look(): Promise<void>
  /** Whether it changed anything; running tasks are told within a second. */
  cancel(run: string): Promise<boolean>
  pause(run: string, paused: boolean): Promise<boolean>
  /** Runs these nodes and all behind them anew; answers how many. */
  again(run: string, nodes: readonly number[]): Promise<number>
  /** From here on tasks are taken. */
  start(): Promise<void>
  /** Takes no more, waits for what is running as long as this, gives the rest back, and stops. Safe to call twice. */
  drain(graceMs: number): Promise<void>
  readonly running: number
}

export interface RunEngineOptions {
  readonly records: Records
  readonly log: Log
  /** Who holds the leases; no two nodes have the same. */
  readonly worker: string
  readonly concurrency: number
  /** Must answer an outcome whatever happens, and soon after the signal aborts. */
  readonly execute: (task: HeldTask, signal: AbortSignal, tell: (progress: Progress) => void) => Promise<Outcome>
  readonly onEnded?: ((runs: readonly string[]) => void) | undefined
  /** Of these runs this node took tasks, or said what came of some. */
  readonly onChanged?: ((runs: readonly string[]) => void) | undefined
  readonly leaseMs?: number | undefined
  readonly pollMs?: number | undefined
  readonly mostLost?: number | undefined
  /** Whether other nodes take tasks from the same database and must be told of new ones. */
  readonly shared?: boolean | undefined
  /** Of tests: a time in place of the database's. */
  readonly now?: (() => number) | undefined
}

/** Why a task's signal aborts. */
export type StopReason = 'cancelled' | 'lost' | 'drained'

const LEASE_MS = 5_000
const POLL_MS = 1_000
const NEVER_MS = 86_400_000
const MOST_LOST = 10
const READY = 'lagoa_runs_ready'
const CANCELLED = 'lagoa_runs_cancelled'

interface Held {
  readonly task: HeldTask
  readonly stop: AbortController
  /** The beat takes it along. */
  progress: Progress | null
}
type Done = Pick<HeldTask, 'run' | 'n' | 'fence'> & Outcome
interface Place {
  readonly run: string
  readonly n: number
  readonly fence: number
}
interface StepAnswer {
  readonly refused: readonly Place[]
  readonly ended: readonly string[]
  readonly tasks: readonly HeldTask[]
  readonly wakeMs: number | null
}
interface BeatAnswer {
  readonly lost: readonly Place[]
  readonly cancelled: readonly Place[]
}

export function openRunEngine({
  records,
  log,
  worker,
  concurrency,
  execute,
  onEnded,
  onChanged,
  now,
  shared = false,
  leaseMs = LEASE_MS,
  // A clock that stands still is not looked at between two of its moments.
  pollMs = now ? NEVER_MS : POLL_MS,
  mostLost = MOST_LOST,
}: RunEngineOptions): RunEngine {
  const held = new Map<string, Held>()
  const done: Done[] = []
  const timers = new Set<NodeJS.Timeout>()
  const closers: (() => Promise<void>)[] = []
  /** After a round trip whose answer was lost, the database may have handed out what we never saw. */
  let unsure = false
  let draining = false
  let ended: Promise<void> | null = null
  let lastBeat = 0
  let kick: () => void = () => undefined
  let kicked = false
  let finished = false
  /** Who waits until there is nothing more to take. */
  const lookers: (() => void)[] = []

  const clock = (): SqlValue => (now ? new Date(now()) : null)
  const idOf = ({ run, n, fence }: Place): string => `${run} ${n} ${fence}`
  const placesHeld = (): string => JSON.stringify([...held.values()].map(({ task: { run, n, fence }, progress }) => ({ run, n, fence, progress })))
  const look = (): void => {
    kicked = true
    kick()
  }

  async function call<T>(name: string, values: readonly SqlValue[]): Promise<T> {
    const list = values.map((_, i) => `$${i + 1}`).join(', ')
    const [row] = await records.query<{ answer: T }>(`select ${name}(${list}) as answer`, values, { name })
    if (!row) throw new Error(`${name} answered nothing`)
    return row.answer
  }

  async function tellOthers(): Promise<void> {
    await records
      .query('select pg_notify($1, $2)', [READY, worker], { name: 'run_notify' })
      .catch((error: unknown) => log.warn('runs.notify_failed', { error: toLagoaError(error) }))
  }

  async function step(): Promise<number> {
    const sent = done.splice(0)
    const most = draining ? 0 : concurrency - held.size
    try {
      const answer = await call<StepAnswer>('run_step', [worker, JSON.stringify(sent), unsure ? placesHeld() : null, most, leaseMs, clock()])
      unsure = false
      for (const place of answer.refused) log.warn('runs.completion_refused', { run: place.run, task: place.n, fence: place.fence })
      for (const task of answer.tasks) begin(task)
      if (answer.ended.length > 0) onEnded?.(answer.ended)
      const changed = new Set([...sent, ...answer.tasks].map(({ run }) => run))
      if (changed.size > 0) onChanged?.([...changed])
      if (answer.wakeMs !== null) later(answer.wakeMs)
      // Full hands: there may be more than this node can take.
      if (shared && most > 0 && answer.tasks.length === most) await tellOthers()
      return answer.tasks.length
    } catch (error) {
      done.unshift(...sent)
      unsure = true
      throw error
    }
  }

  function begin(task: HeldTask): void {
    const stop = new AbortController()
    const one: Held = { task, stop, progress: null }
    held.set(idOf(task), one)
    void execute(task, stop.signal, (progress) => (one.progress = progress))
      .catch((error: unknown): Outcome => ({ outcome: 'failed', error: errorOf(error) }))
      .then((outcome) => {
        // Lost ones are another's by now.
        if (!held.delete(idOf(task))) return
        done.push({ run: task.run, n: task.n, fence: task.fence, ...outcome })
        look()
      })
  }

  function later(ms: number): void {
    // Who moves the clock looks then.
    if (now) return
    const timer = setTimeout(
      () => {
        timers.delete(timer)
        look()
      },
      Math.min(Math.max(ms, 1), pollMs),
    )
    timers.add(timer)
  }

  async function loop(): Promise<void> {
    let attempt = 0
    while (!finished || done.length > 0) {
      if (!kicked && done.length === 0) {
        for (const looked of lookers.splice(0)) looked()
        await new Promise<void>((wake) => {
          const timer = setTimeout(wake, pollMs)
          kick = () => {
            clearTimeout(timer)
            wake()
          }
        })
      }
      kick = () => undefined
      kicked = false
      if (done.length === 0 && (draining || held.size >= concurrency)) {
        if (finished) break
        continue
      }
      try {
        await step()
        attempt = 0
      } catch (error) {
        log.warn('runs.step_failed', { attempt, error: toLagoaError(error) })
        // What is held goes on; a lease that runs out is told by the beat.
        if (finished && attempt > 3) return
        await new Promise((resolve) => setTimeout(resolve, backoff(attempt++, 50, 2_000)))
        kicked = true
      }
    }
  }

  async function beat(): Promise<void> {
    if (held.size === 0) {
      lastBeat = performance.now()
      return
    }
    try {
      const { lost, cancelled } = await call<BeatAnswer>('run_beat', [worker, placesHeld(), leaseMs, clock()])
      lastBeat = performance.now()
      for (const place of lost) lose(idOf(place))
      for (const place of cancelled) held.get(idOf(place))?.stop.abort('cancelled' satisfies StopReason)
    } catch (error) {
      log.warn('runs.beat_failed', { error: toLagoaError(error) })
      // Another may have them by now; what they go on to do would be done twice.
      if (!now && performance.now() - lastBeat > leaseMs) for (const id of held.keys()) lose(id)
    }
  }

  function lose(id: string): void {
    const one = held.get(id)
    if (!one) return
    held.delete(id)
    one.stop.abort('lost' satisfies StopReason)
    log.warn('runs.task_lost', { run: one.task.run, task: one.task.n })
    look()
  }

  async function reap(): Promise<void> {
    try {
      const answer = await call<{ lost: number; ended: readonly string[] }>('run_reap', [mostLost, clock()])
      if (answer.lost > 0) {
        log.info('runs.taken_back', { tasks: answer.lost })
        look()
      }
      if (answer.ended.length > 0) onEnded?.(answer.ended)
    } catch (error) {
      log.warn('runs.reap_failed', { error: toLagoaError(error) })
    }
  }

  /** One after the other, at this pace, until the engine stops. */
  function every(ms: number, work: () => Promise<void>): void {
    let stopped = false
    let timer: NodeJS.Timeout
    let current = Promise.resolve()
    const turn = (): void => {
      current = work().finally(() => {
        if (!stopped) timer = setTimeout(turn, ms * (0.9 + Math.random() * 0.2))
      })
    }
    timer = setTimeout(turn, ms)
    closers.push(async () => {
      stopped = true
      clearTimeout(timer)
      await current
    })
  }

  return {
    get running() {
      return held.size
    },
    async register(graph, { slots } = {}) {
      const text = JSON.stringify(graph)
      const hash = graphHash(graph)
      await records.transaction(async (tx) => {
        await tx.query('insert into run_flows (name, slots) values ($1, $2) on conflict (name) do update set slots = excluded.slots', [
          graph.flow,
          slots ?? null,
        ])
        const isNew = await tx.query('insert into run_graphs (hash, flow, graph) values ($1, $2, $3::jsonb) on conflict do nothing returning hash', [
          hash,
          graph.flow,
          text,
        ])
        if (isNew.length === 0) return
        const upstream = graph.nodes.map((_, node) => graph.edges.filter(([, to]) => to === node).length)
        const nodes = graph.nodes.map(({ name, pool, priority, rule, optional }, node) => ({
          node,
          name,
          pool,
          priority,
          rule,
          optional,
          upstream: upstream[node],
        }))
        await tx.query(
          `insert into run_nodes (graph, node, name, pool, priority, rule, upstream, optional)
           select $1, node, name, pool, priority, rule, upstream, optional
           from jsonb_to_recordset($2::jsonb) n (node integer, name text, pool text, priority integer, rule text, upstream integer, optional boolean)`,
          [hash, JSON.stringify(nodes)],
        )
        await tx.query('insert into run_edges (graph, source, target) select $1, source, target from unnest($2::integer[], $3::integer[]) e (source, target)', [
          hash,
          graph.edges.map(([from]) => from),
          graph.edges.map(([, to]) => to),
        ])
        await tx.query('insert into run_pools (name) select distinct unnest($1::text[]) on conflict do nothing', [graph.nodes.map(({ pool }) => pool)])
      })
      return hash
    },
    async setPool(name, slots) {
      await records.query('insert into run_pools (name, slots) values ($1, $2) on conflict (name) do update set slots = excluded.slots', [name, slots])
      look()
    },
    async look() {
      const looked = new Promise<void>((done) => lookers.push(done))
      look()
      if (shared) await tellOthers()
      await looked
    },
    async enqueue(runs, within = records) {
      const rows = runs.map(({ parent, ...run }, place) => ({ ...run, place, parent: parent?.run, parent_task: parent?.task, priority: run.priority ?? 0 }))
      await within.query(
        `insert into runs (id, kind, flow, graph, params, state, priority, trigger, subject, key, backfill, partition, parent, parent_task, created_at)
         select id, kind, flow, graph, coalesce(params, 'null'), 'queued', priority, trigger, subject, key, backfill, partition, parent, parent_task, run_now($2)
         from jsonb_to_recordset($1::jsonb) r (place integer, id text, kind text, flow text, graph text, params jsonb, priority integer, trigger jsonb, subject text, key text,
           backfill text, partition text, parent text, parent_task integer)
         order by place on conflict do nothing`,
        [JSON.stringify(rows), clock()],
        { name: 'run_enqueue' },
      )
      if (within === records) {
        look()
        if (shared) await tellOthers()
      }
      const keyed = runs.filter(({ key }) => key !== undefined)
      if (keyed.length === 0) return runs.map(({ id }) => id)
      const known = await within.query<{ flow: string; key: string; id: string }>(
        'select flow, key, id from runs where (flow, key) in (select * from unnest($1::text[], $2::text[]))',
        [keyed.map(({ flow }) => flow), keyed.map(({ key }) => key ?? null)],
        { name: 'run_keys' },
      )
      const byKey = new Map(known.map(({ flow, key, id }) => [`${flow}\n${key}`, id]))
      return runs.map(({ id, flow, key }) => (key === undefined ? id : (byKey.get(`${flow}\n${key}`) ?? id)))
    },
    async cancel(run) {
      const answer = await call<{ state: RunState; changed: boolean; children: readonly string[] } | null>('run_cancel', [run, clock()])
      if (!answer) throw noRun(run)
      for (const child of answer.children) await this.cancel(child)
      await records.query("select pg_notify($1, '')", [CANCELLED])
      if (answer.state === 'cancelled') onEnded?.([run])
      return answer.changed
    },
    async pause(run, paused) {
      const state = await call<RunState | null>('run_pause', [run, paused, clock()])
      look()
      return state !== null
    },
    async again(run, nodes) {
      const count = await call<number | null>('run_again', [run, nodes, clock()])
      if (count === null) throw noRun(run)
      look()
      return count
    },
    async start() {
      closers.push(await records.listen(READY, look))
      closers.push(await records.listen(CANCELLED, () => void beat()))
      lastBeat = performance.now()
      every(leaseMs / 3, beat)
      // A dead worker's tasks are back within a lease and half of this.
      every(pollMs / 2, reap)
      look()
      ended = loop()
    },
    async drain(graceMs) {
      if (!draining) {
        draining = true
        const until = performance.now() + graceMs
        while (held.size > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 20))
        for (const { task, stop } of held.values()) {
          held.delete(idOf(task))
          done.push({ run: task.run, n: task.n, fence: task.fence, outcome: 'released' })
          stop.abort('drained' satisfies StopReason)
        }
        finished = true
        look()
      }
      await ended
      for (const looked of lookers.splice(0)) looked()
      for (const timer of timers) clearTimeout(timer)
      for (const close of closers.splice(0)) await close()
    },
  }
}

function errorOf(error: unknown): TaskError {
  const { code, kind, message, hint } = toLagoaError(error)
  return { code, kind, message, hint }
}

/** The name of a graph: of its content. */
export const graphHash = (graph: RunGraph): string => createHash('sha256').update(JSON.stringify(graph)).digest('hex').slice(0, 32)

const noRun = (run: string): Error => missing('runs.no_run', `There is no run ${run}`, { hint: 'See `lagoa runs`.' })
