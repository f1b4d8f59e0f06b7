/**
 * EventLog: topics of partitions of records, in the sense of Apache Kafka.
 *
 * Promises of every adapter:
 * - Ordering: within a partition records keep the order of this handle's `append` calls, also of calls that do not await each other, and
 *   have rising offsets; across partitions there is none. The records of one call stay together. An append of nothing is refused.
 *   Offsets have no gaps where `capabilities.denseOffsets`; elsewhere the engine puts marks of its own between records, and others may
 *   have written there. `ends` and `next` count those marks, too.
 * - Durability: when `append` answers, its records survive a crash of this process and of the engine.
 * - Idempotence: an append with `producer` whose `sequence` is not above the last one stored for that producer id adds nothing and answers
 *   `duplicate: true`. `producerState` gives the last stored sequence and note, so that a source can go on exactly where it stopped.
 *   The note is stored in the same transaction as the records where `capabilities.transactionalNotes`.
 * - Reading: `read` never skips a retained record and answers at once, with no batches at the end of the log. When records from
 *   `from` were dropped by retention, reading goes on at the earliest retained one (the answer shows it by its base offset). Where only
 *   marks are left before the end, the answer is one batch of no records, whose base offset is where to go on; it is beyond `from`.
 *   Records of a transaction that is open or was aborted are not read.
 * - Waiting: `wait` resolves when records at or beyond the offset may exist, after `timeoutMs` (a second at most), or when the signal aborts; it may wake early.
 * - Retention: whole batches are dropped, oldest first, once older than `retainMs` or while the partition is above `retainBytes`; never
 *   the newest. To the batch, and at once by `trim`, where `capabilities.exactRetention`.
 * - Backpressure is the caller's: at most `maxRecords` records (one batch at least) are in an answer.
 * - Unknown places: `append` to a topic or partition that does not exist rejects with `streams.no_topic`; reading calls find nothing there.
 * - Closing: after `close`, calls reject with `streams.log_closed`; waiting calls are released and `wait` answers at once.
 */
import type { RecordBatch } from './batch.ts'

export interface EventLog {
  readonly capabilities: EventLogCapabilities
  /** Creates the topic, or applies what may change (retention; more partitions). Fewer partitions are refused. */
  ensureTopic(topic: string, options: TopicOptions): Promise<void>
  topics(): Promise<string[]>
  append(
    topic: string,
    partition: number,
    batch: RecordBatch,
    options?: { readonly producer?: ProducerMark },
  ): Promise<{ readonly baseOffset: number; readonly duplicate: boolean }>
  producerState(topic: string, producerId: string): Promise<ProducerMark | null>
  /** The batch that holds `from` comes first, whole: skip the records before `from`. */
  read(topic: string, partition: number, from: number, options?: { readonly maxRecords?: number; readonly maxBytes?: number }): Promise<RecordBatch[]>
  wait(topic: string, partition: number, offset: number, options: { readonly signal: AbortSignal; readonly timeoutMs?: number }): Promise<void>
  /** The offset that the next record will get, by partition; cheap enough to ask several times a second. */
  ends(topic: string): Promise<number[]>
  offsets(topic: string): Promise<PartitionOffsets[]>
  /** The first offset whose record was appended at or after `time` (epoch ms); the next offset when there is none. */
  offsetAt(topic: string, partition: number, time: number): Promise<number>
  /** Applies retention now; answers how many batches were dropped. */
  trim(): Promise<number>
  close(): Promise<void>
}

export interface TopicOptions {
  readonly partitions: number
  readonly retainMs: number
  readonly retainBytes: number
}

export interface ProducerMark {
  readonly id: string
  /** Grows with every append of this producer. */
  readonly sequence: number
  /** Whatever the producer needs to resume, small. */
  readonly note?: Readonly<Record<string, unknown>>
}

export interface PartitionOffsets {
  readonly partition: number
  /** The first retained offset. */
  readonly earliest: number
  /** The offset that the next record will get. */
  readonly next: number
  readonly bytes: number
}

export interface EventLogCapabilities {
  readonly name: 'postgres' | 'kafka'
  readonly denseOffsets: boolean
  readonly transactionalNotes: boolean
  /** Whether `trim` drops batch by batch and at once; else the engine drops files of many batches when it comes to it. */
  readonly exactRetention: boolean
}
