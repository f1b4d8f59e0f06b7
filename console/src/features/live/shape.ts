/** How a chart is cut and scaled. */
import type uPlot from 'uplot'

/** From zero for values near it, else round the data; always with the limits in view when they are within reach. */
export function valueRange(low: number | null, high: number | null, limits: readonly number[]): [number, number] {
  const bottom = Math.min(...[low, ...limits].filter((value) => value !== null))
  const top = Math.max(...[high, ...limits].filter((value) => value !== null))
  if (!Number.isFinite(bottom) || !Number.isFinite(top)) return [0, 1]
  const reach = top - bottom || Math.abs(top) || 1
  const from = bottom >= 0 && bottom < reach * 3 ? 0 : bottom - reach * 0.12
  return [from, nice(top + (top - from) * 0.1)]
}

/** Rounded up to two digits, so that the scale does not tremble with every reading. */
function nice(value: number): number {
  if (value === 0) return 0
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(value))) - 1)
  return Math.ceil(value / unit) * unit
}

/** A line bridges short silences, which are the station's rhythm, and breaks at long ones, which are an outage. */
export function nullGapsLongerThan(
  seconds: () => number,
): (u: uPlot, series: number, from: number, until: number, gaps: uPlot.Series.Gap[]) => uPlot.Series.Gap[] {
  return (u, _series, _from, _until, gaps) => {
    const { min, max } = u.scales['x'] ?? {}
    if (min === undefined || max === undefined || max <= min) return gaps
    const least = (seconds() / (max - min)) * u.bbox.width
    return gaps.filter(([start, end]) => end - start > least)
  }
}
