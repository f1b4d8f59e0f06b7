/**
 * What the live screen shows of one stream: the newest reading per key and a grid of the past, both bounded. It takes
 * messages whether or not the tab is visible, and tells its readers at most once a frame; a hidden tab has no frames.
 */
import { fetchSeries, type EventHub, type LatestShape, type LiveMessage } from '../../api/index.ts'
import { Grid, laneName } from './grid.ts'

export type Station = {
  readonly key: string
  /** Time of the newest reading, and when it reached this browser; 0 until one has come over the stream. */
  at: number
  seen: number
  intervalMs: number | undefined
  readonly values: Record<string, number | null>
}

export type Snapshot = { readonly at: number; readonly stations: readonly Station[] }

export type Window = { readonly rangeMs: number; readonly points: number }

const mostStations = 2_000
const delaySamples = 50

export class LiveStore {
  readonly stream: string
  readonly fields: readonly string[]
  readonly #charted: readonly string[]
  readonly stations = new Map<string, Station>()
  readonly #listeners = new Set<() => void>()
  readonly #delays: number[] = []
  // Until `show` names a window there is none, and nothing is loaded.
  #grid = new Grid(1_000, 1)
  #window: Window = { rangeMs: 0, points: 1 }
  #snapshot: Snapshot = { at: Date.now(), stations: [] }
  #dirty = false
  #frame: number | undefined
  #timer: number | undefined
  #loading: AbortController | undefined
  #newest = 0
  #pendingDelay: number | undefined
  perSecond: number | undefined
  dropped = 0
  paused = false
  problem: unknown
  loaded = false

  constructor(stream: string, fields: readonly string[], charted: readonly string[]) {
    this.stream = stream
    this.fields = fields
    this.#charted = charted
  }

