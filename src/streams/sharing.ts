/**
 * One decoding for all lanes of a stream. Lanes go at their own pace, so a batch is kept until each of them has passed it. When there is no more
 * room, what the foremost lane decodes is not kept: those behind it then find all that they come to next, and make room as they go.
 */
import type { Decoder } from './decode.ts'
import type { RecordBatch } from './log/batch.ts'
import type { DecodedBatch } from './sink.ts'

export interface SharedDecoder {
  /** For a lane, which passes the batch with this. */
  pass(partition: number, batch: RecordBatch, from: number): DecodedBatch
  /** For one who only looks. */
  look(partition: number, batch: RecordBatch, from: number): DecodedBatch
  clear(): void
}

interface Kept {
  readonly decoded: DecodedBatch
  readonly size: number
  /** Lanes that have not passed it. */
  left: number
  usedAt: number
}

/** Of all streams of this process together. */
const MOST_BYTES = 48 * 1024 * 1024
/** A lane that does not come in this time has stopped, or is far away. */
const FORGOTTEN_MS = 5_000

let held = 0

export function shareDecoded(decoder: Decoder, lanes: () => number): SharedDecoder {
  const kept = new Map<string, Kept>()

  const drop = (name: string, { size }: Kept): void => {
    kept.delete(name)
    held -= size
  }

  const of = (partition: number, batch: RecordBatch, from: number, passes: boolean): DecodedBatch => {
    if (from !== batch.baseOffset) return decoder.decode(batch, from)
    const name = `${partition}/${batch.baseOffset}`
    const known = kept.get(name)
    if (known && known.decoded.upTo === batch.baseOffset + batch.count) {
      known.usedAt = performance.now()
      if (passes && --known.left <= 0) drop(name, known)
      return known.decoded
    }
    if (known) drop(name, known)
    const decoded = decoder.decode(batch)
    const one: Kept = { decoded, size: batch.bytes.length, left: lanes() - (passes ? 1 : 0), usedAt: performance.now() }
    if (one.left <= 0) return decoded
    if (held + one.size > MOST_BYTES) for (const [other, entry] of kept) if (one.usedAt - entry.usedAt > FORGOTTEN_MS) drop(other, entry)
    if (held + one.size > MOST_BYTES) return decoded
    kept.set(name, one)
    held += one.size
    return decoded
  }

  return {
    pass: (partition, batch, from) => of(partition, batch, from, true),
    look: (partition, batch, from) => of(partition, batch, from, false),
    clear() {
      for (const [name, entry] of kept) drop(name, entry)
    },
  }
}
