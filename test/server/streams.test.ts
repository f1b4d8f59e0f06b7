/** What the API does with the records of a stream: filters, dead letters, silences and keys, on the example project. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { AlertList, DeadLetterList, RuleList, SilenceShape, StreamDetail, StreamList } from '../../src/server/wire.ts'
import { EXAMPLE, eventually, project, serve, type Served } from '../helpers/cli.ts'

let server: Served
beforeAll(async () => {
  server = await serve('start', ['--project', EXAMPLE, '--count', '1'])
}, 60_000)
afterAll(async () => {
  expect((await server.kill()).code).toBe(0)
})

interface Page<T> {
  readonly items: T[]
  readonly next: number
  readonly cursor?: string
}
interface One {
  readonly offset: number
  readonly value: { readonly sensor?: string; readonly co?: number }
  readonly error?: string
}

async function call<T>(method: string, path: string, body?: unknown, at: Served = server): Promise<{ status: number; body: T }> {
  const answer = await fetch(at.url + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, body: (await answer.json()) as T }
}
const reading = (sensor: string, co: number, second: number): Record<string, unknown> => ({
  sensor,
  at: new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString(),
  co,
  no2: 10,
})

describe('records with a filter', () => {
  beforeAll(async () => {
    await server.post(
      '/api/v1/streams/sensor_raw/records',
      Array.from({ length: 500 }, (_, i) => reading(i % 5 === 0 ? 'Lapa' : 'Mooca', i % 100 === 7 ? -200 : i / 100, i)),
    )
  })
  const read = async (query: string): Promise<Page<One>> => server.get(`/api/v1/streams/sensor_raw/records?${query}`)
  const filtered = (filter: string, more: string = ''): Promise<Page<One>> => read(`filter=${encodeURIComponent(filter)}${more}`)

  test('are those for which a condition is true, the newest of them when no place is named', async () => {
    const { items, next } = await filtered("sensor == 'Lapa' && co > 4.0", '&limit=3')
    expect(items.map(({ value }) => value.co)).toEqual([4.85, 4.9, 4.95])
    expect(next).toBe((await read('limit=1')).next)
    expect((await filtered('sensor=Lapa', '&offset=0&limit=2')).items.map(({ value }) => value.sensor)).toEqual(['Lapa', 'Lapa'])
    expect((await filtered('co = 4.95', '&offset=0')).items.map(({ value }) => value.sensor)).toEqual(['Lapa'])
    expect((await filtered("sensor = 'Mooca'", '&offset=0&limit=1000')).items.length).toBe(400)
  })
  test('never compare a missing value', async () => {
    expect((await filtered('co < 0.0', '&offset=0')).items).toEqual([])
  })
  test('page without losing or repeating', async () => {
    const whole = (await filtered('sensor=Lapa', '&offset=0&limit=1000')).items
    const paged: One[] = []
    let cursor: string | undefined = '0'
    while (cursor !== undefined) {
      const page: Page<One> = await filtered('sensor=Lapa', `&limit=7&cursor=${cursor}`)
      paged.push(...page.items)
      cursor = page.cursor
    }
    expect(paged).toEqual(whole)
  })
  test.each([
    ['co >', 'alerts.cel_syntax'],
    ['humidity > 1', 'alerts.unknown_field'],
    ["co > 'x'", 'alerts.wrong_type'],
    ['humidity=3', 'alerts.cel_syntax'],
  ])('are refused with the place of the fault: %s', async (filter, code) => {
    const { status, body } = await call<{ error: { code: string; message: string; hint?: string } }>(
      'GET',
      `/api/v1/streams/sensor_raw/records?filter=${encodeURIComponent(filter)}`,
    )
    expect(status).toBe(400)
    expect(body.error.message).toMatch(/^The filter/)
    expect(body.error.message).not.toContain('Rule')
    expect([code, body.error.code.startsWith('alerts.')]).toEqual([code, true])
  })
})

describe('dead letters', () => {
  test('are sent again after their cause is mended, and stand in the table then', async () => {
    const folder = project({
      'streams/s.ts': declared('v'),
      'tables/b.ts': `import { table } from 'lagoa'\nimport { s } from '../streams/s.ts'\nexport const b = table('bronze.s', { from: s, every: '100ms' })\n`,
      'letters.csv': 'v\n1\nmuch\n',
    })
    // A file is not checked at the door as records over HTTP are: what is no number gets into the stream, and becomes a letter.
    const dev = await serve('dev', ['--project', folder, '--data', `${folder}/letters.csv`])
    const rows = async (): Promise<unknown[][]> => (await dev.post<{ rows: unknown[][] }>('/api/v1/query', { sql: 'select v from bronze.s order by 1' })).rows
    const letters = async (): Promise<One[]> => (await dev.get<Page<One>>('/api/v1/streams/s.dlq/records')).items
    const [letter] = await eventually('the letter', async () => (({ length }) => length === 1)(await letters()) && letters())
    expect(letter?.error).toContain('v:')
    project({ 'streams/s.ts': declared("v === 'much' ? 99 : Number(m.v)") }, folder)
    await eventually('the project is loaded again', async () => (await call('POST', '/api/v1/streams/s/records', [{ v: 'much' }], dev)).status === 200)
    expect(await call('POST', '/api/v1/streams/s/dead-letters/resend', { all: true }, dev)).toEqual({
      status: 200,
      body: { resent: 1, already: 0, skipped: 0, reasons: [], left: 0 },
    })
    expect(await call('POST', '/api/v1/streams/s/dead-letters/resend', { offsets: [letter?.offset] }, dev)).toMatchObject({ body: { resent: 0, already: 1 } })
    await eventually('the rows', async () => JSON.stringify(await rows()) === '[[1],[99],[99]]')
    const listed = await dev.get<{ items: object[] }>('/api/v1/streams/s/dead-letters')
    expect(DeadLetterList.strict().parse(listed)).toMatchObject({
      items: [{ offset: 0, error: 'wrong_type', partition: 0, source: 1, text: '{"v":"much"}', resent: true }],
      kept: 1,
      waiting: 0,
    })
    for (const wrong of [
      {},
      { all: true, value: '{}' },
      { offsets: [0, 1], value: '{}' },
      { all: true, offsets: [1] },
      { all: false },
      { offsets: [] },
      { offsets: [-1] },
      { all: true, limit: 0 },
    ])
      expect((await call('POST', '/api/v1/streams/s/dead-letters/resend', wrong, dev)).status).toBe(400)
    expect(await call('POST', '/api/v1/streams/s/dead-letters/resend', { offsets: [7] }, dev)).toMatchObject({
      status: 400,
      body: { error: { code: 'streams.no_letter' } },
    })
    expect((await call('POST', '/api/v1/streams/nothing/dead-letters/resend', { all: true }, dev)).status).toBe(404)
    await dev.kill()
  }, 30_000)
})

describe('a dead letter that is mended by hand', () => {
  test('is refused while it is wrong, and then takes its place under its own key', async () => {
    const folder = project({
      'streams/s.ts': `import { csv, stream, t } from 'lagoa'\nexport const s = stream('s', { partitions: 4, key: 'id', schema: { id: t.string(), v: t.double() },\n  upcast: (m) => ({ ...m, v: m.v === 'x' ? 'much' : Number(m.v) }), replay: (path) => csv({ path, columns: { id: 'id', v: 'v' } }) })\n`,
      'letters.csv': 'id;v\na;1\nb;x\n',
    })
    const one = await serve('start', ['--project', folder, '--data', `${folder}/letters.csv`])
    const letters = async (): Promise<{ offset: number; resent: boolean }[]> =>
      (await one.get<{ items: { offset: number; resent: boolean }[] }>('/api/v1/streams/s/dead-letters')).items
    await eventually('the letter', async () => (await letters()).length === 1)
    const send = (value: string) => call('POST', '/api/v1/streams/s/dead-letters/resend', { offsets: [0], value }, one)
    for (const [value, message] of [
      ['', /JSON/],
      ['{', /JSON/],
      ['[]', /must be a JSON object/],
      ['{"id":"b","v":"x"}', /v: /],
    ] as const)
      expect(await send(value)).toMatchObject({
        status: 400,
        body: { error: { code: 'streams.still_bad', message: expect.stringMatching(message) as string } },
      })
    expect(await send('{"id":"b",\n "v":2}')).toMatchObject({ status: 200, body: { resent: 1 } })
    expect(await send('{"id":"b","v":3}')).toMatchObject({ status: 200, body: { resent: 0, already: 1 } })
    expect((await letters()).map(({ resent }) => resent)).toEqual([true])
    const detail = StreamDetail.strict().parse(await one.get('/api/v1/streams/s'))
    expect(detail.carriers.map(({ partition, node }) => [partition, node.here])).toEqual([0, 1, 2, 3].map((partition) => [partition, true]))
    expect(detail.lanes.map(({ sink, partition, state }) => `${sink} ${partition} ${state}`)).toEqual(
      [0, 1, 2, 3].map((partition) => `dead-letters ${partition} running`),
    )
    const partitions = detail.partitions.filter(({ next }) => next > 0).map(({ partition }) => partition)
    const values = await Promise.all(
      partitions.map(
        async (partition) => (await one.get<Page<{ key: string; value: unknown }>>(`/api/v1/streams/s/records?partition=${partition}&offset=0`)).items,
      ),
    )
    expect(values.flat().filter(({ key, value }) => key === 'b' && JSON.stringify(value) === '{"id":"b","v":2}')).toHaveLength(1)
    await one.kill()
  }, 30_000)
})

describe('an engine that is away', () => {
  test('leaves the streams listed, with the reason and what to do', async () => {
    const one = await serve('start', ['--project', EXAMPLE, '--count', '1'], { env: { LAGOA_KAFKA__BROKERS: '127.0.0.1:1' } })
    const away = { message: expect.stringContaining('Kafka') as string, hint: expect.stringContaining('kafka.brokers') as string }
    const { items } = StreamList.parse(await one.get('/api/v1/streams'))
    expect(items).toMatchObject([{ name: 'sensor_raw', partitions: [], deadLetters: null, problem: away }])
    expect(StreamDetail.parse(await one.get('/api/v1/streams/sensor_raw'))).toMatchObject({ problem: away })
    expect(await call('GET', '/api/v1/streams/sensor_raw/dead-letters', undefined, one)).toMatchObject({
      status: 503,
      body: { error: { code: 'streams.kafka_away' } },
    })
    expect(RuleList.parse(await one.get('/api/v1/rules')).items.map(({ problem }) => problem)).toEqual([away, away])
    await one.kill()
  }, 90_000)
  test('keeps alerts waiting, which their rules tell with the reason', async () => {
    const one = await serve('start', ['--project', EXAMPLE, '--count', '1'], { env: { LAGOA_RABBITMQ__URL: 'amqp://127.0.0.1:1' } })
    await one.post('/api/v1/streams/sensor_raw/records', [reading('Osasco', 50, 1)])
    const rules = await eventually(
      'the rules tell it',
      async () =>
        (({ items }) => items.every(({ waiting, problem }) => waiting > 0 && problem !== undefined) && items)(RuleList.parse(await one.get('/api/v1/rules'))),
      30_000,
    )
    expect(rules).toMatchObject([
      { name: 'air_critical', waiting: 1, queued: 0, problem: { message: expect.stringContaining('RabbitMQ') as string } },
      { name: 'air_episode', waiting: 1, queued: 0 },
    ])
    const alerts = AlertList.parse(await one.get('/api/v1/alerts'))
    expect(alerts.items.map(({ delivery }) => delivery)).toEqual(['waiting', 'waiting'])
    await one.kill()
  }, 90_000)
})

/** A stream whose upcast reads `m.v` so. */
const declared = (reading: string): string =>
  `import { csv, stream, t } from 'lagoa'\nexport const s = stream('s', { schema: { v: t.double() }, upcast: (m) => ({ v: m.${reading === 'v' ? "v === 'much' ? 'much' : Number(m.v)" : reading} }), replay: (path) => csv({ path, columns: { v: 'v' } }) })\n`

