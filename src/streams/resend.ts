/**
 * Dead letters back into their stream: the raw bytes, as they first came, to the partition where they were. Each letter leaves a
 * producer's mark of its own in the stream, stored with the record, so however often, and by however many, it is sent again, it is there
 * once more and not twice. What is still bad becomes a new letter.
 */
import { invalid, LagoaError } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { DeadLetter } from './dead-letters.ts'
import { deadLetterTopic, readLetter } from './dead-letters.ts'
import { encodeRecords, recordsOf, type NewRecord, type RecordView } from './log/batch.ts'
import type { EventLog } from './log/port.ts'
import { loadOffset, moveOffset, type OffsetKey } from './offsets.ts'

export interface ResendRequest {
  /** Offsets of the letters in `<stream>.dlq`; `all` takes those that came since the last time that all were sent. */
  readonly letters: readonly number[] | 'all'
  /** At most this many. */
  readonly limit: number
  /** Goes in place of what came, for the only one of `letters`: a record that was mended by hand. */
  readonly instead?: NewRecord & { readonly partition: number }
  readonly signal?: AbortSignal
}

export interface ResendResult {
  readonly resent: number
  /** Letters that had been sent again before. */
  readonly already: number
  /** Letters that cannot be sent, and why, each reason once. */
  readonly skipped: number
  readonly reasons: readonly string[]
  /** Letters that are left because of the limit. */
  readonly left: number
}

/** The letters of a stream, the newest first. */
export interface LettersPage {
  readonly letters: readonly ListedLetter[]
  /** The offset before which older letters are; null at the oldest. */
  readonly before: number | null
  /** Letters that the log keeps. */
  readonly kept: number
  /** Letters that came since the last time that all were sent. */
  readonly waiting: number
}

export interface ListedLetter {
  /** In `<stream>.dlq`. */
  readonly offset: number
  /** Epoch milliseconds at which it became a letter. */
  readonly time: number
  /** Null when the record holds something else than a letter. */
  readonly letter: DeadLetter | null
  readonly value: Uint8Array
  readonly isResent: boolean
}

const MOST_REASONS = 10

export async function resend(stream: string, log: EventLog, records: Records, { letters, limit, instead, signal }: ResendRequest): Promise<ResendResult> {
  const tally = { resent: 0, already: 0, skipped: 0 }
  const reasons = new Set<string>()
  const send = async (letter: RecordView): Promise<void> => {
    signal?.throwIfAborted()
    const outcome = await resendOne(stream, log, letter, instead)
    if (outcome === 'resent' || outcome === 'already') tally[outcome]++
    else {
      tally.skipped++
      if (reasons.size < MOST_REASONS) reasons.add(outcome.reason)
    }
  }
  const left = letters === 'all' ? await sendAll(stream, log, records, limit, send) : await sendChosen(stream, log, letters, limit, send)
  return { ...tally, reasons: [...reasons], left }
}

async function sendAll(stream: string, log: EventLog, records: Records, limit: number, send: (letter: RecordView) => Promise<void>): Promise<number> {
  const topic = deadLetterTopic(stream)
  const place: OffsetKey = { stream: topic, sink: 'resend', partition: 0 }
  const end = (await log.ends(topic))[0] ?? 0
  const stored = await loadOffset(records, place)
  let next = stored ?? 0
  let count = 0
  read: while (next < end) {
    const batches = await log.read(topic, 0, next, { maxRecords: limit - count })
    if (batches.length === 0) break
    for (const batch of batches) {
      for (const letter of recordsOf(batch)) {
        if (letter.offset < next || letter.offset >= end) continue
        if (count >= limit) break read
        await send(letter)
        count++
        next = letter.offset + 1
      }
      next = Math.max(next, batch.baseOffset + batch.count)
    }
    if (count >= limit) break
  }
  if (next > (stored ?? 0))
    await moveOffset(records, place, stored, next).catch((error: unknown) => {
      // Somebody else sent them at the same time: the marks saw to it that nothing came twice.
      if (!(error instanceof LagoaError) || error.kind !== 'conflict') throw error
    })
  return Math.max(0, end - next)
}

async function sendChosen(
  stream: string,
  log: EventLog,
  offsets: readonly number[],
  limit: number,
  send: (letter: RecordView) => Promise<void>,
): Promise<number> {
  const topic = deadLetterTopic(stream)
  const wanted = [...new Set(offsets)].sort((a, b) => a - b)
  for (const offset of wanted.slice(0, limit)) {
    const letter = await recordAt(log, topic, 0, offset)
    if (!letter)
      throw invalid('streams.no_letter', `${topic} has no record at offset ${offset}`, {
        hint: `lagoa streams dead-letters ${stream} lists those that are there.`,
      })
    await send(letter)
  }
  return Math.max(0, wanted.length - limit)
}

