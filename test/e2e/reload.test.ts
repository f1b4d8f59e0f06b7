/** `lagoa dev`: a saved file is at work a moment later; a broken one leaves the old project running. And stopping in order. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, eventually, isAlive, newHome, once, postgresOf, serve, start, temporaryFolder, type Served } from '../helpers/cli.ts'

interface Rule {
  readonly name: string
  readonly when: string
  readonly matched: number
  readonly fired: number
}

const folder = temporaryFolder('reload')
const small = join(folder, 'small.csv')
const home = newHome()
let project = ''
let server: Served

beforeAll(async () => {
  project = join(folder, 'air')
  cpSync(EXAMPLE, project, { recursive: true })
  writeReadings(small, readings(300))
  await once(['--data', small], { home })
  server = await serve('dev', ['--project', project, '--data', small], { home })
  await eventually('the file is taken', async () =>
    (await server.get<{ sinks: { lag: number }[] }>('/api/v1/streams/sensor_raw')).sinks.every(({ lag }) => lag === 0),
  )
})
afterAll(() => server.kill())

const rules = async (): Promise<Rule[]> => (await server.get<{ items: Rule[] }>('/api/v1/rules')).items
const problems = async (): Promise<{ code: string; message: string; hint?: string }[]> =>
  (await server.get<{ problems: { code: string; message: string; hint?: string }[] }>('/api/v1/system')).problems

/** Saves the file and waits until the effect shows. */
async function save<T>(file: string, change: (text: string) => string, what: string, seen: () => Promise<T | undefined | false>): Promise<void> {
  const path = join(project, file)
  writeFileSync(path, change(readFileSync(path, 'utf8')))
  await eventually(what, seen, 5000, 2)
}

describe('a saved file', () => {
  test('of an alert is at work a moment later, again and again', async () => {
    for (const limit of [11, 12, 13, 14, 15]) {
      await save(
        'alerts/air.ts',
        (text) => text.replace(/\$\{co\} > \d+/, `\${co} > ${limit}`),
        'the new limit',
        async () => (await rules()).some(({ when }) => when.includes(`co > ${limit}`)),
      )
      await sleep(50)
    }
  })
  test('of a table is at work a moment later', async () => {
    await save(
      'tables/gold.ts',
      (text) => text.replace('Mean, maximum', 'Average, maximum'),
      'the new description',
      async () => (await server.get<{ description: string }>('/api/v1/tables/gold.air_hourly')).description.startsWith('Average'),
    )
  })
  test('that is new, in a folder that is new, is noticed', async () => {
    mkdirSync(join(project, 'tables/deep'))
    writeFileSync(
      join(project, 'tables/deep/days.ts'),
      "import { sql, table } from 'lagoa'\nimport { readings } from '../silver.ts'\nexport const days = table('gold.days', { sql: sql`select count(*) as n from ${readings}` })\n",
    )
    await eventually('the new table', async () =>
      (await server.get<{ items: { name: string }[] }>('/api/v1/tables')).items.some(({ name }) => name === 'gold.days'),
    )
    await eventually(
      'its rows',
      async () =>
        (await server.get<{ items: { name: string; rows: number | null }[] }>('/api/v1/tables')).items.find(({ name }) => name === 'gold.days')?.rows === 1,
    )
  })
  test('keeps what was counted, taken and written', async () => {
    const before = {
      rules: (await rules()).map(({ name, matched, fired }) => ({ name, matched, fired })),
      version: (await server.get<{ version: number }>('/api/v1/tables/silver.readings')).version,
      records: (await server.get<{ records: number }>('/api/v1/streams/sensor_raw')).records,
    }
    await save(
      'alerts/air.ts',
      (text) => text.replace('Every reading above a limit', 'Each reading above a limit'),
      'the change',
      async () => (await server.get<{ items: { description?: string }[] }>('/api/v1/rules')).items.some(({ description }) => description?.startsWith('Each')),
    )
    await sleep(300)
    expect({
      rules: (await rules()).map(({ name, matched, fired }) => ({ name, matched, fired })),
      version: (await server.get<{ version: number }>('/api/v1/tables/silver.readings')).version,
      records: (await server.get<{ records: number }>('/api/v1/streams/sensor_raw')).records,
    }).toEqual(before)
    expect(before.records).toBe(300)
  })
  test('that is broken leaves the old project running, is told, and its mending too', async () => {
    const events = await listen()
    const good = readFileSync(join(project, 'alerts/air.ts'), 'utf8')
    const before = await rules()
    await save(
      'alerts/air.ts',
      () => 'export const broken = {',
      'the problem',
      async () => (await problems()).length > 0,
    )
    expect(await problems()).toMatchObject([
      { code: 'project.load', message: expect.stringContaining('alerts/air.ts') as string, hint: expect.any(String) as string },
    ])
    expect((await rules()).map(({ name, when }) => ({ name, when }))).toEqual(before.map(({ name, when }) => ({ name, when })))
    const posted = await server.post<{ accepted: number }>('/api/v1/streams/sensor_raw/records', [{ sensor: 'A', at: '2026-01-01T00:00:00Z', co: 1 }])
    expect(posted.accepted).toBe(1)
    await eventually('the reading is taken', async () =>
      (await server.get<{ sinks: { lag: number; name: string }[] }>('/api/v1/streams/sensor_raw')).sinks.every(
        ({ lag, name }) => lag === 0 || name.startsWith('table:'),
      ),
    )
    await save(
      'alerts/air.ts',
      () => good,
      'the mending',
      async () => (await problems()).length === 0,
    )
    await eventually('the event stream says so', () => events.text().split('"reloaded":true').length > 2)
    events.close()
  })
  test('that cannot start leaves the old project running', async () => {
    const path = join(project, 'streams/sensor_raw.ts')
    const good = readFileSync(path, 'utf8')
    await save(
      'streams/sensor_raw.ts',
      (text) => text.replace("key: 'sensor',", "key: 'sensor',\n  retention: { time: 'long' },"),
      'the problem',
      async () => (await problems()).length > 0,
    )
    expect(await problems()).toMatchObject([{ code: 'streams.retention' }])
    await server.post('/api/v1/streams/sensor_raw/records', [{ sensor: 'B', at: '2026-01-01T00:00:00Z', co: 99 }])
    await eventually('the reading reaches the live cache', async () =>
      (await server.get<{ items: { key: string }[] }>('/api/v1/streams/sensor_raw/latest')).items.some(({ key }) => key === 'B'),
    )
    writeFileSync(path, good)
    await eventually('the mending', async () => (await problems()).length === 0)
  })
})

