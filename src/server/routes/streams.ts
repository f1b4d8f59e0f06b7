import { z } from 'zod'
import { closest, invalid, missing, overLimit, parseDuration, type Field } from '../../base/index.ts'
import type { Platform } from '../../platform/index.ts'
import {
  commitGroup,
  deadLetterTopic,
  groupOffset,
  listGroups,
  livesOf,
  parseBody,
  planLive,
  produce,
  recordsOf,
  type DeadLetter,
  type StreamRuntime,
} from '../../streams/index.ts'
import { check, jsonRoute, limitParam, type Route } from '../route.ts'
import { readSeries } from '../series.ts'
import { GroupList, LatestList, ProduceAnswer, RecordList, SeriesShape, StreamList, StreamShape, type FieldShape, type RecordShape } from '../wire.ts'

const Name = z.object({ name: z.string() })
/** Epoch milliseconds of a time that every engine can hold: the years 1 to 9999. */
const Instant = z.coerce.number().min(-62_135_596_800_000).max(253_402_300_799_999)
/** Records of one request. */
const MOST_RECORDS = 100_000

export function streamRoutes(platform: Platform): Route[] {
  const shape = async (runtime: StreamRuntime): Promise<StreamShape> => streamShape(platform, runtime)
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams',
      access: { action: 'read', resource: 'streams' },
      summary: 'The streams with their sinks and lag',
      answer: StreamList,
      async handle() {
        return { items: await Promise.all([...(platform.pipeline?.streams.values() ?? [])].map(shape)) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams/{name}',
      access: { action: 'read', resource: 'streams' },
      summary: 'One stream',
      params: Name,
      answer: StreamShape,
      handle: ({ params }) => shape(streamOf(platform, params.name)),
    }),
    {
      method: 'post',
      path: '/api/v1/streams/{name}/records',
      access: { action: 'write', resource: 'streams' },
      summary: 'Append records: a JSON array, one JSON object, or NDJSON. Each is checked and answered for; those that fail are not stored',
      params: Name,
      bodyTypes: ['application/json', 'application/x-ndjson'],
      answer: ProduceAnswer,
      async handle(context) {
        const params = check(Name, context.req.param(), 'the path')
        const { stream, decoder } = streamOf(platform, params?.name ?? '')
        const type = (context.req.header('content-type') ?? 'application/json').split(';')[0]?.trim()
        const incoming = parseBody(
          new Uint8Array(await context.req.arrayBuffer()),
          type === 'application/x-ndjson' || type === 'application/jsonlines' || type === 'text/plain',
        )
        if (incoming.length === 0)
          throw invalid('streams.no_records', 'The body holds no records', { hint: 'Send a JSON array, or one JSON object a line as application/x-ndjson.' })
        if (incoming.length > MOST_RECORDS)
          throw overLimit('streams.too_many_records', `The body holds ${incoming.length} records, at most ${MOST_RECORDS} are taken at once`, {
            hint: 'Send them in several requests.',
          })
        const results = await produce(stream, decoder, platform.engines.eventLog, incoming)
        const rejected = results.filter((result) => 'error' in result).length
        // A request of which nothing was taken is the caller's fault as a whole.
        return context.json({ accepted: results.length - rejected, rejected, results }, rejected === results.length ? 400 : 200)
      },
    },
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams/{name}/records',
      access: { action: 'read', resource: 'streams' },
      summary: 'Records of one partition: the newest, or from an offset, a time, or where a consumer group stands. `<name>.dlq` has the dead letters',
      params: Name,
      query: z.object({
        partition: z.coerce.number().int().min(0).default(0),
        offset: z.coerce.number().int().min(0).optional(),
        time: Instant.optional(),
        group: z.string().optional(),
        limit: limitParam(1000, 100),
        cursor: z.coerce.number().int().min(0).optional(),
      }),
      answer: RecordList,
      handle: ({ params, query }) => readRecords(platform, params.name, query),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams/{name}/groups',
      access: { action: 'read', resource: 'streams' },
      summary: 'The consumer groups of a stream and how far each has come',
      params: Name,
      answer: GroupList,
      async handle({ params }) {
        const groups = await listGroups(platform.engines.records, platform.engines.eventLog, topicOf(platform, params.name))
        return { items: groups.map(({ group, partitions }) => ({ group, partitions: partitions.map((offset) => ({ ...offset })) })) }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/streams/{name}/groups/{group}/offsets',
      access: { action: 'write', resource: 'streams' },
      summary: 'Commit for a consumer group: everything before the offset was dealt with. With `from`, only if the group still stands there',
      params: Name.extend({ group: z.string() }),
      body: z.object({ partition: z.number().int().min(0).default(0), offset: z.number().int().min(0), from: z.number().int().min(0).optional() }),
      answer: z.object({ partition: z.number(), offset: z.number() }),
      async handle({ params, body }) {
        await commitGroup(platform.engines.records, platform.engines.eventLog, topicOf(platform, params.name), params.group, body)
        return { partition: body.partition, offset: body.offset }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams/{name}/latest',
      access: { action: 'read', resource: 'streams' },
      summary: 'The newest record per key from the live cache',
      params: Name,
      query: z.object({ limit: limitParam(1000, 200), cursor: z.string().optional() }),
      answer: LatestList,
      async handle({ params, query }) {
        const { stream } = streamOf(platform, params.name)
        const plan = planLive(stream)
        if (!plan) throw missing('streams.not_live', `Stream ${stream.name} keeps nothing live`, { hint: "Give it live: { by: 'field' }." })
        const page = await platform.engines.keys.scan(plan.prefix, { limit: query.limit, ...(query.cursor === undefined ? {} : { cursor: query.cursor }) })
        const eventTime = stream.options.eventTime
        return {
          items: page.entries.map(({ key, fields, updatedAt }) => ({
            key: fields[plan.by] ?? key,
            at: eventTime === undefined ? updatedAt : Date.parse(fields[eventTime] ?? '') || updatedAt,
            fields: Object.fromEntries(Object.entries(stream.schema).map(([name, field]) => [name, typed(field, fields[name])])),
          })),
          ...(page.cursor === undefined ? {} : { cursor: page.cursor }),
        }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams/{name}/series',
      access: { action: 'read', resource: 'streams' },
      summary: 'Means per key and time step of number fields, for charts; missing values are left out',
      params: Name,
      query: z.object({ fields: z.string(), from: Instant, until: Instant.optional(), points: z.coerce.number().int().min(10).max(2000).default(300) }),
      answer: SeriesShape,
      handle: ({ params, query }) => readSeries(platform, streamOf(platform, params.name), query),
    }),
  ]
}

