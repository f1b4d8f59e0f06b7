/**
 * Three requests of the Kafka protocol in bytes: Metadata v8, Produce v8 and Fetch v11, which every broker from 2.4 to 4.x speaks. They
 * are ours because here record batches go through as bytes, and an error code of one partition is an answer, not the end of the others.
 * (https://kafka.apache.org/protocol)
 */
import type { Connection, Writer } from '@platformatic/kafka'

export type Library = typeof import('@platformatic/kafka')

const PRODUCE = { key: 0, version: 8 }
const FETCH = { key: 1, version: 11 }
const METADATA = { key: 3, version: 8 }

export interface ClusterMetadata {
  readonly brokers: readonly { readonly node: number; readonly host: string; readonly port: number }[]
  readonly controller: number
  readonly topics: readonly TopicMetadata[]
}

export interface TopicMetadata {
  readonly error: number
  readonly name: string
  readonly internal: boolean
  readonly partitions: readonly { readonly partition: number; readonly leader: number }[]
}

/** Of these topics, or of all; never creates one. */
export function requestMetadata(library: Library, connection: Connection, topics: readonly string[] | null): Promise<ClusterMetadata> {
  const body = library.Writer.create()
    .appendArray(topics === null ? null : [...topics], (writer, topic) => writer.appendString(topic, false), false, false)
    .appendBoolean(false)
    .appendBoolean(false)
    .appendBoolean(false)
  return send(connection, METADATA, body, (bytes) => {
    const cursor = new Cursor(bytes)
    cursor.int32()
    const brokers = cursor.array(() => {
      const broker = { node: cursor.int32(), host: cursor.string() ?? '', port: cursor.int32() }
      cursor.string()
      return broker
    })
    cursor.string()
    const controller = cursor.int32()
    const topicsFound = cursor.array(() => {
      const topic = {
        error: cursor.int16(),
        name: cursor.string() ?? '',
        internal: cursor.boolean(),
        partitions: cursor.array(() => {
          cursor.int16()
          const partition = { partition: cursor.int32(), leader: cursor.int32() }
          cursor.int32()
          for (let nodes = 0; nodes < 3; nodes++) cursor.array(() => cursor.int32())
          return partition
        }),
      }
      cursor.int32()
      return topic
    })
    return { brokers, controller, topics: topicsFound }
  })
}

export interface Produced {
  readonly error: number
  readonly baseOffset: number
}

/** One record batch, already encoded, for one partition; answered when all replicas in sync have it. */
export function requestProduce(
  library: Library,
  connection: Connection,
  place: { readonly topic: string; readonly partition: number },
  batch: Buffer,
  transactionalId: string | null,
  timeoutMs: number,
): Promise<Produced> {
  const body = library.Writer.create()
    .appendString(transactionalId, false)
    .appendInt16(-1)
    .appendInt32(timeoutMs)
    .appendInt32(1)
    .appendString(place.topic, false)
    .appendInt32(1)
    .appendInt32(place.partition)
    .appendInt32(batch.length)
    .append(batch)
  return send(connection, PRODUCE, body, (bytes) => {
    const cursor = new Cursor(bytes)
    const [produced] = cursor
      .array(() => {
        cursor.string()
        return cursor.array(() => {
          cursor.int32()
          const one = { error: cursor.int16(), baseOffset: cursor.int64() }
          cursor.int64()
          cursor.int64()
          cursor.array(() => [cursor.int32(), cursor.string()])
          cursor.string()
          return one
        })
      })
      .flat()
    if (!produced) throw new RangeError('A produce response names no partition')
    return produced
  })
}

export interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly from: number
}

export interface FetchOptions {
  /** How long the broker may wait for the first record. */
  readonly waitMs: number
  readonly maxBytes: number
  readonly maxPartitionBytes: number
  /** Only what belongs to no open or aborted transaction. */
  readonly committed: boolean
}

