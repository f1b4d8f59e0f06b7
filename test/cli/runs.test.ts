import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { openRecords } from '../../src/storage/index.ts'
import { eventually, failure, good, lagoa, newHome, project, serve, temporaryFolder } from '../helpers/cli.ts'
import { noPostgresServer, startPostgresServer } from '../helpers/postgres-server.ts'

const SHOP = `
import { flow, task, z } from 'lagoa'

export const inner = flow('inner', { params: z.object({ n: z.number() }) }, (p) => {
  task('double', { with: { n: p.n }, run: ({ n }) => n * 2 })
})

export default flow('shop', {
  description: 'Adds up what was sold',
  params: z.object({ factor: z.number().default(1), label: z.string().default('none'), fail: z.boolean().default(false) }),
}, (p) => {
  const start = task('start', { with: { label: p.label }, run: ({ label }, ctx) => ctx.log('begins ' + label) })
  const list = task('list', { after: start, run: () => [1, 2, 3] })
  const squares = task('square', { map: list, with: { factor: p.factor }, run: ({ item, factor }) => item * item * factor })
  const sum = task('sum', { with: { squares }, run: ({ squares }) => squares.reduce((a, b) => a + b, 0) })
  const way = task.branch('way', { with: { sum }, choose: ({ sum }) => (sum > 20 ? 'much' : 'little') })
  task('much', { after: way, run: () => 'much' })
  task('little', { after: way, run: () => 'little' })
  const sub = task.flow('sub', { flow: inner, with: { n: sum } })
  const echo = task.command('echo', { with: { sum }, command: ({ sum }) => ['echo', 'sum is', String(sum)] })
  const count = task.sql('count', { after: echo, with: { sum }, sql: 'select :sum::int + 1 as n' })
  task('end', { with: { sub, echo, count, fail: p.fail }, retries: 1, retryDelay: 10, run: ({ sub, echo, count, fail }, { attempt, secret }) => {
    if (fail || attempt === 1) throw new Error('it went wrong with ' + secret('word'))
    return { sub, said: echo.stdout.trim(), count: count.rows[0]![0]! }
  } })
})
`
const env = { LAGOA_SECRETS__WORD: 'sesame' }
interface Task {
  readonly name: string
  readonly index: number | null
  readonly state: string
  readonly attempt: number
  readonly output: unknown
}
interface Run {
  readonly id: string
  readonly state: string
  readonly tasks: readonly Task[]
  readonly error: { readonly task: string; readonly message: string } | null
}

