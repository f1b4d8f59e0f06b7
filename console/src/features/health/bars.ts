/** Latencies as the tops of bars, the newest at the right end of sixty places; heights by the square root, so that one slow answer leaves the others in sight. */

export interface Bar {
  readonly place: number
  readonly top: number
  readonly missed: boolean
}

const places = 60
/** A latency below this is drawn as nothing to speak of. */
const least = 5
const lowest = 3

export function bars(values: readonly (number | null)[], height: number): Bar[] {
  const shown = values.slice(-places)
  const most = Math.sqrt(Math.max(least, ...shown.filter((value) => value !== null)))
  return shown.map((value, i) => ({
    place: places - shown.length + i,
    top: value === null ? 0 : height - Math.max(lowest, (Math.sqrt(value) / most) * height),
    missed: value === null,
  }))
}
