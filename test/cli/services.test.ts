/** Real engines in the background by `lagoa services`: started, found again, mended, used and stopped, as the command line does it. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { eventually, EXAMPLE, failure, good, isAlive, lagoa, project, ROOT, start, temporaryFolder, type Summary } from '../helpers/cli.ts'
import { noKafka } from '../helpers/kafka.ts'
import { noPostgresServer } from '../helpers/postgres-server.ts'
import { noRabbit } from '../helpers/rabbitmq.ts'
import { noRedis } from '../helpers/redis.ts'
import { noS3Server } from '../helpers/s3.ts'

interface View {
  readonly name: string
  readonly group: string
  readonly state: string
  readonly address: string | null
  readonly pid: number | null
  readonly since: string | null
  readonly error?: { readonly code: string; readonly kind: string; readonly message: string; readonly hint: string }
}

const homes: string[] = []
const watchmen: ChildProcess[] = []

afterAll(async () => {
  for (const home of homes) await lagoa(['services', 'down'], { home })
  for (const watchman of watchmen) watchman.kill()
})

const WATCH = 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; exec "$2" "$3" services down --home "$4"'

/** A home whose services end with this test file, also when it is killed. */
function servedHome(): string {
  const home = temporaryFolder('services')
  // The database may run as another user.
  chmodSync(home, 0o755)
  homes.push(home)
  const words = [String(process.pid), join(ROOT, 'node_modules/.bin/node'), join(ROOT, 'src/cli/main.ts'), home]
  const watchman = spawn('/bin/sh', ['-c', WATCH, 'watchman', ...words], { detached: true, stdio: 'ignore' })
  watchman.unref()
  watchmen.push(watchman)
  return home
}

const up = async (home: string, ...words: readonly string[]): Promise<readonly View[]> => good(await lagoa(['services', 'up', ...words, '--json'], { home }))
const status = async (home: string, ...words: readonly string[]): Promise<readonly View[]> =>
  good(await lagoa(['services', 'status', ...words, '--json'], { home }))

/** What a shell has after it took the lines. */
function environmentOf(lines: string): Record<string, string> {
  const { stdout, status: code } = spawnSync('/bin/sh', ['-c', `eval "$1"; env`, 'sh', lines], { encoding: 'utf8', env: {} })
  expect(code).toBe(0)
  return Object.fromEntries(
    stdout.split('\n').flatMap((line) => (line.includes('=') ? [[line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]] : [])),
  )
}

/** Sends commands to Redis as its address says, and answers the lines that come back. */
function redis(address: string, ...commands: readonly string[]): Promise<string[]> {
  const { port, password } = new URL(address)
  return new Promise((done, failed) => {
    let said = ''
    const lines = (): string[] => said.split('\r\n').filter((line) => line !== '' && !line.startsWith('$'))
    const socket = connect(Number(port), '127.0.0.1', () => socket.write([`AUTH ${password}`, ...commands].map((line) => `${line}\r\n`).join('')))
    socket.once('error', failed)
    socket.on('data', (chunk: Buffer) => {
      said += chunk.toString()
      if (lines().length <= commands.length) return
      socket.destroy()
      done(lines())
    })
  })
}

/** Processes that run with something of this folder: its files on their command line, or as their own folder. */
function processesOf(home: string): number[] {
  const folder = join(home, 'services')
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return isAlive(Number(pid)) && (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) || readlinkSync(`/proc/${pid}/cwd`).startsWith(folder))
      } catch {
        return false
      }
    })
    .map(Number)
}

describe('a slip', () => {
  const home = temporaryFolder('slips')

  test.each([
    [['up', 'postgre'], 'services.unknown', 'Did you mean postgres?'],
    [['up', 'mysql'], 'services.unknown', 'The services are postgres, redis, kafka, rabbitmq, s3; the groups core, stream, lake.'],
    [['stop'], 'cli.no_word', 'Write lagoa services up, down or status'],
    [['up', '--export'], 'cli.export', 'eval "$(lagoa services up --export)"'],
    [['up', '--home', ''], 'cli.empty', '--home is empty'],
  ])('%j is refused', async (words, code, text) => {
    const finished = await lagoa(['services', ...words, '--json'], { home })
    const fault = failure(finished)
    expect({ exit: finished.code, code: fault.code }).toEqual({ exit: 2, code })
    expect(`${fault.message} | ${fault.hint ?? ''}`).toContain(text)
  })
})

