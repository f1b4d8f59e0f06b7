/**
 * One connection to a broker that speaks AMQP 0-9-1. The only file that knows the client library. A method that the broker refuses closes
 * its channel, so each call has a channel of its own, but for publishing, whose channel is kept while it works.
 */
import type { Channel, ChannelModel, ConfirmChannel, GetMessage } from 'amqplib'
import { idFrom, invalid, type LagoaError, missing, systemClock, unavailable } from '../../../base/index.ts'
import { authorities } from '../../../storage/index.ts'
import type { QueueMessage } from '../port.ts'
import { rabbitAway, rabbitFault, replyCode, vhostFault } from './faults.ts'

export interface RabbitPlace {
  readonly protocol: 'amqp' | 'amqps'
  readonly host: string
  readonly port: number
  /** `host:port`, for messages. */
  readonly address: string
  readonly user: string
  readonly password: string
  /** As the address writes it, with its escapes. */
  readonly vhost: string
  /** The authorities to trust; undefined for those of Node. */
  readonly ca?: readonly string[]
}

const CONNECT_MS = 5_000
/** A broker that says nothing for two of these is away. */
const HEARTBEAT_S = 10
const CONFIRM_MS = 30_000
const CLOSE_MS = 2_000
/** Messages and characters that are on their way without a confirm. */
const WINDOW_MESSAGES = 1_000
const WINDOW_LENGTH = 4_000_000

/** `amqp://user:password@host:5672/vhost`, `amqps://` for TLS. */
export async function rabbitPlace(url: string, ca: string | undefined): Promise<RabbitPlace> {
  const parsed = URL.canParse(url) ? new URL(url) : null
  const secure = parsed?.protocol === 'amqps:'
  if (parsed === null || !(secure || parsed.protocol === 'amqp:') || parsed.hostname === '' || parsed.search !== '' || parsed.pathname.slice(1).includes('/'))
    throw invalid('alerts.rabbitmq_url', 'rabbitmq.url is no address of a RabbitMQ broker', {
      hint: 'Write it as amqp://user:password@host:5672/vhost, or amqps:// for TLS (rabbitmq.url, LAGOA_RABBITMQ__URL). In a password or vhost, write / as %2F, @ as %40 and # as %23.',
    })
  if (ca !== undefined && !secure)
    throw invalid('alerts.rabbitmq_url', 'rabbitmq.ca is set, but rabbitmq.url asks for no TLS', {
      hint: 'Write amqps:// instead of amqp:// in rabbitmq.url, or leave rabbitmq.ca out.',
    })
  const port = Number(parsed.port || (secure ? 5671 : 5672))
  return {
    protocol: secure ? 'amqps' : 'amqp',
    host: parsed.hostname.replace(/^\[|\]$/g, ''),
    port,
    address: `${parsed.hostname}:${port}`,
    user: parsed.username === '' ? 'guest' : decoded(parsed.username),
    password: parsed.username === '' && parsed.password === '' ? 'guest' : decoded(parsed.password),
    vhost: parsed.pathname.slice(1),
    ...(ca === undefined ? {} : { ca: await authorities(ca, 'rabbitmq.ca') }),
  }
}

export async function connectRabbit(place: RabbitPlace, lost: (why: LagoaError) => void, signal: AbortSignal): Promise<RabbitConnection> {
  const { connect } = await import('amqplib')
  const { protocol, host, port, user, password, vhost, ca, address } = place
  let model: ChannelModel
  try {
    model = await connect(
      { protocol, hostname: host, port, username: user, password, vhost, heartbeat: HEARTBEAT_S },
      {
        ...(ca === undefined ? {} : { ca: [...ca] }),
        noDelay: true,
        keepAlive: true,
        timeout: CONNECT_MS,
        clientProperties: { connection_name: 'lagoa' },
      },
    )
  } catch (error) {
    throw vhostFault(error, address, vhost === '' ? '/' : decoded(vhost)) ?? rabbitFault(error, address)
  }
  const connection = new RabbitConnection(model, address, lost)
  if (!signal.aborted) return connection
  await connection.close()
  throw rabbitAway(address, 'this process stopped waiting')
}

