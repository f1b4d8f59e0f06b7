/** What must hold whenever nothing is under way, whatever happened before. Each answers what is wrong; nothing when all is well. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { QueueMessage } from '../../src/alerts/index.ts'
import { toLagoaError } from '../../src/base/index.ts'
import { eventually } from '../helpers/cli.ts'
import type { Cluster } from './cluster.ts'
import { DIGEST_PRIME, type Replay } from './model.ts'
import type { Producer } from './producer.ts'

export interface Wrong {
  readonly what: string
  readonly found: unknown
  readonly wanted: unknown
}

const QUEUES = ['critical', 'episodes'] as const

/** Alerts as they came out of the queues, over all rounds. */
export interface Told {
  /** By queue and alert (`partition/n`), the ids under which it was told. */
  readonly ids: Record<(typeof QUEUES)[number], Map<string, Set<string>>>
  /** Messages that said again what was said. */
  again: number
}

export const nothingTold = (): Told => ({ ids: { critical: new Map(), episodes: new Map() }, again: 0 })

/** The log holds every acknowledged reading once and in order. */
export function checkLog(replay: Replay, producer: Producer): Wrong[] {
  return replay.partitions.flatMap(({ count, fault }, partition) => {
    const wanted = producer.acknowledged[partition]
    return [
      ...(count === wanted ? [] : [{ what: `readings in partition ${partition} of the log`, found: count, wanted }]),
      ...(fault === null ? [] : [{ what: `order of partition ${partition} of the log`, found: fault, wanted: 'every reading in its place' }]),
    ]
  })
}

const BRONZE = `
  select _partition, count(*), count(distinct n), sum((((_offset + 1) % ${DIGEST_PRIME}) * ((n + 1) % ${DIGEST_PRIME})) % ${DIGEST_PRIME}) % ${DIGEST_PRIME}
  from bronze.readings group by all order by all`

/** Bronze holds every reading of the log once, at its offset; and silver follows. */
export async function checkTables({ nodes }: Cluster, replay: Replay, withinMs: number): Promise<Wrong[]> {
  const ask = async (text: string): Promise<number[][]> => {
    const answer = await nodes[0]?.served.post<{ rows: unknown[][] }>('/api/v1/query', { sql: text })
    return (answer?.rows ?? []).map((row) => row.map(Number))
  }
  const wanted = replay.partitions.flatMap(({ count, digest }, partition) => (count === 0 ? [] : [[partition, count, count, digest]]))
  const bronze = await ask(BRONZE)
  if (JSON.stringify(bronze) !== JSON.stringify(wanted))
    return [{ what: 'bronze by partition: rows, distinct readings, digest of places', found: bronze, wanted }]
  const total = replay.partitions.reduce((sum, { count }) => sum + count, 0)
  let silver: number[][] = []
  const followed = await eventually(
    'silver',
    async () => {
      silver = await ask('select count(*), count(distinct (sensor, n)) from silver.readings')
      return silver[0]?.[0] === total && silver[0]?.[1] === total
    },
    withinMs,
    200,
  ).catch(() => false)
  return followed ? [] : [{ what: 'silver: rows, distinct readings', found: silver, wanted: [[total, total]] }]
}

/** The live cache holds the newest reading of each sensor, and nothing else. */
export async function checkKeys({ keys }: Cluster, replay: Replay): Promise<Wrong[]> {
  const found = new Map<string, string>()
  for (let cursor: string | undefined; ;) {
    const page = await keys.scan('readings:', { limit: 1_000, ...(cursor === undefined ? {} : { cursor }) })
    for (const { key, fields } of page.entries) found.set(key, `${fields['sensor']} ${fields['n']} ${fields['co']}`)
    cursor = page.cursor
    if (cursor === undefined) break
  }
  const wanted = new Map([...replay.newest].map(([sensor, { n, co }]) => [`readings:${sensor}`, `${sensor} ${n} ${co}`]))
  const differ = [...new Set([...found.keys(), ...wanted.keys()])].filter((key) => found.get(key) !== wanted.get(key))
  return differ.length === 0
    ? []
    : [
        {
          what: `${differ.length} of ${wanted.size} live keys`,
          found: differ.slice(0, 5).map((key) => found.get(key) ?? `${key} is missing`),
          wanted: differ.slice(0, 5).map((key) => wanted.get(key) ?? `${key} should not be there`),
        },
      ]
}

/** Every alert that is due was queued, nothing else was, and each under one id of its own. */
export async function checkAlerts({ queue }: Cluster, replay: Replay, told: Told): Promise<Wrong[]> {
  const wrong: Wrong[] = []
  for (const name of QUEUES) {
    const ids = told.ids[name]
    // The engine may have come back a moment ago.
    const take = (): Promise<QueueMessage | null> => patiently(() => queue.take(name))
    for (let message = await take(); message !== null; message = await take()) {
      const { key, values } = JSON.parse(message.body) as { key: string; values: { n: number } }
      const alert = `${key.slice(1, key.indexOf('-'))}/${values.n}`
      const known = ids.get(alert)
      if (known) told.again++
      ids.set(alert, (known ?? new Set()).add(message.id))
    }
    const wanted = replay.alerts[name]
    const missing = [...wanted].filter((alert) => !ids.has(alert))
    const extra = [...ids.keys()].filter((alert) => !wanted.has(alert))
    const twice = [...ids].filter(([, own]) => own.size > 1)
    const distinct = new Set([...ids.values()].flatMap((own) => [...own])).size
    if (missing.length > 0) wrong.push({ what: `alerts missing in ${name}`, found: missing.slice(0, 5), wanted: `none of ${wanted.size}` })
    if (extra.length > 0) wrong.push({ what: `alerts in ${name} that are not due`, found: extra.slice(0, 5), wanted: 'none' })
    if (twice.length > 0) wrong.push({ what: `alerts in ${name} under several ids`, found: twice.slice(0, 5), wanted: 'none' })
    if (distinct !== ids.size) wrong.push({ what: `ids in ${name}`, found: distinct, wanted: ids.size })
  }
  return wrong
}

/** Asks again for a while when the engine is not there. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (tries >= 60 || toLagoaError(error).kind !== 'unavailable') throw error
      await sleep(500)
    }
  }
}
