/**
 * The life of an alert for one fingerprint (one sensor, say), as a pure function of what came before and one reading:
 *
 *   quiet --when--> pending --when held for long enough--> firing --clear, or not when--> quiet
 *
 * - With no `for`, the first matching reading fires at once. `{ readings: n }` counts matching readings without a false one
 *   between them; a duration is the event time from the first of them to the reading that fires. No timer fires anything.
 * - A false `when` ends pending. Unknown neither counts, nor fires, nor ends: pending keeps its count.
 * - Firing ends when `clear` is true, or, without `clear`, when `when` is false. That reading begins nothing new.
 * - A reading is late, and changes nothing, when it is older in event time than the newest reading that the open episode, or
 *   the last one, has seen. Readings of one time are taken in the order of the log.
 */
import { FALSE, TRUE } from './cel/outcomes.ts'

export interface EpisodeRule {
  /** The matching readings it takes to fire, at least 1. */
  readonly readings: number
  /** The event time in ms from the first matching reading to the one that fires. */
  readonly holdMs: number
  readonly hasClear: boolean
}

export interface Reading {
  /** FALSE, TRUE or UNKNOWN. */
  readonly when: number
  readonly clear: number
  /** Event time, epoch milliseconds. */
  readonly at: number
}

export interface Episode {
  readonly phase: 'quiet' | 'pending' | 'firing'
  /** Event time of the first matching reading; of the end when quiet. */
  readonly since: number
  /** Matching readings so far. */
  readonly matched: number
  /** Event time of the newest reading it has seen. */
  readonly newest: number
  /** The alert it is, while firing. */
  readonly alert: string | null
}

export interface Step {
  readonly episode: Episode | null
  readonly event: 'fired' | 'ended' | null
}

/** The state after a reading; the same object when nothing changed. `null` is a fingerprint that has never matched. */
export function advance(rule: EpisodeRule, episode: Episode | null, reading: Reading, alertId: () => string): Step {
  const { when, at } = reading
  if (episode !== null && at < episode.newest) return { episode, event: null }
  if (episode === null || episode.phase === 'quiet') {
    return when === TRUE ? matching(rule, at, 1, at, alertId) : { episode, event: null }
  }
  if (episode.phase === 'pending') {
    if (when === TRUE) return matching(rule, episode.since, episode.matched + 1, at, alertId)
    if (when === FALSE) return { episode: quietSince(at), event: null }
    return { episode: seen(episode, at), event: null }
  }
  if (rule.hasClear ? reading.clear === TRUE : when === FALSE) return { episode: quietSince(at), event: 'ended' }
  return { episode: when === TRUE ? { ...episode, matched: episode.matched + 1, newest: at } : seen(episode, at), event: null }
}

function matching(rule: EpisodeRule, since: number, matched: number, at: number, alertId: () => string): Step {
  const fires = matched >= rule.readings && at - since >= rule.holdMs
  return fires
    ? { episode: { phase: 'firing', since, matched, newest: at, alert: alertId() }, event: 'fired' }
    : { episode: { phase: 'pending', since, matched, newest: at, alert: null }, event: null }
}

function quietSince(at: number): Episode {
  return { phase: 'quiet', since: at, matched: 0, newest: at, alert: null }
}

function seen(episode: Episode, at: number): Episode {
  return at === episode.newest ? episode : { ...episode, newest: at }
}
