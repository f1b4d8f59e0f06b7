import { z } from 'zod'
import { closest, invalid, isMissing, missing, overLimit, parseDuration, type Field } from '../../base/index.ts'
import { BRONZE_FIELDS, quoteName, quoteText } from '../../lake/index.ts'
import type { Pipeline, Platform } from '../../platform/index.ts'
import { deadLetterTopic, parseBody, planLive, produce, recordsOf, type DeadLetter, type StreamRuntime } from '../../streams/index.ts'
import { check, jsonRoute, limitParam, type Route } from '../route.ts'
import { LatestList, ProduceAnswer, RecordList, SeriesShape, StreamList, StreamShape, type FieldShape, type RecordShape } from '../wire.ts'

const Name = z.object({ name: z.string() })
/** Epoch milliseconds of a time that every engine can hold: the years 1 to 9999. */
const Instant = z.coerce.number().min(-62_135_596_800_000).max(253_402_300_799_999)
/** Records of one request. */
const MOST_RECORDS = 100_000
const SERIES_ROWS = 100_000
/** Of what the table has not got yet, at most this many records are read from the log. */
const SERIES_TAIL = 50_000

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
        const incoming = parseBody(new Uint8Array(await context.req.arrayBuffer()), type === 'application/x-ndjson' || type === 'application/jsonlines' || type === 'text/plain')
        if (incoming.length === 0) throw invalid('streams.no_records', 'The body holds no records', { hint: 'Send a JSON array, or one JSON object a line as application/x-ndjson.' })
        if (incoming.length > MOST_RECORDS) throw overLimit('streams.too_many_records', `The body holds ${incoming.length} records, at most ${MOST_RECORDS} are taken at once`, { hint: 'Send them in several requests.' })
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
      summary: 'Records of one partition: the newest, or from an offset or a time. `<name>.dlq` has the dead letters',
      params: Name,
      query: z.object({ partition: z.coerce.number().int().min(0).default(0), offset: z.coerce.number().int().min(0).optional(), time: Instant.optional(), limit: limitParam(1000, 100), cursor: z.coerce.number().int().min(0).optional() }),
      answer: RecordList,
      handle: ({ params, query }) => readRecords(platform, params.name, query),
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
      handle: ({ params, query }) => readSeries(platform, params.name, query),
    }),
  ]
}

export function streamOf(platform: Platform, name: string): StreamRuntime {
  const streams = platform.pipeline?.streams
  const found = streams?.get(name)
  if (found) return found
  const names = [...(streams?.keys() ?? [])]
  const near = closest(name, names)
  throw missing('streams.no_stream', `There is no stream ${name}`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : names.length > 0 ? `There are: ${names.join(', ')}.` : 'Declare one with stream(...) in streams/.' })
}

export const fieldShapes = (schema: Readonly<Record<string, Field>>): FieldShape[] =>
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
  const { partitions, source, sinks } = await runtime.status()
  const dead = await platform.engines.eventLog.ends(deadLetterTopic(stream.name))
  return {
    name: stream.name,
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.key === undefined ? {} : { key: options.key }),
    ...(options.eventTime === undefined ? {} : { eventTime: options.eventTime }),
    ...(options.live ? { live: { by: options.live.by, ttlMs: options.live.ttl === undefined ? null : parseDuration(options.live.ttl) } } : {}),
    fields: fieldShapes(stream.schema),
    partitions: partitions.map((partition) => ({ ...partition })),
    records: partitions.reduce((sum, { next }) => sum + next, 0),
    deadLetters: dead.reduce((sum, next) => sum + next, 0),
    perSecond: platform.rates.perSecond(stream.name),
    ...(source ? { source: { kind: source.kind, state: source.state, records: source.records, blank: source.blank, ...(source.failure ? { error: source.failure.message } : {}) } } : {}),
    sinks: sinks.map(({ error, ...sink }) => ({ ...sink, ...(error === undefined ? {} : { error }) })),
  }
}

interface RecordsQuery {
  readonly partition: number
  readonly offset?: number | undefined
  readonly time?: number | undefined
  readonly limit: number
  readonly cursor?: number | undefined
}

