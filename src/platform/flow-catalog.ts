/**
 * Tasks of flows in the words of the catalogue: those that say which rows they take, in SQL or for Python, and the tables that they fill.
 * What a function reads is known only when it runs, so such a task is passed over; what comes before it counts for what comes behind it.
 */
import { assetId, type Asset, type Described, type Edge } from '../catalog/index.ts'
import { replaceValues, type Flow } from '../flows/index.ts'
import type { SqlReader } from '../lake/index.ts'
import { sourceOf, type Source } from './python.ts'

type TaskOfFlow = Flow['tasks'][number]
type Bound = TaskOfFlow['with'][string]
type DataTask = TaskOfFlow & { readonly body: { readonly kind: 'sql' | 'python' } }

export async function describeFlows(flows: readonly Flow[], read: SqlReader): Promise<Described> {
  const parts = await Promise.all(flows.flatMap((flow) => flow.tasks.filter(isOfData).map((task) => describeTask(flow, task, read))))
  return { assets: parts.flatMap(({ assets }) => assets), edges: parts.flatMap(({ edges }) => edges) }
}

const isOfData = (task: TaskOfFlow): task is DataTask => task.body.kind === 'sql' || task.body.kind === 'python'
const taskId = (flow: Flow, task: string): string => assetId('task', `${flow.name}.${task}`)

async function describeTask(flow: Flow, task: DataTask, read: SqlReader): Promise<Described> {
  const id = taskId(flow, task.name)
  const { body } = task
  const [edges, fault] = await edgesInto(id, body.kind === 'sql' ? { sql: body.sql } : inputOf(body.input), read)
  const unknown = fault ?? (body.kind === 'python' ? 'a script takes what it needs' : null)
  const into = body.kind === 'python' ? body.into : null
  const { owner, tags } = flow.options
  const asset: Asset = {
    id,
    kind: 'task',
    name: `${flow.name}.${task.name}`,
    ...(task.description === undefined ? {} : { description: task.description }),
    ...(owner === undefined ? {} : { owner }),
    tags: tags ?? [],
    columns: [],
    ...(unknown === null ? {} : { unknown }),
  }
  const before = [...dataBefore(flow, task)].map((name): Edge => ({ from: { asset: taskId(flow, name) }, to: { asset: id }, how: 'read' }))
  if (into === null) return { assets: [asset], edges: [...edges, ...before] }
  const table = assetId('table', into)
  const filled: Asset = { id: table, kind: 'table', name: into, tags: [], columns: [], unknown: `task ${task.name} of flow ${flow.name} makes its rows` }
  return { assets: [asset, filled], edges: [...edges, ...before, { from: { asset: id }, to: { asset: table }, how: 'unknown' }] }
}

async function edgesInto(id: string, source: Source | null, read: SqlReader): Promise<[edges: readonly Edge[], fault: string | null]> {
  const to = { asset: id }
  if (source === null || 'object' in source || 'rows' in source) return [[], null]
  if ('table' in source) return [[{ from: { asset: assetId('table', source.table) }, to, how: 'unknown' }], null]
  try {
    // A value of `with` is no column: any will do.
    const { tables, named, whole } = await read(replaceValues(source.sql, () => 'null'))
    return [
      [
        ...tables.map((table): Edge => ({ from: { asset: table }, to, how: whole.includes(table) ? 'unknown' : 'read' })),
        ...named.map((from): Edge => ({ from, to, how: 'used', use: { part: 'sql' } })),
      ],
      null,
    ]
  } catch (error) {
    return [[], `its SQL cannot be read: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]}`]
  }
}

/** Null when its rows come from another task, or are none that a run would take. */
function inputOf(input: Bound): Source | null {
  if (input.kind === 'ref') return null
  try {
    return sourceOf(input.value)
  } catch {
    return null
  }
}

/** The nearest tasks with data whose answers come to this one, also through functions. */
function dataBefore(flow: Flow, task: TaskOfFlow): ReadonlySet<string> {
  const found = new Set<string>()
  const seen = new Set<string>()
  const left = [...namesBefore(task)]
  for (const name of left) {
    const before = flow.tasks.find((one) => one.name === name)
    if (before === undefined || seen.has(name)) continue
    seen.add(name)
    if (isOfData(before)) found.add(name)
    else left.push(...namesBefore(before))
  }
  return found
}

function namesBefore({ with: given, body }: TaskOfFlow): string[] {
  const bounds = [...Object.values(given), ...(body.kind === 'python' ? [body.input] : body.kind === 'run' && body.map ? [body.map] : [])]
  return bounds.flatMap((bound) => (bound.kind === 'ref' && 'task' in bound.from ? [bound.from.task] : []))
}
