/** Tasks while the database of the runs is away for a moment. */
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { silentLog } from '../../src/base/index.ts'
import { flow, openFlows, runMigrations, task, type Flows } from '../../src/flows/index.ts'
import { migrate, openFolderObjects, openRecords } from '../../src/storage/index.ts'
import { eventually } from '../helpers/cli.ts'
import { tempFolder } from '../helpers/folder.ts'
import { noPostgresServer, startPostgresServer, type PostgresServer } from '../helpers/postgres-server.ts'
import { tools, unused } from './tools.ts'

describe.skipIf(noPostgresServer !== null)('a database that goes away while a task runs another flow', () => {
  let postgres: PostgresServer
  let flows: Flows

  beforeAll(async () => {
    postgres = await startPostgresServer()
    const records = await openRecords({ connection: await postgres.database(), log: silentLog })
    await migrate(records, runMigrations)
    const folder = await openFolderObjects(tempFolder())
    // The input of the task is too large for a row: it is read right before the other flow is asked for.
    const objects = new Proxy(folder, {
      get(target, name) {
        const found: unknown = Reflect.get(target, name)
        if (name === 'get')
          return async (path: string) => {
            await postgres.kill()
            setTimeout(() => void postgres.start(), 700)
            return folder.get(path)
          }
        return typeof found === 'function' ? (found.bind(target) as unknown) : found
      },
    })
    const more = { secret: unused, folder: tempFolder(), concurrency: 4, shared: true, pools: {}, keep: { runsMs: null, logsMs: null } }
    flows = openFlows({ records, objects, log: silentLog, tools, ...more })
    const inner = flow('inner', { params: z.object({ text: z.string() }) }, (p) => {
      task('measure', { with: { text: p.text }, run: ({ text }) => text.length })
    })
    const outer = flow('outer', {}, () => {
      const large = task('large', { run: () => 'x'.repeat(100_000) })
      task.flow('sub', { flow: inner, with: { text: large } })
    })
    await flows.load([inner, outer])
    await flows.start()
    return async () => {
      await flows.stop(1_000)
      await records.close()
    }
  }, 60_000)

  test('fails no task', async () => {
    const { id } = await flows.trigger('outer', { by: 'test' })
    const state = async (): Promise<string | undefined> => (await flows.run(id).catch(() => undefined))?.state
    await eventually('it does not end', async () => ['succeeded', 'failed'].includes((await state()) ?? ''), 30_000)
    const { items } = await flows.tasks(id, { limit: 10 })
    expect(items.map(({ state: end, output }) => [end, typeof output === 'string' ? null : output])).toEqual([
      ['succeeded', expect.objectContaining({ bytes: 100_002 })],
      ['succeeded', { measure: 100_000 }],
    ])
  })
})
