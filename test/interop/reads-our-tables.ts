/** Contract: an engine reads every kind of table that we write, at every version, and skips no file that it needs. */
import { describe, expect, test } from 'vitest'
import type { Lake } from '../helpers/delta.ts'
import { comparable, readByUs } from './cells.ts'
import type { Engine } from './engine.ts'
import type { OurTable } from './our-tables.ts'

/** Tests that an engine cannot pass by its own doing, by their name, with the reason. */
export type Otherwise = Readonly<Record<string, string>>

export function readsOurTables(lake: Lake, engine: Engine, tables: readonly OurTable[], otherwise: Otherwise = {}): void {
  describe('it reads what we wrote', () => {
    for (const { name, table, path, versions, conditions } of tables) {
      test(name, async () => {
        expect(comparable(await engine.read(path))).toEqual(comparable(await readByUs(lake.connection, table)))
      })
      if (versions.length > 0) {
        test(`${name}, each version`, async () => {
          for (const version of versions)
            expect(comparable(await engine.read(path, { version })), `version ${version}`).toEqual(
              comparable(await readByUs(lake.connection, table, { version })),
            )
        })
      }
      for (const where of conditions) {
        const title = `${name}, where ${where}`
        const reason = otherwise[title]
        test.skipIf(reason !== undefined)(`${title}${reason === undefined ? '' : ` (${reason})`}`, async () => {
          expect(comparable(await engine.read(path, { where }))).toEqual(comparable(await readByUs(lake.connection, table, { where })))
        })
      }
    }
  })
}

/** Contract: cleaning up with an engine takes no file that we need, whatever its name. Earlier versions are gone after this. */
export function cleansOurTables(lake: Lake, engine: Engine, tables: readonly OurTable[], otherwise: Otherwise = {}): void {
  describe('its vacuum leaves what we wrote', () => {
    for (const { name, table, path } of tables.filter((one) => /partition|every/.test(one.name))) {
      const reason = otherwise[name]
      test.skipIf(reason !== undefined)(`${name}${reason === undefined ? '' : ` (${reason})`}`, async () => {
        const before = comparable(await readByUs(lake.connection, table))
        await engine.vacuum(path)
        expect(comparable(await readByUs(lake.connection, lake.table(table.root)))).toEqual(before)
      })
    }
  })
}
