/**
 * A lane carries one partition of a stream to one sink: read, decode, gather until a delivery is due, deliver, move the offset.
 * Lanes share decoded batches but nothing else, so each has its own pace, its own back-off and its own place in the log.
 *
 * While a delivery is under way the next one is gathered, so a lane that is behind makes larger ones, and waits for one engine at a time.
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
/** How much is gathered at most during a delivery. */
const AHEAD_RECORDS = 50_000
const AHEAD_BYTES = 32 * 1024 * 1024
/** Engines that are away answer at once, so asking often is cheap, and the wait is what is lost when one is back. */
const LONGEST_WAIT_MS = 2_000

/** What is gathered for the next delivery. */
interface Lot {
  readonly batches: DecodedBatch[]
  count: number
  bytes: number
  /** When the first of it came. */
  since: number
}

const emptyLot = (): Lot => ({ batches: [], count: 0, bytes: 0, since: 0 })

export function createLane(stream: string, sink: Sink, partition: number, deps: LaneDeps): Lane {
  const { log, records, clock, logger } = deps
  const key: OffsetKey = { stream, sink: sink.name, partition }
  let position = 0
  let stored: number | null = null
  /** The next record to read: what is gathered ends before it. */
  let ahead = 0
  let lot = emptyLot()
  let delivering = false
  /** Between the half that gathers and the half that delivers. */
  let changed = Promise.withResolvers<void>()
  const tell = (): void => {
    changed.resolve()
    changed = Promise.withResolvers<void>()
  }
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
    ahead = position
    lot = emptyLot()
    const ending = new AbortController()
    const both = AbortSignal.any([signal, ending.signal])
    both.addEventListener('abort', () => tell(), { once: true })
    const refilling = sink.refill && isLost ? fill(sink.refill, position, both) : Promise.resolve()
    const [gathering, delivered] = [gather(both), deliverAll(both)]
    const carrying = Promise.all([gathering, delivered])
    try {
      // Deliveries go on until the lane ends; a refill that fails ends them.
      await Promise.race([carrying, refilling.then(() => carrying)])
    } finally {
      ending.abort()
      await Promise.allSettled([gathering, delivered, refilling])
      filling = false
    }
  }

  /** A stop delivers nothing more: what was gathered is read again at the next start. */
  const gather = async (signal: AbortSignal): Promise<void> => {
    let silent = false
    while (!signal.aborted) {
      if (isFull()) {
        await changed.promise
        continue
      }
      const batches = await log.read(stream, partition, ahead)
      if (signal.aborted) return
      for (const batch of batches) take(batch)
      if (batches.length > 0) {
        silent = false
        tell()
        // Decoding holds the thread: let timers and requests have their turn between reads.
        await new Promise(setImmediate)
        continue
      }
      if (lot.count === 0 && !delivering) {
        position = ahead
        // Others know this lane by what is stored: what is no record counts as taken when nothing follows it.
        if (silent) {
          await sink.refill?.confirm(partition, position)
          if (position > (stored ?? 0)) {
            await moveOffset(records, key, stored, position)
            stored = position
          }
          recovered()
        }
      }
      silent = true
      await log.wait(stream, partition, ahead, { signal: AbortSignal.any([signal, nudge.signal]), timeoutMs: 1000 })
    }
  }

  const take = (batch: RecordBatch): void => {
    if (batch.count === 0) {
      ahead = Math.max(ahead, batch.baseOffset)
      return
    }
    if (lot.count === 0) lot.since = clock.now()
    if (batch.baseOffset > ahead && log.capabilities.denseOffsets)
      logger.warn('stream.records_expired', { stream, sink: sink.name, partition, from: ahead, upTo: batch.baseOffset })
    const decoded = deps.decode(partition, batch, Math.max(ahead, batch.baseOffset))
    lot.batches.push(decoded)
    lot.count += decoded.upTo - decoded.from
    lot.bytes += batch.bytes.length + BATCH_OVERHEAD
    ahead = decoded.upTo
  }

  const isFull = (): boolean =>
    delivering ? lot.count >= Math.max(AHEAD_RECORDS, sink.pace.records) || lot.bytes >= AHEAD_BYTES : lot.count >= sink.pace.records || lot.bytes >= DUE_BYTES

  /** Milliseconds until what is gathered is due; null when there is nothing. */
  const dueIn = (): number | null => {
    if (lot.count === 0) return null
    return hurried || lot.count >= sink.pace.records || lot.bytes >= DUE_BYTES ? 0 : lot.since + sink.pace.ms - clock.now()
  }

  const deliverAll = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      const wait = dueIn()
      if (wait === null || wait > 0) {
        await eitherOf(changed.promise, wait)
        continue
      }
      const { batches } = lot
      const upTo = ahead
      lot = emptyLot()
      delivering = true
      tell()
      try {
        await deliver(batches, upTo, signal)
      } finally {
        delivering = false
      }
      // What lies before the next record is no record: nothing has to be delivered for it.
      if (lot.count === 0) position = ahead
      recovered()
      tell()
    }
  }

  return {
    sink,
    partition,
    status: () => ({ position, state, filling, error, retryAt }),
    hurry(on) {
      hurried = on
      nudge.abort()
      nudge = new AbortController()
      tell()
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

async function eitherOf(change: Promise<void>, ms: number | null): Promise<void> {
  if (ms === null) return change
  let timer: NodeJS.Timeout | undefined
  await Promise.race([change, new Promise((resolve) => (timer = setTimeout(resolve, ms)))])
  clearTimeout(timer)
}
