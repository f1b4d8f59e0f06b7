/**
 * Reading a stream, or its dead letters, for people: from the newest records back, or from a place on, all of them or those for which a
 * condition is true. How much is looked at in one call is bounded; the answer says where to go on.
 */
import { checkCondition, evaluate, TRUE, type Expression } from '../alerts/index.ts'
import { closest, invalid, missing, type Field, type Schema } from '../base/index.ts'
import {
  checkRecord,
  createDecoder,
  deadLetterTopic,
  LETTER_SCHEMA,
  listLetters,
  loadOffsets,
  partitionOf,
  recordsOf,
  resend,
  type Decoder,
  type EventLog,
  type LettersPage,
  type RecordBatch,
  type ResendRequest,
  type ResendResult,
  type Stream,
} from '../streams/index.ts'
import type { Platform } from './platform.ts'

/** A topic as it is read: a stream, or the dead letters of one. */
export interface Topic {
  readonly name: string
  readonly stream: string
  readonly isDeadLetters: boolean
  readonly schema: Schema
  readonly decoder: Decoder
}

export interface ReadRecord {
  readonly partition: number
  readonly offset: number
  /** Epoch milliseconds at which the log took it. */
  readonly time: number
  readonly key: string | null
  readonly value: Buffer
}

export interface RecordsPage {
  readonly records: readonly ReadRecord[]
  /** The offset after the last record that was looked at. */
  readonly next: number
  /** The end of the partition. */
  readonly end: number
}

export interface RecordsRequest {
  readonly partition: number
  /** Where to begin; the newest records when absent. */
  readonly from?: number | undefined
  readonly limit: number
  readonly filter?: Filter | undefined
  readonly signal?: AbortSignal | undefined
}

/** A condition over the records of one topic; a record that cannot be read meets none. */
export interface Filter {
  readonly text: string
  readonly condition: Expression
}

const LETTERS = '.dlq'
/** Records that one call looks at, when it looks for some. */
const MOST_SCANNED = 100_000
/** Among how many of the newest records the newest that meet a condition are looked for. */
const NEWEST_SCANNED = 20_000

/** `name` is a stream of the project, or `<stream>.dlq`. */
export function topicOf(streams: readonly Stream[], name: string): Topic {
  const isDeadLetters = name.endsWith(LETTERS)
  const stream = isDeadLetters ? name.slice(0, -LETTERS.length) : name
  const found = streams.find((one) => one.name === stream)
  if (!found) throw noStream(stream, streams)
  return isDeadLetters
    ? { name, stream, isDeadLetters, schema: LETTER_SCHEMA, decoder: createDecoder({ schema: LETTER_SCHEMA }) }
    : { name, stream, isDeadLetters, schema: found.schema, decoder: createDecoder(found.options) }
}

export function noStream(name: string, streams: readonly { readonly name: string }[]): Error {
  const names = streams.map((one) => one.name)
  const near = closest(name, names)
  return missing('streams.no_stream', `There is no stream ${name}`, {
    hint:
      near.length > 0
        ? `Did you mean ${near.join(' or ')}?`
        : names.length > 0
          ? `There are: ${names.join(', ')}.`
          : 'Declare one with stream(...) in streams/.',
  })
}

/** A CEL condition over the fields, or `field=value` for short. */
export function filterOf({ schema }: Pick<Topic, 'schema'>, given: string): Filter {
  const [, field = '', value = ''] = /^\s*([A-Za-z_]\w*)\s*=(?!=)\s*(.*?)\s*$/s.exec(given) ?? []
  const known = Object.hasOwn(schema, field) ? schema[field] : undefined
  const text = known ? `${field} == ${literal(known, value)}` : given
  return { text, condition: checkCondition({ rule: null, part: 'when', text }, schema) }
}

