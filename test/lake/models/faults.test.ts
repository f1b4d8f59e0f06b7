/** kill -9 at every write step of what takes several commits: each table is at a version of the way, and the next call goes on to the end. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { openKiller } from '../../helpers/kills/killer.ts'
import { COMMANDS } from './faults.ts'

const killer = await openKiller(fileURLToPath(new URL('./faults.ts', import.meta.url)))

describe('nothing is lost, doubled or half done when kill -9 meets', () => {
  test.each(COMMANDS.map((command) => [command.name, command] as const))('%s', { timeout: 300_000 }, async (_, command) => {
    expect(await killer.killAtEachStep(command)).toBeGreaterThan(1)
  })
})
