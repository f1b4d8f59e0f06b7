/**
 * A record batch: many records as two byte blocks and their lengths, the unit in which the log stores, reads and hands out data.
 *
 * Layout, little-endian (version 1):
 *   u8 version = 1 | u8 flags (bit 0: every value is well-formed JSON) | u16 zero | u32 count
 *   i32 keyLength[count] (-1: no key) | i32 valueLength[count] | keys | values, each followed by one comma but the last
 *
 * The commas let a batch of well-formed JSON be parsed by one JSON.parse call. Only writers that know their values are
 * well-formed may set the flag: a hostile value like `1],[2` must never be able to shift its neighbours.
 */
import { invalid } from '../../base/index.ts'

const VERSION = 1
const WELL_FORMED_JSON = 1
const HEADER = 8
const COMMA = 0x2c

export interface RecordBatch {
  readonly baseOffset: number
  /** Epoch milliseconds at which the log took the batch. */
  readonly appendedAt: number
  readonly count: number
  readonly wellFormed: boolean
  /** The encoded form, as stored. */
  readonly bytes: Buffer
}

/** One record to append; without a key it goes to any partition. */
export interface NewRecord {
  readonly key: string | null
  readonly value: string | Uint8Array
}

/** Values known to be well-formed JSON text (they come from JSON.stringify or were parsed), in a batch ready for `append`. */
export function encodeJson(keys: readonly (string | null)[] | null, values: readonly string[]): RecordBatch {
  const count = values.length
  const joined = values.join(',')
  const keyBlock = keys === null ? '' : keys.map((key) => key ?? '').join('')
  const keySize = Buffer.byteLength(keyBlock)
  // Halves of a surrogate pair in neighbouring keys would become one character here and shift every key after them.
  if (keys !== null && keySize !== keyBlock.length && keys.some((key) => key !== null && !key.isWellFormed())) {
    return encodeJson(
      keys.map((key) => key?.toWellFormed() ?? null),
      values,
    )
  }
  const valueSize = Buffer.byteLength(joined)
  const bytes = Buffer.allocUnsafe(HEADER + 8 * count + keySize + valueSize)
  writeHeader(bytes, count, WELL_FORMED_JSON)
  const keysAscii = keySize === keyBlock.length
  const valuesAscii = valueSize === joined.length
  const lengths = new Int32Array(2 * count)
  for (let i = 0; i < count; i++) {
    const key = keys?.[i] ?? null
    const value = values[i] ?? ''
    lengths[i] = key === null ? -1 : keysAscii ? key.length : Buffer.byteLength(key)
    lengths[count + i] = valuesAscii ? value.length : Buffer.byteLength(value)
  }
  Buffer.from(lengths.buffer).copy(bytes, HEADER)
  bytes.write(keyBlock, HEADER + 8 * count, keysAscii ? 'latin1' : 'utf8')
  bytes.write(joined, HEADER + 8 * count + keySize, valuesAscii ? 'latin1' : 'utf8')
  return { baseOffset: 0, appendedAt: 0, count, wellFormed: true, bytes }
}

/** Values of any bytes, JSON or not. */
export function encodeRecords(records: readonly NewRecord[]): RecordBatch {
  const keys = records.map(({ key }) => (key === null ? null : Buffer.from(key)))
  const values = records.map(({ value }) => (typeof value === 'string' ? Buffer.from(value) : Buffer.from(value.buffer, value.byteOffset, value.byteLength)))
  const count = records.length
  const size = keys.reduce((sum, key) => sum + (key?.length ?? 0), 0) + values.reduce((sum, value) => sum + value.length, 0) + Math.max(0, count - 1)
  const bytes = Buffer.alloc(HEADER + 8 * count + size)
  writeHeader(bytes, count, 0)
  let at = HEADER + 8 * count
  keys.forEach((key, i) => {
    bytes.writeInt32LE(key?.length ?? -1, HEADER + 4 * i)
    if (key) at += key.copy(bytes, at)
  })
  values.forEach((value, i) => {
    bytes.writeInt32LE(value.length, HEADER + 4 * (count + i))
    at += value.copy(bytes, at)
    if (i < count - 1) at = bytes.writeUInt8(COMMA, at)
  })
  return { baseOffset: 0, appendedAt: 0, count, wellFormed: false, bytes }
}

/** Several batches, none empty, as one in their order; all or none of them well-formed. */
export function mergeBatches(batches: readonly RecordBatch[]): RecordBatch {
  const [first] = batches
  if (first && batches.length === 1) return first
  const count = batches.reduce((sum, batch) => sum + batch.count, 0)
  const bytes = Buffer.allocUnsafe(HEADER + batches.reduce((sum, batch) => sum + batch.bytes.length - HEADER, 0) + batches.length - 1)
  const wellFormed = first?.wellFormed ?? false
  writeHeader(bytes, count, wellFormed ? WELL_FORMED_JSON : 0)
  let at = HEADER
  for (const batch of batches) at += batch.bytes.copy(bytes, at, HEADER, HEADER + 4 * batch.count)
  for (const batch of batches) at += batch.bytes.copy(bytes, at, HEADER + 4 * batch.count, HEADER + 8 * batch.count)
  for (const batch of batches) at += batch.bytes.copy(bytes, at, HEADER + 8 * batch.count, valuesStart(batch))
  batches.forEach((batch, i) => {
    at += batch.bytes.copy(bytes, at, valuesStart(batch))
    if (i < batches.length - 1) at = bytes.writeUInt8(COMMA, at)
  })
  return { baseOffset: 0, appendedAt: 0, count, wellFormed, bytes }
}

