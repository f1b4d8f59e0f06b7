/** Contract: an engine tells the same changes of our tables as we do, and we the same of its tables as it does. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DeltaTable } from '../../src/lake/delta/index.ts'
import { field, type Lake } from '../helpers/delta.ts'
import { cellsOf, column, comparable, type Cell, type Found } from './cells.ts'
import type { Engine, Rows } from './engine.ts'

const FIELDS = [field('id', 'long'), field('site', 'string'), field('x', 'double')]
const FEED = { 'delta.enableChangeDataFeed': 'true' }
const VECTORS = { 'delta.enableDeletionVectors': 'true' }

function rows(ids: readonly number[], site: string | null, x: number): Rows {
  return { fields: FIELDS, rows: ids.map((id): Cell[] => [String(id), site, x]) }
}

export function tellsTheSameChanges(lake: Lake, engine: Engine): void {
  let made = 0
  const changesByUs = async (table: DeltaTable, from: number, to: number): Promise<Found> => {
    const { sql } = await table.changeFeed({ version: from }, { version: to })
    const fields = (await table.snapshot({ version: to }))?.metadata.fields ?? []
    const told = [...fields, column('_change_type', 'string'), column('_commit_version', 'long')]
    return cellsOf(lake.connection, `select * exclude (_commit_timestamp) from (${sql})`, told)
  }
  const agree = async (table: DeltaTable, path: string, versions: number): Promise<void> => {
    for (let version = 1; version <= versions; version++)
      expect(comparable(await changesByUs(table, version, version)), `version ${version}`).toEqual(comparable(await engine.changes(path, version, version)))
    const all = comparable(await changesByUs(table, 0, versions))
    expect(all).toEqual(comparable(await engine.changes(path, 0, versions)))
    expect(all.rows.length).toBeGreaterThan(5)
  }

  describe('a feed of changes', () => {
    const mapped = { ...VECTORS, 'delta.columnMapping.mode': 'name' }
    const makes: [string[], Readonly<Record<string, string>>][] = [
      [[], {}],
      [['site'], {}],
      [[], VECTORS],
    ]
    // delta-rs reads no change data of mapped columns.
    if (engine.name !== 'delta-rs') makes.push([['site'], mapped])
    test.each(makes)('of our table, partitioned by %j with %j', async (partitionBy, configuration) => {
      const root = `silver/feed${made++}`
      const table = lake.table(root)
      const select = ({ rows: of }: Rows) =>
        lake.select(
          `select * from (values ${of.map(([id, site, x]) => `(${String(id)}::bigint, ${site === null ? 'null' : `'${String(site)}'`}::varchar, ${String(x)}::double)`).join(', ')}) r(id, site, x)`,
        )
      await table.create({ fields: FIELDS, partitionBy, configuration: { ...FEED, ...configuration } })
      await table.append(select(rows([1, 2, 3, 4, 5, 6], 'a', 1)))
      await table.append(select(rows([7, 8, 9], null, 2)))
      await table.delete('id in (2, 7)')
      await table.update({ set: { x: 'x + 0.5', site: "'b'" }, where: 'id >= 5' })
      await table.merge(select(rows([1, 3, 20], 'c', 9)), { keys: ['id'] })
      await table.merge(select(rows([4, 5, 30], 'd', 9)), {
        on: 't.id = s.id',
        whenMatched: [{ and: 't.id = 4', delete: true }, { update: { x: 's.x' } }],
        whenNotMatched: [{ insert: 'all' }],
        whenNotMatchedBySource: [{ and: 't.id = 20', delete: true }],
      })
      await table.overwrite(select(rows([6], 'z', 0)), { where: 'id between 6 and 8' })
      await table.optimize()
      await table.delete('id > 100')
      await table.delete()
      await table.overwrite(select(rows([1, 2], 'e', 1)))
      await agree(table, join(lake.folder, root), (await table.snapshot())?.version ?? 0)
    })

    const properties: [Readonly<Record<string, string>>][] = engine.name === 'delta-rs' ? [[{}]] : [[{}], [VECTORS], [mapped]]
    test.each(properties)('of its table with %j', async (more) => {
      const root = `silver/feed${made++}`
      const path = join(lake.folder, root)
      await engine.write(path, { ...rows([1, 2, 3, 4, 5, 6], 'a', 1), partitionBy: ['site'], properties: { ...FEED, ...more } })
      await engine.write(path, rows([7, 8, 9], null, 2))
      await engine.delete(path, 'id in (2, 7)')
      await engine.delete(path, 'id = 8')
      await engine.update(path, { x: 'x + 0.5', site: "'b'" }, 'id >= 5')
      await engine.merge(path, ['id'], rows([1, 3, 20], 'c', 9))
      await engine.optimize(path)
      await engine.write(path, { ...rows([6], 'z', 0), mode: 'overwrite', where: 'id = 6' })
      await engine.delete(path)
      const table = lake.table(root)
      await agree(table, path, (await table.snapshot())?.version ?? 0)
    })
  })
}
