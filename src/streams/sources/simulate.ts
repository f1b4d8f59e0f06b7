/**
 * A source of made-up readings. Reading n is a pure function of the seed and n, so the same seed gives the same readings;
 * only their times follow the clock, unless a start time is given or no pace.
 */
import { invalid } from '../../base/index.ts'
import type { Source } from './source.ts'

export interface SimulationOptions {
  /** Names of the simulated devices; reading n comes from device n modulo their number. */
  readonly devices: readonly string[]
  readonly seed?: number | undefined
  /** Ends after this many readings; goes on for ever when absent. */
  readonly count?: number | undefined
  /** Epoch milliseconds of the first reading; each device then reads every `everyMs`. The clock's time when absent. */
  readonly start?: number | undefined
  readonly everyMs?: number | undefined
  /** The message of one reading, without its device and time. */
  readonly reading: (context: ReadingContext) => Readonly<Record<string, unknown>>
  /** Names of the fields for the device and the time. */
  readonly fields?: { readonly device: string; readonly time: string }
}

/** What a reading is made from. It is valid during the call only. */
export interface ReadingContext {
  readonly device: string
  /** The device's place in the list. */
  readonly index: number
  /** The device's own reading number, from 0. */
  readonly n: number
  /** A number in [0, 1) for this device and reading; other `salt`s give independent ones. */
  readonly random: (salt: number, n?: number) => number
  /** Smooth noise in [-1, 1] that moves about once every `period` readings. */
  readonly drift: (salt: number, period: number) => number
}

export function simulate(options: SimulationOptions): Source {
  const { devices, seed = 1, count = Number.POSITIVE_INFINITY, start, everyMs = 1000, reading, fields = { device: 'sensor', time: 'at' } } = options
  if (devices.length === 0)
    throw invalid('streams.simulation', 'A simulation needs at least one device', { hint: "Write devices: ['station-1'], for example." })
  const rate = (devices.length * 1000) / everyMs
  const heads = devices.map((device) => `{${JSON.stringify(fields.device)}:${JSON.stringify(device)},${JSON.stringify(fields.time)}:"`)
  return {
    kind: 'simulation',
    rate,
    ends: Number.isFinite(count),
    identity: () => Promise.resolve(`simulation:${seed}:${devices.length}`),
    async *read({ resume, batch, rate: asked, signal }) {
      let made = resume?.sequence ?? 0
      // Without a pace the simulation has a clock of its own, or all readings would share a few moments.
      const paced = Number.isFinite(asked)
      const origin = start ?? (paced ? null : typeof resume?.note.origin === 'number' ? resume.note.origin : Date.now())
      const isoTime = timeTexts()
      const context = createContext(seed)
      while (made < count && !signal.aborted) {
        const size = Math.min(batch, count - made)
        const now = Date.now()
        const values = Array.from<string>({ length: size })
        const keys = Array.from<string>({ length: size })
        for (let i = 0; i < size; i++) {
          const index = (made + i) % devices.length
          const n = Math.floor((made + i) / devices.length)
          const device = devices[index] ?? ''
          context.move(device, index, n)
          const rest = JSON.stringify(reading(context))
          values[i] =
            `${heads[index]}${isoTime(origin === null ? now - ((size - 1 - i) * 1000) / asked : origin + n * everyMs)}"${rest === '{}' ? '' : ','}${rest.slice(1)}`
          keys[i] = device
        }
        made += size
        yield { sequence: made, note: origin === null || start !== undefined ? {} : { origin }, values, keys }
      }
    },
  }
}

/** ISO texts of times of which many in a row are the same. */
function timeTexts(): (ms: number) => string {
  let last = Number.NaN
  let text = ''
  return (ms) => {
    if (ms !== last) {
      last = ms
      text = new Date(ms).toISOString()
    }
    return text
  }
}

interface MovingContext extends ReadingContext {
  device: string
  index: number
  n: number
  move(device: string, index: number, n: number): void
}

/** One context for all readings of a run, moved from reading to reading: made anew it would cost more than most readings do. */
function createContext(seed: number): MovingContext {
  const context: MovingContext = {
    device: '',
    index: 0,
    n: 0,
    random: (salt: number, n: number = context.n): number => unit(seed, context.index, n, salt),
    drift: (salt: number, period: number): number => smooth(context.random, salt, context.n / period),
    move(device: string, index: number, n: number): void {
      context.device = device
      context.index = index
      context.n = n
    },
  }
  return context
}

/** Value noise: random heights at whole numbers, joined by a smooth step. */
function smooth(random: (salt: number, n?: number) => number, salt: number, x: number): number {
  const left = Math.floor(x)
  const f = x - left
  const step = f * f * (3 - 2 * f)
  return (random(salt, left) * (1 - step) + random(salt, left + 1) * step) * 2 - 1
}

/** A 32-bit mix of the four numbers as a fraction (the finaliser of MurmurHash3). */
function unit(seed: number, device: number, n: number, salt: number): number {
  let h = Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(device + 1, 0x85ebca6b) ^ Math.imul(n + 1, 0xc2b2ae35) ^ Math.imul(salt + 1, 0x27d4eb2f)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 4_294_967_296
}
