/** Contract: an engine and we write to one table in turn, and both see every change. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { field, type Lake } from '../helpers/delta.ts'
import { comparable, readByUs, type Cell } from './cells.ts'
import type { Engine, Rows } from './engine.ts'

const FIELDS = [
  field('id', 'long'),
  field('site', 'string'),
  field('x', 'double'),
  field('price', 'decimal(18,6)'),
  field('ts', 'timestamp'),
  field('tags', { type: 'array', elementType: 'string', containsNull: true }),
]

/** Rows of FIELDS as they cross to an engine. */
function rows(ids: readonly number[], site: string | null, x: number): Rows {
  return {
    fields: FIELDS,
    rows: ids.map((id): Cell[] => [String(id), site, x, `${id}.500000`, `1969-12-31T23:59:${10 + (id % 50)}.123456Z`, id % 2 === 0 ? null : [site, null, 'ü']]),
  }
}

/** The same for us. */
function sql(ids: readonly number[], site: string, x: number): string {
  return `select i::bigint as id, '${site.replaceAll("'", "''")}' as site, ${x}::double as x, (i + 0.5)::decimal(18,6) as price, timestamptz '2024-01-01 00:00:00.000001+00' + to_days(i::integer) as ts, ['t', null] as tags from (select unnest([${ids.join(', ')}]) as i)`
}

