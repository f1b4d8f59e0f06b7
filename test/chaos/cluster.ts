/**
 * A project on real engines, run by several real nodes, with a proxy between each node and each engine. What a test looks at, it reads
 * from the engines themselves, past the proxies.
 */

import { join } from 'node:path'
import { silentLog } from '../../src/base/index.ts'
import { openRabbitQueue, type Queue } from '../../src/alerts/index.ts'
import { openRecords, openRedisKeys, type Keys, type Records } from '../../src/storage/index.ts'
import { openKafkaLog, type EventLog } from '../../src/streams/index.ts'
import { eventually, newHome, ROOT, serve, temporaryFolder, type Served } from '../helpers/cli.ts'
import { startKafka, type KafkaServer } from '../helpers/kafka.ts'
import { startPostgresServer, type PostgresServer } from '../helpers/postgres-server.ts'
import { startRabbit, type RabbitServer } from '../helpers/rabbitmq.ts'
import { startRedis, type RedisServer } from '../helpers/redis.ts'
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.ts'

export const STREAM = 'readings'
export const PARTITIONS = 4
/** Of the nodes' duties: src/storage/records/duties/leased.ts. */
export const LEASE_MS = 5_000

export type EngineName = 'kafka' | 'redis' | 'rabbitmq' | 'postgres'

export interface Cluster {
  readonly nodes: readonly ChaosNode[]
  readonly kafka: KafkaServer
  readonly redis: RedisServer
  readonly rabbit: RabbitServer
  readonly postgres: PostgresServer
  readonly log: EventLog
  readonly keys: Keys
  readonly queue: Queue
  readonly records: Records
  /** What stands between the nodes and the engine; Kafka tells clients one address, so all nodes share its proxy. */
  proxies(engine: EngineName): readonly TcpProxy[]
  close(): Promise<void>
}

export interface ChaosNode {
  readonly index: number
  readonly served: Served
  /** Its way to an engine that is its own. */
  proxy(engine: Exclude<EngineName, 'kafka'>): TcpProxy
  /** Ends the process as a power cut would. */
  kill(): Promise<void>
  /** Starts it again, and waits until it is ready. */
  start(): Promise<void>
}

const PROJECT = join(import.meta.dirname, 'project')
const LONGEST_MS = 6 * 3_600_000

export async function startCluster(count: number): Promise<Cluster> {
  const toKafka = await startTcpProxy()
  const [kafka, redis, rabbit, postgres] = await Promise.all([startKafka({ advertised: toKafka.port }), startRedis(), startRabbit(), startPostgresServer()])
  toKafka.to(portOf(`tcp://${kafka.broker}`))
  const database = await postgres.database()
  // All nodes are on one machine, so its folder is their common object store.
  const home = newHome(temporaryFolder('chaos'))

  const openNode = async (index: number): Promise<ChaosNode> => {
    const ways = { redis: await startTcpProxy(), rabbitmq: await startTcpProxy(), postgres: await startTcpProxy() }
    ways.redis.to(redis.port)
    ways.rabbitmq.to(rabbit.port)
    ways.postgres.to(postgres.port)
    const env = {
      LAGOA_DATABASE__URL: through(database, ways.postgres),
      LAGOA_KAFKA__BROKERS: `127.0.0.1:${toKafka.port}`,
      LAGOA_REDIS__URL: through(redis.url, ways.redis),
      LAGOA_RABBITMQ__URL: through(rabbit.url, ways.rabbitmq),
      LAGOA_LAKE__THREADS: '1',
      LAGOA_QUERY__THREADS: '1',
    }
    const begin = (): Promise<Served> => serve('start', ['--project', PROJECT], { home, env, cwd: ROOT, timeoutMs: LONGEST_MS })
    let served = await begin()
    return {
      index,
      get served() {
        return served
      },
      proxy: (engine) => ways[engine],
      async kill() {
        await served.kill('SIGKILL')
      },
      async start() {
        served = await begin()
      },
    }
  }
  const nodes: ChaosNode[] = []
  // One after the other: the first one makes tables and topics.
  for (let index = 0; index < count; index++) nodes.push(await openNode(index))

  const records = await openRecords({ connection: database, max: 2, log: silentLog })
  const log = await openKafkaLog({ brokers: [kafka.internal], log: silentLog })
  const keys = await openRedisKeys({ url: redis.url, log: silentLog })
  const queue = await openRabbitQueue({ url: rabbit.url, log: silentLog })
  return {
    nodes,
    kafka,
    redis,
    rabbit,
    postgres,
    log,
    keys,
    queue,
    records,
    proxies: (engine) => (engine === 'kafka' ? [toKafka] : nodes.map((node) => node.proxy(engine))),
    async close() {
      await Promise.allSettled(nodes.map((node) => node.kill()))
      await Promise.allSettled([log.close(), keys.close(), queue.close(), records.close()])
    },
  }
}

const portOf = (url: string): number => Number(new URL(url).port)

function through(url: string, proxy: TcpProxy): string {
  const changed = new URL(url)
  changed.port = String(proxy.port)
  return changed.href
}

/** What is behind these ends, by sink and partition; empty when nothing is and no alert waits to be queued. */
async function behind({ records, keys }: Cluster, ends: readonly number[]): Promise<string[]> {
  const offsets = await records.query<{ sink: string; partition: number; next_offset: number }>(
    'select sink, partition, next_offset from stream_offset where stream = $1',
    [STREAM],
  )
  const sinks = ['alerts', 'live', 'table:bronze.readings', 'dead-letters']
  const at = new Map(offsets.map(({ sink, partition, next_offset: next }) => [`${sink} ${partition}`, next]))
  const lags = sinks.flatMap((sink) =>
    ends.flatMap((end, partition) => {
      const lag = end - (at.get(`${sink} ${partition}`) ?? 0)
      return lag > 0 ? [`${sink}/${partition} by ${lag}`] : []
    }),
  )
  const marks = await Promise.all(ends.map((_, partition) => keys.mark(`${STREAM}/live/${partition}`).catch(String)))
  const holes = marks.flatMap((mark, partition) => (mark?.startsWith('full ') ? [] : [`keys of partition ${partition}: ${mark}`]))
  const [row] = await records.query<{ count: number }>('select count(*) as count from alert_outbox')
  return [...lags, ...holes, ...(row?.count ? [`${row.count} alerts in the outbox`] : [])]
}

/** Waits until readings that are appended from now on have come to every sink, and answers how long that took, in ms. */
export async function recovered(cluster: Cluster, limitMs: number): Promise<number> {
  // An engine that has just come back opens one of its ports after the other: the fault ends when the log answers.
  const before = await endsOf(cluster)
  const began = performance.now()
  const grown = async (): Promise<boolean> => (await endsOf(cluster)).every((end, partition) => end > (before[partition] ?? 0))
  await eventually('no new readings came into the log', grown, limitMs, 50)
  await caughtUp(cluster, limitMs)
  return performance.now() - began
}

const endsOf = ({ log }: Cluster): Promise<number[]> => eventually('the log does not answer', () => log.ends(STREAM).catch(() => false as const), 30_000, 50)

/** Waits until all that is in the log now is with every sink. */
export async function caughtUp(cluster: Cluster, limitMs: number): Promise<void> {
  const ends = await endsOf(cluster)
  let late: readonly string[] = []
  try {
    await eventually(
      'the sinks have not caught up',
      async () => {
        late = await behind(cluster, ends)
        return late.length === 0
      },
      limitMs,
      50,
    )
  } catch (error) {
    throw new Error(`${String(error)} (${late.join(', ')})`, { cause: error })
  }
}
