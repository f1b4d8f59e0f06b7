/**
 * Kafka's record batch (magic 2) to and from ours, in one pass over the bytes and without an object for each record.
 * (https://kafka.apache.org/documentation/#recordbatch)
 *
 * Values are any bytes. A record without a value (a tombstone) is read as one with an empty value; headers are not read. Nobody's values
 * are taken for well-formed JSON, since everybody who may write to the topic could say so. Records that follow each other without a gap
 * become one batch of ours; a gap, which compaction leaves, begins another.
 */
import { emptyBatch, layoutOf, type RecordBatch } from '../batch.ts'
import { damaged, decompress } from './compression.ts'
import type { AbortedTransaction, Library } from './wire.ts'

export interface Writer {
  readonly producer: bigint
  readonly epoch: number
  /** Of the batch's first record, in this partition. */
  readonly sequence: number
  readonly transactional: boolean
}

const HEADER = 61
/** Where the checksum begins to count. */
const ATTRIBUTES = 21
const COMPRESSION = 0x07
const TRANSACTIONAL = 0x10
const CONTROL = 0x20
const ABORT_MARKER = 0
/** The attributes, timestamp delta, offset delta, both lengths and header count of the smallest record, and its own length. */
const LEAST_RECORD = 7
/** Compressed batches may unfold to many times what was fetched; what lies beyond this is fetched again. */
const MOST_IN_RUN = 32 * 1024 * 1024

/** Records `from` to `to` of a batch as Kafka stores them. */
export function encodeBatch(library: Library, batch: RecordBatch, from: number, to: number, time: number, writer: Writer): Buffer {
  const { lengths, keysAt, valuesAt } = layoutOf(batch)
  const count = to - from
  let size = HEADER
  for (let i = from; i < to; i++) {
    const body = bodySize(i - from, lengths[i] ?? -1, lengths[batch.count + i] ?? 0)
    size += varintSize(body) + body
  }
  const bytes = Buffer.allocUnsafe(size)
  bytes.writeBigInt64BE(0n, 0)
  bytes.writeInt32BE(size - 12, 8)
  bytes.writeInt32BE(-1, 12)
  bytes.writeInt8(2, 16)
  bytes.writeInt16BE(writer.transactional ? TRANSACTIONAL : 0, ATTRIBUTES)
  bytes.writeInt32BE(count - 1, 23)
  bytes.writeBigInt64BE(BigInt(time), 27)
  bytes.writeBigInt64BE(BigInt(time), 35)
  bytes.writeBigInt64BE(writer.producer, 43)
  bytes.writeInt16BE(writer.epoch, 51)
  bytes.writeInt32BE(writer.sequence, 53)
  bytes.writeInt32BE(count, 57)
  let at = HEADER
  let key = keysAt
  let value = valuesAt
  for (let i = 0; i < to; i++) {
    const keyLength = lengths[i] ?? -1
    const valueLength = lengths[batch.count + i] ?? 0
    if (i >= from) {
      at = writeVarint(bytes, at, bodySize(i - from, keyLength, valueLength))
      bytes[at++] = 0
      bytes[at++] = 0
      at = writeVarint(bytes, at, i - from)
      at = writeVarint(bytes, at, keyLength)
      if (keyLength > 0) at += batch.bytes.copy(bytes, at, key, key + keyLength)
      at = writeVarint(bytes, at, valueLength)
      at += batch.bytes.copy(bytes, at, value, value + valueLength)
      bytes[at++] = 0
    }
    key += Math.max(0, keyLength)
    value += valueLength + 1
  }
  bytes.writeUInt32BE(library.crc32c(bytes.subarray(ATTRIBUTES)) >>> 0, 17)
  return bytes
}

/** What a record of these lengths takes at most, for who must keep below a limit. */
export function recordSize(keyLength: number, valueLength: number): number {
  return Math.max(0, keyLength) + valueLength + 22
}

/** What a batch of this one record takes. */
export function aloneSize(keyLength: number, valueLength: number): number {
  const body = bodySize(0, keyLength, valueLength)
  return HEADER + varintSize(body) + body
}