describe('lagoa run', () => {
  test('runs a flow to its end, and what it did can be read', async () => {
    const folder = project({ 'flows/shop.ts': SHOP })
    const home = newHome()
    const at = { home, env }
    const run = good<Run>(await lagoa(['run', 'shop', '-p', 'factor=2', '-p', 'label=123', '--json', '--project', folder], at))
    expect(run).toMatchObject({ state: 'succeeded', error: null })
    const { tasks } = good<Run>(await lagoa(['runs', 'show', run.id, '--json', '--project', folder], at))
    const output = (name: string, index: number | null = null): unknown => tasks.find((task) => task.name === name && task.index === index)?.output
    expect(output('square', 2)).toBe(18)
    expect(output('sum')).toBe(28)
    expect(tasks.filter(({ state }) => state === 'skipped').map(({ name }) => name)).toEqual(['little'])
    expect(output('end')).toEqual({ sub: { double: 56 }, said: 'sum is 28', count: 29 })
    expect(tasks.find(({ name }) => name === 'end')?.attempt).toBe(2)
    const { stdout } = await lagoa(['runs', 'logs', run.id, '--project', folder], at)
    expect(stdout).toContain('start begins 123')
    expect(stdout).toContain('end error it went wrong with ***')
    expect(stdout).not.toContain('sesame')
    const wrong = await lagoa(['runs', 'logs', run.id, '--level', 'error', '--search', 'WRONG', '--json', '--project', folder], at)
    expect(wrong.stdout.trim().split('\n')).toEqual([expect.stringContaining('it went wrong with ***')])
    const listed = good<Run[]>(await lagoa(['runs', '--flow', 'shop', '--json', '--project', folder], at))
    expect(listed.map(({ id }) => id)).toEqual([run.id])
  })

  test.skipIf(noPostgresServer !== null)('and its log leaves the database when it has been over for a minute, and is read as before', async () => {
    const folder = project({ 'flows/shop.ts': SHOP })
    const home = newHome()
    const address = await (await startPostgresServer()).database()
    const start = () => serve('start', ['--project', folder], { home, env: { ...env, LAGOA_DATABASE__URL: address } })
    const first = await start()
    const { id } = await first.post<Run>('/api/v1/flows/shop/runs', {})
    await eventually('it does not end', async () => (await first.get<Run>(`/api/v1/runs/${id}`)).state === 'succeeded', 30_000)
    const before = await first.get<{ items: unknown[] }>(`/api/v1/runs/${id}/logs`)
    expect(before.items.length).toBeGreaterThan(3)
    expect((await first.kill()).code).toBe(0)
    const records = await openRecords({ connection: address, max: 1, log: silentLog })
    await records.query("update runs set ended_at = ended_at - interval '2 min'")
    const second = await start()
    const left = async (): Promise<number> => (await records.query('select run from run_logs where run = $1', [id])).length
    await eventually('its log stays', async () => (await left()) === 0, 30_000)
    expect(await second.get(`/api/v1/runs/${id}/logs`)).toEqual(before)
    expect(await second.get(`/api/v1/runs/${id}/logs?search=BEGINS&level=info`)).toMatchObject({ items: [{ text: 'begins none' }] })
    expect(existsSync(join(home, `objects/runs/${id}`))).toBe(true)
    await second.kill()
    await records.close()
  })

  test('of a run that fails says which task, ends with 1, and goes on from there when it is retried', async () => {
    const folder = project({ 'flows/shop.ts': SHOP })
    const home = newHome()
    const failed = await lagoa(['run', 'shop', '-p', 'fail=true', '--project', folder], { home, env })
    expect(failed.code).toBe(1)
    expect(failed.stderr).toContain('✗ failed')
    expect(failed.stderr).toContain('end: it went wrong')
  })

  test('beside a running server is carried out by the server', async () => {
    const folder = project({ 'flows/shop.ts': SHOP })
    const server = await serve('start', ['--project', folder], { env })
    const run = good<Run>(await lagoa(['run', 'shop', '--json', '--project', folder], { home: server.home, env }))
    expect(run.state).toBe('succeeded')
    expect(await server.get('/api/v1/flows/shop')).toMatchObject({ name: 'shop', tasks: 11, last: [{ id: run.id, state: 'succeeded' }] })
    const begun = await server.post<Run>('/api/v1/flows/shop/runs', { params: { factor: 3 } })
    expect(begun.state).toMatch(/queued|running/)
    expect((await server.kill()).code).toBe(0)
  })

  test('with a flow in it that failed runs that flow anew when it is retried', async () => {
    const mark = join(temporaryFolder('mark'), 'mended')
    const folder = project({
      'flows/outer.ts': `
import { existsSync } from 'node:fs'
import { flow, task } from 'lagoa'
export const inner = flow('inner', {}, () => {
  task('look', { run: () => {
    if (!existsSync(${JSON.stringify(mark)})) throw new Error('not yet')
    return 'seen'
  } })
})
export const outer = flow('outer', {}, () => task.flow('sub', { flow: inner }))
`,
    })
    const server = await serve('start', ['--project', folder])
    const { id } = await server.post<Run>('/api/v1/flows/outer/runs', {})
    const comesTo = (state: string): Promise<Run> =>
      eventually(`it does not come to ${state}`, async () => {
        const run = await server.get<Run>(`/api/v1/runs/${id}`)
        return run.state === state && run
      })
    expect((await comesTo('failed')).error?.message).toContain('Flow inner ended failed')
    writeFileSync(mark, '')
    await server.post(`/api/v1/runs/${id}/retry`, {})
    await comesTo('succeeded')
    expect(await server.get(`/api/v1/runs/${id}/tasks`)).toMatchObject({ items: [{ output: { look: 'seen' } }] })
    const inner = await server.get<{ items: Run[] }>('/api/v1/runs?flow=inner')
    expect(inner.items.map(({ state }) => state)).toEqual(['succeeded', 'failed'])
  })

  test.each([
    [['run', 'shp'], 'flows.no_flow', 'Did you mean shop?'],
    [['run', 'shop', '-p', 'factor'], 'cli.param', 'KEY=VALUE'],
    [['run', 'shop', '-p', 'factor="x"'], 'flows.params', 'factor'],
    [['run', 'shop', '-p', 'fcator=1'], 'flows.params', 'fcator'],
    [['runs', 'show', 'nothing'], 'runs.no_run', 'no run nothing'],
  ])('%j is refused as %s', async (args, code, words) => {
    const found = await lagoa([...args, '--json', '--project', project({ 'flows/shop.ts': SHOP })], { home: newHome() })
    const { message, hint = '', ...error } = failure(found)
    expect(error.code).toBe(code)
    expect(`${message} ${hint}`).toContain(words)
  })
})

describe('a flow with a fault is refused when it is loaded', () => {
  test.each([
    ["flow('a', {}, () => { task('x', { after: 'y', run: () => 1 }); task('y', { after: 'x', run: () => 1 }) })", 'flows.cycle', 'x -> y -> x'],
    ["flow('a', {}, () => { task('load', { run: () => 1 }); task('x', { after: 'laod', run: () => 1 }) })", 'flows.unknown_task', 'Did you mean load?'],
    ["flow('a', {}, () => { task('x', { run: () => 1 }); task('x', { run: () => 2 }) })", 'flows.task_twice', 'flows/a.ts:2'],
    ["flow('a', {}, () => {})", 'flows.empty', 'no task'],
    ["flow('a', { cron: '61 * * * *' }, () => { task('x', { run: () => 1 }) })", 'flows.cron', '61'],
    ["flow('a', { corn: '0 3 * * *' }, () => { task('x', { run: () => 1 }) })", 'project.unknown_option', 'cron'],
    ["flow('a', { params: z.object({ n: z.number() }) }, (p) => { task('x', { with: { m: p.m }, run: () => 1 }) })", 'flows.unknown_param', 'It has n.'],
    ["flow('a', { cron: '0 3 * * *', params: z.object({ n: z.number() }) }, () => { task('x', { run: () => 1 }) })", 'flows.params', 'n: '],
    ["flow('a', {}, async () => { task('x', { run: () => 1 }) })", 'flows.async', 'async'],
    ["task('x', { run: () => 1 })", 'flows.outside', 'outside'],
  ])('%s', async (text, code, words) => {
    const folder = project({ 'flows/a.ts': `import { flow, task, z } from 'lagoa'\nexport const a = ${text}\n` }, temporaryFolder('project'))
    const { message, hint = '', ...error } = failure(await lagoa(['flows', '--json', '--project', folder], { home: newHome() }))
    expect(error.code).toBe(code)
    expect(`${message} ${hint}`).toContain(words)
  })
})
