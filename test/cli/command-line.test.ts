/** What a person types, and what comes back when it is wrong. */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { EXAMPLE, failure, lagoa, newHome, project, temporaryFolder } from '../helpers/cli.ts'

const home = newHome()
const STREAM = "import { stream, t } from 'lagoa'\nexport const readings = stream('readings', { schema: { id: t.string() } })\n"

async function refused(
  args: readonly string[],
  env: Readonly<Record<string, string>> = { LAGOA_HOME: home },
): Promise<{ exit: number | null; code: string; text: string }> {
  const finished = await lagoa([...args, '--json'], { env })
  const { code, message, hint } = failure(finished)
  expect(finished.stderr).toBe('')
  return { exit: finished.code, code, text: `${message} | ${hint ?? ''}` }
}

describe('the help', () => {
  test('names every command, and each command its flags and an example', async () => {
    const { code, stdout, stderr } = await lagoa([])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name)
    expect(commands).toEqual([
      'dev',
      'start',
      'tables',
      'table',
      'replay',
      'sql',
      'assets',
      'lineage',
      'impact',
      'ingest',
      'python',
      'branch',
      'refresh',
      'streams',
      'keys',
      'alerts',
      'run',
      'flows',
      'backfill',
      'backfills',
      'runs',
      'workloads',
      'test',
      'services',
      'doctor',
    ])
    for (const name of commands) {
      const one = await lagoa([name ?? '', '--help'])
      expect(one.code).toBe(0)
      // The Python of users' code is one for all projects.
      if (name !== 'python') expect(one.stdout).toContain('--project DIR')
      expect(one.stdout).toContain(`lagoa ${name}`)
      expect((await lagoa(['help', name ?? ''])).stdout).toBe(one.stdout)
    }
  })
  test('comes without opening anything, and without a project', async () => {
    const nowhere = { home: newHome(), cwd: temporaryFolder('nowhere') }
    expect((await lagoa(['--help'], nowhere)).code).toBe(0)
    expect([...readdirSync(nowhere.home), ...readdirSync(nowhere.cwd)]).toEqual([])
    expect((await lagoa(['--version'], nowhere)).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('a slip on the command line', () => {
  test.each([
    [['strat'], 'cli.unknown_command', 'Did you mean lagoa start?'],
    [['constructor'], 'cli.unknown_command', 'The commands are: dev, start'],
    [['start', '--prot', '1'], 'cli.unknown_flag', 'Did you mean --port?'],
    [['tables', '--rate', '1'], 'cli.unknown_flag', 'The flags are: --project'],
    [['--port', '1', 'start'], 'cli.no_command', 'lagoa start --port'],
    [['start', 'a', 'b'], 'cli.too_many_words', '"b" is one word too many'],
    [['start', 'a', '--project', 'b'], 'cli.two_folders', 'Give one of them'],
    [['start', '--home', ''], 'cli.empty', '--home is empty'],
    [['start', EXAMPLE, '--rate', 'fast'], 'cli.rate', '--rate 100'],
    [['start', EXAMPLE, '--rate', '-1'], 'cli.rate', '--rate 100'],
    [['start', EXAMPLE, '--count', '1.5'], 'cli.number', 'whole number'],
    [['start', EXAMPLE, '--port', 'http'], 'config.invalid', '--port must be a whole number from 0 to 65535'],
    [['start', EXAMPLE, '--port', ''], 'config.invalid', '--port must be a whole number'],
    [['start', EXAMPLE, '--port', '70000'], 'config.invalid', 'Its value is "70000"'],
    [['start', EXAMPLE, '--host', '0.0.0.0'], 'config.not_loopback', '--host is 0.0.0.0'],
    [['sql'], 'cli.no_sql', 'select count(*)'],
    [['start', EXAMPLE, '--once=no'], 'cli.arguments', 'does not take an argument'],
  ])('%j is refused as %s', async (args, code, text) => {
    expect(await refused(args)).toMatchObject({ exit: 2, code, text: expect.stringContaining(text) as string })
  })
  test('without --json is told in words on standard error, with the code to look for', async () => {
    const { code, stdout, stderr } = await lagoa(['strat'])
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr: 'Error There is no command strat\n  Did you mean lagoa start?\n  cli.unknown_command\n',
    })
  })
})

describe('a broken setting', () => {
  const withConfig = (text: string): string =>
    project({ 'lagoa.config.ts': `import { defineConfig } from 'lagoa'\nexport default ${text}\n`, 'streams/readings.ts': STREAM })

  test.each([
    ['defineConfig({ htpp: { port: 1 } })', 'config.unknown_key', 'There is no setting htpp (in lagoa.config.ts) | Did you mean http?'],
    ['defineConfig({ http: { prot: 1 } })', 'config.unknown_key', 'There is no setting http.prot (in lagoa.config.ts) | Did you mean http.port'],
    ["defineConfig({ http: { port: 'x' } })", 'config.invalid', 'http.port in lagoa.config.ts must be a whole number from 0 to 65535 | Its value is "x".'],
    ['defineConfig({ http: { port: null } })', 'config.invalid', 'http.port'],
    ['defineConfig({ http: 8080 })', 'config.invalid', 'http in lagoa.config.ts must be an object with host, port'],
    ["defineConfig({ home: '' })", 'config.invalid', 'home in lagoa.config.ts must not be empty'],
    ["defineConfig({ lake: { memory: 'much' } })", 'config.invalid', 'must be a size such as 512MB or 2GB'],
    ["defineConfig({ log: { level: 'loud' } })", 'config.invalid', 'must be debug, info, warn or error'],
    ["defineConfig({ database: { url: 'mysql://me:hunter2@host/db' } })", 'config.invalid', 'must be an address such as postgresql:// '.trim()],
    ['{ http: {} }', 'project.config_export', 'export default defineConfig'],
    ['defineConfig({', 'project.load', 'lagoa.config.ts cannot be loaded'],
  ])('%s is refused', async (text, code, message) => {
    const answer = await refused(['tables', '--project', withConfig(text)], {})
    expect(answer).toMatchObject({ exit: 2, code, text: expect.stringContaining(message) as string })
    expect(answer.text).not.toContain('hunter2')
  })

  test.each([
    [{ LAGOA_HTTP__PORT: 'abc' }, 'config.invalid', 'LAGOA_HTTP__PORT must be a whole number from 0 to 65535 | Its value is "abc".'],
    [{ LAGOA_HTTP__PORT: '' }, 'config.invalid', 'LAGOA_HTTP__PORT must be a whole number'],
    [{ LAGOA_HTTP__PROT: '1' }, 'config.unknown_key', 'There is no setting LAGOA_HTTP__PROT (in the environment) | Did you mean LAGOA_HTTP__PORT'],
    [{ LAGOA_HTTP: '1' }, 'config.invalid', 'LAGOA_HTTP must be an object'],
    [{ LAGOA_DATABASE__URL_FILE: '/nowhere/secret' }, 'config.secret_file', 'LAGOA_DATABASE__URL_FILE names /nowhere/secret, which cannot be read'],
    [{ LAGOA_LAKE__MEMORY: '1' }, 'config.invalid', 'LAGOA_LAKE__MEMORY must be a size'],
  ])('%j in the environment is refused', async (env, code, message) => {
    expect(await refused(['tables', '--project', EXAMPLE], env)).toMatchObject({ exit: 2, code, text: expect.stringContaining(message) as string })
  })

  test('a setting is read from a file, and its secret shows nowhere', async () => {
    const secret = join(temporaryFolder('secret'), 'url')
    writeFileSync(secret, 'postgresql://me:hunter2@127.0.0.1:1/db\n')
    const env = { LAGOA_DATABASE__URL_FILE: secret }
    for (const args of [['tables'], ['start', '--once'], ['doctor'], ['tables', '--verbose']]) {
      const { code, stdout, stderr } = await lagoa([...args, '--project', EXAMPLE], { home, env })
      expect(code).toBe(7)
      expect(stdout + stderr).toContain(args[0] === 'doctor' ? 'postgresql://me:***@127.0.0.1:1/db' : 'ECONNREFUSED')
      expect(stdout + stderr).not.toContain('hunter2')
    }
  })
  test('a configuration file names the variable that it misses, and what sets it', async () => {
    const answer = await refused(['tables', '--project', EXAMPLE, '--config', 'external.config.ts'])
    expect(answer).toMatchObject({ exit: 2, code: 'config.env_missing' })
    expect(answer.text).toMatch(/external\.config\.ts: the variable DATABASE_URL is not set \| .*export DATABASE_URL=.*lagoa services up --export/)
  })
  test('a configuration that is named but absent is told', async () => {
    expect(await refused(['tables', '--project', EXAMPLE, '--config', 'other.config.ts'])).toMatchObject({ exit: 4, code: 'project.no_config' })
  })
})
