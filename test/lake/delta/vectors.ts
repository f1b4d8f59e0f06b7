/** Deletion vectors as another writer would make them: bitmaps of 32 bits in their portable form, in a file or inside the log. */
import { randomUUID } from 'node:crypto'
import { crc32 } from 'node:zlib'

export type Shape = 'run' | 'plain'

/** `shape` says which containers are written as runs; the others take what the format asks of their size. */
export function bitmapArray(positions: readonly number[], shape: (container: number) => Shape): Buffer {
  const bitmaps = groupsBy(positions, 2 ** 32)
  const head = Buffer.alloc(12)
  head.writeUInt32LE(1_681_511_377, 0)
  head.writeBigInt64LE(BigInt(bitmaps.size), 4)
  return Buffer.concat([head, ...[...bitmaps].flatMap(([high, low]) => [u32(high), bitmap(low, shape)])])
}

function bitmap(positions: readonly number[], shape: (container: number) => Shape): Buffer {
  const containers = [...groupsBy(positions, 0x10000)].map(([key, low]) => ({ key, low, run: shape(key) === 'run' }))
  const anyRun = containers.some(({ run }) => run)
  const bodies = containers.map(({ low, run }) => (run ? runBody(low) : low.length > 4096 ? bitsBody(low) : Buffer.concat(low.map(u16))))
  const flags = Buffer.alloc(Math.ceil(containers.length / 8))
  containers.forEach(({ run }, i) => {
    if (run) flags[i >> 3] = (flags[i >> 3] ?? 0) | (1 << (i & 7))
  })
  const head = anyRun ? Buffer.concat([u32((containers.length - 1) * 0x10000 + 12_347), flags]) : Buffer.concat([u32(12_346), u32(containers.length)])
  const keys = containers.map(({ key, low }) => Buffer.concat([u16(key), u16(low.length - 1)]))
  const withOffsets = !anyRun || containers.length >= 4
  let at = head.length + containers.length * (withOffsets ? 8 : 4)
  const offsets = bodies.map((body) => {
    const offset = u32(at)
    at += body.length
    return offset
  })
  return Buffer.concat([head, ...keys, ...(withOffsets ? offsets : []), ...bodies])
}

function runBody(low: readonly number[]): Buffer {
  const runs: { start: number; more: number }[] = []
  for (const value of low) {
    const last = runs.at(-1)
    if (last && value === last.start + last.more + 1) last.more++
    else runs.push({ start: value, more: 0 })
  }
  return Buffer.concat([u16(runs.length), ...runs.flatMap(({ start, more }) => [u16(start), u16(more)])])
}

function bitsBody(low: readonly number[]): Buffer {
  const bits = Buffer.alloc(8192)
  for (const value of low) bits[value >> 3] = (bits[value >> 3] ?? 0) | (1 << (value & 7))
  return bits
}

function groupsBy(positions: readonly number[], size: number): Map<number, number[]> {
  const groups = new Map<number, number[]>()
  for (const position of positions) {
    const key = Math.floor(position / size)
    const group = groups.get(key) ?? []
    group.push(position - key * size)
    groups.set(key, group)
  }
  return groups
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16LE(value)
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** The content of a file with one vector, which begins at byte 1 behind the format's version. */
export function vectorFile(data: Buffer): Buffer {
  const [size, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  size.writeUInt32BE(data.length)
  sum.writeUInt32BE(crc32(data))
  return Buffer.concat([Buffer.from([1]), size, data, sum])
}

export function newVectorName(): { readonly encoded: string; readonly file: string } {
  const uuid = randomUUID()
  return { encoded: base85(Buffer.from(uuid.replaceAll('-', ''), 'hex')), file: `deletion_vector_${uuid}.bin` }
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'

/** Z85, filled up with zeros to whole groups. */
export function base85(bytes: Buffer): string {
  const whole = Buffer.alloc(Math.ceil(bytes.length / 4) * 4)
  bytes.copy(whole)
  let text = ''
  for (let at = 0; at < whole.length; at += 4) {
    let value = whole.readUInt32BE(at)
    let group = ''
    for (let i = 0; i < 5; i++) {
      group = DIGITS.charAt(value % 85) + group
      value = Math.floor(value / 85)
    }
    text += group
  }
  return text
}
