/**
 * Who of the brokers has what, and connections to them. A connection belongs to a lane, so that a request that waits (a long poll, a
 * large append) holds up nobody else's: brokers answer the requests of one connection in order.
 *
 * When no broker answers, callers are refused at once, and the brokers are tried again after a back-off that grows to two seconds; it
 * never ends. What the cluster is doing is learnt anew after every failure that a change of leaders explains.
 */
import { isIP } from 'node:net'
import type { Connection, ConnectionOptions } from '@platformatic/kafka'
import { backoff, systemClock, type LagoaError, type Log } from '../../../base/index.ts'
import { BrokerError, isNetwork, isPassing, kafkaFault, logClosed, NotConnected, noTopic } from './faults.ts'
import { requestMetadata, type ClusterMetadata, type Library, type TopicMetadata } from './wire.ts'

export interface ClusterOptions {
  /** `host:port` of some brokers; they tell of the others. */
  readonly brokers: readonly string[]
  readonly log: Log
  readonly tls?: { readonly ca?: string | undefined } | undefined
  readonly sasl?: { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; readonly username: string; readonly password: string } | undefined
}

export interface Cluster {
  readonly library: Library
  /** The leaders of a topic's partitions by their numbers, or null when there is no such topic; not older than `maxAgeMs` when that is given. */
  leaders(topic: string, maxAgeMs?: number): Promise<readonly number[] | null>
  /** All topics that this user may see. */
  topics(): Promise<readonly TopicMetadata[]>
  /** The leader of a partition, -1 in between; rejects with `streams.no_topic` when there is no such partition. */
  require(topic: string, partition: number): Promise<number>
  /** A request to the leader of a partition. */
  atLeader<T>(lane: string, topic: string, partition: number, request: (connection: Connection) => Promise<T>): Promise<T>
  at<T>(lane: string, node: Node, request: (connection: Connection) => Promise<T>): Promise<T>
  /** Repeats what failed because the cluster is in motion, until it succeeds or patience ends; rejects with a LagoaError. */
  patiently<T>(doing: string, work: () => Promise<T>, patience?: Patience): Promise<T>
  /** What was learnt of the topic may be wrong. */
  doubt(topic: string): void
  /** Closes a lane's connections, or the one to a broker. */
  leaveLane(lane: string, node?: number): void
  close(): Promise<void>
}

/** A broker by its number, the controller, or whichever answers. */
export type Node = number | 'controller' | 'any'

export interface Patience {
  readonly ms?: number
  /** Whether to hold out even while no broker answers. */
  readonly whileAway?: boolean
  /** Called with each failure that is followed by another try. */
  readonly onRetry?: (error: unknown) => void
}

const PATIENCE_MS = 3000
const REQUEST_TIMEOUT_MS = 20_000
const LONGEST_BACKOFF_MS = 2000
const METADATA_AGE_MS = 60_000

interface Known {
  readonly leaders: readonly number[] | null
  readonly learnt: number
}

