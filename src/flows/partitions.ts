/**
 * The parts that a flow is run for one by one: an hour, a day, a week or a month each, named by when it begins. Hours are those of UTC, so that
 * none comes twice; the others begin at midnight in the flow's time zone. Weeks begin on Monday and are named by it.
 */
import { invalid } from '../base/index.ts'

export type PartitionUnit = 'hour' | 'day' | 'week' | 'month'

/** From its first instant to the first one after it. */
export interface Window {
  readonly from: number
  readonly to: number
}

/** A backfill has at most so many. */
export const MOST_PARTITIONS = 100_000

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const SHAPES: Readonly<Record<PartitionUnit, { readonly pattern: RegExp; readonly example: string }>> = {
  hour: { pattern: /^(\d{4})-(\d\d)-(\d\d)T(\d\d)$/, example: '2026-03-01T05' },
  day: { pattern: /^(\d{4})-(\d\d)-(\d\d)$/, example: '2026-03-01' },
  week: { pattern: /^(\d{4})-(\d\d)-(\d\d)$/, example: '2026-03-02, a Monday' },
  month: { pattern: /^(\d{4})-(\d\d)$/, example: '2026-03' },
}

/** The window of a partition; refuses a name that is none. */
export function windowOf(unit: PartitionUnit, name: string, timeZone: string): Window {
  const start = startOf(unit, name)
  if (start === null) throw invalid('flows.partition', `${JSON.stringify(name)} is no ${unit}`, { hint: `Write it as ${SHAPES[unit].example}.` })
  return { from: instantOf(start, unit, timeZone), to: instantOf(following(unit, start), unit, timeZone) }
}

/** The partition that an instant is in. */
export function partitionAt(unit: PartitionUnit, at: number, timeZone: string): string {
  const local = unit === 'hour' ? at : at + offsetAt(at, timeZone)
  return nameOf(unit, floor(unit, local))
}

/** The newest partition that was over at an instant. */
export function partitionBefore(unit: PartitionUnit, at: number, timeZone: string): string {
  return partitionAt(unit, windowOf(unit, partitionAt(unit, at, timeZone), timeZone).from - 1, timeZone)
}

/** All from one to another, both included; either may be any date or time within. */
export function partitionsBetween(unit: PartitionUnit, from: string, to: string): string[] {
  const [first, last] = [from, to].map((text) => {
    const start = startOf(unit, text) ?? looseStart(unit, text)
    if (start !== null) return start
    throw invalid('flows.partition', `${JSON.stringify(text)} is neither ${unit === 'hour' ? 'an' : 'a'} ${unit} nor a date`, {
      hint: `Write it as ${SHAPES[unit].example}.`,
    })
  })
  if (first === undefined || last === undefined || first > last)
    throw invalid('flows.backfill_range', `There is no ${unit} from ${from} to ${to}`, { hint: 'Give the earlier one as from.' })
  const names: string[] = []
  for (let start = first; start <= last; start = following(unit, start)) {
    names.push(nameOf(unit, start))
    if (names.length > MOST_PARTITIONS)
      throw invalid('flows.backfill_size', `From ${from} to ${to} there are more than ${MOST_PARTITIONS} partitions`, {
        hint: 'Fill a part of that at a time.',
      })
  }
  return names
}

/** Its begin on the clock of the wall, as if that were UTC; null when the text is no name of one. */
function startOf(unit: PartitionUnit, text: string): number | null {
  const match = SHAPES[unit].pattern.exec(text)
  if (!match) return null
  const [, year = 0, month = 1, day = 1, hour = 0] = match.map(Number)
  const start = Date.UTC(year, month - 1, day, hour)
  // 2026-02-30 is no day, and a week is named by its Monday.
  return nameOf(unit, floor(unit, start)) === text ? start : null
}

function looseStart(unit: PartitionUnit, text: string): number | null {
  const day = startOf('day', text) ?? startOf('month', text)
  return day === null ? null : floor(unit, day)
}

function floor(unit: PartitionUnit, local: number): number {
  if (unit === 'hour') return local - mod(local, HOUR_MS)
  const day = local - mod(local, DAY_MS)
  // The first of January 1970 was a Thursday.
  if (unit === 'week') return day - mod(day / DAY_MS + 3, 7) * DAY_MS
  if (unit === 'day') return day
  const date = new Date(day)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1)
}

function following(unit: PartitionUnit, start: number): number {
  if (unit === 'hour') return start + HOUR_MS
  if (unit === 'day') return start + DAY_MS
  if (unit === 'week') return start + 7 * DAY_MS
  const date = new Date(start)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1)
}

const LENGTHS: Readonly<Record<PartitionUnit, number>> = { hour: 13, day: 10, week: 10, month: 7 }
const nameOf = (unit: PartitionUnit, start: number): string => new Date(start).toISOString().slice(0, LENGTHS[unit])

/** When the wall's clock of the zone shows that; the first instant after it where it never does. */
function instantOf(local: number, unit: PartitionUnit, timeZone: string): number {
  if (unit === 'hour') return local
  const guess = local - offsetAt(local, timeZone)
  // Around a change of the clock the offset that was guessed with may not be the one that holds there.
  const second = local - offsetAt(guess, timeZone)
  return Math.min(...[guess, second].filter((at) => at + offsetAt(at, timeZone) >= local))
}

const formats = new Map<string, Intl.DateTimeFormat>()

/** How far the zone's clock is ahead of UTC. */
function offsetAt(at: number, timeZone: string): number {
  if (timeZone === 'UTC') return 0
  let format = formats.get(timeZone)
  if (!format) {
    const fields = { year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' } as const
    format = new Intl.DateTimeFormat('en-US', { timeZone, hourCycle: 'h23', ...fields })
    formats.set(timeZone, format)
  }
  const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(at / 1000) * 1000
}

const mod = (value: number, by: number): number => ((value % by) + by) % by
