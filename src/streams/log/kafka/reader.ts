/**
 * Reading partitions. What lies behind is fetched when it is asked for; at the end of a partition one long poll for each broker follows
 * all partitions that somebody waits for, fills the memory that their readers share and wakes who waits. A partition that nobody asked
 * for in half a minute is followed no more, and a broker of which none is followed is left alone.
 */
import { backoff, systemClock, type Log } from '../../../base/index.ts'
import { brokerError, type Cluster } from './cluster.ts'
import { BrokerError, hasCode, isPassing, kafkaFault, noTopic } from './faults.ts'
import { createMemory, within } from './memory.ts'
import { decodeRun, type Run } from './record-batch.ts'
import { requestFetch, type Fetched, type FetchOptions } from './wire.ts'

export interface Reader {
  read(topic: string, partition: number, from: number, maxRecords: number, maxBytes: number): Promise<Run>
  wait(topic: string, partition: number, offset: number, signal: AbortSignal, timeoutMs: number): Promise<void>
  /** Offsets of partitions, by their number; -1 where there is none for that time. */
  offsets(topic: string, partitions: readonly number[], time: number, committed?: boolean): Promise<number[]>
  close(): Promise<void>
}

/** Times that ListOffsets takes beside real ones. */
export const LATEST = -1
export const EARLIEST = -2

/** What readers share, all partitions together. */
const MEMORY_BYTES = 48 * 1024 * 1024
const READ_BYTES = 8 * 1024 * 1024
const FOLLOW_BYTES = 16 * 1024 * 1024
const FOLLOW_PARTITION_BYTES = 2 * 1024 * 1024
/** How long a poll may last: a partition that is followed from now on is in the next one. */
const POLL_MS = 250
const IDLE_MS = 30_000

interface Followed {
  readonly topic: string
  readonly partition: number
  /** The broker that leads it, as far as is known. */
  node: number
  next: number
  usedAt: number
}

