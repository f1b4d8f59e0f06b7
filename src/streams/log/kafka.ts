/**
 * The event log on Apache Kafka. Records are plain Kafka messages, so that whoever reads or writes Kafka can read and write them; what
 * belongs to Lagoa alone are the marks of its producers, in the topic `lagoa.producers`. Kafka's own marks at the ends of transactions
 * take offsets, too, so offsets have gaps. (docs/kafka.md)
 *
 * Opening does not wait for Kafka: while it is away calls reject with `streams.kafka_away`, and go on when it answers.
 */
import { invalid, systemClock, type Log } from '../../base/index.ts'
import { createAppendQueue } from './append-queue.ts'
import { emptyBatch, type RecordBatch } from './batch.ts'
import { openCluster, type Cluster } from './kafka/cluster.ts'
import { hasCode, logClosed } from './kafka/faults.ts'
import { MARKS_TOPIC } from './kafka/marks.ts'
import { createProducer } from './kafka/producer.ts'
import { createReader, EARLIEST, LATEST } from './kafka/reader.ts'
import { createTopics } from './kafka/topics.ts'
import { createTransactions } from './kafka/transactions.ts'
import type { EventLog } from './port.ts'

export interface KafkaLogOptions {
  /** `host:port` of one broker or some; they tell of the others. */
  readonly brokers: readonly string[]
  readonly log: Log
  /** Encrypted connections; `ca` is the authority that signed the brokers' certificates, in PEM, unless the system knows it. */
  readonly tls?: { readonly ca?: string | undefined } | undefined
  readonly sasl?: { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; readonly username: string; readonly password: string } | undefined
  /** On how many brokers new topics are kept; without it the cluster's own choice. */
  readonly replication?: number | undefined
  /** How long a partition is followed after somebody last asked for it; half a minute unless said. */
  readonly idleMs?: number | undefined
}

const MAX_WAIT_MS = 1000
const CLOSING_MS = 5000
/** How long the number of a topic's partitions is taken for right where only the end of each is asked for. */
const LAYOUT_AGE_MS = 1000
const BROKERS_CHOICE = -1

