/** Taking records from producers outside: each is checked against the schema and answered for by itself. */
import type { Stream } from './declare.ts'
import { MAX_RECORD_BYTES, type Decoder } from './decode.ts'
import { encodeJson } from './log/batch.ts'
import { partitionOf } from './log/partition.ts'
import type { EventLog } from './log/port.ts'

export type ProduceResult = { readonly partition: number; readonly offset: number } | { readonly error: { readonly code: string; readonly message: string; readonly field?: string } }

/** A record as it came: parsed, or the reason why it could not be. */
export type Incoming = { readonly message: unknown } | { readonly error: { readonly code: string; readonly message: string } }

const LARGEST_APPEND = 10_000

/** Appends the good records in their order and answers for each, in the order in which they came. */
export async function produce(stream: Stream, decoder: Decoder, log: EventLog, incoming: readonly Incoming[]): Promise<ProduceResult[]> {
  const partitions = stream.options.partitions ?? 1
  const results = Array.from<ProduceResult>({ length: incoming.length })
  const lots = Array.from({ length: partitions }, () => ({ indexes: [] as number[], keys: [] as (string | null)[], values: [] as string[] }))
  incoming.forEach((record, index) => {
    if ('error' in record) {
      results[index] = record
      return
    }
    const refusal = decoder.check(record.message)
    if (refusal) {
      results[index] = { error: { code: refusal.code, message: refusal.reason, ...(refusal.field === undefined ? {} : { field: refusal.field }) } }
      return
    }
    const value = JSON.stringify(record.message)
    if (value.length > MAX_RECORD_BYTES) {
      results[index] = { error: { code: 'too_large', message: `the record has ${value.length} bytes, at most ${MAX_RECORD_BYTES} are taken` } }
      return
    }
    const key = keyOf(stream, record.message)
    const lot = lots[partitionOf(key, partitions, index)]
    lot?.indexes.push(index)
    lot?.keys.push(key)
    lot?.values.push(value)
  })
  for (const [partition, lot] of lots.entries()) {
    for (let start = 0; start < lot.values.length; start += LARGEST_APPEND) {
      const end = Math.min(start + LARGEST_APPEND, lot.values.length)
      const { baseOffset } = await log.append(stream.name, partition, encodeJson(lot.keys.slice(start, end), lot.values.slice(start, end)))
      for (let i = start; i < end; i++) results[lot.indexes[i] ?? 0] = { partition, offset: baseOffset + i - start }
    }
  }
  return results
}

/** The records of a request body: a JSON array, one JSON object, or one JSON text a line. */
export function parseBody(bytes: Uint8Array, ndjson: boolean): Incoming[] {
  if (!ndjson) {
    const parsed = parse(bytes)
    if ('error' in parsed) return [parsed]
    return Array.isArray(parsed.message) ? parsed.message.map((message: unknown) => ({ message })) : [parsed]
  }
  const records: Incoming[] = []
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(0x0a, start)
    const end = newline < 0 ? bytes.length : newline
    const line = bytes.subarray(start, end)
    start = end + 1
    if (line.every((byte) => byte === 0x20 || byte === 0x0d || byte === 0x09)) continue
    records.push(line.length > MAX_RECORD_BYTES ? { error: { code: 'too_large', message: `the line has ${line.length} bytes, at most ${MAX_RECORD_BYTES} are taken` } } : parse(line))
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

/** The value of the key field after upcasting would cost a second decode; a plain field is enough for choosing a partition. */
function keyOf(stream: Stream, message: unknown): string | null {
  const field = stream.options.key
  if (field === undefined || typeof message !== 'object' || message === null) return null
  const record: Readonly<Record<string, unknown>> = { ...message }
  const value = record[field] ?? upcastKey(stream, record, field)
  return value === null || value === undefined ? null : String(value)
}

function upcastKey(stream: Stream, record: Readonly<Record<string, unknown>>, field: string): unknown {
  const upcast: Readonly<Record<string, unknown>> = stream.options.upcast?.(record) ?? {}
  return upcast[field]
}
