/** A declared stream at work: its topic, its source, and one lane for each sink and partition. */
import { backoff, invalid, parseDuration, systemClock, toLagoaError, type Clock, type LagoaError, type Log } from '../base/index.ts'
import type { Duties, Offer, Records } from '../storage/index.ts'
import { createDecoder, type Decoder } from './decode.ts'
import { deadLetterSink, deadLetterTopic } from './dead-letters.ts'
import type { Stream } from './declare.ts'
import { createLane, type Lane, type LaneStatus } from './lane.ts'
import { loadOffsets } from './offsets.ts'
import type { EventLog, PartitionOffsets, TopicOptions } from './log/port.ts'
import { shareDecoded } from './sharing.ts'
import { runSource, type SourceStatus } from './sources/run.ts'
import type { Source } from './sources/source.ts'
import type { Sink } from './sink.ts'
import { createTap, type TapListener } from './tap.ts'

export interface StreamRuntimeOptions {
  readonly stream: Stream
  readonly log: EventLog
  readonly records: Records
  /** Partitions, and the source, are shared out among the nodes of a project. */
  readonly duties: Duties
  readonly sinks: readonly Sink[]
  readonly logger: Log
  readonly clock?: Clock
  readonly source?: StreamSource | undefined
}

export interface StreamSource {
  readonly source: Source
  readonly rate: number
  /** A file that somebody named by hand: it is read by the node on which it was named. */
  readonly named?: string | undefined
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
  /** Empty while the log is away. */
  readonly partitions: readonly PartitionOffsets[]
  /** Why the log does not answer. */
  readonly problem: LagoaError | undefined
  readonly source: SourceStatus | undefined
  readonly sinks: readonly {
    readonly name: string
    readonly kind: Sink['kind']
    readonly position: number
    readonly lag: number
    readonly state: 'running' | 'retrying' | 'stopped'
    readonly error: string | undefined
    /** When a failing one is tried again. */
    readonly retryAt: number | null
  }[]
  readonly lanes: readonly LaneView[]
}

/** One partition on its way to one sink. */
export interface LaneView {
  readonly sink: string
  readonly kind: Sink['kind']
  readonly partition: number
  /** The next offset that it will take. */
  readonly position: number
  readonly lag: number
  /** `elsewhere`: another node carries it, or none does; only how far it has come is known here. */
  readonly state: LaneStatus['state'] | 'elsewhere'
  readonly error: string | undefined
}

/** A source waits while the slowest sink is this many records behind. */
const MAX_LAG = 300_000

const DEFAULT_RETENTION_MS = 7 * 86_400_000
const DEFAULT_RETENTION_BYTES = 10 * 1024 ** 3

