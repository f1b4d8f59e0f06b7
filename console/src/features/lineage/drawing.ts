/**
 * What of a lineage answer is drawn: which assets, which of their columns, and which lines between them. A line that says the same as
 * another, at the places that are shown, is drawn once; a line of columns stands for the rows that come along with it.
 */
import type { LineageEdge, LineageNode, LineageShape } from '../../api/types.ts'

export const nodeWidth = 188
export const headHeight = 48
export const rowHeight = 21
/** Below the last row. */
const foot = 9

/** More assets than this are not legible in one drawing; the nearest are drawn, the list has them all. */
export const mostDrawn = 120
const rowsAtRest = 8

export type Row = { readonly name: string; readonly traced: boolean; readonly chosen: boolean }
export type DrawnNode = {
  readonly node: LineageNode
  readonly rows: readonly Row[]
  /** Columns that are not shown. */
  readonly hidden: number
  /** It shows more than the others, and can be folded again. */
  readonly opened: boolean
  readonly height: number
}
/** The head of a box, the line that tells of hidden columns, or a column's row. */
export type Side = 'head' | 'more' | `c:${string}`
export type LineKind = 'value' | 'rows' | 'unknown' | 'read'
export type DrawnLine = {
  readonly id: string
  readonly from: string
  readonly fromSide: Side
  readonly to: string
  readonly toSide: Side
  readonly kind: LineKind
  readonly traced: boolean
}
export type Drawing = { readonly nodes: readonly DrawnNode[]; readonly lines: readonly DrawnLine[]; readonly left: number }
export type DrawingOptions = {
  readonly columns: boolean
  readonly open: ReadonlySet<string>
  /** Whose way is traced, and the answer that tells it. */
  readonly chosen?: { readonly asset: string; readonly column: string } | undefined
  readonly trace?: LineageShape | undefined
}

export function drawing(graph: LineageShape, { columns, open, chosen, trace }: DrawingOptions): Drawing {
  const shown = graph.nodes.toSorted((a, b) => Math.abs(a.distance) - Math.abs(b.distance)).slice(0, mostDrawn)
  const traced = new Map(trace?.nodes.map((node) => [node.id, node.traced]))
  const linked = columnsWithLines(graph.edges)
  const nodes = shown
    .toSorted((a, b) => a.distance - b.distance)
    .map((node) => {
      const marked = new Set(traced.get(node.id))
      if (chosen?.asset === node.id) marked.add(chosen.column)
      return drawNode(node, { columns, opened: open.has(node.id), marked, linked: linked.get(node.id) ?? new Set(), chosen })
    })
  return { nodes, lines: drawLines(graph, trace, nodes), left: graph.nodes.length - shown.length }
}

function drawNode(
  node: LineageNode,
  given: {
    readonly columns: boolean
    readonly opened: boolean
    readonly marked: ReadonlySet<string>
    readonly linked: ReadonlySet<string>
    readonly chosen: DrawingOptions['chosen']
  },
): DrawnNode {
  const { opened, marked, linked, chosen } = given
  // A column beyond those that came with the answer is still shown where the way goes through it.
  const all = [...new Set([...node.columns.map(({ name }) => name), ...marked])]
  // Columns without a line tell nothing in a drawing; where the reader begins they are wanted all the same.
  const wanted = given.columns && (node.distance === 0 || linked.size > 0)
  const atRest = wanted ? rowsAtRest : 0
  // One row that is hidden would take as much room as the line that says so.
  const room = opened ? all.length : wanted && all.length <= atRest + 1 ? all.length : Math.max(atRest, marked.size)
  const first = [...all.filter((name) => marked.has(name)), ...all.filter((name) => linked.has(name)), ...all]
  const kept = new Set([...new Set(first)].slice(0, room))
  const rows = all
    .filter((name) => kept.has(name))
    .map((name) => ({ name, traced: marked.has(name), chosen: chosen?.asset === node.id && chosen.column === name }))
  const hidden = Math.max(0, node.columnCount - rows.length)
  const canFold = opened && all.length > Math.max(atRest + 1, marked.size)
  const lines = rows.length + (hidden > 0 || canFold ? 1 : 0)
  return { node, rows, hidden, opened: canFold, height: headHeight + (lines === 0 ? 0 : lines * rowHeight + foot) }
}