function literal({ type }: Field, value: string): string {
  const plain =
    type === 'double' || type === 'int' || type === 'long' ? /^-?\d+(\.\d+)?$/.test(value) : type === 'boolean' ? /^(true|false)$/.test(value) : false
  if (plain) return value
  const text = JSON.stringify(value.replace(/^(["'])(.*)\1$/s, '$2'))
  return type === 'timestamp' || type === 'date' ? `timestamp(${text})` : text
}

export async function readRecords(log: EventLog, topic: Topic, { partition, from, limit, filter, signal }: RecordsRequest): Promise<RecordsPage> {
  const end = (await log.ends(topic.name))[partition]
  if (end === undefined) throw missing('streams.no_partition', `Stream ${topic.name} has no partition ${partition}`, { hint: 'Partitions count from 0.' })
  const newest = from === undefined
  let next = from ?? Math.max(0, end - (filter ? NEWEST_SCANNED : limit))
  const upTo = Math.min(end, filter ? next + MOST_SCANNED : end)
  let records: ReadRecord[] = []
  // What is asked for by a place ends when it is full; of the newest the last ones stay.
  const isFull = (): boolean => !newest && records.length >= limit
  while (next < upTo && !isFull()) {
    signal?.throwIfAborted()
    const batches = await log.read(topic.name, partition, next, { maxRecords: filter ? MOST_SCANNED : limit })
    if (batches.length === 0) break
    for (const batch of batches) {
      const wanted = filter ? meeting(topic, filter, batch, next) : null
      for (const { offset, key, value } of recordsOf(batch)) {
        if (offset < next || offset >= end || isFull()) continue
        next = offset + 1
        if (wanted === null || wanted.has(offset)) records.push({ partition, offset, time: batch.appendedAt, key, value })
      }
      if (isFull()) break
      next = Math.max(next, Math.min(end, batch.baseOffset + batch.count))
    }
    if (newest && records.length > limit) records = records.slice(-limit)
    if (filter) await new Promise(setImmediate)
  }
  return { records, next, end }
}

/** The offsets of the records of a batch for which the condition is true. */
function meeting({ schema, decoder }: Topic, { condition }: Filter, batch: RecordBatch, from: number): ReadonlySet<number> {
  const { rows, offsets } = decoder.decode(batch, from)
  const results = evaluate(schema, condition, rows)
  return new Set(offsets.filter((_, row) => results[row] === TRUE))
}

/** Dead letters of a stream of the project back into it. */
export async function resendLetters(platform: Pick<Platform, 'engines' | 'pipeline'>, name: string, request: ResendRequest): Promise<ResendResult> {
  const topic = topicOf(platform.pipeline?.project.streams ?? [], name)
  return resend(topic.stream, platform.engines.eventLog, platform.engines.records, request)
}

/** The letter at the offset back into its stream as the JSON text that somebody made of it; text that would be a letter again is refused. */
export async function resendMended(
  platform: Pick<Platform, 'engines' | 'pipeline'>,
  name: string,
  { letter, text }: { readonly letter: number; readonly text: string },
): Promise<ResendResult> {
  const streams = platform.pipeline?.project.streams ?? []
  const topic = topicOf(streams, name)
  const stream = streams.find((one) => one.name === topic.stream)
  if (!stream) throw noStream(topic.stream, streams)
  const checked = checkRecord(stream, createDecoder(stream.options), parsed(text))
  if ('error' in checked) throw stillBad(checked.error.message)
  const { key, value } = checked
  const instead = { key, value, partition: partitionOf(key, stream.options.partitions ?? 1) }
  return resend(topic.stream, platform.engines.eventLog, platform.engines.records, { letters: [letter], limit: 1, instead })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw stillBad(error instanceof Error ? error.message : 'it is not JSON')
  }
}

const stillBad = (why: string): Error =>
  invalid('streams.still_bad', `The record is still not right: ${why}`, { hint: 'Give one JSON object with the fields that the stream declares.' })

export interface LettersRequest {
  readonly before?: number | undefined
  readonly limit: number
  readonly signal?: AbortSignal
}

/** The dead letters of a stream of the project, the newest first, with what became of them. */
export async function readLetters(platform: Pick<Platform, 'engines' | 'pipeline'>, name: string, request: LettersRequest): Promise<LettersPage> {
  const topic = topicOf(platform.pipeline?.project.streams ?? [], name)
  return listLetters(topic.stream, platform.engines.eventLog, platform.engines.records, request)
}

export interface StreamSummary {
  readonly name: string
  readonly description?: string
  readonly partitions: number
  /** Records ever taken. */
  readonly records: number
  /** Bytes that the log keeps. */
  readonly bytes: number
  readonly deadLetters: number
  readonly sinks: readonly { readonly name: string; readonly position: number; readonly lag: number }[]
}

/** The streams as the log and the stored offsets have them, whether or not a server runs. */
export async function summarizeStreams({ engines, pipeline }: Pick<Platform, 'engines' | 'pipeline'>): Promise<StreamSummary[]> {
  const { eventLog, records } = engines
  const summaries = (pipeline?.project.streams ?? []).map(async ({ name, options }): Promise<StreamSummary> => {
    const [partitions, letters, stored] = await Promise.all([eventLog.offsets(name), eventLog.ends(deadLetterTopic(name)), loadOffsets(records, name)])
    const end = partitions.reduce((sum, { next }) => sum + next, 0)
    const sinks = [...Map.groupBy(stored, ({ sink }) => sink)].map(([sink, offsets]) => {
      const position = offsets.reduce((sum, { next_offset }) => sum + next_offset, 0)
      return { name: sink, position, lag: Math.max(0, end - position) }
    })
    return {
      name,
      ...(options.description === undefined ? {} : { description: options.description }),
      partitions: partitions.length,
      records: end,
      bytes: partitions.reduce((sum, { bytes }) => sum + bytes, 0),
      deadLetters: letters.reduce((sum, next) => sum + next, 0),
      sinks: sinks.sort((a, b) => (a.name < b.name ? -1 : 1)),
    }
  })
  return Promise.all(summaries)
}
