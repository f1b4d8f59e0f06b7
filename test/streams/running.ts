/** A stream at work on a real log, and sinks that remember what they got. */
import { silentLog, systemClock, t, type Clock, type Log, type Schema } from '../../src/base/index.ts'
import { dutyMigrations, keysMigrations, migrate, soleDuties, type Duties, type Records } from '../../src/storage/index.ts'
import {
  createStreamRuntime,
  encodeRecords,
  eventLogMigrations,
  offsetMigrations,
  openPostgresLog,
  stream,
  type Delivery,
  type EventLog,
  type Sink,
  type Source,
  type Stream,
  type StreamOptions,
  type StreamRuntime,
} from '../../src/streams/index.ts'

export interface Running {
  readonly log: EventLog
  /** A stream of records `{ id, sensor }` with a topic of its own. */
  declare(options?: Partial<StreamOptions<Schema>>): Stream
  /** Appends `{ id }` for each, spread over the partitions by turns; other values as they are. */
  append(to: Stream, ids: readonly (number | string)[], size?: number): Promise<void>
  start(
    of: Stream,
    sinks: readonly Sink[],
    options?: {
      readonly source?: { source: Source; rate: number }
      readonly through?: EventLog
      readonly clock?: Clock
      readonly logger?: Log
      readonly duties?: Duties
    },
  ): Promise<StreamRuntime>
}

export async function openRunning(records: Records): Promise<Running> {
  await migrate(records, [...dutyMigrations, ...eventLogMigrations, ...offsetMigrations, ...keysMigrations])
  const log = await openPostgresLog(records)
  let made = 0
  return {
    log,
    declare: (options) => stream<Schema>(`stream_${++made}`, { schema: { id: t.int(), sensor: t.string().nullable() }, ...options }),
    async append(to, ids, size = 3) {
      const partitions = to.options.partitions ?? 1
      await log.ensureTopic(to.name, { partitions, retainMs: 1e9, retainBytes: 1e9 })
      for (let from = 0, turn = 0; from < ids.length; from += size, turn++) {
        const values = ids.slice(from, from + size).map((id) => (typeof id === 'number' ? JSON.stringify({ id, sensor: `s${id % 5}` }) : id))
        await log.append(to.name, turn % partitions, encodeRecords(values.map((value) => ({ key: null, value }))))
      }
    },
    async start(of, sinks, { source, through = log, clock = systemClock, logger = silentLog, duties = soleDuties({ log: silentLog, url: 'test' }) } = {}) {
      const runtime = createStreamRuntime({ stream: of, log: through, records, duties, logger, clock, sinks, source })
      await runtime.start()
      return runtime
    },
  }
}

export interface Collector extends Sink {
  /** The offsets of each partition as they came, good and bad records, over all starts. */
  readonly offsets: Map<number, number[]>
  readonly ids: number[]
}

/** Remembers every delivery after `before` let it through; checks that it says rightly what it covers. */
export function collector(
  name: string,
  before: (delivery: Delivery, signal: AbortSignal) => Promise<void> | void = () => undefined,
  pace: Sink['pace'] = { records: 10, ms: 20 },
): Collector {
  const offsets = new Map<number, number[]>()
  const ids: number[] = []
  return {
    name,
    kind: 'table',
    pace,
    offsets,
    ids,
    async deliver(delivery, signal) {
      await before(delivery, signal)
      const seen = offsets.get(delivery.partition) ?? []
      offsets.set(delivery.partition, seen)
      let next = delivery.from
      for (const batch of delivery.batches) {
        if (batch.from !== next) throw new Error(`a delivery from ${delivery.from} has a batch from ${batch.from} where ${next} is due`)
        next = batch.upTo
        seen.push(...[...batch.offsets, ...batch.bad.map(({ offset }) => offset)].sort((a, b) => a - b))
        ids.push(...idsOf(batch.rows))
      }
      if (next !== delivery.upTo) throw new Error(`a delivery up to ${delivery.upTo} ends at ${next}`)
    },
  }
}

export function idsOf(rows: Delivery['batches'][number]['rows']): number[] {
  return rows.columns.flatMap((column) => (column.name === 'id' && column.kind === 'number' ? [...column.values.subarray(0, rows.count)] : []))
}

export const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

/** Asks until the answer is true; the test's own time-out ends it. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}
