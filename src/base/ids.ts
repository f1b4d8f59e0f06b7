/** Identifiers: random ones that sort by time, and deterministic ones derived from what they name. */
import { createHash, randomFillSync } from 'node:crypto'

/** A UUID version 7 (RFC 9562, section 5.7): 48 bits of epoch milliseconds, then random bits. */
export function newId(now: number = Date.now()): string {
  const bytes = randomFillSync(Buffer.allocUnsafe(16))
  bytes.writeUIntBE(now, 0, 6)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return hyphenate(bytes.toString('hex'))
}

/** A UUID version 8 made of the SHA-256 of its parts: the same parts give the same id on every node and after every crash. */
export function idFrom(...parts: readonly (string | number | bigint)[]): string {
  const bytes = createHash('sha256').update(parts.map(String).join('\u001f')).digest().subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  return hyphenate(bytes.toString('hex'))
}

/** Such an id that sorts beside `id`, as if both were made in the same millisecond, and among others beside it by its number, to 4,095. */
export const idBeside = (id: string, number: number, ...parts: readonly (string | number | bigint)[]): string =>
  `${id.slice(0, TIME_LENGTH)}-8${Math.min(number, 0xfff).toString(16).padStart(3, '0')}${idFrom(id, number, ...parts).slice(TIME_LENGTH + 5)}`

/** The letters of an id that are its time, with the hyphen among them. */
const TIME_LENGTH = 13

function hyphenate(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
