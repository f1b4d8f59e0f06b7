/** Tasks of flows in the catalogue: what they read, of which columns, and what they fill. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { t } from '../../src/base/index.ts'
import { createGraph, impact, lineage, type Graph } from '../../src/catalog/index.ts'
import { flow, task, type Flow } from '../../src/flows/index.ts'
import { describeTables, openDuck, openSqlReader, planTables, sql, table } from '../../src/lake/index.ts'
import { stream } from '../../src/streams/index.ts'
import { describeFlows } from '../../src/platform/flow-catalog.ts'

const raw = stream('raw', { schema: { sensor: t.string(), co: t.double(), note: t.string() } })
const readings = table('silver.readings', { from: raw })
const FLOWS: readonly Flow[] = [
  flow('nightly', { owner: 'air', tags: ['air'] }, () => {
    const rows = task.sql('read', { sql: "select sensor, co * :factor as co from silver.readings where note <> ':x'", with: { factor: 2 } })
    const kept = task('keep', { with: { rows }, run: ({ rows: { rows: all } }) => all.slice(0, 10) })
    task.python('score', { code: 'def process(df):\n    return df\n', input: kept, into: 'gold.scored' })
    task('tell', { run: () => 'nothing that reads a table by its name' })
  }),
  flow('weekly', () => {
    task.python('all', { file: 'tasks/all.py', input: readings })
    task.python('some', { file: 'tasks/all.py', input: sql`select sensor from ${readings}` })
    task.python('object', { file: 'tasks/all.py', input: 'bucket/file.csv' })
    task.sql('wrong', { sql: 'selec sensor from silver.readings' })
  }),
]

describe('tasks in the catalogue', () => {
  let graph: Graph
  beforeAll(async () => {
    const duck = await openDuck({ tempDirectory: join(tmpdir(), 'lagoa'), threads: 1 })
    const connection = await duck.connect()
    const tables = await describeTables(await planTables([readings], connection), duck)
    graph = createGraph([tables, await describeFlows(FLOWS, await openSqlReader(connection, tables))])
    connection.closeSync()
    await duck.close()
  })

  test('are those that say what they read, with the words of their flow', () => {
    expect(graph.assets.map(({ id }) => id)).toEqual([
      'table:gold.scored',
      'table:silver.readings',
      'task:nightly.read',
      'task:nightly.score',
      'task:weekly.all',
      'task:weekly.object',
      'task:weekly.some',
      'task:weekly.wrong',
    ])
    expect(graph.byId.get('task:nightly.read')).toMatchObject({ owner: 'air', tags: ['air'] })
    expect(graph.byId.get('task:weekly.wrong')?.unknown).toMatch(/^its SQL cannot be read: /)
    expect(graph.byId.get('table:gold.scored')?.unknown).toBe('task score of flow nightly makes its rows')
  })

  test('lead from a table to the one that they fill, also through a function', () => {
    const { nodes } = lineage(graph, { asset: 'table:gold.scored' }, { direction: 'up', depth: 9 })
    expect(nodes.map(({ asset, distance }) => [asset.id, distance])).toEqual([
      ['table:gold.scored', 0],
      ['task:nightly.score', -1],
      ['task:nightly.read', -2],
      ['table:silver.readings', -3],
    ])
  })

  test('break with a column that their SQL names, and may with one of a table that a script takes whole', () => {
    const effects = (column: string): Record<string, string> =>
      Object.fromEntries(impact(graph, { asset: 'table:silver.readings', column }).items.map(({ asset, effect }) => [asset, effect]))
    expect(effects('note')).toEqual({
      'task:nightly.read': 'breaks',
      'task:nightly.score': 'waits',
      'table:gold.scored': 'waits',
      'task:weekly.all': 'may_break',
    })
    expect(effects('sensor')).toMatchObject({ 'task:weekly.some': 'breaks', 'task:weekly.all': 'may_break' })
    expect(effects('co')).not.toHaveProperty('task:weekly.some')
  })
})
