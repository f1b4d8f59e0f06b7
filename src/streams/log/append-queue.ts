/**
 * Appends in the order of their calls, one statement at a time for each partition. Whatever small appends came while a statement
 * was under way go out as one batch with the next: a lone producer waits for nobody, and many share one commit.
 */
import { mergeBatches, type RecordBatch } from './batch.ts'
import type { ProducerMark } from './port.ts'

export interface Appended {
  readonly baseOffset: number
  readonly duplicate: boolean
}

export type Store = (topic: string, partition: number, batch: RecordBatch, producer: ProducerMark | undefined) => Promise<Appended>

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

  const work = async (place: string, topic: string, partition: number, queue: Waiting[]): Promise<void> => {
    while (queue.length > 0) {
      const lot = queue.splice(0, lotSize(queue))
      try {
        const { baseOffset, duplicate } = await store(topic, partition, mergeBatches(lot.map(({ batch }) => batch)), lot[0]?.producer)
        let next = baseOffset
        for (const { batch, resolve } of lot) {
          resolve({ baseOffset: next, duplicate })
          next += batch.count
        }
      } catch (error) {
        for (const { reject } of lot) reject(error)
      }
    }
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