/** Gives stored bytes their place in the log; refuses bytes that are no batch. */
export function storedBatch(bytes: Buffer, baseOffset: number, appendedAt: number): RecordBatch {
  const count = bytes.length >= HEADER ? bytes.readUInt32LE(4) : -1
  if (count < 0 || bytes[0] !== VERSION || sizeOf(bytes, count) !== bytes.length) {
    throw invalid('streams.damaged_batch', `The batch at offset ${baseOffset} is not a version ${VERSION} record batch`, {
      hint: 'The event log was written by another version of Lagoa or is damaged; restore it from a backup.',
    })
  }
  return { baseOffset, appendedAt, count, wellFormed: ((bytes[1] ?? 0) & WELL_FORMED_JSON) !== 0, bytes }
}

/** How long a batch with these lengths must be, or -1 when the lengths themselves are damaged. */
function sizeOf(bytes: Buffer, count: number): number {
  if (bytes.length < HEADER + 8 * count) return -1
  let size = HEADER + 8 * count + Math.max(0, count - 1)
  for (let i = 0; i < 2 * count; i++) {
    const length = bytes.readInt32LE(HEADER + 4 * i)
    if (length < (i < count ? -1 : 0)) return -1
    size += Math.max(0, length)
  }
  return size
}

/** One record's bytes, without copying. */
export interface RecordView {
  readonly offset: number
  readonly key: string | null
  readonly value: Buffer
}

/** The records in order, all or without the first `skip`. */
export function* recordsOf(batch: RecordBatch, skip: number = 0): Generator<RecordView> {
  const { bytes, count } = batch
  let keyAt = HEADER + 8 * count
  let valueAt = valuesStart(batch)
  for (let i = 0; i < count; i++) {
    const keyLength = bytes.readInt32LE(HEADER + 4 * i)
    const valueLength = bytes.readInt32LE(HEADER + 4 * (count + i))
    if (i >= skip) {
      const key = keyLength < 0 ? null : bytes.toString('utf8', keyAt, keyAt + keyLength)
      yield { offset: batch.baseOffset + i, key, value: bytes.subarray(valueAt, valueAt + valueLength) }
    }
    keyAt += Math.max(0, keyLength)
    valueAt += valueLength + 1
  }
}

/** The comma-joined values of a well-formed batch as one JSON array text. */
export function jsonArrayText(batch: RecordBatch): string {
  return `[${batch.bytes.toString('utf8', valuesStart(batch))}]`
}

/** Where everything is in a batch: the lengths of all keys (-1: none), then of all values, and where both blocks begin. */
export interface BatchLayout {
  readonly lengths: Int32Array
  readonly keysAt: number
  readonly valuesAt: number
}

export function layoutOf({ bytes, count }: RecordBatch): BatchLayout {
  const lengths = new Int32Array(2 * count)
  bytes.copy(new Uint8Array(lengths.buffer), 0, HEADER, HEADER + 8 * count)
  return { lengths, ...blocksOf(lengths) }
}

/** Room for records of these lengths. The caller copies every key and value to its place; the commas are there. */
export function emptyBatch(lengths: Int32Array): BatchLayout & { readonly bytes: Buffer } {
  const count = lengths.length / 2
  const { keysAt, valuesAt } = blocksOf(lengths)
  let size = valuesAt + Math.max(0, count - 1)
  for (let i = count; i < lengths.length; i++) size += lengths[i] ?? 0
  const bytes = Buffer.allocUnsafe(size)
  writeHeader(bytes, count, 0)
  bytes.set(new Uint8Array(lengths.buffer, lengths.byteOffset, lengths.byteLength), HEADER)
  let at = valuesAt
  for (let i = count; i < lengths.length - 1; i++) {
    at += lengths[i] ?? 0
    bytes[at++] = COMMA
  }
  return { bytes, lengths, keysAt, valuesAt }
}

function blocksOf(lengths: Int32Array): { keysAt: number; valuesAt: number } {
  const count = lengths.length / 2
  const keysAt = HEADER + 8 * count
  let valuesAt = keysAt
  for (let i = 0; i < count; i++) valuesAt += Math.max(0, lengths[i] ?? 0)
  return { keysAt, valuesAt }
}

function valuesStart({ bytes, count }: RecordBatch): number {
  let start = HEADER + 8 * count
  for (let i = 0; i < count; i++) start += Math.max(0, bytes.readInt32LE(HEADER + 4 * i))
  return start
}

function writeHeader(bytes: Buffer, count: number, flags: number): void {
  bytes.writeUInt8(VERSION, 0)
  bytes.writeUInt8(flags, 1)
  bytes.writeUInt16LE(0, 2)
  bytes.writeUInt32LE(count, 4)
}