export const BATCH_OVERHEAD: number = HEADER

function bodySize(delta: number, keyLength: number, valueLength: number): number {
  return 3 + varintSize(delta) + varintSize(keyLength) + Math.max(0, keyLength) + varintSize(valueLength) + valueLength
}

/** A stored batch before its records are looked at. */
export interface StoredBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly producer: number
  readonly transactional: boolean
  /** The mark that ends a transaction; null for data. */
  readonly marker: 'commit' | 'abort' | 'other' | null
  readonly appendedAt: number
  readonly count: number
  /** The records, unfolded. */
  records(): Buffer
}

/** The whole batches in what was fetched; a cut-off one at the end is left. */
export function* storedBatches(library: Library, bytes: Buffer): Generator<StoredBatch> {
  for (let at = 0; at + HEADER <= bytes.length;) {
    const baseOffset = Number(bytes.readBigInt64BE(at))
    const end = at + 12 + bytes.readInt32BE(at + 8)
    if (bytes[at + 16] !== 2) throw damaged(baseOffset, 'is in a message format older than Kafka 0.11')
    if (end > bytes.length) return
    if (end < at + HEADER) throw damaged(baseOffset, 'has no header')
    if (library.crc32c(bytes.subarray(at + ATTRIBUTES, end)) >>> 0 !== bytes.readUInt32BE(at + 17)) throw damaged(baseOffset, 'has a wrong checksum')
    const attributes = bytes.readInt16BE(at + ATTRIBUTES)
    const payload = bytes.subarray(at + HEADER, end)
    const unfold = (): Buffer => decompress(library, payload, attributes & COMPRESSION, baseOffset)
    yield {
      baseOffset,
      lastOffset: baseOffset + bytes.readInt32BE(at + 23),
      producer: Number(bytes.readBigInt64BE(at + 43)),
      transactional: (attributes & TRANSACTIONAL) !== 0,
      marker: (attributes & CONTROL) === 0 ? null : markerOf(unfold()),
      appendedAt: Number(bytes.readBigInt64BE(at + 35)),
      count: bytes.readInt32BE(at + 57),
      records: unfold,
    }
    at = end
  }
}

/** A run of a partition as it was read: its records, and the offset at which the next read goes on. */
export interface Run {
  readonly batches: readonly RecordBatch[]
  readonly next: number
}

/**
 * The records of a fetch that began at `from`, without those of aborted transactions and without Kafka's own marks; no more than fits
 * into memory well, but one batch at least.
 */
export function decodeRun(library: Library, bytes: Buffer, from: number, aborted: readonly AbortedTransaction[]): Run {
  const batches: RecordBatch[] = []
  let next = from
  let size = 0
  for (const stored of committed(library, bytes, aborted)) {
    next = Math.max(next, stored.lastOffset + 1)
    if (stored.marker !== null || stored.lastOffset < from || stored.count === 0) continue
    size += decodeRecords(stored, batches)
    if (size > MOST_IN_RUN) break
  }
  return { batches, next }
}

/** The batches whose transaction was not aborted; of an aborted one only the mark at its end comes through, so that offsets go on. */
export function* committed(library: Library, bytes: Buffer, aborted: readonly AbortedTransaction[]): Generator<StoredBatch> {
  const ahead = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  const dead = new Set<number>()
  for (const stored of storedBatches(library, bytes)) {
    while (ahead[0] && ahead[0].firstOffset <= stored.lastOffset) dead.add(ahead.shift()?.producer ?? -1)
    if (stored.marker === 'abort') dead.delete(stored.producer)
    yield stored.marker === null && stored.transactional && dead.has(stored.producer) ? { ...stored, count: 0 } : stored
  }
}

