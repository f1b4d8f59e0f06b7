/** Durations in a table's settings, as Spark writes them: `interval 30 days`, `7 days 12 hours`. */
import type { Metadata } from './types.ts'

const DAY = 86_400_000

const UNITS: Readonly<Record<string, number>> = { microsecond: 0.001, millisecond: 1, second: 1000, minute: 60_000, hour: 3_600_000, day: DAY, week: 7 * DAY }

/** Milliseconds; null when the text is no duration of a fixed length (a month is none). */
export function durationOf(text: string): number | null {
  const parts = /^\s*(?:interval\s+)?((?:\d+\s+[a-z]+\s*)+)$/i.exec(text)?.[1]
  if (parts === undefined) return null
  let sum = 0
  for (const [, count = '', unit = ''] of parts.matchAll(/(\d+)\s+([a-z]+)/gi)) {
    const length = UNITS[unit.toLowerCase().replace(/s$/, '')]
    if (length === undefined) return null
    sum += Number(count) * length
  }
  return sum
}

/** A setting that is missing, or that cannot be read, keeps things for as long as it does by default. */
function settingOf(metadata: Metadata, key: string, otherwise: number): number {
  return durationOf(metadata.configuration[key] ?? '') ?? otherwise
}

/** How long commits and checkpoints are kept, in milliseconds (delta.logRetentionDuration). */
export function logRetention(metadata: Metadata): number {
  return settingOf(metadata, 'delta.logRetentionDuration', 30 * DAY)
}

/** How long a removed file is remembered in checkpoints, in milliseconds (delta.deletedFileRetentionDuration). */
export function tombstoneRetention(metadata: Metadata): number {
  return settingOf(metadata, 'delta.deletedFileRetentionDuration', 7 * DAY)
}

/** How long an application's progress is remembered, in milliseconds; for ever when the table does not say (delta.setTransactionRetentionDuration). */
export function transactionRetention(metadata: Metadata): number {
  return settingOf(metadata, 'delta.setTransactionRetentionDuration', Number.POSITIVE_INFINITY)
}
