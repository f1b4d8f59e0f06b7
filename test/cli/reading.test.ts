/** The reading commands: beside a server, without one, into pipes. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, good, lagoa, newHome, once, postgresOf, ROOT, serve, sql, temporaryFolder } from '../helpers/cli.ts'

const home = newHome()
const path = join(temporaryFolder('reading'), 'small.csv')

beforeAll(async () => {
  writeReadings(path, readings(5000))
  await once(['--data', path], { home })
})

const piped = (command: string): { status: number | null; stdout: string; stderr: string } => {
  const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', command], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { PATH: `${join(ROOT, 'node_modules/.bin')}:/usr/bin:/bin`, LAGOA_HOME: home },
    maxBuffer: 64 * 1024 * 1024,
  })
  return { status, stdout, stderr }
}
const QUERY = `node src/cli/main.ts sql --project ${EXAMPLE} --limit 5000 'select * from bronze.sensor'`

describe('lagoa sql', () => {
  test('prints all it has into a slow pipe', () => {
    const { stdout } = piped(`${QUERY} --json | (sleep 1; cat)`)
    expect((JSON.parse(stdout) as { rows: unknown[] }).rows.length).toBe(5000)
  })
  test('is quiet when its reader has enough', () => {
    const { stdout, stderr } = piped(`${QUERY} | head -n 1`)
    expect(stdout).toMatch(/^sensor +at +co/)
    expect(stderr).not.toContain('EPIPE')
  })
  test('tells that there are more rows than the limit', async () => {
    const { stderr } = await lagoa(['sql', '--project', EXAMPLE, '--limit', '2', 'select 1 from silver.readings'], { home })
    expect(stderr).toContain('2 rows (there are more; raise --limit)')
  })
  test('works beside a running server and leaves its database alone', async () => {
    const server = await serve('start', ['--project', EXAMPLE, '--data', path], { home })
    const pid = postgresOf(home)
    expect(await sql('select count(*) from silver.readings', { home })).toEqual([[5000]])
    expect((await Promise.all([1, 2, 3].map(() => lagoa(['tables', '--project', EXAMPLE], { home })))).map(({ code }) => code)).toEqual([0, 0, 0])
    expect(postgresOf(home)).toBe(pid)
    expect((await server.kill()).code).toBe(0)
    expect(postgresOf(home)).toBeNull()
  })
})

describe('lagoa tables', () => {
  test('lists the tables with their rows, and one with its columns', async () => {
    const { stdout } = await lagoa(['tables', '--project', EXAMPLE], { home })
    expect(stdout).toMatch(/^silver\.readings +5000 /m)
    const one: { columns: { name: string }[] } = good(await lagoa(['tables', 'silver.readings', '--project', EXAMPLE, '--json'], { home }))
    expect(one.columns.map(({ name }) => name)).toContain('no2')
    expect((await lagoa(['tables', 'silver.reading', '--project', EXAMPLE], { home })).stderr).toContain('Did you mean silver.readings?')
  })
})
