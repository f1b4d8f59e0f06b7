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
    if (i < count - 1) at = bytes.writeUInt8(0x2c, at)
  })
  return { baseOffset: 0, appendedAt: 0, count, wellFormed: false, bytes }
}

/** Gives stored bytes their place in the log; refuses bytes that are no batch. */
export function storedBatch(bytes: Buffer, baseOffset: number, appendedAt: number): RecordBatch {
  const count = bytes.length >= HEADER ? bytes.readUInt32LE(4) : -1
  if (count < 0 || bytes[0] !== VERSION || bytes.length < HEADER + 8 * count) {
    throw invalid('streams.damaged_batch', `The batch at offset ${baseOffset} is not a version ${VERSION} record batch`, {
      hint: 'The event log was written by another version of Lagoa or is damaged; restore it from a backup.',
    })
  }
  return { baseOffset, appendedAt, count, wellFormed: ((bytes[1] ?? 0) & WELL_FORMED_JSON) !== 0, bytes }
}

/** One record's bytes, without copying. */
export interface RecordView {
  readonly offset: number
  readonly key: string | null
  readonly value: Buffer
}

/** All records in order. */
export function* recordsOf(batch: RecordBatch): Generator<RecordView> {
  const { bytes, count } = batch
  let keyAt = HEADER + 8 * count
  let valueAt = valuesStart(batch)
  for (let i = 0; i < count; i++) {
    const keyLength = bytes.readInt32LE(HEADER + 4 * i)
    const valueLength = bytes.readInt32LE(HEADER + 4 * (count + i))
    const key = keyLength < 0 ? null : bytes.toString('utf8', keyAt, keyAt + keyLength)
    keyAt += Math.max(0, keyLength)
    yield { offset: batch.baseOffset + i, key, value: bytes.subarray(valueAt, valueAt + valueLength) }
    valueAt += valueLength + 1
  }
}

/** The comma-joined values of a well-formed batch as one JSON array text. */
export function jsonArrayText(batch: RecordBatch): string {
  return `[${batch.bytes.toString('utf8', valuesStart(batch))}]`
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
