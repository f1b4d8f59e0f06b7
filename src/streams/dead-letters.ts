/**
 * Records that could not be decoded or validated go to `<topic>.dlq`: the raw bytes, the reason and where they came from.
 * Written with a producer mark made of the source offset, so a replay after a crash adds none twice.
 */
import { t, type Schema } from '../base/index.ts'
import { encodeJson, type RecordBatch } from './log/batch.ts'
import type { EventLog } from './log/port.ts'
import type { BadRecord, Sink } from './sink.ts'

export const deadLetterTopic = (stream: string): string => `${stream}.dlq`

export interface DeadLetter {
  readonly error: string
  readonly reason: string
  /** Where it was in the stream, or null for what never got in (a broken line of a file). */
  readonly partition: number | null
  readonly offset: number | null
  readonly key: string | null
  /** The bytes as text when they are UTF-8, else in base64. */
  readonly text?: string
  readonly base64?: string
  /** How many bytes there were, when only the first of them are here. */
  readonly bytes?: number
}

/** A dead letter as a record of its own stream, for catalogues and filters. */
export const LETTER_SCHEMA: Schema = {
  error: t.string().describe('The code of the fault'),
  reason: t.string().describe('What is wrong with the record'),
  partition: t.int().nullable(),
  offset: t.long().nullable(),
  key: t.string().nullable(),
  text: t.string().nullable().describe('The bytes of the record, where they are text'),
  base64: t.string().nullable().describe('The bytes of the record, where they are none'),
  bytes: t.long().nullable().describe('How many bytes there were, when only the first of them are kept'),
}

/** The dead letter that a record of the topic holds; null when it holds something else. */
export function readLetter(value: Uint8Array): DeadLetter | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(value).toString('utf8'))
  } catch {
    return null
  }
  if (typeof parsed !== 'object' || parsed === null) return null
  const fields = new Map<string, unknown>(Object.entries(parsed))
  const text = (name: string): string | null => ((field) => (typeof field === 'string' ? field : null))(fields.get(name))
  const number = (name: string): number | null => ((field) => (typeof field === 'number' ? field : null))(fields.get(name))
  const [error, reason, kept, base64, bytes] = [text('error'), text('reason'), text('text'), text('base64'), number('bytes')]
  if (error === null || reason === null) return null
  return {
    error,
    reason,
    partition: number('partition'),
    offset: number('offset'),
    key: text('key'),
    ...(kept === null ? {} : { text: kept }),
    ...(base64 === null ? {} : { base64 }),
    ...(bytes === null ? {} : { bytes }),
  }
}

export function deadLetterSink(stream: string, log: EventLog): Sink {
  return {
    name: 'dead-letters',
    kind: 'dead_letters',
    pace: { records: 20_000, ms: 200 },
    async deliver({ batches, partition }) {
      const bad = batches.flatMap((batch) => batch.bad)
      if (bad.length === 0) return
      const topic = deadLetterTopic(stream)
      const id = `dead-letters/${partition}`
      const done = (await log.producerState(topic, id))?.sequence ?? -1
      for (const lot of lots(bad.filter(({ offset }) => offset > done))) {
        await log.append(topic, 0, encodeDeadLetters(lot.map((record) => fromBad(record, partition))), {
          producer: { id, sequence: lot.at(-1)?.offset ?? done },
        })
      }
    },
  }
}

/** What is kept of a record: its first bytes are enough to know it by, and the record itself is in the stream. */
const LARGEST_EXCERPT = 64 * 1024
const LOT_BYTES = 8 * 1024 * 1024

/** Lots that are small enough for one append. */
function* lots(bad: readonly BadRecord[]): Generator<readonly BadRecord[]> {
  let from = 0
  let bytes = 0
  for (const [index, { value }] of bad.entries()) {
    bytes += Math.min(value.length, LARGEST_EXCERPT)
    if (bytes < LOT_BYTES && index < bad.length - 1) continue
    yield bad.slice(from, index + 1)
    from = index + 1
    bytes = 0
  }
}

export function encodeDeadLetters(letters: readonly DeadLetter[]): RecordBatch {
  return encodeJson(
    letters.map(({ key }) => key),
    letters.map((letter) => JSON.stringify(letter)),
  )
}

function fromBad({ code, reason, offset, key, value }: BadRecord, partition: number): DeadLetter {
  return { error: code, reason, partition, offset, key, ...rawBytes(value) }
}

/** A mark of byte order is kept: the text must be the bytes. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function rawBytes(bytes: Uint8Array): Pick<DeadLetter, 'text' | 'base64' | 'bytes'> {
  if (bytes.length > LARGEST_EXCERPT) return { ...rawBytes(bytes.subarray(0, wholeCharacters(bytes, LARGEST_EXCERPT))), bytes: bytes.length }
  try {
    const text = utf8.decode(bytes)
    // Postgres and JSON readers elsewhere choke on NUL; base64 keeps such bytes exact.
    if (!text.includes('\0')) return { text }
  } catch {
    // Not text: base64 keeps it exact.
  }
  return { base64: Buffer.from(bytes).toString('base64') }
}

/** The longest length up to `most` that cuts no UTF-8 character: continuation bytes begin with the bits 10. */
function wholeCharacters(bytes: Uint8Array, most: number): number {
  for (let length = most; length > most - 4; length--) if (((bytes[length] ?? 0) & 0xc0) !== 0x80) return length
  return most
}
