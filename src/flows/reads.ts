/** What there is to see of runs. */
import { invalid, missing } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { Json, Progress, RunGraph, RunState, TaskError, TaskState } from './engine/words.ts'

export interface RunView {
  readonly id: string
  readonly kind: string
  readonly flow: string
  readonly state: RunState
  readonly paused: boolean
  readonly params: Json
  readonly trigger: Json
  readonly partition: string | null
  readonly backfill: string | null
  /** What it is about, such as a workload. */
  readonly subject: string | null
  readonly parent: string | null
  readonly tasks: number
  readonly open: number
  readonly failed: number
  readonly createdAt: number
  readonly startedAt: number | null
  readonly endedAt: number | null
  /** Why it failed: the first task that did. */
  readonly error: (TaskError & { readonly task: string }) | null
}

export interface TaskView {
  readonly n: number
  readonly name: string
  readonly node: number
  readonly index: number | null
  readonly state: TaskState
  readonly reason: string | null
  readonly attempt: number
  readonly pool: string
  readonly worker: string | null
  readonly startedAt: number | null
  readonly endedAt: number | null
  readonly output: Json
  readonly error: TaskError | null
  readonly child: string | null
  readonly progress: Progress | null
}

/** A node of a run's graph, where it stands and how it got there. */
export interface NodeView extends Omit<TaskView, 'index' | 'output'> {
  /** Of a node that maps over a list: how many of its elements are in which state, and from when to when they ran. */
  readonly elements: {
    readonly total: number
    readonly states: { readonly [state in TaskState]?: number }
    readonly startedAt: number | null
    readonly endedAt: number | null
  } | null
  /** The tries that ended, the first one first. */
  readonly tries: readonly Pick<AttemptView, 'fence' | 'attempt' | 'state' | 'startedAt' | 'endedAt'>[]
}