export function createStreamRuntime(options: StreamRuntimeOptions): StreamRuntime {
  const { stream, log, records, logger, clock = systemClock } = options
  const partitions = stream.options.partitions ?? 1
  const decoder = createDecoder(stream.options)
  const shared = shareDecoded(decoder, () => sinks.length)
  const tap = createTap(stream.name, { log, clock, logger, decode: shared.look })
  const sinks = [...options.sinks, deadLetterSink(stream.name, log)]
  let lanes: Lane[] = []
  /** By partition, whether this node carries it. */
  let parts: Offer[] = []
  let stopping = new AbortController()
  let running: Promise<unknown> = Promise.resolve()
  let sourceStatus: SourceStatus | undefined
  let sourceRun: Promise<void> = Promise.resolve()
  /** Why the topics could not be made yet. */
  let problem: LagoaError | undefined

  /** Where lanes stand: here, or by the database when another node carries them. */
  const positions = async (): Promise<(lane: Lane) => number> => {
    if (parts.length > 0 && parts.every((part) => part.isHeld())) return (lane) => lane.status().position
    const stored = new Map((await loadOffsets(records, stream.name)).map((row) => [`${row.partition} ${row.sink}`, row.next_offset]))
    return (lane) => (parts[lane.partition]?.isHeld() === true ? lane.status().position : (stored.get(`${lane.partition} ${lane.sink.name}`) ?? 0))
  }
  const lagOf = async (): Promise<number> => {
    const [ends, positionOf] = await Promise.all([log.ends(stream.name), positions()])
    return Math.max(0, ...lanes.map((lane) => (ends[lane.partition] ?? 0) - positionOf(lane)))
  }

  const ensureTopics = async (topic: TopicOptions): Promise<void> => {
    await log.ensureTopic(stream.name, topic)
    await log.ensureTopic(deadLetterTopic(stream.name), { ...topic, partitions: 1 })
    problem = undefined
  }
  /** A log that is away is waited for, and holds up no other stream. */
  const ensureLater = async (topic: TopicOptions, signal: AbortSignal): Promise<void> => {
    for (let attempt = 0; ; attempt++) {
      await clock.sleep(backoff(attempt, 100, 2_000), signal)
      try {
        return await ensureTopics(topic)
      } catch (thrown) {
        signal.throwIfAborted()
        problem = toLagoaError(thrown)
        logger.warn('stream.log_away', { stream: stream.name, attempt, error: problem })
      }
    }
  }

  const startSource = (duties: Duties, { source, rate, named }: StreamSource, ready: Promise<void>, signal: AbortSignal): (() => Promise<void>) => {
    const ended = Promise.withResolvers<void>()
    sourceRun = ended.promise
    const run = async (mayRun: AbortSignal): Promise<void> => {
      await ready.catch(() => undefined)
      if (mayRun.aborted) return
      const { status, done } = runSource({ stream, source, rate, log, clock, logger, signal: mayRun, hasRoom: async () => (await lagOf()) < MAX_LAG })
      sourceStatus = status
      await done
      if (!mayRun.aborted || signal.aborted) ended.resolve()
    }
    if (named === undefined) return duties.offer(`source/${stream.name}`, run).withdraw
    const own = run(signal).catch(() => undefined)
    return () => own
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
      stopping = new AbortController()
      const { signal } = stopping
      let opened = Promise.resolve()
      try {
        await ensureTopics(topic)
      } catch (thrown) {
        const error = toLagoaError(thrown)
        if (error.kind !== 'unavailable') throw error
        problem = error
        logger.warn('stream.log_away', { stream: stream.name, attempt: 0, error })
        opened = ensureLater(topic, signal)
        opened.catch(() => undefined)
      }
      const deps = { log, records, clock, logger, decode: shared.pass }
      lanes = sinks.flatMap((sink) => Array.from({ length: partitions }, (_, partition) => createLane(stream.name, sink, partition, deps)))
      parts = Array.from({ length: partitions }, (_, partition) =>
        options.duties.offer(`stream/${stream.name}/${partition}`, async (mayRun) => {
          await opened.catch(() => undefined)
          await Promise.all(lanes.filter((lane) => lane.partition === partition).map((lane) => lane.run(mayRun)))
        }),
      )
      const endSource = options.source ? startSource(options.duties, options.source, opened, signal) : () => Promise.resolve()
      running = once(signal).then(() => Promise.all([...parts.map((part) => part.withdraw()), endSource()]))
      tap.start()
    },

    async stop() {
      stopping.abort()
      await Promise.all([running, tap.stop()])
      shared.clear()
    },

    async drain(signal) {
      if (options.source?.source.ends) await orAbort(sourceRun, signal)
      if (sourceStatus?.state === 'failed') throw sourceStatus.failure ?? toLagoaError(new Error(`The source of ${stream.name} failed`))
      for (const lane of lanes) lane.hurry(true)
      try {
        const ends = await log.ends(stream.name)
        for (;;) {
          const positionOf = await positions()
          if (lanes.every((lane) => positionOf(lane) >= (ends[lane.partition] ?? 0) && !lane.status().filling)) return
          signal?.throwIfAborted()
          if (stopping.signal.aborted) return
          await clock.sleep(parts.every((part) => part.isHeld()) ? 5 : 100, signal)
        }
      } finally {
        for (const lane of lanes) lane.hurry(false)
      }
    },

    async status() {
      const positionOf = await positions()
      let ends: PartitionOffsets[] = []
      let fault = problem
      try {
        ends = await log.offsets(stream.name)
      } catch (thrown) {
        const error = toLagoaError(thrown)
        if (error.kind !== 'unavailable' || error.code === 'streams.log_closed') throw error
        fault = error
      }
      return {
        partitions: ends,
        problem: fault,
        source: sourceStatus,
        sinks: sinks.map((sink) => {
          const own = lanes.filter((lane) => lane.sink === sink)
          const statuses = own.filter((lane) => parts[lane.partition]?.isHeld() === true).map((lane) => lane.status())
          const position = own.reduce((sum, lane) => sum + positionOf(lane), 0)
          const worst = statuses.find(({ state }) => state === 'retrying') ?? statuses.find(({ state }) => state === 'stopped') ?? statuses[0]
          return {
            name: sink.name,
            kind: sink.kind,
            position,
            lag: Math.max(0, ends.reduce((sum, { next }) => sum + next, 0) - position),
            state: worst?.state ?? (stopping.signal.aborted || own.length === 0 ? 'stopped' : 'running'),
            error: worst?.error,
            retryAt: worst?.retryAt ?? null,
          }
        }),
        lanes: lanes.map((lane) => {
          const { sink, partition } = lane
          const position = positionOf(lane)
          const here = parts[partition]?.isHeld() === true ? lane.status() : undefined
          const end = ends.find((one) => one.partition === partition)?.next ?? position
          return {
            sink: sink.name,
            kind: sink.kind,
            partition,
            position,
            lag: Math.max(0, end - position),
            state: here?.state ?? 'elsewhere',
            error: here?.error,
          }
        }),
      }
    },

    tap: (listener) => tap.listen(listener),
  }
}

/** Resolves when the signal aborts. */
const once = (signal: AbortSignal): Promise<void> => new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))

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
