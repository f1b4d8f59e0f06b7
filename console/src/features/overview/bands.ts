/**
 * Geometry of the movement diagram: sources -> bronze -> silver -> gold -> consumers. Heights grow with the logarithm of
 * the row count, because gold holds a thousandth of bronze and must still be seen. Pure, so that it can be tested.
 */

export type Tier = 'bronze' | 'silver' | 'gold'
type Box = { readonly x: number; readonly y: number; readonly width: number; readonly height: number }
type Band = { readonly id: string; readonly tier: Tier; readonly faint: boolean; readonly path: string }
export type Layout = {
  readonly width: number
  readonly height: number
  readonly sources: readonly Box[]
  readonly tiers: Readonly<Record<Tier, Box>>
  readonly consumers: readonly Box[]
  readonly bands: readonly Band[]
}

export type Amounts = {
  readonly sources: readonly number[]
  readonly tiers: Readonly<Record<Tier, number>>
  readonly consumers: number
}

const order: readonly Tier[] = ['bronze', 'silver', 'gold']
const boxWidth = 118
const least = 80
const tallest = 138
const step = 42
const stub = 4

export function layoutBands(amounts: Amounts, width: number): Layout {
  const rowsHigh = Math.max(amounts.sources.length, amounts.consumers)
  const height = Math.max(186, rowsHigh * step + 40)
  const middle = height / 2
  const left = Math.min(158, width * 0.15)
  const right = Math.min(140, width * 0.14)
  const gap = Math.max(40, (width - left - right - boxWidth * 3) / 4)

  const most = Math.max(1, ...order.map((tier) => amounts.tiers[tier]))
  const boxOf = (tier: Tier, i: number): Box => {
    const share = Math.log1p(amounts.tiers[tier]) / Math.log1p(most)
    const boxHeight = least + (tallest - least) * Math.max(0, share * 2 - 1)
    return { x: left + gap + i * (boxWidth + gap), y: middle - boxHeight / 2, width: boxWidth, height: boxHeight }
  }
  const tiers = { bronze: boxOf('bronze', 0), silver: boxOf('silver', 1), gold: boxOf('gold', 2) }

  const sourceShares = shares(amounts.sources)
  const consumerShares = shares(Array.from({ length: amounts.consumers }, () => 1))
  const bands: Band[] = []

  let taken = tiers.bronze.y
  const sources = sourceShares.map((share, i) => {
    const into = share * tiers.bronze.height
    const box: Box = { x: left, y: slotY(i, sourceShares.length, middle) - (into * 0.8) / 2, width: stub, height: Math.max(6, into * 0.8) }
    bands.push({ id: `source-${i}`, tier: 'bronze', faint: false, path: band(box.x + stub, box.y, box.height, tiers.bronze.x, taken, into) })
    taken += into
    return box
  })

  for (const [from, to] of [
    ['bronze', 'silver'],
    ['silver', 'gold'],
  ] as const) {
    const a = tiers[from]
    const b = tiers[to]
    if (amounts.tiers[from] > 0 && amounts.tiers[to] > 0)
      bands.push({ id: `${from}-${to}`, tier: to, faint: false, path: band(a.x + a.width, a.y, a.height, b.x, b.y, b.height) })
  }

  let given = tiers.gold.y
  const end = tiers.gold.x + boxWidth + gap
  const consumers = consumerShares.map((share, i) => {
    const out = share * tiers.gold.height
    const box: Box = { x: end, y: slotY(i, consumerShares.length, middle) - (out * 0.8) / 2, width: stub, height: Math.max(6, out * 0.8) }
    bands.push({ id: `consumer-${i}`, tier: 'gold', faint: true, path: band(tiers.gold.x + boxWidth, given, out, box.x, box.y, box.height) })
    given += out
    return box
  })

  return { width, height, sources, tiers, consumers, bands }
}

/** Shares that add up to 1; each by the logarithm of its amount, so that a small source keeps a visible band. */
export function shares(amounts: readonly number[]): number[] {
  const weights = amounts.map((amount) => 1 + Math.log10(1 + Math.max(0, amount)))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

function slotY(i: number, count: number, middle: number): number {
  return middle + (i - (count - 1) / 2) * Math.max(step, 150 / Math.max(1, count))
}

function band(x1: number, y1: number, h1: number, x2: number, y2: number, h2: number): string {
  const mid = round((x1 + x2) / 2)
  const [a, b, c, d] = [round(y1), round(y2), round(y2 + h2), round(y1 + h1)]
  return `M${round(x1)},${a}C${mid},${a} ${mid},${b} ${round(x2)},${b}V${c}C${mid},${c} ${mid},${d} ${round(x1)},${d}Z`
}

const round = (value: number): number => Math.round(value * 10) / 10
