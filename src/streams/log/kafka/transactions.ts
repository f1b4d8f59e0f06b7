/**
 * Appends with a mark. The records and the mark are one Kafka transaction, whose name belongs to the topic and the producer: to begin
 * one is to end what another process left open under that name, and to shut that process out. Only then is the last mark read, so what
 * is decided from it cannot be overtaken. Where a piece cannot be stored or the end cannot be told, the next try begins there again.
 */
import { backoff, LagoaError, systemClock } from '../../../base/index.ts'
import type { Appended } from '../append-queue.ts'
import { encodeJson, type RecordBatch } from '../batch.ts'
import type { ProducerMark } from '../port.ts'
import type { Cluster, Node } from './cluster.ts'
import { hasCode, isPassing, kafkaFault, tooLarge } from './faults.ts'
import { createMarks, markKey, MARKS_TOPIC, producerMark, type Marks, type StoredMark } from './marks.ts'
import { inPieces, nextSequence, pieceSize, produce } from './producer.ts'
import { LATEST, type Reader } from './reader.ts'
import type { Topics } from './topics.ts'

export interface Transactions {
  append(topic: string, partition: number, batch: RecordBatch, mark: ProducerMark): Promise<Appended>
  state(topic: string, id: string): Promise<ProducerMark | null>
}

/** How long a transaction that nobody ends may hold up readers; the largest append takes a fraction of it. */
const TIMEOUT_MS = 15_000
const PATIENCE_MS = 20_000
const VISIBLE_MS = 2000
/** How often a piece is sent before its transaction is given up. */
const MOST_WRITES = 8
/** Producers of which it is remembered where they stand; of others it is read again. */
const MOST_REMEMBERED = 1000

/** The name under which this process may write. */
interface Session {
  readonly name: string
  readonly coordinator: Node
  readonly producer: bigint
  readonly epoch: number
  readonly sequences: Map<string, number>
  last: StoredMark | null
}

interface Slot {
  session: Session | null
  turn: Promise<unknown>
  busy: number
}

export function createTransactions(cluster: Cluster, topics: Topics, reader: Reader): Transactions {
  const { library } = cluster
  const marks = createMarks(cluster)
  const slots = new Map<string, Slot>()

  const begin = async (topic: string, id: string): Promise<Session> => {
    const name = transactionalId(topic, id)
    const { coordinators } = await cluster.at('transactions', 'any', (connection) => library.findCoordinatorV2.api.async(connection, 1, [name]))
    const coordinator = coordinators[0]?.nodeId ?? 'any'
    const { producerId, producerEpoch } = await settled(() =>
      cluster.at('transactions', coordinator, (connection) => library.initProducerIdV3.api.async(connection, name, TIMEOUT_MS, -1n, -1)),
    )
    return { name, coordinator, producer: producerId, epoch: producerEpoch, sequences: new Map(), last: await marks.latest(topic, id) }
  }

  const join = (session: Session, topic: string, partition: number): Promise<unknown> => {
    const transaction = {
      transactionalId: session.name,
      producerId: session.producer,
      producerEpoch: session.epoch,
      verifyOnly: false,
      topics: [
        { name: topic, partitions: [partition] },
        { name: MARKS_TOPIC, partitions: [0] },
      ],
    }
    return settled(() => cluster.at('transactions', session.coordinator, (connection) => library.addPartitionsToTxnV1.api.async(connection, [transaction])))
  }

  const end = (session: Session, isCommit: boolean): Promise<unknown> =>
    cluster.at('transactions', session.coordinator, (connection) =>
      library.endTxnV1.api.async(connection, session.name, session.producer, session.epoch, isCommit),
    )

  /** Sent again, a piece has the same number and is stored once; a new topic needs that, whose leader does not know of it yet. */
  const write = async (session: Session, topic: string, partition: number, batch: RecordBatch, from: number, to: number): Promise<number> => {
    const place = `${topic}/${partition}`
    const sequence = session.sequences.get(place) ?? 0
    const writer = { producer: session.producer, epoch: session.epoch, sequence, transactional: true }
    for (let attempt = 1; ; attempt++) {
      try {
        const offset = await produce(cluster, topic, partition, batch, from, to, writer, session.name)
        session.sequences.set(place, nextSequence(sequence, to - from))
        return offset
      } catch (error) {
        if (!isPassing(error) || attempt === MOST_WRITES) throw error
        await systemClock.sleep(backoff(attempt, 10, 500))
      }
    }
  }

  /** One try; `attempted` is where an earlier one of the same append put its records, if it came so far. */
  const tryOnce = async (
    slot: Slot,
    topic: string,
    partition: number,
    batch: RecordBatch,
    mark: ProducerMark,
    attempted: { baseOffset: number; next: number },
  ): Promise<Appended> => {
    const session = slot.session ?? (await begin(topic, mark.id))
    slot.session = session
    const { last } = session
    if (last && mark.sequence <= last.sequence) {
      // The answer to the end of our own transaction was lost, and it was committed.
      const isOurs = last.sequence === mark.sequence && last.partition === partition && last.next === attempted.next
      return isOurs ? { baseOffset: attempted.baseOffset, duplicate: false } : { baseOffset: -1, duplicate: true }
    }
    const largest = await pieceSize(topics, topic, batch)
    slot.session = null
    try {
      await join(session, topic, partition)
      const pieces = await inPieces(
        largest,
        batch,
        (from, to) => write(session, topic, partition, batch, from, to),
        (bytes) => tooLarge(topic, bytes),
      )
      const [first, last] = [pieces[0], pieces.at(-1)]
      const baseOffset = first?.baseOffset ?? -1
      const next = last ? last.baseOffset + batch.count - last.from : -1
      const stored = { sequence: mark.sequence, ...(mark.note ? { note: mark.note } : {}), partition, next }
      await write(session, MARKS_TOPIC, 0, encodeJson([markKey(topic, mark.id)], [JSON.stringify(stored)]), 0, 1)
      attempted.baseOffset = baseOffset
      attempted.next = next
      await end(session, true)
      session.last = stored
      slot.session = session
      return { baseOffset, duplicate: false }
    } catch (error) {
      // What is not tried again must not hold up the partition's readers until it times out.
      if (!isPassing(error) && !isFenced(error)) await end(session, false).catch(() => undefined)
      throw error
    }
  }

  const append: Transactions['append'] = async (topic, partition, batch, mark) => {
    const doing = `Appending to ${topic}/${partition}`
    const slot = slotOf(slots, markKey(topic, mark.id))
    const attempted = { baseOffset: -1, next: -1 }
    const deadline = Date.now() + PATIENCE_MS
    for (let attempt = 0; ; attempt++) {
      try {
        await cluster.require(topic, partition)
        await topics.ensureCompacted(MARKS_TOPIC)
        const appended = await tryOnce(slot, topic, partition, batch, mark, attempted)
        if (!appended.duplicate) {
          await visible(reader, topic, partition, attempted.next)
          await marked(marks, topic, mark)
        }
        return appended
      } catch (error) {
        if (error instanceof LagoaError || !(isPassing(error) || isFenced(error)) || Date.now() >= deadline) throw kafkaFault(error, doing)
        // Two who shut each other out must not keep in step.
        await systemClock.sleep(backoff(attempt, 10, 1000) * Math.random())
      }
    }
  }

  return {
    /** Appends of one producer wait for each other, also in different partitions. */
    append(topic, partition, batch, mark) {
      const slot = slotOf(slots, markKey(topic, mark.id))
      slot.busy++
      const done = slot.turn.then(() => append(topic, partition, batch, mark)).finally(() => slot.busy--)
      slot.turn = done.catch(() => undefined)
      return done
    },

    async state(topic, id) {
      const doing = `Reading where producer ${id} of ${topic} stopped`
      const mark = await cluster.patiently(doing, () => marks.latest(topic, id))
      if (!mark) return null
      await cluster.patiently(doing, () => visible(reader, topic, mark.partition, mark.next))
      return producerMark(id, mark)
    },
  }
}

