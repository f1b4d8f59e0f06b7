/** The flows of a project at work: what is loaded, what is asked for, what runs, what there is to see. */
import { closest, invalid, missing, newId, type Log } from '../base/index.ts'
import type { Objects, Records } from '../storage/index.ts'
import { createBackfills, type Backfills } from './backfills.ts'
import type { Tools } from './context.ts'
import type { Flow, Followed } from './declare.ts'
import { graphHash, openRunEngine } from './engine/engine.ts'
import type { Json, RunState } from './engine/words.ts'
import { createExecutor, type LoadedFlow } from './execute.ts'
import { graphOf } from './graph.ts'
import { readLogs, type LogFilter, type LogPage } from './log-reading.ts'
import { openRunLogs } from './logs.ts'
import { checkedParams, paramsSchema } from './params.ts'
import { windowOf, type PartitionUnit } from './partitions.ts'
import {
  listRuns,
  readAttempts,
  readNodes,
  readRun,
  readStates,
  readTask,
  readTasks,
  type AttemptView,
  type NodeView,
  type RunDetail,
  type RunFilter,
  type RunPage,
  type RunView,
  type TaskFilter,
  type TaskView,
} from './reads.ts'
import { recordRuns, type PastRun } from './record.ts'
import { openRetention, type Keep } from './retention.ts'
import { createScheduler, followedBy } from './scheduler.ts'
import { timesOf } from './schedules.ts'

export interface Flows {
  /** Takes these in the place of those that were loaded; refuses all when one has a fault. With `lookOnly` the database is not changed, and none can be started. Those of the `system` are run but not listed. */
  load(flows: readonly Flow[], options?: { readonly lookOnly?: boolean; readonly system?: readonly Flow[] }): Promise<void>
  list(): Promise<readonly FlowView[]>
  get(name: string): Promise<FlowDetail>
  trigger(flow: string, request: TriggerRequest): Promise<RunView>
  /** Keeps in the history runs of a flow of one task that were carried out elsewhere and are over. */
  record(flow: string, runs: readonly PastRun[]): Promise<void>
  runs(filter: RunFilter): Promise<RunPage>
  run(id: string): Promise<RunDetail>
  /** Where each of these runs stands; those that are not there are left out. */
  states(ids: readonly string[]): Promise<ReadonlyMap<string, RunState>>
  tasks(id: string, filter: TaskFilter): Promise<{ items: TaskView[]; cursor?: string }>
  task(id: string, n: number): Promise<TaskView>
  nodes(id: string): Promise<NodeView[]>
  attempts(id: string, n: number): Promise<AttemptView[]>
  logs(id: string, page: LogFilter): Promise<LogPage>
  cancel(id: string): Promise<RunDetail>
  pause(id: string, paused: boolean): Promise<RunDetail>
  /** Runs tasks of a run that is over anew: those that did not succeed, or these and what is behind them. */
  retry(id: string, from?: readonly string[]): Promise<RunDetail>
  pauseSchedule(flow: string, paused: boolean): Promise<void>
  readonly backfills: Backfills
  /** Resolves when the run has ended, or the signal aborts. */
  ended(id: string, signal: AbortSignal): Promise<RunDetail>
  /** Moves logs of runs that are over to the object store, and removes what is older than it is kept, until the signal aborts: a duty of one node. */
  keepUp(signal: AbortSignal): Promise<void>
  start(): Promise<void>
  /** Looks at schedules, at what is followed and at delayed tasks now; answers what is under way then, and when the next thing is due. */
  rest(): Promise<Rest>
  /** Takes no more, waits as long for what is running, and stops. */
  stop(graceMs: number): Promise<void>
}

export interface Rest {
  /** Tasks that run or could, and runs that could begin. */
  readonly busy: number
  readonly nextAt: number | null
}

export interface FlowView {
  readonly name: string
  readonly description: string | undefined
  readonly tags: readonly string[]
  readonly owner: string | undefined
  readonly tasks: number
  readonly schedule: ScheduleView | null
  readonly partition: PartitionUnit | null
  /** The tables and streams that it follows. */
  readonly on: readonly Followed[]
  /** Newest first, at most 32. */
  readonly last: readonly {
    readonly id: string
    readonly state: RunState
    readonly createdAt: number
    readonly startedAt: number | null
    readonly endedAt: number | null
  }[]
}

