/**
 * The marks of producers, in a compacted topic of one partition: for each topic and producer the newest sequence and note, and up to
 * where the records go that were stored with it in one transaction.
 *
 * Who has just fenced a producer must see everything that it had committed, also while another producer's transaction is open before
 * it. So what lies behind the last stable offset is read as decided, and what lies beyond it, which compaction never touches, is decided
 * here by the marks at the ends of transactions.
 */
import { recordsOf, type RecordBatch } from '../batch.ts'
import type { ProducerMark } from '../port.ts'
import { brokerError, type Cluster } from './cluster.ts'
import { hasCode } from './faults.ts'
import { committed, decodeRecords, storedBatches, type StoredBatch } from './record-batch.ts'
import { requestFetch, type Fetched } from './wire.ts'

export const MARKS_TOPIC = 'lagoa.producers'

/** What is stored of a producer: its mark and where its records are. */
export interface StoredMark {
  readonly sequence: number
  readonly note?: Readonly<Record<string, unknown>>
  readonly partition: number
  /** Behind the last record that was stored with it. */
  readonly next: number
}

export interface Marks {
  /** The newest committed mark of a producer; sees every transaction that had ended before the call. */
  latest(topic: string, id: string): Promise<StoredMark | null>
}

const FETCH_BYTES = 1024 * 1024

export function markKey(topic: string, id: string): string {
  return JSON.stringify([topic, id])
}

export function createMarks(cluster: Cluster): Marks {
  const { library } = cluster
  const decided = new Map<string, StoredMark>()
  /** Those of transactions that end beyond the last stable offset. */
  let ahead = new Map<string, StoredMark>()
  let position = 0
  let running: Promise<void> | null = null
  let queued: Promise<void> | null = null

  const fetch = (from: number, isolated: boolean): Promise<Fetched> =>
    cluster.atLeader('marks', MARKS_TOPIC, 0, async (connection) => {
      const options = { waitMs: 0, maxBytes: FETCH_BYTES, maxPartitionBytes: FETCH_BYTES, committed: isolated }
      const [fetched] = await requestFetch(library, connection, [{ topic: MARKS_TOPIC, partition: 0, from }], options)
      if (!fetched || fetched.error !== 0) throw brokerError(library, fetched?.error ?? -1)
      return fetched
    })

  const readDecided = async (): Promise<number> => {
    for (;;) {
      const fetched = await fetch(position, true)
      const before = position
      for (const stored of committed(library, fetched.records, fetched.aborted)) {
        if (stored.marker === null) for (const [key, mark] of marksIn(stored)) decided.set(key, mark)
        position = Math.max(position, stored.lastOffset + 1)
      }
      if (position === before) return fetched.highWatermark
    }
  }

  const readAhead = async (end: number): Promise<void> => {
    const found = new Map<string, StoredMark>()
    const open = new Map<number, [string, StoredMark][]>()
    for (let next = position; next < end;) {
      const fetched = await fetch(next, false)
      const before = next
      for (const stored of storedBatches(library, fetched.records)) {
        next = Math.max(next, stored.lastOffset + 1)
        if (stored.marker === null) open.set(stored.producer, [...(open.get(stored.producer) ?? []), ...marksIn(stored)])
        else {
          if (stored.marker === 'commit') for (const [key, mark] of open.get(stored.producer) ?? []) found.set(key, mark)
          open.delete(stored.producer)
        }
      }
      if (next === before) break
    }
    ahead = found
  }

  const catchUp = async (): Promise<void> => {
    if (((await cluster.leaders(MARKS_TOPIC)) ?? (await cluster.leaders(MARKS_TOPIC, 0))) === null) return
    try {
      await readAhead(await readDecided())
    } catch (error) {
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error
      // It was made anew.
      decided.clear()
      position = 0
      await readAhead(await readDecided())
    }
  }

  /** One reading at a time; who comes during one waits for the next, which all who came share. */
  const refresh = (): Promise<void> => {
    if (!running) {
      running = catchUp().finally(() => (running = null))
      return running
    }
    queued ??= running
      .catch(() => undefined)
      .then(() => {
        queued = null
        return refresh()
      })
    return queued
  }

  return {
    async latest(topic, id) {
      await refresh()
      const key = markKey(topic, id)
      return ahead.get(key) ?? decided.get(key) ?? null
    },
  }
}

export function producerMark(id: string, { sequence, note }: StoredMark): ProducerMark {
  return { id, sequence, ...(note ? { note } : {}) }
}

function* marksIn(stored: StoredBatch): Generator<[string, StoredMark]> {
  if (stored.count === 0) return
  const batches: RecordBatch[] = []
  decodeRecords(stored, batches)
  for (const batch of batches) {
    for (const { key, value } of recordsOf(batch)) {
      const mark = parseMark(value)
      if (key !== null && mark) yield [key, mark]
    }
  }
}

/** What somebody else wrote there is no mark. */
function parseMark(value: Buffer): StoredMark | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(value.toString())
  } catch {
    return null
  }
  if (typeof parsed !== 'object' || parsed === null) return null
  const { sequence, note, partition, next }: { sequence?: unknown; note?: unknown; partition?: unknown; next?: unknown } = parsed
  if (typeof sequence !== 'number' || typeof partition !== 'number' || typeof next !== 'number') return null
  return { sequence, partition, next, ...(typeof note === 'object' && note !== null ? { note: { ...note } } : {}) }
}
