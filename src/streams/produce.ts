/** Taking records from producers outside: each is checked against the schema and answered for by itself. */
import { toLagoaError, type LagoaError } from '../base/index.ts'
import type { Stream } from './declare.ts'
import { MAX_RECORD_BYTES, type Decoder } from './decode.ts'
import { encodeJson } from './log/batch.ts'
import { partitionOf } from './log/partition.ts'
import type { EventLog } from './log/port.ts'

export type ProduceResult =
  | { readonly partition: number; readonly offset: number }
  | { readonly error: { readonly code: string; readonly message: string; readonly field?: string } }

/** A record as it came: parsed, or the reason why it could not be. */
export type Incoming = { readonly message: unknown } | { readonly error: { readonly code: string; readonly message: string } }

const LARGEST_APPEND = 10_000

/**
 * Appends the good records in their order and answers for each, in the order in which they came. When the log fails, what was not
 * stored is answered with its error, so that nobody sends again what was; when nothing was stored, the whole call rejects.
 */
export async function produce(stream: Stream, decoder: Decoder, log: EventLog, incoming: readonly Incoming[]): Promise<ProduceResult[]> {
  const partitions = stream.options.partitions ?? 1
  // Records without a key are dealt out in turn, from another partition each time.
  const turn = Math.floor(Math.random() * partitions)
  const lots = Array.from({ length: partitions }, () => ({ indexes: [] as number[], keys: [] as (string | null)[], values: [] as string[] }))
  const results = incoming.map((record, index): ProduceResult => {
    const checked = 'error' in record ? record : checkRecord(stream, decoder, record.message)
    if ('error' in checked) return checked
    const lot = lots[partitionOf(checked.key, partitions, turn + index)]
    lot?.indexes.push(index)
    lot?.keys.push(checked.key)
    lot?.values.push(checked.value)
    return { error: NOT_STORED }
  })
  let stored = 0
  let failure: LagoaError | undefined
  for (const [partition, { indexes, keys, values }] of lots.entries()) {
    for (let start = 0; start < values.length; start += LARGEST_APPEND) {
      const lot = indexes.slice(start, start + LARGEST_APPEND)
      try {
        const { baseOffset } = await log.append(
          stream.name,
          partition,
          encodeJson(keys.slice(start, start + LARGEST_APPEND), values.slice(start, start + LARGEST_APPEND)),
        )
        lot.forEach((index, i) => (results[index] = { partition, offset: baseOffset + i }))
        stored += lot.length
      } catch (error) {
        failure = toLagoaError(error)
        const { code, message } = failure
        for (const index of lot) results[index] = { error: { code, message } }
        // What comes later in this partition must not overtake what failed.
        for (const index of indexes.slice(start + lot.length)) results[index] = { error: NOT_STORED }
        break
      }
    }
  }
  if (failure && stored === 0) throw failure
  return results
}

const NOT_STORED = { code: 'not_stored', message: 'the record was not stored, because one before it could not be' }

export type CheckedRecord =
  | { readonly key: string | null; readonly value: string }
  | { readonly error: { readonly code: string; readonly message: string; readonly field?: string } }

/** The key and the text under which a record goes into the log, or why it may not. */
export function checkRecord(stream: Stream, decoder: Decoder, message: unknown): CheckedRecord {
  const refusal = decoder.check(message)
  if (refusal) return { error: { code: refusal.code, message: refusal.reason, ...(refusal.field === undefined ? {} : { field: refusal.field }) } }
  let value: string
  try {
    value = JSON.stringify(message)
  } catch {
    return { error: { code: 'too_deep', message: 'the record is nested too deeply' } }
  }
  const size = Buffer.byteLength(value)
  if (size > MAX_RECORD_BYTES) return { error: { code: 'too_large', message: `the record has ${size} bytes, at most ${MAX_RECORD_BYTES} are taken` } }
  return { key: keyOf(stream, message), value }
}

/** The records of a request body: a JSON array, one JSON object, or one JSON text a line. */
export function parseBody(bytes: Uint8Array, ndjson: boolean): Incoming[] {
  if (!ndjson) {
    const parsed = parse(bytes)
    if ('error' in parsed) return [parsed]
    return Array.isArray(parsed.message) ? parsed.message.map((message: unknown) => ({ message })) : [parsed]
  }
  const records: Incoming[] = []
  for (let start = 0; start < bytes.length;) {
    const newline = bytes.indexOf(0x0a, start)
    const end = newline < 0 ? bytes.length : newline
    const line = bytes.subarray(start, end)
    start = end + 1
    if (line.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09)) continue
    records.push(
      line.length > MAX_RECORD_BYTES
        ? { error: { code: 'too_large', message: `the line has ${line.length} bytes, at most ${MAX_RECORD_BYTES} are taken` } }
        : parse(line),
    )
  }
  return records
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function parse(bytes: Uint8Array): Incoming {
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return { error: { code: 'not_utf8', message: 'the bytes are not valid UTF-8' } }
  }
  try {
    return { message: JSON.parse(text) as unknown }
  } catch (error) {
    return { error: { code: 'not_json', message: error instanceof Error ? error.message : 'not JSON' } }
  }
}

/** The key field of the record as the stream's readers will see it, after upcasting. */
function keyOf({ options }: Stream, message: unknown): string | null {
  if (options.key === undefined || typeof message !== 'object' || message === null) return null
  const record: Readonly<Record<string, unknown>> = { ...message }
  const seen: Readonly<Record<string, unknown>> = options.upcast?.(record) ?? record
  const value = seen[options.key]
  return value === null || value === undefined ? null : String(value)
}
