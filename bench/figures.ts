/** One measured figure with what it is held against, and how the page of figures is written. */
export interface Figure {
  readonly name: string
  readonly value: string
  readonly baseline?: string
  readonly ratio?: string
  readonly target?: string
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

export function markdown(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, baseline = '', ratio = '', target = '' }) => `| ${name} | ${value} | ${baseline} | ${ratio} | ${target} |`)
  return ['| what | figure | baseline, same run | ratio | target |', '|---|---|---|---|---|', ...rows].join('\n')
}