function streamOf(platform: Platform, name: string): StreamRuntime {
  const streams = platform.pipeline?.streams
  const found = streams?.get(name)
  if (found) return found
  const names = [...(streams?.keys() ?? [])]
  const near = closest(name, names)
  throw missing('streams.no_stream', `There is no stream ${name}`, {
    hint:
      near.length > 0
        ? `Did you mean ${near.join(' or ')}?`
        : names.length > 0
          ? `There are: ${names.join(', ')}.`
          : 'Declare one with stream(...) in streams/.',
  })
}

const fieldShapes = (schema: Readonly<Record<string, Field>>): FieldShape[] =>
  Object.entries(schema).map(([name, field]) => ({
    name,
    type: field.type,
    nullable: field.isNullable,
    ...(field.unitText === undefined ? {} : { unit: field.unitText }),
    ...(field.description === undefined ? {} : { description: field.description }),
  }))

async function streamShape(platform: Platform, runtime: StreamRuntime): Promise<StreamShape> {
  const { stream } = runtime
  const { options } = stream
  const [live] = livesOf(stream)
  const { partitions, source, sinks } = await runtime.status()
  const dead = await platform.engines.eventLog.ends(deadLetterTopic(stream.name))
  return {
    name: stream.name,
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.key === undefined ? {} : { key: options.key }),
    ...(options.eventTime === undefined ? {} : { eventTime: options.eventTime }),
    ...(live ? { live: { by: live.by, ttlMs: live.ttl === undefined ? null : parseDuration(live.ttl) } } : {}),
    fields: fieldShapes(stream.schema),
    partitions: partitions.map((partition) => ({ ...partition })),
    records: partitions.reduce((sum, { next }) => sum + next, 0),
    deadLetters: dead.reduce((sum, next) => sum + next, 0),
    perSecond: platform.rates.perSecond(stream.name),
    ...(source
      ? {
          source: {
            kind: source.kind,
            state: source.state,
            records: source.records,
            blank: source.blank,
            ...(source.failure ? { error: source.failure.message } : {}),
          },
        }
      : {}),
    sinks: sinks.map(({ error, ...sink }) => ({ ...sink, ...(error === undefined ? {} : { error }) })),
  }
}

/** The name of a stream, or of its dead letters. */
function topicOf(platform: Platform, name: string): string {
  streamOf(platform, name.endsWith('.dlq') ? name.slice(0, -'.dlq'.length) : name)
  return name
}

interface RecordsQuery {
  readonly partition: number
  readonly offset?: number | undefined
  readonly time?: number | undefined
  readonly group?: string | undefined
  readonly limit: number
  readonly cursor?: number | undefined
}

async function readRecords(
  platform: Platform,
  name: string,
  { partition, offset, time, group, limit, cursor }: RecordsQuery,
): Promise<{ items: RecordShape[]; cursor?: string }> {
  const dead = topicOf(platform, name).endsWith('.dlq')
  const log = platform.engines.eventLog
  const end = (await log.ends(name))[partition]
  if (end === undefined) throw missing('streams.no_partition', `Stream ${name} has no partition ${partition}`, { hint: 'Partitions count from 0.' })
  const start = async (): Promise<number> => {
    // A group that never committed begins at the beginning.
    if (group !== undefined) return (await groupOffset(platform.engines.records, name, group, partition)) ?? 0
    return time === undefined ? Math.max(0, end - limit) : log.offsetAt(name, partition, time)
  }
  let from = cursor ?? offset ?? (await start())
  const items: RecordShape[] = []
  while (items.length < limit && from < end) {
    const batches = await log.read(name, partition, from, { maxRecords: limit })
    if (batches.length === 0) break
    for (const batch of batches) {
      for (const record of recordsOf(batch)) {
        if (record.offset < from || items.length >= limit) continue
        const value = jsonOrText(record.value)
        items.push({
          partition,
          offset: record.offset,
          time: batch.appendedAt,
          key: record.key,
          value,
          ...(dead ? { error: (value as DeadLetter).reason } : {}),
        })
        from = record.offset + 1
      }
      from = Math.max(from, items.length >= limit ? from : batch.baseOffset + batch.count)
    }
  }
  return { items, ...(from < end ? { cursor: String(from) } : {}) }
}

function jsonOrText(bytes: Buffer): unknown {
  const text = bytes.toString('utf8')
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

function typed(field: Field, text: string | undefined): string | number | boolean | null {
  if (text === undefined) return null
  if (field.type === 'double' || field.type === 'int' || field.type === 'long') return Number(text)
  return field.type === 'boolean' ? text === 'true' : text
}
