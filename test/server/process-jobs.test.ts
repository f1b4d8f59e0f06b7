/** Jobs of users' Python over HTTP: asked for now, told later; in the history, followed, cancelled, and not lost with the node that ran them. */
import { createHmac } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findEnvironment } from '../../src/sandbox/index.ts'
import { descendants } from '../helpers/sandbox.ts'
import { eventually, newHome, project, serve, type Served } from '../helpers/cli.ts'

const environment = await findEnvironment()
const missing = !environment.ready ? environment.message : existsSync('/usr/bin/bwrap') ? null : 'there is no bubblewrap: apt-get install bubblewrap'

const SECRET_BYTES = Buffer.from('a key of the right length for it')
const SECRET = `whsec_${SECRET_BYTES.toString('base64')}`
const TWICE = 'def process(df):\n    print("doubling", len(df))\n    df["twice"] = df["valor"] * 2\n    return df\n'
const SLOW =
  'import pandas as pd\ndef process(df):\n    print("begun")\n    until = pd.Timestamp.now() + pd.Timedelta(seconds=SECONDS)\n    while pd.Timestamp.now() < until:\n        pass\n    return df\n'
const slow = (seconds: number): string => SLOW.replace('SECONDS', String(seconds))

interface Job {
  readonly job_id: string
  readonly status: string
  readonly parquet_path: string | null
  readonly rows: number | null
  readonly columns: string[] | null
  readonly execution_time: number | null
  readonly message: string | null
  readonly line: number | null
  readonly preview: unknown[][]
  readonly logs: string[]
  readonly timings: Record<string, number>
  readonly progress: { readonly phase: string } | null
  readonly ended_at: number | null
  readonly webhook: { readonly state: string; readonly attempts: number; readonly error: string | null } | null
}
interface Answer<T> {
  readonly status: number
  readonly headers: Headers
  readonly body: T & { readonly error?: { readonly code: string; readonly hint?: string } }
}

