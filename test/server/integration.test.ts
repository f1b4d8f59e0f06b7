/** The paths of the air-quality documents, on their example: what their producers send and what their clients ask for. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EXAMPLE, eventually, project, serve, type Served } from '../helpers/cli.ts'

let server: Served

beforeAll(async () => {
  server = await serve('start', ['--project', EXAMPLE, '--count', '1'])
}, 60_000)
afterAll(async () => {
  expect((await server.kill()).code).toBe(0)
})

interface Plain {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}
async function ask(path: string, at: Served = server, init: RequestInit = {}): Promise<Plain> {
  const answer = await fetch(at.url + path, init)
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

/** As kafka-python's `json.dumps` of a row of the data set makes it. */
const message = (date: string, time: string, CO: unknown, NO2: unknown): Record<string, unknown> => ({
  date,
  time,
  CO,
  NO2,
  Temperature: 13.6,
  Relative_Humidity: 48.9,
  Absolute_Humidity: 0.7578,
})
const send = (...records: unknown[]): Promise<{ accepted: number; rejected: number; results: unknown[] }> =>
  server.post('/api/v1/streams/sensor_raw/records', records)

describe('a message of the documents', () => {
  test('is taken as it is, and is served under both of its keys and as the object of its time', async () => {
    expect(await send(message('10/03/2004', '18.00.00', 2.6, 166))).toMatchObject({ accepted: 1, rejected: 0 })
    const fields = { date: '10/03/2004', time: '18.00.00', CO: '2.6', NO2: '166', Temperature: '13.6', Relative_Humidity: '48.9', Absolute_Humidity: '0.7578' }
    for (const key of ['sensor:10%2F03%2F2004:18.00.00', 'sensor:10/03/2004:18.00.00', 'sensor_10%2F03%2F2004_18.00.00'])
      expect(await eventually(key, async () => (({ status, body }) => status === 200 && body)(await ask(`/api/cache/${key}`)))).toEqual(fields)
    for (const name of ['10%2F03%2F2004_18.00.00', '10/03/2004_18.00.00'])
      expect(await eventually(name, async () => (({ status, body }) => status === 200 && body)(await ask(`/api/history/${name}`)))).toEqual(
        message('10/03/2004', '18.00.00', 2.6, 166),
      )
    const { items } = await server.get<{ items: { expiresAt: number | null }[] }>('/api/v1/keys?prefix=sensor:')
    expect(items[0]?.expiresAt).toBeGreaterThan(Date.now() + 3_600_000)
  })

  test('without a reading keeps its -200 for those clients, and is never compared with a limit', async () => {
    await send(message('10/03/2004', '19.00.00', -200, -200))
    const { body } = await eventually('the key', async () =>
      (({ status, body }) => status === 200 && { body })(await ask('/api/cache/sensor:10/03/2004:19.00.00')),
    )
    expect(body).toMatchObject({ CO: '-200', NO2: '-200' })
    const { items } = await server.get<{ items: { values: { at: string } }[] }>('/api/v1/alerts?rule=air_critical')
    expect(items.filter(({ values }) => values.at === '2004-03-10T18:00:00.000Z')).toEqual([])
  })

  test('of a producer that reads decimal commas as text means the same numbers', async () => {
    await send({ ...message('10/03/2004', '20.00.00', '2,6', '166'), Temperature: '' })
    const { body } = await eventually('the key', async () =>
      (({ status, body }) => status === 200 && { body })(await ask('/api/cache/sensor:10/03/2004:20.00.00')),
    )
    expect(body).toMatchObject({ CO: '2.6', NO2: '166', Temperature: '-200' })
  })

  test.each([
    ['a text that is no number', message('10/03/2004', '21.00.00', 'much', 1)],
    ['a date that is none', message('10-13-2004', '21.00.00', 1, 1)],
    ['no date', { CO: 1 }],
  ])('with %s is answered for by itself', async (_, odd) => {
    expect(await send(odd, message('11/03/2004', '01.00.00', 1, 1))).toMatchObject({ accepted: 1, rejected: 1 })
  })

  test('without a place in its name makes no key: the simulation has keys with its sensors alone', async () => {
    await send({ sensor: 'Lapa', at: '2004-03-12T10:00:00Z', co: 1, no2: 1 })
    await eventually('Lapa is live', async () => (await server.get<{ items: { key: string }[] }>('/api/v1/keys?prefix=sensor_raw:Lapa')).items.length === 1)
    expect((await ask('/api/cache/sensor:12/03/2004:11.00.00')).status).toBe(404)
  })
})

