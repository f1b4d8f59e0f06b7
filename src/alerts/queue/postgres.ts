/**
 * Queues in the database of the records. Every queue survives a crash, also one declared as not durable. Publishing joins the
 * caller's transaction (`publishIn`), which makes an alert and its message one commit.
 */
import { invalid, missing, parseDuration, systemClock, unavailable, type Clock } from '../../base/index.ts'
import type { Migration, Queryable, Records } from '../../storage/index.ts'
import type { Queue, QueueMessage } from './port.ts'

export const queueMigrations: readonly Migration[] = [
  {
    name: '0220_queues',
    sql: `
      create table queues (
        name text primary key,
        durable boolean not null,
        total bigint not null default 0
      );
      create table queue_messages (
        queue text not null,
        seq bigint generated always as identity,
        id text not null,
        body text not null,
        headers jsonb,
        primary key (queue, seq)
      );
      -- The ids a queue has had, kept for a while after their messages were taken.
      create table queue_seen (
        queue text not null,
        id text not null,
        seen_at timestamptz not null default now(),
        primary key (queue, id)
      );
      create index queue_seen_by_time on queue_seen (seen_at);
    `,
  },
]

export interface PostgresQueueOptions {
  /** For how long ids are remembered: 7 days, as long as the event log can be read again. */
  readonly rememberIds?: string | number
  readonly clock?: Clock
}

const FORGET_EVERY_MS = 600_000

export function openPostgresQueue(records: Records, options: PostgresQueueOptions = {}): Queue {
  const rememberMs = durationOf(options.rememberIds ?? '7d')
  const clock = options.clock ?? systemClock
  let closed = false
  let forgetAt = 0
  const running = new Set<Promise<unknown>>()

  async function call<T>(work: () => Promise<T>): Promise<T> {
    if (closed) throw unavailable('alerts.queue_closed', 'The queues are closed', { hint: 'Start Lagoa again: lagoa start' })
    const promise = work()
    running.add(promise)
    try {
      return await promise
    } finally {
      running.delete(promise)
    }
  }

  async function publishIn(tx: Queryable, queue: string, messages: readonly QueueMessage[]): Promise<void> {
    const [row] = await tx.query<{ found: boolean }>(PUBLISH, [queue, JSON.stringify(messages)], { name: 'queue_publish' })
    if (row?.found === true) return forget()
    throw missing('alerts.queue_missing', `There is no queue "${queue}"`, {
      hint: `Send a rule's alerts to it, as in to: [queue('${queue}')], or declare it first.`,
    })
  }

  /**
   * Old ids go in passing, so that nothing has to be scheduled; on a connection of its own, since it is no part of what the caller
   * does, nor is failing to. An id stays while its message waits, however old.
   */
  function forget(): void {
    if (clock.now() < forgetAt) return
    forgetAt = clock.now() + FORGET_EVERY_MS
    const work = records
      .query(
        'delete from queue_seen s where s.seen_at < now() - make_interval(secs => $1) and not exists (select from queue_messages m where m.queue = s.queue and m.id = s.id)',
        [rememberMs / 1000],
      )
      .catch(() => undefined)
      .finally(() => running.delete(work))
    running.add(work)
  }

  return {
    capabilities: { name: 'postgres', remembersIds: rememberMs, peeksSilently: true, changesDurability: true },
    declare: (queue, { durable }) =>
      call(async () => {
        await records.query(
          'insert into queues (name, durable) values ($1, $2) on conflict (name) do update set durable = excluded.durable where queues.durable <> excluded.durable',
          [queue, durable],
        )
      }),
    publish: (queue, messages) => call(() => publishIn(records, queue, messages)),
    publishIn: (tx, queue, messages) => call(() => publishIn(tx, queue, messages)),
    take: (queue) => call(async () => messageOf((await records.query<MessageRow>(TAKE, [queue], { name: 'queue_take' }))[0])),
    peek: (queue, limit) =>
      call(async () => {
        const rows = await records.query<MessageRow>('select id, body, headers from queue_messages where queue = $1 order by seq limit $2', [queue, limit])
        return rows.flatMap((row) => messageOf(row) ?? [])
      }),
    count: (queue) =>
      call(async () => (await records.query<{ count: number }>('select count(*) as count from queue_messages where queue = $1', [queue]))[0]?.count ?? 0),
    total: (queue) => call(async () => (await records.query<{ total: number }>('select total from queues where name = $1', [queue]))[0]?.total ?? 0),
    ping: () =>
      call(async () => {
        await records.query('select 1')
      }),
    close: async () => {
      closed = true
      await Promise.allSettled(running)
    },
  }
}

function durationOf(given: string | number): number {
  const ms = parseDuration(given)
  if (ms !== null) return ms
  throw invalid('alerts.bad_duration', `The queue's rememberIds is "${given}"`, { hint: "Write a duration such as '7d'." })
}

/** Stores the messages whose id the queue has not had; `found` tells whether there is such a queue. One id twice in a call counts once. */
const PUBLISH = `
  with target as (select name from queues where name = $1 for update),
  given as (
    select distinct on (g.id) g.id, g.body, g.headers, g.place
    from rows from (json_to_recordset($2::json) as (id text, body text, headers jsonb)) with ordinality as g(id, body, headers, place)
    order by g.id, g.place
  ),
  fresh as (insert into queue_seen (queue, id) select target.name, given.id from target, given order by given.id on conflict do nothing returning id),
  stored as (
    insert into queue_messages (queue, id, body, headers)
    select $1, given.id, given.body, given.headers from given join fresh on fresh.id = given.id order by given.place
    returning 1
  ),
  counted as (update queues set total = total + (select count(*) from stored) where name = (select name from target) and exists (select from stored) returning 1)
  select exists (select from target) as found, (select count(*) from counted) as counted`

const TAKE = `
  delete from queue_messages
  where queue = $1 and seq = (select seq from queue_messages where queue = $1 order by seq limit 1 for update skip locked)
  returning id, body, headers`

interface MessageRow {
  readonly id: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>> | null
}

function messageOf(row: MessageRow | undefined): QueueMessage | null {
  if (row === undefined) return null
  return row.headers === null ? { id: row.id, body: row.body } : { id: row.id, body: row.body, headers: row.headers }
}
