/** Assets and edges, indexed for walks and lookups. Immutable: a project that is loaded again gets a new graph. */
import { closest, invalid, missing } from '../base/index.ts'
import { ASSET_KINDS, KIND_WORDS, type Asset, type Described, type Edge, type Place } from './asset.ts'

export interface Graph {
  /** By kind, then name. */
  readonly assets: readonly Asset[]
  readonly edges: readonly Edge[]
  readonly byId: ReadonlyMap<string, Asset>
  /** Edges that leave and reach each place, by `placeKey`. */
  readonly out: ReadonlyMap<string, readonly Edge[]>
  readonly in: ReadonlyMap<string, readonly Edge[]>
  /** The same for each asset with all its columns, by id. */
  readonly outOf: ReadonlyMap<string, readonly Edge[]>
  readonly into: ReadonlyMap<string, readonly Edge[]>
}

export const placeKey = ({ asset, column }: Place): string => (column === undefined ? asset : `${asset}\0${column}`)

/** Edges whose ends nobody described are left out: an asset that is gone takes its edges along. */
export function createGraph(parts: readonly Described[]): Graph {
  const byId = new Map<string, Asset>()
  for (const asset of parts.flatMap(({ assets }) => assets)) if (!byId.has(asset.id)) byId.set(asset.id, asset)
  const rank = (asset: Asset): number => ASSET_KINDS.indexOf(asset.kind)
  const assets = [...byId.values()].sort((a, b) => rank(a) - rank(b) || compare(a.name, b.name))
  const edges = parts.flatMap((part) => part.edges).filter(({ from, to }) => byId.has(from.asset) && byId.has(to.asset))
  return {
    assets,
    edges,
    byId,
    out: grouped(edges, ({ from }) => placeKey(from)),
    in: grouped(edges, ({ to }) => placeKey(to)),
    outOf: grouped(edges, ({ from }) => from.asset),
    into: grouped(edges, ({ to }) => to.asset),
  }
}

export const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

function grouped(edges: readonly Edge[], keyOf: (edge: Edge) => string): Map<string, Edge[]> {
  const groups = new Map<string, Edge[]>()
  for (const edge of edges) {
    const group = groups.get(keyOf(edge))
    if (group) group.push(edge)
    else groups.set(keyOf(edge), [edge])
  }
  return groups
}

/** An asset by its id, or by its name where only one has it. */
export function findAsset(graph: Graph, text: string): Asset {
  const found = named(graph, text)
  if (found) return found
  const near = closest(text, [...graph.byId.keys(), ...graph.assets.map(({ name }) => name)])
  throw missing('catalog.no_asset', `There is no asset ${text}`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : listHint(graph) })
}

/** `silver.readings`, `silver.readings.co`, `table:silver.readings.co`: an asset, or a column of one. */
export function findPlace(graph: Graph, text: string): Place {
  const whole = named(graph, text)
  if (whole) return { asset: whole.id }
  // Both names may have dots themselves: the longest beginning that is an asset is meant.
  for (let dot = text.lastIndexOf('.'); dot > 0; dot = text.lastIndexOf('.', dot - 1)) {
    const owner = named(graph, text.slice(0, dot))
    if (owner) return { asset: owner.id, column: findColumn(owner, text.slice(dot + 1)) }
  }
  const near = closest(
    text,
    graph.assets.flatMap(({ id, name, columns }) => [name, id, ...columns.map((column) => `${name}.${column.name}`)]),
  )
  throw missing('catalog.no_asset', `There is no asset or column ${text}`, { hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : listHint(graph) })
}

/** The column as it is written; SQL tells columns apart without regard to case. */
export function findColumn({ name, columns, kind }: Asset, wanted: string): string {
  const exact = columns.find((column) => column.name === wanted) ?? columns.find((column) => column.name.toLowerCase() === wanted.toLowerCase())
  if (exact) return exact.name
  const names = columns.map((column) => column.name)
  const near = closest(wanted, names)
  throw missing('catalog.no_column', `${KIND_WORDS[kind][0]?.toUpperCase()}${KIND_WORDS[kind].slice(1)} ${name} has no column ${wanted}`, {
    hint:
      near.length > 0
        ? `Did you mean ${near.join(' or ')}?`
        : names.length > 0
          ? `Its columns are: ${names.slice(0, 30).join(', ')}.`
          : `What is known of ${name} has no columns; ask for it as a whole.`,
  })
}

function named(graph: Graph, text: string): Asset | undefined {
  const exact = graph.byId.get(text)
  if (exact) return exact
  const found = graph.assets.filter(({ name }) => name === text)
  if (found.length > 1)
    throw invalid('catalog.ambiguous', `${text} is the name of ${found.map(({ kind }) => `a ${KIND_WORDS[kind]}`).join(' and ')}`, {
      hint: `Write ${found.map(({ id }) => id).join(' or ')}.`,
    })
  return found[0]
}

const listHint = ({ assets }: Graph): string =>
  assets.length === 0
    ? 'The project declares none.'
    : `There are: ${assets
        .slice(0, 12)
        .map(({ name }) => name)
        .join(', ')}${assets.length > 12 ? ', ...' : '.'}`