export async function openCluster({ brokers, log, tls, sasl }: ClusterOptions): Promise<Cluster> {
  const library = await import('@platformatic/kafka')
  const connections = new Map<string, Promise<Connection>>()
  const nodes = new Map<number, string>()
  const known = new Map<string, Known>()
  const asking = new Map<string, Promise<ClusterMetadata>>()
  let controller = -1
  let away: { readonly fault: LagoaError; readonly until: number } | null = null
  let failures = 0
  const closing = new AbortController()

  const options = (host: string): ConnectionOptions => ({
    connectTimeout: 5000,
    requestTimeout: REQUEST_TIMEOUT_MS,
    maxInflights: 64,
    ...(tls ? { tls: tls.ca === undefined ? {} : { ca: tls.ca }, tlsServerName: isIP(host) === 0 ? host : false } : {}),
    ...(sasl ? { sasl: { mechanism: MECHANISMS[sasl.mechanism], username: sasl.username, password: sasl.password } } : {}),
  })

  const connectionTo = (lane: string, address: string): Promise<Connection> => {
    const name = `${lane}@${address}`
    const existing = connections.get(name)
    if (existing) return existing
    const { host, port } = parseAddress(address)
    const connection = new library.Connection('lagoa', options(host))
    // What breaks is told to whoever has a request under way.
    connection.on('error', () => undefined)
    const forget = (): void => {
      if (connections.get(name) === connecting) connections.delete(name)
    }
    connection.on('close', forget)
    const connecting = Promise.resolve(connection.connect(host, port)).then(
      () => connection,
      (error: unknown) => {
        forget()
        throw error
      },
    )
    connections.set(name, connecting)
    return connecting
  }

  const askAddress = async <T>(lane: string, address: string, request: (connection: Connection) => Promise<T>): Promise<T> => {
    if (closing.signal.aborted) throw logClosed()
    const connecting = connectionTo(lane, address)
    const connection = await connecting.catch((error: unknown) => {
      throw new NotConnected(error)
    })
    try {
      return await request(connection)
    } catch (error) {
      // After a timeout the answer may still come, and would be taken for another one's.
      if (isNetwork(error) && connections.get(`${lane}@${address}`) === connecting) {
        connections.delete(`${lane}@${address}`)
        void connection.close().catch(() => undefined)
      }
      throw error
    }
  }

  /** Asks one broker after the other; the first that answers does for all. */
  const learn = async (topics: readonly string[] | null): Promise<ClusterMetadata> => {
    if (away && Date.now() < away.until) throw away.fault
    let failure: unknown = new Error('no broker is configured')
    for (const address of new Set([...shuffled([...nodes.values()]), ...brokers])) {
      try {
        const metadata = await askAddress('main', address, (connection) => requestMetadata(library, connection, topics))
        nodes.clear()
        for (const { node, host, port } of metadata.brokers) nodes.set(node, `${host}:${port}`)
        controller = metadata.controller
        if (away) log.info('kafka.back', { brokers })
        away = null
        failures = 0
        return metadata
      } catch (error) {
        failure = error
      }
    }
    const fault = kafkaFault(failure, 'Connecting to Kafka')
    if (closing.signal.aborted) throw fault
    if (!away) log.warn('kafka.away', { brokers, error: fault })
    // Many who find out at the same time have tried once, not many times.
    if (!away || Date.now() >= away.until) away = { fault, until: Date.now() + backoff(failures++, 100, LONGEST_BACKOFF_MS) }
    throw fault
  }

  /** Of one topic, or of the brokers alone; many who ask at the same time share the answer. */
  const learnOf = (topic: string | null): Promise<ClusterMetadata> => {
    const name = topic ?? ''
    const underWay = asking.get(name)
    if (underWay) return underWay
    const fresh = learn(topic === null ? [] : [topic]).finally(() => asking.delete(name))
    asking.set(name, fresh)
    return fresh
  }

  const addressOf = async (node: Node): Promise<string> => {
    if (nodes.size === 0) await learnOf(null)
    const number = node === 'controller' ? controller : node === 'any' ? [...nodes.keys()][Math.floor(Math.random() * nodes.size)] : node
    const address = nodes.get(number ?? -1)
    if (address !== undefined) return address
    nodes.clear()
    throw new BrokerError('BROKER_NOT_AVAILABLE')
  }

  const cluster: Cluster = {
    library,

    async leaders(topic, maxAgeMs = METADATA_AGE_MS) {
      const found = known.get(topic)
      if (found && Date.now() - found.learnt < maxAgeMs) return found.leaders
      const { topics } = await learnOf(topic)
      const metadata = topics.find(({ name }) => name === topic)
      if (!metadata || metadata.error === UNKNOWN_TOPIC || metadata.error === INVALID_TOPIC) {
        known.delete(topic)
        return null
      }
      if (metadata.error !== 0) throw brokerError(library, metadata.error)
      const leaders = metadata.partitions.map(() => -1)
      for (const { partition, leader } of metadata.partitions) leaders[partition] = leader
      known.set(topic, { leaders, learnt: Date.now() })
      return leaders
    },

    async topics() {
      return (await learn(null)).topics
    },

    async require(topic, partition) {
      const leader = (await cluster.leaders(topic))?.[partition] ?? (await cluster.leaders(topic, 0))?.[partition]
      if (leader === undefined) throw noTopic(topic, partition)
      return leader
    },

    async atLeader(lane, topic, partition, request) {
      const leader = await cluster.require(topic, partition)
      try {
        if (leader < 0) throw new BrokerError('LEADER_NOT_AVAILABLE')
        return await cluster.at(lane, leader, request)
      } catch (error) {
        if (isPassing(error)) known.delete(topic)
        throw error
      }
    },

    async at(lane, node, request) {
      const address = await addressOf(node)
      try {
        return await askAddress(lane, address, request)
      } catch (error) {
        // Brokers may have moved, or another one is the controller now.
        if (isPassing(error)) nodes.clear()
        throw error
      }
    },

    async patiently(doing, work, { ms = PATIENCE_MS, whileAway = false, onRetry } = {}) {
      const deadline = Date.now() + ms
      for (let attempt = 0; ; attempt++) {
        try {
          if (closing.signal.aborted) throw logClosed()
          return await work()
        } catch (error) {
          const fault = kafkaFault(error, doing)
          const again = isPassing(error) || (whileAway && fault.code === 'streams.kafka_away')
          if (!again || Date.now() >= deadline) throw fault
          onRetry?.(error)
          await systemClock.sleep(backoff(attempt, 10, 500), closing.signal).catch(() => undefined)
        }
      }
    },

    doubt(topic) {
      known.delete(topic)
    },

    leaveLane(lane, node) {
      const left = `${lane}@${node === undefined ? '' : nodes.get(node)}`
      for (const [name, connecting] of connections) {
        if (node === undefined ? !name.startsWith(left) : name !== left) continue
        connections.delete(name)
        void connecting.then((connection) => connection.close()).catch(() => undefined)
      }
    },

    async close() {
      closing.abort()
      const all = [...connections.values()]
      connections.clear()
      await Promise.allSettled(all.map(async (connecting) => (await connecting).close()))
    },
  }
  return cluster
}

const UNKNOWN_TOPIC = 3
const INVALID_TOPIC = 17
const MECHANISMS = { plain: 'PLAIN', 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512' } as const

/** An error code of a response as an error. */
export function brokerError(library: Library, code: number): BrokerError {
  return new BrokerError(library.protocolErrorsCodesById[code] ?? `error ${code}`)
}

/** `host:port`, `[::1]:port`; the port is 9092 unless it is said. */
function parseAddress(address: string): { host: string; port: number } {
  const match = /^(.*):(\d+)$/.exec(address)
  return { host: (match?.[1] ?? address).replace(/^\[(.*)\]$/, '$1'), port: Number(match?.[2] ?? 9092) }
}

function shuffled<T>(values: readonly T[]): T[] {
  return values
    .map((value) => ({ value, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value)
}
