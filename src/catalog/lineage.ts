/**
 * Walks up and down the graph. From an asset: the assets it is made of or that are made of it, with all edges between them. From a
 * column: values made of values, and, one step further at each of them, the rows and definitions that depend on it.
 */
import type { Asset, Edge, Place } from './asset.ts'
import { placeKey, type Graph } from './graph.ts'

export type Direction = 'up' | 'down' | 'both'

export interface LineageOptions {
  readonly direction?: Direction
  /** Steps each way; all when absent. */
  readonly depth?: number
  /** Most edges in the answer. */
  readonly limit?: number
}

export interface LineageAnswer {
  readonly nodes: readonly LineageNode[]
  readonly edges: readonly Edge[]
  /** There is more than the depth or the limit let through. */
  readonly truncated: boolean
}

export interface LineageNode {
  readonly asset: Asset
  /** Steps from where the walk began: negative is upstream, 0 where it began. */
  readonly distance: number
  /** Columns that the walk passed, in the order of the asset's; none in a walk of whole assets. */
  readonly traced: readonly string[]
}

const MOST_EDGES = 5000

export function lineage(graph: Graph, start: Place, options: LineageOptions = {}): LineageAnswer {
  const { direction = 'both', depth = Number.POSITIVE_INFINITY, limit = MOST_EDGES } = options
  const answer: Walk = { places: new Map([[placeKey(start), { place: start, distance: 0 }]]), edges: new Set(), truncated: false }
  if (direction !== 'down') walk(graph, start, 'up', depth, limit, answer)
  if (direction !== 'up') walk(graph, start, 'down', depth, limit, answer)
  const nodes = new Map<string, { distance: number; traced: Set<string> }>()
  for (const { place, distance } of answer.places.values()) {
    const node = nodes.get(place.asset) ?? { distance, traced: new Set() }
    if (place.column !== undefined) node.traced.add(place.column)
    nodes.set(place.asset, node)
  }
  return {
    nodes: [...nodes].flatMap(([id, { distance, traced }]) => {
      const asset = graph.byId.get(id)
      return asset ? [{ asset, distance, traced: asset.columns.flatMap(({ name }) => (traced.has(name) ? [name] : [])) }] : []
    }),
    edges: [...answer.edges],
    truncated: answer.truncated,
  }
}

interface Walk {
  readonly places: Map<string, { readonly place: Place; readonly distance: number }>
  readonly edges: Set<Edge>
  truncated: boolean
}

interface Step {
  readonly edge: Edge
  readonly to: Place
}

/** Breadth first, so that the first way to a place is a shortest one. */
function walk(graph: Graph, start: Place, direction: 'up' | 'down', depth: number, limit: number, into: Walk): void {
  const steps = start.column === undefined ? assetSteps : columnSteps
  let front: readonly Place[] = [start]
  for (let distance = 1; front.length > 0; distance++) {
    const next: Place[] = []
    for (const place of front) {
      for (const { edge, to } of steps(graph, place, direction)) {
        const known = into.places.has(placeKey(to))
        // What uses a column inside its own asset is no step further.
        const inside = edge.from.asset === edge.to.asset
        if ((distance > depth && !known && !inside) || (into.edges.size >= limit && !into.edges.has(edge))) {
          into.truncated = true
          continue
        }
        into.edges.add(edge)
        if (known) continue
        into.places.set(placeKey(to), { place: to, distance: (direction === 'up' ? -1 : 1) * (inside ? distance - 1 : distance) })
        next.push(to)
      }
    }
    front = next
  }
}

function assetSteps(graph: Graph, { asset }: Place, direction: 'up' | 'down'): Step[] {
  const edges = (direction === 'up' ? graph.into : graph.outOf).get(asset) ?? []
  return edges
    .filter((edge) => edge.from.asset !== edge.to.asset && !isSaidBetter(graph, edge))
    .map((edge) => ({ edge, to: { asset: direction === 'up' ? edge.from.asset : edge.to.asset } }))
}

/**
 * A path of columns may end in the rows or the definition of an asset, never go on from there: that a column filters one table does not
 * make every column further down come from it. Where the columns are unknown, all of them count.
 */
function columnSteps(graph: Graph, place: Place, direction: 'up' | 'down'): Step[] {
  if (place.column === undefined) return []
  const edges = direction === 'up' ? graph.in : graph.out
  const other = (edge: Edge): Place => (direction === 'up' ? edge.from : edge.to)
  return [
    ...(edges.get(placeKey(place)) ?? []).filter((edge) => !isSaidBetter(graph, edge)).map((edge) => ({ edge, to: other(edge) })),
    ...(edges.get(place.asset) ?? [])
      .filter(({ how }) => how === 'unknown')
      .flatMap((edge) =>
        [other(edge), ...(graph.byId.get(other(edge).asset)?.columns ?? []).map(({ name }) => ({ asset: other(edge).asset, column: name }))].map((to) => ({
          edge,
          to,
        })),
      ),
  ]
}

/** That the SQL names a column says no more than what it makes of it. */
function isSaidBetter(graph: Graph, { from, to, use }: Edge): boolean {
  if (use?.part !== 'sql') return false
  return (graph.out.get(placeKey(from)) ?? []).some((edge) => edge.to.asset === to.asset && edge.how !== 'used')
}
