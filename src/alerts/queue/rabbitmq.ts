/**
 * Queues of RabbitMQ. Messages go through the default exchange to the queue of that name, persistent and with their id as `message_id`; the
 * body is the JSON as it is, so any AMQP consumer reads it. The broker remembers no ids: consumers tell repetitions by them.
 */
import { type Log, unavailable } from '../../base/index.ts'
import { openLasting } from '../../storage/index.ts'
import type { Queue, QueueMessage } from './port.ts'
import { connectRabbit, rabbitPlace, type RabbitConnection } from './rabbitmq/connection.ts'

export interface RabbitQueueOptions {
  /** `amqp://user:password@host:5672/vhost`, `amqps://` for TLS. */
  readonly url: string
  /** A PEM file with the authority that signed the broker's certificate, beside the public ones. */
  readonly ca?: string
  /** How long a durable queue that was just made waits before it is used, in ms: the broker writes down with a delay that it is there. Default 3000. */
  readonly settleMs?: number
  readonly log: Log
}

const SETTLE_MS = 3_000

/** A broker that is away, or that refuses us, is told by the calls: they reject until it is there, and it is tried for ever. */
export async function openRabbitQueue({ url, ca, settleMs = SETTLE_MS, log }: RabbitQueueOptions): Promise<Queue> {
  const place = await rabbitPlace(url, ca)
  const broker = await openLasting<RabbitConnection>({
    engine: 'rabbitmq',
    connect: (lost, signal) => connectRabbit(place, lost, signal),
    end: (connection) => connection.close(),
    closed: () => unavailable('alerts.queue_closed', 'The queues are closed', { hint: 'Start Lagoa again: lagoa start' }),
    log,
  })
  const running = new Set<Promise<unknown>>()
  let closed = false
  /** AMQP does not tell how many messages a queue has had: what this process published, which is at least something. */
  const published = new Map<string, number>()
  /** Confirms of two batches on one channel could not be told apart. */
  let turn: Promise<unknown> = Promise.resolve()

  async function call<T>(work: (broker: RabbitConnection) => Promise<T>): Promise<T> {
    if (closed) throw unavailable('alerts.queue_closed', 'The queues are closed', { hint: 'Start Lagoa again: lagoa start' })
    const promise = broker.use().then(work)
    running.add(promise)
    try {
      return await promise
    } finally {
      running.delete(promise)
    }
  }

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = turn.then(work, work)
    turn = next.catch(() => undefined)
    return next
  }

  async function publish(queue: string, messages: readonly QueueMessage[]): Promise<void> {
    await inTurn(() => call((connection) => connection.publish(queue, messages)))
    published.set(queue, (published.get(queue) ?? 0) + messages.length)
  }

  return {
    capabilities: { name: 'rabbitmq', remembersIds: 0, peeksSilently: false, changesDurability: false },
    declare: (queue, { durable }) => call((connection) => connection.declare(queue, durable, settleMs)),
    publish,
    take: (queue) => call((connection) => connection.take(queue)),
    peek: (queue, limit) => call((connection) => connection.peek(queue, limit)),
    count: (queue) => call(async (connection) => (await connection.count(queue)) ?? 0),
    total: (queue) =>
      call(async (connection) => {
        const waiting = await connection.count(queue)
        return waiting === null ? 0 : Math.max(waiting, published.get(queue) ?? 0)
      }),
    ping: () => call((connection) => connection.ping()),
    retryAt: () => broker.retryAt(),
    close: async () => {
      closed = true
      await Promise.allSettled(running)
      await broker.close()
    },
  }
}
