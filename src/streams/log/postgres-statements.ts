/** The tables of the event log on Postgres and the statements that need care. */
import type { Migration } from '../../storage/index.ts'

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

export const APPEND: string = `
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
export const APPEND_MARKED: string = `
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
export const READ: string = `
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

/**
 * Drops what is older than the topic's time, or beyond its size counted from the newest batch back, and all before it, so that no
 * hole appears when the clock was set back; the newest batch stays.
 */
export const TRIM: string = `
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