export interface TaskFilter {
  /** Only the elements of this node. */
  readonly node?: number | undefined
  readonly state?: TaskState | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

export interface AttemptView {
  readonly n: number
  readonly fence: number
  readonly attempt: number
  readonly worker: string
  readonly state: string
  readonly startedAt: number
  readonly endedAt: number
  readonly error: TaskError | null
}

export interface RunDetail extends RunView {
  /** As it was when the run began. */
  readonly graph: RunGraph
}

export interface RunPage {
  readonly items: readonly RunView[]
  readonly cursor?: string
}

export interface RunFilter {
  readonly flow?: string | undefined
  readonly state?: RunState | undefined
  readonly kind?: string | undefined
  readonly backfill?: string | undefined
  readonly subject?: string | undefined
  readonly limit: number
  readonly cursor?: string | undefined
}

const COLUMNS = `r.id, r.kind, r.flow, r.state, r.paused, r.params, r.trigger, r.partition, r.backfill, r.subject, r.parent, r.tasks, r.open, r.failed,
  r.created_at as "createdAt", r.started_at as "startedAt", r.ended_at as "endedAt",
  case when r.failed > 0 then (
    select t.error || jsonb_build_object('task', nd.name) from run_tasks t join run_nodes nd on nd.graph = r.graph and nd.node = t.node
    where t.run = r.id and t.state = 'failed' and t.error is not null order by t.ended_at limit 1) end as error`

/** Newest first. */
export async function listRuns(records: Records, { flow, state, kind, backfill, subject, limit, cursor }: RunFilter): Promise<RunPage> {
  const items = await records.query<RunView>(
    `select ${COLUMNS} from runs r
     where ($1::text is null or r.flow = $1) and ($2::text is null or r.state = $2) and ($3::text is null or r.kind = $3)
       and ($4::text is null or r.backfill = $4) and ($5::text is null or r.id < $5) and ($6::text is null or r.subject = $6)
     order by r.id desc limit $7`,
    [flow ?? null, state ?? null, kind ?? null, backfill ?? null, cursor ?? null, subject ?? null, limit + 1],
  )
  const last = items.length > limit ? items[limit - 1] : undefined
  return { items: items.slice(0, limit), ...(last ? { cursor: last.id } : {}) }
}

export async function readRun(records: Records, id: string): Promise<RunDetail> {
  const [run] = await records.query<RunDetail>(`select ${COLUMNS}, g.graph from runs r join run_graphs g on g.hash = r.graph where r.id = $1`, [id])
  if (!run) throw missing('runs.no_run', `There is no run ${id}`, { hint: 'GET /api/v1/runs lists them, or lagoa runs.' })
  return run
}

export async function readStates(records: Records, ids: readonly string[]): Promise<ReadonlyMap<string, RunState>> {
  const rows = await records.query<{ id: string; state: RunState }>('select id, state from runs where id = any($1)', [ids], { name: 'run_states' })
  return new Map(rows.map(({ id, state }) => [id, state]))
}

const TASK = `t.n, nd.name, t.node, t.state, t.reason, t.attempt, t.pool, t.worker, t.started_at as "startedAt", t.ended_at as "endedAt",
  t.error, t.child, case when (t.progress ->> 'fence')::integer = t.fence then t.progress - 'fence' end as progress`
const TASKS = 'run_tasks t join runs r on r.id = t.run join run_nodes nd on nd.graph = r.graph and nd.node = t.node'

export async function readTasks(records: Records, id: string, { node, state, limit, cursor }: TaskFilter): Promise<{ items: TaskView[]; cursor?: string }> {
  const after = cursor === undefined ? -1 : Number(cursor)
  if (!Number.isInteger(after)) throw invalid('runs.cursor', `"${cursor}" is no cursor of tasks`, { hint: 'Pass what the page before answered.' })
  const items = await records.query<TaskView>(
    `select ${TASK}, t.item_index as index, t.output from ${TASKS}
     where t.run = $1 and t.n > $2 and ($4::integer is null or t.node = $4 and t.item_index is not null) and ($5::text is null or t.state = $5)
     order by t.n limit $3`,
    [id, after, limit + 1, node ?? null, state ?? null],
  )
  const last = items.length > limit ? items[limit - 1] : undefined
  return { items: items.slice(0, limit), ...(last ? { cursor: String(last.n) } : {}) }
}

export async function readTask(records: Records, id: string, n: number): Promise<TaskView> {
  const [found] = await records.query<TaskView>(`select ${TASK}, t.item_index as index, t.output from ${TASKS} where t.run = $1 and t.n = $2`, [id, n])
  if (!found)
    throw missing('runs.no_task', `Run ${id} has no task ${n}`, { hint: `GET /api/v1/runs/${id}/tasks lists them; a run that is queued has none yet.` })
  return found
}

/** Every node of a run's graph. Its size is that of the graph, however many elements there are. */
export async function readNodes(records: Records, id: string): Promise<NodeView[]> {
  const nodes = await records.query<Omit<NodeView, 'elements' | 'tries'>>(
    `select ${TASK} from ${TASKS} where t.run = $1 and t.item_index is null order by t.n`,
    [id],
  )
  const elements = await records.query<{ node: number; state: TaskState; count: number; startedAt: number | null; endedAt: number | null }>(
    `select node, state, count(*)::integer as count, min(started_at) as "startedAt", max(ended_at) as "endedAt"
     from run_tasks where run = $1 and item_index is not null group by node, state`,
    [id],
  )
  // The tasks of nodes come before those of elements.
  const tries = await records.query<NodeView['tries'][number] & { n: number }>(
    `select n, fence, attempt, state, started_at as "startedAt", ended_at as "endedAt" from run_attempts where run = $1 and n < $2 order by n, fence limit 10000`,
    [id, nodes.length],
  )
  const byNode = Map.groupBy(elements, ({ node }) => node)
  const byTask = Map.groupBy(tries, ({ n }) => n)
  return nodes.map((node) => ({
    ...node,
    elements: elementsOf(byNode.get(node.node) ?? []),
    tries: (byTask.get(node.n) ?? []).map(({ fence, attempt, state, startedAt, endedAt }) => ({ fence, attempt, state, startedAt, endedAt })),
  }))
}

function elementsOf(
  groups: readonly { readonly state: TaskState; readonly count: number; readonly startedAt: number | null; readonly endedAt: number | null }[],
): NodeView['elements'] {
  if (groups.length === 0) return null
  const times = (of: 'startedAt' | 'endedAt'): number[] => groups.flatMap((group) => group[of] ?? [])
  const [starts, ends] = [times('startedAt'), times('endedAt')]
  return {
    total: groups.reduce((sum, { count }) => sum + count, 0),
    states: Object.fromEntries(groups.map(({ state, count }) => [state, count])),
    startedAt: starts.length === 0 ? null : Math.min(...starts),
    endedAt: ends.length === 0 ? null : Math.max(...ends),
  }
}

/** The tries of a task that ended, the first one first. */
export function readAttempts(records: Records, id: string, n: number): Promise<AttemptView[]> {
  return records.query<AttemptView>(
    `select n, fence, attempt, worker, state, started_at as "startedAt", ended_at as "endedAt", error from run_attempts where run = $1 and n = $2 order by fence limit 1000`,
    [id, n],
  )
}
