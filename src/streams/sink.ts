/**
 * A sink is one consumer of a stream: the alert rules, the live cache, a bronze table, the dead letters.
 *
 * Each sink runs its own loop (a lane) over each partition with its own offset, so a sink that is down or slow holds up no other.
 * The lane promises: deliveries come in offset order without gaps, one at a time per partition; a delivery that fails is tried again
 * from the same offset, with back-off, for ever; the offset moves only after the delivery answered. After a crash a delivery may
 * come again, wholly or cut differently: a sink makes its effects and its offset one transaction (`commitIn`), or keeps its own
 * durable position (`position`), or is idempotent by (partition, offset).
 */
import type { Queryable } from '../storage/index.ts'
import type { Rows } from '../base/index.ts'

export interface Sink {
  /** Unique among the stream's sinks and stable for ever: offsets are kept under it. */
  readonly name: string
  readonly kind: 'alerts' | 'live' | 'table' | 'objects' | 'dead_letters'
  /** A delivery is due when this many records are pending or the oldest has waited this long. */
  readonly pace: { readonly records: number; readonly ms: number }
  /** A lane begins. Another node may have carried the partition meanwhile, so what is remembered of it may be out of date. */
  begin?(partition: number): void
  /** The next offset by what the sink has durably stored itself; null when the lane's own offset decides. */
  position?(partition: number): Promise<number | null>
  /** For a sink whose store may lose what it holds while the offsets stay; then `position`, where it has one, is how far all is there. */
  readonly refill?: Refill
  deliver(delivery: Delivery, signal: AbortSignal): Promise<void>
}

export interface Refill {
  /** Asked while nothing new comes: rejects when what was delivered up to there is gone, and the lane begins anew. */
  confirm(partition: number, upTo: number): Promise<void>
  /**
   * Takes what is needed of the stretches, the newest first, which end at `upTo`, beside deliveries of what comes after them. Resolves when
   * all is there again. Called when `position` answered null.
   */
  fill(partition: number, upTo: number, stretches: AsyncIterable<readonly DecodedBatch[]>, signal: AbortSignal): Promise<void>
}

/** Consecutive records [from, upTo) of one partition. */
export interface Delivery {
  readonly stream: string
  readonly partition: number
  readonly from: number
  readonly upTo: number
  readonly batches: readonly DecodedBatch[]
  /**
   * Moves this sink's offset from `from` to `upTo` inside a transaction of the sink's own; the lane then does not do it again.
   * Rejects with kind conflict when the offset was moved by somebody else meanwhile: let it roll back.
   */
  commitIn(tx: Queryable): Promise<void>
}

/** A stretch of the log after decoding and validation. Readers never change it: sinks share it. */
export interface DecodedBatch {
  readonly from: number
  readonly upTo: number
  /** Epoch milliseconds at which the log took these records. */
  readonly appendedAt: number
  /** The valid records by column, in offset order, columns in schema order. */
  readonly rows: Rows
  /** The offset of each row. */
  readonly offsets: Float64Array
  readonly bad: readonly BadRecord[]
  /** Fields that records carried and the schema does not know: they are dropped, and told of. Absent when there are none. */
  readonly unknown?: ReadonlyMap<string, UnknownField>
}

export interface UnknownField {
  readonly count: number
  /** The offset of the first record that carried it. */
  readonly first: number
  /** Some of its values, long ones cut. */
  readonly samples: readonly unknown[]
}

export interface BadRecord {
  readonly offset: number
  readonly key: string | null
  readonly value: Uint8Array
  readonly code: string
  readonly reason: string
}