export interface ScheduleView {
  readonly cron: string | undefined
  readonly every: string | number | undefined
  readonly timeZone: string
  readonly nextAt: number | null
  readonly paused: boolean
}

export interface FlowDetail extends FlowView {
  /** JSON Schema of its params. */
  readonly params: Json
  readonly nodes: readonly {
    readonly name: string
    readonly kind: string
    readonly description: string | undefined
    readonly retries: number
    readonly timeoutMs: number | null
    readonly pool: string
  }[]
  readonly edges: readonly (readonly [number, number])[]
}

export interface TriggerRequest {
  /** Of the run to be; one that there is already is that one. */
  readonly id?: string | undefined
  readonly params?: unknown
  readonly by: string
  /** What kind of run it shows as: `flow` unless said. */
  readonly kind?: string | undefined
  readonly subject?: string | undefined
  readonly key?: string | undefined
  readonly priority?: number | undefined
  readonly partition?: string | undefined
}

export interface FlowsOptions {
  readonly records: Records
  readonly objects: Objects
  readonly log: Log
  readonly tools: Tools
  readonly secret: (name: string) => string
  readonly folder: string
  readonly concurrency: number
  /** Several nodes take tasks from this database. */
  readonly shared: boolean
  readonly pools: Readonly<Record<string, number>>
  readonly keep: Keep
  /** Something of these runs changed: they were asked for, a task of theirs began or ended, or they are over. */
  readonly onRun?: ((ids: readonly string[]) => void) | undefined
  /** A clock in place of the database's, for tests: schedules, delays and sensors go by it. */
  readonly now?: (() => number) | undefined
}

