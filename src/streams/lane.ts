/**
 * A lane carries one partition of a stream to one sink: read, decode, gather until a delivery is due, deliver, move the offset.
 * Lanes share decoded batches but nothing else, so each has its own pace, its own back-off and its own place in the log.
 */
import { backoff, conflict, toLagoaError, type Clock, type Log } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { EventLog } from './log/port.ts'
import type { RecordBatch } from './log/batch.ts'
import { loadOffset, moveOffset, type OffsetKey } from './offsets.ts'
import type { DecodedBatch, Delivery, Refill, Sink } from './sink.ts'

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
  /** The sink's store had lost what it held, and gets it again. */
  readonly filling: boolean
  readonly error: string | undefined
  /** When a delivery that failed is tried again. */
  readonly retryAt: number | null
}

/** Records in one stretch of a refill. */
const STRETCH = 20_000
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
  let retryAt: number | null = null
  let filling = false
  let hurried = false
  let nudge = new AbortController()

  /** Answers whether the sink's store has to be filled again with what comes before. */
  const locate = async (): Promise<boolean> => {
    sink.begin?.(partition)
    stored = await loadOffset(records, key)
    const own = (await sink.position?.(partition)) ?? null
    // The sink's own account is ahead after a crash between its commit and ours, behind when the last records were all dead letters. Of a
    // store that may lose what it holds it is the truth, unless nobody knows of it.
    const next = sink.refill ? (stored === null ? 0 : (own ?? stored)) : Math.max(own ?? 0, stored ?? 0)
    const end = (await log.ends(stream))[partition] ?? 0
    if (next > end) {
      throw conflict('streams.sink_ahead', `${sink.name} has records of ${stream}/${partition} up to offset ${next}, but the event log ends at ${end}`, {
        hint: 'The event log is another one, or was restored from an older backup: give the sink that belongs to it, or write to a new one.',
      })
    }
    position = next
    return own === null && sink.refill !== undefined
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

  const fill = async (refill: Refill, upTo: number, signal: AbortSignal): Promise<void> => {
    if (upTo > 0) logger.info('stream.refill_began', { stream, sink: sink.name, partition, upTo })
    filling = true
    await refill.fill(partition, upTo, stretchesBefore(upTo, signal), signal)
    filling = false
    if (upTo > 0) logger.info('stream.refilled', { stream, sink: sink.name, partition, upTo })
  }

  /** What the log has before an offset, in stretches of consecutive records, the newest first. */
  async function* stretchesBefore(upTo: number, signal: AbortSignal): AsyncGenerator<readonly DecodedBatch[]> {
    const { earliest = 0 } = (await log.offsets(stream)).find((one) => one.partition === partition) ?? {}
    for (let to = upTo; to > earliest && !signal.aborted; to -= STRETCH) {
      const stretch: DecodedBatch[] = []
      for (let next = Math.max(earliest, to - STRETCH); next < to && !signal.aborted;) {
        const batches = await log.read(stream, partition, next, { maxRecords: to - next })
        if (batches.length === 0) break
        for (const batch of batches) {
          if (batch.count > 0) stretch.push(deps.decode(partition, batch, Math.max(next, batch.baseOffset)))
          next = Math.max(next, batch.baseOffset + batch.count)
        }
      }
      yield stretch
    }
  }

  const recovered = (): void => {
    if (state === 'retrying') logger.info('stream.sink_recovered', { stream, sink: sink.name, partition, offset: position })
    state = 'running'
    error = undefined
  }

  const cycle = async (signal: AbortSignal): Promise<void> => {
    const isLost = await locate()
    const ending = new AbortController()
    const both = AbortSignal.any([signal, ending.signal])
    const refilling = sink.refill && isLost ? fill(sink.refill, position, both) : Promise.resolve()
    const carrying = carry(both)
    try {
      // Deliveries go on until the lane ends; a refill that fails ends them.
      await Promise.race([carrying, refilling.then(() => carrying)])
    } finally {
      ending.abort()
      await Promise.allSettled([carrying, refilling])
      filling = false
    }
  }

  const carry = async (signal: AbortSignal): Promise<void> => {
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
        if (silent && count === 0) {
          await sink.refill?.confirm(partition, position)
          if (position > (stored ?? 0)) {
            await moveOffset(records, key, stored, position)
            stored = position
          }
          recovered()
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
      recovered()
    }
    // A stop delivers nothing more: what was gathered is read again at the next start.
  }

  return {
    sink,
    partition,
    status: () => ({ position, state, filling, error, retryAt }),
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
          const wait = backoff(attempt, 100, LONGEST_WAIT_MS)
          retryAt = clock.now() + wait
          await clock.sleep(wait, signal).catch(() => undefined)
          retryAt = null
        }
      }
      state = 'stopped'
    },
  }
}