describe('programs that are not there', () => {
  const home = servedHome()
  const nowhere = temporaryFolder('nowhere')

  test('are told each with what gets it, and the exit code says so', async () => {
    const { code, stdout } = await lagoa(['services', 'up', '--programs', nowhere, '--json'], { home, env: { KAFKA_HOME: '' } })
    const views = JSON.parse(stdout) as readonly View[]
    expect(code).toBe(4)
    expect(views.map(({ name, group, state, pid, error }) => [name, group, state, pid, error?.code])).toEqual([
      ['postgres', 'core', 'missing', null, 'services.no_program'],
      ['redis', 'core', 'missing', null, 'services.no_program'],
      ['kafka', 'stream', 'missing', null, 'services.no_program'],
      ['rabbitmq', 'stream', 'missing', null, 'services.no_program'],
      ['s3', 'lake', 'missing', null, 'services.no_program'],
    ])
    const hints = Object.fromEntries(views.map(({ name, error }) => [name, error?.hint]))
    expect(hints).toMatchObject({
      postgres: expect.stringContaining('apt-get install postgresql') as string,
      redis: expect.stringContaining('apt-get install redis-server') as string,
      kafka: expect.stringContaining('export KAFKA_HOME=') as string,
      rabbitmq: expect.stringContaining('apt-get install rabbitmq-server') as string,
      s3: expect.stringContaining('go install github.com/versity/versitygw') as string,
    })
    expect(existsSync(join(home, 'services/redis'))).toBe(false)
  })

  test.skipIf(noRedis !== null)('hold up no other', async () => {
    writeFileSync(join(nowhere, 'redis-server'), '#!/bin/sh\nexec "$(PATH=/usr/local/bin:/usr/bin command -v redis-server || echo valkey-server)" "$@"\n', {
      mode: 0o755,
    })
    const { code, stdout, stderr } = await lagoa(['services', 'up', 'core', '--programs', nowhere], { home })
    expect(code).toBe(4)
    expect(stdout).toMatch(/^redis +running/m)
    expect(stdout).toMatch(/^postgres +missing/m)
    expect(stderr).toContain('apt-get install postgresql')
    expect((await lagoa(['services', 'down'], { home })).stdout).toBe('stopped: redis; the data stay\n')
  })
})

