/**
 * What a column or an asset that goes away takes along. A definition that names the column breaks; a column that `*` took along goes with
 * it; what is computed further down has to change; what reads from something that breaks waits for it to be mended.
 */
import { KIND_WORDS, placeText, type Edge, type Place, type Use } from './asset.ts'
import { placeKey, type Graph } from './graph.ts'

export type Effect =
  /** Its definition does not stand without the column. */
  | 'breaks'
  /** By which columns it is made is not known, so it may break. */
  | 'may_break'
  /** A column, or an asset that is part of another, goes too. */
  | 'goes'
  /** Stands by itself, but what it is made of or judges comes from the column. */
  | 'changes'
  /** Gets nothing new until what breaks is mended. */
  | 'waits'

export interface ImpactItem {
  readonly asset: string
  readonly column?: string
  readonly use?: Use
  readonly effect: Effect
  /** The reason, as a sentence. */
  readonly why: string
  /** From what goes to this item. */
  readonly path: readonly Place[]
}

export interface ImpactAnswer {
  readonly items: readonly ImpactItem[]
  readonly counts: Readonly<Record<Effect, number>>
  readonly truncated: boolean
}

/** The worst first. */
export const EFFECTS: readonly Effect[] = ['breaks', 'may_break', 'goes', 'changes', 'waits']
const MOST_ITEMS = 1000

export function impact(graph: Graph, start: Place, { limit = MOST_ITEMS }: { readonly limit?: number } = {}): ImpactAnswer {
  const found = new Map<string, ImpactItem>()
  const add = (item: ImpactItem): void => {
    const key = `${placeKey(item)}\0${item.use?.part ?? ''}\0${item.use?.name ?? ''}`
    const known = found.get(key)
    if (!known || EFFECTS.indexOf(item.effect) < EFFECTS.indexOf(known.effect)) found.set(key, item)
  }
  if (start.column === undefined) assetGoes(graph, start, add)
  else columnGoes(graph, { asset: start.asset, column: start.column }, add)
  const items = [...found.values()].sort((a, b) => EFFECTS.indexOf(a.effect) - EFFECTS.indexOf(b.effect) || a.path.length - b.path.length)
  const counts = { breaks: 0, may_break: 0, goes: 0, changes: 0, waits: 0 }
  for (const { effect } of items) counts[effect]++
  return { items: items.slice(0, limit), counts, truncated: items.length > limit }
}

type Add = (item: ImpactItem) => void
type Path = readonly Place[]
type ColumnPlace = Place & { readonly column: string }

function columnGoes(graph: Graph, start: ColumnPlace, add: Add): void {
  /** Where each asset that breaks, or may, was reached. */
  const broken = new Map<string, Path>()
  const breaks = (asset: string, path: Path): void => void (broken.has(asset) || broken.set(asset, path))
  const gone = reach([start], (place) => leaving(graph, place).flatMap((edge) => (edge.passed === true && isColumn(edge.to) ? [edge.to] : [])))
  for (const { place, path } of gone.values()) {
    if (path.length > 1)
      add({ ...place, effect: 'goes', why: `${placeText(place)} is there only because all columns of ${nameOf(path.at(-2))} are taken along`, path })
    for (const edge of leaving(graph, place)) {
      const { to, use } = edge
      if (edge.how === 'used') {
        const at: Path = [...path, to]
        add({ asset: to.asset, ...(use ? { use } : {}), effect: 'breaks', why: useText(edge), path: at })
        breaks(to.asset, at)
      } else if (edge.how === 'unknown') {
        const at: Path = [...path, { asset: to.asset }]
        add({
          asset: to.asset,
          effect: 'may_break',
          why: `it is made of ${nameOf(edge.from)}, by which columns is not known${reason(graph, to.asset)}`,
          path: at,
        })
        breaks(to.asset, at)
      }
    }
  }
  const values = reach([start], (place) =>
    leaving(graph, place).flatMap((edge) => {
      if (edge.how === 'unknown') return columnsOf(graph, edge.to.asset)
      return (edge.how === 'copied' || edge.how === 'computed') && isColumn(edge.to) ? [edge.to] : []
    }),
  )
  for (const [key, { place, path }] of values) {
    if (gone.has(key)) continue
    const before = path.at(-2)
    add({ ...place, effect: 'changes', why: `${placeText(place)} is made of ${before ? placeText(before) : 'it'}`, path })
    for (const edge of leaving(graph, place)) {
      const { asset } = edge.to
      if (edge.how === 'used' && edge.use?.part !== 'sql')
        add({ asset, ...(edge.use ? { use: edge.use } : {}), effect: 'changes', why: useText(edge), path: [...path, edge.to] })
    }
  }
  // Rows that a column decides are changed by it, whether it goes or is made otherwise.
  for (const { path, place } of values.values()) {
    for (const { to, how } of leaving(graph, place)) {
      if (how === 'filtered' || how === 'joined' || how === 'grouped' || how === 'ordered')
        add({ asset: to.asset, effect: 'changes', why: `its rows are ${how} by ${placeText(place)}`, path: [...path, to] })
    }
  }
  const waiting = reachAssets(graph, broken)
  for (const [asset, { path, source }] of waiting) {
    if (broken.has(asset)) continue
    add({ asset, effect: 'waits', why: `it gets nothing new while ${nameOf({ asset: source })} is broken`, path })
  }
}

