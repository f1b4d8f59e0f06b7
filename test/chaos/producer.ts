/**
 * A producer that never gives up: numbered readings, the same for the same seed, at a bounded rate, each appended until it was
 * acknowledged. Its marks make a repeated append add nothing, so the log must hold every number once.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { encodeJson, type EventLog } from '../../src/streams/index.ts'
import { PARTITIONS, STREAM } from './cluster.ts'
import { random } from './random.ts'

export interface Reading {
  readonly sensor: string
  readonly at: string
  readonly n: number
  readonly co: number
}

export interface Producer {
  /** By partition, how many readings were acknowledged. */
  readonly acknowledged: readonly number[]
  /** Appends that had to be repeated. */
  readonly repeated: number
  /** Resolves when nothing is under way. */
  pause(): Promise<void>
  resume(): void
  stop(): Promise<void>
}

const SENSORS = 12
const LOT = 10
const EVERY_MS = 200
const START = Date.UTC(2026, 0, 1)

/** A reading is a matter of its number alone. */
export function readingAt(seed: number, partition: number, n: number): Reading {
  const next = random(seed ^ (partition * 0x1000000 + n))
  next()
  // Some sensors speak rarely: what they said last must be found long after.
  const which = next() < 0.05 ? SENSORS + (n % 40) : Math.floor(next() * SENSORS)
  return { sensor: `p${partition}-s${which}`, at: new Date(START + n * 1_000).toISOString(), n, co: Math.round(next() * 1_040) / 100 }
}

export function startProducer(log: EventLog, seed: number): Producer {
  const stopping = new AbortController()
  const acknowledged = Array.from({ length: PARTITIONS }, () => 0)
  let repeated = 0
  let gate = Promise.withResolvers<void>()
  gate.resolve()
  let busy: Promise<unknown> = Promise.resolve()

  const append = async (partition: number): Promise<void> => {
    const from = acknowledged[partition] ?? 0
    const lot = Array.from({ length: LOT }, (_, i) => readingAt(seed, partition, from + i))
    const batch = encodeJson(
      lot.map(({ sensor }) => sensor),
      lot.map((reading) => JSON.stringify(reading)),
    )
    for (;;) {
      try {
        await log.append(STREAM, partition, batch, { producer: { id: `chaos/${partition}`, sequence: from + LOT } })
        acknowledged[partition] = from + LOT
        return
      } catch (error) {
        if (stopping.signal.aborted) throw error
        repeated++
        await sleep(100)
      }
    }
  }
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await gate.promise
      if (stopping.signal.aborted) return
      busy = Promise.all(acknowledged.map((_, partition) => append(partition)))
      await busy
      await sleep(EVERY_MS)
    }
  }
  const running = loop().catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error
  })
  return {
    acknowledged,
    get repeated() {
      return repeated
    },
    async pause() {
      gate = Promise.withResolvers<void>()
      await busy
    },
    resume: () => gate.resolve(),
    async stop() {
      stopping.abort()
      gate.resolve()
      await running
    },
  }
}
