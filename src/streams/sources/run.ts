/** Runs a source: paces it, appends what it yields with a mark of its position, and starts it again after a failure. */
import { backoff, LagoaError, toLagoaError, type Clock, type Log } from '../../base/index.ts'
import { encodeDeadLetters, deadLetterTopic, rawBytes } from '../dead-letters.ts'
import type { Stream } from '../declare.ts'
import { encodeJson } from '../log/batch.ts'
import { partitionOf } from '../log/partition.ts'
import type { EventLog, ProducerMark } from '../log/port.ts'
import type { Source, SourceBatch } from './source.ts'

export interface SourceStatus {
  readonly kind: string
  state: 'running' | 'paused' | 'ended' | 'failed'
  /** Records stored since the source first began, also by earlier starts. */
  records: number
  blank: number
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
      if (failure.kind !== 'unavailable') return
      await clock.sleep(backoff(attempt), signal).catch(() => undefined)
      status.state = 'running'
      status.failure = undefined
    }
  }
}

async function runOnce({ stream, source, rate, log, clock, signal, hasRoom }: SourceRunOptions, status: SourceStatus): Promise<void> {
  const partitions = stream.options.partitions ?? 1
  const id = await source.identity()
  const marks = new Map<number, ProducerMark | null>()
  for (let partition = 0; partition < partitions; partition++) marks.set(partition, await log.producerState(stream.name, `${id}/${partition}`))
  const brokenId = `${id}/broken`
  let brokenDone = (await log.producerState(deadLetterTopic(stream.name), brokenId))?.sequence ?? -1

  const resume = oldest([...marks.values()])
  status.records = resume?.sequence ?? 0
  const batchSize = Number.isFinite(rate) ? Math.max(1, Math.min(LARGEST_BATCH, Math.round(rate / TICKS))) : LARGEST_BATCH
  const iterator = source.read({ resume, batch: batchSize, signal })[Symbol.asyncIterator]()
  let due = clock.now()
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
      if (next.done || signal.aborted) return
      const batch = next.value
      if (Number.isFinite(rate)) due += (batch.values.length / rate) * 1000
      const broken = (batch.broken ?? []).filter(({ line }) => line > brokenDone)
      const lastBroken = broken.at(-1)
      if (lastBroken) {
        const letters = broken.map(({ bytes, reason, line }) => ({ error: 'broken_line', reason: `line ${line}: ${reason}`, partition: null, offset: null, key: null, ...rawBytes(bytes) }))
        await log.append(deadLetterTopic(stream.name), 0, encodeDeadLetters(letters), { producer: { id: brokenId, sequence: lastBroken.line } })
        brokenDone = lastBroken.line
      }
      await appendBatch(log, stream, partitions, id, marks, batch)
      status.records = batch.sequence
      status.blank = batch.blank ?? status.blank
      status.broken += broken.length
    }
  } finally {
    await iterator.return?.()
  }
}

async function appendBatch(log: EventLog, stream: Stream, partitions: number, id: string, marks: Map<number, ProducerMark | null>, batch: SourceBatch): Promise<void> {
  const first = batch.sequence - batch.values.length + 1
  for (let partition = 0; partition < partitions; partition++) {
    const done = marks.get(partition)?.sequence ?? Number.NEGATIVE_INFINITY
    const mine = (index: number): boolean => first + index > done && (partitions === 1 || partitionOf(batch.keys?.[index] ?? null, partitions, first + index) === partition)
    const all = partitions === 1 && first > done
    const values = all ? batch.values : batch.values.filter((_, index) => mine(index))
    if (values.length === 0) continue
    const keys = all ? batch.keys : (batch.keys?.filter((_, index) => mine(index)) ?? null)
    const mark = { id: `${id}/${partition}`, sequence: batch.sequence, note: batch.note }
    await log.append(stream.name, partition, encodeJson(keys, values), { producer: mark })
    marks.set(partition, mark)
  }
}

/** Where the source must go on so that no partition misses a record: the mark with the lowest sequence, the beginning when one has none. */
function oldest(marks: readonly (ProducerMark | null)[]): { sequence: number; note: Readonly<Record<string, unknown>> } | null {
  let lowest: ProducerMark | null = null
  for (const mark of marks) {
    if (mark === null) return null
    if (lowest === null || mark.sequence < lowest.sequence) lowest = mark
  }
  return lowest && { sequence: lowest.sequence, note: lowest.note ?? {} }
}
