/** kill -9 at every write step of every command of a table: it is the old or the new version, never between. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { openKiller } from '../../helpers/kills/killer.ts'
import { COMMANDS } from './faults.ts'

const killer = await openKiller(fileURLToPath(new URL('./faults.ts', import.meta.url)))

describe('a table is the old or the new version when kill -9 meets', () => {
  test.each(COMMANDS.map((command) => [command.name, command] as const))('%s', { timeout: 300_000 }, async (_, command) => {
    expect(await killer.killAtEachStep(command)).toBeGreaterThan(1)
  })
})