describe.skipIf(missing !== null)(`jobs of POST /process${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  let server: Served
  let receiver: Receiver
  const folder = project({
    'flows/none.ts': "import { flow, task } from 'lagoa'\nexport const none = flow('none', {}, () => void task('nothing', { run: () => null }))\n",
  })
  const home = newHome()
  const start = (): Promise<Served> =>
    serve('start', ['--project', folder], { home, env: { LAGOA_PROCESS__WEBHOOK_SECRET: SECRET, LAGOA_PROCESS__WEBHOOK_HOSTS: receiver.host } })

  beforeAll(async () => {
    receiver = await startReceiver()
    mkdirSync(join(home, 'objects/meu-bucket/dados'), { recursive: true })
    writeFileSync(join(home, 'objects/meu-bucket/dados/vendas.csv'), `loja,valor\n${Array.from({ length: 30 }, (_, i) => `Loja ${i},${i + 0.5}`).join('\n')}\n`)
    server = await start()
  }, 120_000)
  afterAll(async () => {
    expect((await server.kill()).code).toBe(0)
    receiver.close()
  })

  async function ask<T = Job>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer<T>> {
    const answer = await fetch(server.url + path, {
      method,
      headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Answer<T>['body'] }
  }
  const job = (code: string = TWICE, more: object = {}): object => ({ dataset_path: 'meu-bucket/dados/vendas.csv', code, ...more })
  const submit = (code?: string, more?: object, headers: Record<string, string> = {}): Promise<Answer<Job>> =>
    ask('POST', '/process', job(code, more), { prefer: 'respond-async', ...headers })
  const ended = (id: string): Promise<Job> =>
    eventually(
      `job ${id} is over`,
      async () => {
        const { body } = await ask('GET', `/process/jobs/${id}`)
        return body.ended_at === null ? undefined : body
      },
      90_000,
      100,
    )

  test('one that is asked for asynchronously is a job, with everything of it when it is over', async () => {
    const made = await submit()
    expect(made.status).toBe(202)
    expect(made.headers.get('preference-applied')).toBe('respond-async')
    expect(made.headers.get('location')).toBe(`/process/jobs/${made.body.job_id}`)
    expect(made.body).toMatchObject({ status: 'queued', parquet_path: null, rows: null, columns: null, execution_time: null })
    const done = await ended(made.body.job_id)
    expect(done).toMatchObject({
      status: 'success',
      parquet_path: `processed/${made.body.job_id}.parquet`,
      rows: 30,
      columns: ['loja', 'valor', 'twice'],
      execution_time: expect.any(Number) as number,
      message: null,
      progress: null,
    })
    expect(done.preview).toHaveLength(20)
    expect(done.preview[3]).toEqual(['Loja 3', 3.5, 7])
    expect(Object.keys(done.timings).sort()).toEqual(['decoding', 'encoding', 'queued', 'running', 'validating'])
    expect(existsSync(join(home, 'objects', String(done.parquet_path)))).toBe(true)
    const logs = await eventually('its log is there', async () => {
      const { body } = await ask('GET', `/api/v1/process/jobs/${made.body.job_id}`)
      return body.logs.length > 0 ? body.logs : undefined
    })
    expect(logs).toEqual(['doubling 30'])
    // The job is a run, which ends a moment later.
    const asRun = await eventually('its run is over', async () => {
      const { body } = await ask<{ state: string; kind: string }>('GET', `/api/v1/runs/${made.body.job_id}`)
      return body.state === 'running' ? undefined : body
    })
    expect(asRun).toMatchObject({ state: 'succeeded', kind: 'process' })
  }, 120_000)

  test('the sandbox stands among the engines, with its walls and its Python', async () => {
    const { items } = (await ask<{ items: { name: string; state: string; address: string | null }[] }>('GET', '/api/v1/services')).body
    expect(items.find(({ name }) => name === 'sandbox')).toMatchObject({
      state: 'up',
      address: expect.stringMatching(/unprivileged user, bubblewrap, seccomp.*Python 3\.\d+.*pandas/) as string,
    })
  })

  test('metrics count what ran, by how it ended, and how long each phase took', async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text()
    expect(text).toMatch(/^lagoa_python_ended_total\{status="success"\} [1-9]/m)
    expect(text).toMatch(/^lagoa_python_seconds_total\{phase="running"\} 0\.\d+/m)
    expect(text).toMatch(/^lagoa_python_running 0$/m)
  })

  test('one that is waited for stands in the history as well, also when its code fails', async () => {
    const good = await ask('POST', '/process/', job())
    expect(good.status).toBe(200)
    const bad = await ask('POST', '/api/v1/process', job("def process(df):\n    print('nul \\0 ' + chr(0xd800))\n    raise ValueError('nul \\0 here')\n"))
    expect(bad.status).toBe(422)
    expect((await ask('GET', `/process/jobs/${good.body.job_id}`)).body).toMatchObject({ status: 'success', rows: 30, logs: ['doubling 30'] })
    expect((await ask('GET', `/process/jobs/${bad.body.job_id}`)).body).toMatchObject({ status: 'error', line: 3, rows: null })
    const { items } = (await ask<{ items: { id: string; state: string; error: { message: string } | null }[] }>('GET', '/api/v1/runs?kind=process&limit=2'))
      .body
    expect(items.map(({ id, state }) => [id, state])).toEqual([
      [bad.body.job_id, 'failed'],
      [good.body.job_id, 'succeeded'],
    ])
    expect(items[0]?.error?.message).toContain('ValueError')
    const listed = (await ask<{ items: Job[]; cursor?: string }>('GET', '/process/jobs?status=error&limit=1')).body
    expect(listed.items).toMatchObject([{ job_id: bad.body.job_id, message: expect.stringContaining('ValueError') as string }])
    // Neither does a code that is no text to the database keep anybody from the history.
    const odd = await ask('POST', '/process', job(`${TWICE}# ${String.fromCharCode(0)} ${String.fromCharCode(0xd800)}\n`))
    expect((await ask('GET', `/process/jobs/${odd.body.job_id}`)).body.status).toBe(odd.body.status)
    expect((await submit(`${TWICE}# ${String.fromCharCode(0)}\n`)).status).toBe(202)
    expect((await ask('GET', '/process/jobs?dataset_path=meu-bucket/dados/vendas.csv')).status).toBe(200)
  }, 60_000)

  test('a code that fails is a job that failed, with its line, and a run that failed', async () => {
    const { body } = await submit("def process(df):\n    return df['nothing']\n")
    expect(await ended(body.job_id)).toMatchObject({ status: 'error', line: 2, message: expect.stringContaining('KeyError') as string, parquet_path: null })
    const run = await eventually('its run is over', async () => {
      const found = (await ask<{ state: string; endedAt: number | null }>('GET', `/api/v1/runs/${body.job_id}`)).body
      return found.endedAt === null ? undefined : found
    })
    expect(run.state).toBe('failed')
    // Run anew it is what it was: what came of a job is not changed.
    await ask('POST', `/api/v1/runs/${body.job_id}/retry`, {})
    await eventually('the second try is over', async () => {
      const { items } = (await ask<{ items: { state: string }[] }>('GET', `/api/v1/runs/${body.job_id}/tasks/0/attempts`)).body
      return items.length === 2 && items.every(({ state }) => state === 'failed')
    })
    expect((await ask('GET', `/process/jobs/${body.job_id}`)).body.status).toBe('error')
  }, 60_000)

  test('who prefers to wait a little gets the result when it comes in time', async () => {
    const soon = await submit(TWICE, {}, { prefer: 'respond-async, wait=30' })
    expect({ status: soon.status, result: soon.body.status }).toEqual({ status: 200, result: 'success' })
    const late = await submit(slow(4), {}, { prefer: 'respond-async; wait=1, wait=1' })
    expect(late.status).toBe(202)
    await ask('POST', `/process/jobs/${late.body.job_id}/cancel`)
  }, 60_000)

  test('the same key is the same job, and another request with it is refused', async () => {
    const [first, second] = await Promise.all([submit(TWICE, {}, { 'idempotency-key': 'k1' }), submit(TWICE, {}, { 'idempotency-key': 'k1' })])
    expect(second.body.job_id).toBe(first.body.job_id)
    await ended(first.body.job_id)
    // Also for who waits.
    const waited = await ask('POST', '/process', job(), { 'idempotency-key': 'k1' })
    expect({ status: waited.status, id: waited.body.job_id }).toEqual({ status: 200, id: first.body.job_id })
    const other = await submit(slow(1), {}, { 'idempotency-key': 'k1' })
    expect({ status: other.status, code: other.body.error?.code }).toEqual({ status: 409, code: 'process.key_used' })
  }, 60_000)

  test('a job is followed as it happens, and taken up again where it was', async () => {
    const { body } = await submit(slow(2))
    const events = await eventsOf(`${server.url}/process/jobs/${body.job_id}/events`)
    expect(events.map(({ event }) => event)).toEqual(expect.arrayContaining(['status', 'log', 'end']))
    expect(events.filter(({ event }) => event === 'log').map(({ data }) => data.line)).toEqual(['begun'])
    expect(events.some(({ event, data }) => event === 'status' && data.status === 'running')).toBe(true)
    expect(events.at(-1)).toMatchObject({ event: 'end', data: { status: 'success', rows: 30 } })
    const cursor = events.find(({ event }) => event === 'log')?.id ?? ''
    const again = await eventsOf(`${server.url}/api/v1/process/jobs/${body.job_id}/events`, cursor)
    expect(again.map(({ event }) => event)).toEqual(['end'])
  }, 60_000)

  test('a job that runs is cancelled, and one that waits', async () => {
    const jobs: Answer<Job>[] = []
    for (let n = 0; n < 6; n++) jobs.push(await submit(slow(60)))
    const [first, last] = [jobs[0]?.body.job_id ?? '', jobs.at(-1)?.body.job_id ?? '']
    await eventually('the first one runs', async () => (await ask('GET', `/process/jobs/${first}`)).body.progress?.phase === 'running', 30_000, 100)
    expect((await ask('GET', `/process/jobs/${last}`)).body.status).toBe('queued')
    expect((await ask('POST', `/process/jobs/${last}/cancel`)).body.status).toBe('cancelled')
    for (const { body } of jobs) await ask('POST', `/process/jobs/${body.job_id}/cancel`)
    for (const { body } of jobs) expect((await ended(body.job_id)).status).toBe('cancelled')
    expect((await ask('POST', `/process/jobs/${first}/cancel`)).status).toBe(200)
    expect((await ask('POST', '/process/jobs/nothing/cancel')).status).toBe(404)
  }, 60_000)

  test('a webhook tells that it is over, signed, and again when it was not taken', async () => {
    receiver.answers.push(500)
    const { body } = await submit(TWICE, { webhook: { url: `http://${receiver.host}/hook` } })
    await ended(body.job_id)
    const failed = await eventually('the first try failed', async () => {
      const { webhook } = (await ask('GET', `/process/jobs/${body.job_id}`)).body
      return webhook?.attempts === 1 ? webhook : undefined
    })
    expect(failed).toMatchObject({ state: 'waiting', error: expect.stringContaining('500') as string })
    const delivered = await eventually(
      'it was taken',
      async () => (await ask('GET', `/process/jobs/${body.job_id}`)).body.webhook?.state === 'delivered',
      30_000,
    )
    expect(delivered).toBe(true)
    const [first, second] = receiver.got
    expect(receiver.got).toHaveLength(2)
    expect(second?.headers['webhook-id']).toBe(first?.headers['webhook-id'])
    for (const { headers, body: sent } of receiver.got) {
      const [id, at] = [String(headers['webhook-id']), String(headers['webhook-timestamp'])]
      expect(Math.abs(Date.now() / 1000 - Number(at))).toBeLessThan(60)
      expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', SECRET_BYTES).update(`${id}.${at}.${sent}`).digest('base64')}`)
      expect(JSON.parse(sent)).toMatchObject({ type: 'process.job.ended', data: { job_id: body.job_id, status: 'success', rows: 30 } })
    }
  }, 90_000)

  test.each([
    ['http://127.0.0.1:1/x', 403, 'process.webhook_inside'],
    ['http://2130706433/x', 403, 'process.webhook_inside'],
    ['http://[::1]/x', 403, 'process.webhook_inside'],
    ['http://[::ffff:10.0.0.1]/x', 403, 'process.webhook_inside'],
    ['http://169.254.169.254/latest/meta-data', 403, 'process.webhook_inside'],
    ['http://user:password@example.com/x', 400, 'process.webhook_url'],
    ['file:///etc/passwd', 400, 'process.webhook_url'],
    ['nowhere', 400, 'process.webhook_url'],
  ])('no webhook goes to %s', async (url, status, code) => {
    const answer = await submit(TWICE, { webhook: { url } })
    expect({ status: answer.status, code: answer.body.error?.code }).toEqual({ status, code })
  })

  test('a webhook to a name that means this machine is never sent', async () => {
    const { body } = await submit(TWICE, { webhook: { url: `http://localhost:${receiver.host.split(':')[1]}/hook` } })
    const before = receiver.got.length
    await ended(body.job_id)
    const told = await eventually('it was given up', async () => {
      const { webhook } = (await ask('GET', `/process/jobs/${body.job_id}`)).body
      return webhook?.attempts === 1 ? webhook : undefined
    })
    expect(told.error).toContain('address of this machine')
    expect(receiver.got).toHaveLength(before)
  }, 60_000)

  test.each([
    [{ dataset_path: 'meu-bucket/nothing.csv' }, 404, 'process.no_dataset'],
    [{ dataset_path: 'vendas' }, 400, 'process.dataset_path'],
    [{ timeout: 1e6 }, 400, 'process.limit'],
    [{ webhook: 'http://example.com' }, 400, 'http.invalid_request'],
  ])('a job that makes no sense is refused at once: %j', async (change, status, code) => {
    const answer = await submit(TWICE, change)
    expect({ status: answer.status, code: answer.body.error?.code }).toEqual({ status, code })
  })

  test('a request that goes away ends its code, and is kept as cancelled', async () => {
    const gone = new AbortController()
    const body = JSON.stringify(job(slow(50), { timeout: 60 }))
    const asked = fetch(`${server.url}/process`, { method: 'POST', headers: { 'content-type': 'application/json' }, body, signal: gone.signal })
    await eventually('it runs', async () => (await (await fetch(`${server.url}/metrics`)).text()).includes('lagoa_python_running 1\n'), 20_000, 50)
    gone.abort()
    await expect(asked).rejects.toThrow('abort')
    await eventually('it has ended', async () => (await (await fetch(`${server.url}/metrics`)).text()).includes('lagoa_python_running 0\n'), 20_000, 50)
    const kept = await eventually('it is kept', async () => {
      const { items } = (await ask<{ items: Job[] }>('GET', '/process/jobs?status=cancelled&limit=1')).body
      return items[0]?.message === 'Who asked for it went away' ? items[0] : undefined
    })
    await eventually('its run is kept as well', async () => (await ask<{ state: string }>('GET', `/api/v1/runs/${kept.job_id}`)).body.state === 'cancelled')
  }, 60_000)

  test('a job whose sandbox falls is told as killed, and the next one runs', async () => {
    const { body } = await submit(slow(30))
    await eventually('it runs', async () => (await ask('GET', `/process/jobs/${body.job_id}`)).body.progress?.phase === 'running', 30_000, 50)
    const supervisor = descendants(server.pid).find(({ command }) => command.includes('supervisor.py'))
    process.kill(supervisor?.pid ?? 0, 'SIGKILL')
    expect(await ended(body.job_id)).toMatchObject({ status: 'killed', message: expect.stringContaining('sandbox fell') as string })
    expect((await ask('POST', '/process', job())).body.status).toBe('success')
  }, 90_000)

  test('jobs are not lost with the node that ran them: they are run again when it is back', async () => {
    const running = (await submit(slow(3))).body.job_id
    const waiting = await Promise.all(Array.from({ length: 5 }, async () => (await submit(slow(1))).body.job_id))
    await eventually('it runs', async () => (await ask('GET', `/process/jobs/${running}`)).body.progress?.phase === 'running', 30_000, 50)
    await server.kill('SIGKILL')
    server = await start()
    for (const id of [running, ...waiting]) expect(await ended(id)).toMatchObject({ status: 'success', rows: 30 })
    const { items } = (await ask<{ items: { state: string }[] }>('GET', `/api/v1/runs/${running}/tasks/0/attempts`)).body
    expect(items.map(({ state }) => state)).toEqual(['lost', 'succeeded'])
  }, 180_000)
})

