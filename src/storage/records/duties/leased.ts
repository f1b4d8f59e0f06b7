/** Duties held by leases in the database, on its clock. */
import { hostname } from 'node:os'
import { newId, systemClock, toLagoaError, type Clock, type Log } from '../../../base/index.ts'
import type { Migration, Records } from '../port.ts'
import { balance } from './balance.ts'
import type { Duties, NodeView, Offer } from './port.ts'

export const dutyMigrations: readonly Migration[] = [
  {
    name: '0010_duties',
    sql: `
      create table lagoa_node (
        id text primary key,
        url text not null,
        host text not null,
        pid integer not null,
        seen_at timestamptz not null
      );
      create table lagoa_duty (
        name text primary key,
        node text not null,
        until timestamptz not null
      ) with (fillfactor = 50);`,
  },
]

export interface LeasedDutiesOptions {
  readonly log: Log
  /** Where this node answers. */
  readonly url: string
  readonly clock?: Clock
  /** How long a node that is silent keeps its duties. */
  readonly leaseMs?: number
}

const LEASE_MS = 5_000
const BEATS_PER_LEASE = 4
/** The part of a lease after which a node that could not renew stops by itself. */
const GIVEN_UP = 0.8
/** In leases. */
const LONGEST_KEPT = 64
const CHANNEL = 'lagoa_duty'

/** The database must have had `dutyMigrations`. Closing leaves the records open. */
export async function openLeasedDuties(records: Records, options: LeasedDutiesOptions): Promise<Duties> {
  const { log, url, clock = systemClock, leaseMs = LEASE_MS } = options
  const id = newId()
  const offers = new Map<string, Offered>()
  const stop = new AbortController()
  let free = new Set<string>()
  /** What this node gave away and nobody was seen to take: it is kept for a while, longer each time. */
  const given = new Map<string, { readonly times: number; readonly keptUntil: number }>()
  let nudge = new AbortController()
  /** When the beat began that last renewed the leases, on a clock that nobody sets. */
  let renewedAt = performance.now()

  const wake = (): void => nudge.abort()
  const unlisten = await records.listen(CHANNEL, (payload) => {
    if (payload !== id) wake()
  })

  const held = (): string[] => [...offers].filter(([, offer]) => offer.running !== null).map(([name]) => name)

  const start = (name: string): void => {
    const offer = offers.get(name)
    if (!offer || offer.running || stop.signal.aborted) return
    const ending = new AbortController()
    const done = offer
      .run(ending.signal)
      .catch((error: unknown) => log.error('duty.failed', { duty: name, error: toLagoaError(error) }))
      .then(() => undefined)
    offer.running = { stop: ending, done }
  }
  const end = async (name: string): Promise<void> => {
    const offer = offers.get(name)
    if (offer) await endOf(offer)
  }
  const giveBack = async (names: readonly string[]): Promise<void> => {
    if (names.length === 0) return
    await records.query('delete from lagoa_duty where node = $1 and name = any($2)', [id, names])
    await records.query('select pg_notify($1, $2)', [CHANNEL, id])
  }

  const beat = async (): Promise<void> => {
    const began = performance.now()
    const renewed = await records.query<{ name: string }>(BEAT, [id, url, hostname(), process.pid, leaseMs, held()], { name: 'duty_beat' })
    renewedAt = began
    const mine = new Set(renewed.map(({ name }) => name))
    // Somebody took these while this node was silent: what is under way here ends.
    await Promise.all(
      held()
        .filter((name) => !mine.has(name))
        .map(end),
    )
    const rows = await records.query<{ kind: 'node' | 'duty'; name: string; node: string }>(LOOK, [leaseMs], { name: 'duty_look' })
    const holders = new Map(rows.filter(({ kind }) => kind === 'duty').map(({ name, node }) => [name, node]))
    const nodes = rows.filter(({ kind }) => kind === 'node').map(({ node }) => node)
    for (const name of given.keys()) if (holders.has(name) && holders.get(name) !== id) given.delete(name)
    const offered = [...offers.keys()]
    const kept = [...given].filter(([, { keptUntil }]) => keptUntil > began).map(([name]) => name)
    const { take, give } = balance({ node: id, offered, holders, nodes: nodes.includes(id) ? nodes : [...nodes, id], leftOver: free, kept: new Set(kept) })
    free = new Set(offered.filter((name) => !holders.has(name)))
    for (const name of take) if (given.has(name)) free.add(name)
    if (take.length > 0) {
      const taken = await records.query<{ name: string }>(TAKE, [id, take, leaseMs], { name: 'duty_take' })
      for (const { name } of taken) {
        start(name)
        free.delete(name)
      }
      if (taken.length > 0) log.debug('duty.taken', { duties: taken.map(({ name }) => name) })
    }
    // What was taken between our beats by no fault of this node (a lease of ours that outlived its run) begins again.
    for (const name of offered) if (holders.get(name) === id && offers.get(name)?.running === null) start(name)
    if (give.length > 0) {
      for (const name of give) {
        const times = (given.get(name)?.times ?? 0) + 1
        given.set(name, { times, keptUntil: began + leaseMs * Math.min(2 ** times, LONGEST_KEPT) })
      }
      await Promise.all(give.map(end))
      await giveBack(give)
      log.debug('duty.given', { duties: give })
    }
  }

  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      nudge = new AbortController()
      try {
        await beat()
      } catch (error) {
        if (!stop.signal.aborted) log.warn('duty.beat_failed', { error: toLagoaError(error) })
      }
      await clock.sleep(leaseMs / BEATS_PER_LEASE, AbortSignal.any([stop.signal, nudge.signal])).catch(() => undefined)
    }
  }
  /** A node that cannot renew stops before others may begin. */
  const watchdog = setInterval(
    () => {
      if (performance.now() - renewedAt < leaseMs * GIVEN_UP) return
      for (const name of held()) void end(name)
    },
    Math.max(10, leaseMs / 20),
  )
  watchdog.unref()

  const looping = loop()
  let closing: Promise<void> | null = null

  return {
    offer(name, run): Offer {
      const offered: Offered = { run, running: null }
      offers.set(name, offered)
      given.delete(name)
      wake()
      return {
        isHeld: () => offered.running !== null,
        async withdraw() {
          if (offers.get(name) !== offered) return
          offers.delete(name)
          await endOf(offered)
          // A database that is away lets the lease run out.
          if (!stop.signal.aborted) await giveBack([name]).catch(() => undefined)
        },
      }
    },
    async nodes() {
      const rows = await records.query<NodeView>(NODES, [leaseMs])
      return rows.sort((a, b) => Number(b.id === id) - Number(a.id === id))
    },
    close() {
      closing ??= (async () => {
        stop.abort()
        clearInterval(watchdog)
        await looping
        const names = held()
        await Promise.all(names.map(end))
        await unlisten()
        await records
          .query('with gone as (delete from lagoa_node where id = $1), free as (delete from lagoa_duty where node = $1) select pg_notify($2, $1)', [
            id,
            CHANNEL,
          ])
          .catch(() => undefined)
      })()
      return closing
    },
  }
}

