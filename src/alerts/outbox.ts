/**
 * The relay: moves what alerts have to say from the outbox to the queues, in order, in batches.
 *
 * A batch is locked, published and removed in one transaction. Where queues live in the same database that is exactly once;
 * elsewhere the commit comes after the engine's confirm, and a crash in between publishes the batch again with the same ids.
 * A queue that fails is tried again with back-off and holds up no other. Any number of nodes may run a relay: the lock makes
 * them take turns at each queue.
 */
import { backoff, systemClock, toLagoaError, type Clock, type LagoaError, type Log } from '../base/index.ts'
import type { Queryable, Records } from '../storage/index.ts'
import type { Queue } from './queue/port.ts'

export interface Relay {
  /** There may be something in the outbox. */
  wake(): void
  /** Moves everything that is there now; rejects with the first failure. Answers how many messages left. */
  drain(): Promise<number>
  /** What has not left yet, by queue. */
  waiting(): Promise<QueueWait[]>
  /** Why messages wait, by queue; a queue that takes them is absent. */
  failures(): ReadonlyMap<string, LagoaError>
  /** Stops after the batch under way. */
  close(): Promise<void>
}

export interface QueueWait {
  readonly queue: string
  /** Counted to ten thousand. */
  readonly messages: number
  /** Why the last attempt of this process failed; absent when none did. */
  readonly error?: string
  readonly retryAt: number | null
}

export interface RelayOptions {
  readonly log: Log
  readonly clock?: Clock
  /** Looks at the outbox this often even when nobody woke it: another node may have filled it. */
  readonly pollMs?: number
  readonly batch?: number
}

/** What is lost, at most, when an engine is back. */
const LONGEST_WAIT_MS = 2_000
/** Queues that are served side by side; each holds a connection to the database meanwhile. */
const AT_ONCE = 3

export function startRelay(records: Records, queue: Queue, options: RelayOptions): Relay {
  const clock = options.clock ?? systemClock
  const batch = options.batch ?? 1_000
  const stop = new AbortController()
  const declared = new Map<string, boolean>()
  const failures = new Map<string, { readonly attempts: number; readonly retryAt: number; readonly error: LagoaError }>()
  let woken = false
  let interrupt: AbortController | null = null
  /** `drain` and the loop share the queues one at a time. */
  let turn: Promise<unknown> = Promise.resolve()

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = turn.then(work, work)
    turn = next.catch(() => undefined)
    return next
  }

  async function moveAll(name: string): Promise<number> {
    let moved = 0
    for (;;) {
      if (stop.signal.aborted) return moved
      const count = await moveBatch(name)
      moved += count
      if (count < batch) return moved
    }
  }

  async function moveBatch(name: string): Promise<number> {
    if (!declared.has(name)) {
      const [first] = await peekOutbox(records, name)
      if (first === undefined) return 0
      await declare(name, first.durable)
    }
    return records.transaction(async (tx) => {
      const rows = await lockOutbox(tx, name, batch)
      const [first] = rows
      if (first === undefined) return 0
      // A rule that was changed meanwhile says otherwise.
      await declare(name, first.durable)
      const messages = rows.map(({ alert, body }) => ({ id: alert, body }))
      await (queue.publishIn ? queue.publishIn(tx, name, messages) : queue.publish(name, messages))
      await remove(tx, rows)
      return rows.length
    })
  }

  /** Once for each process; after a failure anew, since the queue may be gone. */
  async function declare(name: string, durable: boolean): Promise<void> {
    if (declared.get(name) === durable) return
    await queue.declare(name, { durable })
    declared.set(name, durable)
  }

  async function pass(): Promise<void> {
    const names = await queuesInOutbox(records)
    for (const name of failures.keys()) if (!names.includes(name)) failures.delete(name)
    const due = names.filter((name) => (failures.get(name)?.retryAt ?? 0) <= clock.now())
    const worker = async (): Promise<void> => {
      for (let name = due.shift(); name !== undefined && !stop.signal.aborted; name = due.shift()) await moveOrFail(name)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
  }

  async function moveOrFail(name: string): Promise<void> {
    try {
      await moveAll(name)
      failures.delete(name)
    } catch (error) {
      declared.delete(name)
      const attempts = (failures.get(name)?.attempts ?? 0) + 1
      const wait = backoff(attempts - 1, 100, LONGEST_WAIT_MS)
      const failure = toLagoaError(error)
      failures.set(name, { attempts, retryAt: clock.now() + wait, error: failure })
      options.log.warn('alerts.queue_failed', { queue: name, attempts, retryInMs: Math.round(wait), error: failure })
    }
  }

  async function run(): Promise<void> {
    let troubles = 0
    while (!stop.signal.aborted) {
      woken = false
      let wait = options.pollMs ?? 1_000
      try {
        await inTurn(pass)
        troubles = 0
      } catch (error) {
        // The database is away: its own log says why; here only that alerts wait.
        wait = backoff(troubles++, 100, LONGEST_WAIT_MS)
        options.log.warn('alerts.outbox_failed', { retryInMs: Math.round(wait), error: toLagoaError(error) })
      }
      // A retry that is due cannot be made while the database is away: only its own back-off counts then.
      const nextRetry = troubles > 0 ? wait : Math.min(...[...failures.values()].map(({ retryAt }) => retryAt - clock.now()))
      await rest(Math.max(1, Math.min(wait, nextRetry)), troubles > 0)
    }
  }

  async function rest(ms: number, deaf: boolean): Promise<void> {
    if (stop.signal.aborted || (woken && !deaf)) return
    interrupt = new AbortController()
    const either = AbortSignal.any([interrupt.signal, stop.signal])
    await clock.sleep(ms, either).catch(() => undefined)
    interrupt = null
  }

  const running = run()
  return {
    wake() {
      woken = true
      interrupt?.abort()
    },
    drain: () =>
      inTurn(async () => {
        let moved = 0
        for (const name of await queuesInOutbox(records)) moved += await moveAll(name)
        return moved
      }),
    async waiting() {
      const counts = await countOutbox(records)
      return counts.map(({ queue: name, messages }) => {
        const failed = failures.get(name)
        return { queue: name, messages, retryAt: failed?.retryAt ?? null, ...(failed ? { error: failed.error.message } : {}) }
      })
    },
    failures: () => new Map([...failures].map(([name, { error }]) => [name, error])),
    async close() {
      stop.abort()
      await running
      await turn
    },
  }
}