describe('a silence', () => {
  const above = (second: number): Promise<unknown> => server.post('/api/v1/streams/sensor_raw/records', [reading('Osasco', 50, second)])
  const fired = async (): Promise<number> =>
    (await server.get<Page<{ name: string; fired: number }>>('/api/v1/rules')).items.find(({ name }) => name === 'air_critical')?.fired ?? 0
  const taken = async (): Promise<string> => (await server.get<{ alert: string }>('/api/alerts')).alert

  test('keeps messages from the queue while it holds; the alerts stand in the history all the same', async () => {
    while ((await taken()) !== 'No alerts in queue');
    const { status, body: silence } = await call<{ id: string; active: boolean }>('POST', '/api/v1/rules/air_critical/silences', {
      for: '1h',
      reason: 'a new sensor',
    })
    expect([status, silence.active]).toEqual([201, true])
    const before = await fired()
    await above(1000)
    await eventually('it fired', async () => (await fired()) === before + 1)
    const rules = await server.get<Page<{ name: string; silence?: { reason: string } }>>('/api/v1/rules')
    expect(rules.items.map(({ name, silence: held }) => [name, held?.reason])).toEqual([
      ['air_critical', 'a new sensor'],
      ['air_episode', undefined],
    ])
    expect(await call('DELETE', `/api/v1/silences/${silence.id}`)).toMatchObject({
      status: 200,
      body: { active: false, endedAt: expect.any(Number) as number },
    })
    await above(1001)
    const message = await eventually('the second one', async () =>
      (({ alert }) => alert !== 'No alerts in queue' && alert)(await server.get<{ alert: string }>('/api/alerts')),
    )
    expect((JSON.parse(message) as { at: string }).at).toBe('2026-01-01T00:16:41.000Z')
    expect(await taken()).toBe('No alerts in queue')
    expect((await server.get<Page<{ active: boolean }>>('/api/v1/silences')).items.map(({ active }) => active)).toEqual([false])
  })
  test('is told of beside the alerts that it kept quiet, which others are not', async () => {
    const { items } = AlertList.parse(await server.get('/api/v1/alerts?rule=air_critical&severity=critical'))
    expect(items.slice(0, 2).map(({ delivery }) => delivery)).toEqual(['sent', 'silenced'])
    const [newest] = items
    expect((await server.get<Page<object>>(`/api/v1/alerts?rule=air_critical&since=${newest?.startedAt}`)).items).toHaveLength(1)
    expect((await server.get<Page<object>>(`/api/v1/alerts?rule=air_critical&until=${items.at(-1)?.startedAt}`)).items).toEqual([])
    expect((await server.get<Page<object>>('/api/v1/alerts?severity=info')).items).toEqual([])
  })
  test('gets another end while it holds, and says who asked for it', async () => {
    const made = SilenceShape.parse((await call('POST', '/api/v1/rules/air_episode/silences', { for: '1h', reason: 'r', by: ' Ana ' })).body)
    expect(made.by).toBe('Ana')
    const path = `/api/v1/silences/${made.id}`
    const moved = SilenceShape.parse((await call('PATCH', path, { for: '3h' })).body)
    expect(Math.round((moved.until - made.until) / 3_600_000)).toBe(2)
    for (const [body, code] of [
      [{}, 'http.invalid_request'],
      [{ until: 1 }, 'alerts.silence_time'],
      [{ for: '2y' }, 'alerts.silence_time'],
    ] as const)
      expect(await call('PATCH', path, body)).toMatchObject({ status: 400, body: { error: { code } } })
    await call('DELETE', path)
    expect(await call('PATCH', path, { for: '1h' })).toMatchObject({ status: 409, body: { error: { code: 'alerts.silence_over' } } })
    expect((await call('PATCH', '/api/v1/silences/none', { for: '1h' })).status).toBe(404)
  })
  test('ends by itself', async () => {
    await call('POST', '/api/v1/rules/air_critical/silences', { until: Date.now() + 400, reason: 'for a moment' })
    await eventually('it is over', async () => (await server.get<Page<{ active: boolean }>>('/api/v1/silences')).items.every(({ active }) => !active))
    await above(2000)
    await eventually('a message', async () => (await taken()) !== 'No alerts in queue')
  })
  test.each([
    [{ reason: 'r' }, 'http.invalid_request'],
    [{ for: 'soon', reason: 'r' }, 'alerts.silence_time'],
    [{ for: '1h', until: 1, reason: 'r' }, 'http.invalid_request'],
    [{ until: 1, reason: 'r' }, 'alerts.silence_time'],
    [{ for: '2000d', reason: 'r' }, 'alerts.silence_time'],
    [{ until: 1e300, reason: 'r' }, 'alerts.silence_time'],
    [{ for: '1h', reason: ' ' }, 'alerts.silence_reason'],
    [{ for: '1h', reason: 'x'.repeat(501) }, 'alerts.silence_reason'],
    [{ for: '1h', reason: 'r', by: 'x'.repeat(101) }, 'alerts.silence_by'],
  ])('is refused: %j', async (body, code) => {
    expect(await call('POST', '/api/v1/rules/air_critical/silences', body)).toMatchObject({ status: 400, body: { error: { code } } })
  })
  test('of a rule that is not there, or one that never was, is missing', async () => {
    expect(await call('POST', '/api/v1/rules/air_critica/silences', { for: '1h', reason: 'r' })).toMatchObject({
      status: 404,
      body: { error: { hint: 'Did you mean air_critical?' } },
    })
    expect((await call('DELETE', '/api/v1/silences/none')).status).toBe(404)
  })
})

test('a key is deleted, and made anew by the next record', async () => {
  await server.post('/api/v1/streams/sensor_raw/records', [reading('Pinheiros', 1, 3000)])
  const path = '/api/v1/keys/sensor_raw:Pinheiros'
  await eventually('the key', async () => (await call('GET', path)).status === 200)
  expect(await call('DELETE', path)).toEqual({ status: 200, body: { deleted: 1 } })
  expect(await call('DELETE', path)).toEqual({ status: 200, body: { deleted: 0 } })
  expect((await call('GET', path)).status).toBe(404)
  await server.post('/api/v1/streams/sensor_raw/records', [reading('Pinheiros', 2, 3001)])
  await eventually('the key again', async () => (await call('GET', path)).status === 200)
})
