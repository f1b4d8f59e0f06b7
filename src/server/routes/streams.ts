import { z } from 'zod'
import { invalid, missing, overLimit, parseDuration, toLagoaError, type Field, type LagoaError } from '../../base/index.ts'
import { filterOf, noStream, readLetters, readRecords, resendLetters, resendMended, topicOf, type Platform, type Topic } from '../../platform/index.ts'
import {
  commitGroup,
  deadLetterTopic,
  groupOffset,
  listGroups,
  livesOf,
  parseBody,
  planLive,
  produce,
  readLetter,
  type ListedLetter,
  type StreamRuntime,
  type StreamStatus,
} from '../../streams/index.ts'
import { check, jsonRoute, limitParam, type Route } from '../route.ts'
import { readSeries } from '../series.ts'
import {
  DeadLetterList,
  GroupList,
  LatestList,
  ProduceAnswer,
  RecordList,
  ResendAnswer,
  SeriesShape,
  StreamDetail,
  StreamList,
  type DeadLetterShape,
  type FieldShape,
  type RecordShape,
  type StreamShape,
} from '../wire.ts'

const Name = z.object({ name: z.string() })
/** Epoch milliseconds of a time that every engine can hold: the years 1 to 9999. */
const Instant = z.coerce.number().min(-62_135_596_800_000).max(253_402_300_799_999)
/** Records of one request. */
const MOST_RECORDS = 100_000
/** Dead letters of one request. */
const MOST_LETTERS = 10_000
/** Characters of a record that was mended by hand. */
const MOST_TEXT = 1024 * 1024

