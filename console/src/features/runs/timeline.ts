/**
 * A run on one axis of time: a row a task, a bar a try, in shares of the axis. A task that maps over a list has a bar from its first element
 * to its last. Everything that goes on ends now.
 */
import type { RunNodeShape } from '../../api/types.ts'
import type { TaskState } from '../../ui/runs/states.ts'

export type Bar = {
  /** Shares of the axis, from 0 to 1. */
  readonly left: number
  readonly width: number
  readonly state: 'succeeded' | 'failed' | 'cancelled' | 'lost' | 'running' | 'deferred'
  readonly attempt: number | null
  readonly ms: number
}
export type TimelineRow = {
  readonly task: RunNodeShape
  readonly bars: readonly Bar[]
  /** From the first beginning to the last end; null for what never began. */
  readonly ms: number | null
}
export type Tick = { readonly at: number; readonly ms: number }
export type Timeline = { readonly from: number; readonly until: number; readonly ticks: readonly Tick[]; readonly rows: readonly TimelineRow[] }

type Spanned = { readonly from: number; readonly until: number; readonly state: Bar['state']; readonly attempt: number | null }

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500].concat(
  [1, 2, 5, 10, 15, 30].map((n) => n * second),
  [1, 2, 5, 10, 15, 30].map((n) => n * minute),
  [1, 2, 3, 6, 12, 24].map((n) => n * hour),
)

/** `began` is when the run did; the axis goes to `now`, which is the end of a run that is over. */
export function timeline(tasks: readonly RunNodeShape[], began: number | null, now: number, mostTicks = 8): Timeline {
  const spans = tasks.map((task) => spansOf(task, now))
  const all = spans.flat()
  const from = Math.min(began ?? now, ...all.map((span) => span.from))
  const until = Math.max(from + 1, began === null ? 0 : now, ...all.map((span) => span.until))
  const length = until - from
  return {
    from,
    until,
    ticks: ticksOf(length, mostTicks),
    rows: tasks.map((task, i) => {
      const own = spans[i] ?? []
      return {
        task,
        bars: own.map(({ from: start, until: end, state, attempt }) => ({
          left: (start - from) / length,
          width: (end - start) / length,
          state,
          attempt,
          ms: end - start,
        })),
        ms: own.length === 0 ? null : Math.max(...own.map((span) => span.until)) - Math.min(...own.map((span) => span.from)),
      }
    }),
  }
}

function spansOf(task: RunNodeShape, now: number): Spanned[] {
  const tries = task.tries.map(({ startedAt, endedAt, state, attempt }): Spanned => ({
    from: startedAt,
    until: Math.max(startedAt, endedAt),
    state: tried(state),
    attempt,
  }))
  const { elements } = task
  if (elements !== null && elements.startedAt !== null) {
    const over = isOver(task.state)
    return [
      ...tries,
      {
        from: elements.startedAt,
        until: Math.max(elements.startedAt, over ? (elements.endedAt ?? task.endedAt ?? now) : now),
        state: task.state === 'failed' ? 'failed' : task.state === 'cancelled' ? 'cancelled' : over ? 'succeeded' : 'running',
        attempt: null,
      },
    ]
  }
  if ((task.state === 'running' || task.state === 'deferred' || (task.state === 'delayed' && task.error === null)) && task.startedAt !== null)
    return [
      ...tries,
      { from: task.startedAt, until: Math.max(task.startedAt, now), state: task.state === 'running' ? 'running' : 'deferred', attempt: task.attempt },
    ]
  return tries
}

const tried = (state: string): Bar['state'] => (['succeeded', 'failed', 'cancelled', 'lost'] as const).find((each) => each === state) ?? 'succeeded'
const isOver = (state: TaskState): boolean => state === 'succeeded' || state === 'failed' || state === 'skipped' || state === 'cancelled'

function ticksOf(length: number, most: number): Tick[] {
  const step = steps.find((each) => length / each <= most) ?? Math.ceil(length / most / (24 * hour)) * 24 * hour
  return Array.from({ length: Math.floor(length / step) + 1 }, (_, i) => ({ at: (i * step) / length, ms: i * step }))
}

/** How many tasks are done and how many go on. */
export function counted(tasks: readonly RunNodeShape[]): { readonly done: number; readonly running: number; readonly failed: number } {
  return {
    done: tasks.filter(({ state }) => state === 'succeeded' || state === 'skipped').length,
    running: tasks.filter(({ state }) => state === 'running' || state === 'deferred' || state === 'expanded').length,
    failed: tasks.filter(({ state }) => state === 'failed').length,
  }
}

/** The tasks behind these, with them: what a retry from them runs anew. */
export function behind(nodes: readonly number[], edges: readonly (readonly [number, number])[]): ReadonlySet<number> {
  const found = new Set(nodes)
  for (const [from, to] of edges.toSorted(([a], [b]) => a - b)) if (found.has(from)) found.add(to)
  return found
}
