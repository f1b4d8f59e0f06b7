/** A declared stream at work: its topic, its source, and one lane for each sink and partition. */
import { parseDuration, systemClock, toLagoaError, invalid, type Clock, type Log } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import { createDecoder, type Decoder } from './decode.ts'
import { deadLetterSink, deadLetterTopic } from './dead-letters.ts'
import type { Stream } from './declare.ts'
import { createLane, type Lane } from './lane.ts'
import type { EventLog, PartitionOffsets } from './log/port.ts'
import type { RecordBatch } from './log/batch.ts'
import { runSource, type SourceStatus } from './sources/run.ts'
import type { Source } from './sources/source.ts'
import type { DecodedBatch, Sink } from './sink.ts'
import { createTap, type TapListener } from './tap.ts'

export interface StreamRuntimeOptions {
  readonly stream: Stream
  readonly log: EventLog
  readonly records: Records
  readonly sinks: readonly Sink[]
  readonly logger: Log
  readonly clock?: Clock
  readonly source?: { readonly source: Source; readonly rate: number } | undefined
}

export interface StreamRuntime {
  readonly stream: Stream
  readonly decoder: Decoder
  start(): Promise<void>
  stop(): Promise<void>
  /** Resolves when the source has ended and every sink has taken all there is; with a source that never ends, when the backlog is taken. */
  drain(signal?: AbortSignal): Promise<void>
  status(): Promise<StreamStatus>
  /** Every batch that is decoded from now on, in order per partition, for live screens. */
  tap(listener: TapListener): () => void
}

export interface StreamStatus {
  readonly partitions: readonly PartitionOffsets[]
  readonly source: SourceStatus | undefined
  readonly sinks: readonly {
    readonly name: string
    readonly kind: Sink['kind']
    readonly position: number
    readonly lag: number
    readonly state: 'running' | 'retrying' | 'stopped'
    readonly error: string | undefined
  }[]
}

/** A source waits while the slowest sink is this many records behind. */
const MAX_LAG = 300_000
/** How many decoded batches the lanes of a stream share. */
const SHARED_BATCHES = 12

const DEFAULT_RETENTION_MS = 7 * 86_400_000
const DEFAULT_RETENTION_BYTES = 10 * 1024 ** 3

export function createStreamRuntime(options: StreamRuntimeOptions): StreamRuntime {
  const { stream, log, records, logger, clock = systemClock } = options
  const partitions = stream.options.partitions ?? 1
  const decoder = createDecoder(stream.options)
  const shared = shareDecoded(decoder)
  const tap = createTap(stream.name, { log, clock, logger, decode: shared })
  const sinks = [...options.sinks, deadLetterSink(stream.name, log)]
  let lanes: Lane[] = []
  let stopping = new AbortController()
  let running: Promise<unknown> = Promise.resolve()
  let sourceStatus: SourceStatus | undefined
  let sourceRun: Promise<void> = Promise.resolve()

  const lagOf = async (): Promise<number> => {
    const ends = await log.ends(stream.name)
    return Math.max(0, ...lanes.map((lane) => (ends[lane.partition] ?? 0) - lane.status().position))
  }

  return {
    stream,
    decoder,

    async start() {
      const retainMs = parseDuration(stream.options.retention?.time ?? DEFAULT_RETENTION_MS)
      if (retainMs === null)
        throw invalid('streams.retention', `Stream ${stream.name}: "${String(stream.options.retention?.time)}" is no duration`, {
          hint: "Write retention: { time: '7d' }, for example.",
        })
      const topic = { partitions, retainMs, retainBytes: stream.options.retention?.bytes ?? DEFAULT_RETENTION_BYTES }
      await log.ensureTopic(stream.name, topic)
      await log.ensureTopic(deadLetterTopic(stream.name), { ...topic, partitions: 1 })
      stopping = new AbortController()
      const { signal } = stopping
      const deps = { log, records, clock, logger, decode: shared }
      lanes = sinks.flatMap((sink) => Array.from({ length: partitions }, (_, partition) => createLane(stream.name, sink, partition, deps)))
      const runs: Promise<unknown>[] = lanes.map((lane) => lane.run(signal))
      if (options.source) {
        const { source, rate } = options.source
        const run = runSource({ stream, source, rate, log, clock, logger, signal, hasRoom: async () => (await lagOf()) < MAX_LAG })
        sourceStatus = run.status
        sourceRun = run.done
        runs.push(run.done)
      }
      running = Promise.all(runs)
      tap.start()
    },

    async stop() {
      stopping.abort()
      await Promise.all([running, tap.stop()])
    },

    async drain(signal) {
      if (options.source?.source.ends) await orAbort(sourceRun, signal)
      if (sourceStatus?.state === 'failed') throw sourceStatus.failure ?? toLagoaError(new Error(`The source of ${stream.name} failed`))
      for (const lane of lanes) lane.hurry(true)
      try {
        const ends = await log.ends(stream.name)
        while (lanes.some((lane) => lane.status().position < (ends[lane.partition] ?? 0))) {
          signal?.throwIfAborted()
          if (stopping.signal.aborted) return
          await clock.sleep(5, signal)
        }
      } finally {
        for (const lane of lanes) lane.hurry(false)
      }
    },

    async status() {
      const ends = await log.offsets(stream.name)
      return {
        partitions: ends,
        source: sourceStatus,
        sinks: sinks.map((sink) => {
          const own = lanes.filter((lane) => lane.sink === sink)
          const statuses = own.map((lane) => lane.status())
          const position = statuses.reduce((sum, status) => sum + status.position, 0)
          const worst = statuses.find(({ state }) => state === 'retrying') ?? statuses.find(({ state }) => state === 'stopped') ?? statuses[0]
          return {
            name: sink.name,
            kind: sink.kind,
            position,
            lag: Math.max(0, ends.reduce((sum, { next }) => sum + next, 0) - position),
            state: worst?.state ?? 'stopped',
            error: worst?.error,
          }
        }),
      }
    },

    tap: (listener) => tap.listen(listener),
  }
}

/** Settles with the promise, or rejects with the signal's reason when it aborts first. */
async function orAbort(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return promise
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** One decoding for all lanes that pass a batch at about the same time; the least recently made batch is forgotten first. */
function shareDecoded(decoder: Decoder): (partition: number, batch: RecordBatch, from: number) => DecodedBatch {
  const recent = new Map<string, DecodedBatch>()
  return (partition, batch, from) => {
    if (from !== batch.baseOffset) return decoder.decode(batch, from)
    const name = `${partition}/${batch.baseOffset}`
    const known = recent.get(name)
    if (known && known.upTo === batch.baseOffset + batch.count) return known
    const decoded = decoder.decode(batch)
    recent.set(name, decoded)
    for (const oldest of recent.keys()) {
      if (recent.size <= SHARED_BATCHES) break
      recent.delete(oldest)
    }
    return decoded
  }
}
