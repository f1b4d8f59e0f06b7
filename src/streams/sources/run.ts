/** Runs a source: paces it, appends what it yields with a mark of its position, and starts it again after a failure. */
import { backoff, ERROR_KINDS, LagoaError, toLagoaError, type Clock, type Log } from '../../base/index.ts'
import { encodeDeadLetters, deadLetterTopic, rawBytes } from '../dead-letters.ts'
import type { Stream } from '../declare.ts'
import type { EventLog } from '../log/port.ts'
import { openProgress } from './progress.ts'
import type { BrokenLine, Source, SourceBatch } from './source.ts'

export interface SourceStatus {
  readonly kind: string
  state: 'running' | 'paused' | 'ended' | 'failed'
  /** Records stored since the source first began, also by earlier starts. */
  records: number
  blank: number
  /** What could not be read as a record, since the source first began. */
  broken: number
  failure: LagoaError | undefined
}

export interface SourceRunOptions {
  readonly stream: Stream
  readonly source: Source
  /** Records per second; Infinity for as fast as the log takes them. */
  readonly rate: number
  readonly log: EventLog
  readonly clock: Clock
  readonly logger: Log
  readonly signal: AbortSignal
  /** False while the sinks are too far behind. */
  readonly hasRoom: () => Promise<boolean>
}

const LARGEST_BATCH = 10_000
/** A paced source is asked this many times a second, so a batch is a tenth of a second of readings. */
const TICKS = 10

export function runSource(options: SourceRunOptions): { readonly status: SourceStatus; readonly done: Promise<void> } {
  const status: SourceStatus = { kind: options.source.kind, state: 'running', records: 0, blank: 0, broken: 0, failure: undefined }
  return { status, done: keepRunning(options, status) }
}

async function keepRunning(options: SourceRunOptions, status: SourceStatus): Promise<void> {
  const { clock, logger, signal, stream } = options
  for (let attempt = 0; !signal.aborted; attempt++) {
    const before = status.records
    try {
      await runOnce(options, status)
      if (!signal.aborted) status.state = 'ended'
      return
    } catch (thrown) {
      if (signal.aborted) return
      const failure = toLagoaError(thrown)
      status.state = 'failed'
      status.failure = failure
      logger.error('stream.source_failed', { stream: stream.name, kind: status.kind, error: failure })
      // What the user must mend first (a file that is not there) is not tried again; an engine that is away is.
      if (!ERROR_KINDS[failure.kind].retry) return
      if (status.records > before) attempt = 0
      await clock.sleep(backoff(attempt, 100, 2_000), signal).catch(() => undefined)
      status.state = 'running'
      status.failure = undefined
    }
  }
}

async function runOnce({ stream, source, rate, log, clock, signal, hasRoom }: SourceRunOptions, status: SourceStatus): Promise<void> {
  const partitions = stream.options.partitions ?? 1
  const id = await source.identity()
  const progress = await openProgress(log, stream.name, id, partitions)
  const broken = await openBroken(log, deadLetterTopic(stream.name), `${id}/broken`)
  const { resume } = progress
  status.records = resume?.sequence ?? 0
  status.broken = broken.count()
  const batchSize = Number.isFinite(rate) ? Math.max(1, Math.min(LARGEST_BATCH, Math.round(rate / TICKS))) : LARGEST_BATCH
  const iterator = source.read({ resume, batch: batchSize, rate, signal })[Symbol.asyncIterator]()
  let due = clock.now()
  const store = async (batch: SourceBatch): Promise<void> => {
    await broken.append(batch.broken ?? [])
    const stored = await progress.append(batch)
    if (Number.isFinite(rate)) due += (stored / rate) * 1000
    status.records = batch.sequence
    status.blank = batch.blank ?? status.blank
    status.broken = broken.count()
  }
  // Without a pace the next batch is read while this one is being stored; a fault of either ends the run at the next turn.
  let storing: Promise<void> = Promise.resolve()
  try {
    for (;;) {
      while (!(await hasRoom())) {
        status.state = 'paused'
        await clock.sleep(20, signal)
      }
      status.state = 'running'
      if (Number.isFinite(rate)) {
        const now = clock.now()
        if (due > now) await clock.sleep(due - now, signal)
        // After a stall the source goes on at its rate; it does not make up for lost time in one burst.
        else if (now - due > 1000) due = now
      }
      const next = await iterator.next()
      await storing
      if (next.done || signal.aborted) return
      storing = store(next.value)
      storing.catch(() => undefined)
      if (Number.isFinite(rate)) await storing
    }
  } finally {
    await storing.catch(() => undefined)
    await iterator.return?.()
  }
}

/** What could not be read goes to the dead letters, once: line numbers grow, so the last one stored tells what is new. */
async function openBroken(log: EventLog, topic: string, id: string): Promise<{ count(): number; append(lines: readonly BrokenLine[]): Promise<void> }> {
  const state = await log.producerState(topic, id)
  let done = state?.sequence ?? -1
  let count = typeof state?.note?.count === 'number' ? state.note.count : 0
  return {
    count: () => count,
    async append(lines) {
      const fresh = lines.filter(({ line }) => line > done)
      const last = fresh.at(-1)
      if (!last) return
      const letters = fresh.map(({ bytes, reason, line }) => ({
        error: 'broken_line',
        reason: `line ${line}: ${reason}`,
        partition: null,
        offset: null,
        key: null,
        ...rawBytes(bytes),
      }))
      await log.append(topic, 0, encodeDeadLetters(letters), { producer: { id, sequence: last.line, note: { count: count + fresh.length } } })
      done = last.line
      count += fresh.length
    },
  }
}
