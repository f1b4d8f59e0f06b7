/**
 * The relay: moves what alerts have to say from the outbox to the queues, in order, in batches.
 *
 * Where queues live in the same database, a move is one transaction, hence exactly once. Elsewhere a message is published, confirmed
 * and then removed from the outbox: after a crash in between it is published again with the same id. A queue that fails is tried
 * again with back-off and holds up no other. Any number of nodes may run a relay: they take turns at each queue.
 */
import { backoff, systemClock, toLagoaError, type Clock, type Log } from '../base/index.ts'
import type { Queryable, Records } from '../storage/index.ts'
import type { Queue } from './queue/port.ts'

export interface Relay {
  /** There may be something in the outbox. */
  wake(): void
  /** Moves everything that is there now; rejects with the first failure. Answers how many messages left. */
  drain(): Promise<number>
  /** Stops after the batch under way. */
  close(): Promise<void>
}

export interface RelayOptions {
  readonly log: Log
  readonly clock?: Clock
  /** Looks at the outbox this often even when nobody woke it: another node may have filled it. */
  readonly pollMs?: number
  readonly batch?: number
}

export function startRelay(records: Records, queue: Queue, options: RelayOptions): Relay {
  const clock = options.clock ?? systemClock
  const batch = options.batch ?? 1_000
  const stop = new AbortController()
  const declared = new Map<string, boolean>()
  const failures = new Map<string, { readonly attempts: number; readonly retryAt: number }>()
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
    if (queue.publishIn) {
      const rows = await peekOutbox(records, name, 1)
      if (rows.length === 0) return 0
      await declare(name, rows)
      return records.transaction(async (tx) => {
        const taken = await lockOutbox(tx, name, batch)
        if (taken.length > 0) {
          await queue.publishIn?.(tx, name, taken.map(messageOf))
          await remove(tx, taken)
        }
        return taken.length
      })
    }
    const rows = await peekOutbox(records, name, batch)
    if (rows.length === 0) return 0
    await declare(name, rows)
    await queue.publish(name, rows.map(messageOf))
    await records.transaction((tx) => remove(tx, rows))
    return rows.length
  }

  /** A queue is declared as its newest message asks; after a failure it is declared anew, since it may be gone. */
  async function declare(name: string, rows: readonly OutboxRow[]): Promise<void> {
    const durable = rows.at(-1)?.durable ?? true
    if (declared.get(name) === durable) return
    await queue.declare(name, { durable })
    declared.set(name, durable)
  }

  async function pass(): Promise<void> {
    for (const name of await queuesInOutbox(records)) {
      const failed = failures.get(name)
      if (stop.signal.aborted || (failed && failed.retryAt > clock.now())) continue
      try {
        await moveAll(name)
        failures.delete(name)
      } catch (error) {
        declared.delete(name)
        const attempts = (failed?.attempts ?? 0) + 1
        const wait = backoff(attempts - 1)
        failures.set(name, { attempts, retryAt: clock.now() + wait })
        options.log.warn('alerts.queue_failed', { queue: name, attempts, retryInMs: Math.round(wait), error: toLagoaError(error) })
      }
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
        wait = backoff(troubles++)
        options.log.warn('alerts.outbox_failed', { retryInMs: Math.round(wait), error: toLagoaError(error) })
      }
      const nextRetry = Math.min(...[...failures.values()].map(({ retryAt }) => retryAt - clock.now()))
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
    async close() {
      stop.abort()
      await running
      await turn
    },
  }
}

interface OutboxRow {
  readonly seq: number
  readonly alert: string
  readonly rule: string
  readonly durable: boolean
  readonly body: string
}

function messageOf(row: OutboxRow): { readonly id: string; readonly body: string } {
  return { id: row.alert, body: row.body }
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

async function peekOutbox(db: Queryable, queue: string, limit: number): Promise<OutboxRow[]> {
  return db.query<OutboxRow>('select seq, alert, rule, durable, body from alert_outbox where queue = $1 order by seq limit $2', [queue, limit], { name: 'alerts_outbox_peek' })
}

/** A second node waits here for the first one's transaction and then sees what is left, so that the order stays. */
async function lockOutbox(tx: Queryable, queue: string, limit: number): Promise<OutboxRow[]> {
  return tx.query<OutboxRow>('select seq, alert, rule, durable, body from alert_outbox where queue = $1 order by seq limit $2 for update', [queue, limit], { name: 'alerts_outbox_lock' })
}

async function remove(tx: Queryable, rows: readonly OutboxRow[]): Promise<void> {
  await tx.query(
    `with gone as (delete from alert_outbox where seq = any($1::bigint[]) returning rule),
     counts as (select gone.rule, count(*) as moved from gone group by gone.rule)
     update alert_rules set queued = alert_rules.queued + locked.moved
     from (select r.name, counts.moved from counts join alert_rules r on r.name = counts.rule order by r.name for update of r) as locked
     where alert_rules.name = locked.name`,
    [rows.map(({ seq }) => seq)],
    { name: 'alerts_outbox_remove' },
  )
}
