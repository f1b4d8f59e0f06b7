/** The catalogue of the example project through the API. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AssetShape, AssetSummary, ImpactShape, LineageShape, Page } from '../../src/server/wire.ts'
import { EXAMPLE, eventually, project, serve, type Served } from '../helpers/cli.ts'

let server: Served
beforeAll(async () => {
  server = await serve('start', ['--project', EXAMPLE, '--count', '1'])
}, 60_000)
afterAll(async () => {
  expect((await server.kill()).code).toBe(0)
})

const place = ({ asset, column }: { asset: string; column?: string | undefined }): string => (column === undefined ? asset : `${asset}.${column}`)

async function refused(path: string): Promise<[status: number, code: string, hint: string]> {
  const answer = await fetch(server.url + path)
  const { error } = (await answer.json()) as { error: { code: string; hint: string } }
  return [answer.status, error.code, error.hint]
}

describe('GET /api/v1/assets', () => {
  const ids = async (query: string): Promise<string[]> => (await server.get<Page<AssetSummary>>(`/api/v1/assets${query}`)).items.map(({ id }) => id)

  test('lists streams, tables, alerts, queues and what is kept of them', async () => {
    expect(await ids('')).toEqual([
      'stream:sensor_raw',
      'table:bronze.sensor',
      'table:gold.air_hourly',
      'table:gold.daily_exceedances',
      'table:silver.readings',
      'table:silver.readings_quarantine',
      'alert:air_critical',
      'alert:air_episode',
      'queue:air_episodes',
      'queue:sensor_alert',
      'live:sensor:{date}:{time}',
      'live:sensor_raw:{sensor}',
      'live:sensor_{date}_{time}',
      'dead_letters:sensor_raw.dlq',
    ])
  })
  test('searches names, columns and descriptions, and keeps to a kind', async () => {
    expect(await ids('?search=exceed')).toEqual(['table:gold.daily_exceedances'])
    expect(await ids('?search=nitrogen&kind=table')).toEqual(['table:bronze.sensor'])
    const [found] = (await server.get<Page<AssetSummary>>('/api/v1/assets?search=humidity&kind=stream')).items
    expect(found?.matched).toEqual(['absolute_humidity', 'relative_humidity'])
  })
  test('refuses a cursor of another list', async () => {
    expect(await refused('/api/v1/assets?search=exceed&cursor=stream:sensor_raw')).toEqual([400, 'catalog.bad_cursor', expect.stringContaining('leave it out')])
  })
  test('gives one with its columns, by id or by name', async () => {
    const asset = await server.get<AssetShape>('/api/v1/assets/gold.daily_exceedances')
    expect(asset.columns).toEqual([
      { name: 'sensor', type: 'string' },
      { name: 'day', type: 'date' },
      { name: 'readings', type: 'long' },
      { name: 'co_above_10', type: 'long' },
      { name: 'no2_above_200', type: 'long' },
    ])
    expect(await server.get(`/api/v1/assets/${encodeURIComponent('live:sensor_raw:{sensor}')}`)).toMatchObject({ partOf: 'stream:sensor_raw' })
    expect(await refused('/api/v1/assets/silver.reading')).toEqual([404, 'catalog.no_asset', expect.stringContaining('silver.readings')])
  })
})

describe('GET /api/v1/lineage', () => {
  test('follows a column from the stream to gold', async () => {
    const { nodes, edges, truncated } = await server.get<LineageShape>('/api/v1/lineage?asset=silver.readings.co')
    expect(truncated).toBe(false)
    expect(Object.fromEntries(nodes.map(({ id, distance, traced }) => [id, [distance, traced]]))).toEqual({
      'stream:sensor_raw': [-2, ['co']],
      'table:bronze.sensor': [-1, ['co']],
      'table:silver.readings': [0, ['co']],
      'table:silver.readings_quarantine': [1, ['co', '_failed']],
      'table:gold.air_hourly': [1, ['co_mean', 'co_max', 'co_p95']],
      'table:gold.daily_exceedances': [1, ['co_above_10']],
    })
    expect(edges.map(({ from, to, how }) => `${place(from)} ${how} ${place(to)}`)).toContain('table:silver.readings.co computed table:gold.air_hourly.co_p95')
    expect(edges).toContainEqual({
      from: { asset: 'table:silver.readings', column: 'co' },
      to: { asset: 'table:silver.readings' },
      how: 'used',
      use: { part: 'expectation', name: 'co_plausible' },
    })
  })
  test('keeps to a direction and a depth', async () => {
    const down = await server.get<LineageShape>('/api/v1/lineage?asset=stream:sensor_raw&direction=down&depth=1')
    expect(Object.fromEntries(down.nodes.map(({ id, distance }) => [id, distance]))).toEqual({
      'alert:air_critical': 1,
      'alert:air_episode': 1,
      'dead_letters:sensor_raw.dlq': 1,
      'live:sensor:{date}:{time}': 1,
      'live:sensor_raw:{sensor}': 1,
      'live:sensor_{date}_{time}': 1,
      'stream:sensor_raw': 0,
      'table:bronze.sensor': 1,
    })
    expect(down.truncated).toBe(true)
    const up = await server.get<LineageShape>('/api/v1/lineage?asset=gold.air_hourly&direction=up')
    expect(up.nodes.map(({ id }) => id)).toEqual(['table:gold.air_hourly', 'table:silver.readings', 'table:bronze.sensor', 'stream:sensor_raw'])
  })
  test('refuses what it does not know, with the nearest names', async () => {
    expect(await refused('/api/v1/lineage?asset=silver.readings&column=humidity')).toEqual([
      404,
      'catalog.no_column',
      expect.stringContaining('relative_humidity'),
    ])
    expect(await refused('/api/v1/lineage?asset=silver.readings&column=temprature')).toEqual([404, 'catalog.no_column', 'Did you mean temperature?'])
    expect(await refused('/api/v1/lineage?asset=silver.readings&depth=0')).toEqual([400, 'http.invalid_request', expect.stringContaining('/docs')])
    expect(await refused('/api/v1/lineage')).toEqual([400, 'http.invalid_request', expect.stringContaining('/docs')])
  })
})

describe('GET /api/v1/impact', () => {
  test('tells what breaks, goes, changes and waits when a field of the stream goes', async () => {
    const { items } = await server.get<ImpactShape>('/api/v1/impact?asset=sensor_raw&column=no2')
    const told = (effect: string): string[] => [...new Set(items.filter((item) => item.effect === effect).map(place))].sort()
    expect(told('breaks')).toEqual(['alert:air_critical', 'alert:air_episode', 'table:silver.readings'])
    expect(told('goes')).toEqual(['live:sensor_raw:{sensor}.no2', 'table:bronze.sensor.no2'])
    expect(told('changes')).toEqual([
      'table:gold.air_hourly.no2_max',
      'table:gold.air_hourly.no2_mean',
      'table:gold.air_hourly.no2_p95',
      'table:gold.daily_exceedances.no2_above_200',
      'table:silver.readings',
      'table:silver.readings.no2',
      'table:silver.readings_quarantine._failed',
      'table:silver.readings_quarantine.no2',
    ])
    expect(told('waits')).toEqual([
      'queue:air_episodes',
      'queue:sensor_alert',
      'table:gold.air_hourly',
      'table:gold.daily_exceedances',
      'table:silver.readings_quarantine',
    ])
    expect(items.find(({ asset }) => asset === 'table:silver.readings')).toMatchObject({
      why: 'its SQL names bronze.sensor.no2',
      path: [{ asset: 'stream:sensor_raw', column: 'no2' }, { asset: 'table:bronze.sensor', column: 'no2' }, { asset: 'table:silver.readings' }],
    })
  })
  test('names merge keys, windows and keys', async () => {
    const uses = async (column: string): Promise<string[]> =>
      (await server.get<ImpactShape>(`/api/v1/impact?asset=silver.readings&column=${column}`)).items
        .flatMap(({ use, asset }) => (use ? [`${asset} ${use.part}`] : []))
        .sort()
    expect(await uses('at')).toEqual([
      'table:gold.air_hourly sql',
      'table:gold.air_hourly window',
      'table:gold.air_hourly window_source',
      'table:gold.daily_exceedances sql',
      'table:gold.daily_exceedances window',
      'table:gold.daily_exceedances window_source',
      'table:silver.readings expectation',
      'table:silver.readings merge',
    ])
    const key = await server.get<ImpactShape>('/api/v1/impact?asset=sensor_raw&column=sensor')
    expect(key.items.flatMap(({ use, asset }) => (use && asset.startsWith('stream:') ? [use.part] : []))).toEqual(['key'])
  })
  test('of a table that goes is what is made of it', async () => {
    const { items } = await server.get<ImpactShape>('/api/v1/impact?asset=silver.readings')
    expect(items.map(({ asset, effect }) => `${effect} ${asset}`)).toEqual([
      'breaks table:gold.daily_exceedances',
      'breaks table:gold.air_hourly',
      'goes table:silver.readings_quarantine',
    ])
  })
})

test('a project that is saved and loaded again has another graph, with owners and tags', async () => {
  const stream = (field: string): string =>
    `import { stream, t } from 'lagoa'\nexport const s = stream('s', { owner: 'Ana Lima', tags: ['field'], schema: { ${field}: t.string() } })\n`
  const folder = project({ 'streams/s.ts': stream('before') })
  const dev = await serve('dev', ['--project', folder])
  const [first] = (await dev.get<Page<AssetSummary>>('/api/v1/assets?owner=ana%20lima&tag=field&kind=stream')).items
  expect(first).toMatchObject({ id: 'stream:s', owner: 'Ana Lima', tags: ['field'] })
  project({ 'streams/s.ts': stream('after') }, folder)
  await eventually('the new column is there', async () => (await dev.get<AssetShape>('/api/v1/assets/s')).columns[0]?.name === 'after')
  expect((await dev.kill()).code).toBe(0)
})
