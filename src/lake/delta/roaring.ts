/**
 * Sets of row positions as deletion vectors hold them (section "Deletion Vector Format"): an array of 32-bit Roaring bitmaps in
 * their portable form. Pure: from bytes to the positions, ascending, as runs, and back.
 */
import type { Run } from './row-set.ts'

/** Bytes that are no bitmap; what read them tells which vector it was. */
export class BadBitmap extends Error {}

const MAGIC_PORTABLE = 1_681_511_377
const COOKIE_PLAIN = 12_346
const COOKIE_RUNS = 12_347
/** Bitmaps with runs and fewer containers than this leave the offsets out. */
const FEWEST_WITH_OFFSETS = 4
/** A container with more positions than this is a bitmap of all of its 65,536. */
const MOST_IN_ARRAY = 4096

/** The runs of a RoaringBitmapArray, adjacent ones not joined. Throws BadBitmap when the bytes end early, or hold something else. */
export function* bitmapArrayRuns(bytes: Uint8Array): Generator<Run> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  try {
    const magic = view.getUint32(0, true)
    if (magic !== MAGIC_PORTABLE) throw new BadBitmap(`its magic number is ${magic} and not ${MAGIC_PORTABLE}`)
    const bitmaps = view.getBigInt64(4, true)
    let at = 12
    for (let i = 0n; i < bitmaps; i++) {
      const high = view.getUint32(at, true)
      // A position above 2^53 would be a row that no Parquet file can have.
      if (high >= 2 ** 21) throw new BadBitmap(`it names rows from ${high} * 2^32 on`)
      at = yield* bitmapRuns(view, at + 4, high * 2 ** 32)
    }
    if (at !== view.byteLength) throw new BadBitmap(`${view.byteLength - at} bytes follow its end`)
  } catch (error) {
    throw error instanceof RangeError ? new BadBitmap('it ends early') : error
  }
}

/** One 32-bit bitmap; answers where it ends. */
function* bitmapRuns(view: DataView, start: number, base: number): Generator<Run, number> {
  const cookie = view.getUint32(start, true)
  let at = start + 4
  let containers: number
  let runFlags: number | null = null
  if ((cookie & 0xffff) === COOKIE_RUNS) {
    containers = (cookie >>> 16) + 1
    runFlags = at
    at += Math.ceil(containers / 8)
  } else if (cookie === COOKIE_PLAIN) {
    containers = view.getUint32(at, true)
    at += 4
  } else {
    throw new BadBitmap(`a bitmap of it begins with ${cookie}`)
  }
  if (containers > 0x10000) throw new BadBitmap(`a bitmap of it has ${containers} containers`)
  const header = at
  at += 4 * containers
  if (runFlags === null || containers >= FEWEST_WITH_OFFSETS) at += 4 * containers
  for (let i = 0; i < containers; i++) {
    const from = base + view.getUint16(header + 4 * i, true) * 0x10000
    const count = view.getUint16(header + 4 * i + 2, true) + 1
    if (runFlags !== null && (view.getUint8(runFlags + (i >> 3)) & (1 << (i & 7))) !== 0) at = yield* runContainer(view, at, from)
    else if (count <= MOST_IN_ARRAY) at = yield* arrayContainer(view, at, from, count)
    else at = yield* bitmapContainer(view, at, from)
  }
  return at
}

function* runContainer(view: DataView, at: number, from: number): Generator<Run, number> {
  const runs = view.getUint16(at, true)
  for (let i = 0; i < runs; i++) {
    const first = from + view.getUint16(at + 2 + 4 * i, true)
    yield [first, first + view.getUint16(at + 4 + 4 * i, true) + 1]
  }
  return at + 2 + 4 * runs
}

function* arrayContainer(view: DataView, at: number, from: number, count: number): Generator<Run, number> {
  for (let i = 0; i < count; i++) {
    const position = from + view.getUint16(at + 2 * i, true)
    yield [position, position + 1]
  }
  return at + 2 * count
}

function* bitmapContainer(view: DataView, at: number, from: number): Generator<Run, number> {
  let start = -1
  for (let byte = 0; byte < 8192; byte++) {
    const bits = view.getUint8(at + byte)
    if ((bits === 0 && start < 0) || (bits === 0xff && start >= 0)) continue
    for (let bit = 0; bit < 8; bit++) {
      const position = from + 8 * byte + bit
      const set = (bits & (1 << bit)) !== 0
      if (set && start < 0) start = position
      if (!set && start >= 0) {
        yield [start, position]
        start = -1
      }
    }
  }
  if (start >= 0) yield [start, from + 0x10000]
  return at + 8192
}

