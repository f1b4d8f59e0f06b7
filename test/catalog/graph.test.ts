/** Walks and impact on graphs of any shape, against the plainest way to work them out. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createGraph, impact, lineage, type Asset, type Edge, type Effect, type Graph, type How, type Place } from '../../src/catalog/index.ts'

const COLUMNS = ['a', 'b', 'c']
const assetOf = (i: number): Asset => ({ id: `table:t.n${i}`, kind: 'table', name: `t.n${i}`, tags: [], columns: COLUMNS.map((name) => ({ name })) })

/** Edges go from lower to higher assets, as no project is made in a circle; uses may stay inside one. */
const graphs: fc.Arbitrary<Graph> = fc.integer({ min: 2, max: 7 }).chain((count) =>
  fc
    .array(
      fc.record({
        from: fc.nat(count - 1),
        to: fc.nat(count - 1),
        column: fc.constantFrom(...COLUMNS),
        target: fc.constantFrom(...COLUMNS),
        how: fc.constantFrom<How>('copied', 'copied', 'computed', 'computed', 'filtered', 'grouped', 'used', 'read', 'unknown'),
        passed: fc.boolean(),
        inside: fc.boolean(),
      }),
      { maxLength: 30 },
    )
    .map((drawn) => {
      const assets = Array.from({ length: count }, (_, i) => assetOf(i))
      const edges = drawn.flatMap(({ from, to, column, target, how, passed, inside }): Edge[] => {
        const [low, high] = from < to ? [from, to] : [to, from]
        const source = { asset: assetOf(low).id, column }
        const there = { asset: assetOf(high).id }
        if (low === high) return inside ? [{ from: source, to: there, how: 'used', use: { part: 'expectation', name: 'sound' } }] : []
        switch (how) {
          case 'copied':
          case 'computed':
            return [{ from: source, to: { ...there, column: target }, how, ...(passed ? { passed } : {}) }]
          case 'used':
            return [{ from: source, to: there, how, use: { part: 'sql' } }]
          case 'read':
          case 'unknown':
            return [{ from: { asset: source.asset }, to: there, how }]
          default:
            return [{ from: source, to: there, how }]
        }
      })
      return createGraph([{ assets, edges }])
    }),
)

const columnsOf = (graph: Graph): (Place & { column: string })[] =>
  graph.assets.flatMap(({ id, columns }) => columns.map(({ name }) => ({ asset: id, column: name })))
const text = ({ asset, column }: Place): string => `${asset}|${column ?? ''}`
const traced = (graph: Graph, start: Place, direction: 'up' | 'down'): string[] =>
  lineage(graph, start, { direction }).nodes.flatMap(({ asset, traced: names }) => names.map((column) => text({ asset: asset.id, column })))

describe('a walk', () => {
  test('down from a column finds another exactly when the walk up from that finds the first', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const down = columnsOf(graph).flatMap((start) => traced(graph, start, 'down').map((end) => `${text(start)} ${end}`))
        const up = columnsOf(graph).flatMap((end) => traced(graph, end, 'up').map((start) => `${start} ${text(end)}`))
        expect(down.sort()).toEqual(up.sort())
      }),
    )
  })
  test('down from an asset finds another exactly when the walk up from that finds the first', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        const reached = (id: string, direction: 'up' | 'down'): string[] => lineage(graph, { asset: id }, { direction }).nodes.map(({ asset }) => asset.id)
        const down = graph.assets.flatMap(({ id }) => reached(id, 'down').map((end) => `${id} ${end}`))
        const up = graph.assets.flatMap(({ id }) => reached(id, 'up').map((start) => `${start} ${id}`))
        expect(down.sort()).toEqual(up.sort())
      }),
    )
  })
  test('of some depth finds what is that near, with its distance, and says whether there is more', () => {
    fc.assert(
      fc.property(graphs, fc.integer({ min: 1, max: 4 }), fc.boolean(), (graph, depth, whole) => {
        for (const start of whole ? graph.assets.map(({ id }) => ({ asset: id })) : columnsOf(graph)) {
          const far = lineage(graph, start, { direction: 'down' })
          const near = lineage(graph, start, { direction: 'down', depth })
          const shown = (nodes: typeof far.nodes): [string, number][] => nodes.map(({ asset, distance }) => [asset.id, distance])
          expect(shown(near.nodes)).toEqual(shown(far.nodes.filter(({ distance }) => distance <= depth)))
          if (near.nodes.length < far.nodes.length) expect(near.truncated).toBe(true)
          if (!near.truncated) expect(near.edges).toEqual(far.edges)
          for (const edge of near.edges) expect(far.edges).toContain(edge)
          expect(far.truncated).toBe(false)
        }
      }),
    )
  })
  test('answers no more edges than it was allowed, and says so', () => {
    const assets = [assetOf(0), ...Array.from({ length: 50 }, (_, i) => assetOf(i + 1))]
    const graph = createGraph([
      { assets, edges: assets.slice(1).map(({ id }) => ({ from: { asset: 'table:t.n0' }, to: { asset: id }, how: 'read' as const })) },
    ])
    const answer = lineage(graph, { asset: 'table:t.n0' }, { limit: 10 })
    expect([answer.edges.length, answer.nodes.length, answer.truncated]).toEqual([10, 11, true])
    expect(lineage(graph, { asset: 'table:t.n0' }, { limit: 50 }).truncated).toBe(false)
    const touched = impact(graph, { asset: 'table:t.n0' }, { limit: 10 })
    expect([touched.items.length, touched.counts.breaks, touched.truncated]).toEqual([10, 50, true])
  })
  test('ends in a circle', () => {
    const edge = (from: number, to: number): Edge => ({
      from: { asset: assetOf(from).id, column: 'a' },
      to: { asset: assetOf(to).id, column: 'a' },
      how: 'copied',
      passed: true,
    })
    const graph = createGraph([{ assets: [assetOf(0), assetOf(1)], edges: [edge(0, 1), edge(1, 0)] }])
    expect(lineage(graph, { asset: 'table:t.n0', column: 'a' }).edges).toHaveLength(2)
    expect(impact(graph, { asset: 'table:t.n0', column: 'a' }).counts.goes).toBe(1)
  })
})

