/**
 * From bytes to typed columns, once for all sinks: parse the JSON, bring it to the schema, check every field.
 * A record that fails is set aside with the reason; its neighbours are not touched.
 */
import { emptyColumn, jsonValue, truncateRows, type Field, type RowColumn, type Schema } from '../base/index.ts'
import { jsonArrayText, recordsOf, type RecordBatch, type RecordView } from './log/batch.ts'
import { parseDate, parseTimestamp } from './time.ts'
import type { BadRecord, DecodedBatch } from './sink.ts'
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
  const fields = Object.entries(options.schema)
  const upcast = options.upcast

  const write = (columns: readonly RowColumn[], writers: readonly Writer[], row: number, message: unknown): Refusal | null => {
    if (typeof message !== 'object' || message === null || Array.isArray(message)) {
      return { code: 'not_an_object', reason: `a record must be a JSON object, this is ${message === null ? 'null' : Array.isArray(message) ? 'an array' : `a ${typeof message}`}` }
    }
    let record = message as Readonly<Record<string, unknown>>
    if (upcast) {
      try {
        record = upcast(record)
      } catch (error) {
        return { code: 'upcast_failed', reason: `upcast threw: ${error instanceof Error ? error.message : String(error)}` }
      }
      if (typeof record !== 'object' || record === null) return { code: 'upcast_failed', reason: 'upcast did not return an object' }
    }
    for (let i = 0; i < columns.length; i++) {
      const column = columns[i]
      const writer = writers[i]
      if (!column || !writer) continue
      const fault = writer(row, record[column.name])
      if (fault !== null) return { code: fault.code, reason: `${column.name}: ${fault.reason}`, field: column.name }
    }
    return null
  }

  const decode = (batch: RecordBatch, from: number = batch.baseOffset): DecodedBatch => {
    const skip = from - batch.baseOffset
    const count = batch.count - skip
    const columns = fields.map(([name, field]) => emptyColumn(name, field, count))
    const writers = columns.map(writerOf)
    const offsets = new Float64Array(count)
    const bad: BadRecord[] = []
    let rows = 0
    const take = (index: number, message: unknown): void => {
      const refusal = write(columns, writers, rows, message)
      if (refusal === null) offsets[rows++] = batch.baseOffset + index
      else faults.push([index, refusal])
    }
    const faults: [number, Refusal][] = []

    const messages = batch.wellFormed ? parseAll(batch) : null
    if (messages) {
      for (let i = skip; i < batch.count; i++) take(i, messages[i])
      if (faults.length > 0) {
        const views = [...recordsOf(batch)]
        for (const [index, refusal] of faults) bad.push(badRecord(views[index], refusal))
      }
    } else {
      let index = 0
      for (const view of recordsOf(batch)) {
        if (index >= skip) {
          const parsed = parseOne(view.value)
          if ('refusal' in parsed) bad.push(badRecord(view, parsed.refusal))
          else {
            take(index, parsed.message)
            const fault = faults.pop()
            if (fault) bad.push(badRecord(view, fault[1]))
          }
        }
        index++
      }
    }
    return {
      from,
      upTo: batch.baseOffset + batch.count,
      appendedAt: batch.appendedAt,
      rows: truncateRows({ count, columns }, rows),
      offsets: offsets.subarray(0, rows),
      bad,
    }
  }

  return {
    decode,
    check(message) {
      const columns = fields.map(([name, field]) => emptyColumn(name, field, 1))
      return write(columns, columns.map(writerOf), 0, message)
    },
  }
}

/** Row `row` as the JSON object that the API shows. */
export function rowObject(rows: DecodedBatch['rows'], row: number): Record<string, string | number | boolean | null> {
  return Object.fromEntries(rows.columns.map((column) => [column.name, jsonValue(column, row)]))
}

function parseAll(batch: RecordBatch): readonly unknown[] | null {
  const parsed: unknown = JSON.parse(jsonArrayText(batch))
  return Array.isArray(parsed) && parsed.length === batch.count ? parsed : null
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function parseOne(value: Buffer): { readonly message: unknown } | { readonly refusal: Refusal } {
  if (value.length > MAX_RECORD_BYTES) return { refusal: { code: 'too_large', reason: `the record has ${value.length} bytes, at most ${MAX_RECORD_BYTES} are taken` } }
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

function badRecord(view: RecordView | undefined, refusal: Refusal): BadRecord {
  return { offset: view?.offset ?? -1, key: view?.key ?? null, value: view?.value ?? new Uint8Array(), code: refusal.code, reason: refusal.reason }
}

type Writer = (row: number, value: unknown) => Fault | null
interface Fault {
  readonly code: string
  readonly reason: string
}

function writerOf(column: RowColumn): Writer {
  const { field } = column
  if (column.kind === 'text') {
    const { values } = column
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
  const { values, valid } = column
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
  double: (value) => (typeof value === 'number' && Number.isFinite(value) ? value : Number.NaN),
  int: (value) => (typeof value === 'number' && Number.isInteger(value) && value >= -2_147_483_648 && value <= 2_147_483_647 ? value : Number.NaN),
  long: (value) => (typeof value === 'number' && Number.isSafeInteger(value) ? value : Number.NaN),
  boolean: (value) => (value === true ? 1 : value === false ? 0 : Number.NaN),
  timestamp: (value) => {
    if (typeof value === 'string') return parseTimestamp(value)
    if (value instanceof Date) return value.getTime()
    return typeof value === 'number' && value >= -62_135_596_800_000 && value < 253_402_300_800_000 ? value : Number.NaN
  },
  date: (value) => (typeof value === 'string' ? parseDate(value) : Number.NaN),
  string: () => Number.NaN,
  json: () => Number.NaN,
}

function text(value: unknown): string | Fault {
  if (typeof value !== 'string') return { code: 'wrong_type', reason: `text is wanted, this is ${kindOf(value)}` }
  // Neither can be stored by every engine behind the ports, so both are refused at the door.
  if (value.includes('\0')) return { code: 'nul_character', reason: 'the text contains a NUL character' }
  if (!value.isWellFormed()) return { code: 'lone_surrogate', reason: 'the text contains half of a surrogate pair' }
  return value
}

function jsonText(value: unknown): string | Fault {
  return text(JSON.stringify(value))
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
  if (typeof value === 'string') return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}...` : value)}`
  if (typeof value === 'object') return 'an object'
  return `${typeof value} ${String(value)}`
}
