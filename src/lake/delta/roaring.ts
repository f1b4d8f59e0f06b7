/**
 * Sets of row positions as deletion vectors hold them (section "Deletion Vector Format"): an array of 32-bit Roaring bitmaps in
 * their portable form. Pure: from bytes to the positions, ascending, as runs.
 */

/** Positions from `start` on, before `end`. */
export type Run = readonly [start: number, end: number]

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
