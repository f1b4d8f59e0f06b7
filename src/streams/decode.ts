/**
 * From bytes to typed columns, once for all sinks: parse the JSON, bring it to the schema, check every field.
 * A record that fails is set aside with the reason; its neighbours are not touched.
 */
import { emptyColumn, truncateRows, type Field, type NumberColumn, type RowColumn, type Schema, type TextColumn } from '../base/index.ts'
import { jsonArrayText, recordsOf, type RecordBatch, type RecordView } from './log/batch.ts'
import { parseDate, parseTimestamp } from './time.ts'
import type { BadRecord, DecodedBatch, UnknownField } from './sink.ts'
import type { StreamOptions } from './declare.ts'

export interface Decoder {
  /** Decodes the records at and after `from`. */
  decode(batch: RecordBatch, from?: number): DecodedBatch
  /** Why this message is refused, or null when it is good: for producers that want to know before they append. */
  check(message: unknown): Refusal | null
}

export interface Refusal {
  readonly code: string
  readonly reason: string
  readonly field?: string
}

/** A JSON text longer than this is a dead letter: no sensor sends it, and one of them must not fill the memory. */
export const MAX_RECORD_BYTES: number = 1024 * 1024

export function createDecoder<S extends Schema>(options: Pick<StreamOptions<S>, 'schema' | 'upcast'>): Decoder {
  const { schema } = options
  const fields = Object.entries(schema)
  const upcast = options.upcast

  const write = (
    setters: readonly Setter[],
    row: number,
    message: unknown,
    stranger: ((record: Readonly<Record<string, unknown>>) => void) | null = null,
  ): Refusal | null => {
    if (!isRecord(message)) {
      return {
        code: 'not_an_object',
        reason: `a record must be a JSON object, this is ${message === null ? 'null' : Array.isArray(message) ? 'an array' : `a ${typeof message}`}`,
      }
    }
    let record = message
    if (upcast) {
      let raised: unknown
      try {
        raised = upcast(record)
      } catch (error) {
        return { code: 'upcast_failed', reason: `upcast threw: ${excerpt(error instanceof Error ? error.message : String(error))}` }
      }
      if (!isRecord(raised)) return { code: 'upcast_failed', reason: 'upcast did not return an object' }
      record = raised
    }
    let known = 0
    for (const { name, inherited, set } of setters) {
      // `constructor` and its like are found on every object; only the record's own field counts.
      const value = inherited && !Object.hasOwn(record, name) ? undefined : record[name]
      if (value !== undefined) known++
      const fault = set(row, value)
      if (fault !== null) return { code: fault.code, reason: `${name}: ${fault.reason}`, field: name }
    }
    // Counting is all that most records cost; only one that carries more than is known is looked at.
    if (stranger !== null && fieldCount(record) > known) stranger(record)
    return null
  }

  const decode = (batch: RecordBatch, from: number = batch.baseOffset): DecodedBatch => {
    const skip = Math.min(Math.max(0, from - batch.baseOffset), batch.count)
    const count = batch.count - skip
    const columns = fields.map(([name, field]) => emptyColumn(name, field, count))
    const setters = columns.map(setterOf)
    const offsets = new Float64Array(count)
    const bad: BadRecord[] = []
    let rows = 0
    const unknown = new Map<string, { count: number; first: number; samples: unknown[] }>()
    let at = 0
    const stranger = (record: Readonly<Record<string, unknown>>): void => noteUnknown(unknown, schema, record, at)
    const take = (index: number, message: unknown): Refusal | null => {
      at = batch.baseOffset + index
      const refusal = write(setters, rows, message, stranger)
      if (refusal === null) offsets[rows++] = at
      return refusal
    }

    const messages = batch.wellFormed ? parseAll(batch) : null
    if (messages) {
      const refusals = new Map<number, Refusal>()
      for (let i = skip; i < batch.count; i++) {
        const refusal = take(i, messages[i])
        if (refusal) refusals.set(i, refusal)
      }
      if (refusals.size > 0) {
        for (const view of recordsOf(batch)) {
          const refusal = refusals.get(view.offset - batch.baseOffset)
          if (refusal) bad.push(badRecord(view, refusal))
        }
      }
    } else {
      for (const view of recordsOf(batch, skip)) {
        const parsed = parseOne(view.value)
        const refusal = 'refusal' in parsed ? parsed.refusal : take(view.offset - batch.baseOffset, parsed.message)
        if (refusal) bad.push(badRecord(view, refusal))
      }
    }
    return {
      from: batch.baseOffset + skip,
      upTo: batch.baseOffset + batch.count,
      appendedAt: batch.appendedAt,
      rows: truncateRows({ count, columns }, rows),
      offsets: offsets.subarray(0, rows),
      bad,
      ...(unknown.size > 0 ? { unknown } : {}),
    }
  }

  const scratch = fields.map(([name, field]) => setterOf(emptyColumn(name, field, 1)))
  return { decode, check: (message) => write(scratch, 0, message) }
}