interface OutboxRow {
  readonly seq: number
  readonly durable: boolean
  readonly alert: string
  readonly body: string
}

/** Steps from name to name through the index, whatever the number of messages. */
async function queuesInOutbox(db: Queryable): Promise<string[]> {
  const rows = await db.query<{ queue: string }>(
    `with recursive names as (
       (select queue from alert_outbox order by queue limit 1)
       union all
       select (select o.queue from alert_outbox o where o.queue > names.queue order by o.queue limit 1) from names where names.queue is not null
     )
     select queue from names where queue is not null`,
    [],
    { name: 'alerts_outbox_queues' },
  )
  return rows.map(({ queue }) => queue)
}

async function countOutbox(db: Records): Promise<{ queue: string; messages: number }[]> {
  const names = await queuesInOutbox(db)
  if (names.length === 0) return []
  return db.query(
    `select name as queue, counted.messages from unnest($1::text[]) as name,
     lateral (select count(*) as messages from (select 1 from alert_outbox where queue = name limit 10000) as seen) as counted`,
    [names],
  )
}

async function peekOutbox(db: Queryable, queue: string): Promise<{ durable: boolean }[]> {
  return db.query('select durable from alert_outbox where queue = $1 order by seq limit 1', [queue], { name: 'alerts_outbox_peek' })
}

/** A second node waits here for the first one's transaction and then sees what is left, so that the order stays. */
async function lockOutbox(tx: Queryable, queue: string, limit: number): Promise<OutboxRow[]> {
  return tx.query<OutboxRow>('select seq, durable, alert, body from alert_outbox where queue = $1 order by seq limit $2 for update', [queue, limit], {
    name: 'alerts_outbox_lock',
  })
}

async function remove(tx: Queryable, rows: readonly OutboxRow[]): Promise<void> {
  await tx.query(
    `with gone as (delete from alert_outbox where seq = any($1::bigint[]) returning rule, queue)
     insert into alert_sent as sent (rule, queue, messages) select rule, queue, count(*) from gone group by rule, queue order by rule, queue
     on conflict (rule, queue) do update set messages = sent.messages + excluded.messages`,
    [rows.map(({ seq }) => seq)],
    { name: 'alerts_outbox_remove' },
  )
}
