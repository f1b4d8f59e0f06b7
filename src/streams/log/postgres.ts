/**
 * The event log on Postgres: a producer's batch is one row, and its offset is taken under the partition's row lock in the
 * statement that stores it. Recent batches stay in memory, so consumers near the end of the log do not read them back.
 */
import { conflict, invalid, missing, unavailable } from '../../base/index.ts'
import type { Migration, Records } from '../../storage/index.ts'
import { storedBatch, type RecordBatch } from './batch.ts'
import type { EventLog, ProducerMark, TopicOptions } from './port.ts'

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
  select base_offset, appended_at, pg_notify('lagoa_log', $1 || '/' || $2) from stored`

/** The same, only when the producer's sequence grows: the mark and the batch are one statement, so one transaction. */
const APPEND_MARKED = `
  with mark as (
    insert into event_producer as known (topic, id, sequence, note) values ($1, $5, $6, $7)
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
  select base_offset, appended_at, pg_notify('lagoa_log', $1 || '/' || $2) from stored`

const READ = `
  select base_offset, count, appended_at, bytes from event_batch
  where topic = $1 and partition = $2 and base_offset >= coalesce(
    (select max(base_offset) from event_batch where topic = $1 and partition = $2 and base_offset <= $3), 0)
  order by base_offset limit $4`

/** How many bytes of recent batches stay in memory, all partitions together. */
const TAIL_BYTES = 24 * 1024 * 1024
const READ_ROWS = 8
const MAX_WAIT_MS = 1000

export async function openPostgresLog(records: Records): Promise<EventLog> {
  const tails = new Map<string, Tail>()
  const waiters = new Map<string, Set<() => void>>()
  let tailBytes = 0
  let closed = false

  const wake = (place: string): void => {
    for (const resolve of waiters.get(place) ?? []) resolve()
  }
  const unlisten = await records.listen('lagoa_log', (payload) => {
    if (payload) wake(payload)
    else for (const place of waiters.keys()) wake(place)
  })

  const remember = (place: string, batch: RecordBatch): void => {
    const tail = tails.get(place) ?? { batches: [] }
    tails.set(place, tail)
    const last = tail.batches.at(-1)
    // Only an unbroken run may be served from memory: another node's batch in between starts a new run.
    if (last && last.baseOffset + last.count !== batch.baseOffset) {
      if (batch.baseOffset < last.baseOffset) return
      tailBytes -= tail.batches.reduce((sum, { bytes }) => sum + bytes.length, 0)
      tail.batches = []
    }
    tail.batches.push(batch)
    tailBytes += batch.bytes.length
    while (tailBytes > TAIL_BYTES) {
      const oldest = [...tails.values()].filter(({ batches }) => batches.length > 1).sort((a, b) => (a.batches[0]?.appendedAt ?? 0) - (b.batches[0]?.appendedAt ?? 0))[0]
      const dropped = (oldest ?? tail).batches.shift()
      if (!dropped) break
      tailBytes -= dropped.bytes.length
    }
  }

  const open = (): void => {
    if (closed) throw unavailable('streams.log_closed', 'The event log is closed', { hint: 'Lagoa is stopping; start it again.' })
  }

  const producerState = async (topic: string, id: string): Promise<ProducerMark | null> => {
    const [row] = await records.query<{ sequence: number; note: Record<string, unknown> | null }>('select sequence, note from event_producer where topic = $1 and id = $2', [topic, id])
    return row ? { id, sequence: row.sequence, ...(row.note ? { note: row.note } : {}) } : null
  }

  return {
    capabilities: { name: 'postgres', transactionalNotes: true },

    async ensureTopic(topic, options) {
      open()
      checkTopic(topic, options)
      await records.transaction(async (tx) => {
        await tx.query('insert into event_topic (topic, partitions, retain_ms, retain_bytes) values ($1, $2, $3, $4) on conflict do nothing', [
          topic,
          options.partitions,
          options.retainMs,
          options.retainBytes,
        ])
        const [known] = await tx.query<{ partitions: number }>('select partitions from event_topic where topic = $1 for update', [topic])
        if (known && known.partitions > options.partitions) {
          throw conflict('streams.fewer_partitions', `Topic ${topic} has ${known.partitions} partitions; ${options.partitions} would lose the order of its keys`, {
            hint: `Set partitions: ${known.partitions} or more on stream('${topic}').`,
          })
        }
        await tx.query('update event_topic set partitions = $2, retain_ms = $3, retain_bytes = $4 where topic = $1', [topic, options.partitions, options.retainMs, options.retainBytes])
        await tx.query('insert into event_partition (topic, partition) select $1, generate_series(0, $2 - 1) on conflict do nothing', [topic, options.partitions])
      })
    },

    async topics() {
      open()
      return (await records.query<{ topic: string }>('select topic from event_topic order by topic')).map(({ topic }) => topic)
    },

    async append(topic, partition, batch, { producer } = {}) {
      open()
      const place = `${topic}/${partition}`
      const values = [topic, partition, batch.count, batch.bytes]
      const [stored] = producer
        ? await records.query<Stored>(APPEND_MARKED, [...values, producer.id, producer.sequence, producer.note ? JSON.stringify(producer.note) : null], { name: 'event_append_marked' })
        : await records.query<Stored>(APPEND, values, { name: 'event_append' })
      if (!stored) {
        if (producer && (await producerState(topic, producer.id))) return { baseOffset: -1, duplicate: true }
        throw missing('streams.no_topic', `There is no partition ${partition} of topic ${topic}`, { hint: `Declare it with stream('${topic}', ...) in streams/.` })
      }
      remember(place, { ...batch, baseOffset: stored.base_offset, appendedAt: stored.appended_at })
      wake(place)
      return { baseOffset: stored.base_offset, duplicate: false }
    },

    async producerState(topic, id) {
      open()
      return producerState(topic, id)
    },

    async read(topic, partition, from, { maxRecords = 20_000, maxBytes = 16 * 1024 * 1024 } = {}) {
      open()
      const recent = fromTail(tails.get(`${topic}/${partition}`), from, maxRecords, maxBytes)
      if (recent) return recent
      const rows = await records.query<StoredBatch>(READ, [topic, partition, from, READ_ROWS], { name: 'event_read' })
      const batches: RecordBatch[] = []
      let count = 0
      let bytes = 0
      for (const row of rows) {
        if (row.base_offset + row.count <= from) continue
        if (batches.length > 0 && (count + row.count > maxRecords || bytes + row.bytes.length > maxBytes)) break
        batches.push(storedBatch(row.bytes, row.base_offset, row.appended_at))
        count += row.count
        bytes += row.bytes.length
      }
      return batches
    },

    async wait(topic, partition, offset, { signal, timeoutMs = MAX_WAIT_MS }) {
      if (closed || signal.aborted) return
      const place = `${topic}/${partition}`
      const last = tails.get(place)?.batches.at(-1)
      if (last && last.baseOffset + last.count > offset) return
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
        [topic, partition, new Date(Math.ceil(time))],
      )
      if (row) return row.base_offset
      const [end] = await records.query<{ next_offset: number }>('select next_offset from event_partition where topic = $1 and partition = $2', [topic, partition])
      return end?.next_offset ?? 0
    },

    async trim() {
      open()
      const [row] = await records.query<{ dropped: number }>(TRIM)
      return row?.dropped ?? 0
    },

    async close() {
      if (closed) return
      closed = true
      for (const place of waiters.keys()) wake(place)
      tails.clear()
      await unlisten()
    },
  }
}

/** Drops what is older than the topic's time, or beyond its size counted from the newest batch back; the newest batch stays. */
const TRIM = `
  with ranked as (
    select b.topic, b.partition, b.base_offset, b.appended_at, t.retain_ms, t.retain_bytes,
      sum(octet_length(b.bytes)) over newest as bytes_from_here, row_number() over newest as age_rank
    from event_batch b join event_topic t using (topic)
    window newest as (partition by b.topic, b.partition order by b.base_offset desc)
  ), dropped as (
    delete from event_batch b using ranked r
    where b.topic = r.topic and b.partition = r.partition and b.base_offset = r.base_offset and r.age_rank > 1
      and (r.appended_at < clock_timestamp() - r.retain_ms * interval '1 millisecond' or r.bytes_from_here > r.retain_bytes)
    returning 1
  )
  select count(*)::int as dropped from dropped`

interface Tail {
  batches: RecordBatch[]
}

interface Stored {
  readonly base_offset: number
  readonly appended_at: number
}

interface StoredBatch extends Stored {
  readonly count: number
  readonly bytes: Buffer
}

function fromTail(tail: Tail | undefined, from: number, maxRecords: number, maxBytes: number): RecordBatch[] | null {
  const first = tail?.batches[0]
  const last = tail?.batches.at(-1)
  if (!tail || !first || !last || from < first.baseOffset || from >= last.baseOffset + last.count) return null
  const found: RecordBatch[] = []
  let count = 0
  let bytes = 0
  for (const batch of tail.batches) {
    if (batch.baseOffset + batch.count <= from) continue
    if (found.length > 0 && (count + batch.count > maxRecords || bytes + batch.bytes.length > maxBytes)) break
    found.push(batch)
    count += batch.count
    bytes += batch.bytes.length
  }
  return found
}

/** Apache Kafka's rule for topic names, so that a topic can move there unchanged. */
function checkTopic(topic: string, { partitions }: TopicOptions): void {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(topic) || topic === '.' || topic === '..') {
    throw invalid('streams.topic_name', `"${topic}" cannot be a topic name`, { hint: 'Use letters, digits, dot, underscore and hyphen, at most 249.' })
  }
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > 1024) {
    throw invalid('streams.partitions', `Topic ${topic} cannot have ${partitions} partitions`, { hint: 'Choose a whole number from 1 to 1024.' })
  }
}
