import { describe, expect, it } from 'vitest'
import { crumbs } from '../../console/src/app/crumbs.ts'
import { assetKinds, lineageSearch } from '../../console/src/app/search.ts'
import { drawing, headHeight, mostDrawn, reach, rowHeight } from '../../console/src/features/lineage/drawing.ts'
import { byAsset, impactSentence, wayOf, worstOf } from '../../console/src/features/lineage/sentences.ts'
import { placeName, tierOf } from '../../console/src/ui/assets.ts'
import { en } from '../../console/src/ui/words/en.ts'
import { ptBR } from '../../console/src/ui/words/pt-BR.ts'
import { ASSET_KINDS, createGraph, impact, lineage, type Asset, type Described, type Edge, type Graph, type Place } from '../../src/catalog/index.ts'

type Answer = Parameters<typeof drawing>[0]
type Item = Parameters<typeof impactSentence>[0]

const asset = (id: string, columns: readonly string[] = []): Asset => ({
  id,
  kind: id.startsWith('stream') ? 'stream' : id.startsWith('alert') ? 'alert' : id.startsWith('queue') ? 'queue' : id.startsWith('live') ? 'live' : 'table',
  name: placeName({ asset: id }),
  tags: [],
  columns: columns.map((name) => ({ name })),
})
const at = (id: string, column?: string): Place => ({ asset: id, ...(column === undefined ? {} : { column }) })
const read = (from: string, to: string): Edge => ({ from: at(from), to: at(to), how: 'read' })

/** A stream with an alert and its queue, and tables down to one whose columns cannot be told. */
const described: Described = {
  assets: [
    asset('stream:raw', ['at', 'co']),
    { ...asset('live:raw:{sensor}', ['at', 'co']), partOf: 'stream:raw' },
    asset('table:bronze.raw', ['at', 'co']),
    asset('table:silver.clean', ['at', 'co']),
    asset('table:gold.hourly', ['hour', 'co_mean']),
    { ...asset('table:gold.odd', ['x']), unknown: 'COLUMNS with a pattern' },
    asset('alert:high'),
    asset('queue:high'),
  ],
  edges: [
    read('stream:raw', 'table:bronze.raw'),
    ...['at', 'co'].flatMap((name): Edge[] => [
      { from: at('stream:raw', name), to: at('table:bronze.raw', name), how: 'copied', passed: true },
      { from: at('stream:raw', name), to: at('live:raw:{sensor}', name), how: 'copied', passed: true },
      { from: at('table:bronze.raw', name), to: at('table:silver.clean', name), how: 'computed' },
      { from: at('table:bronze.raw', name), to: at('table:silver.clean'), how: 'used', use: { part: 'sql' } },
    ]),
    read('stream:raw', 'live:raw:{sensor}'),
    read('table:bronze.raw', 'table:silver.clean'),
    { from: at('table:silver.clean', 'co'), to: at('table:silver.clean'), how: 'used', use: { part: 'expectation', name: 'plausible' } },
    read('table:silver.clean', 'table:gold.hourly'),
    { from: at('table:silver.clean', 'at'), to: at('table:gold.hourly', 'hour'), how: 'computed' },
    { from: at('table:silver.clean', 'at'), to: at('table:gold.hourly'), how: 'grouped' },
    { from: at('table:silver.clean', 'co'), to: at('table:gold.hourly', 'co_mean'), how: 'computed' },
    read('table:silver.clean', 'table:gold.odd'),
    { from: at('table:silver.clean'), to: at('table:gold.odd'), how: 'unknown' },
    read('stream:raw', 'alert:high'),
    { from: at('stream:raw', 'co'), to: at('alert:high'), how: 'used', use: { part: 'when' } },
    read('alert:high', 'queue:high'),
  ],
}
const graph = createGraph([described])

/** The walk of the server's room, in the shape in which its route answers. */
function answer(of: Graph, start: Place): Answer {
  const found = lineage(of, start)
  return {
    start: { ...start },
    nodes: found.nodes.map(({ asset: { id, kind, name, columns }, distance, traced }) => ({
      id,
      kind,
      name,
      tags: [],
      distance,
      columns: columns.map((column) => ({ name: column.name })),
      columnCount: columns.length,
      traced: [...traced],
    })),
    edges: found.edges.map(({ from, to, how, use }) => ({ from: { ...from }, to: { ...to }, how, ...(use === undefined ? {} : { use: { ...use } }) })),
    truncated: found.truncated,
  }
}

const impactOf = (place: Place): Item[] =>
  impact(graph, place).items.map(({ asset: id, column, use, effect, why, path }) => ({
    asset: id,
    ...(column === undefined ? {} : { column }),
    ...(use === undefined ? {} : { use: { ...use } }),
    effect,
    why,
    path: path.map((each) => ({ ...each })),
  }))

const brokenOf = (items: readonly Item[]): Set<string> =>
  new Set(items.filter(({ effect }) => effect === 'breaks' || effect === 'may_break').map((item) => item.asset))