export function createReader(cluster: Cluster, log: Log, idleMs: number = IDLE_MS): Reader {
  const memory = createMemory(MEMORY_BYTES)
  const waiters = new Map<string, Set<() => void>>()
  const followed = new Map<string, Followed>()
  const starting = new Map<string, Promise<void>>()
  const fetching = new Map<string, Promise<Run>>()
  /** How far partitions are known to be decided. */
  const stable = new Map<string, number>()
  const polling = new Set<number>()
  const closing = new AbortController()
  const loops = new Set<Promise<void>>()

  const wake = (place: string): void => {
    for (const resolve of waiters.get(place) ?? []) resolve()
  }

  const offsets: Reader['offsets'] = async (topic, partitions, time, committed = true) => {
    const found = partitions.map(() => -1)
    const leaders = (await cluster.leaders(topic)) ?? []
    const ask = async ([leader, own]: [number, number[]]): Promise<void> => {
      const wanted = [{ name: topic, partitions: own.map((partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp: BigInt(time) })) }]
      const { topics } = await cluster.atLeader('main', topic, own[0] ?? 0, async (connection) => {
        if (leader < 0) throw new BrokerError('LEADER_NOT_AVAILABLE')
        return cluster.library.listOffsetsV5.api.async(connection, -1, committed ? 1 : 0, wanted)
      })
      for (const { partitionIndex, offset } of topics.flatMap((one) => one.partitions)) found[partitions.indexOf(partitionIndex)] = Number(offset)
    }
    await Promise.all(
      Map.groupBy(partitions, (partition) => leaders[partition] ?? -1)
        .entries()
        .map(ask),
    )
    return found
  }

  const fetchOne = async (topic: string, partition: number, from: number, maxBytes: number): Promise<Run> => {
    const options: FetchOptions = { waitMs: 0, maxBytes, maxPartitionBytes: maxBytes, committed: true }
    const fetched = await cluster.atLeader('read', topic, partition, async (connection) => {
      const [one] = await requestFetch(cluster.library, connection, [{ topic, partition, from }], options)
      if (one && one.error !== 0) throw brokerError(cluster.library, one.error)
      return one
    })
    if (!fetched) return { batches: [], next: from }
    stable.set(`${topic}/${partition}`, fetched.lastStable)
    return decodeRun(cluster.library, fetched.records, from, fetched.aborted)
  }

  /** Where reading goes on when the offset is not, or no longer, in the partition. */
  const fetchWithin = async (topic: string, partition: number, from: number, maxBytes: number): Promise<Run> => {
    try {
      return await fetchOne(topic, partition, from, maxBytes)
    } catch (error) {
      if (!hasCode(error, 'OFFSET_OUT_OF_RANGE')) throw error
      memory.forget(`${topic}/${partition}`)
      const [earliest = -1] = await offsets(topic, [partition], EARLIEST)
      return from < earliest ? fetchOne(topic, partition, earliest, maxBytes) : { batches: [], next: from }
    }
  }

  /** Takes what a poll brought of one partition. */
  const take = (one: Followed, answer: Fetched): void => {
    const place = `${one.topic}/${one.partition}`
    if (answer.error !== 0) throw brokerError(cluster.library, answer.error)
    const run = decodeRun(cluster.library, answer.records, one.next, answer.aborted)
    memory.remember(place, one.next, run)
    one.next = run.next
    stable.set(place, answer.lastStable)
    wake(place)
  }

  const pollOnce = async (node: number, own: readonly Followed[]): Promise<void> => {
    const options: FetchOptions = { waitMs: POLL_MS, maxBytes: FOLLOW_BYTES, maxPartitionBytes: FOLLOW_PARTITION_BYTES, committed: true }
    const wanted = own.map(({ topic, partition, next }) => ({ topic, partition, from: next }))
    const answers = await cluster.at('follow', node, (connection) => requestFetch(cluster.library, connection, wanted, options))
    const before = new Map(own.map((one) => [`${one.topic}/${one.partition}`, one]))
    for (const answer of answers) {
      const place = `${answer.topic}/${answer.partition}`
      const one = before.get(place)
      if (!one || followed.get(place) !== one) continue
      try {
        take(one, answer)
      } catch (error) {
        // Readers meet the same at this place and are told; here it is located anew when somebody waits again.
        followed.delete(place)
        wake(place)
        cluster.doubt(one.topic)
        if (!isPassing(error) && !hasCode(error, 'OFFSET_OUT_OF_RANGE'))
          log.warn('kafka.follow_failed', { topic: one.topic, partition: one.partition, error: kafkaFault(error, `Following ${place}`) })
      }
    }
  }

  /** Learns who leads what is followed; what nobody leads is located again when somebody waits for it. */
  const locate = async (): Promise<void> => {
    for (const [place, one] of followed) {
      const leader = (await cluster.leaders(one.topic))?.[one.partition] ?? -1
      if (leader < 0) followed.delete(place)
      else if (leader !== one.node) {
        one.node = leader
        poll(leader)
      }
    }
  }

  const follow = async (node: number): Promise<void> => {
    for (let failures = 0; !closing.signal.aborted;) {
      const now = Date.now()
      for (const [place, one] of followed) if (now - one.usedAt > idleMs && !waiters.get(place)?.size) followed.delete(place)
      try {
        await locate()
        const own = [...followed.values()].filter((one) => one.node === node)
        if (own.length === 0) return
        await pollOnce(node, own)
        failures = 0
      } catch (error) {
        if (closing.signal.aborted) return
        for (const { topic } of followed.values()) cluster.doubt(topic)
        log.debug('kafka.poll_failed', { node, error: kafkaFault(error, 'Following Kafka') })
        await systemClock.sleep(backoff(failures++, 50, 2000), closing.signal).catch(() => undefined)
      }
    }
  }

  const poll = (node: number): void => {
    if (polling.has(node) || closing.signal.aborted) return
    polling.add(node)
    const loop = follow(node).finally(() => {
      polling.delete(node)
      loops.delete(loop)
      // One may have come while the loop was about to end.
      for (const one of followed.values()) poll(one.node)
      if (!polling.has(node)) cluster.leaveLane('follow', node)
    })
    loops.add(loop)
  }

  /** From now on the partition is followed, from where it ends. */
  const start = async (topic: string, partition: number): Promise<void> => {
    const place = `${topic}/${partition}`
    const leader = (await cluster.leaders(topic))?.[partition]
    if (leader === undefined) throw noTopic(topic, partition)
    const [next = -1] = await offsets(topic, [partition], LATEST)
    if (next < 0) return
    stable.set(place, next)
    followed.set(place, { topic, partition, node: leader, next, usedAt: Date.now() })
    wake(place)
    poll(leader)
  }

  const touch = (topic: string, partition: number): void => {
    const place = `${topic}/${partition}`
    const one = followed.get(place)
    if (one) {
      one.usedAt = Date.now()
      return
    }
    if (starting.has(place)) return
    const begun = start(topic, partition)
      .catch((error: unknown) => log.debug('kafka.follow_failed', { topic, partition, error: kafkaFault(error, `Following ${place}`) }))
      .finally(() => starting.delete(place))
    starting.set(place, begun)
  }

  return {
    offsets,

    async read(topic, partition, from, maxRecords, maxBytes) {
      const place = `${topic}/${partition}`
      const one = followed.get(place)
      if (one) one.usedAt = Date.now()
      const remembered = memory.read(place, from, maxRecords, maxBytes)
      if (remembered) return remembered
      const name = `${place}/${from}`
      // What is known to be there is fetched once for all who ask; at the end each asks for itself, since more may have come meanwhile.
      const shared = from < (stable.get(place) ?? 0)
      const fetched = (shared && fetching.get(name)) || fetchWithin(topic, partition, from, Math.min(maxBytes, READ_BYTES))
      if (shared) fetching.set(name, fetched)
      try {
        const run = await fetched
        memory.remember(place, run.batches[0] ? Math.min(from, run.batches[0].baseOffset) : from, run)
        return within(run, maxRecords, maxBytes)
      } finally {
        if (shared) fetching.delete(name)
      }
    },

    async wait(topic, partition, offset, signal, timeoutMs) {
      const place = `${topic}/${partition}`
      touch(topic, partition)
      if (followed.has(place) && (stable.get(place) ?? 0) > offset) return
      const waiting = waiters.get(place) ?? new Set()
      waiters.set(place, waiting)
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', done)
          closing.signal.removeEventListener('abort', done)
          waiting.delete(reached)
          if (waiting.size === 0 && waiters.get(place) === waiting) waiters.delete(place)
          resolve()
        }
        const reached = (): void => {
          if (!followed.has(place) || (stable.get(place) ?? 0) > offset) done()
        }
        const timer = setTimeout(done, timeoutMs)
        signal.addEventListener('abort', done, { once: true })
        closing.signal.addEventListener('abort', done, { once: true })
        waiting.add(reached)
      })
    },

    async close() {
      closing.abort()
      cluster.leaveLane('follow')
      await Promise.allSettled([...loops, ...starting.values()])
      memory.clear()
      followed.clear()
    },
  }
}
