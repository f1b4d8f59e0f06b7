/** `lagoa doctor` says what is wrong with a machine or a project, and what to type. */
import { createServer } from 'node:net'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EXAMPLE, lagoa, newHome, postgresOf, project, serve, temporaryFolder } from '../helpers/cli.ts'

interface Report {
  readonly ok: boolean
  readonly checks: readonly { readonly name: string; readonly state: string; readonly detail: string; readonly fix?: string }[]
}

async function examine(
  args: readonly string[],
  home: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Report & { code: number | null; stderr: string }> {
  const { code, stdout, stderr } = await lagoa(['doctor', ...args, '--json'], { home, env })
  return { code, stderr, ...(JSON.parse(stdout) as Report) }
}

const NAMES = ['Node', 'Database programs', 'Namespaces', 'Python', 'Configuration', 'Project', 'Sandbox', 'Home', 'Port', 'Engines']
const stateOf = ({ checks }: Report, name: string): string | undefined => checks.find((check) => check.name === name)?.state

describe('the doctor', () => {
  test('finds a sound machine and project sound, and leaves nothing behind', async () => {
    const home = join(temporaryFolder(), 'not-made-yet')
    const report = await examine([EXAMPLE, '--port', '0'], newHome(home))
    expect({ code: report.code, ok: report.ok, stderr: report.stderr }).toEqual({ code: 0, ok: true, stderr: '' })
    expect(report.checks.map(({ name }) => name)).toEqual(NAMES)
    const sandbox = report.checks.find(({ name }) => name === 'Sandbox')
    expect(sandbox?.state === 'ok' ? sandbox.detail : sandbox?.fix).toMatch(
      sandbox?.state === 'ok' ? /bubblewrap, seccomp.*; Python 3\.\d+.* with pandas/ : /./,
    )
    expect(report.checks.find(({ name }) => name === 'Project')?.detail).toBe('air-quality: 1 stream, 4 tables, 2 alerts')
    expect(() => readdirSync(home)).toThrow('ENOENT')
  })
  test('prints a line for each check, with the fix below', async () => {
    const { code, stdout } = await lagoa(['doctor', project({ 'streams/a.ts': 'export const x = {' }), '--port', '0'], { home: newHome() })
    expect(code).toBe(2)
    expect(stdout).toMatch(/^✓ Node +\d+/m)
    expect(stdout).toMatch(/^✗ Project +streams\/a\.ts cannot be loaded.*\n +Mend the syntax/m)
    expect(stdout).toContain('One thing needs mending.')
  })
  test('tells a broken setting, a missing folder and an unreachable database', async () => {
    expect(await examine([EXAMPLE], newHome(), { LAGOA_HTTP__PORT: 'x' })).toMatchObject({ code: 2, ok: false })
    expect(await examine([join(temporaryFolder(), 'gone')], newHome())).toMatchObject({ code: 4, ok: false })
    const report = await examine([EXAMPLE, '--port', '0'], newHome(), { LAGOA_DATABASE__URL: 'postgresql://me:hunter2@127.0.0.1:1/db' })
    expect(report.code).toBe(7)
    expect(stateOf(report, 'Engines')).toBe('failed')
    expect(JSON.stringify(report)).not.toContain('hunter2')
  })
  test('fails on a port that another program has, and only notes one that a Lagoa has', async () => {
    const other = createServer()
    const port = await new Promise<number>((done) => other.listen(0, '127.0.0.1', () => done((other.address() as { port: number }).port)))
    const taken = await examine([EXAMPLE, '--port', String(port)], newHome())
    other.close()
    expect({ code: taken.code, port: stateOf(taken, 'Port') }).toEqual({ code: 5, port: 'failed' })

    const server = await serve('start', ['--project', EXAMPLE])
    const beside = await examine([EXAMPLE, '--port', new URL(server.url).port], server.home)
    expect({ code: beside.code, port: stateOf(beside, 'Port'), engines: stateOf(beside, 'Engines') }).toEqual({ code: 0, port: 'note', engines: 'ok' })
    expect(postgresOf(server.home)).not.toBeNull()
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200)
    expect((await server.kill()).code).toBe(0)
  })
})
