/**
 * Record batches that others compressed. What one unfolds to is known to be bounded before memory is taken for it, since whoever may
 * write to a topic could make a few kilobytes stand for gigabytes.
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { invalid, overLimit } from '../../../base/index.ts'
import type { Library } from './wire.ts'

/** A batch that unfolds to more than this is somebody's mistake or worse. */
const MOST_UNFOLDED = 256 * 1024 * 1024

/** The records of a batch by the codec that its attributes name; `offset` is the batch's, for who must look for it. */
export function decompress(library: Library, payload: Buffer, codec: number, offset: number): Buffer {
  try {
    switch (codec) {
      case 0:
        return payload
      case 1:
        return gunzipSync(payload, { maxOutputLength: MOST_UNFOLDED })
      case 2:
        bounded(snappySize(payload))
        return library.compressionsAlgorithms.snappy.decompressSync(payload)
      case 3:
        bounded(lz4Size(payload))
        return library.compressionsAlgorithms.lz4.decompressSync(payload)
      case 4:
        return zstdDecompressSync(payload, { maxOutputLength: MOST_UNFOLDED })
    }
  } catch (error) {
    if (error instanceof RangeError && error.message.includes('larger than'))
      throw overLimit('streams.batch_too_large', `The record batch at offset ${offset} unfolds to more than ${MOST_UNFOLDED} bytes`, {
        hint: 'Let the producer send smaller batches, and move the sinks beyond this one.',
        cause: error,
      })
    throw damaged(offset, 'cannot be decompressed', error)
  }
  throw damaged(offset, `is compressed in a way (${codec}) that is not known`)
}

export function damaged(offset: number, what: string, cause?: unknown): Error {
  return invalid('streams.damaged_batch', `The record batch at offset ${offset} ${what}`, {
    hint: "Look at it with Kafka's own tools; what wrote it is not this program, or the broker's disk is damaged.",
    cause,
  })
}

function bounded(size: number): void {
  if (size > MOST_UNFOLDED) throw new RangeError(`It would be larger than ${MOST_UNFOLDED} bytes`)
}

/** How Java's producers frame snappy: a header of 16 bytes, then blocks that each begin with their length. */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])

/** A block of snappy begins with the size that it unfolds to. */
function snappySize(bytes: Buffer): number {
  if (!bytes.subarray(0, XERIAL.length).equals(XERIAL)) return leadingVarint(bytes, 0)
  let size = 0
  for (let at = 16; at + 4 <= bytes.length; at += 4 + bytes.readUInt32BE(at)) size += leadingVarint(bytes, at + 4)
  return size
}

function leadingVarint(bytes: Buffer, start: number): number {
  let value = 0
  for (let i = 0; i < 5; i++) {
    const byte = bytes[start + i] ?? 0
    value += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) break
  }
  return value
}

/** Walks through a frame of LZ4 and adds up what its blocks say. (https://github.com/lz4/lz4/tree/dev/doc) */
function lz4Size(bytes: Buffer): number {
  const flags = bytes[4] ?? 0
  const [hasChecksums, hasSize, hasDictionary] = [(flags & 0x10) !== 0, (flags & 0x08) !== 0, (flags & 0x01) !== 0]
  let size = 0
  for (let at = 7 + (hasSize ? 8 : 0) + (hasDictionary ? 4 : 0); at + 4 <= bytes.length;) {
    const header = bytes.readUInt32LE(at)
    if (header === 0) break
    const length = header & 0x7fff_ffff
    size += header >= 0x8000_0000 ? length : lz4BlockSize(bytes, at + 4, Math.min(at + 4 + length, bytes.length))
    at += 4 + length + (hasChecksums ? 4 : 0)
  }
  return size
}

function lz4BlockSize(bytes: Buffer, start: number, end: number): number {
  let size = 0
  let at = start
  /** A length of 15 goes on in the bytes that follow, up to the first that is not 255. */
  const long = (length: number): number => {
    if (length < 15) return length
    for (let byte = 255; byte === 255 && at < end; length += byte) byte = bytes[at++] ?? 0
    return length
  }
  while (at < end) {
    const token = bytes[at++] ?? 0
    const literals = long(token >> 4)
    size += literals
    at += literals
    if (at >= end) break
    at += 2
    size += long(token & 0x0f) + 4
  }
  return size
}
