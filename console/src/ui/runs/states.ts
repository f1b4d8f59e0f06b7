/** How runs and their tasks stand, as tones: each comes with its shape and its word. */
import type { RunShape, RunTaskShape } from '../../api/index.ts'
import type { Tone } from '../parts.tsx'

export type RunState = RunShape['state']
export type TaskState = RunTaskShape['state']

export const runStates = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const satisfies readonly RunState[]

export const runTones: Readonly<Record<RunState, Tone>> = { queued: 'off', running: 'run', succeeded: 'ok', failed: 'bad', cancelled: 'stop' }

export const taskTones: Readonly<Record<TaskState, Tone>> = {
  waiting: 'off',
  ready: 'off',
  held: 'off',
  delayed: 'warn',
  running: 'run',
  deferred: 'run',
  expanded: 'run',
  succeeded: 'ok',
  failed: 'bad',
  skipped: 'stop',
  cancelled: 'stop',
}

/** In the order in which counts are told: what went wrong first, then what goes on, then what is done. */
export const taskStates = [
  'failed',
  'running',
  'deferred',
  'expanded',
  'delayed',
  'ready',
  'held',
  'waiting',
  'succeeded',
  'skipped',
  'cancelled',
] as const satisfies readonly TaskState[]

type Timed = { readonly state: RunState; readonly startedAt: number | null; readonly endedAt: number | null }

/** How long a run took, or has taken so far; null before it began. */
export function runMs({ startedAt, endedAt }: Pick<Timed, 'startedAt' | 'endedAt'>, now: number): number | null {
  return startedAt === null ? null : Math.max(0, (endedAt ?? now) - startedAt)
}

/** How long it takes as a rule: the median of those that succeeded; undefined for fewer than three. */
export function usualMs(runs: readonly Timed[]): number | undefined {
  const lengths = runs
    .flatMap(({ state, startedAt, endedAt }) => (state === 'succeeded' && startedAt !== null && endedAt !== null ? [endedAt - startedAt] : []))
    .toSorted((a, b) => a - b)
  return lengths.length < 3 ? undefined : lengths[Math.floor(lengths.length / 2)]
}

/** Who asked for a run, from what it says of itself. */
export type Trigger = {
  readonly by: 'schedule' | 'api' | 'command line' | 'flow' | 'workload' | 'table' | 'stream' | 'other'
  readonly name: string
  readonly run?: string | undefined
  /** The table or the stream whose change it was. */
  readonly of?: string | undefined
}

export function triggerOf(trigger: unknown): Trigger {
  const facts: Record<string, unknown> = typeof trigger === 'object' && trigger !== null ? { ...trigger } : {}
  const name = typeof facts['by'] === 'string' ? facts['by'] : ''
  const by = (['schedule', 'api', 'command line', 'flow', 'workload', 'table', 'stream'] as const).find((each) => each === name) ?? 'other'
  return { by, name, run: text(facts['run']), of: text(facts[name]) }
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

/** An id as it is told apart at a glance: its last letters, for the first ones are the time. */
export const shortId = (id: string): string => id.slice(-8)
