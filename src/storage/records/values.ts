/**
 * Values on the wire. Results arrive in PostgreSQL's binary formats (src/backend/utils/adt/*.c, the `_send` functions), so a
 * bytea is a slice and never hex text; parameters go out as text, except bytea, which goes out as it is.
 */
import { invalid, overLimit, unsupported } from '../../base/index.ts'
import type { SqlValue } from './port.ts'

/** Reads one value of `bytes` between two offsets. */
export type Decoder = (bytes: Buffer, start: number, end: number) => unknown

/** The decoder for a column of this type; throws `storage.unknown_type` when there is none. */
export function decoderFor(typeOid: number, column: string): Decoder {
  const known = DECODERS.get(typeOid)
  if (known) return known
  // Types of the user's own have high numbers; those that occur as columns are enums, which are text in binary too.
  if (typeOid >= FIRST_USER_OID) return text
  throw unsupported('storage.unknown_type', `The column "${column}" has a type that Lagoa does not read (oid ${typeOid})`, {
    hint: `Cast it in the statement: ${column}::text`,
  })
}

/** A parameter in the form that pg sends: text, or a Buffer for binary. */
export function encodeValue(value: SqlValue | undefined): string | Buffer | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (value instanceof Uint8Array) return asBuffer(value)
  if (value instanceof Date) return instant(value)
  if (isArray(value)) return encodeArray(value)
  return JSON.stringify(value)
}

function encodeArray(values: readonly SqlValue[]): string | Buffer {
  const hasBytes = values.some((value) => value instanceof Uint8Array)
  return hasBytes ? byteaArray(values) : arrayLiteral(values)
}

function arrayLiteral(values: readonly SqlValue[]): string {
  let literal = '{'
  for (let i = 0; i < values.length; i++) {
    if (i > 0) literal += ','
    literal += arrayElement(values[i] ?? null)
  }
  return literal + '}'
}