/** The bytes of a RoaringBitmapArray with some runs, ascending and not adjacent; each container in the shortest of its three forms. */
export function bitmapArrayBytes(runs: Iterable<Run>): Uint8Array {
  const bitmaps = new Map<number, Container[]>()
  for (const container of containersOf(runs)) {
    const high = Math.floor(container.key / 0x10000)
    const known = bitmaps.get(high)
    if (known) known.push(container)
    else bitmaps.set(high, [container])
  }
  const head = Buffer.alloc(12)
  head.writeUInt32LE(MAGIC_PORTABLE, 0)
  head.writeBigInt64LE(BigInt(bitmaps.size), 4)
  return Buffer.concat([head, ...[...bitmaps].flatMap(([high, containers]) => [u32(high), ...bitmapParts(containers)])])
}

/** The positions of 65,536 that share their upper bits, `key`, counted from the first of them. */
interface Container {
  readonly key: number
  readonly runs: readonly Run[]
  readonly count: number
}

function* containersOf(runs: Iterable<Run>): Generator<Container> {
  let key = -1
  let inside: Run[] = []
  let count = 0
  for (const [start, end] of runs) {
    for (let at = start; at < end;) {
      const next = Math.floor(at / 0x10000)
      if (next !== key) {
        if (count > 0) yield { key, runs: inside, count }
        key = next
        inside = []
        count = 0
      }
      const until = Math.min(end, (key + 1) * 0x10000)
      inside.push([at - key * 0x10000, until - key * 0x10000])
      count += until - at
      at = until
    }
  }
  if (count > 0) yield { key, runs: inside, count }
}

/** Header, keys with counts, offsets and bodies of one 32-bit bitmap. */
function bitmapParts(containers: readonly Container[]): Buffer[] {
  const asRuns = containers.map(({ runs, count }) => 2 + 4 * runs.length < Math.min(2 * count, 8192))
  const anyRuns = asRuns.includes(true)
  const bodies = containers.map((container, i) =>
    asRuns[i] ? runBytes(container) : container.count > MOST_IN_ARRAY ? bitBytes(container) : arrayBytes(container),
  )
  const keys = Buffer.alloc(4 * containers.length)
  containers.forEach(({ key, count }, i) => {
    keys.writeUInt16LE(key % 0x10000, 4 * i)
    keys.writeUInt16LE(count - 1, 4 * i + 2)
  })
  const flags = Buffer.alloc(anyRuns ? Math.ceil(containers.length / 8) : 0)
  asRuns.forEach((yes, i) => {
    if (yes) flags[i >> 3] = (flags[i >> 3] ?? 0) | (1 << (i & 7))
  })
  const head = anyRuns ? [u32((containers.length - 1) * 0x10000 + COOKIE_RUNS), flags] : [u32(COOKIE_PLAIN), u32(containers.length)]
  if (anyRuns && containers.length < FEWEST_WITH_OFFSETS) return [...head, keys, ...bodies]
  const offsets = Buffer.alloc(4 * containers.length)
  let at = head.reduce((sum, part) => sum + part.length, 0) + keys.length + offsets.length
  bodies.forEach((body, i) => {
    offsets.writeUInt32LE(at, 4 * i)
    at += body.length
  })
  return [...head, keys, offsets, ...bodies]
}

function runBytes({ runs }: Container): Buffer {
  const bytes = Buffer.alloc(2 + 4 * runs.length)
  bytes.writeUInt16LE(runs.length, 0)
  runs.forEach(([start, end], i) => {
    bytes.writeUInt16LE(start, 2 + 4 * i)
    bytes.writeUInt16LE(end - start - 1, 4 + 4 * i)
  })
  return bytes
}

function arrayBytes({ runs, count }: Container): Buffer {
  const bytes = Buffer.alloc(2 * count)
  let at = 0
  for (const [start, end] of runs) for (let position = start; position < end; position++) at = bytes.writeUInt16LE(position, at)
  return bytes
}

function bitBytes({ runs }: Container): Buffer {
  const bytes = Buffer.alloc(8192)
  for (const [start, end] of runs)
    for (let position = start; position < end; position++) bytes[position >> 3] = (bytes[position >> 3] ?? 0) | (1 << (position & 7))
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
