/** Contract: tables that we look after are read equal by an engine after every command, and neither cleans away what the other needs. */
import { mkdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DeltaTable } from '../../src/lake/delta/index.ts'
import { field, type Lake } from '../helpers/delta.ts'
import { comparable, readByUs } from './cells.ts'
import type { Engine } from './engine.ts'

const FIELDS = [field('id', 'long'), field('p', 'string'), field('name', 'string')]
/** Names of partitions whose folders are spelled in several ways. */
const NAMES = ['São Paulo', 'a/b c', '100%', '%41', 'x=y&z', "it's", '#?+', '漢字']
const NOW = { retainMs: 0, force: true }

export function looksAfterTables(lake: Lake, engine: Engine): void {
  let made = 0
  const fresh = (): { root: string; path: string; table: DeltaTable } => {
    const root = `silver/upkeep ${++made}`
    return { root, path: join(lake.folder, root), table: lake.table(root) }
  }
  const rows = (from: number, to: number): string =>
    `select i as id, [${NAMES.map((name) => `'${name.replaceAll("'", "''")}'`).join(', ')}][(i % ${NAMES.length}) + 1] as p, 'n' || i as name from range(${from}, ${to}) r(i)`
  const filled = async (): Promise<ReturnType<typeof fresh>> => {
    const one = fresh()
    await one.table.create({ fields: FIELDS, partitionBy: ['p'] })
    await one.table.append(lake.select(rows(0, 40)))
    await one.table.append(lake.select(rows(40, 80)))
    return one
  }
  const same = async ({ root, path }: { root: string; path: string }, what: string): Promise<void> => {
    await engine.forget()
    expect(comparable(await engine.read(path)), what).toEqual(comparable(await readByUs(lake.connection, lake.table(root))))
  }

  describe('upkeep', () => {
    test('it reads our table after each of our commands', async () => {
      const one = await filled()
      await one.table.overwrite(lake.select(rows(100, 120)))
      await one.table.restore({ version: 2 })
      await same(one, 'restored')
      await one.table.optimize({ zOrderBy: ['id', 'name'] })
      await same(one, 'ordered')
      await one.table.pin({ id: 'kept', reason: 'reader', version: 1 })
      const { files } = await one.table.vacuum(NOW)
      expect(files).toBeGreaterThan(0)
      await same(one, 'vacuumed')
      expect(comparable(await engine.read(one.path, { version: 1 }))).toEqual(comparable(await readByUs(lake.connection, one.table, { version: 1 })))
      expect((await engine.history(one.path)).slice(0, 4)).toEqual(['VACUUM END', 'VACUUM START', 'OPTIMIZE', 'RESTORE'])
      await engine.restore(one.path, 1)
      await same(one, 'restored by it')
    })
    test('its vacuum keeps what we need, and our pins', async () => {
      const one = await filled()
      await one.table.pin({ id: 'kept', reason: 'backup', version: 2 })
      await one.table.optimize({ zOrderBy: ['id'] })
      await engine.vacuum(one.path)
      await same(one, 'vacuumed by it')
      expect(await lake.table(one.root).pins()).toHaveLength(1)
    })
    test('our vacuum keeps what it needs', async () => {
      const { root, path } = fresh()
      const fields = FIELDS.map((one) => ({ ...one }))
      for (const part of [0, 1, 2])
        await engine.write(path, {
          fields,
          rows: NAMES.map((name, i) => [String(10 * part + i), name, 'theirs']),
          partitionBy: ['p'],
          ...(part === 2 ? { mode: 'overwrite' as const } : {}),
        })
      await engine.delete(path, 'id = 21')
      const before = comparable(await engine.read(path))
      expect((await lake.table(root).vacuum(NOW)).files).toBeGreaterThan(0)
      await engine.forget()
      expect(comparable(await engine.read(path))).toEqual(before)
      await same({ root, path }, 'vacuumed')
      await engine.write(path, { fields, rows: [['99', 'x', 'after']] })
      await same({ root, path }, 'written after')
    })
    test('a folder that we converted is a table to it, and its vacuum leaves it whole', async () => {
      const { root, path, table } = fresh()
      for (const [i, name] of ['a b', 'São', '100%41', '漢字', "x'y"].entries()) {
        const folder = join(path, `p=${encodeURIComponent(name)}`, name)
        await mkdir(folder, { recursive: true })
        const file = join(folder, `${name} #1.parquet`)
        await lake.connection.run(
          `copy (select ${i}::bigint as id, 'n' as name, timestamptz '2024-01-01 00:00:00.123456Z' as at, 1.5::decimal(10,2) as d) to '${file.replaceAll("'", "''")}' (format parquet)`,
        )
        // As old as files that are converted are.
        await utimes(file, new Date(0), new Date(0))
      }
      await table.convert({ partitionBy: [field('p', 'string')] })
      await same({ root, path }, 'converted')
      await engine.vacuum(path)
      await table.vacuum(NOW)
      expect((await readByUs(lake.connection, lake.table(root))).rows).toHaveLength(5)
      await same({ root, path }, 'vacuumed')
      await table.append(lake.select("select 9 as id, 'new' as p"))
      await same({ root, path }, 'appended')
    })
  })
}

/** For engines that follow absolute addresses in a log. */
export function sharesClones(lake: Lake, engine: Engine): void {
  describe('upkeep of clones', () => {
    test('it reads our clone, also with deletion vectors of its own, and writes to it', async () => {
      const root = 'silver/cloned from'
      const source = join(lake.folder, root)
      await engine.sql([
        `create table delta.\`${source}\` (id bigint, p string) using delta partitioned by (p) tblproperties ('delta.enableDeletionVectors' = 'true')`,
        `insert into delta.\`${source}\` values (1, 'São Paulo'), (2, 'a/b 100%'), (3, '%41'), (4, '%41')`,
        `delete from delta.\`${source}\` where id = 3`,
      ])
      const target = 'silver/clone of'
      const path = join(lake.folder, target)
      await lake.table(root).shallowClone(target)
      const before = comparable(await engine.read(source))
      expect(comparable(await engine.read(path))).toEqual(before)
      expect(comparable(await readByUs(lake.connection, lake.table(target)))).toEqual(before)
      await engine.sql([`delete from delta.\`${path}\` where id = 4`, `insert into delta.\`${path}\` values (5, 'new')`])
      expect(comparable(await readByUs(lake.connection, lake.table(target)))).toEqual(comparable(await engine.read(path)))
      await lake.table(target).vacuum({ retainMs: 0, force: true })
      await engine.sql([`delete from delta.\`${source}\` where id > 0`])
      await lake.table(root).vacuum({ retainMs: 0, force: true })
      expect(comparable(await readByUs(lake.connection, lake.table(target)))).toEqual(comparable(await engine.read(path)))
      expect((await engine.history(path)).at(-1)).toBe('CLONE')
    })
  })
}