async function listen(): Promise<{ text(): string; close(): void }> {
  const controller = new AbortController()
  const answer = await fetch(`${server.url}/api/v1/events`, { signal: controller.signal })
  let text = ''
  const reading = (async () => {
    for await (const chunk of answer.body ?? []) text += Buffer.from(chunk).toString()
  })()
  reading.catch(() => undefined)
  return { text: () => text, close: () => controller.abort() }
}

describe('stopping', () => {
  test('by SIGTERM while readings and browsers come ends well, and the next start finds all in order', async () => {
    const own = newHome()
    const running = await serve('start', ['--project', EXAMPLE, '--rate', '200'], { home: own })
    const browsers = Array.from({ length: 5 }, () => fetch(`${running.url}/api/v1/events?streams=sensor_raw`).then((answer) => answer.text()))
    await sleep(1000)
    const postgres = postgresOf(own) ?? 0
    expect(isAlive(postgres)).toBe(true)
    const { code, stderr } = await running.kill('SIGTERM')
    expect(code).toBe(0)
    expect(isAlive(postgres)).toBe(false)
    expect(stderr).not.toMatch(/close_failed|"level":"error"/)
    await Promise.all(browsers)
    const again = await serve('start', ['--project', EXAMPLE], { home: own })
    await again.line('ms')
    expect((await again.kill('SIGINT')).code).toBe(0)
  })
  test('a pass by SIGTERM ends it at once with code 130, and the same command goes on', async () => {
    const own = newHome()
    const pass = start(['start', '--project', EXAMPLE, '--data', small, '--once', '--rate', '20', '--json'], { home: own })
    await eventually('the database runs', () => postgresOf(own) !== null)
    await sleep(1500)
    const { code, stdout } = await pass.kill('SIGTERM')
    expect(code).toBe(130)
    expect(stdout).toContain('cli.stopped')
    expect(postgresOf(own)).toBeNull()
    expect((await once(['--data', small], { home: own })).streams.sensor_raw).toEqual({ read: 300, dead_letter: 0 })
  })
})