export class RabbitConnection {
  readonly #model: ChannelModel
  readonly #address: string
  readonly #lost: (why: LagoaError) => void
  #publisher: Promise<Publisher> | null = null
  #isBlocked: string | null = null

  constructor(model: ChannelModel, address: string, lost: (why: LagoaError) => void) {
    this.#model = model
    this.#address = address
    this.#lost = lost
    let reason: Error | null = null
    model.on('error', (error) => (reason = error))
    model.on('close', () => lost(reason === null ? rabbitAway(address, 'it ended the connection') : rabbitFault(reason, address)))
    model.on('blocked', (why) => {
      this.#isBlocked = why
    })
    model.on('unblocked', () => {
      this.#isBlocked = null
    })
  }

  async ping(): Promise<void> {
    await this.#onChannel(async () => undefined)
  }

  /** How many messages wait; null when there is no such queue. */
  async count(queue: string): Promise<number | null> {
    return this.#whereThereIs(async (channel) => (await channel.checkQueue(queue)).messageCount)
  }

  /**
   * Makes a queue, or finds out whether the one that is there is as durable: the broker compares this first, so a refusal for another
   * reason means that it is. Neither attempt changes a queue.
   *
   * RabbitMQ answers before it has written down that there is a new queue, and when it is killed in the next two seconds the queue is gone with
   * messages that were confirmed. So a new queue is given `settleMs`, and is ready if the same connection still finds it then.
   */
  async declare(queue: string, durable: boolean, settleMs: number): Promise<void> {
    const isThere = (await this.count(queue)) !== null
    try {
      await this.#onChannel((channel) => channel.assertQueue(queue, { durable }))
      if (isThere || !durable || settleMs === 0) return
      await systemClock.sleep(settleMs)
      await this.#onChannel((channel) => channel.checkQueue(queue))
    } catch (error) {
      const fault = rabbitFault(error, this.#address)
      if (!isThere || (fault.kind !== 'conflict' && fault.kind !== 'denied')) throw fault
      if (/inequivalent arg 'durable'/.test(fault.message)) throw fault
    }
  }

  async take(queue: string): Promise<QueueMessage | null> {
    return this.#whereThereIs(async (channel) => {
      const message = await channel.get(queue)
      if (message === false) return null
      channel.ack(message)
      return messageOf(queue, message)
    })
  }

  /** The messages go back where they were when the channel closes, whatever happens. */
  async peek(queue: string, limit: number): Promise<QueueMessage[]> {
    const found = await this.#whereThereIs(async (channel) => {
      const messages: QueueMessage[] = []
      while (messages.length < limit) {
        const message = await channel.get(queue)
        if (message === false) break
        messages.push(messageOf(queue, message))
      }
      if (messages.length > 0) channel.nackAll(true)
      return messages
    })
    return found ?? []
  }

  /** One call at a time. Resolves when the broker has taken responsibility for all messages. */
  async publish(queue: string, messages: readonly QueueMessage[]): Promise<void> {
    const publisher = await this.#openPublisher()
    try {
      for (const window of windows(messages)) await this.#publishWindow(publisher, queue, window)
    } catch (error) {
      // What else comes on this channel belongs to messages that nobody waits for any more.
      this.#publisher = null
      publisher.channel.close().catch(() => undefined)
      throw rabbitFault(publisher.reason() ?? error, this.#address)
    }
  }

  /** A broker that does not answer is left. */
  async close(): Promise<void> {
    const patience = new AbortController()
    const closed = this.#model.close().catch(() => undefined)
    await Promise.race([closed, systemClock.sleep(CLOSE_MS, patience.signal).catch(() => undefined)])
    patience.abort()
  }

  async #publishWindow({ channel, returned }: Publisher, queue: string, messages: readonly QueueMessage[]): Promise<void> {
    returned.length = 0
    for (const { id, body, headers } of messages)
      channel.publish('', queue, Buffer.from(body), {
        messageId: id,
        contentType: 'application/json',
        persistent: true,
        mandatory: true,
        ...(headers === undefined ? {} : { headers: { ...headers } }),
      })
    await this.#confirmed(channel.waitForConfirms())
    // The broker returns what it cannot route before it confirms it.
    if (returned.length > 0)
      throw missing('alerts.queue_missing', `RabbitMQ at ${this.#address} has no queue "${queue}"`, {
        hint: `Send a rule's alerts to it, as in to: [queue('${queue}')], or declare it first.`,
      })
  }

  /** A broker without memory or disk to spare reads nothing from those who publish, and says so once. */
  async #confirmed(confirms: Promise<void>): Promise<void> {
    const stop = new AbortController()
    const late = new Promise<never>((_, reject) => {
      const began = performance.now()
      const timer = setInterval(() => {
        if (this.#isBlocked === null && performance.now() - began < CONFIRM_MS) return
        const fault =
          this.#isBlocked === null
            ? rabbitAway(this.#address, `no confirm within ${CONFIRM_MS / 1000} s`)
            : unavailable('alerts.rabbitmq_blocked', `RabbitMQ at ${this.#address} accepts no messages now: ${this.#isBlocked}`, {
                hint: 'Its alarm says what is short: rabbitmq-diagnostics alarms',
              })
        this.#lost(fault)
        reject(fault)
      }, 50)
      stop.signal.addEventListener('abort', () => clearInterval(timer), { once: true })
    })
    try {
      await Promise.race([confirms, late])
    } catch (error) {
      if (error instanceof Error && error.message === 'message nacked')
        throw unavailable('alerts.queue_full', `RabbitMQ at ${this.#address} refused a message; mostly the queue has all it may hold`, {
          hint: 'Take messages from the queue, or raise its max-length.',
          cause: error,
        })
      throw error
    } finally {
      confirms.catch(() => undefined)
      stop.abort()
    }
  }

  #openPublisher(): Promise<Publisher> {
    this.#publisher ??= openPublisher(this.#model).catch((error: unknown) => {
      this.#publisher = null
      throw rabbitFault(error, this.#address)
    })
    return this.#publisher
  }

  /** Null where the queue is not there. */
  async #whereThereIs<T>(use: (channel: Channel) => Promise<T>): Promise<T | null> {
    try {
      return await this.#onChannel(use)
    } catch (error) {
      if (replyCode(error) === 404) return null
      throw rabbitFault(error, this.#address)
    }
  }

  async #onChannel<T>(use: (channel: Channel) => Promise<T>): Promise<T> {
    const channel = await this.#model.createChannel()
    channel.on('error', () => undefined)
    try {
      const result = await use(channel)
      // What was acknowledged or given back is so when the broker has answered this.
      await channel.close()
      return result
    } catch (error) {
      channel.close().catch(() => undefined)
      throw error
    }
  }
}

