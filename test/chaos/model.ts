/**
 * What the log says should be there, written down as simply as may be: a replay of all its records, one by one. Nothing of the platform
 * but the reading of the log is used.
 */
import { recordsOf, type EventLog } from '../../src/streams/index.ts'
import { PARTITIONS, STREAM } from './cluster.ts'
import type { Reading } from './producer.ts'

export interface Replay {
  /** Takes what came since the last call. */
  follow(log: EventLog): Promise<void>
  readonly partitions: readonly ReplayedPartition[]
  /** The newest reading of each sensor. */
  readonly newest: ReadonlyMap<string, Reading>
  /** By queue, `rule partition/n` of each alert that is due. */
  readonly alerts: Readonly<Record<'critical' | 'episodes', ReadonlySet<string>>>
}

export interface ReplayedPartition {
  /** Readings so far. */
  readonly count: number
  /** Of (offset + 1) * (n + 1), modulo a prime: which reading is where. */
  readonly digest: number
  /** The first thing that was not as it should be. */
  readonly fault: string | null
}

export const DIGEST_PRIME = 1_000_003

export function createReplay(): Replay {
  const partitions = Array.from({ length: PARTITIONS }, () => ({ count: 0, digest: 0, next: 0, fault: null as string | null }))
  const newest = new Map<string, Reading>()
  const firing = new Set<string>()
  const alerts = { critical: new Set<string>(), episodes: new Set<string>() }

  const take = (partition: number, offset: number, reading: Reading): void => {
    const own = partitions[partition]
    if (!own) return
    if (reading.n !== own.count) own.fault ??= `reading ${reading.n} is where ${own.count} should be, at offset ${offset}`
    own.count++
    own.digest = (own.digest + ((((offset + 1) % DIGEST_PRIME) * ((reading.n + 1) % DIGEST_PRIME)) % DIGEST_PRIME)) % DIGEST_PRIME
    newest.set(reading.sensor, reading)
    if (reading.co > 10) alerts.critical.add(`${partition}/${reading.n}`)
    if (!firing.has(reading.sensor) && reading.co > 9.5) {
      firing.add(reading.sensor)
      alerts.episodes.add(`${partition}/${reading.n}`)
    } else if (firing.has(reading.sensor) && reading.co < 2) firing.delete(reading.sensor)
  }

  return {
    partitions,
    newest,
    alerts,
    async follow(log) {
      const ends = await log.ends(STREAM)
      for (const [partition, own] of partitions.entries()) {
        while (own.next < (ends[partition] ?? 0)) {
          const batches = await log.read(STREAM, partition, own.next)
          if (batches.length === 0) break
          for (const batch of batches) {
            for (const { offset, value } of recordsOf(batch))
              if (offset >= own.next) take(partition, offset, JSON.parse(Buffer.from(value).toString()) as Reading)
            own.next = Math.max(own.next, batch.baseOffset + batch.count)
          }
        }
      }
    },
  }
}
