/** The last runs of a flow as bars: the oldest first, as tall as they were long beside the longest of them. */
import type { FlowShape } from '../../api/types.ts'
import { type RunState, runMs } from './states.ts'

export type RunBar = { readonly id: string; readonly state: RunState; readonly height: number; readonly ms: number | null }

const least = 4

export function barsOf(last: FlowShape['last'], now: number, full: number): RunBar[] {
  const runs = last.map((run) => ({ id: run.id, state: run.state, ms: runMs(run, now) })).toReversed()
  const longest = Math.max(1, ...runs.map(({ ms }) => ms ?? 0))
  return runs.map((run) => ({
    ...run,
    // What was cancelled tells nothing by its length; the square root keeps short runs apart beside a long one.
    height: run.state === 'cancelled' ? 2 : Math.round(least + (full - least) * Math.sqrt((run.ms ?? 0) / longest)),
  }))
}
