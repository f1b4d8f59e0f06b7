/**
 * Readings folded onto a fixed grid of time buckets, one lane per key and field: memory depends on the window and not on
 * the rate. A bucket holds the mean of its readings and its extreme, so that a short peak is not averaged away.
 */

export type Lane = { readonly sum: Float64Array; readonly count: Uint32Array; readonly peak: Float64Array }

export class Grid {
  readonly stepMs: number
  readonly size: number
  readonly #lanes = new Map<string, Lane>()
  readonly #mostLanes: number
  /** Number of the newest bucket since the epoch. */
  #head = Number.NEGATIVE_INFINITY

  constructor(stepMs: number, size: number, mostLanes = 1_000) {
    this.stepMs = stepMs
    this.size = size
    this.#mostLanes = mostLanes
  }

  get head(): number {
    return this.#head
  }

  /** Takes one reading. Readings older than the window, and lanes beyond the bound, are left out. */
  add(lane: string, time: number, value: number): void {
    const bucket = Math.floor(time / this.stepMs)
    if (bucket > this.#head) this.advance(time)
    if (bucket <= this.#head - this.size) return
    const into = this.#lane(lane)
    if (into === undefined) return
    const slot = bucket % this.size
    const before = into.count[slot] ?? 0
    into.count[slot] = before + 1
    into.sum[slot] = (into.sum[slot] ?? 0) + value
    into.peak[slot] = before === 0 ? value : Math.max(into.peak[slot] ?? value, value)
  }

  /** Puts a point of the past where nothing was seen live. */
  fill(lane: string, time: number, value: number): void {
    const bucket = Math.floor(time / this.stepMs)
    if (bucket > this.#head) this.advance(time)
    if (bucket <= this.#head - this.size) return
    const into = this.#lane(lane)
    if (into === undefined) return
    const slot = bucket % this.size
    if ((into.count[slot] ?? 0) > 0) return
    into.count[slot] = 1
    into.sum[slot] = value
    into.peak[slot] = value
  }

  /** Moves the window so that it ends with the bucket of `time`; buckets that enter it start empty. */
  advance(time: number): void {
    const head = Math.floor(time / this.stepMs)
    if (head <= this.#head) return
    const from = Math.max(this.#head + 1, head - this.size + 1)
    if (Number.isFinite(this.#head))
      for (const lane of this.#lanes.values())
        for (let bucket = from; bucket <= head; bucket++) {
          lane.count[bucket % this.size] = 0
          lane.sum[bucket % this.size] = 0
        }
    this.#head = head
  }

  /** Middles of the buckets in seconds, oldest first: the x values of every lane. */
  times(): number[] {
    if (!Number.isFinite(this.#head)) return []
    return Array.from({ length: this.size }, (_, i) => ((this.#head - this.size + 1 + i + 0.5) * this.stepMs) / 1000)
  }

  /** Means of a lane, oldest first; null where nothing was read. */
  values(lane: string, of: 'mean' | 'peak' = 'mean'): (number | null)[] {
    const from = this.#lanes.get(lane)
    if (from === undefined || !Number.isFinite(this.#head)) return Array.from({ length: this.size }, () => null)
    return Array.from({ length: this.size }, (_, i) => {
      const slot = (this.#head - this.size + 1 + i) % this.size
      const count = from.count[slot] ?? 0
      return count === 0 ? null : of === 'peak' ? (from.peak[slot] ?? null) : (from.sum[slot] ?? 0) / count
    })
  }

  #lane(name: string): Lane | undefined {
    const known = this.#lanes.get(name)
    if (known !== undefined) return known
    if (this.#lanes.size >= this.#mostLanes) return undefined
    const made = { sum: new Float64Array(this.size), count: new Uint32Array(this.size), peak: new Float64Array(this.size) }
    this.#lanes.set(name, made)
    return made
  }
}

export const laneName = (field: string, key: string): string => `${field}\u0000${key}`