interface Offered {
  readonly run: (signal: AbortSignal) => Promise<void>
  running: { readonly stop: AbortController; readonly done: Promise<void> } | null
}

/** Resolves when its work has ended. */
async function endOf(offer: Offered): Promise<void> {
  const { running } = offer
  running?.stop.abort()
  await running?.done
  if (offer.running === running) offer.running = null
}

/** Says that this node is there, renews what it does, and forgets nodes that were silent for a day. */
const BEAT = `
  with seen as (
    insert into lagoa_node (id, url, host, pid, seen_at) values ($1, $2, $3, $4, now())
    on conflict (id) do update set seen_at = excluded.seen_at, url = excluded.url
  ), gone as (
    delete from lagoa_node where seen_at < now() - interval '1 day' and id <> $1
  )
  update lagoa_duty set until = now() + $5 * interval '1 millisecond' where node = $1 and name = any($6::text[]) returning name`

const LOOK = `
  select 'node' as kind, id as name, id as node from lagoa_node where seen_at > now() - $1 * interval '1 millisecond'
  union all
  select 'duty', name, node from lagoa_duty where until > now()`

/** Only what is free, in one order for all, so that two nodes never wait for each other in a circle. */
const TAKE = `
  insert into lagoa_duty as known (name, node, until)
  select name, $1, now() + $3 * interval '1 millisecond' from unnest($2::text[]) as name order by name
  on conflict (name) do update set node = excluded.node, until = excluded.until where known.until <= now() or known.node = excluded.node
  returning name`

const NODES = `
  select n.id, n.url, n.host, n.pid, n.seen_at as "seenAt",
    coalesce(array_agg(d.name order by d.name) filter (where d.name is not null), '{}') as duties
  from lagoa_node n left join lagoa_duty d on d.node = n.id and d.until > now()
  where n.seen_at > now() - $1 * interval '1 millisecond'
  group by n.id order by n.id`