/** Appends the batch's records to `into`, one batch of ours for each run without a gap; answers how many bytes they have. */
export function decodeRecords({ baseOffset, appendedAt, count, records }: StoredBatch, into: RecordBatch[]): number {
  const bytes = records()
  if (count < 0 || count * LEAST_RECORD > bytes.length) throw damaged(baseOffset, 'has fewer records than it says')
  const lengths = new Int32Array(2 * count)
  const places = new Int32Array(2 * count)
  const deltas = new Int32Array(count)
  const cursor = { bytes, at: 0 }
  for (let i = 0; i < count; i++) {
    const length = readVarint(cursor)
    const end = cursor.at + length
    cursor.at++
    skipVarint(cursor)
    deltas[i] = readVarint(cursor)
    const key = readVarint(cursor)
    lengths[i] = key
    places[i] = cursor.at
    if (key > 0) cursor.at += key
    const value = readVarint(cursor)
    lengths[count + i] = value < 0 ? 0 : value
    places[count + i] = cursor.at
    if (value > 0) cursor.at += value
    if (key < -1 || value < -1 || length < 0 || cursor.at > end || end > bytes.length) throw damaged(baseOffset, `is damaged at its record ${i}`)
    // The headers lie before the end.
    cursor.at = end
  }
  for (let start = 0; start < count;) {
    let end = start + 1
    while (end < count && deltas[end] === (deltas[end - 1] ?? 0) + 1) end++
    into.push(copyRun(bytes, lengths, places, start, end, baseOffset + (deltas[start] ?? 0), appendedAt))
    start = end
  }
  return bytes.length
}

function copyRun(bytes: Buffer, lengths: Int32Array, places: Int32Array, start: number, end: number, baseOffset: number, appendedAt: number): RecordBatch {
  const total = lengths.length / 2
  const count = end - start
  const own = new Int32Array(2 * count)
  own.set(lengths.subarray(start, end), 0)
  own.set(lengths.subarray(total + start, total + end), count)
  const batch = emptyBatch(own)
  let key = batch.keysAt
  let value = batch.valuesAt
  for (let i = start; i < end; i++) {
    const keyLength = lengths[i] ?? -1
    const valueLength = lengths[total + i] ?? 0
    const keyAt = places[i] ?? 0
    const valueAt = places[total + i] ?? 0
    if (keyLength > 0) key += bytes.copy(batch.bytes, key, keyAt, keyAt + keyLength)
    value += bytes.copy(batch.bytes, value, valueAt, valueAt + valueLength) + 1
  }
  return { baseOffset, appendedAt, count, wellFormed: false, bytes: batch.bytes }
}

/** The key of a control record is its version and its type, two bytes each. */
function markerOf(records: Buffer): 'commit' | 'abort' | 'other' {
  const cursor = { bytes: records, at: 0 }
  readVarint(cursor)
  cursor.at++
  skipVarint(cursor)
  skipVarint(cursor)
  if (readVarint(cursor) < 4) return 'other'
  const type = records.readInt16BE(cursor.at + 2)
  return type === ABORT_MARKER ? 'abort' : type === 1 ? 'commit' : 'other'
}

interface Cursor {
  readonly bytes: Buffer
  at: number
}

/** A zigzag varint of at most 32 bits. Beyond the end it reads zeros; whoever reads checks where it stands. */
function readVarint(cursor: Cursor): number {
  const { bytes } = cursor
  let byte = bytes[cursor.at++] ?? 0
  let raw = byte & 0x7f
  for (let shift = 7; byte >= 0x80 && shift < 35; shift += 7) {
    byte = bytes[cursor.at++] ?? 0
    raw |= (byte & 0x7f) << shift
  }
  return (raw >>> 1) ^ -(raw & 1)
}

function skipVarint(cursor: Cursor): void {
  while ((cursor.bytes[cursor.at++] ?? 0) >= 0x80);
}

function writeVarint(bytes: Buffer, at: number, value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

function varintSize(value: number): number {
  const raw = ((value << 1) ^ (value >> 31)) >>> 0
  return raw < 0x80 ? 1 : raw < 0x4000 ? 2 : raw < 0x20_0000 ? 3 : raw < 0x1000_0000 ? 4 : 5
}
