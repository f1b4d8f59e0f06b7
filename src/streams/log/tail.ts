/**
 * The newest batches of each partition in memory, so that consumers near the end of the log do not read them back. What is kept of
 * a partition is one unbroken run of batches: an answer from memory is the answer that the log's storage would give.
 */
import type { RecordBatch } from './batch.ts'

export interface Tails {
  remember(place: string, batch: RecordBatch): void
  /** The batches from the one that holds `from`, or null when that one is not in memory. */
  read(place: string, from: number, maxRecords: number, maxBytes: number): RecordBatch[] | null
  /** Where the next batch begins; null when nothing is in memory. */
  end(place: string): number | null
  /** Forgets the batches that begin below this offset, because retention dropped them. */
  forgetBelow(place: string, offset: number): void
  clear(): void
}

/** What a batch costs beside its bytes, so that very small batches are bounded, too. */
const OVERHEAD = 512

export function createTails(maxBytes: number): Tails {
  const tails = new Map<string, RecordBatch[]>()
  let size = 0

  const drop = (place: string, batches: RecordBatch[], count: number): void => {
    for (const dropped of batches.splice(0, count)) size -= dropped.bytes.length + OVERHEAD
    if (batches.length === 0) tails.delete(place)
  }

  const dropOldest = (): void => {
    let oldest: [string, RecordBatch[]] | null = null
    for (const entry of tails) if (oldest === null || (entry[1][0]?.appendedAt ?? 0) < (oldest[1][0]?.appendedAt ?? 0)) oldest = entry
    // Some at a time: taking the first of a long list moves all the others.
    if (oldest) drop(...oldest, Math.ceil(oldest[1].length / 16))
  }

  return {
    remember(place, batch) {
      const batches = tails.get(place) ?? []
      const last = batches.at(-1)
      if (last && last.baseOffset + last.count !== batch.baseOffset) {
        // An answer that was overtaken by a later one brings nothing new; a batch of another process in between begins a new run.
        if (batch.baseOffset < last.baseOffset) return
        drop(place, batches, batches.length)
      }
      batches.push(batch)
      tails.set(place, batches)
      size += batch.bytes.length + OVERHEAD
      while (size > maxBytes && tails.size > 0) dropOldest()
    },

    read(place, from, maxRecords, maxAnswer) {
      const batches = tails.get(place)
      const first = batches?.[0]
      const last = batches?.at(-1)
      if (!batches || !first || !last || from < first.baseOffset || from >= last.baseOffset + last.count) return null
      const found: RecordBatch[] = []
      let count = 0
      let bytes = 0
      for (let i = indexOf(batches, from); i < batches.length; i++) {
        const batch = batches[i]
        if (!batch || (found.length > 0 && (count + batch.count > maxRecords || bytes + batch.bytes.length > maxAnswer))) break
        found.push(batch)
        count += batch.count
        bytes += batch.bytes.length
      }
      return found
    },

    end(place) {
      const last = tails.get(place)?.at(-1)
      return last ? last.baseOffset + last.count : null
    },

    forgetBelow(place, offset) {
      const batches = tails.get(place)
      if (batches) drop(place, batches, batches.filter(({ baseOffset }) => baseOffset < offset).length)
    },

    clear() {
      tails.clear()
      size = 0
    },
  }
}

/** The last batch that begins at or before the offset; the first one does. */
function indexOf(batches: readonly RecordBatch[], offset: number): number {
  let low = 0
  let high = batches.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((batches[middle]?.baseOffset ?? 0) <= offset) low = middle
    else high = middle - 1
  }
  return low
}
