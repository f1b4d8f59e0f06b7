/** Time as a value that can be passed in: the real clock outside, a virtual one in tests. All times are epoch milliseconds. */
export interface Clock {
  now(): number
  /** Resolves after `ms`, or rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      }, ms)
      const onAbort = (): void => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      signal?.addEventListener('abort', onAbort, { once: true })
    }),
}

/** Parses `250ms`, `5s`, `15 min`, `1h`, `7d`; a bare number is milliseconds. Returns null when it is no duration. */
export function parseDuration(text: string | number): number | null {
  if (typeof text === 'number') return Number.isFinite(text) && text >= 0 ? text : null
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|sec|m|min|h|d)?\s*$/.exec(text)
  if (!match) return null
  return Number(match[1]) * (DURATION_UNITS[match[2] ?? 'ms'] ?? 1)
}

/** Epoch milliseconds of `2026-01-31`, `2026-01-31 10:00` or ISO text; without a zone it counts as UTC. Null when it is no time. */
export function parseInstant(text: string): number | null {
  const dated = text.length <= 10
  const zoned = dated || /(?:Z|[+-]\d\d(?::?\d\d)?)$/i.test(text.slice(10))
  const value = Date.parse(dated ? text : `${text.replace(' ', 'T')}${zoned ? '' : 'Z'}`)
  return Number.isNaN(value) ? null : value
}

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, sec: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 }

/** Back-off for the n-th retry (0-based): doubles from `base` to `cap`, with full jitter on the upper half. */
export function backoff(attempt: number, base: number = 100, cap: number = 30_000): number {
  const ceiling = Math.min(cap, base * 2 ** Math.min(attempt, 30))
  return ceiling / 2 + (Math.random() * ceiling) / 2
}
