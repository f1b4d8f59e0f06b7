/**
 * What was read from Kafka a short time ago, for the other readers of the same partition: runs of batches, each from the offset it was
 * asked for to the one at which the next read goes on. The runs that were used longest ago are forgotten first.
 */
import type { RecordBatch } from '../batch.ts'
import type { Run } from './record-batch.ts'

export interface Memory {
  remember(place: string, from: number, run: Run): void
  /** What is known from this offset on, within the limits but for the first batch; null when that offset is not in memory. */
  read(place: string, from: number, maxRecords: number, maxBytes: number): Run | null
  forget(place: string): void
  clear(): void
}

/** What a batch and a run cost beside their bytes. */
const OVERHEAD = 512

interface Kept extends Run {
  readonly place: string
  readonly from: number
  readonly size: number
}

export function createMemory(maxBytes: number): Memory {
  const places = new Map<string, Kept[]>()
  /** In the order of their last use. */
  const used = new Set<Kept>()
  let size = 0

  const drop = (kept: Kept): void => {
    used.delete(kept)
    size -= kept.size
    const left = places.get(kept.place)?.filter((one) => one !== kept) ?? []
    if (left.length > 0) places.set(kept.place, left)
    else places.delete(kept.place)
  }

  return {
    remember(place, from, run) {
      if (run.next <= from) return
      const kept = { ...run, place, from, size: run.batches.reduce((sum, { bytes }) => sum + bytes.length + OVERHEAD, OVERHEAD) }
      const runs = places.get(place) ?? []
      const at = runs.findLastIndex((one) => one.from <= from) + 1
      // Whoever asked at the same time for the same brought it already.
      if (runs[at - 1]?.from === from && (runs[at - 1]?.next ?? 0) >= run.next) return
      runs.splice(at, 0, kept)
      places.set(place, runs)
      used.add(kept)
      size += kept.size
      for (const oldest of used) {
        if (size <= maxBytes) break
        drop(oldest)
      }
    },

    read(place, from, maxRecords, maxBytes) {
      const runs = places.get(place) ?? []
      const batches: RecordBatch[] = []
      const limits = { records: maxRecords, bytes: maxBytes }
      let next = from
      for (let at = lastFrom(runs, from); at < runs.length; at++) {
        const kept = runs[at]
        if (!kept || kept.from > next) break
        if (kept.next <= next) continue
        used.delete(kept)
        used.add(kept)
        for (const batch of kept.batches) {
          const end = batch.baseOffset + batch.count
          if (end <= next) continue
          if (!fits(batch, batches.length, limits)) return { batches, next }
          batches.push(batch)
          next = end
        }
        next = kept.next
      }
      return next > from ? { batches, next } : null
    },

    forget(place) {
      for (const kept of places.get(place) ?? []) drop(kept)
    },

    clear() {
      places.clear()
      used.clear()
      size = 0
    },
  }
}

/** The batches of a run that an answer holds: the first whatever its size. */
export function within(run: Run, maxRecords: number, maxBytes: number): Run {
  const limits = { records: maxRecords, bytes: maxBytes }
  const batches: RecordBatch[] = []
  for (const batch of run.batches) {
    if (!fits(batch, batches.length, limits)) return { batches, next: batch.baseOffset }
    batches.push(batch)
  }
  return { batches, next: run.next }
}

function fits(batch: RecordBatch, before: number, limits: { records: number; bytes: number }): boolean {
  limits.records -= batch.count
  limits.bytes -= batch.bytes.length
  return before === 0 || (limits.records >= 0 && limits.bytes >= 0)
}

/** Where to begin: the last run that begins at or before the offset, or an earlier one that may reach further. */
function lastFrom(runs: readonly Kept[], offset: number): number {
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((runs[middle]?.from ?? 0) <= offset) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 2)
}