/** Sets that grow by looking at every edge again and again, until nothing is added. */
function bruteImpact(graph: Graph, start: Place & { column: string }): Record<Effect, string[]> {
  const grow = (first: readonly string[], rule: (has: (one: string) => boolean, edge: Edge) => readonly string[]): Set<string> => {
    const set = new Set(first)
    for (let before = -1; before !== set.size;) {
      before = set.size
      for (const edge of graph.edges) for (const one of rule((place) => set.has(place), edge)) set.add(one)
    }
    return set
  }
  const anyOf = (has: (one: string) => boolean, asset: string): boolean => COLUMNS.some((column) => has(text({ asset, column })))
  const isValue = ({ how }: Edge): boolean => how === 'copied' || how === 'computed'
  const gone = grow([text(start)], (has, edge) => (isValue(edge) && edge.passed === true && has(text(edge.from)) ? [text(edge.to)] : []))
  const values = grow([text(start)], (has, edge) => {
    if (isValue(edge) && has(text(edge.from))) return [text(edge.to)]
    return edge.how === 'unknown' && anyOf(has, edge.from.asset) ? COLUMNS.map((column) => text({ asset: edge.to.asset, column })) : []
  })
  const useOf = (edge: Edge): string => `${edge.to.asset} ${edge.use?.part}`
  const breaks = graph.edges.filter((edge) => edge.how === 'used' && gone.has(text(edge.from)))
  const mayBreak = graph.edges.filter((edge) => edge.how === 'unknown' && anyOf((one) => gone.has(one), edge.from.asset))
  const broken = new Set([...breaks, ...mayBreak].map(({ to }) => to.asset))
  const reached = grow([...broken], (has, edge) => (has(edge.from.asset) ? [edge.to.asset] : []))
  const changedUses = graph.edges.filter((edge) => edge.how === 'used' && edge.use?.part !== 'sql' && values.has(text(edge.from))).map(useOf)
  const changedRows = graph.edges
    .filter(({ how, from }) => (how === 'filtered' || how === 'grouped') && values.has(text(from)))
    .map(({ to }) => `${to.asset} rows`)
  const breakUses = new Set(breaks.map(useOf))
  const maybe = new Set(mayBreak.map(({ to }) => `${to.asset} rows`))
  const rows = new Set(changedRows.filter((one) => !maybe.has(one)))
  return {
    breaks: [...breakUses].sort(),
    may_break: [...maybe].sort(),
    goes: [...gone].filter((one) => one !== text(start)).sort(),
    changes: [...[...values].filter((one) => !gone.has(one)), ...new Set(changedUses.filter((one) => !breakUses.has(one))), ...rows].sort(),
    waits: [...reached].filter((one) => !broken.has(one) && !rows.has(`${one} rows`)).sort(),
  }
}

describe('impact', () => {
  test('of a column is what looking at every edge again and again finds', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        for (const start of columnsOf(graph)) {
          const { items } = impact(graph, start)
          const told = (effect: Effect): string[] =>
            items
              .filter((item) => item.effect === effect)
              .map(({ asset, column, use }) =>
                column !== undefined ? text({ asset, column }) : use ? `${asset} ${use.part}` : effect === 'waits' ? asset : `${asset} rows`,
              )
              .sort()
          expect({ breaks: told('breaks'), may_break: told('may_break'), goes: told('goes'), changes: told('changes'), waits: told('waits') }).toEqual(
            bruteImpact(graph, start),
          )
        }
      }),
      { numRuns: 300 },
    )
  })
  test('gives for each item a path of edges that leads from what goes to it', () => {
    fc.assert(
      fc.property(graphs, (graph) => {
        for (const start of [...columnsOf(graph), ...graph.assets.map(({ id }) => ({ asset: id }))]) {
          for (const { path, asset, column, why } of impact(graph, start).items) {
            expect(why).not.toBe('')
            expect(path[0]).toEqual(start)
            expect(path.at(-1)).toEqual({ asset, ...(column === undefined ? {} : { column }) })
            for (const [i, place] of path.entries()) {
              const next = path[i + 1]
              if (next)
                expect(
                  graph.edges.some(({ from, to }) => from.asset === place.asset && to.asset === next.asset),
                  `${text(place)} -> ${text(next)}`,
                ).toBe(true)
            }
          }
        }
      }),
    )
  })
})
