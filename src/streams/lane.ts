/**
 * A lane carries one partition of a stream to one sink: read, decode, gather until a delivery is due, deliver, move the offset.
 * Lanes share decoded batches but nothing else, so each has its own pace, its own back-off and its own place in the log.
 */
import { backoff, conflict, toLagoaError, type Clock, type Log } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { EventLog } from './log/port.ts'
import type { RecordBatch } from './log/batch.ts'
import { loadOffset, moveOffset, type OffsetKey } from './offsets.ts'
import type { DecodedBatch, Delivery, Sink } from './sink.ts'

export interface LaneDeps {
  readonly log: EventLog
  readonly records: Records
  readonly clock: Clock
  readonly logger: Log
  /** Decodes through the cache that the stream's lanes share. */
  readonly decode: (partition: number, batch: RecordBatch, from: number) => DecodedBatch
}

export interface Lane {
  readonly sink: Sink
  readonly partition: number
  status(): LaneStatus
  /** Runs until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>
  /** From now on deliver at once whatever is there, without waiting for the pace. */
  hurry(on: boolean): void
}

export interface LaneStatus {
  readonly position: number
  readonly state: 'running' | 'retrying' | 'stopped'
  readonly error: string | undefined
}

/** A delivery is also due with about this much memory in its batches; a batch has its price however few records are in it. */
const DUE_BYTES = 64 * 1024 * 1024
const BATCH_OVERHEAD = 2048
/** Engines that are away answer at once, so asking often is cheap, and the wait is what is lost when one is back. */
const LONGEST_WAIT_MS = 2_000

export function createLane(stream: string, sink: Sink, partition: number, deps: LaneDeps): Lane {
  const { log, records, clock, logger } = deps
  const key: OffsetKey = { stream, sink: sink.name, partition }
  let position = 0
  let stored: number | null = null
  let state: LaneStatus['state'] = 'stopped'
  let error: string | undefined
  let hurried = false
  let nudge = new AbortController()

  const locate = async (): Promise<void> => {
    stored = await loadOffset(records, key)
    const own = await sink.position?.(partition)
    // The sink's own account is ahead after a crash between its commit and ours, behind when the last records were all dead letters.
    const next = Math.max(own ?? 0, stored ?? 0)
    const end = (await log.ends(stream))[partition] ?? 0
    if (next > end) {
      throw conflict('streams.sink_ahead', `${sink.name} has records of ${stream}/${partition} up to offset ${next}, but the event log ends at ${end}`, {
        hint: 'The event log is another one, or was restored from an older backup: give the sink that belongs to it, or write to a new one.',
      })
    }
    position = next
  }

  const deliver = async (batches: readonly DecodedBatch[], upTo: number, signal: AbortSignal): Promise<void> => {
    let moved = false
    const delivery: Delivery = {
      stream,
      partition,
      from: position,
      upTo,
      batches,
      async commitIn(tx) {
        await moveOffset(tx, key, stored, upTo)
        moved = true
      },
    }
    await sink.deliver(delivery, signal)
    if (!moved) await moveOffset(records, key, stored, upTo)
    stored = upTo
    position = upTo
  }

  const cycle = async (signal: AbortSignal): Promise<void> => {
    await locate()
    let gathered: DecodedBatch[] = []
    let count = 0
    let bytes = 0
    let since = 0
    let next = position
    let silent = false
    while (!signal.aborted) {
      const due = count > 0 && (hurried || count >= sink.pace.records || bytes >= DUE_BYTES || clock.now() - since >= sink.pace.ms)
      if (!due) {
        const batches = await log.read(stream, partition, next)
        if (signal.aborted) break
        for (const batch of batches) {
          if (batch.count === 0) {
            next = Math.max(next, batch.baseOffset)
            continue
          }
          if (count === 0) since = clock.now()
          if (batch.baseOffset > next && log.capabilities.denseOffsets)
            logger.warn('stream.records_expired', { stream, sink: sink.name, partition, from: next, upTo: batch.baseOffset })
          const decoded = deps.decode(partition, batch, Math.max(next, batch.baseOffset))
          gathered.push(decoded)
          count += decoded.upTo - decoded.from
          bytes += batch.bytes.length + BATCH_OVERHEAD
          next = decoded.upTo
        }
        // What lies before the next record is no record: nothing has to be delivered for it.
        if (count === 0) position = next
        if (batches.length > 0) {
          silent = false
          // Decoding holds the thread: let timers and requests have their turn between reads.
          await new Promise(setImmediate)
          continue
        }
        // Others know this lane by what is stored: what is no record counts as taken when nothing follows it.
        if (silent && count === 0 && position > (stored ?? 0)) {
          await moveOffset(records, key, stored, position)
          stored = position
        }
        silent = true
        const timeoutMs = count > 0 ? Math.max(1, since + sink.pace.ms - clock.now()) : 1000
        if (count === 0 || !hurried) await log.wait(stream, partition, next, { signal: AbortSignal.any([signal, nudge.signal]), timeoutMs })
        continue
      }
      await deliver(gathered, next, signal)
      gathered = []
      count = 0
      bytes = 0
      if (state === 'retrying') logger.info('stream.sink_recovered', { stream, sink: sink.name, partition, offset: position })
      state = 'running'
      error = undefined
    }
    // A stop delivers nothing more: what was gathered is read again at the next start.
  }

  return {
    sink,
    partition,
    status: () => ({ position, state, error }),
    hurry(on) {
      hurried = on
      nudge.abort()
      nudge = new AbortController()
    },
    async run(signal) {
      state = 'running'
      for (let attempt = 0; !signal.aborted; attempt++) {
        const before = position
        try {
          await cycle(signal)
        } catch (thrown) {
          if (signal.aborted) break
          if (position > before) attempt = 0
          const failure = toLagoaError(thrown)
          state = 'retrying'
          error = failure.hint ? `${failure.message} ${failure.hint}` : failure.message
          // One that stays away is told of ever more rarely.
          const level = Number.isInteger(Math.log2(attempt + 1)) ? 'warn' : 'debug'
          logger[level]('stream.sink_failed', { stream, sink: sink.name, partition, offset: position, attempt, error: failure })
          await clock.sleep(backoff(attempt, 100, LONGEST_WAIT_MS), signal).catch(() => undefined)
        }
      }
      state = 'stopped'
    },
  }
}