describe.skipIf(noRedis !== null || noPostgresServer !== null)('Redis and PostgreSQL', () => {
  const home = servedHome()
  let first: readonly View[] = []
  let variables: Record<string, string> = {}

  test('run after up, on loopback, without the configuration of the project', async () => {
    const folder = project({
      'lagoa.config.ts': "import { defineConfig, env } from 'lagoa'\nexport default defineConfig({ redis: { url: env('REDIS_URL') } })\n",
    })
    first = good(await lagoa(['services', 'up', 'core', '--json', '--project', folder], { home }))
    expect(first).toMatchObject([
      { name: 'postgres', group: 'core', state: 'running', address: expect.stringMatching(/^postgresql:\/\/127\.0\.0\.1:\d+\/postgres$/) as string },
      { name: 'redis', group: 'core', state: 'running', address: expect.stringMatching(/^redis:\/\/127\.0\.0\.1:\d+$/) as string },
    ])
    for (const { pid } of first) expect(isAlive(pid ?? 0)).toBe(true)
    expect(await status(home, 'core')).toEqual(first)
  })

  test('are exported to a shell, which reaches them with their passwords', async () => {
    const { code, stdout } = await lagoa(['services', 'status', '--export'], { home })
    expect(code).toBe(0)
    expect(stdout.split('\n').filter((line) => line !== '' && !line.startsWith('export '))).toEqual([])
    variables = environmentOf(stdout)
    expect(await redis(variables.REDIS_URL ?? '', 'PING', 'SET station Lapa')).toEqual(['+OK', '+PONG', '+OK'])
    const [refused] = await redis((variables.REDIS_URL ?? '').replace(/:\w+@/, ':wrong@'), 'PING')
    expect(refused).toMatch(/^-WRONGPASS/)
    const client = new pg.Client({ connectionString: variables.DATABASE_URL })
    await client.connect()
    await client.query('create table station as select 1 as id')
    await client.end()
    const stranger = new pg.Client({ connectionString: (variables.DATABASE_URL ?? '').replace(/:\w+@/, ':wrong@') })
    await expect(stranger.connect()).rejects.toMatchObject({ code: '28P01' })
  })

  test('show no password anywhere else, and keep them where this user alone reads', async () => {
    const passwords = ['REDIS_URL', 'DATABASE_URL'].map((name) => new URL(variables[name] ?? '').password)
    const shown = await Promise.all(
      [['status'], ['status', '--json'], ['up', 'core'], ['up', 'core', '--json']].map((words) => lagoa(['services', ...words], { home })),
    )
    for (const { stdout, stderr } of shown) for (const password of passwords) expect(stdout + stderr).not.toContain(password)
    for (const name of ['postgres', 'redis']) expect(statSync(join(home, 'services', name, 'settings.json')).mode & 0o777).toBe(0o600)
  })

  test('stay as they are when up comes again, also from two terminals at once', async () => {
    const [one, two] = await Promise.all([up(home, 'redis', 'postgres'), up(home, 'core')])
    expect(one).toEqual(first)
    expect(two).toEqual(first)
  })

  test('come back with their data when they were killed', async () => {
    for (const { pid } of first) process.kill(pid ?? 0, 'SIGKILL')
    await eventually('both are gone', () => first.every(({ pid }) => !isAlive(pid ?? 0)))
    expect((await status(home, 'core')).map(({ state, pid, error }) => [state, pid, error?.code])).toEqual([
      ['died', null, 'services.died'],
      ['died', null, 'services.died'],
    ])
    const again = await up(home, 'core')
    expect(again.map(({ state, address }) => [state, address])).toEqual(first.map(({ address }) => ['running', address]))
    expect(again.map(({ pid }) => pid)).not.toEqual(first.map(({ pid }) => pid))
    expect(await redis(variables.REDIS_URL ?? '', 'GET station')).toEqual(['+OK', 'Lapa'])
    const client = new pg.Client({ connectionString: variables.DATABASE_URL })
    await client.connect()
    expect((await client.query('select id from station')).rows).toEqual([{ id: 1 }])
    await client.end()
  })

  test('are gone after down, their data not', async () => {
    const { stdout } = await lagoa(['services', 'down'], { home })
    expect(stdout).toMatch(/^stopped: postgres, redis.*; the data stay\n$/)
    expect(processesOf(home)).toEqual([])
    expect((await status(home, 'core')).map(({ state, pid }) => [state, pid])).toEqual([
      ['stopped', null],
      ['stopped', null],
    ])
    expect((await lagoa(['services', 'down'], { home })).stdout).toBe('nothing ran\n')
    expect((await lagoa(['services', 'status', '--export'], { home })).stdout).toBe('')
  })

  test('are not taken for another process that has their number by now', async () => {
    const [, { address }] = first as [View, View]
    await up(home, 'redis')
    const record = join(home, 'services/redis/server.pid')
    const [running] = await status(home, 'redis')
    process.kill(running?.pid ?? 0, 'SIGKILL')
    const stranger = spawn('sleep', ['600'], { stdio: 'ignore' })
    writeFileSync(record, readFileSync(record, 'utf8').replace(/^\d+ \(/m, `${stranger.pid} (`))
    expect((await status(home, 'redis'))[0]).toMatchObject({ state: 'died', pid: null })
    expect((await lagoa(['services', 'down', 'redis'], { home })).stdout).toBe('nothing ran\n')
    const [back] = await up(home, 'redis')
    expect(back).toMatchObject({ state: 'running', address })
    expect(isAlive(stranger.pid ?? 0)).toBe(true)
    stranger.kill('SIGKILL')
    await lagoa(['services', 'down', 'redis'], { home })
  })

  test('name who is in the way when their port was taken', async () => {
    const port = Number(new URL(variables.REDIS_URL ?? '').port)
    const server = createServer()
    await new Promise<void>((ready) => server.listen(port, '127.0.0.1', ready))
    const { code, stdout } = await lagoa(['services', 'up', 'redis', '--json'], { home })
    await new Promise((done) => server.close(done))
    expect(code).toBe(5)
    expect(JSON.parse(stdout)).toMatchObject([
      { state: 'stopped', error: { code: 'services.port_taken', hint: expect.stringContaining(`delete ${port}`) as string } },
    ])
  })

  test('are not started on data whose passwords are lost', async () => {
    const file = join(home, 'services/postgres/settings.json')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.slice(0, 20))
    expect(failedWith(await lagoa(['services', 'up', 'postgres', '--json'], { home }))).toEqual([2, 'services.settings'])
    writeFileSync(file, text.replace(/,\s*"password": "\w+"/, ''))
    expect(failedWith(await lagoa(['services', 'up', 'postgres', '--json'], { home }))).toEqual([2, 'services.settings'])
    writeFileSync(file, text.replace(/"password": "\w+"/, '"password": "another"'))
    const [exit, fault] = failedWith(await lagoa(['services', 'up', 'postgres', '--json'], { home }))
    expect([exit, fault]).toEqual([3, 'services.refused'])
    rmSync(file)
    expect(failedWith(await lagoa(['services', 'up', 'postgres', '--json'], { home }))).toEqual([5, 'services.no_settings'])
    writeFileSync(file, text)
    expect(await up(home, 'postgres')).toMatchObject([{ state: 'running' }])
  })
})

