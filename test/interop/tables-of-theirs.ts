/** Contract: what an engine writes by its own defaults is read equal by us; a feature that we do not know is refused by its name. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { field, type Lake } from '../helpers/delta.ts'
import { comparable, readByUs, type Cell } from './cells.ts'
import { unmapped } from '../../src/lake/delta/mapping.ts'
import type { Engine, Rows } from './engine.ts'
import type { Feature } from './features.ts'
import type { OurTable } from './our-tables.ts'
import type { Otherwise } from './reads-our-tables.ts'

export function readsTheirTables(lake: Lake, engine: Engine, tables: readonly OurTable[], otherwise: Otherwise = {}): void {
  let made = 0
  const fresh = (): { root: string; path: string } => {
    const root = `silver/theirs${made++}`
    return { root, path: join(lake.folder, root) }
  }

  describe('we read what it wrote', () => {
    for (const { name, table, conditions } of tables) {
      const reason = otherwise[name]
      test.skipIf(reason !== undefined)(`${name}${reason === undefined ? '' : ` (${reason})`}`, async () => {
        const { root, path } = fresh()
        const { fields: ours, partitionColumns } = (await table.snapshot())!.metadata
        // It maps and computes columns as it likes.
        const fields = ours.map(({ name, type, nullable }) => unmapped({ name, type, nullable, metadata: {} }))
        const rows = cells((await readByUs(lake.connection, table)).rows)
        await engine.write(path, { fields, rows, partitionBy: partitionColumns })
        const copy = lake.table(root)
        const copied = comparable(await readByUs(lake.connection, copy))
        expect(copied).toEqual(comparable({ schema: fields, rows }))
        expect(comparable(await engine.read(path))).toEqual(copied)
        for (const where of conditions) {
          expect(comparable(await readByUs(lake.connection, copy, { where })), where).toEqual(comparable(await readByUs(lake.connection, table, { where })))
        }
      })
    }

    test('twelve appends in many files, with its own checkpoint, at each version', async () => {
      const { root, path } = fresh()
      const fields = [
        field('id', 'long'),
        field('p', 'string'),
        field('dec', 'decimal(38,10)'),
        field('m', { type: 'map', keyType: 'string', valueType: 'integer', valueContainsNull: true }),
      ]
      const rowsOf = (i: number): Rows => ({
        fields,
        rows: [0, 1, 2].map((k): Cell[] => [String(10 * i + k), k === 0 ? null : `p ${k}%`, `${i}.0000000001`, [['k', String(i)]]]),
      })
      for (let i = 0; i < 12; i++) await engine.write(path, { ...rowsOf(i), partitionBy: ['p'] })
      await engine.checkpoint(path)
      await engine.write(path, rowsOf(12))
      const table = lake.table(root)
      for (let version = 0; version <= 12; version++) {
        const ours = comparable(await readByUs(lake.connection, table, { version }))
        expect(ours.rows.length).toBe(3 * version + 3)
        expect(comparable(await engine.read(path, { version })), `version ${version}`).toEqual(ours)
      }
      expect(await table.snapshot()).toMatchObject({ version: 12, rowCount: 39 })
    })
  })
}

export function knowsFeatures(lake: Lake, engine: Engine, features: readonly Feature[]): void {
  describe('a feature of Delta', () => {
    test.each(features)('$name: reading $reading, writing $writing', async ({ name, make, reading, writing, insert }) => {
      const root = `silver/feature_${name.replaceAll(/\W+/g, '_')}`
      const path = join(lake.folder, root)
      await make(engine, path)
      const table = lake.table(root)
      if (reading === 'equal') {
        expect(comparable(await readByUs(lake.connection, table))).toEqual(comparable(await engine.read(path)))
      } else {
        await expect(readByUs(lake.connection, table)).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining(reading) as string })
      }
      if (writing === 'works') {
        await table.append(lake.select(insert ?? 'select 77::bigint as id'))
        if (reading !== 'equal') return
        const ours = comparable(await readByUs(lake.connection, table))
        expect(ours.rows.some((row) => row.includes('77'))).toBe(true)
        expect(comparable(await engine.read(path))).toEqual(ours)
        if (name.startsWith('appendOnly')) return
        // The first row that it wrote goes, one way or the other.
        await table.delete('id = 1')
        const rest = comparable(await readByUs(lake.connection, table))
        expect(rest.rows.length).toBeLessThan(ours.rows.length)
        expect(comparable(await engine.read(path))).toEqual(rest)
      } else {
        const before = await engine.history(path)
        await expect(table.append(lake.select(insert ?? 'select 77::bigint as id'))).rejects.toMatchObject({
          kind: 'unsupported',
          message: expect.stringContaining(writing) as string,
        })
        expect(await engine.history(path)).toEqual(before)
      }
    })
  })
}

function cells(rows: readonly (readonly unknown[])[]): Cell[][] {
  const cell = (value: unknown): Cell => {
    if (Array.isArray(value)) return value.map(cell)
    if (value === null || typeof value === 'boolean' || typeof value === 'number' || typeof value === 'string') return value
    throw new Error(`No cell: ${String(value)}`)
  }
  return rows.map((row) => row.map(cell))
}