async function resendOne(
  stream: string,
  log: EventLog,
  { offset, value }: RecordView,
  instead: ResendRequest['instead'],
): Promise<'resent' | 'already' | { readonly reason: string }> {
  const letter = readLetter(value)
  if (!letter) return { reason: 'it is no dead letter' }
  if (instead) return sendAs(stream, log, offset, instead)
  if (letter.partition === null) return { reason: 'it is a line of a file that could not be read: mend the file, and give it again' }
  const bytes = await rawOf(stream, log, letter, letter.partition)
  if (!bytes) return { reason: 'only the first of its bytes are kept, and the stream no longer has the record' }
  return sendAs(stream, log, offset, { key: letter.key, value: bytes, partition: letter.partition })
}

/** Appends it as what the letter at the offset becomes, unless that was done before. */
async function sendAs(
  stream: string,
  log: EventLog,
  offset: number,
  { partition, ...record }: NewRecord & { readonly partition: number },
): Promise<'resent' | 'already'> {
  const { duplicate } = await log.append(stream, partition, encodeRecords([record]), { producer: { id: markOf(offset), sequence: 1 } })
  return duplicate ? 'already' : 'resent'
}

/** The producer's mark that a letter leaves in the stream when it is sent again. */
const markOf = (offset: number): string => `resend/${offset}`

/** Marks that are looked up at the same time. */
const LOOKED_UP = 8

/** At most `limit` letters before the offset, or the newest. */
export async function listLetters(
  stream: string,
  log: EventLog,
  records: Records,
  { before, limit, signal }: { readonly before?: number | undefined; readonly limit: number; readonly signal?: AbortSignal },
): Promise<LettersPage> {
  const topic = deadLetterTopic(stream)
  const place: OffsetKey = { stream: topic, sink: 'resend', partition: 0 }
  const [[part], sentUpTo] = await Promise.all([log.offsets(topic), loadOffset(records, place)])
  const { earliest, next } = part ?? { earliest: 0, next: 0 }
  const end = Math.max(earliest, Math.min(before ?? next, next))
  const from = Math.max(earliest, end - limit)
  const found: RecordView[] = []
  const times = new Map<number, number>()
  for (let at = from; at < end;) {
    signal?.throwIfAborted()
    const batches = await log.read(topic, 0, at, { maxRecords: limit })
    if (batches.length === 0) break
    for (const batch of batches) {
      for (const letter of recordsOf(batch)) {
        if (letter.offset < at || letter.offset >= end) continue
        found.push(letter)
        times.set(letter.offset, batch.appendedAt)
      }
      at = Math.max(at + 1, batch.baseOffset + batch.count)
    }
  }
  const resent = new Set<number>()
  for (let i = 0; i < found.length; i += LOOKED_UP) {
    signal?.throwIfAborted()
    const lot = found.slice(i, i + LOOKED_UP)
    const marks = await Promise.all(lot.map(({ offset }) => log.producerState(stream, markOf(offset))))
    for (const [n, mark] of marks.entries()) if (mark) resent.add(lot[n]?.offset ?? -1)
  }
  const letters = found
    .reverse()
    .map(({ offset, value }) => ({ offset, time: times.get(offset) ?? 0, letter: readLetter(value), value, isResent: resent.has(offset) }))
  return { letters, before: from > earliest ? from : null, kept: next - earliest, waiting: Math.max(0, next - Math.max(earliest, sentUpTo ?? 0)) }
}

/** A letter holds the first bytes of a long record; the whole one is in the stream for as long as that keeps it. */
async function rawOf(stream: string, log: EventLog, letter: DeadLetter, partition: number): Promise<Uint8Array | null> {
  if (letter.bytes !== undefined) return letter.offset === null ? null : ((await recordAt(log, stream, partition, letter.offset))?.value ?? null)
  if (letter.text !== undefined) return Buffer.from(letter.text)
  return letter.base64 === undefined ? null : Buffer.from(letter.base64, 'base64')
}

async function recordAt(log: EventLog, topic: string, partition: number, offset: number): Promise<RecordView | null> {
  for (const batch of await log.read(topic, partition, offset, { maxRecords: 1 }))
    for (const record of recordsOf(batch, Math.max(0, offset - batch.baseOffset))) if (record.offset === offset) return record
  return null
}
