/**
 * A connection that lasts: made at once, made again with back-off whenever it breaks, for ever. Whoever needs it gets the one that is
 * there, waits for an attempt that may well succeed (the first, and the first after a loss), or is told at once why there is none.
 */
import { backoff, systemClock, toLagoaError, type LagoaError, type Log } from '../base/index.ts'

export interface Lasting<C> {
  /** Rejects with the reason of the last failure while there is no connection. */
  use(): Promise<C>
  /** When a connection is tried next; null while there is one, or while one is being made. */
  retryAt(): number | null
  /** Ends the connection and makes no other. */
  close(): Promise<void>
}

export interface LastingOptions<C> {
  /** What the log calls the engine. */
  readonly engine: string
  /** Makes a connection, and calls `lost` when it is of no use any more. Takes a bounded time; rejects early when the signal aborts. */
  connect(lost: (why: LagoaError) => void, signal: AbortSignal): Promise<C>
  end(connection: C): Promise<void>
  /** What `use` rejects with after `close`. */
  closed(): LagoaError
  readonly log: Log
}

const SHORTEST_MS = 50
const LONGEST_MS = 5_000

/** Answers after the first attempt, whatever became of it. */
export async function openLasting<C>(options: LastingOptions<C>): Promise<Lasting<C>> {
  const { engine, log } = options
  const closing = new AbortController()
  const ended = Promise.withResolvers<LagoaError>()
  const tried = Promise.withResolvers<void>()
  /** The connection, or the attempt that callers should wait for. */
  let current: Promise<C> | null = null
  let fault: LagoaError = options.closed()
  let told: string | null = null
  let retryAt: number | null = null

  /** An engine that stays away says so once; another reason is news. */
  function tellAway(): void {
    if (closing.signal.aborted) return
    if (told === fault.code) log.debug('engine.away', { engine, error: fault })
    else log.warn('engine.away', { engine, error: fault })
    told = fault.code
  }

  function tellBack(): void {
    if (told !== null) log.info('engine.back', { engine })
    told = null
  }

  async function keep(): Promise<void> {
    for (let failures = 0; !closing.signal.aborted; failures++) {
      const lost = Promise.withResolvers<LagoaError>()
      const attempt = options.connect(lost.resolve, closing.signal)
      // Later attempts rarely end better than the last one, whose reason callers can have at once.
      if (failures === 0) current = attempt
      try {
        const made = await attempt
        current = attempt
        tellBack()
        tried.resolve()
        const began = performance.now()
        fault = await Promise.race([lost.promise, ended.promise])
        current = null
        await options.end(made).catch(() => undefined)
        // One that breaks as soon as it is made is another failure.
        if (performance.now() - began > LONGEST_MS) failures = -1
      } catch (error) {
        fault = toLagoaError(error)
      }
      current = null
      tellAway()
      tried.resolve()
      const wait = backoff(Math.max(0, failures), SHORTEST_MS, LONGEST_MS)
      retryAt = systemClock.now() + wait
      await systemClock.sleep(wait, closing.signal).catch(() => undefined)
      retryAt = null
    }
  }

  const keeping = keep()
  await tried.promise

  return {
    async use() {
      if (closing.signal.aborted) throw options.closed()
      if (current === null) throw fault
      return current
    },
    retryAt: () => retryAt,
    async close() {
      closing.abort()
      ended.resolve(options.closed())
      await keeping
    },
  }
}