export function streamRoutes(platform: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams',
      access: { action: 'read', resource: 'streams' },
      summary: 'The streams with their sinks and lag',
      answer: StreamList,
      async handle() {
        const streams = [...(platform.pipeline?.streams.values() ?? [])]
        return { items: await Promise.all(streams.map(async (runtime) => streamShape(platform, runtime, await runtime.status()))) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams/{name}',
      access: { action: 'read', resource: 'streams' },
      summary: 'One stream, with its lanes and the nodes that carry them',
      params: Name,
      answer: StreamDetail,
      handle: ({ params }) => streamDetail(platform, streamOf(platform, params.name)),
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
        filter: z.string().max(10_000).optional().describe('Only records for which this is true: a CEL condition such as co > 10, or field=value'),
      }),
      answer: RecordList,
      handle: ({ params, query }) => recordsPage(platform, params.name, query),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams/{name}/groups',
      access: { action: 'read', resource: 'streams' },
      summary: 'The consumer groups of a stream and how far each has come',
      params: Name,
      answer: GroupList,
      async handle({ params }) {
        const groups = await listGroups(platform.engines.records, platform.engines.eventLog, topicCalled(platform, params.name).name)
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
        await commitGroup(platform.engines.records, platform.engines.eventLog, topicCalled(platform, params.name).name, params.group, body)
        return { partition: body.partition, offset: body.offset }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/streams/{name}/dead-letters',
      access: { action: 'read', resource: 'streams' },
      summary: 'The dead letters of a stream, newest first, with what became of them. A cursor is an offset: those before it',
      params: Name,
      query: z.object({
        limit: limitParam(200, 50),
        cursor: z.coerce.number().int().min(0).optional(),
      }),
      answer: DeadLetterList,
      async handle({ params, query: { limit, cursor }, context }) {
        const page = await readLetters(platform, params.name, { limit, before: cursor, signal: context.req.raw.signal })
        return {
          items: page.letters.map(letterShape),
          kept: page.kept,
          waiting: page.waiting,
          ...(page.before === null ? {} : { cursor: String(page.before) }),
        }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/streams/{name}/dead-letters/resend',
      access: { action: 'write', resource: 'streams' },
      summary:
        'Append dead letters to their stream again, each at most once: those at `offsets`, or `all` since the last time. As they first came, or one of them as the JSON in `value`, which must be right',
      params: Name,
      body: z
        .strictObject({
          offsets: z.array(z.number().int().min(0)).min(1).max(MOST_LETTERS).optional(),
          all: z.literal(true).optional(),
          value: z.string().max(MOST_TEXT).optional(),
          limit: z.number().int().min(1).max(MOST_LETTERS).default(1000),
        })
        .refine(({ offsets, all }) => (offsets === undefined) !== (all === undefined), { error: 'give either offsets or all' })
        .refine(({ offsets, value }) => value === undefined || offsets?.length === 1, { error: 'a value is for one offset' }),
      answer: ResendAnswer,
      async handle({ params, body: { offsets, value, limit }, context }) {
        const [letter] = offsets ?? []
        const result =
          value !== undefined && letter !== undefined
            ? await resendMended(platform, params.name, { letter, text: value })
            : await resendLetters(platform, params.name, { letters: offsets ?? 'all', limit, signal: context.req.raw.signal })
        return { ...result, reasons: [...result.reasons] }
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
  throw noStream(name, platform.pipeline?.project.streams ?? [])
}

const fieldShapes = (schema: Readonly<Record<string, Field>>): FieldShape[] =>
  Object.entries(schema).map(([name, field]) => ({
    name,
    type: field.type,
    nullable: field.isNullable,
    ...(field.unitText === undefined ? {} : { unit: field.unitText }),
    ...(field.description === undefined ? {} : { description: field.description }),
  }))

async function streamDetail(platform: Platform, runtime: StreamRuntime): Promise<StreamDetail> {
  const status = await runtime.status()
  const prefix = `stream/${runtime.stream.name}/`
  const carriers = (await platform.engines.duties.nodes()).flatMap(({ url, host, duties }, index) =>
    duties.filter((duty) => duty.startsWith(prefix)).map((duty) => ({ partition: Number(duty.slice(prefix.length)), node: { url, host, here: index === 0 } })),
  )
  return {
    ...(await streamShape(platform, runtime, status)),
    lanes: status.lanes.map(({ error, ...lane }) => ({ ...lane, ...(error === undefined ? {} : { error }) })),
    carriers: carriers.sort((a, b) => a.partition - b.partition),
  }
}

const problemShape = ({ message, hint }: LagoaError): NonNullable<StreamShape['problem']> => ({ message, ...(hint === undefined ? {} : { hint }) })

/** Of an event log that is away nothing is known, and the streams are listed all the same. */
async function lettersOf(platform: Platform, stream: string): Promise<{ readonly count: number | null; readonly fault: LagoaError | undefined }> {
  try {
    const ends = await platform.engines.eventLog.ends(deadLetterTopic(stream))
    return { count: ends.reduce((sum, next) => sum + next, 0), fault: undefined }
  } catch (thrown) {
    const fault = toLagoaError(thrown)
    if (fault.kind !== 'unavailable') throw fault
    return { count: null, fault }
  }
}

async function streamShape(platform: Platform, runtime: StreamRuntime, { partitions, source, sinks, problem }: StreamStatus): Promise<StreamShape> {
  const { stream } = runtime
  const { options } = stream
  const [live] = livesOf(stream)
  // A log that just did not answer is not asked again.
  const letters = problem ? { count: null, fault: problem } : await lettersOf(platform, stream.name)
  const { fault } = letters
  return {
    name: stream.name,
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.key === undefined ? {} : { key: options.key }),
    ...(options.eventTime === undefined ? {} : { eventTime: options.eventTime }),
    ...(live ? { live: { by: live.by, ttlMs: live.ttl === undefined ? null : parseDuration(live.ttl) } } : {}),
    fields: fieldShapes(stream.schema),
    partitions: partitions.map((partition) => ({ ...partition })),
    records: partitions.reduce((sum, { next }) => sum + next, 0),
    deadLetters: letters.count,
    perSecond: platform.rates.perSecond(stream.name),
    history: [...platform.rates.history(stream.name)],
    ...(fault ? { problem: problemShape(fault) } : {}),
    ...(source
      ? {
          source: {
            kind: source.kind,
            state: source.state,
            records: source.records,
            blank: source.blank,
            ...(source.failure ? { error: [source.failure.message, source.failure.hint].filter((part) => part !== undefined).join('. ') } : {}),
          },
        }
      : {}),
    sinks: sinks.map(({ error, retryAt, ...sink }) => ({ ...sink, ...(error === undefined ? {} : { error }), ...(retryAt === null ? {} : { retryAt }) })),
  }
}

function letterShape({ offset, time, letter, value, isResent }: ListedLetter): DeadLetterShape {
  const place = { offset, time, resent: isResent }
  // Somebody may have written there what is no letter.
  if (!letter)
    return { ...place, error: 'no_letter', reason: 'it is no dead letter', partition: null, source: null, key: null, text: Buffer.from(value).toString() }
  const { offset: source, ...rest } = letter
  return { ...rest, ...place, source }
}

/** A stream, or the dead letters of one. */
const topicCalled = (platform: Platform, name: string): Topic => topicOf(platform.pipeline?.project.streams ?? [], name)

interface RecordsQuery {
  readonly partition: number
  readonly offset?: number | undefined
  readonly time?: number | undefined
  readonly group?: string | undefined
  readonly limit: number
  readonly cursor?: number | undefined
  readonly filter?: string | undefined
}

async function recordsPage(
  platform: Platform,
  name: string,
  { partition, offset, time, group, limit, cursor, filter }: RecordsQuery,
): Promise<{ items: RecordShape[]; cursor?: string; next: number }> {
  const topic = topicCalled(platform, name)
  const { eventLog: log, records: database } = platform.engines
  const start = async (): Promise<number | undefined> => {
    // A group that never committed begins at the beginning.
    if (group !== undefined) return (await groupOffset(database, name, group, partition)) ?? 0
    return time === undefined ? undefined : log.offsetAt(name, partition, time)
  }
  const from = cursor ?? offset ?? (await start())
  const { records, next, end } = await readRecords(log, topic, {
    partition,
    from,
    limit,
    ...(filter === undefined || filter.trim() === '' ? {} : { filter: filterOf(topic, filter) }),
  })
  const items = records.map(({ value, ...record }) => {
    const letter = topic.isDeadLetters ? readLetter(value) : null
    return { ...record, value: jsonOrText(value), ...(letter ? { error: letter.reason } : {}) }
  })
  return { items, next, ...(next < end ? { cursor: String(next) } : {}) }
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
