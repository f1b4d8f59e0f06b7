/** What of a table's declaration uses its columns, beside the SQL. */
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLog, t } from '../../../src/base/index.ts'
import { createGraph, impact, type Graph } from '../../../src/catalog/index.ts'
import { describeTables, fail, openDuck, openLake, quarantine, sql, table, warn, type StreamRef, type Table } from '../../../src/lake/index.ts'
import { openFolderObjects } from '../../../src/storage/index.ts'
import { tempFolder } from '../../helpers/folder.ts'

const folder = tempFolder()
let duck: Awaited<ReturnType<typeof openDuck>>
beforeAll(async () => {
  duck = await openDuck({ tempDirectory: join(folder, 'spill') })
})
afterAll(() => duck.close())

const SCHEMA = { id: t.string(), at: t.timestamp(), co: t.double().nullable().unit('mg/m³').describe('Carbon monoxide'), end: t.double() }
const readings: StreamRef<typeof SCHEMA> = { kind: 'stream', name: 'readings', schema: SCHEMA }
const raw = table('bronze.raw', { from: readings, partitionBy: ['id'], owner: 'Ana Lima', tags: ['air'] })

async function graphOf(...tables: Table[]): Promise<Graph> {
  const lake = await openLake({ objects: await openFolderObjects(join(folder, 'objects')), duck, tables, logger: silentLog })
  const stream = { id: 'stream:readings', kind: 'stream' as const, name: 'readings', tags: [], columns: Object.keys(SCHEMA).map((name) => ({ name })) }
  return createGraph([{ assets: [stream], edges: [] }, await describeTables(lake.plan, duck)])
}
const breaks = (graph: Graph, asset: string, column: string): string[] =>
  impact(graph, { asset: `table:${asset}`, column })
    .items.filter(({ effect }) => effect === 'breaks')
    .map(({ asset: id, use }) => `${id} ${use?.part}${use?.name === undefined ? '' : ` ${use.name}`}`)
    .sort()

describe('a table', () => {
  test('of a stream has its fields with what is said of them, and what the log adds', async () => {
    const { byId } = await graphOf(raw)
    expect(byId.get('table:bronze.raw')).toMatchObject({ owner: 'Ana Lima', tags: ['air'] })
    expect(byId.get('table:bronze.raw')?.columns.slice(2, 5)).toEqual([
      { name: 'co', type: 'double', unit: 'mg/m³', description: 'Carbon monoxide' },
      { name: 'end', type: 'double' },
      { name: '_partition', type: 'int', description: 'Partition of the stream' },
    ])
  })
  test('uses its merge keys and partitions, however their case is written', async () => {
    const silver = table('silver.s', { from: raw, merge: ['ID'], partitionBy: ['Day'], sql: sql`select id, "at"::date as day from ${raw}` })
    const graph = await graphOf(raw, silver)
    expect(graph.byId.get('table:silver.s')?.columns).toEqual([
      { name: 'id', type: 'string' },
      { name: 'day', type: 'date' },
    ])
    expect(breaks(graph, 'silver.s', 'id')).toEqual(['table:silver.s merge'])
    expect(breaks(graph, 'silver.s', 'day')).toEqual(['table:silver.s partition'])
    expect(breaks(graph, 'bronze.raw', 'id')).toEqual(['table:bronze.raw partition', 'table:silver.s sql'])
  })
  test('uses the columns that its expectations read, words of SQL among them, and no other', async () => {
    const silver = table('silver.s', {
      sql: sql`select id, co, "end" from ${raw}`,
      expect: { known: fail('id is not null'), plausible: quarantine('co < 500 and end > 0'), nice: warn("id <> 'co'") },
      columns: { id: t.string(), co: t.double(), end: t.double() },
    })
    const graph = await graphOf(raw, silver)
    expect(breaks(graph, 'silver.s', 'id')).toEqual(['table:silver.s expectation known', 'table:silver.s expectation nice'])
    expect(breaks(graph, 'silver.s', 'co')).toEqual(['table:silver.s expectation plausible'])
    expect(breaks(graph, 'silver.s', 'end')).toEqual(['table:silver.s expectation plausible'])
    expect(graph.in.get('table:silver.s_quarantine\0_failed')?.map(({ from }) => from.column)).toEqual(['co', 'end'])
  })
  test('that promises columns breaks when one that * took along is gone', async () => {
    const open = table('silver.open', { sql: sql`select * exclude ("at") from ${raw}` })
    const promising = table('silver.promising', { columns: { id: t.string(), co: t.double() }, sql: sql`select * from (select id, co from ${open})` })
    const strict = table('silver.strict', { columns: { c: t.double() }, sql: 'with p as (select * from silver.only) select * from p' })
    const only = table('silver.only', { sql: sql`select co as c from ${raw}` })
    const graph = await graphOf(raw, open, promising, only, strict)
    expect(breaks(graph, 'silver.only', 'c')).toEqual(['table:silver.strict columns'])
    expect(impact(graph, { asset: 'table:bronze.raw', column: 'end' }).items.map(({ asset, column, effect }) => `${effect} ${asset} ${column}`)).toEqual([
      'goes table:silver.open end',
    ])
  })
  test('may be made from a quarantine', async () => {
    const silver = table('silver.s', { sql: sql`select id, co from ${raw}`, expect: { plausible: quarantine('co < 500') } })
    const held = table('gold.held', { sql: 'select id, _failed, count(*) as n from silver.s_quarantine group by all' })
    const graph = await graphOf(raw, silver, held)
    expect(graph.byId.get('table:gold.held')?.columns.map(({ name }) => name)).toEqual(['id', '_failed', 'n'])
    expect(breaks(graph, 'silver.s_quarantine', '_failed')).toEqual(['table:gold.held sql'])
    expect(impact(graph, { asset: 'table:silver.s', column: 'co' }).items.map(({ asset, column, effect }) => `${effect} ${asset} ${column ?? ''}`)).toEqual([
      'breaks table:silver.s ',
      'goes table:silver.s_quarantine co',
      'changes table:silver.s_quarantine _failed',
      'changes table:gold.held _failed',
      'changes table:gold.held ',
      'waits table:silver.s_quarantine ',
    ])
  })
  test('whose SQL the engine refuses says so, and what is made of it is told by name only', async () => {
    const broken = table('silver.b', { sql: sql`select idd from ${raw}` })
    const after = table('gold.a', { sql: sql`select * from ${broken}` })
    const graph = await graphOf(raw, broken, after)
    expect(graph.byId.get('table:silver.b')?.unknown).toMatch(/^the engine refuses its SQL: Binder Error: Referenced column "idd" not found/)
    expect(graph.byId.get('table:gold.a')?.unknown).toBe('the columns of silver.b are not known')
    expect(impact(graph, { asset: 'table:bronze.raw', column: 'co' }).items.map(({ asset, effect }) => `${effect} ${asset}`)).toEqual([
      'may_break table:silver.b',
      'waits table:gold.a',
    ])
  })
})
