/**
 * The event log on Postgres: a producer's batch is one row, and its offset is taken under the partition's row lock in the
 * statement that stores it; so offsets become visible in their order.
 */
import { invalid, missing, unavailable } from '../../base/index.ts'
import type { Records } from '../../storage/index.ts'
import { createAppendQueue, type Store } from './append-queue.ts'
import { storedBatch } from './batch.ts'
import type { EventLog } from './port.ts'
import { APPEND, APPEND_MARKED, READ, TRIM } from './postgres-statements.ts'
import { createTails } from './tail.ts'
import { checkTopic, fewerPartitions } from './topic.ts'

/** How many bytes of recent batches stay in memory, all partitions together. */
const TAIL_BYTES = 24 * 1024 * 1024
const READ_ROWS = 1000
const MAX_WAIT_MS = 1000

/** The database must have had `eventLogMigrations`. Closing leaves the records open. */
export async function openPostgresLog(records: Records): Promise<EventLog> {
  const tails = createTails(TAIL_BYTES)
  const waiters = new Map<string, Set<() => void>>()
  /** The highest end of each partition that this process heard of. */
  const heard = new Map<string, number>()
  /** What this process is about to append, a statement at a time for each partition. */
  const storing = new Map<string, Promise<unknown>>()
  let closed = false

  const wake = (place: string): void => {
    for (const resolve of waiters.get(place) ?? []) resolve()
  }
  const hear = (place: string, next: number): void => {
    // What this process appended comes back as a notice; nobody must wake for it twice.
    if (next <= (heard.get(place) ?? 0)) return
    heard.set(place, next)
    wake(place)
  }
  const unlisten = await records.listen('lagoa_log', (payload) => {
    const slash = payload.lastIndexOf('/')
    if (slash > 0) hear(payload.slice(0, slash), Number(payload.slice(slash + 1)))
    else for (const place of waiters.keys()) wake(place)
  })

  const open = (): void => {
    if (closed) throw unavailable('streams.log_closed', 'The event log is closed', { hint: 'Lagoa is stopping; start it again.' })
  }

  const store: Store = async (topic, partition, batch, producer) => {
    const place = `${topic}/${partition}`
    const stored = storeBatch(topic, partition, batch, producer)
    storing.set(
      place,
      stored.catch(() => undefined),
    )
    try {
      return await stored
    } finally {
      storing.delete(place)
    }
  }
  const storeBatch: Store = async (topic, partition, batch, producer) => {
    open()
    const values = [topic, partition, batch.count, batch.bytes]
    const [stored] = producer
      ? await records.query<Stored>(APPEND_MARKED, [...values, producer.id, producer.sequence, producer.note ? JSON.stringify(producer.note) : null], {
          name: 'event_append_marked',
        })
      : await records.query<Stored>(APPEND, values, { name: 'event_append' })
    if (!stored) {
      const [exists] = await records.query('select 1 from event_partition where topic = $1 and partition = $2', [topic, partition])
      if (producer && exists) return { baseOffset: -1, duplicate: true }
      throw missing('streams.no_topic', `There is no partition ${partition} of topic ${topic}`, {
        hint: `Declare it with stream('${topic}', ...) in streams/.`,
      })
    }
    const place = `${topic}/${partition}`
    tails.remember(place, { ...batch, baseOffset: stored.base_offset, appendedAt: stored.appended_at })
    hear(place, stored.base_offset + batch.count)
    return { baseOffset: stored.base_offset, duplicate: false }
  }
  const appends = createAppendQueue(store)

  return {
    capabilities: { name: 'postgres', denseOffsets: true, transactionalNotes: true, exactRetention: true },

    async ensureTopic(topic, options) {
      open()
      checkTopic(topic, options)
      await records.transaction(async (tx) => {
        await tx.query('insert into event_topic (topic, partitions, retain_ms, retain_bytes) values ($1, $2, $3, $4) on conflict do nothing', [
          topic,
          options.partitions,
          whole(options.retainMs),
          whole(options.retainBytes),
        ])
        const [known] = await tx.query<{ partitions: number }>('select partitions from event_topic where topic = $1 for update', [topic])
        if (known && known.partitions > options.partitions) throw fewerPartitions(topic, known.partitions, options.partitions)
        await tx.query('update event_topic set partitions = $2, retain_ms = $3, retain_bytes = $4 where topic = $1', [
          topic,
          options.partitions,
          whole(options.retainMs),
          whole(options.retainBytes),
        ])
        await tx.query('insert into event_partition (topic, partition) select $1, generate_series(0, $2 - 1) on conflict do nothing', [
          topic,
          options.partitions,
        ])
      })
    },

    async topics() {
      open()
      return (await records.query<{ topic: string }>('select topic from event_topic order by topic')).map(({ topic }) => topic)
    },

    async append(topic, partition, batch, { producer } = {}) {
      open()
      if (batch.count === 0) throw invalid('streams.empty_append', `An append to ${topic}/${partition} has no records`, { hint: 'Append at least one record.' })
      return appends.append(topic, partition, batch, producer)
    },

    async producerState(topic, id) {
      open()
      const [row] = await records.query<{ sequence: number; note: Record<string, unknown> | null }>(
        'select sequence, note from event_producer where topic = $1 and id = $2',
        [topic, id],
      )
      return row ? { id, sequence: row.sequence, ...(row.note ? { note: row.note } : {}) } : null
    },

    async read(topic, partition, from, { maxRecords = 20_000, maxBytes = 16 * 1024 * 1024 } = {}) {
      open()
      const place = `${topic}/${partition}`
      // The notice of an append may be here before its answer: what it brings is in memory a moment later.
      if (from === tails.end(place)) await storing.get(place)
      const recent = tails.read(place, from, maxRecords, maxBytes)
      if (recent) return recent
      const rows = await records.query<StoredBatch>(READ, [topic, partition, from, maxRecords, maxBytes, READ_ROWS], { name: 'event_read' })
      return rows.map((row) => storedBatch(row.bytes, row.base_offset, row.appended_at))
    },

    async wait(topic, partition, offset, { signal, timeoutMs = MAX_WAIT_MS }) {
      if (closed || signal.aborted) return
      const place = `${topic}/${partition}`
      if ((heard.get(place) ?? 0) > offset) return
      const waiting = waiters.get(place) ?? new Set()
      waiters.set(place, waiting)
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', done)
          waiting.delete(done)
          resolve()
        }
        const timer = setTimeout(done, Math.max(0, Math.min(timeoutMs, MAX_WAIT_MS)))
        signal.addEventListener('abort', done, { once: true })
        waiting.add(done)
      })
    },

    async ends(topic) {
      open()
      const rows = await records.query<{ next_offset: number }>('select next_offset from event_partition where topic = $1 order by partition', [topic], {
        name: 'event_ends',
      })
      return rows.map(({ next_offset }) => next_offset)
    },

    async offsets(topic) {
      open()
      return records.query(
        `select p.partition, p.next_offset as next, coalesce(b.earliest, p.next_offset) as earliest, coalesce(b.bytes, 0) as bytes
         from event_partition p left join (
           select partition, min(base_offset) as earliest, sum(octet_length(bytes))::bigint as bytes from event_batch where topic = $1 group by partition
         ) b using (partition) where p.topic = $1 order by p.partition`,
        [topic],
      )
    },

    async offsetAt(topic, partition, time) {
      open()
      const [row] = await records.query<{ base_offset: number }>(
        `select base_offset from event_batch where topic = $1 and partition = $2 and appended_at >= $3 order by base_offset limit 1`,
        [topic, partition, new Date(Math.min(Math.max(0, Math.ceil(time)), LATEST_TIME))],
      )
      if (row) return row.base_offset
      const [end] = await records.query<{ next_offset: number }>('select next_offset from event_partition where topic = $1 and partition = $2', [
        topic,
        partition,
      ])
      return end?.next_offset ?? 0
    },

    async trim() {
      open()
      const rows = await records.query<{ place: string; dropped: number; below: number }>(TRIM)
      for (const { place, below } of rows) tails.forgetBelow(place, below)
      return rows.reduce((sum, { dropped }) => sum + dropped, 0)
    },

    async close() {
      if (closed) return
      closed = true
      for (const place of waiters.keys()) wake(place)
      await appends.idle()
      tails.clear()
      await unlisten()
    },
  }
}

/** The end of the year 9999, the last that is written with four digits. */
const LATEST_TIME = 253_402_300_799_999

interface Stored {
  readonly base_offset: number
  readonly appended_at: number
}

interface StoredBatch extends Stored {
  readonly count: number
  readonly bytes: Buffer
}

/** A bound as the whole number that a column holds; Infinity keeps everything. */
const whole = (bound: number): number => Math.min(Math.ceil(bound), Number.MAX_SAFE_INTEGER)