export interface Fetched {
  readonly topic: string
  readonly partition: number
  readonly error: number
  /** Where the partition ends, records of open transactions included. */
  readonly highWatermark: number
  /** Below this every transaction is decided; -1 when the broker does not tell. */
  readonly lastStable: number
  readonly aborted: readonly AbortedTransaction[]
  /** Record batches as stored; the last one may be cut off. */
  readonly records: Buffer
}

export interface AbortedTransaction {
  readonly producer: number
  readonly firstOffset: number
}

export function requestFetch(library: Library, connection: Connection, wanted: readonly Wanted[], options: FetchOptions): Promise<Fetched[]> {
  const topics = Map.groupBy(wanted, ({ topic }) => topic)
  const body = library.Writer.create()
    .appendInt32(-1)
    .appendInt32(options.waitMs)
    .appendInt32(1)
    .appendInt32(options.maxBytes)
    .appendInt8(options.committed ? 1 : 0)
    // No fetch session: each request says all that it wants.
    .appendInt32(0)
    .appendInt32(-1)
    .appendInt32(topics.size)
  for (const [topic, partitions] of topics) {
    body.appendString(topic, false).appendInt32(partitions.length)
    for (const { partition, from } of partitions)
      body.appendInt32(partition).appendInt32(-1).appendInt64(BigInt(from)).appendInt64(-1n).appendInt32(options.maxPartitionBytes)
  }
  body.appendInt32(0).appendString('', false)
  return send(connection, FETCH, body, (bytes) => {
    const cursor = new Cursor(bytes)
    cursor.int32()
    const failure = cursor.int16()
    cursor.int32()
    const fetched = cursor
      .array(() => {
        const topic = cursor.string() ?? ''
        return cursor.array((): Fetched => {
          const partition = cursor.int32()
          const error = cursor.int16()
          const highWatermark = cursor.int64()
          const lastStable = cursor.int64()
          cursor.int64()
          const aborted = cursor.array(() => ({ producer: cursor.int64(), firstOffset: cursor.int64() }))
          cursor.int32()
          return { topic, partition, error, highWatermark, lastStable, aborted, records: cursor.bytes() }
        })
      })
      .flat()
    return failure === 0 ? fetched : wanted.map((one) => ({ ...one, ...NOTHING, error: failure }))
  })
}

const NOTHING = { highWatermark: -1, lastStable: -1, aborted: [], records: Buffer.alloc(0) }

function send<T>(connection: Connection, api: { key: number; version: number }, body: Writer, parse: (bytes: Buffer) => T): Promise<T> {
  return new Promise((resolve, reject) => {
    connection.send<T>(
      api.key,
      api.version,
      () => body,
      (_correlation, _key, _version, reader) => parse(reader.buffer.slice(reader.position)),
      false,
      false,
      (error, answer) => (error || answer === undefined ? reject(error ?? new RangeError('An empty response')) : resolve(answer)),
    )
  })
}

/** Reads a response from its start to its end; every read beyond it throws. */
class Cursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  boolean(): boolean {
    return this.#bytes.readInt8(this.#skip(1)) !== 0
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#skip(2))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#skip(4))
  }

  /** Offsets and producers' numbers: both stay below 2^53 for as long as anybody writes. */
  int64(): number {
    return Number(this.#bytes.readBigInt64BE(this.#skip(8)))
  }

  string(): string | null {
    const length = this.int16()
    if (length < 0) return null
    const start = this.#skip(length)
    return this.#bytes.toString('utf8', start, start + length)
  }

  bytes(): Buffer {
    const length = Math.max(0, this.int32())
    const start = this.#skip(length)
    return this.#bytes.subarray(start, start + length)
  }

  array<T>(entry: () => T): T[] {
    const count = Math.max(0, this.int32())
    const entries: T[] = []
    for (let i = 0; i < count; i++) entries.push(entry())
    return entries
  }

  #skip(length: number): number {
    const start = this.#at
    if (start + length > this.#bytes.length) throw new RangeError('A response ends too early')
    this.#at += length
    return start
  }
}