interface Receiver {
  readonly host: string
  readonly got: { readonly headers: IncomingHttpHeaders; readonly body: string }[]
  /** The next answers; 204 when there is none. */
  readonly answers: number[]
  close(): void
}

async function startReceiver(): Promise<Receiver> {
  const got: Receiver['got'] = []
  const answers: number[] = []
  const server: Server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.once('end', () => {
      got.push({ headers: request.headers, body })
      response.writeHead(answers.shift() ?? 204).end()
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  return { host: `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`, got, answers, close: () => server.close() }
}

interface SentEvent {
  readonly event: string
  readonly id: string
  readonly data: Record<string, unknown>
}

/** All events of a stream that ends by itself. */
async function eventsOf(url: string, lastId?: string): Promise<SentEvent[]> {
  const answer = await fetch(url, { headers: { accept: 'text/event-stream', ...(lastId === undefined ? {} : { 'last-event-id': lastId }) } })
  const text = await answer.text()
  return text.split('\n\n').flatMap((block) => {
    const field = (name: string): string =>
      block
        .split('\n')
        .find((line) => line.startsWith(`${name}: `))
        ?.slice(name.length + 2) ?? ''
    return field('event') === '' ? [] : [{ event: field('event'), id: field('id'), data: JSON.parse(field('data')) as Record<string, unknown> }]
  })
}
