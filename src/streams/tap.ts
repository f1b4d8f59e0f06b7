/**
 * Follows the end of a stream for live screens, without an offset of its own: listeners get what is decoded from now on, in order per
 * partition. It reads only while somebody listens, and begins at the end of the log again when somebody comes back.
 */
import { toLagoaError, type Clock, type Log } from '../base/index.ts'
import type { RecordBatch } from './log/batch.ts'
import type { EventLog } from './log/port.ts'
import type { DecodedBatch } from './sink.ts'

export type TapListener = (partition: number, batch: DecodedBatch) => void

export interface Tap {
  listen(listener: TapListener): () => void
  start(): void
  stop(): Promise<void>
}

export interface TapDeps {
  readonly log: EventLog
  readonly clock: Clock
  readonly logger: Log
  readonly decode: (partition: number, batch: RecordBatch, from: number) => DecodedBatch
}

export function createTap(stream: string, { log, clock, logger, decode }: TapDeps): Tap {
  const listeners = new Set<TapListener>()
  let isStarted = false
  let stopFollowing: AbortController | null = null
  let following: Promise<unknown> = Promise.resolve()

  const begin = (): void => {
    if (!isStarted || stopFollowing || listeners.size === 0) return
    stopFollowing = new AbortController()
    following = Promise.all([following, follow(stopFollowing.signal)])
  }
  const end = (): void => {
    stopFollowing?.abort()
    stopFollowing = null
  }

  const follow = async (signal: AbortSignal): Promise<void> => {
    const ends = (await persist(signal, () => log.ends(stream))) ?? []
    await Promise.all(ends.map((next, partition) => followPartition(partition, next, signal)))
  }

  const followPartition = async (partition: number, start: number, signal: AbortSignal): Promise<void> => {
    let next = start
    while (!signal.aborted) {
      const batches = (await persist(signal, () => log.read(stream, partition, next))) ?? []
      for (const batch of batches) {
        if (signal.aborted) return
        const decoded = decode(partition, batch, Math.max(next, batch.baseOffset))
        next = decoded.upTo
        for (const listener of listeners) tell(listener, partition, decoded)
      }
      if (batches.length === 0) await log.wait(stream, partition, next, { signal })
      else await new Promise(setImmediate)
    }
  }

  /** A screen that fails must not keep the others from their rows. */
  const tell = (listener: TapListener, partition: number, decoded: DecodedBatch): void => {
    try {
      listener(partition, decoded)
    } catch (thrown) {
      logger.warn('stream.tap_failed', { stream, partition, error: toLagoaError(thrown) })
    }
  }

  const persist = async <T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T | undefined> => {
    while (!signal.aborted) {
      try {
        return await attempt()
      } catch (thrown) {
        if (signal.aborted) break
        logger.warn('stream.tap_failed', { stream, error: toLagoaError(thrown) })
        await clock.sleep(500, signal).catch(() => undefined)
      }
    }
    return undefined
  }

  return {
    listen(listener) {
      listeners.add(listener)
      begin()
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) end()
      }
    },
    start() {
      isStarted = true
      begin()
    },
    async stop() {
      isStarted = false
      end()
      await following
    },
  }
}