export function openFlows({ records, objects, log, tools, secret, folder, concurrency, shared, pools, keep, onRun, now }: FlowsOptions): Flows {
  let loaded: ReadonlyMap<string, LoadedFlow> = new Map()
  let hidden: ReadonlySet<string> = new Set()
  const logs = openRunLogs(records, log)
  const waiting = new Map<string, Set<() => void>>()
  const execute = createExecutor({
    flows: () => loaded,
    records,
    objects,
    logs,
    log,
    tools,
    secret,
    folder,
    enqueue: async (run) => void (await engine.enqueue([run])),
    now: now ?? Date.now,
  })
  const engine = openRunEngine({
    records,
    log,
    worker: newId(),
    concurrency,
    execute,
    shared,
    now,
    onEnded(runs) {
      for (const run of runs) for (const wake of waiting.get(run) ?? []) wake()
      onRun?.(runs)
    },
    onChanged: (runs) => onRun?.(runs),
  })
  const scheduler = createScheduler({ records, engine, log, position: (of) => tools.position(of), now: now ?? null })
  const backfills = createBackfills({ records, engine, known, now: now ?? Date.now })

  function known(name: string): LoadedFlow {
    const found = loaded.get(name)
    if (found) return found
    const near = closest(name, [...loaded.keys()])
    throw missing('flows.no_flow', `There is no flow ${name}`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'See lagoa flows.' })
  }

  async function views(names: readonly string[]): Promise<FlowView[]> {
    const last = await records.query<FlowView['last'][number] & { flow: string }>(
      `select f.name as flow, r.* from unnest($1::text[]) f (name) cross join lateral (
         select id, state, created_at as "createdAt", started_at as "startedAt", ended_at as "endedAt" from runs where flow = f.name order by id desc limit 32
       ) r order by r.id desc`,
      [names],
    )
    const schedules = await records.query<{ flow: string; nextAt: number | null; paused: boolean }>(
      'select flow, next_at as "nextAt", paused from run_schedules where flow = any($1)',
      [names],
    )
    return names.map((name) => {
      const { flow, tasks } = known(name)
      const { description, owner, tags, cron, every, timeZone } = flow.options
      const schedule = schedules.find((one) => one.flow === name)
      return {
        name,
        description,
        owner,
        tags: tags ?? [],
        tasks: tasks.length,
        partition: flow.options.partition ?? null,
        on: followedBy({ flow }).map(({ kind, name: asset }) => ({ kind, name: asset })),
        schedule: schedule && scheduler.times.has(name) ? { cron, every, timeZone: timeZone ?? 'UTC', nextAt: schedule.nextAt, paused: schedule.paused } : null,
        last: last.filter((one) => one.flow === name).map(({ id, state, createdAt, startedAt, endedAt }) => ({ id, state, createdAt, startedAt, endedAt })),
      }
    })
  }

  return {
    async load(declared, { lookOnly = false, system = [] } = {}) {
      const flows = [...declared, ...system]
      const twice = system.find(({ name }) => declared.some((one) => one.name === name))
      if (twice) throw invalid('flows.reserved', `The name ${twice.name} is Lagoa's own`, { hint: 'Rename that flow.' })
      const graphs = flows.map((flow) => ({ flow, times: timesOf(flow), ...graphOf(flow) }))
      for (const { flow, tasks, times: scheduled } of graphs) {
        for (const { name, body } of tasks)
          if (body.kind === 'flow' && !flows.some((one) => one.name === body.flow))
            throw missing('flows.no_flow', `Task ${name} of flow ${flow.name} runs flow ${body.flow}, which no file under flows/ exports`, {
              hint: 'Export it there.',
            })
        const followed = followedBy({ flow })
        if (scheduled && followed.length > 0)
          throw invalid('flows.on', `Flow ${flow.name} has both a time and what it follows`, { hint: 'Keep cron or every, or keep on.' })
        if (scheduled || followed.length > 0) checkedParams(flow, flow.options.scheduleParams)
      }
      refuseCircle(flows)
      const next = new Map<string, LoadedFlow>()
      for (const { flow, graph, tasks } of graphs)
        next.set(flow.name, { flow, graph, tasks, hash: lookOnly ? graphHash(graph) : await engine.register(graph, { slots: flow.options.concurrency }) })
      if (!lookOnly) for (const [name, slots] of Object.entries(pools)) await engine.setPool(name, slots)
      if (!lookOnly)
        await scheduler.set(
          graphs.flatMap(({ flow, times }) => {
            const known_ = next.get(flow.name)
            return known_ ? [{ loaded: known_, times }] : []
          }),
        )
      loaded = next
      hidden = new Set(system.map(({ name }) => name))
    },
    list: () => views([...loaded.keys()].filter((name) => !hidden.has(name)).sort()),
    async get(name) {
      const { flow, tasks, graph } = known(name)
      const [view] = await views([name])
      if (!view) throw missing('flows.no_flow', `There is no flow ${name}`)
      return {
        ...view,
        params: paramsSchema(flow),
        nodes: tasks.map(({ name: node, body, description, retries, timeoutMs, pool }) => ({
          name: node,
          kind: body.kind === 'run' && body.map !== null ? 'map' : body.kind,
          description,
          retries,
          timeoutMs,
          pool,
        })),
        edges: graph.edges,
      }
    },
    async trigger(name, { id: wanted, params, by, kind = 'flow', subject, key, priority, partition }) {
      const { flow, hash } = known(name)
      const checked = checkedParams(flow, params)
      if (partition !== undefined && flow.options.partition !== undefined) windowOf(flow.options.partition, partition, flow.options.timeZone ?? 'UTC')
      const run = {
        id: wanted ?? newId(),
        kind,
        subject,
        flow: name,
        graph: hash,
        params: checked,
        trigger: { by },
        key,
        partition,
        priority: priority ?? flow.options.priority,
      }
      const [id = run.id] = await engine.enqueue([run])
      onRun?.([id])
      return readRun(records, id)
    },
    record: (name, runs) => recordRuns(records, name, known(name).hash, runs),
    runs: (filter) => listRuns(records, filter),
    run: (id) => readRun(records, id),
    states: (ids) => readStates(records, ids),
    async tasks(id, filter) {
      await readRun(records, id)
      return readTasks(records, id, filter)
    },
    task: (id, n) => readTask(records, id, n),
    async nodes(id) {
      await readRun(records, id)
      return readNodes(records, id)
    },
    attempts: (id, n) => readAttempts(records, id, n),
    async logs(id, page) {
      await readRun(records, id)
      return readLogs(records, objects, id, page)
    },
    async cancel(id) {
      await engine.cancel(id)
      onRun?.([id])
      return readRun(records, id)
    },
    async pause(id, paused) {
      const run = await readRun(records, id)
      if (!(await engine.pause(id, paused))) throw invalid('runs.over', `Run ${id} is ${run.state}: there is nothing to ${paused ? 'pause' : 'resume'}`)
      onRun?.([id])
      return readRun(records, id)
    },
    async retry(id, from) {
      const run = await readRun(records, id)
      const places = await placesToRetry(records, run, from)
      if (places.length === 0) throw invalid('runs.nothing', `Every task of run ${id} has succeeded`, { hint: 'Name the tasks to run again from.' })
      const count = await engine.again(id, places)
      if (count < 0) throw invalid('runs.running', `Run ${id} still has some of these tasks running`, { hint: `Cancel it first: lagoa runs cancel ${id}.` })
      onRun?.([id])
      return readRun(records, id)
    },
    async pauseSchedule(flow, paused) {
      known(flow)
      const rows = await records.query('update run_schedules set paused = $2 where flow = $1 returning flow', [flow, paused])
      if (rows.length === 0) throw invalid('flows.no_schedule', `Flow ${flow} has no schedule`, { hint: "Give it cron: '0 3 * * *', for example." })
    },
    backfills,
    async ended(id, signal) {
      let run = await readRun(records, id)
      while (run.endedAt === null && !signal.aborted) {
        await new Promise<void>((done) => {
          const wakers = waiting.get(id) ?? new Set()
          waiting.set(id, wakers)
          const wake = (): void => {
            clearTimeout(timer)
            signal.removeEventListener('abort', wake)
            wakers.delete(wake)
            if (wakers.size === 0) waiting.delete(id)
            done()
          }
          const timer = setTimeout(wake, 500)
          wakers.add(wake)
          signal.addEventListener('abort', wake, { once: true })
        })
        run = await readRun(records, id)
      }
      return run
    },
    keepUp: (signal) => openRetention({ records, objects, log, keep, now }).run(signal),
    async start() {
      await engine.start()
      // A clock that stands still is looked at by who moves it.
      if (!now) scheduler.start()
    },
    async rest() {
      const made = await scheduler.look()
      await engine.look()
      const [rest] = await records.query<Rest>(
        `select (select count(*) from run_tasks t join runs r on r.id = t.run where t.state in ('ready', 'running') or t.state = 'delayed' and t.ready_at <= run_now($2))
           + (select count(*) from runs r left join run_flows f on f.name = r.flow left join run_backfills b on b.id = r.backfill
              where r.state = 'queued' and not r.paused and b.paused is not true
                and (f.slots is null or f.slots > (select count(*) from runs o where o.flow = r.flow and o.state = 'running'))
                and (b.slots is null or b.slots > (select count(*) from runs o where o.backfill = r.backfill and o.state = 'running'))) as busy,
         least((select min(ready_at) from run_tasks where state = 'delayed'),
           (select min(next_at) from run_schedules where not paused and flow = any($1))) as "nextAt"`,
        [[...scheduler.times.keys()], now ? new Date(now()) : null],
      )
      return rest && !made ? rest : { busy: 1, nextAt: null }
    },
    async stop(graceMs) {
      await scheduler.stop()
      await engine.drain(graceMs)
      await logs.close()
    },
  }
}

