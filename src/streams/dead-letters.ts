/**
 * Records that could not be decoded or validated go to `<topic>.dlq`: the raw bytes, the reason and where they came from.
 * Written with a producer mark made of the source offset, so a replay after a crash adds none twice.
 */
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
}

export function deadLetterSink(stream: string, log: EventLog): Sink {
  return {
    name: 'dead-letters',
    kind: 'dead_letters',
    pace: { records: 20_000, ms: 200 },
    async deliver({ batches, partition }) {
      const bad = batches.flatMap((batch) => batch.bad)
      const last = bad.at(-1)
      if (!last) return
      const id = `dead-letters/${partition}`
      const done = (await log.producerState(deadLetterTopic(stream), id))?.sequence ?? -1
      const fresh = bad.filter(({ offset }) => offset > done)
      if (fresh.length > 0) await log.append(deadLetterTopic(stream), 0, encodeDeadLetters(fresh.map((record) => fromBad(record, partition))), { producer: { id, sequence: last.offset } })
    },
  }
}

export function encodeDeadLetters(letters: readonly DeadLetter[]): RecordBatch {
  return encodeJson(
    letters.map(({ key }) => key),
    letters.map((letter) => JSON.stringify(letter)),
  )
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function fromBad(record: BadRecord, partition: number): DeadLetter {
  return { error: record.code, reason: record.reason, partition, offset: record.offset, key: record.key, ...rawBytes(record.value) }
}

export function rawBytes(bytes: Uint8Array): { readonly text: string } | { readonly base64: string } {
  try {
    const text = utf8.decode(bytes)
    // Postgres and JSON readers elsewhere choke on NUL; base64 keeps such bytes exact.
    return text.includes('\0') ? { base64: Buffer.from(bytes).toString('base64') } : { text }
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') }
  }
}
