/**
 * When flows begin by themselves. Every node looks; the next time of a schedule stands in the database, and a run's key is its time, so that a
 * time makes one run however many nodes saw it come.
 */
import { Cron } from 'croner'
import { idFrom, invalid, parseDuration } from '../base/index.ts'
import type { Flow } from './declare.ts'

/** The first time after `from`; null when there is none. */
export type NextTime = (from: number) => number | null

/** Times that were missed and are made up for, at most. */
const MOST_MISSED = 1_000

export function timesOf(flow: Flow): NextTime | null {
  const times = plainTimes(flow)
  const { jitter } = flow.options
  if (times === null || jitter === undefined) return times
  const ms = parseDuration(jitter)
  if (ms === null)
    throw invalid('flows.jitter', `jitter of flow ${flow.name} is ${JSON.stringify(jitter)}, which is no duration`, {
      hint: "Write jitter: '5min', for example.",
    })
  return spread(times, ms, flow.name)
}

/** Each time comes somewhat later, the same on every node: flows of one hour do not all begin in its first second. */
function spread(times: NextTime, ms: number, name: string): NextTime {
  const later = (time: number): number => time + Math.floor((Number.parseInt(idFrom(name, time).slice(0, 8), 16) / 2 ** 32) * ms)
  return (from) => {
    for (let time = times(from - ms - 1); time !== null; time = times(time)) if (later(time) > from) return later(time)
    return null
  }
}

function plainTimes({ name, options: { cron, every, timeZone } }: Flow): NextTime | null {
  if (cron !== undefined && every !== undefined) throw invalid('flows.schedule', `Flow ${name} has both cron and every`, { hint: 'Keep one of them.' })
  if (every !== undefined) {
    const ms = parseDuration(every)
    if (ms === null || ms < 1_000)
      throw invalid('flows.every', `every of flow ${name} is ${JSON.stringify(every)}`, { hint: "Write every: '15min', for example; a second is the least." })
    return (from) => (Math.floor(from / ms) + 1) * ms
  }
  if (cron === undefined) return null
  let parsed: Cron
  try {
    parsed = new Cron(cron, { timezone: timeZone ?? 'UTC', paused: true })
    // A zone that is none is noticed only here.
    parsed.nextRun()
  } catch (cause) {
    throw invalid(
      'flows.cron',
      `cron of flow ${name} is ${JSON.stringify(cron)}${timeZone === undefined ? '' : ` in ${timeZone}`}: ${cause instanceof Error ? cause.message : ''}`,
      {
        hint: "Write minute, hour, day, month, weekday: '0 3 * * *' is every day at three.",
        cause,
      },
    )
  }
  return (from) => parsed.nextRun(new Date(from))?.getTime() ?? null
}

export interface Due {
  /** The times for which to make runs, the oldest first. */
  readonly times: readonly number[]
  readonly next: number | null
}

/** How late a time may be noticed without being a missed one. */
const LATE_MS = 60_000

/** What is due at `now`, when `next` is the time that was waited for. */
export function dueAt(times: NextTime, next: number, now: number, catchUp: 'newest' | 'all' | 'none'): Due {
  const missed: number[] = []
  let time: number | null = next
  while (time !== null && time <= now && missed.length < MOST_MISSED) {
    missed.push(time)
    time = times(time)
  }
  // More than that many are not counted one by one.
  if (time !== null && time <= now) {
    const newest: number = time
    time = times(now)
    if (catchUp === 'newest') return { times: [newest], next: time }
  }
  if (catchUp === 'all') return { times: missed, next: time }
  const newest = missed.at(-1)
  if (newest === undefined || (catchUp === 'none' && now - newest > LATE_MS)) return { times: [], next: time }
  return { times: [newest], next: time }
}
