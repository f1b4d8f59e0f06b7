/** Series for charts: means per key and time step, from a stream's table and the end of its log. */
import { invalid, isMissing } from '../base/index.ts'
import { BRONZE_FIELDS, isMade, quoteName, quoteText } from '../lake/index.ts'
import type { Pipeline, Platform } from '../platform/index.ts'
import { livesOf, type StreamRuntime } from '../streams/index.ts'
import type { SeriesShape } from './wire.ts'

const SERIES_ROWS = 100_000
/** Of what the table has not got yet, at most this many records are read from the log. */
const SERIES_TAIL = 50_000

export interface SeriesQuery {
  readonly fields: string
  readonly from: number
  readonly until?: number | undefined
  readonly points: number
}

/** Older points come from the stream's table, what is not there yet from the end of the log. */
export async function readSeries(platform: Platform, runtime: StreamRuntime, { fields, from, until = Date.now(), points }: SeriesQuery): Promise<SeriesShape> {
  const { stream } = runtime
  const { name } = stream
  const by = livesOf(stream)[0]?.by ?? stream.options.key
  const time = stream.options.eventTime
  const names = fields.split(',')
  const numbers = Object.entries(stream.schema)
    .filter(([, field]) => field.type === 'double' || field.type === 'int' || field.type === 'long')
    .map(([field]) => field)
  const odd = names.find((field) => !numbers.includes(field))
  if (odd !== undefined) throw invalid('streams.series_field', `${odd} is no number field of ${name}`, { hint: `Number fields are: ${numbers.join(', ')}.` })
  if (by === undefined || time === undefined)
    throw invalid('streams.no_series', `Stream ${name} has no key or no event time, so it has no series`, { hint: 'Give it key: and eventTime:.' })
  if (!(until > from))
    throw invalid('streams.series_range', 'The series ends before it begins', { hint: 'Give from and until as epoch milliseconds, from first.' })
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
    for (const [key, bucket, ...sums] of answer.rows)
      names.forEach((_, index) => add(String(key), Number(bucket), index, Number(sums[2 * index] ?? 0), Number(sums[2 * index + 1] ?? 0)))
    for (const { partition } of (await runtime.status()).partitions)
      covered.set(partition, (await platform.pipeline?.lake.table(table).snapshot())?.txnVersion(`stream/${name}/${partition}`) ?? -1)
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

async function addTail(
  platform: Platform,
  runtime: StreamRuntime,
  covered: ReadonlyMap<number, number>,
  { by, time, names, from, until, stepMs, add }: TailOptions,
): Promise<void> {
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
  for (const table of pipeline?.lake.plan.tables.values() ?? [])
    if (!isMade(table.options) && table.options.from?.name === stream && Object.hasOwn(table.c, Object.keys(BRONZE_FIELDS)[0] ?? '')) return table.name
  return undefined
}

const mean = (cell: { readonly sum: number; readonly count: number } | undefined): number | null =>
  cell && cell.count > 0 ? Math.round((cell.sum / cell.count) * 1e6) / 1e6 : null
const instant = (ms: number): string => `timestamptz '${new Date(ms).toISOString()}'`