  /** Starts to take messages; the answer stops it. */
  open(hub: EventHub): () => void {
    const stop = hub.subscribe({
      streams: [this.stream],
      onMessage: (message) => this.take(message),
      onGap: () => void this.load(),
    })
    // The window moves on with the clock also when no reading comes.
    this.#timer = window.setInterval(() => this.#touch(), 1_000)
    return () => {
      stop()
      window.clearInterval(this.#timer)
      if (this.#frame !== undefined) cancelAnimationFrame(this.#frame)
      this.#frame = undefined
      this.#loading?.abort()
    }
  }

  /** The newest readings the server has, when the screen opens and after a gap; newer live ones win. */
  seed(latest: readonly LatestShape[]): void {
    for (const each of latest) {
      const station = this.#station(each.key)
      if (station === undefined || each.at <= station.at) continue
      station.at = each.at
      if (station.seen > 0) station.seen = Math.max(station.seen, Math.min(Date.now(), each.at))
      for (const field of this.fields) {
        const value = each.fields[field]
        station.values[field] = typeof value === 'number' ? value : null
      }
      if (each.at > this.#newest) this.#newest = each.at
    }
    this.#touch()
  }

  /** Changes the window of the charts and loads its past. */
  show(window: Window): void {
    if (window.rangeMs === this.#window.rangeMs && window.points === this.#window.points) return
    this.#window = window
    this.#grid = new Grid(window.rangeMs / window.points, window.points)
    this.loaded = false
    void this.load()
  }

  /** Reads the past of the window; what is seen live meanwhile stays. */
  async load(): Promise<void> {
    this.#loading?.abort()
    const loading = new AbortController()
    this.#loading = loading
    const { rangeMs, points } = this.#window
    if (rangeMs === 0) return
    const until = this.edge()
    try {
      if (this.#charted.length > 0) {
        const answer = await fetchSeries(this.stream, this.#charted, until - rangeMs, until, points, loading.signal)
        for (const line of answer.series) {
          const station = this.#station(line.key)
          const [first, last] = [line.times[0], line.times.at(-1)]
          if (station !== undefined && first !== undefined && last !== undefined && line.times.length > 2)
            station.intervalMs ??= (last - first) / (line.times.length - 1)
          for (const field of this.#charted) {
            const values = line.values[field] ?? []
            const lane = laneName(field, line.key)
            for (const [i, time] of line.times.entries()) {
              const value = values[i]
              if (value !== null && value !== undefined) this.#grid.fill(lane, time, value)
            }
          }
        }
      }
      this.problem = undefined
      this.loaded = true
    } catch (error) {
      if (loading.signal.aborted) return
      this.problem = error
      this.loaded = true
    }
    this.#touch()
  }

  take(message: LiveMessage): void {
    const rate = message.rates?.[this.stream]
    if (rate !== undefined) this.perSecond = rate
    const live = message.live?.[this.stream]
    if (live === undefined) {
      if (rate !== undefined) this.#touch()
      return
    }
    const now = Date.now()
    this.dropped += live.dropped
    let newest = 0
    for (const [i, key] of live.keys.entries()) {
      const time = live.times[i]
      const station = this.#station(key)
      if (time === undefined || station === undefined) continue
      if (time > newest) newest = time
      // Charts take the reading wherever it belongs; the tile only if nothing newer is on it.
      for (const field of this.#charted) {
        const value = live.fields[field]?.[i]
        if (typeof value === 'number') this.#grid.add(laneName(field, key), time, value)
      }
      if (time < station.at) continue
      if (station.seen > 0 && time > station.at) {
        const interval = time - station.at
        station.intervalMs = station.intervalMs === undefined ? interval : station.intervalMs * 0.9 + interval * 0.1
      }
      station.at = time
      station.seen = now
      for (const field of this.fields) {
        const column = live.fields[field]
        if (column === undefined) continue
        const value = column[i]
        station.values[field] = typeof value === 'number' ? value : null
      }
    }
    if (newest > this.#newest) this.#newest = newest
    if (newest > 0) this.#pendingDelay = newest
    this.#touch()
  }

  /** Right end of the charts: now, or the newest reading when the stream replays another time. */
  edge(): number {
    const now = Date.now()
    return this.#newest === 0 || Math.abs(now - this.#newest) < this.#window.rangeMs ? now : this.#newest
  }

  /** Age of a station's reading: by arrival once one has arrived, so that replayed times do not look stale. */
  age(station: Station, now: number): number {
    return now - (station.seen > 0 ? station.seen : station.at)
  }

  chart(field: string, keys: readonly string[]): { times: number[]; lines: (number | null)[][]; from: number; until: number } {
    const until = this.edge()
    this.#grid.advance(until)
    return {
      times: this.#grid.times(),
      lines: keys.map((key) => this.#grid.values(laneName(field, key))),
      from: (until - this.#window.rangeMs) / 1000,
      until: until / 1000,
    }
  }

  get stepMs(): number {
    return this.#grid.stepMs
  }

  /** Median of the last delays from a reading's time to its frame; undefined for replayed data. */
  delayMs(): number | undefined {
    if (this.#delays.length === 0) return undefined
    const middle = this.#delays.toSorted((a, b) => a - b)[Math.floor(this.#delays.length / 2)]
    return middle !== undefined && middle < 60_000 ? middle : undefined
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What the tiles show; a new object for every frame that changed, and none while paused. */
  readonly snapshot = (): Snapshot => this.#snapshot

  pause(paused: boolean): void {
    this.paused = paused
    if (!paused) this.#touch()
  }

  #station(key: string): Station | undefined {
    const known = this.stations.get(key)
    if (known !== undefined) return known
    if (this.stations.size >= mostStations) return undefined
    const made: Station = { key, at: 0, seen: 0, intervalMs: undefined, values: Object.fromEntries(this.fields.map((field) => [field, null])) }
    this.stations.set(key, made)
    return made
  }

  #touch(): void {
    this.#dirty = true
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined
      if (!this.#dirty || this.paused) return
      this.#dirty = false
      this.#snapshot = { at: Date.now(), stations: [...this.stations.values()] }
      for (const listener of this.#listeners) listener()
      const read = this.#pendingDelay
      this.#pendingDelay = undefined
      if (read !== undefined) {
        // The frame is on the screen when the next one begins.
        requestAnimationFrame(() => {
          this.#delays.push(Math.max(0, Date.now() - read))
          if (this.#delays.length > delaySamples) this.#delays.shift()
        })
      }
    })
  }
}
