/**
 * The event log on Postgres: a producer's batch is one row, and its offset is taken under the partition's row lock in the
 * statement that stores it; so offsets become visible in their order.
 */
import { conflict, invalid, missing, unavailable } from '../../base/index.ts'
import type { Migration, Records } from '../../storage/index.ts'
import { createAppendQueue, type Store } from './append-queue.ts'
import { storedBatch } from './batch.ts'
import type { EventLog, TopicOptions } from './port.ts'
import { createTails } from './tail.ts'

export const eventLogMigrations: readonly Migration[] = [
  {
    name: '0100_event_log',
    sql: `
      create table event_topic (
        topic text primary key,
        partitions int not null,
        retain_ms bigint not null,
        retain_bytes bigint not null
      );
      create table event_partition (
        topic text not null references event_topic on delete cascade,
        partition int not null,
        next_offset bigint not null default 0,
        primary key (topic, partition)
      ) with (fillfactor = 50);
      create table event_batch (
        topic text not null,
        partition int not null,
        base_offset bigint not null,
        count int not null,
        appended_at timestamptz not null default clock_timestamp(),
        bytes bytea not null,
        primary key (topic, partition, base_offset)
      );
      -- Batches are large and read whole: no compression, no attempt to keep them in line.
      alter table event_batch alter column bytes set storage external;
      create index event_batch_time on event_batch (topic, partition, appended_at);
      create table event_producer (
        topic text not null,
        id text not null,
        sequence bigint not null,
        note jsonb,
        primary key (topic, id)
      ) with (fillfactor = 50);`,
  },
]

const APPEND = `
  with slot as (
    update event_partition set next_offset = next_offset + $3 where topic = $1 and partition = $2
    returning next_offset - $3 as base_offset
  ), stored as (
    insert into event_batch (topic, partition, base_offset, count, bytes)
    select $1, $2, base_offset, $3, $4 from slot
    returning base_offset, appended_at
  )
  select base_offset, appended_at, pg_notify('lagoa_log', $1 || '/' || $2 || '/' || base_offset + $3) from stored`

/** The same, only when the producer's sequence grows: the mark and the batch are one statement, so one transaction. */
const APPEND_MARKED = `
  with mark as (
    insert into event_producer as known (topic, id, sequence, note)
    select $1, $5, $6, $7 from event_partition where topic = $1 and partition = $2
    on conflict (topic, id) do update set sequence = excluded.sequence, note = excluded.note
    where known.sequence < excluded.sequence
    returning 1
  ), slot as (
    update event_partition set next_offset = next_offset + $3
    where topic = $1 and partition = $2 and exists (select from mark)
    returning next_offset - $3 as base_offset
  ), stored as (
    insert into event_batch (topic, partition, base_offset, count, bytes)
    select $1, $2, base_offset, $3, $4 from slot
    returning base_offset, appended_at
  )
  select base_offset, appended_at, pg_notify('lagoa_log', $1 || '/' || $2 || '/' || base_offset + $3) from stored`