export async function openKafkaLog({ brokers, log, tls, sasl, replication = BROKERS_CHOICE, idleMs }: KafkaLogOptions): Promise<EventLog> {
  const cluster = await openCluster({ brokers, log, tls, sasl })
  const topics = createTopics(cluster, log, replication)
  const reader = createReader(cluster, log, idleMs)
  const producer = createProducer(cluster, topics)
  const transactions = createTransactions(cluster, topics, reader)
  let closed = false

  const open = (): void => {
    if (closed) throw logClosed()
  }

  const appends = createAppendQueue(async (topic, partition, batch, mark) => {
    if (mark) return transactions.append(topic, partition, batch, mark)
    const pieces = await producer.append(topic, partition, batch)
    return { baseOffset: pieces[0]?.baseOffset ?? -1, duplicate: false, pieces }
  })

  /** The numbers of a topic's partitions; none when it is not there. */
  const partitionsOf = async (topic: string): Promise<number[]> => [...((await cluster.leaders(topic, LAYOUT_AGE_MS)) ?? []).keys()]

  /** What a reading call answers; in a place that is not there it finds `nothing`. */
  const reading = async <T>(doing: string, nothing: T, work: () => Promise<T>): Promise<T> => {
    open()
    return cluster.patiently(doing, async () => {
      try {
        return await work()
      } catch (error) {
        if (hasNoPlace(error)) return nothing
        throw error
      }
    })
  }

  return {
    capabilities: { name: 'kafka', denseOffsets: false, transactionalNotes: true, exactRetention: false },

    async ensureTopic(topic, options) {
      open()
      await topics.ensure(topic, options)
    },

    async topics() {
      open()
      const found = await cluster.patiently('Listing topics', () => cluster.topics())
      return found
        .filter(({ internal, name }) => !internal && name !== MARKS_TOPIC)
        .map(({ name }) => name)
        .sort()
    },

    async append(topic, partition, batch, { producer: mark } = {}) {
      open()
      if (batch.count === 0) throw invalid('streams.empty_append', `An append to ${topic}/${partition} has no records`, { hint: 'Append at least one record.' })
      return appends.append(topic, partition, batch, mark)
    },

    async producerState(topic, id) {
      open()
      return transactions.state(topic, id)
    },

    async read(topic, partition, from, { maxRecords = 20_000, maxBytes = 16 * 1024 * 1024 } = {}) {
      const { batches, next } = await reading(`Reading ${topic}/${partition}`, { batches: [], next: from }, () =>
        reader.read(topic, partition, from, maxRecords, maxBytes),
      )
      return batches.length === 0 && next > from ? [goOnAt(next)] : [...batches]
    },

    async wait(topic, partition, offset, { signal, timeoutMs = MAX_WAIT_MS }) {
      if (closed || signal.aborted) return
      await reader.wait(topic, partition, offset, signal, Math.max(0, Math.min(timeoutMs, MAX_WAIT_MS)))
    },

    async ends(topic) {
      return reading<number[]>(`Looking for the end of ${topic}`, [], async () => reader.offsets(topic, await partitionsOf(topic), LATEST))
    },

    async offsets(topic) {
      return reading(`Looking for the offsets of ${topic}`, [], async () => {
        const partitions = await partitionsOf(topic)
        const [earliest, next, bytes] = await Promise.all([
          reader.offsets(topic, partitions, EARLIEST),
          reader.offsets(topic, partitions, LATEST),
          bytesOf(cluster, topic, partitions),
        ])
        return partitions.map((partition) => ({
          partition,
          earliest: earliest[partition] ?? 0,
          next: next[partition] ?? 0,
          bytes: bytes.get(partition) ?? 0,
        }))
      })
    },

    async offsetAt(topic, partition, time) {
      return reading(`Looking for an offset of ${topic}/${partition}`, 0, async () => {
        const [found = -1] = await reader.offsets(topic, [partition], Math.min(Math.max(0, Math.ceil(time)), LATEST_TIME))
        const [end = 0] = found < 0 ? await reader.offsets(topic, [partition], LATEST) : [found]
        return end
      })
    },

    /** Kafka drops what is too old by itself. */
    async trim() {
      open()
      return 0
    },

    async close() {
      if (closed) return
      closed = true
      const stopped = reader.close()
      // What is under way is finished, but not for as long as an append may wait for brokers that are away.
      const finished = new AbortController()
      await Promise.race([appends.idle(), systemClock.sleep(CLOSING_MS, finished.signal).catch(() => undefined)])
      finished.abort()
      await Promise.all([cluster.close(), appends.idle(), stopped])
    },
  }
}

/** The end of the year 9999. */
const LATEST_TIME = 253_402_300_799_999

/** No records: reading goes on there. */
function goOnAt(offset: number): RecordBatch {
  return { baseOffset: offset, appendedAt: 0, count: 0, wellFormed: false, bytes: emptyBatch(new Int32Array(0)).bytes }
}

function hasNoPlace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'streams.no_topic'
}

/** How many bytes each partition has on its leader's disk; nothing when this user may not know. */
async function bytesOf(cluster: Cluster, topic: string, partitions: readonly number[]): Promise<Map<number, number>> {
  const found = new Map<number, number>()
  const leaders = (await cluster.leaders(topic)) ?? []
  for (const [leader, own] of Map.groupBy(partitions, (partition) => leaders[partition] ?? -1)) {
    if (leader < 0) continue
    try {
      const { results } = await cluster.at('main', leader, (connection) =>
        cluster.library.describeLogDirsV1.api.async(connection, [{ name: topic, partitions: own }]),
      )
      for (const { partitionIndex, partitionSize } of results.flatMap((one) => one.topics).flatMap((one) => one.partitions))
        found.set(partitionIndex, (found.get(partitionIndex) ?? 0) + Number(partitionSize))
    } catch (error) {
      if (!hasCode(error, 'CLUSTER_AUTHORIZATION_FAILED', 'UNSUPPORTED_VERSION')) throw error
    }
  }
  return found
}