describe('the drawing of a graph', () => {
  const whole = answer(graph, { asset: 'table:silver.clean' })

  it('joins columns with columns, and says once what comes along with them', () => {
    const { lines } = drawing(whole, { columns: true, open: new Set() })
    const between = lines.filter(({ from, to }) => from === 'table:bronze.raw' && to === 'table:silver.clean')
    expect(between.map(({ fromSide, toSide, kind }) => [fromSide, toSide, kind])).toEqual([
      ['c:at', 'c:at', 'value'],
      ['c:co', 'c:co', 'value'],
    ])
  })

  it('joins whole assets with one line a pair when no columns are shown', () => {
    const { lines, nodes } = drawing(whole, { columns: false, open: new Set() })
    expect(nodes.every(({ rows, hidden }) => rows.length === 0 && hidden > 0)).toBe(true)
    expect(lines.every(({ fromSide, toSide }) => fromSide === 'head' && toSide === 'head')).toBe(true)
    expect(new Set(lines.map(({ from, to }) => `${from} ${to}`)).size).toBe(lines.length)
  })

  it('shows the columns of the one asset that is opened', () => {
    const { nodes } = drawing(whole, { columns: false, open: new Set(['table:gold.hourly']) })
    expect(nodes.filter(({ rows }) => rows.length > 0).map(({ node }) => node.id)).toEqual(['table:gold.hourly'])
    expect(nodes.find(({ node }) => node.id === 'table:gold.hourly')).toMatchObject({ opened: true, hidden: 0, height: headHeight + 3 * rowHeight + 9 })
  })

  it('marks the way of a column, also in a graph that hides columns, and draws what decides rows for it', () => {
    const chosen = { asset: 'table:silver.clean', column: 'at' }
    const trace = answer(graph, chosen)
    for (const columns of [true, false]) {
      const { nodes, lines } = drawing(whole, { columns, open: new Set(), chosen, trace })
      const traced = nodes.flatMap(({ node, rows }) => rows.filter((row) => row.traced).map((row) => `${node.name}.${row.name}`))
      expect(traced).toEqual(['raw.at', 'bronze.raw.at', 'silver.clean.at', 'gold.hourly.hour', 'gold.odd.x'])
      expect(lines.filter((line) => line.traced && line.kind === 'rows').map(({ fromSide, to, toSide }) => [fromSide, to, toSide])).toEqual([
        ['c:at', 'table:gold.hourly', 'head'],
      ])
    }
    expect(drawing(whole, { columns: true, open: new Set() }).lines.some(({ kind }) => kind === 'rows')).toBe(false)
  })

  it('says that the columns of a line are not known', () => {
    const { lines } = drawing(whole, { columns: true, open: new Set() })
    expect(lines.filter(({ to }) => to === 'table:gold.odd').map(({ kind }) => kind)).toEqual(['unknown'])
  })

  it('keeps a wide table short, with the columns that have lines and those on the way', () => {
    const names = Array.from({ length: 60 }, (_, i) => `c${i}`)
    const wide = createGraph([
      {
        assets: [asset('table:a.wide', names), asset('table:b.narrow', ['x', 'y'])],
        edges: [
          { from: at('table:a.wide', 'c40'), to: at('table:b.narrow', 'x'), how: 'copied' },
          { from: at('table:a.wide', 'c59'), to: at('table:b.narrow', 'y'), how: 'copied' },
          read('table:a.wide', 'table:b.narrow'),
        ],
      },
    ])
    const shape = answer(wide, { asset: 'table:b.narrow' })
    const rest = drawing(shape, { columns: true, open: new Set() }).nodes[0]!
    expect(rest.rows.map(({ name }) => name)).toEqual(['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c40', 'c59'])
    expect(rest).toMatchObject({ hidden: 52, opened: false })
    expect(drawing(shape, { columns: true, open: new Set(['table:a.wide']) }).nodes[0]).toMatchObject({ hidden: 0, opened: true })
    // A column beyond the hundred that the server sends along is shown where the way goes through it.
    const cut = { ...shape, nodes: shape.nodes.map((node) => ({ ...node, columns: node.columns.slice(0, 20) })) }
    const trace = answer(wide, { asset: 'table:b.narrow', column: 'y' })
    const traced = drawing(cut, { columns: true, open: new Set(), chosen: { asset: 'table:b.narrow', column: 'y' }, trace }).nodes[0]!
    expect(traced.rows.find(({ name }) => name === 'c59')).toMatchObject({ traced: true })
  })

  it('draws the nearest of too many assets and counts the others', () => {
    const ids = Array.from({ length: mostDrawn + 30 }, (_, i) => `table:a.t${i}`)
    const chain = createGraph([{ assets: ids.map((id) => asset(id)), edges: ids.slice(1).map((id, i) => read(ids[i] ?? '', id)) }])
    const { nodes, left } = drawing(answer(chain, { asset: 'table:a.t10' }), { columns: true, open: new Set() })
    expect(nodes).toHaveLength(mostDrawn)
    expect(left).toBe(30)
    expect(nodes.map(({ node }) => node.id)).toContain('table:a.t0')
    expect(nodes.map(({ node }) => node.id)).not.toContain(`table:a.t${mostDrawn + 29}`)
  })

  it('counts the places of a way, and those outside of what is drawn', () => {
    const trace = answer(graph, { asset: 'stream:raw', column: 'co' })
    const shown = new Set(whole.nodes.map(({ id }) => id))
    const { up, down, outside } = reach(trace, shown)
    expect(up).toBe(0)
    expect(down).toBeGreaterThan(4)
    expect(outside.toSorted()).toEqual(['alert:high', 'live:raw:{sensor}'])
  })
})