describe('GET /api/cache', () => {
  test.each(['nothing', 'sensor:', '%', 'a%2', '..%2f..', encodeURIComponent('\u0000'), 'x'.repeat(5000)])(
    'answers 404 in the words of the document for %s',
    async (key) => {
      const answer = await fetch(`${server.url}/api/cache/${key}`)
      expect([answer.status, await answer.json()]).toEqual([404, { error: 'Key not found' }])
    },
  )
})

describe('GET /api/history', () => {
  test.each(['nothing', '..%2f..%2fpg%2fPG_VERSION', '%00', 'a//b', 'x'.repeat(3000)])('answers 404 with one sentence for %s', async (name) => {
    const { status, body } = await ask(`/api/history/${name}`)
    expect([status, Object.keys(body)]).toEqual([404, ['error']])
    expect(typeof body.error).toBe('string')
  })
  test('answers JSON that others put there byte for byte, and 404 for what is no JSON', async () => {
    const folder = join(server.home, 'objects/air-quality/processed')
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'theirs.json'), '{"n": 12345678901234567890}')
    writeFileSync(join(folder, 'broken.json'), '{')
    expect(await (await fetch(`${server.url}/api/history/theirs`)).text()).toBe('{"n": 12345678901234567890}')
    expect(await ask('/api/history/broken')).toMatchObject({ status: 404, body: { error: expect.stringContaining('not JSON') as string } })
  })
})

describe('GET /api/alerts', () => {
  test('takes one message a call, in order, leaves the alerts in the history, and says when there is none', async () => {
    while ((await ask('/api/alerts')).body.alert !== 'No alerts in queue');
    await send(message('01/04/2004', '10.00.00', 10.1, 90), message('01/04/2004', '11.00.00', 3, 201), message('01/04/2004', '12.00.00', 10, 200))
    const taken: string[] = []
    await eventually('two alerts', async () => {
      const { body } = await ask('/api/alerts')
      if (body.alert !== 'No alerts in queue') taken.push(String(body.alert))
      return taken.length === 2
    })
    expect(taken.map((text) => (JSON.parse(text) as { values: { co: number } }).values.co)).toEqual([10.1, 3])
    expect(await ask('/api/alerts')).toEqual({ status: 200, body: { alert: 'No alerts in queue' } })
    const { items } = await server.get<{ items: { startedAt: number }[] }>('/api/v1/alerts?rule=air_critical')
    expect(items.slice(0, 2).map(({ startedAt }) => startedAt)).toEqual([Date.UTC(2004, 3, 1, 10), Date.UTC(2004, 3, 1, 9)])
  })
  test('takes nothing for a HEAD, nor for a page of another site', async () => {
    const queued = async (): Promise<number> => {
      const { items } = await server.get<{ items: { name: string; queued: number }[] }>('/api/v1/rules')
      return items.find(({ name }) => name === 'air_critical')?.queued ?? 0
    }
    const before = await queued()
    await send(message('02/04/2004', '10.00.00', 11, 90))
    await eventually('it is queued', async () => (await queued()) > before)
    expect((await fetch(`${server.url}/api/alerts`, { method: 'HEAD' })).status).toBe(200)
    expect((await ask('/api/alerts', server, { headers: { 'sec-fetch-site': 'cross-site' } })).status).toBe(403)
    expect((await ask('/api/alerts', server, { headers: { origin: 'http://elsewhere.example' } })).status).toBe(403)
    expect(String((await ask('/api/alerts')).body.alert)).toContain('"co":11')
  })
})

describe('a project that says nothing of these routes', () => {
  const rule = (name: string, queue: string): string =>
    `export const ${name} = alert('${name}', { on: readings, when: 'v > 1', mode: 'each', to: [queue('${queue}')] })\n`
  const files = (rules: string): Record<string, string> => ({
    'streams/readings.ts': `import { stream, t } from 'lagoa'\nexport const readings = stream('readings', { schema: { v: t.double() } })\n`,
    'alerts/all.ts': `import { alert, queue } from 'lagoa'\nimport { readings } from '../streams/readings.ts'\n${rules}`,
  })
  test('takes from the only queue of its rules, and tells what to set where there are several or no objects', async () => {
    const one = await serve('start', ['--project', project(files(rule('high', 'only')))])
    await one.post('/api/v1/streams/readings/records', [{ v: 2 }])
    await eventually('the alert', async () => String((await ask('/api/alerts', one)).body.alert).includes('"v":2'))
    expect(await ask('/api/history/x', one)).toMatchObject({ status: 404, body: { error: expect.stringContaining('LAGOA_API__HISTORY') as string } })
    await one.kill()
    const two = await serve('start', ['--project', project(files(rule('high', 'first') + rule('higher', 'second')))])
    expect(await ask('/api/alerts', two)).toMatchObject({ status: 400, body: { error: expect.stringContaining('LAGOA_API__ALERTS') as string } })
    await two.kill()
  }, 30_000)
})
