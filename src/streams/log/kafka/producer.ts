/**
 * Appends without a mark. Kafka's idempotent producer numbers the batches of each partition, so that one whose answer was lost is sent
 * again and still stored once. Only when nobody answers for so long that the append is given up is it open whether it was stored; the
 * partition then gets a new producer, since its next number is not known either.
 */
import type { LagoaError } from '../../../base/index.ts'
import { layoutOf, type RecordBatch } from '../batch.ts'
import { brokerError, type Cluster } from './cluster.ts'
import { BrokerError, hasCode, isUndecided, partlyStored, tooLarge } from './faults.ts'
import { aloneSize, BATCH_OVERHEAD, encodeBatch, recordSize, type Writer } from './record-batch.ts'
import { requestProduce } from './wire.ts'
import type { Topics } from './topics.ts'

export interface Producer {
  /** Answers where the records are: in one piece, or in several that others' records may lie between. */
  append(topic: string, partition: number, batch: RecordBatch): Promise<readonly Piece[]>
}

/** How long an append whose fate is not known is sent again. */
const UNDECIDED_MS = 20_000
const DECIDED_MS = 3000
const BROKER_MS = 15_000
/** Brokers take no request of more than 100 MB, whatever a topic takes. */
const LARGEST_PIECE = 16 * 1024 * 1024

interface Numbering {
  readonly producer: bigint
  readonly epoch: number
  sequence: number
}

export function createProducer(cluster: Cluster, topics: Topics): Producer {
  const numberings = new Map<string, Numbering>()

  const begin = async (place: string): Promise<Numbering> => {
    const known = numberings.get(place)
    if (known) return known
    const { producerId, producerEpoch } = await cluster.at('main', 'any', (connection) =>
      cluster.library.initProducerIdV3.api.async(connection, null, 0, -1n, -1),
    )
    const fresh = { producer: producerId, epoch: producerEpoch, sequence: 0 }
    numberings.set(place, fresh)
    return fresh
  }

  const send = async (topic: string, partition: number, batch: RecordBatch, from: number, to: number): Promise<number> => {
    const place = `${topic}/${partition}`
    const doing = `Appending to ${place}`
    const fate = { isOpen: false }
    const tried = async (): Promise<number> => {
      const numbering = await begin(place)
      try {
        const offset = await produce(cluster, topic, partition, batch, from, to, { ...numbering, transactional: false }, null)
        numbering.sequence = nextSequence(numbering.sequence, to - from)
        return offset
      } catch (error) {
        if (isUndecided(error)) fate.isOpen = true
        if (!hasCode(error, ...NUMBERS_LOST)) throw error
        // The broker does not know these numbers, so it did not store the batch under them.
        numberings.delete(place)
        fate.isOpen = false
        throw new BrokerError('NOT_LEADER_OR_FOLLOWER')
      }
    }
    try {
      return await cluster.patiently(doing, tried, { ms: DECIDED_MS })
    } catch (error) {
      if (!fate.isOpen) throw error
      try {
        return await cluster.patiently(doing, tried, { ms: UNDECIDED_MS, whileAway: true })
      } catch (last) {
        numberings.delete(place)
        throw last
      }
    }
  }

  return {
    async append(topic, partition, batch) {
      const most = await cluster.patiently(`Appending to ${topic}/${partition}`, async () => {
        await cluster.require(topic, partition)
        return pieceSize(topics, topic, batch)
      })
      return inPieces(
        most,
        batch,
        (from, to) => send(topic, partition, batch, from, to),
        (bytes, stored) => (stored === 0 ? tooLarge(topic, bytes) : partlyStored(topic, bytes, stored)),
      )
    },
  }
}

const NUMBERS_LOST = ['OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID', 'INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED']

/** Sends records `from` to `to` as one record batch to the leader; answers their first offset. */
export async function produce(
  cluster: Cluster,
  topic: string,
  partition: number,
  batch: RecordBatch,
  from: number,
  to: number,
  writer: Writer,
  transactionalId: string | null,
): Promise<number> {
  const { library } = cluster
  const bytes = encodeBatch(library, batch, from, to, Date.now(), writer)
  const { error, baseOffset } = await cluster.atLeader('append', topic, partition, (connection) =>
    requestProduce(library, connection, { topic, partition }, bytes, transactionalId, BROKER_MS),
  )
  if (error !== 0) throw brokerError(library, error)
  return baseOffset
}

/** Numbers begin at 0 again after the largest of 31 bits. */
export function nextSequence(sequence: number, count: number): number {
  return Number((BigInt(sequence) + BigInt(count)) & 0x7fff_ffffn)
}

/** How large a piece of the batch may be; refuses, before anything is stored, what holds a record that the topic does not take. */
export async function pieceSize(topics: Topics, topic: string, batch: RecordBatch): Promise<number> {
  const { lengths } = layoutOf(batch)
  let largest = 0
  for (let i = 0; i < batch.count; i++) largest = Math.max(largest, aloneSize(lengths[i] ?? -1, lengths[batch.count + i] ?? 0))
  const known = await topics.largestBatch(topic)
  if (largest <= known.bytes || !known.isSure) return known.bytes
  // Somebody may have raised it since.
  const { bytes } = await topics.largestBatch(topic, 'anew')
  if (largest > bytes) throw tooLarge(topic, largest, bytes)
  return bytes
}

/** Records from the one with this number on, in one place. */
export interface Piece {
  readonly from: number
  readonly baseOffset: number
}

/**
 * The whole batch in one piece if the topic takes it, else in as few as it does, one after the other; answers where they begin. What
 * the broker finds too large all the same is halved; `refuse` says why the rest is not sent, by the size of the record that is too
 * large and how many before it were.
 */
export async function inPieces(
  largest: number,
  batch: RecordBatch,
  send: (from: number, to: number) => Promise<number>,
  refuse: (bytes: number, stored: number) => LagoaError,
): Promise<Piece[]> {
  const most = Math.min(largest, LARGEST_PIECE) - BATCH_OVERHEAD
  const { lengths } = layoutOf(batch)
  const { count } = batch
  const size = (i: number): number => recordSize(lengths[i] ?? -1, lengths[count + i] ?? 0)
  const pieces: Piece[] = []
  const halved = async (from: number, to: number): Promise<void> => {
    try {
      pieces.push({ from, baseOffset: await send(from, to) })
    } catch (error) {
      if (!hasCode(error, 'MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE')) throw error
      if (to - from === 1) throw refuse(size(from), from)
      const middle = (from + to) >>> 1
      await halved(from, middle)
      await halved(middle, to)
    }
  }
  for (let from = 0; from < count;) {
    let to = from + 1
    for (let bytes = size(from); to < count; to++) {
      bytes += size(to)
      if (bytes > most) break
    }
    await halved(from, to)
    from = to
  }
  return pieces
}