describe('what impact says', () => {
  it('names in both languages what the catalogue names', () => {
    for (const place of [at('stream:raw', 'co'), at('stream:raw', 'at'), at('table:silver.clean', 'at'), at('stream:raw'), at('table:silver.clean')]) {
      const items = impactOf(place)
      expect(items.length).toBeGreaterThan(0)
      for (const item of items) {
        const { id, values } = impactSentence(item, brokenOf(items))
        for (const catalogue of [en, ptBR]) {
          const text = catalogue[id]
          if (typeof text !== 'string') throw new Error(`${id} has a plural`)
          const named = Object.entries(values).filter(([name]) => text.includes(`{${name}}`))
          expect(named.length, id).toBeGreaterThan(0)
          for (const [, value] of named) expect(item.why, id).toContain(value)
        }
      }
    }
  })

  it('tells by its kind why each thing is touched', () => {
    const items = impactOf(at('stream:raw', 'co'))
    const said = (id: string, effect: Item['effect']): string[] =>
      items.filter((item) => item.asset === id && item.effect === effect).map((item) => impactSentence(item, brokenOf(items)).id)
    expect(said('alert:high', 'breaks')).toEqual(['use.when'])
    expect(said('table:bronze.raw', 'goes')).toEqual(['impact.takenAlong'])
    expect(said('table:silver.clean', 'breaks')).toEqual(['use.sql'])
    expect(said('table:silver.clean', 'changes')).toEqual(['impact.madeOf', 'use.expectation'])
    expect(said('table:gold.hourly', 'waits')).toEqual(['impact.waitsFor'])
    expect(said('table:gold.odd', 'waits')).toEqual(['impact.waitsFor'])
    expect(said('table:gold.odd', 'changes')).toEqual(['impact.madeOf'])
    expect(said('queue:high', 'waits')).toEqual(['impact.waitsFor'])
    const grouped = impactOf(at('table:silver.clean', 'at')).find(
      (item) => item.asset === 'table:gold.hourly' && item.column === undefined && item.effect === 'changes',
    )
    expect(grouped && impactSentence(grouped, new Set())).toEqual({ id: 'impact.rowsBy', values: { from: 'silver.clean.at' } })
  })

  it('says of an asset that goes what is part of it, and of a queue that it is fed no more', () => {
    const items = impactOf(at('stream:raw'))
    expect(
      impactSentence(
        items.find((item) => item.asset === 'live:raw:{sensor}')!,
        brokenOf(items),
      ).id,
    ).toBe('impact.partOf')
    const alone = impactOf(at('alert:high'))
    expect(impactSentence(alone[0]!, brokenOf(alone))).toEqual({ id: 'impact.fedBy', values: { from: 'high' } })
  })

  it('gathers what happens to an asset, the worst of it first, and the way to it', () => {
    const items = impactOf(at('stream:raw', 'co'))
    expect(worstOf(items).get('table:silver.clean')).toBe('breaks')
    expect(byAsset(items, 'breaks').map((each) => each.asset)).toEqual(['alert:high', 'table:silver.clean'])
    expect(wayOf(items.find((item) => item.asset === 'table:silver.clean' && item.effect === 'breaks')!)).toEqual(['bronze.raw'])
    expect(wayOf(items.find((item) => item.asset === 'alert:high')!)).toEqual([])
  })
})

describe('the address of a graph', () => {
  it('keeps what it knows and drops the rest', () => {
    expect(lineageSearch({ asset: 'table:a.b', column: 7, direction: 'both', depth: '900', show: 'all', panel: 'impact', kind: 'cat' })).toEqual({
      asset: 'table:a.b',
      of: undefined,
      column: '7',
      direction: undefined,
      depth: 100,
      show: undefined,
      view: undefined,
      panel: 'impact',
      open: undefined,
      q: undefined,
      kind: undefined,
    })
    expect(lineageSearch({ depth: 0 }).depth).toBe(1)
    expect(lineageSearch({ depth: 3 }).depth).toBeUndefined()
    expect(crumbs('/lineage')).toMatchObject([{ page: 'page.lineage', to: '/lineage' }])
  })

  it('offers every kind of asset there is, in their order', () => {
    expect(assetKinds).toEqual(ASSET_KINDS)
  })

  it('names places as people write them', () => {
    expect(placeName({ asset: 'live:raw:{sensor}', column: 'co' })).toBe('raw:{sensor}.co')
    expect([tierOf('table:gold.x'), tierOf('stream:gold.x'), tierOf('table:mine.x')]).toEqual(['gold', undefined, undefined])
  })
})