/** The first row whatever its size, then rows while both sums are within their bounds. Lengths are known without reading the bytes. */
const READ = `
  select base_offset, count, appended_at, bytes from (
    select base_offset, count, appended_at, bytes, row_number() over before as nth,
      sum(count) over before as records_so_far, sum(octet_length(bytes)) over before as bytes_so_far
    from (
      select base_offset, count, appended_at, bytes from event_batch
      where topic = $1 and partition = $2 and base_offset + count > $3 and base_offset >= coalesce(
        (select max(base_offset) from event_batch where topic = $1 and partition = $2 and base_offset <= $3), 0)
      order by base_offset limit $6
    ) near
    window before as (order by base_offset)
  ) b where nth = 1 or (records_so_far <= $4 and bytes_so_far <= $5)
  order by base_offset`

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
    open()
    const values = [topic, partition, batch.count, batch.bytes]
    const [stored] = producer
      ? await records.query<Stored>(APPEND_MARKED, [...values, producer.id, producer.sequence, producer.note ? JSON.stringify(producer.note) : null], { name: 'event_append_marked' })
      : await records.query<Stored>(APPEND, values, { name: 'event_append' })
    if (!stored) {
      const [exists] = await records.query('select 1 from event_partition where topic = $1 and partition = $2', [topic, partition])
      if (producer && exists) return { baseOffset: -1, duplicate: true }
      throw missing('streams.no_topic', `There is no partition ${partition} of topic ${topic}`, { hint: `Declare it with stream('${topic}', ...) in streams/.` })
    }
    const place = `${topic}/${partition}`
    tails.remember(place, { ...batch, baseOffset: stored.base_offset, appendedAt: stored.appended_at })
    hear(place, stored.base_offset + batch.count)
    return { baseOffset: stored.base_offset, duplicate: false }
  }
  const appends = createAppendQueue(store)

  return {
    capabilities: { name: 'postgres', transactionalNotes: true, exactRetention: true },

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
        if (known && known.partitions > options.partitions) {
          throw conflict('streams.fewer_partitions', `Topic ${topic} has ${known.partitions} partitions; ${options.partitions} would lose the order of its keys`, {
            hint: `Set partitions: ${known.partitions} or more on stream('${topic}').`,
          })
        }
        await tx.query('update event_topic set partitions = $2, retain_ms = $3, retain_bytes = $4 where topic = $1', [topic, options.partitions, whole(options.retainMs), whole(options.retainBytes)])
        await tx.query('insert into event_partition (topic, partition) select $1, generate_series(0, $2 - 1) on conflict do nothing', [topic, options.partitions])
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
      const [row] = await records.query<{ sequence: number; note: Record<string, unknown> | null }>('select sequence, note from event_producer where topic = $1 and id = $2', [topic, id])
      return row ? { id, sequence: row.sequence, ...(row.note ? { note: row.note } : {}) } : null
    },

    async read(topic, partition, from, { maxRecords = 20_000, maxBytes = 16 * 1024 * 1024 } = {}) {
      open()
      const recent = tails.read(`${topic}/${partition}`, from, maxRecords, maxBytes)
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
      const rows = await records.query<{ next_offset: number }>('select next_offset from event_partition where topic = $1 order by partition', [topic], { name: 'event_ends' })
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
      const [end] = await records.query<{ next_offset: number }>('select next_offset from event_partition where topic = $1 and partition = $2', [topic, partition])
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

/**
 * Drops what is older than the topic's time, or beyond its size counted from the newest batch back, and all before it, so that no
 * hole appears when the clock was set back; the newest batch stays.
 */
const TRIM = `
  with ranked as (
    select b.topic, b.partition, b.base_offset, b.count, t.retain_bytes, sum(octet_length(b.bytes)) over newest as bytes_from_here, row_number() over newest as age_rank,
      extract(epoch from clock_timestamp() - b.appended_at) * 1000 > t.retain_ms as is_old
    from event_batch b join event_topic t using (topic)
    window newest as (partition by b.topic, b.partition order by b.base_offset desc)
  ), cut as (
    select topic, partition, max(base_offset + count) as below from ranked where age_rank > 1 and (is_old or bytes_from_here > retain_bytes) group by topic, partition
  ), dropped as (
    delete from event_batch b using cut c where b.topic = c.topic and b.partition = c.partition and b.base_offset < c.below
    returning b.topic, b.partition, c.below
  )
  select topic || '/' || partition as place, count(*)::int as dropped, max(below) as below from dropped group by topic, partition`

interface Stored {
  readonly base_offset: number
  readonly appended_at: number
}

interface StoredBatch extends Stored {
  readonly count: number
  readonly bytes: Buffer
}

/** Apache Kafka's rule for topic names, so that a topic can move there unchanged. */
function checkTopic(topic: string, { partitions, retainMs, retainBytes }: TopicOptions): void {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..') {
    throw invalid('streams.topic_name', `"${topic}" cannot be a topic name`, { hint: 'Use letters, digits, dot, underscore and hyphen, at most 249.' })
  }
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > 1024) {
    throw invalid('streams.partitions', `Topic ${topic} cannot have ${partitions} partitions`, { hint: 'Choose a whole number from 1 to 1024.' })
  }
  if (!(retainMs >= 0 && retainBytes >= 0)) {
    throw invalid('streams.retention', `Topic ${topic} cannot keep ${retainBytes} bytes for ${retainMs} ms`, { hint: "Write retention: { time: '7d', bytes: 1e9 }, for example." })
  }
}

/** A bound as the whole number that a column holds; Infinity keeps everything. */
const whole = (bound: number): number => Math.min(Math.ceil(bound), Number.MAX_SAFE_INTEGER)
