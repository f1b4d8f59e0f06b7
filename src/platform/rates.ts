/** Records per second by stream, from the growth of the log's offsets, once a second. */
import type { EventLog } from '../streams/index.ts'
import type { Pipeline } from './pipeline.ts'

export interface Rates {
  start(): void
  stop(): void
  /** Mean over the last ten seconds. */
  perSecond(stream: string): number
  /** Records of the stream, or of all streams, in each of the last 60 seconds, oldest first. */
  history(stream?: string): readonly number[]
}

const KEPT = 60
const MEAN_OVER = 10

export function createRates(pipeline: () => Pipeline | null, log: EventLog): Rates {
  const samples = new Map<string, number[]>()
  const ends = new Map<string, number>()
  let timer: NodeJS.Timeout | undefined
  let busy = false

  const sample = async (): Promise<void> => {
    const names = [...(pipeline()?.streams.keys() ?? [])]
    for (const name of names) {
      const end = (await log.ends(name)).reduce((sum, next) => sum + next, 0)
      const before = ends.get(name)
      ends.set(name, end)
      if (before === undefined) continue
      const kept = samples.get(name) ?? []
      kept.push(Math.max(0, end - before))
      if (kept.length > KEPT) kept.shift()
      samples.set(name, kept)
    }
    for (const name of samples.keys()) if (!names.includes(name)) samples.delete(name)
  }

  return {
    start() {
      timer = setInterval(() => {
        if (busy) return
        busy = true
        // A database that is away shows on the health page; a missing sample is no second error.
        void sample()
          .catch(() => undefined)
          .finally(() => (busy = false))
      }, 1000)
    },
    stop() {
      clearInterval(timer)
    },
    perSecond(stream) {
      const last = samples.get(stream)?.slice(-MEAN_OVER) ?? []
      return last.length === 0 ? 0 : last.reduce((sum, value) => sum + value, 0) / last.length
    },
    history(stream) {
      if (stream !== undefined) return samples.get(stream) ?? []
      const all = [...samples.values()]
      const length = Math.max(0, ...all.map((kept) => kept.length))
      return Array.from({ length }, (_, i) => all.reduce((sum, kept) => sum + (kept[kept.length - length + i] ?? 0), 0))
    },
  }
}
