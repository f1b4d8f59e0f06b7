/**
 * Topics: made when they are not there, and kept as their declaration says. Of a topic that somebody else made, partitions are only
 * added, and retention is set only where it differs; all else stays as it is.
 */
import type { Log } from '../../../base/index.ts'
import type { TopicOptions } from '../port.ts'
import { checkTopic, fewerPartitions } from '../topic.ts'
import type { Library } from './wire.ts'
import type { Cluster } from './cluster.ts'
import { BrokerError, hasCode, isPassing, kafkaFault } from './faults.ts'

export interface Topics {
  ensure(topic: string, options: TopicOptions): Promise<void>
  /** A topic of one partition that keeps the newest record of each key. */
  ensureCompacted(topic: string): Promise<void>
  /** How large a record batch the topic takes; a guess where this user may not know. */
  largestBatch(topic: string, freshness?: 'anew'): Promise<Limit>
}

export interface Limit {
  readonly bytes: number
  readonly isSure: boolean
}

/** An append of this size still is one batch, so that its records stay together whoever else appends. */
const LARGEST_BATCH = 16 * 1024 * 1024
/** What brokers take unless somebody chose otherwise, less what a batch has beside its records. */
const USUAL_LIMIT: Limit = { bytes: 1_000_000, isSure: false }
const LIMIT = 'max.message.bytes'
const TIMEOUT_MS = 15_000
/** A busy cluster takes a while until many new partitions are led. */
const PATIENCE_MS = 30_000
const TOPIC = 2
const SET = 0

type Settings = Readonly<Record<string, string>>

export function createTopics(cluster: Cluster, log: Log, replication: number): Topics {
  const { library } = cluster
  const largest = new Map<string, Limit>()

  const create = async (topic: string, partitions: number, settings: Settings): Promise<void> => {
    const configs = Object.entries(settings).map(([name, value]) => ({ name, value }))
    const wanted = [{ name: topic, numPartitions: partitions, replicationFactor: replication, assignments: [], configs }]
    try {
      await cluster.at('main', 'controller', (connection) => library.createTopicsV5.api.async(connection, wanted, TIMEOUT_MS, false))
    } catch (error) {
      if (!hasCode(error, 'TOPIC_ALREADY_EXISTS')) throw error
    }
  }

  const grow = async (topic: string, partitions: number): Promise<void> => {
    try {
      await cluster.at('main', 'controller', (connection) =>
        library.createPartitionsV1.api.async(connection, [{ name: topic, count: partitions, assignments: null }], TIMEOUT_MS, false),
      )
    } catch (error) {
      // Another one was faster; what there is now is looked at again.
      if (!hasCode(error, 'INVALID_PARTITIONS')) throw error
    }
  }

  const settingsOf = async (topic: string, names: readonly string[]): Promise<Map<string, string | null>> => {
    const { results } = await cluster.at('main', 'any', (connection) =>
      library.describeConfigsV2.api.async(connection, [{ resourceType: TOPIC, resourceName: topic, configurationKeys: [...names] }]),
    )
    return new Map(results.flatMap(({ configs }) => configs).map(({ name, value }) => [name, value ?? null]))
  }

  const set = (topic: string, settings: Settings): Promise<unknown> => {
    const configs = Object.entries(settings).map(([name, value]) => ({ name, value, configOperation: SET }) as const)
    return cluster.at('main', 'any', (connection) =>
      library.incrementalAlterConfigsV0.api.async(connection, [{ resourceType: TOPIC, resourceName: topic, configs }], false),
    )
  }

  /** All partitions are there, led by somebody, and their leaders know it: metadata tells of them before that. */
  const settled = async (topic: string, partitions: number): Promise<void> => {
    const leaders = await cluster.leaders(topic, 0)
    if (!leaders || leaders.length < partitions || leaders.includes(-1)) throw new BrokerError('LEADER_NOT_AVAILABLE')
    const own = Map.groupBy(leaders.keys(), (partition) => leaders[partition] ?? -1)
    await Promise.all(
      [...own].map(([leader, led]) => cluster.at('main', leader, (connection) => library.listOffsetsV5.api.async(connection, -1, 0, ends(topic, led)))),
    )
  }

  const keep = async (topic: string, wanted: Settings): Promise<void> => {
    try {
      const known = await settingsOf(topic, [...Object.keys(wanted), LIMIT])
      largest.set(topic, limitIn(known))
      const changed = Object.fromEntries(Object.entries(wanted).filter(([name, value]) => known.get(name) !== value))
      if (Object.keys(changed).length > 0) await set(topic, changed)
    } catch (error) {
      if (isPassing(error)) throw error
      // Whoever may only read and write still can.
      log.warn('kafka.retention_not_applied', { topic, error: kafkaFault(error, `Setting the retention of ${topic}`) })
    }
  }

  return {
    async ensure(topic, options) {
      checkTopic(topic, options)
      const retention = { 'retention.ms': bound(options.retainMs), 'retention.bytes': bound(options.retainBytes) }
      const doing = `Preparing topic ${topic}`
      await cluster.patiently(
        doing,
        async () => {
          if ((await cluster.leaders(topic, 0)) === null) {
            await create(topic, options.partitions, {
              ...retention,
              [LIMIT]: String(LARGEST_BATCH),
              // Offsets by time and retention go by when the log took a record.
              'message.timestamp.type': 'LogAppendTime',
            })
          }
          const leaders = (await cluster.leaders(topic, 0)) ?? []
          if (leaders.length > options.partitions) throw fewerPartitions(topic, leaders.length, options.partitions)
          if (leaders.length > 0 && leaders.length < options.partitions) await grow(topic, options.partitions)
          await settled(topic, options.partitions)
          await keep(topic, retention)
        },
        { ms: PATIENCE_MS },
      )
    },

    async ensureCompacted(topic) {
      if ((await cluster.leaders(topic)) !== null) return
      // The newest segment is never compacted, so a large one would be read whole at every start.
      await create(topic, 1, { 'cleanup.policy': 'compact', 'segment.bytes': String(8 * 1024 * 1024), 'min.cleanable.dirty.ratio': '0.1' })
      await settled(topic, 1)
    },

    async largestBatch(topic, freshness) {
      const known = freshness === 'anew' ? undefined : largest.get(topic)
      if (known !== undefined) return known
      let limit = USUAL_LIMIT
      try {
        limit = limitIn(await settingsOf(topic, [LIMIT]))
      } catch (error) {
        if (isPassing(error)) throw error
      }
      largest.set(topic, limit)
      return limit
    },
  }
}

function limitIn(settings: ReadonlyMap<string, string | null>): Limit {
  const bytes = Number(settings.get(LIMIT) ?? 0)
  return bytes > 0 ? { bytes, isSure: true } : USUAL_LIMIT
}

/** Asks where partitions end, which only their leader answers. */
function ends(topic: string, partitions: readonly number[]): Parameters<Library['listOffsetsV5']['api']['async']>[3] {
  return [{ name: topic, partitions: partitions.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp: -1n })) }]
}

/** A bound as Kafka writes it: -1 keeps everything. */
function bound(value: number): string {
  return Number.isFinite(value) ? String(Math.min(Math.ceil(value), Number.MAX_SAFE_INTEGER)) : '-1'
}