interface Publisher {
  readonly channel: ConfirmChannel
  /** Ids of what came back since the last time this was emptied. */
  readonly returned: unknown[]
  /** Why the broker closed the channel. */
  reason(): Error | null
}

async function openPublisher(model: ChannelModel): Promise<Publisher> {
  const channel = await model.createConfirmChannel()
  const returned: unknown[] = []
  let reason: Error | null = null
  channel.on('error', (error) => (reason = error))
  channel.on('return', (message) => returned.push(message.properties.messageId))
  return { channel, returned, reason: () => reason }
}

function* windows(messages: readonly QueueMessage[]): Generator<QueueMessage[]> {
  let window: QueueMessage[] = []
  let length = 0
  for (const message of messages) {
    if (window.length > 0 && (window.length >= WINDOW_MESSAGES || length + message.body.length > WINDOW_LENGTH)) {
      yield window
      window = []
      length = 0
    }
    window.push(message)
    length += message.body.length
  }
  if (window.length > 0) yield window
}

/** What strangers publish may have no id: then it is made of what they said, so that a repetition has it, too. */
function messageOf(queue: string, { content, properties }: GetMessage): QueueMessage {
  const body = content.toString('utf8')
  const given: unknown = properties.messageId
  const headers = Object.entries(properties.headers ?? {}).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const)
  return {
    id: typeof given === 'string' && given !== '' ? given : idFrom(queue, body),
    body,
    ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) }),
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