async function placesToRetry(records: Records, run: RunDetail, from: readonly string[] | undefined): Promise<number[]> {
  const names = run.graph.nodes.map(({ name }) => name)
  if (from)
    return from.map((name) => {
      const place = names.indexOf(name)
      if (place >= 0) return place
      const near = closest(name, names)
      throw missing('runs.no_task', `Run ${run.id} has no task ${name}`, {
        hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `It has ${names.join(', ')}.`,
      })
    })
  const rows = await records.query<{ n: number }>(
    `select n from run_tasks where run = $1 and item_index is null and state in ('failed', 'cancelled', 'skipped') and reason is distinct from 'branch'`,
    [run.id],
  )
  return rows.map(({ n }) => n)
}

/** A flow that runs itself, by whatever way, would never end. */
function refuseCircle(flows: readonly Flow[]): void {
  const subs = new Map(flows.map(({ name, tasks }) => [name, tasks.flatMap(({ body }) => (body.kind === 'flow' ? [body.flow] : []))]))
  const walk = (name: string, path: readonly string[]): void => {
    if (path.includes(name))
      throw invalid('flows.cycle', `Flows run each other in a circle: ${[...path.slice(path.indexOf(name)), name].join(' -> ')}`, {
        hint: 'Take away one of these task.flow(...).',
      })
    for (const sub of subs.get(name) ?? []) walk(sub, [...path, name])
  }
  for (const { name } of flows) walk(name, [])
}
