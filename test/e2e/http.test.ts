/** Requests that nobody honest sends, against the real server. */
import { connect } from 'node:net'
import { request } from 'node:http'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, failure, newHome, once, serve, start, temporaryFolder, type Served } from '../helpers/cli.ts'

const path = join(temporaryFolder('http'), 'small.csv')
writeReadings(path, readings(200))
const home = newHome()
let server: Served

beforeAll(async () => {
  await once(['--data', path], { home })
  server = await serve('start', ['--project', EXAMPLE, '--data', path], { home })
})

interface Answer {
  readonly status: number
  readonly body: {
    readonly error?: { readonly code: string; readonly message: string; readonly hint?: string; readonly requestId?: string }
    readonly accepted?: number
    readonly rejected?: number
    readonly results?: readonly { readonly error?: { readonly code: string } }[]
    readonly rows?: unknown[][]
  }
}

async function send(method: string, route: string, body?: string | Uint8Array<ArrayBuffer>, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const answer = await fetch(server.url + route, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body }),
  })
  return { status: answer.status, body: (await answer.json()) as Answer['body'] }
}

/** Headers that fetch would not send. */
function raw(headers: Readonly<Record<string, string>>, route: string = '/api/v1/system'): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.url)
    request({ host: hostname, port, path: route, headers, agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
      .on('error', reject)
      .end()
  })
}

const query = (sql: string): Promise<Answer> => send('POST', '/api/v1/query', JSON.stringify({ sql }))
const good = { sensor: 'S', at: '2026-01-31T12:00:00Z', co: 1 }