function failedWith({ code, stdout }: { readonly code: number | null; readonly stdout: string }): unknown[] {
  return [code, ...(JSON.parse(stdout) as readonly View[]).map(({ error }) => error?.code)]
}

describe.skipIf(noRedis !== null)('a start', () => {
  test('that says its last words says them again', async () => {
    const [home, programs] = [servedHome(), temporaryFolder('programs')]
    writeFileSync(join(programs, 'redis-server'), '#!/bin/sh\necho "no luck today"\nexit 3\n', { mode: 0o755 })
    const { code, stdout } = await lagoa(['services', 'up', 'redis', '--programs', programs, '--json'], { home })
    expect(code).toBe(7)
    expect(JSON.parse(stdout)).toMatchObject([
      { state: 'stopped', error: { code: 'services.failed', message: expect.stringContaining('no luck today') as string } },
    ])
  })

  test('that is stopped by Ctrl+C leaves no process that was not ready', async () => {
    const [home, programs] = [servedHome(), temporaryFolder('programs')]
    writeFileSync(join(programs, 'redis-server'), '#!/bin/sh\ntrap "" TERM\nwhile :; do sleep 1; done\n', { mode: 0o755 })
    const starting = start(['services', 'up', 'redis', '--programs', programs], { home })
    await eventually('the program runs', () => existsSync(join(home, 'services/redis/server.pid')), 30_000)
    const { code, stderr } = await starting.kill('SIGINT')
    expect({ code, stderr }).toMatchObject({ code: 130, stderr: expect.stringContaining('Stopped before the end') as string })
    await eventually('nothing of it runs', () => processesOf(home).length === 0, 5_000)
    expect(await status(home, 'redis')).toMatchObject([{ state: 'stopped', pid: null }])
  })

  test('that was killed leaves nothing that the next one does not find', async () => {
    const home = servedHome()
    const starting = start(['services', 'up', 'redis'], { home })
    await eventually('the program runs', () => existsSync(join(home, 'services/redis/server.pid')), 30_000)
    await starting.kill('SIGKILL')
    expect(await up(home, 'redis')).toMatchObject([{ state: 'running' }])
    expect(processesOf(home)).toHaveLength(1)
    await lagoa(['services', 'down'], { home })
    expect(processesOf(home)).toEqual([])
    expect(readdirSync(join(home, 'services'))).toEqual(['redis'])
  })
})

const missing = [noKafka, noPostgresServer, noRabbit, noRedis, noS3Server].filter((reason) => reason !== null).join('; ')

describe.skipIf(missing !== '')(`all five${missing === '' ? '' : ` (skipped: ${missing})`}`, () => {
  test('carry the air-quality example by its external.config.ts, and end without a process left', async () => {
    const home = servedHome()
    mkdirSync(join(home, 'state'))
    const { code, stdout, stderr } = await lagoa(['services', 'up', '--export'], { home, timeoutMs: 170_000 })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const env = environmentOf(stdout)
    expect(
      Object.keys(env)
        .filter((name) => name !== 'PWD')
        .sort(),
    ).toEqual(['DATABASE_URL', 'KAFKA_BROKERS', 'RABBITMQ_URL', 'REDIS_URL', 'S3_ACCESS_KEY_ID', 'S3_ENDPOINT', 'S3_REGION', 'S3_SECRET_ACCESS_KEY'].sort())
    const words = ['start', '--project', EXAMPLE, '--config', 'external.config.ts', '--once', '--count', '600', '--rate', 'max', '--json']
    const summary: Summary = good(await lagoa(words, { home: join(home, 'state'), env }))
    expect(['bronze.sensor', 'silver.readings'].map((name) => summary.tables[name]?.rows)).toEqual([600, 600])
    expect((await status(home)).map(({ name, state }) => [name, state])).toEqual(
      ['postgres', 'redis', 'kafka', 'rabbitmq', 's3'].map((name) => [name, 'running']),
    )
    expect((await lagoa(['services', 'down'], { home })).stdout).toBe('stopped: postgres, redis, kafka, rabbitmq, s3; the data stay\n')
    await eventually('no process is left', () => processesOf(home).length === 0, 5_000)
  })
})
