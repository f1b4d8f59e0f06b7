/** Tables of ours whose rows were changed in place: deletion vectors of every form, and change data. */
import type { DeltaTable } from '../../src/lake/delta/index.ts'
import { field, type Lake } from '../helpers/delta.ts'

const VECTORS = { 'delta.enableDeletionVectors': 'true' }

interface Changed {
  readonly name: string
  readonly conditions?: readonly string[]
  readonly travels?: boolean
  make(table: DeltaTable, lake: Lake): Promise<unknown>
}

export const CHANGED_TABLES: readonly Changed[] = [
  {
    name: 'deletion vectors of every container, growing',
    travels: true,
    conditions: ['id between 65530 and 65600', 'id > 299900'],
    async make(table, lake) {
      await table.create({ fields: [field('id', 'long')], configuration: VECTORS })
      await table.append(lake.select('select range::bigint as id from range(300000)'))
      await table.delete('id in (0, 65535, 65536, 299999)')
      await table.delete('id between 1000 and 60000')
      await table.delete('id >= 100000 and id % 2 = 1')
      await table.delete('id between 200000 and 299000 or id % 97 = 0')
    },
  },
  {
    name: 'deletion vectors of many partitions, over checkpoints',
    travels: true,
    conditions: ["site = 'b'", 'id < 20', 'x is null'],
    async make(table, lake) {
      await table.create({
        fields: [field('id', 'long'), field('site', 'string'), field('x', 'double')],
        partitionBy: ['site'],
        configuration: { ...VECTORS, 'delta.checkpointInterval': '3' },
      })
      for (let i = 0; i < 3; i++)
        await table.append(
          lake.select(
            `select range::bigint as id, ['a', 'b', 'ü %', null][1 + range % 4] as site, nullif(range % 10, 3)::double as x from range(${100 * i}, ${100 * (i + 1)})`,
          ),
        )
      await table.delete('id % 10 = 1')
      await table.update({ set: { x: 'x * 2', site: "'b'" }, where: 'id % 7 = 0 and site is not null' })
      await table.merge(lake.select("select 5::bigint as id, 'a' as site, 1.5::double as x union all select 1000, 'new', 2 union all select 6, 'b', null"), {
        on: 't.id = s.id',
        whenMatched: [{ and: 's.x is null', delete: true }, { update: { x: 's.x' } }],
        whenNotMatched: [{ insert: 'all' }],
        whenNotMatchedBySource: [{ and: "t.site = 'b' and t.x > 15", delete: true }],
      })
      await table.delete("site = 'ü %'")
      await table.overwrite(lake.select("select 12::bigint as id, 'a' as site, 0.0::double as x"), { where: 'id between 10 and 20' })
      await table.delete('id between 30 and 34')
      await table.optimize()
      await table.delete('id = 40')
    },
  },
  {
    name: 'deletion vectors and change data on mapped columns',
    conditions: ['"n o" > 5'],
    async make(table, lake) {
      await table.create({
        fields: [field('id', 'long'), field('n o', 'integer'), field('p', 'string')],
        partitionBy: ['p'],
        configuration: { ...VECTORS, 'delta.enableChangeDataFeed': 'true', 'delta.columnMapping.mode': 'name' },
      })
      await table.append(lake.select("select range::bigint as id, range::integer as \"n o\", ['x', 'y'][1 + range % 2] as p from range(20)"))
      await table.alter({ kind: 'renameColumn', column: 'p', to: 'place' })
      await table.update({ set: { 'n o': '"n o" + 100' }, where: 'id % 5 = 0' })
      await table.delete('id in (3, 4)')
    },
  },
  {
    name: 'change data beside rewritten files',
    travels: true,
    async make(table, lake) {
      await table.create({
        fields: [field('id', 'long'), field('site', 'string')],
        partitionBy: ['site'],
        configuration: { 'delta.enableChangeDataFeed': 'true' },
      })
      await table.append(lake.select("select range::bigint as id, ['a', 'b'][1 + range % 2] as site from range(20)"))
      await table.update({ set: { id: 'id + 100' }, where: 'id < 4' })
      await table.delete('id = 7')
      await table.merge(lake.select("select 8::bigint as id, 'b' as site union all select 50, 'c'"), { keys: ['id'] })
      await table.delete("site = 'c'")
    },
  },
]