function arrayElement(value: SqlValue): string {
  if (value === null) return 'NULL'
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (isArray(value)) return arrayLiteral(value)
  const plain = typeof value === 'string' ? value : value instanceof Date ? instant(value) : JSON.stringify(value)
  return /["\\]/.test(plain) ? `"${plain.replace(/["\\]/g, '\\$&')}"` : `"${plain}"`
}

/** One-dimensional bytea[] in the format of array_recv: dimensions, has-null flag, element type, then length and lower bound. */
function byteaArray(values: readonly SqlValue[]): Buffer {
  const items = values.map((value) => {
    if (value === null) return null
    if (value instanceof Uint8Array) return value
    throw invalid('storage.mixed_array', 'An array that holds bytes holds something else, too', { hint: 'Pass an array of Uint8Array and null only.' })
  })
  const size = items.reduce((sum, item) => sum + 4 + (item?.length ?? 0), 20)
  const out = Buffer.allocUnsafe(size)
  out.writeInt32BE(1, 0)
  out.writeInt32BE(items.includes(null) ? 1 : 0, 4)
  out.writeInt32BE(BYTEA, 8)
  out.writeInt32BE(items.length, 12)
  out.writeInt32BE(1, 16)
  let at = 20
  for (const item of items) {
    at = out.writeInt32BE(item?.length ?? -1, at)
    if (item) {
      out.set(item, at)
      at += item.length
    }
  }
  return out
}

function instant(date: Date): string {
  if (Number.isNaN(date.getTime())) throw invalid('storage.bad_date', 'A date parameter is no valid date')
  return date.toISOString()
}

const isArray = (value: SqlValue): value is readonly SqlValue[] => Array.isArray(value)
const asBuffer = (bytes: Uint8Array): Buffer => (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))

const BYTEA = 17
const FIRST_USER_OID = 16_384
const EPOCH_2000_MS = 946_684_800_000
const DAY_MS = 86_400_000

const text: Decoder = (bytes, start, end) => bytes.toString('utf8', start, end)
const latin: Decoder = (bytes, start, end) => bytes.toString('latin1', start, end)
const int2: Decoder = (bytes, start) => bytes.readInt16BE(start)
const int4: Decoder = (bytes, start) => bytes.readInt32BE(start)
const oid: Decoder = (bytes, start) => bytes.readUInt32BE(start)
const json: Decoder = (bytes, start, end): unknown => JSON.parse(bytes.toString('utf8', start, end))

/** A slice keeps the whole message in memory, so it is kept only where it is most of the message. */
const bytea: Decoder = (bytes, start, end) => {
  const slice = bytes.subarray(start, end)
  return end - start >= 4096 && (end - start) * 2 >= bytes.buffer.byteLength ? slice : Buffer.from(slice)
}

const int8: Decoder = (bytes, start) => {
  const value = bytes.readInt32BE(start) * 0x1_0000_0000 + bytes.readUInt32BE(start + 4)
  if (!Number.isSafeInteger(value)) {
    throw overLimit('storage.number_too_large', 'The database answered a whole number beyond 2^53, which JavaScript cannot hold exactly', {
      hint: 'Cast the column to text in the statement.',
    })
  }
  return value
}

/** Microseconds since 2000-01-01, split to keep every step exact. */
const timestamp: Decoder = (bytes, start) => {
  const micros = bytes.readBigInt64BE(start)
  if (micros === 0x7fff_ffff_ffff_ffffn) return Infinity
  if (micros === -0x8000_0000_0000_0000n) return -Infinity
  return Math.floor(Number(micros) / 1000) + EPOCH_2000_MS
}

const date: Decoder = (bytes, start) => {
  const days = bytes.readInt32BE(start)
  if (days === 0x7fff_ffff) return 'infinity'
  if (days === -0x8000_0000) return '-infinity'
  return new Date(days * DAY_MS + EPOCH_2000_MS).toISOString().slice(0, -14)
}

const time: Decoder = (bytes, start) => new Date(Math.floor(Number(bytes.readBigInt64BE(start)) / 1000)).toISOString().slice(11, 23)

const uuid: Decoder = (bytes, start) => {
  const hex = bytes.toString('hex', start, start + 16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** Digits in base 10,000 with a weight; printed and parsed again, so that the nearest number comes out. */
const numeric: Decoder = (bytes, start) => {
  const digits = bytes.readInt16BE(start)
  const weight = bytes.readInt16BE(start + 2)
  const sign = bytes.readUInt16BE(start + 4)
  if (sign === 0xc000) return NaN
  if (sign === 0xd000) return Infinity
  if (sign === 0xf000) return -Infinity
  let mantissa = ''
  for (let i = 0; i < digits; i++) mantissa += String(bytes.readInt16BE(start + 8 + i * 2)).padStart(4, '0')
  return Number(`${sign === 0x4000 ? '-' : ''}${mantissa || '0'}e${(weight - digits + 1) * 4}`)
}

/** array_send: dimensions, flags, element type, (length, lower bound) per dimension, then the elements in row-major order. */
const array: Decoder = (bytes, start) => {
  const dimensions = bytes.readInt32BE(start)
  const element = decoderFor(bytes.readUInt32BE(start + 8), 'element')
  const lengths: number[] = []
  let at = start + 12
  for (let i = 0; i < dimensions; i++, at += 8) lengths.push(bytes.readInt32BE(at))
  const read = (depth: number): unknown[] => {
    const items: unknown[] = []
    for (let i = 0; i < (lengths[depth] ?? 0); i++) {
      if (depth < dimensions - 1) {
        items.push(read(depth + 1))
        continue
      }
      const size = bytes.readInt32BE(at)
      at += 4
      items.push(size < 0 ? null : element(bytes, at, at + size))
      at += Math.max(size, 0)
    }
    return items
  }
  return dimensions === 0 ? [] : read(0)
}

const DECODERS: ReadonlyMap<number, Decoder> = new Map<number, Decoder>([
  [16, (bytes, start) => bytes[start] === 1], // bool
  [BYTEA, bytea],
  [18, latin], // "char"
  [19, text], // name
  [20, int8],
  [21, int2],
  [23, int4],
  [25, text],
  [26, oid],
  [28, oid], // xid
  [114, json],
  [142, text], // xml
  [700, (bytes, start) => bytes.readFloatBE(start)],
  [701, (bytes, start) => bytes.readDoubleBE(start)],
  [705, text], // unknown
  [1042, text], // bpchar
  [1043, text], // varchar
  [1082, date],
  [1083, time],
  [1114, timestamp],
  [1184, timestamp],
  [1700, numeric],
  [2278, () => null], // void
  [2950, uuid],
  [3802, (bytes, start, end) => json(bytes, start + 1, end)], // jsonb: a version byte comes first
  [5069, int8], // xid8
  // Arrays of the above.
  ...[1000, 1001, 1002, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1028, 1115, 1182, 1183, 1185, 1231, 199, 2951, 3807].map(
    (arrayOid): [number, Decoder] => [arrayOid, array],
  ),
])