async function readRecords(platform: Platform, name: string, { partition, offset, time, limit, cursor }: RecordsQuery): Promise<{ items: RecordShape[]; cursor?: string }> {
  const dead = name.endsWith('.dlq')
  if (dead) streamOf(platform, name.slice(0, -'.dlq'.length))
  else streamOf(platform, name)
  const log = platform.engines.eventLog
  const end = (await log.ends(name))[partition]
  if (end === undefined) throw missing('streams.no_partition', `Stream ${name} has no partition ${partition}`, { hint: 'Partitions count from 0.' })
  let from = cursor ?? offset ?? (time === undefined ? Math.max(0, end - limit) : await log.offsetAt(name, partition, time))
  const items: RecordShape[] = []
  while (items.length < limit && from < end) {
    const batches = await log.read(name, partition, from, { maxRecords: limit })
    if (batches.length === 0) break
    for (const batch of batches) {
      for (const record of recordsOf(batch)) {
        if (record.offset < from || items.length >= limit) continue
        const value = jsonOrText(record.value)
        items.push({ partition, offset: record.offset, time: batch.appendedAt, key: record.key, value, ...(dead ? { error: (value as DeadLetter).reason } : {}) })
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

interface SeriesQuery {
  readonly fields: string
  readonly from: number
  readonly until?: number | undefined
  readonly points: number
}

/** Older points come from the stream's table, what is not there yet from the end of the log. */
async function readSeries(platform: Platform, name: string, { fields, from, until = Date.now(), points }: SeriesQuery): Promise<SeriesShape> {
  const runtime = streamOf(platform, name)
  const { stream } = runtime
  const by = stream.options.live?.by ?? stream.options.key
  const time = stream.options.eventTime
  const names = fields.split(',')
  const numbers = Object.entries(stream.schema).filter(([, field]) => field.type === 'double' || field.type === 'int' || field.type === 'long').map(([field]) => field)
  const odd = names.find((field) => !numbers.includes(field))
  if (odd !== undefined) throw invalid('streams.series_field', `${odd} is no number field of ${name}`, { hint: `Number fields are: ${numbers.join(', ')}.` })
  if (by === undefined || time === undefined) throw invalid('streams.no_series', `Stream ${name} has no key or no event time, so it has no series`, { hint: 'Give it key: and eventTime:.' })
  if (!(until > from)) throw invalid('streams.series_range', 'The series ends before it begins', { hint: 'Give from and until as epoch milliseconds, from first.' })
  const stepMs = Math.max(1, Math.round((until - from) / points))
  const cells = new Map<string, Map<number, { sum: number; count: number }[]>>()
  const add = (key: string, bucket: number, field: number, sum: number, count: number): void => {
    const buckets = cells.get(key) ?? new Map<number, { sum: number; count: number }[]>()
    cells.set(key, buckets)
    const cell = buckets.get(bucket) ?? names.map(() => ({ sum: 0, count: 0 }))
    buckets.set(bucket, cell)
    const slot = cell[field]
    if (slot) {
      slot.sum += sum
      slot.count += count
    }
  }

  const table = tableOf(platform.pipeline, name)
  const covered = new Map<number, number>()
  if (table !== undefined) {
    const columns = names.map((field) => {
      const gaps = stream.schema[field]?.missingValues.map((value) => (typeof value === 'number' ? String(value) : quoteText(value))) ?? []
      const value = gaps.length > 0 ? `case when ${quoteName(field)} in (${gaps.join(', ')}) then null else ${quoteName(field)} end` : quoteName(field)
      return `sum(${value}), count(${value})`
    })
    const window = `${quoteName(time)} >= ${instant(from)} and ${quoteName(time)} < ${instant(until)}`
    const sql = `select ${quoteName(by)}, (epoch_ms(${quoteName(time)}) - ${from}) // ${stepMs} as bucket, ${columns.join(', ')} from ${table.split('.').map(quoteName).join('.')} where ${window} group by all order by 2`
    const answer = await platform.query.run(sql, { limit: SERIES_ROWS, prune: new Map([[table, window]]) })
    for (const [key, bucket, ...sums] of answer.rows) names.forEach((_, index) => add(String(key), Number(bucket), index, Number(sums[2 * index] ?? 0), Number(sums[2 * index + 1] ?? 0)))
    for (const { partition } of (await runtime.status()).partitions) covered.set(partition, (await platform.pipeline?.lake.table(table).snapshot())?.txnVersion(`stream/${name}/${partition}`) ?? -1)
  }
  await addTail(platform, runtime, covered, { by, time, names, from, until, stepMs, add })

  const series = [...cells].map(([key, buckets]) => {
    const ordered = [...buckets].sort(([a], [b]) => a - b)
    return {
      key,
      times: ordered.map(([bucket]) => from + bucket * stepMs + stepMs / 2),
      values: Object.fromEntries(names.map((field, index) => [field, ordered.map(([, cell]) => mean(cell[index]))])),
    }
  })
  return { from, until, stepMs, series: series.sort((a, b) => a.key.localeCompare(b.key)) }
}

interface TailOptions {
  readonly by: string
  readonly time: string
  readonly names: readonly string[]
  readonly from: number
  readonly until: number
  readonly stepMs: number
  readonly add: (key: string, bucket: number, field: number, sum: number, count: number) => void
}

async function addTail(platform: Platform, runtime: StreamRuntime, covered: ReadonlyMap<number, number>, { by, time, names, from, until, stepMs, add }: TailOptions): Promise<void> {
  const log = platform.engines.eventLog
  const ends = await log.ends(runtime.stream.name)
  for (const [partition, end] of ends.entries()) {
    let next = Math.max((covered.get(partition) ?? -1) + 1, end - SERIES_TAIL)
    while (next < end) {
      const batches = await log.read(runtime.stream.name, partition, next)
      if (batches.length === 0) break
      for (const batch of batches) {
        const { rows, upTo } = runtime.decoder.decode(batch, Math.max(next, batch.baseOffset))
        next = upTo
        const keys = rows.columns.find((column) => column.name === by)
        const times = rows.columns.find((column) => column.name === time)
        if (times?.kind !== 'number' || !keys) continue
        for (let row = 0; row < rows.count; row++) {
          const at = times.values[row] ?? 0
          if (at < from || at >= until) continue
          const key = keys.kind === 'text' ? (keys.values[row] ?? '') : String(keys.values[row])
          names.forEach((field, index) => {
            const column = rows.columns.find((candidate) => candidate.name === field)
            if (column?.kind === 'number' && !isMissing(column, row)) add(key, Math.floor((at - from) / stepMs), index, column.values[row] ?? 0, 1)
          })
        }
      }
    }
  }
}

/** The table that takes the stream as it is, when the project has one and it was written. */
function tableOf(pipeline: Pipeline | null, stream: string): string | undefined {
  for (const table of pipeline?.lake.plan.tables.values() ?? []) if (table.options.sql === undefined && table.options.from?.name === stream && Object.hasOwn(table.c, Object.keys(BRONZE_FIELDS)[0] ?? '')) return table.name
  return undefined
}

const mean = (cell: { readonly sum: number; readonly count: number } | undefined): number | null => (cell && cell.count > 0 ? Math.round((cell.sum / cell.count) * 1e6) / 1e6 : null)
const instant = (ms: number): string => `timestamptz '${new Date(ms).toISOString()}'`