describe('records that are wrong', () => {
  const post = (body: string | Uint8Array<ArrayBuffer>, type = 'application/json'): Promise<Answer> =>
    send('POST', '/api/v1/streams/sensor_raw/records', body, { 'content-type': type })

  test.each<readonly [string, string | Uint8Array<ArrayBuffer>, string]>([
    ['not JSON', '{"sensor": ', 'not_json'],
    ['invalid UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), 'not_utf8'],
    ['a NUL character', JSON.stringify({ ...good, sensor: 'a\0b' }), 'nul_character'],
    ['half a surrogate pair', JSON.stringify({ ...good, sensor: '\ud800' }), 'lone_surrogate'],
    ['text for a number', JSON.stringify({ ...good, co: '1' }), 'wrong_type'],
    ['a time without a zone', JSON.stringify({ ...good, at: '2026-01-31 12:00' }), 'wrong_type'],
    ['a missing field', JSON.stringify({ at: good.at }), 'missing_field'],
    ['an array in an array', '[[]]', 'not_an_object'],
    ['null', 'null', 'not_an_object'],
    ['a number too large for a double', '{"sensor":"S","at":"2026-01-31T12:00:00Z","co":1e999}', 'wrong_type'],
  ])('as %s are answered for one by one and not stored', async (_, body, code) => {
    const { status, body: told } = await post(body)
    expect({ status, accepted: told.accepted, code: told.results?.[0]?.error?.code }).toEqual({ status: 400, accepted: 0, code })
  })
  test('beside good ones do not keep those out; of duplicate keys the last counts', async () => {
    const { status, body } = await post(
      `${JSON.stringify(good)}\nnonsense\n\n{"sensor":"D","co":9,"at":"2026-01-31T12:00:00Z","co":2}\n`,
      'application/x-ndjson',
    )
    expect({ status, accepted: body.accepted, rejected: body.rejected }).toEqual({ status: 200, accepted: 2, rejected: 1 })
    await expect
      .poll(
        async () =>
          (await server.get<{ items: { key: string; fields: { co: number } }[] }>('/api/v1/streams/sensor_raw/latest')).items.find(({ key }) => key === 'D')
            ?.fields.co,
        { timeout: 5000 },
      )
      .toBe(2)
  })
  test('of ten megabytes in one line are refused as too large', async () => {
    const { status, body } = await post(`{"sensor":"${'x'.repeat(10_000_000)}"}\n${JSON.stringify(good)}`, 'application/x-ndjson')
    expect({ status, accepted: body.accepted, code: body.results?.[0]?.error?.code }).toEqual({ status: 200, accepted: 1, code: 'too_large' })
  })
  test('in more than 100,000 pieces are refused as a whole', async () => {
    const { status, body } = await post(`[${'1,'.repeat(200_000)}1]`)
    expect({ status, code: body.error?.code }).toEqual({ status: 413, code: 'streams.too_many_records' })
  })
  test.each([
    ['an empty body', ''],
    ['an empty array', '[]'],
  ])('as %s hold no records', async (_, body) => {
    expect((await post(body)).status).toBe(400)
  })
})

describe('a request', () => {
  test('with a body over the limit is refused, with a length and without', async () => {
    const large = 'x'.repeat(17 * 1024 * 1024)
    expect(await send('POST', '/api/v1/query', large)).toMatchObject({ status: 413, body: { error: { code: 'http.body_too_large' } } })
    const status = await new Promise<number>((resolve, reject) => {
      const { hostname, port } = new URL(server.url)
      const out = request(
        {
          host: hostname,
          port,
          agent: false,
          path: '/api/v1/query',
          method: 'POST',
          headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
        },
        (response) => {
          response.resume()
          resolve(response.statusCode ?? 0)
        },
      )
      out.on('error', reject)
      for (let i = 0; i < 17; i++) out.write('x'.repeat(1024 * 1024))
      out.end()
    })
    expect(status).toBe(413)
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200)
  })
  test.each([
    [{ host: 'evil.example' }, 'http.host'],
    [{ host: '127.0.0.1.evil.example' }, 'http.host'],
    [{ origin: 'https://evil.example' }, 'http.origin'],
    [{ origin: 'null' }, 'http.origin'],
  ])('with %j is refused', async (headers, code) => {
    const { status, text } = await raw(headers)
    expect(status).toBe(403)
    expect(text).toContain(code)
  })
  test.each([
    'GET /api/v1/system HTTP/1.1\r\nHost:\r\n\r\n',
    'GET /api/v1/system HTTP/1.0\r\n\r\n',
    'GET http://evil.example/api/v1/system HTTP/1.1\r\nHost: evil.example\r\n\r\n',
  ])('without a host of this machine is refused: %j', async (text) => {
    const { hostname, port } = new URL(server.url)
    const answer = await new Promise<string>((done, failed) => {
      let said = ''
      const socket = connect(Number(port), hostname, () => socket.end(text))
      socket.on('data', (chunk: Buffer) => (said += chunk.toString()))
      socket.on('close', () => done(said))
      socket.on('error', failed)
    })
    expect(answer).toMatch(/^HTTP\/1\.1 40[03] /)
    expect(answer).not.toContain('startedAt')
  })
  test('from the console itself is taken', async () => {
    const { host } = new URL(server.url)
    expect((await raw({ host, origin: server.url })).status).toBe(200)
    expect((await raw({ host: host.replace('127.0.0.1', 'localhost'), origin: server.url.replace('127.0.0.1', 'localhost') })).status).toBe(200)
  })
  test('for nothing is answered with 404 in JSON', async () => {
    for (const [method, route] of [
      ['GET', '/api/v1/nothing'],
      ['POST', '/nothing'],
      ['DELETE', '/api/v1/streams'],
      ['GET', '/assets/nothing.js'],
      ['GET', '/assets/%ZZ'],
      ['GET', '/assets/%2e%2e%2f%2e%2e%2fpackage.json'],
      ['GET', '/assets/a%00b'],
    ] as const) {
      const { status, body } = await send(method, route)
      expect({ route, status, code: body.error?.code }).toEqual({ route, status: 404, code: 'http.no_route' })
      expect(body.error?.requestId).toMatch(/^[0-9a-f-]{36}$/)
    }
  })
  test.each([
    ['GET', '/api/v1/streams/sensor_raw/records?limit=0'],
    ['GET', '/api/v1/streams/sensor_raw/records?offset=-1'],
    ['GET', '/api/v1/streams/sensor_raw/records?offset=99999999999999999999'],
    ['GET', '/api/v1/streams/sensor_raw/records?time=1e300'],
    ['GET', '/api/v1/streams/sensor_raw/records?time=x'],
    ['GET', '/api/v1/streams/sensor_raw/series?fields=co&from=-1e300'],
    ['GET', '/api/v1/streams/sensor_raw/series?fields=co&from=0&until=1e300'],
    ['GET', '/api/v1/streams/sensor_raw/series?fields=nope&from=0'],
    ['GET', '/api/v1/streams/sensor_raw/series?fields=co&from=10&until=5'],
    ['GET', '/api/v1/tables/silver.readings/rows?version=-1'],
    ['GET', '/api/v1/tables/silver.readings/rows?limit=1000000'],
    ['GET', '/api/v1/keys?limit=x'],
    ['GET', '/api/v1/alerts?state=wild'],
    ['GET', '/api/v1/alerts?cursor=nonsense'],
    ['POST', '/api/v1/query'],
  ])('%s %s that makes no sense is answered with 400 and a hint', async (method, route) => {
    const { status, body } = await send(method, route, method === 'POST' ? '{' : undefined)
    expect({ status, text: body.error?.message }).toMatchObject({ status: 400, text: expect.any(String) as string })
  })
  test.each([
    '/api/v1/streams/nope',
    '/api/v1/streams/nope.dlq/records',
    '/api/v1/tables/silver.nope',
    '/api/v1/tables/silver.nope/rows',
    '/api/v1/tables/constructor',
    '/api/v1/streams/__proto__',
    '/api/v1/keys/nope',
    '/api/v1/tables/silver.readings/rows?version=999',
  ])('for %s is answered with 404 and a hint', async (route) => {
    const { status, body } = await send('GET', route)
    expect(status).toBe(404)
    expect(body.error?.hint).toBeDefined()
  })
  test('that is no HTTP does not disturb the others', async () => {
    const { hostname, port } = new URL(server.url)
    await new Promise<void>((done) => {
      const socket = connect(Number(port), hostname, () => socket.write('NONSENSE\r\n\r\n\0\0\0'))
      socket.on('close', () => done())
      socket.on('error', () => done())
      socket.resume()
    })
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200)
  })
})

