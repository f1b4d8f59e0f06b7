/**
 * Queue: named queues of messages, in the sense of AMQP's basic methods. Where alerts leave Lagoa.
 *
 * Promises of every adapter:
 * - Declaring: `declare` makes a queue that is not there and does nothing to one that is. An engine that cannot change whether a queue is
 *   durable rejects a declaration that differs with kind `conflict`.
 * - Confirm: when `publish` answers, every message of the call is in its queue, and survives a crash of this process; in a durable queue
 *   also one of the engine. To a queue that is not there it rejects with `alerts.queue_missing`, and stores nothing.
 * - At least once: a `publish` that failed may have stored its messages or some of them; the caller publishes the same ids again. Where
 *   `capabilities.remembersIds`, an id that the queue had within that many milliseconds is not stored twice, even when it was taken
 *   meanwhile; elsewhere consumers tell repetitions by the id.
 * - Ordering: messages of one caller that awaits its calls keep their order. A message that a broken consumer gave back may come later.
 * - Taking: `take` removes the oldest message and answers it, null when there is none. It is gone even if the caller then fails. Two
 *   callers never get the same message.
 * - Looking: `peek` answers the oldest messages and leaves them in place; it may mark them as redelivered, and takers may not see them
 *   while it looks.
 * - Counting: `count` is the messages waiting now; `total` those ever stored, as far as the engine knows. Both are 0 for a queue that is
 *   not there, as `take` is null and `peek` empty.
 * - Closing: after `close`, calls reject with `alerts.queue_closed`; it waits for calls under way, and is safe to call twice.
 * - When the engine is away, calls reject with kind `unavailable`; the caller decides about retries.
 */
import type { Queryable } from '../../storage/index.ts'

export interface Queue {
  readonly capabilities: QueueCapabilities
  declare(queue: string, options: { readonly durable: boolean }): Promise<void>
  publish(queue: string, messages: readonly QueueMessage[]): Promise<void>
  /** `publish` as part of a transaction in the database of the records, where the queues live there. */
  publishIn?(tx: Queryable, queue: string, messages: readonly QueueMessage[]): Promise<void>
  take(queue: string): Promise<QueueMessage | null>
  peek(queue: string, limit: number): Promise<QueueMessage[]>
  count(queue: string): Promise<number>
  total(queue: string): Promise<number>
  /** Rejects when the engine does not answer. */
  ping(): Promise<void>
  /** When an engine that is away is tried next; absent where each call tries by itself. */
  retryAt?(): number | null
  close(): Promise<void>
}

export interface QueueMessage {
  /** Unique in its queue; the same whenever the same thing is said again. */
  readonly id: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface QueueCapabilities {
  readonly name: 'postgres' | 'rabbitmq'
  /** For how long a queue knows the ids it had, in ms; 0 when it does not. */
  readonly remembersIds: number
  /** `peek` leaves no trace and hides nothing. */
  readonly peeksSilently: boolean
  /** Whether durability of an existing queue can be changed by `declare`. */
  readonly changesDurability: boolean
}
