import { expect, test } from 'vitest'
import { eventually, failure, good, lagoa, newHome, project, serve } from '../helpers/cli.ts'

const FLOW = `
import { flow, task, z } from 'lagoa'
export const daily = flow('daily', { partition: 'day', params: z.object({ bad: z.string().default('') }) }, (p) => {
  task('load', { with: { bad: p.bad }, run: ({ bad }, { run }) => { if (run.partition === bad) throw new Error('it is bad'); return run.partition } })
})
export const slow = flow('slow', { partition: 'day' }, () => {
  task.sensor('wait', { every: '100ms', until: () => false })
})
`
interface Backfill {
  readonly id: string
  readonly state: string
  readonly total: number
  readonly succeeded: number
  readonly failed: number
  readonly cancelled: number
}

test('lagoa backfill plans, runs what is missing, and says what failed', async () => {
  const folder = project({ 'flows/daily.ts': FLOW })
  const at = { home: newHome() }
  const range = ['--from', '2026-02-27', '--to', '2026-03-02', '--project', folder]
  const plan = await lagoa(['backfill', 'daily', '--dry-run', ...range], at)
  expect(plan.stdout.trim().split('\n')).toEqual(['2026-02-27', '2026-02-28', '2026-03-01', '2026-03-02'])
  expect(plan.stderr).toContain('4 partitions, 2026-02-27 to 2026-03-02; 0 have succeeded or are under way')
  const first = await lagoa(['backfill', 'daily', '-p', 'bad=2026-03-01', '--json', ...range], at)
  expect(first.code).toBe(1)
  expect(JSON.parse(first.stdout)).toMatchObject({ state: 'failed', total: 4, succeeded: 3, failed: 1 })
  const again = good<Backfill>(await lagoa(['backfill', 'daily', '--json', ...range], at))
  expect(again).toMatchObject({ state: 'succeeded', total: 1 })
  expect(failure(await lagoa(['backfill', 'daily', '--json', ...range], at))).toMatchObject({ code: 'flows.backfill_empty' })
  expect(good<Backfill>(await lagoa(['backfill', 'daily', '--again', '--newest', '--json', ...range], at))).toMatchObject({ total: 4, succeeded: 4 })
  const listed = good<Backfill[]>(await lagoa(['backfills', '--flow', 'daily', '--json', '--project', folder], at))
  expect(listed.map(({ total }) => total)).toEqual([4, 1, 4])
})

test('lagoa backfill beside a server is carried out there, and is paused and cancelled', async () => {
  const folder = project({ 'flows/daily.ts': FLOW })
  const server = await serve('start', [folder])
  const at = { home: server.home }
  const { id } = good<Backfill>(
    await lagoa(['backfill', 'slow', '--from', '2026-01-01', '--to', '2026-01-10', '--concurrency', '2', '--detach', '--json', '--project', folder], at),
  )
  await eventually('two of them run', async () => (await server.get<{ running: number }>(`/api/v1/backfills/${id}`)).running === 2)
  expect(good(await lagoa(['backfills', 'pause', id, '--json', '--project', folder], at))).toMatchObject({ state: 'paused', queued: 8, running: 2 })
  expect(good(await lagoa(['backfills', 'resume', id, '--json', '--project', folder], at))).toMatchObject({ state: 'running' })
  await lagoa(['backfills', 'cancel', id, '--project', folder], at)
  await eventually('all of it is cancelled', async () => {
    const shown = await server.get<Backfill>(`/api/v1/backfills/${id}`)
    return shown.state === 'cancelled' && shown.cancelled === 10
  })
  expect((await server.kill()).code).toBe(0)
})

test.each([
  [['daily'], 'flows.backfill_from'],
  [['daily', '--from', 'soon'], 'flows.partition'],
  [['dayli', '--from', '2026-01-01'], 'flows.no_flow'],
  [['daily', '--from', '2026-01-01', '--concurrency', 'x'], 'cli.number'],
  [[], 'cli.no_flow'],
])('lagoa backfill %j is refused as %s', async (words, code) => {
  const folder = project({ 'flows/daily.ts': FLOW })
  expect(failure(await lagoa(['backfill', ...words, '--json', '--project', folder], { home: newHome() })).code).toBe(code)
})