function assetGoes(graph: Graph, start: Place, add: Add): void {
  const parts = graph.assets.filter(({ partOf }) => partOf === start.asset)
  for (const { id, kind } of parts)
    add({ asset: id, effect: 'goes', why: `the ${KIND_WORDS[kind]} ${nameOf({ asset: id })} is part of ${nameOf(start)}`, path: [start, { asset: id }] })
  const gone = new Set([start.asset, ...parts.map(({ id }) => id)])
  const broken = new Map<string, Path>()
  for (const from of gone) {
    for (const { to } of graph.outOf.get(from) ?? []) {
      if (gone.has(to.asset) || broken.has(to.asset)) continue
      const path: Path = from === start.asset ? [start, { asset: to.asset }] : [start, { asset: from }, { asset: to.asset }]
      broken.set(to.asset, path)
      const isTarget = graph.byId.get(to.asset)?.kind === 'queue'
      if (!isTarget) add({ asset: to.asset, effect: 'breaks', why: `it is made of ${nameOf({ asset: from })}`, path })
      else add({ asset: to.asset, effect: 'waits', why: `it gets nothing from ${nameOf({ asset: from })} any more`, path })
    }
  }
  for (const [asset, { path, source }] of reachAssets(graph, broken)) {
    if (broken.has(asset) || gone.has(asset)) continue
    add({ asset, effect: 'waits', why: `it gets nothing new while ${nameOf({ asset: source })} is broken`, path })
  }
}

/** Edges that leave the column, and those of its asset that may mean any column. */
function leaving(graph: Graph, place: Place): readonly Edge[] {
  const own = graph.out.get(placeKey(place)) ?? []
  const unknown = (graph.out.get(place.asset) ?? []).filter(({ how }) => how === 'unknown')
  return unknown.length === 0 ? own : [...own, ...unknown]
}

const isColumn = (place: Place): place is ColumnPlace => place.column !== undefined
const nameOf = (place: Place | undefined): string => (place ? placeText({ asset: place.asset }) : '')
const columnsOf = (graph: Graph, asset: string): ColumnPlace[] => (graph.byId.get(asset)?.columns ?? []).map(({ name }) => ({ asset, column: name }))

function reason(graph: Graph, asset: string): string {
  const unknown = graph.byId.get(asset)?.unknown
  return unknown === undefined ? '' : ` (${unknown})`
}

function reach(
  starts: readonly ColumnPlace[],
  next: (place: ColumnPlace) => readonly ColumnPlace[],
): Map<string, { readonly place: ColumnPlace; readonly path: Path }> {
  const seen = new Map(starts.map((place): [string, { readonly place: ColumnPlace; readonly path: Path }] => [placeKey(place), { place, path: [place] }]))
  // A Map hands out what is added while it is walked, in order: breadth first.
  for (const { place, path } of seen.values()) {
    for (const to of next(place)) if (!seen.has(placeKey(to))) seen.set(placeKey(to), { place: to, path: [...path, to] })
  }
  return seen
}

/** Everything that gets rows from these assets, and through which of them. */
function reachAssets(graph: Graph, starts: ReadonlyMap<string, Path>): Map<string, { readonly path: Path; readonly source: string }> {
  const seen = new Map([...starts].map(([asset, path]) => [asset, { path, source: asset }]))
  for (const [asset, { path, source }] of seen) {
    for (const { to } of graph.outOf.get(asset) ?? []) if (!seen.has(to.asset)) seen.set(to.asset, { path: [...path, { asset: to.asset }], source })
  }
  return seen
}

function useText({ from, to, use }: Edge): string {
  const column = placeText(from)
  switch (use?.part) {
    case 'sql':
      return `its SQL names ${column}`
    case 'columns':
      return `it promises the columns that its SQL takes along, ${column} among them`
    case 'merge':
      return `${column} is a merge key`
    case 'partition':
      return `${nameOf(to)} is partitioned by ${column}`
    case 'window':
      return `${column} tells the window that is recomputed`
    case 'window_source':
      return `its windows are computed from ${column}`
    case 'expectation':
      return `the expectation ${use.name ?? ''} reads ${column}`
    case 'key':
      return `${column} is the key of the records`
    case 'event_time':
      return `${column} tells when the event happened`
    case 'live_key':
      return `the live cache is keyed by ${column}`
    case 'when':
      return `its condition reads ${column}`
    case 'clear':
      return `its clear condition reads ${column}`
    case 'by':
      return `${column} tells whose reading it is`
    case 'message':
      return `its message shows ${column}`
    case undefined:
      return `it uses ${column}`
  }
}
