/**
 * Following records as they come: what was read is put before what was known, the newest first, never more than so many. Whoever comes
 * too late for all of them goes on at the newest, and the reader is told that some are left out.
 */
import type { RecordList, RecordShape } from '../../api/types.ts'

export type Followed = {
  /** Newest first. */
  readonly records: readonly RecordShape[]
  /** By partition, the offset to read on from; absent: from the newest. */
  readonly next: ReadonlyMap<number, number>
  /** By partition, the offset before which all was read. */
  readonly seen: ReadonlyMap<number, number>
  readonly leftOut: boolean
}

export const nothingYet: Followed = { records: [], next: new Map(), seen: new Map(), leftOut: false }

export function take(before: Followed, answers: readonly { readonly partition: number; readonly answer: RecordList }[], most: number): Followed {
  const next = new Map(before.next)
  const seen = new Map(before.seen)
  let leftOut = before.leftOut
  const fresh: RecordShape[] = []
  for (const { partition, answer } of answers) {
    const from = seen.get(partition) ?? 0
    fresh.push(...answer.items.filter(({ offset }) => offset >= from))
    seen.set(partition, Math.max(from, answer.next))
    if (answer.cursor === undefined) next.set(partition, Math.max(from, answer.next))
    else {
      next.delete(partition)
      leftOut = true
    }
  }
  if (fresh.length === 0) return { ...before, next, seen, leftOut }
  fresh.sort((a, b) => b.time - a.time || a.partition - b.partition || b.offset - a.offset)
  return { records: [...fresh, ...before.records].slice(0, most), next, seen, leftOut }
}

/** How many came since the list was frozen; all of them when its first is no longer among them. */
export function newerThan(frozen: readonly RecordShape[], records: readonly RecordShape[]): number {
  const [first] = frozen
  if (first === undefined) return records.length
  const at = records.findIndex(({ partition, offset }) => partition === first.partition && offset === first.offset)
  return at < 0 ? records.length : at
}