/** `checksums`: the tables lie in a folder of this machine, where Hadoop keeps a checksum file beside each of its files. */
export function changesOurTables(lake: Lake, engine: Engine, { checksums = true }: { readonly checksums?: boolean } = {}): void {
  let made = 0
  const fresh = (): { root: string; path: string } => {
    const root = `silver/shared${made++}`
    return { root, path: join(lake.folder, root) }
  }

  describe('it changes what we wrote, and we what it wrote', () => {
    test.each([[[]], [['site']]])('every operation in turn, partitioned by %j', async (partitionBy) => {
      const { root, path } = fresh()
      const table = lake.table(root)
      await table.create({ fields: FIELDS, partitionBy })
      await table.append(lake.select(sql([1, 2, 3, 4, 5, 6], 'a', 1)))
      await table.append(lake.select(sql([7, 8, 9], "b'/%", 2)))
      const steps: readonly (readonly [string, number, () => Promise<unknown>])[] = [
        ['append', 12, () => engine.write(path, rows([10, 11, 12], 'ç d', 3))],
        ['our append', 13, () => table.append(lake.select(sql([13], 'a', 4)))],
        ['merge', 15, () => engine.merge(path, ['id'], rows([2, 3, 14, 15], 'a', 5))],
        ['our merge', 16, () => table.merge(lake.select(sql([10, 14, 16], "b'/%", 6)), { keys: ['id'] })],
        ['delete some', 13, () => engine.delete(path, 'id in (1, 10, 11)')],
        ['update', 13, () => engine.update(path, { x: 'x + 100', site: "'e'" }, 'id > 12')],
        ['our overwrite where', 12, () => table.overwrite(lake.select(sql([2, 3], 'f', 7)), { where: 'id < 5' })],
        ['overwrite where', 10, () => engine.write(path, { ...rows([20, 21], 'e', 8), mode: 'overwrite', where: "site = 'e'" })],
        ['optimize', 10, () => engine.optimize(path)],
        ['checkpoint', 10, () => engine.checkpoint(path)],
        ['our append behind its checkpoint', 11, () => table.append(lake.select(sql([30], 'a', 9)), { txn: { appId: 'a/b', version: 3 } })],
        ['restore', 16, async () => engine.restore(path, 6)],
        ['our merge on what was restored', 17, () => table.merge(lake.select(sql([1, 40], 'g', 10)), { keys: ['id'] })],
        ['delete everything', 0, () => engine.delete(path)],
        ['our append to nothing', 2, () => table.append(lake.select(sql([1, 2], 'a', 11)))],
        ['overwrite', 3, () => engine.write(path, { ...rows([1, 2, 3], null, 12), mode: 'overwrite' })],
      ]
      for (const [name, count, step] of steps) {
        await step()
        const ours = comparable(await readByUs(lake.connection, table))
        expect(ours.rows.length, name).toBe(count)
        expect(comparable(await engine.read(path)), name).toEqual(ours)
        expect(comparable(await readByUs(lake.connection, lake.table(root))), `${name}, opened anew`).toEqual(ours)
      }
      expect((await lake.table(root).snapshot())?.txnVersion('a/b')).toBe(3)
      const versions = partitionBy.length === 0 ? 0 : ((await table.snapshot())?.version ?? 0)
      for (let version = 0; version <= versions; version++) {
        expect(comparable(await engine.read(path, { version })), `version ${version}`).toEqual(comparable(await readByUs(lake.connection, table, { version })))
      }
      expect(await engine.history(path)).toEqual((await table.history()).map((entry) => entry.operation))
    })

    test('a new column comes with its append, a new schema with its overwrite', async () => {
      const { root, path } = fresh()
      const table = lake.table(root)
      await table.create({ fields: [field('id', 'long'), field('st', { type: 'struct', fields: [field('a', 'integer')] })] })
      await table.append(lake.select('select 1::bigint as id, {a: 1::integer} as st'))
      const wider = [field('id', 'long'), field('st', { type: 'struct', fields: [field('a', 'integer'), field('b', 'string')] }), field('extra', 'date')]
      await engine.write(path, { fields: wider, rows: [['2', ['2', 'b'], '2024-01-01']], schemaMode: 'merge' })
      const ours = comparable(await readByUs(lake.connection, table))
      expect(comparable(await engine.read(path))).toEqual(ours)
      expect(ours.rows).toEqual([JSON.stringify(['1', ['1', null], null]), JSON.stringify(['2', ['2', 'b'], '2024-01-01'])])
      await table.append(lake.select("select 3::bigint as id, {a: 3::integer, b: 'c'} as st, date '1960-01-01' as extra"))
      expect(comparable(await engine.read(path))).toEqual(comparable(await readByUs(lake.connection, table)))
      await engine.write(path, { fields: [field('other', 'boolean')], rows: [[true], [null]], mode: 'overwrite', schemaMode: 'overwrite' })
      expect(comparable(await readByUs(lake.connection, table))).toEqual({ columns: [['other', 'boolean']], rows: ['[null]', '[true]'] })
    })

    test('checkpoints of both in one log, each opened anew by the other', async () => {
      const { root, path } = fresh()
      await lake.table(root).create({ fields: FIELDS, partitionBy: ['site'], configuration: { 'delta.checkpointInterval': '2' } })
      for (let i = 0; i < 8; i++) {
        // Two commits each, so that every engine is the one to write some checkpoint.
        if (i % 2 === 0) for (const id of [i, 100 + i]) await lake.table(root).append(lake.select(sql([id], 'a%', i)))
        else {
          for (const id of [i, 100 + i]) await engine.write(path, rows([id], 'ü/', i))
          await engine.checkpoint(path)
        }
        await engine.forget()
        const ours = comparable(await readByUs(lake.connection, lake.table(root)))
        expect(ours.rows.length).toBe(2 * i + 2)
        expect(comparable(await engine.read(path))).toEqual(ours)
      }
      const log = (await lake.paths(`${root}/_delta_log/`)).map((one) => one.split('/').at(-1) ?? '')
      expect(log.filter((name) => name.endsWith('.checkpoint.parquet')).length).toBeGreaterThanOrEqual(8)
    })

    test.runIf(checksums)('a checksum file that Hadoop left does not speak for a newer _last_checkpoint', async () => {
      const { root, path } = fresh()
      const table = lake.table(root)
      await table.create({ fields: [field('id', 'long')], configuration: { 'delta.checkpointInterval': '3' } })
      await table.append(lake.select('select 1::bigint as id'))
      await engine.checkpoint(path)
      const checksum = join(path, '_delta_log', '._last_checkpoint.crc')
      expect(existsSync(checksum)).toBe(engine.name !== 'delta-rs')
      for (let id = 2; id <= 5; id++) await table.append(lake.select(`select ${id}::bigint as id`))
      expect(existsSync(checksum)).toBe(false)
      await engine.forget()
      expect((await engine.read(path)).rows.length).toBe(5)
      await engine.write(path, { fields: [field('id', 'long')], rows: [['6']] })
      await engine.checkpoint(path)
      await engine.forget()
      expect(comparable(await engine.read(path))).toEqual(comparable(await readByUs(lake.connection, lake.table(root))))
    })
  })
}