describe('a query that reaches for more', () => {
  const FORBIDDEN = [
    "select * from read_text('/etc/passwd')",
    "select * from read_csv('/etc/passwd')",
    "select * from read_blob('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select * from '/etc/passwd'",
    "select * from 'objects/silver/readings/*.parquet'",
    "select * from parquet_scan('/tmp/x.parquet')",
    "copy (select 1) to '/tmp/lagoa-hostile.csv'",
    "attach '/tmp/lagoa-hostile.db' as other",
    'pragma database_list',
    'pragma_database_list',
    'select 1; select 2',
    "set memory_limit = '100GB'",
    'install httpfs',
    'load httpfs',
    'create table t as select 1',
    'drop view silver.readings',
    'insert into silver.readings select * from silver.readings',
    'delete from silver.readings',
    'explain select 1',
    'describe silver.readings',
    'show tables',
    'summarize silver.readings',
    'select * from information_schema.tables',
    'select * from pg_catalog.pg_tables',
    'select * from duckdb_settings()',
    'select * from duckdb_secrets()',
    'select * from duckdb_tables',
    'select * from sqlite_master',
    "select * from query('select 1')",
    "select * from query_table('silver.readings')",
    "select (select content from read_text('/etc/passwd'))",
    "with x as (select * from read_text('/etc/passwd')) select * from x",
    'select * from memory.main.readings',
    'call pragma_version()',
    "select * from silver.readings where co in (select 1 from glob('/*'))",
    '',
    'select',
    'select * from gold.nothing',
    "select 1 --'; drop table x\n; select 2",
  ]
  test.each(FORBIDDEN)('%j is refused with a clear message', async (sql) => {
    const { status, body } = await query(sql)
    expect([400, 403, 404]).toContain(status)
    expect(body.error?.message.length).toBeGreaterThan(5)
    expect(body.error?.code).not.toBe('base.unexpected')
    expect(body.error?.message).not.toContain('root:')
  })
  test('does not keep honest ones from their answers at the same time', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => query(i % 2 === 0 ? 'select count(*) from silver.readings' : (FORBIDDEN[i % FORBIDDEN.length] ?? ''))),
    )
    for (const [i, { status, body }] of answers.entries())
      if (i % 2 === 0) expect({ status, rows: Number(body.rows?.[0]?.[0]) >= 200 }).toEqual({ status: 200, rows: true })
  })
  test.each([
    'select * from silver.readings limit 1;',
    'with x as (select co from silver.readings) select max(co) from x',
    'select r.sensor, h.hour from silver.readings r join gold.air_hourly h on r.sensor = h.sensor limit 2',
    'from silver.readings select count(*)',
    'select * from range(3)',
    'values (1), (2)',
    "select 'read_text(''/etc/passwd'')' as harmless",
  ])('is told from %j, which is fine', async (sql) => {
    expect((await query(sql)).status).toBe(200)
  })
})

describe('another server', () => {
  test('on a port that is taken is told who has it', async () => {
    const port = new URL(server.url).port
    const second = await start(['start', '--project', EXAMPLE, '--port', port, '--json'], { home: newHome() }).finished
    expect(failure(second)).toMatchObject({ code: 'http.lagoa_runs', hint: expect.stringContaining(`--port ${Number(port) + 1}`) as string })
    expect(second.code).toBe(5)
  })
  test('on the same home is refused, naming the first', async () => {
    const second = await start(['start', '--project', EXAMPLE, '--port', '0', '--json'], { home }).finished
    expect(second.code).toBe(5)
    const { message, hint } = failure(second)
    expect(message).toContain(server.url)
    expect(message).toContain(String(server.pid))
    expect(hint).toContain(`kill ${server.pid}`)
    const pass = await start(['start', '--project', EXAMPLE, '--once', '--json'], { home }).finished
    expect(pass.code).toBe(5)
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200)
  })
})

test('after all of it the server stops well, and has logged no bug', async () => {
  const { code, stderr } = await server.kill()
  expect(code).toBe(0)
  expect(stderr).not.toContain('http.failed')
  expect(stderr).not.toContain('base.unexpected')
})
