/**
 * Appends in the order of their calls, one statement at a time for each partition. Whatever small appends came while a statement
 * was under way go out as one batch with the next: a lone producer waits for nobody, and many share one commit.
 */
import { LagoaError } from '../../base/index.ts'
import { mergeBatches, type RecordBatch } from './batch.ts'
import type { ProducerMark } from './port.ts'

export interface Appended {
  readonly baseOffset: number
  readonly duplicate: boolean
}

/** What the engine answers; where it could not keep a batch together, from which record on each piece begins at which offset. */
export interface Stored extends Appended {
  readonly pieces?: readonly { readonly from: number; readonly baseOffset: number }[]
}

/** Rejects with `streams.record_too_large` only when nothing was stored. */
export type Store = (topic: string, partition: number, batch: RecordBatch, producer: ProducerMark | undefined) => Promise<Stored>

export interface AppendQueue {
  append(topic: string, partition: number, batch: RecordBatch, producer: ProducerMark | undefined): Promise<Appended>
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
}

/** What goes out together; a larger append goes alone. */
const MERGED_RECORDS = 10_000
const MERGED_BYTES = 1024 * 1024

export function createAppendQueue(store: Store): AppendQueue {
  const queues = new Map<string, Waiting[]>()
  const working = new Set<Promise<void>>()

  const storeLot = async (topic: string, partition: number, lot: readonly Waiting[]): Promise<void> => {
    try {
      const stored = await store(topic, partition, mergeBatches(lot.map(({ batch }) => batch)), lot[0]?.producer)
      let record = 0
      for (const { batch, resolve } of lot) {
        resolve({ baseOffset: offsetOf(stored, record), duplicate: stored.duplicate })
        record += batch.count
      }
    } catch (error) {
      // What the engine does not take must not take its neighbours with it.
      if (lot.length > 1 && error instanceof LagoaError && error.code === 'streams.record_too_large')
        for (const one of lot) await storeLot(topic, partition, [one])
      else for (const { reject } of lot) reject(error)
    }
  }

  const work = async (place: string, topic: string, partition: number, queue: Waiting[]): Promise<void> => {
    while (queue.length > 0) await storeLot(topic, partition, queue.splice(0, lotSize(queue)))
    queues.delete(place)
  }

  return {
    append(topic, partition, batch, producer) {
      const place = `${topic}/${partition}`
      return new Promise((resolve, reject) => {
        const waiting = { batch, producer, resolve, reject }
        const queue = queues.get(place)
        if (queue) {
          queue.push(waiting)
          return
        }
        const fresh = [waiting]
        queues.set(place, fresh)
        const running = work(place, topic, partition, fresh)
        working.add(running)
        void running.finally(() => working.delete(running))
      })
    },
    async idle() {
      await Promise.all(working)
    },
  }
}

interface Waiting {
  readonly batch: RecordBatch
  readonly producer: ProducerMark | undefined
  readonly resolve: (appended: Appended) => void
  readonly reject: (error: unknown) => void
}

function offsetOf({ baseOffset, pieces = [] }: Stored, record: number): number {
  const piece = pieces.findLast(({ from }) => from <= record)
  return piece ? piece.baseOffset + record - piece.from : baseOffset + record
}

/** How many from the head of the queue go out together: a marked append is alone, since its mark stands for exactly its records. */
function lotSize(queue: readonly Waiting[]): number {
  const first = queue[0]
  if (!first || first.producer) return 1
  let records = first.batch.count
  let bytes = first.batch.bytes.length
  let size = 1
  for (; size < queue.length; size++) {
    const next = queue[size]
    if (!next || next.producer || next.batch.wellFormed !== first.batch.wellFormed) break
    records += next.batch.count
    bytes += next.batch.bytes.length
    if (records > MERGED_RECORDS || bytes > MERGED_BYTES) break
  }
  return size
}