/** Which columns of each asset a value goes in or out of. */
function columnsWithLines(edges: readonly LineageEdge[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const { from, to, how } of edges) {
    if (how !== 'copied' && how !== 'computed') continue
    for (const { asset, column } of [from, to]) {
      if (column === undefined) continue
      const columns = found.get(asset) ?? new Set()
      columns.add(column)
      found.set(asset, columns)
    }
  }
  return found
}

const strength: Readonly<Record<LineKind, number>> = { value: 3, rows: 2, unknown: 1, read: 0 }

function kindOf({ how }: LineageEdge): LineKind {
  if (how === 'copied' || how === 'computed') return 'value'
  return how === 'read' || how === 'unknown' ? how : 'rows'
}

function drawLines(graph: LineageShape, trace: LineageShape | undefined, nodes: readonly DrawnNode[]): DrawnLine[] {
  const byId = new Map(nodes.map((drawn) => [drawn.node.id, { hidden: drawn.hidden, rows: new Set(drawn.rows.map(({ name }) => name)) }]))
  const side = (asset: string, column: string | undefined): Side => {
    const drawn = byId.get(asset)
    if (column === undefined || drawn === undefined) return 'head'
    if (drawn.rows.has(column)) return `c:${column}`
    return drawn.rows.size > 0 && drawn.hidden > 0 ? 'more' : 'head'
  }
  const onTheWay = new Set(trace?.edges.map(edgeKey))
  const lines = new Map<string, DrawnLine>()
  const joined = new Set<string>()
  const asWhole: LineageEdge[] = []
  const add = (edge: LineageEdge, traced: boolean): void => {
    const { from, to } = edge
    const kind = kindOf(edge)
    const [fromSide, toSide] = [side(from.asset, from.column), side(to.asset, to.column)]
    const id = JSON.stringify([from.asset, fromSide, to.asset, toSide])
    const known = lines.get(id)
    joined.add(JSON.stringify([from.asset, to.asset]))
    lines.set(id, {
      id,
      from: from.asset,
      fromSide,
      to: to.asset,
      toSide,
      kind: known !== undefined && strength[known.kind] >= strength[kind] ? known.kind : kind,
      traced: traced || known?.traced === true,
    })
  }
  for (const edge of new Map([...graph.edges, ...(trace?.edges ?? [])].map((edge) => [edgeKey(edge), edge])).values()) {
    const { from, to } = edge
    if (from.asset === to.asset || !byId.has(from.asset) || !byId.has(to.asset)) continue
    const traced = onTheWay.has(edgeKey(edge))
    const kind = kindOf(edge)
    // What decides rows is drawn for the column that is traced; at rest it would hide the values.
    if (traced || kind === 'value' || kind === 'unknown') add(edge, traced)
    else asWhole.push(edge)
  }
  for (const edge of asWhole)
    if (!joined.has(JSON.stringify([edge.from.asset, edge.to.asset]))) add({ ...edge, from: { asset: edge.from.asset }, to: { asset: edge.to.asset } }, false)
  return [...lines.values()].toSorted((a, b) => Number(a.traced) - Number(b.traced))
}

const edgeKey = ({ from, to, how, use }: LineageEdge): string => JSON.stringify([from.asset, from.column, to.asset, to.column, how, use?.part, use?.name])

/** How many places a traced column comes from and goes to: columns, and assets that it touches as a whole. */
export function reach(trace: LineageShape, shown: ReadonlySet<string>): { readonly up: number; readonly down: number; readonly outside: readonly string[] } {
  const count = (nodes: readonly LineageNode[]): number => nodes.reduce((sum, { traced }) => sum + Math.max(1, traced.length), 0)
  return {
    up: count(trace.nodes.filter(({ distance }) => distance < 0)),
    down: count(trace.nodes.filter(({ distance }) => distance > 0)),
    outside: trace.nodes.filter(({ id }) => !shown.has(id)).map(({ id }) => id),
  }
}
