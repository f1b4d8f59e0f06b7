/** The graph of a flow: what is behind what, in an order in which those before come first; a fault in it is told with its place. */
import { closest, invalid } from '../base/index.ts'
import type { Bound, Flow, TaskDefinition } from './declare.ts'
import type { RunGraph } from './engine/words.ts'

export interface FlowGraph {
  readonly graph: RunGraph
  /** The tasks in the order of the graph's nodes. */
  readonly tasks: readonly TaskDefinition[]
}

export function graphOf({ name, tasks, options }: Flow): FlowGraph {
  const byName = new Map(tasks.map((task) => [task.name, task]))
  if (tasks.length === 0) throw invalid('flows.empty', `Flow ${name} has no task`, { hint: "Declare one in its body: task('first', { run: () => ... })." })
  const before = new Map(tasks.map((task) => [task.name, namesBefore(task)]))
  for (const task of tasks)
    for (const other of before.get(task.name) ?? []) {
      if (byName.has(other)) continue
      const near = closest(other, [...byName.keys()])
      throw invalid('flows.unknown_task', `Task ${task.name} of flow ${name} comes after ${other}, which is no task of it${placed(task)}`, {
        hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'Declare it in the same flow.',
      })
    }
  const shape = options.params
  if (shape && 'shape' in shape) {
    const known = Object.keys((shape as { readonly shape: Readonly<Record<string, unknown>> }).shape)
    for (const task of tasks)
      for (const bound of boundsOf(task)) {
        if (bound.kind !== 'ref' || !('param' in bound.from) || known.includes(bound.from.param)) continue
        throw invalid(
          'flows.unknown_param',
          `Task ${task.name} of flow ${name} takes the param ${bound.from.param}, which the flow does not have${placed(task)}`,
          {
            hint: `It has ${known.join(', ') || 'none'}.`,
          },
        )
      }
  }
  const order = inOrder(name, tasks, before)
  const places = new Map(order.map((task, place) => [task.name, place]))
  const edges = order.flatMap((task, target) => [...(before.get(task.name) ?? [])].map((source) => [places.get(source) ?? 0, target] as const))
  return {
    tasks: order,
    graph: {
      flow: name,
      nodes: order.map(({ name: node, description, body, pool, priority, rule, optional, retries, timeoutMs }) => ({
        name: node,
        about: {
          kind: body.kind === 'run' && body.map !== null ? 'map' : body.kind,
          retries,
          timeoutMs,
          ...(description === undefined ? {} : { description }),
        },
        pool,
        priority,
        rule,
        optional,
      })),
      edges: edges.toSorted(([a, b], [c, d]) => a - c || b - d),
    },
  }
}

function boundsOf(task: TaskDefinition): readonly Bound[] {
  const { body } = task
  return [...Object.values(task.with), ...(body.kind === 'run' && body.map ? [body.map] : body.kind === 'python' ? [body.input] : [])]
}

function namesBefore(task: TaskDefinition): ReadonlySet<string> {
  const names = new Set(task.after)
  for (const bound of boundsOf(task)) if (bound.kind === 'ref' && 'task' in bound.from) names.add(bound.from.task)
  return names
}

/** Declaration order, except that what comes before comes first. */
function inOrder(flow: string, tasks: readonly TaskDefinition[], before: ReadonlyMap<string, ReadonlySet<string>>): TaskDefinition[] {
  const order: TaskDefinition[] = []
  const placedNames = new Set<string>()
  const left = new Set(tasks)
  while (left.size > 0) {
    const next = [...left].find((task) => [...(before.get(task.name) ?? [])].every((name) => placedNames.has(name)))
    if (!next) {
      const circle = circleAmong([...left], before)
      const [first] = left
      throw invalid('flows.cycle', `Flow ${flow} goes in a circle: ${circle.join(' -> ')}${first ? placed(first) : ''}`, {
        hint: 'Take away one of these references.',
      })
    }
    left.delete(next)
    placedNames.add(next.name)
    order.push(next)
  }
  return order
}

function circleAmong(left: readonly TaskDefinition[], before: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const names = new Set(left.map(({ name }) => name))
  const path: string[] = []
  let name = left[0]?.name ?? ''
  while (!path.includes(name)) {
    path.push(name)
    name = [...(before.get(name) ?? [])].find((one) => names.has(one)) ?? name
  }
  return [...path.slice(path.indexOf(name)), name].reverse()
}

const placed = ({ at }: TaskDefinition): string => (at === null ? '' : ` (${at})`)