function fieldCount(record: Readonly<Record<string, unknown>>): number {
  let count = 0
  for (const name in record) if (name !== '') count++
  return count
}

/** At most this many unknown fields are told of a batch, each with a few short values: senders choose both. */
const MOST_UNKNOWN = 20
const UNKNOWN_SAMPLES = 5
const LONGEST_SAMPLE = 200
const LONGEST_NAME = 100

function noteUnknown(
  unknown: Map<string, { count: number; first: number; samples: unknown[] } & UnknownField>,
  schema: Schema,
  record: Readonly<Record<string, unknown>>,
  offset: number,
): void {
  for (const name of Object.keys(record)) {
    if (Object.hasOwn(schema, name) || record[name] === undefined || name.length > LONGEST_NAME) continue
    let seen = unknown.get(name)
    if (!seen) {
      if (unknown.size >= MOST_UNKNOWN) continue
      seen = { count: 0, first: offset, samples: [] }
      unknown.set(name, seen)
    }
    seen.count++
    if (seen.samples.length < UNKNOWN_SAMPLES) seen.samples.push(shortSample(record[name]))
  }
}

function shortSample(value: unknown): unknown {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > LONGEST_SAMPLE ? `${text.slice(0, LONGEST_SAMPLE)}…` : text
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)

/** All values by one parse; null when they are not what their writer said, to be read one by one. */
function parseAll(batch: RecordBatch): readonly unknown[] | null {
  try {
    const parsed: unknown = JSON.parse(jsonArrayText(batch))
    return Array.isArray(parsed) && parsed.length === batch.count ? parsed : null
  } catch {
    return null
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function parseOne(value: Buffer): { readonly message: unknown } | { readonly refusal: Refusal } {
  if (value.length > MAX_RECORD_BYTES)
    return { refusal: { code: 'too_large', reason: `the record has ${value.length} bytes, at most ${MAX_RECORD_BYTES} are taken` } }
  let text: string
  try {
    text = utf8.decode(value)
  } catch {
    return { refusal: { code: 'not_utf8', reason: 'the bytes are not valid UTF-8' } }
  }
  try {
    return { message: JSON.parse(text) as unknown }
  } catch (error) {
    return { refusal: { code: 'not_json', reason: error instanceof Error ? error.message : 'not JSON' } }
  }
}

function badRecord({ offset, key, value }: RecordView, { code, reason }: Refusal): BadRecord {
  return { offset, key, value, code, reason }
}

interface Setter {
  readonly name: string
  /** Whether every object has something under this name. */
  readonly inherited: boolean
  /** Puts the value into a row of the column, or tells why it cannot. */
  readonly set: (row: number, value: unknown) => Fault | null
}

interface Fault {
  readonly code: string
  readonly reason: string
}

function setterOf(column: RowColumn): Setter {
  return {
    name: column.name,
    inherited: column.name in Object.prototype,
    set: column.kind === 'text' ? setText(column) : column.field.type === 'double' ? setDouble(column) : setNumber(column),
  }
}

function setText({ field, values }: TextColumn): Setter['set'] {
  const convert = field.type === 'json' ? jsonText : text
  return (row, value) => {
    if (value === null || value === undefined) {
      values[row] = null
      return absent(field, value)
    }
    const converted = convert(value)
    if (typeof converted !== 'string') return converted
    values[row] = converted
    return null
  }
}

/** Most fields of most streams are doubles, so they get the short way. */
function setDouble({ field, values, valid }: NumberColumn): Setter['set'] {
  return (row, value) => {
    if (typeof value === 'number' && Number.isFinite(value)) {
      values[row] = value
      valid[row] = 1
      return null
    }
    values[row] = 0
    valid[row] = 0
    return value === null || value === undefined ? absent(field, value) : wrongType(field, value)
  }
}

function setNumber({ field, values, valid }: NumberColumn): Setter['set'] {
  const convert = NUMBER_TYPES[field.type]
  return (row, value) => {
    if (value === null || value === undefined) {
      values[row] = 0
      valid[row] = 0
      return absent(field, value)
    }
    const number = convert(value)
    if (Number.isNaN(number)) return wrongType(field, value)
    values[row] = number
    valid[row] = 1
    return null
  }
}

function absent(field: Field, value: null | undefined): Fault | null {
  if (field.isNullable) return null
  return value === undefined ? { code: 'missing_field', reason: 'the field is missing' } : { code: 'null_field', reason: 'null is not allowed' }
}

/** The number that stands for the value in a column, or NaN when the value is not of the type. */
const NUMBER_TYPES: Readonly<Record<Field['type'], (value: unknown) => number>> = {
  double: (value) => (typeof value === 'number' ? value : Number.NaN),
  int: (value) => (typeof value === 'number' && Number.isInteger(value) && value >= -2_147_483_648 && value <= 2_147_483_647 ? value : Number.NaN),
  long: (value) => (typeof value === 'number' && Number.isSafeInteger(value) ? value : Number.NaN),
  boolean: (value) => (value === true ? 1 : value === false ? 0 : Number.NaN),
  timestamp: (value) => {
    const time = typeof value === 'string' ? parseTimestamp(value) : value instanceof Date ? value.getTime() : typeof value === 'number' ? value : Number.NaN
    // Years 1 to 9999 in UTC, which every engine behind the ports can hold.
    return time >= -62_135_596_800_000 && time < 253_402_300_800_000 ? time : Number.NaN
  },
  date: (value) => (typeof value === 'string' ? parseDate(value) : Number.NaN),
  string: () => Number.NaN,
  json: () => Number.NaN,
}

function text(value: unknown): string | Fault {
  if (typeof value !== 'string') return { code: 'wrong_type', reason: `text is wanted, this is ${kindOf(value)}` }
  if (value.includes('\0')) return NUL_CHARACTER
  if (!value.isWellFormed()) return LONE_SURROGATE
  return value
}

/** Neither can be stored by every engine behind the ports, so both are refused at the door. */
const NUL_CHARACTER: Fault = { code: 'nul_character', reason: 'the text contains a NUL character' }
const LONE_SURROGATE: Fault = { code: 'lone_surrogate', reason: 'the text contains half of a surrogate pair' }

function jsonText(value: unknown): string | Fault {
  let json: string
  try {
    json = JSON.stringify(value)
  } catch {
    return { code: 'too_deep', reason: 'the value is nested too deeply' }
  }
  // JSON text carries both as escapes; an even number of backslashes before one is text that only looks like it.
  const escape = json.includes('\\u') ? /(?<!\\)(?:\\\\)*\\u(0000|d[89a-f])/.exec(json) : null
  if (escape) return escape[1] === '0000' ? NUL_CHARACTER : LONE_SURROGATE
  return json
}

function wrongType(field: Field, value: unknown): Fault {
  return { code: 'wrong_type', reason: `${WANTED[field.type]} is wanted, this is ${kindOf(value)}` }
}

const WANTED: Readonly<Record<Field['type'], string>> = {
  string: 'text',
  json: 'JSON',
  double: 'a finite number',
  int: 'a whole number of 32 bits',
  long: 'a whole number up to 2^53 - 1',
  boolean: 'true or false',
  timestamp: 'an ISO 8601 time with a zone, such as 2026-01-31T12:00:00Z, or epoch milliseconds',
  date: 'a date such as 2026-01-31',
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'string') return `the text ${JSON.stringify(excerpt(value, 40))}`
  if (typeof value === 'object') return 'an object'
  return `${typeof value} ${String(value)}`
}

function excerpt(text: string, length: number = 200): string {
  return text.length > length ? `${text.slice(0, length)}...` : text
}
