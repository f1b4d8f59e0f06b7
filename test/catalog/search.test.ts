/** Finding assets and columns by what people type. */
import { describe, expect, test } from 'vitest'
import { createGraph, findAsset, findPlace, searchAssets, type Asset } from '../../src/catalog/index.ts'

const asset = (given: Partial<Asset> & Pick<Asset, 'kind' | 'name'>): Asset => ({ id: `${given.kind}:${given.name}`, tags: [], columns: [], ...given })
const GRAPH = createGraph([
  {
    assets: [
      asset({ kind: 'stream', name: 'readings', owner: 'Ana Lima', columns: [{ name: 'co', description: 'Carbon monoxide', unit: 'mg/m³' }, { name: 'no2' }] }),
      asset({
        kind: 'table',
        name: 'silver.readings',
        tags: ['air'],
        description: 'Clean readings',
        columns: [{ name: 'co' }, { name: 'temperature', tags: ['weather'] }],
      }),
      asset({
        kind: 'table',
        name: 'gold.hourly',
        owner: 'air',
        description: 'Mean of the clean readings per hour',
        columns: [{ name: 'co_mean' }, { name: 'at.zone' }],
      }),
      asset({ kind: 'alert', name: 'high_co', description: 'Emissão alta' }),
      asset({ kind: 'queue', name: 'air' }),
      asset({ kind: 'alert', name: 'air' }),
    ],
    edges: [],
  },
])
const names = (search: string): string[] => searchAssets(GRAPH, { search }).map(({ asset: { id } }) => id)

describe('a search', () => {
  test('puts names before columns, tags and owners, and those before descriptions', () => {
    expect(names('readings')).toEqual(['stream:readings', 'table:silver.readings', 'table:gold.hourly'])
    expect(names('co')).toEqual(['alert:high_co', 'stream:readings', 'table:silver.readings', 'table:gold.hourly'])
    expect(names('air')).toEqual(['alert:air', 'queue:air', 'table:gold.hourly', 'table:silver.readings'])
  })
  test('finds columns and tells which', () => {
    expect(searchAssets(GRAPH, { search: 'carbon' }).map(({ asset: { id }, columns }) => [id, columns])).toEqual([['stream:readings', ['co']]])
  })
  test('wants every word', () => {
    expect(names('clean hour')).toEqual(['table:gold.hourly'])
    expect(names('clean nothing')).toEqual([])
  })
  test.each([
    ['temperatur', 'a letter too few'],
    ['temprature', 'a letter left out'],
    ['temperatture', 'a letter twice'],
    ['temperaturr', 'a wrong letter'],
    ['tempreature', 'two letters in the wrong order'],
  ])('forgives %s: %s', (typed) => {
    expect(names(typed)).toEqual(['table:silver.readings'])
  })
  test('forgives nothing in short words, where a slip would be another word', () => {
    expect(names('ca')).toEqual(['stream:readings'])
    expect(names('c2')).toEqual([])
  })
  test('minds neither case nor accents', () => {
    expect(names('EMISSAO')).toEqual(['alert:high_co'])
    expect(names('emissão')).toEqual(['alert:high_co'])
  })
  test('keeps to a kind, a tag, also of a column, and an owner', () => {
    expect(searchAssets(GRAPH, { kind: 'alert' }).map(({ asset: { id } }) => id)).toEqual(['alert:air', 'alert:high_co'])
    expect(searchAssets(GRAPH, { tag: 'Weather' }).map(({ asset: { id } }) => id)).toEqual(['table:silver.readings'])
    expect(searchAssets(GRAPH, { owner: 'ana lima' }).map(({ asset: { id } }) => id)).toEqual(['stream:readings'])
  })
  test('without words lists all by kind and name', () => {
    expect(names('  ')).toEqual(['stream:readings', 'table:gold.hourly', 'table:silver.readings', 'alert:air', 'alert:high_co', 'queue:air'])
  })
})

describe('a name', () => {
  test('is an id, a name that only one has, or that of a column behind a dot', () => {
    expect(findAsset(GRAPH, 'table:silver.readings').name).toBe('silver.readings')
    expect(findPlace(GRAPH, 'readings')).toEqual({ asset: 'stream:readings' })
    expect(findPlace(GRAPH, 'silver.readings')).toEqual({ asset: 'table:silver.readings' })
    expect(findPlace(GRAPH, 'silver.readings.CO')).toEqual({ asset: 'table:silver.readings', column: 'co' })
    expect(findPlace(GRAPH, 'table:gold.hourly.co_mean')).toEqual({ asset: 'table:gold.hourly', column: 'co_mean' })
  })
  test('of a column may have a dot itself', () => {
    expect(findPlace(GRAPH, 'gold.hourly.at.zone')).toEqual({ asset: 'table:gold.hourly', column: 'at.zone' })
  })
  test.each([
    ['silver.reading', 'catalog.no_asset', 'Did you mean silver.readings'],
    ['silver.readings.temprature', 'catalog.no_column', 'Did you mean temperature?'],
    ['high_co.co', 'catalog.no_column', 'has no columns'],
    ['zzzzzzzzzz', 'catalog.no_asset', 'There are: readings'],
    ['air', 'catalog.ambiguous', 'Write alert:air or queue:air.'],
  ])('%s is refused with %s and what to write instead', (name, code, hint) => {
    expect(() => findPlace(GRAPH, name)).toThrow(expect.objectContaining({ code, hint: expect.stringContaining(hint) as string }) as Error)
  })
})