/** The slash cannot be in a topic's name, so no two producers share a name. */
function transactionalId(topic: string, id: string): string {
  return `lagoa.${topic}/${id}`
}

const FENCED = [
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_TXN_STATE',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'PRODUCER_FENCED',
  'TRANSACTION_ABORTABLE',
  'UNKNOWN_PRODUCER_ID',
  // A broker can say no more than this to one that is shut out just as it writes; a new session settles what became of it.
  'UNKNOWN_SERVER_ERROR',
]

/** Another process, or the transaction's time-out, took the name from us. */
function isFenced(error: unknown): boolean {
  return hasCode(error, ...FENCED)
}

/** The transaction before is decided, but its marks are still being written. */
async function settled<T>(request: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await request()
    } catch (error) {
      if (attempt > 200 || !hasCode(error, 'CONCURRENT_TRANSACTIONS')) throw error
      await systemClock.sleep(backoff(attempt, 2, 50))
    }
  }
}

/**
 * Waits until readers see what was committed, which is a moment after its transaction ended. Where another open transaction holds them
 * up, or the topic was made anew, there is no point in waiting.
 */
async function visible(reader: Reader, topic: string, partition: number, next: number): Promise<void> {
  const deadline = Date.now() + VISIBLE_MS
  for (let attempt = 0; Date.now() < deadline; attempt++) {
    const [end = -1] = await reader.offsets(topic, [partition], LATEST)
    if (end >= next) return
    const [written = -1] = await reader.offsets(topic, [partition], LATEST, false)
    if (written < next) return
    await systemClock.sleep(backoff(attempt, 1, 50))
  }
}

/** Waits until the mark itself is read as committed: each partition is told of the transaction's end on its own. */
async function marked(marks: Marks, topic: string, { id, sequence }: ProducerMark): Promise<void> {
  const deadline = Date.now() + VISIBLE_MS
  for (let attempt = 0; Date.now() < deadline; attempt++) {
    if (((await marks.latest(topic, id))?.sequence ?? Number.NEGATIVE_INFINITY) >= sequence) return
    await systemClock.sleep(backoff(attempt, 1, 50))
  }
}

function slotOf(slots: Map<string, Slot>, key: string): Slot {
  const known = slots.get(key)
  if (known) return known
  if (slots.size >= MOST_REMEMBERED) for (const [idle, { busy }] of slots) if (busy === 0 && slots.delete(idle)) break
  const fresh: Slot = { session: null, turn: Promise.resolve(), busy: 0 }
  slots.set(key, fresh)
  return fresh
}
