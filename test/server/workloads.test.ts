/** Workloads over HTTP, as a client of the workload document uses them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually, project, serve, type Served } from '../helpers/cli.ts'

let server: Served
const PROJECT = {
  'streams/posts.ts': `import { stream, t } from 'lagoa'
export const posts = stream('posts', { schema: { body: t.string().nullable() } })
`,
  'tables/posts.ts': `import { table } from 'lagoa'
import { posts } from '../streams/posts.ts'
export const raw = table('bronze.posts', { from: posts })
`,
  'flows/hello.ts': `import { flow, task, z } from 'lagoa'
export const hello = flow('hello', { params: z.object({ who: z.string() }) }, (p) => {
  task('greet', { with: { who: p.who }, run: ({ who }) => 'hello ' + who })
})
export const slow = flow('slow', {}, () => {
  task('wait', { run: (_, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))) })
})
`,
}

interface Workload {
  readonly id: string
  readonly version: number
  readonly params: unknown
  readonly lastRun: { readonly id: string; readonly state: string; readonly error: { readonly message: string } | null } | null
}
interface Answer<T> {
  readonly status: number
  readonly headers: Headers
  readonly body: T
}

async function ask<T = Workload>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer<T>> {
  const answer = await fetch(server.url + path, {
    method,
    headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as T }
}

const ended = (id: string): Promise<string> =>
  eventually(
    `workload ${id} has run`,
    async () => {
      const { lastRun } = (await ask('GET', `/workloads/${id}`)).body
      return lastRun && ['succeeded', 'failed', 'cancelled'].includes(lastRun.state) ? lastRun.state : undefined
    },
    60_000,
  )

beforeAll(async () => {
  server = await serve('start', ['--project', project(PROJECT)])
  await server.post('/api/v1/streams/posts/records', [
    { body: "O rato roeu, o rei RIU: O rato! don't" },
    { body: null },
    { body: 'Café cafe\u0301 — rato-rei 42' },
  ])
  await eventually('the table has its rows', async () => {
    const { items } = await server.get<{ items: { name: string; rows: number | null }[] }>('/api/v1/tables')
    return items.find(({ name }) => name === 'bronze.posts')?.rows === 3
  })
}, 120_000)
afterAll(async () => {
  expect((await server.kill()).code).toBe(0)
})

describe('a word count', () => {
  test('is created, run by a worker, and its counts are read page by page', async () => {
    const made = await ask('POST', '/workloads', { name: 'words of posts', kind: 'word_count', params: { source: 'project.bronze.posts', column: 'body' } })
    expect(made.status).toBe(201)
    expect(made.headers.get('location')).toBe(`/workloads/${made.body.id}`)
    expect(await ended(made.body.id)).toBe('succeeded')
    const words: unknown[] = []
    let cursor: string | undefined
    do {
      const page: { items: unknown[]; cursor?: string } = (
        await ask<{ items: unknown[]; cursor?: string }>('GET', `/workloads/${made.body.id}/results?limit=3${cursor ? `&cursor=${cursor}` : ''}`)
      ).body
      words.push(...page.items)
      cursor = page.cursor
    } while (cursor !== undefined)
    expect(words).toEqual([
      { word: 'o', count: 3 },
      { word: 'rato', count: 3 },
      { word: 'café', count: 2 },
      { word: 'rei', count: 2 },
      { word: '42', count: 1 },
      { word: "don't", count: 1 },
      { word: 'riu', count: 1 },
      { word: 'roeu', count: 1 },
    ])
  })

  test('of a text in the object store counts its lines, and only the most frequent words when asked', async () => {
    mkdirSync(join(server.home, 'objects/texts'), { recursive: true })
    writeFileSync(join(server.home, 'objects/texts/poem.txt'), 'Uma pedra no meio, "no meio do caminho"\r\n\nno; caminho,uma\tno')
    const { body } = await ask('POST', '/workloads', { name: 'poem', kind: 'word_count', params: { source: 'texts/poem.txt', top: 2 } })
    await ended(body.id)
    expect((await ask('GET', `/workloads/${body.id}`)).body.lastRun).toMatchObject({ error: null, state: 'succeeded' })
    expect((await ask<{ items: unknown[] }>('GET', `/workloads/${body.id}/results`)).body.items).toEqual([
      { word: 'no', count: 4 },
      { word: 'caminho', count: 2 },
    ])
  })

  test.each([
    [{ source: 'bronze.posts' }, 'Which column'],
    [{ source: 'bronze.posts', column: 'boddy' }, 'Did you mean body?'],
    [{ source: 'bronze.nothing', column: 'x' }, 'There is no table'],
    [{ source: 'texts/nothing.txt' }, 'texts/nothing.txt'],
  ])('of %j fails with what to mend', async (params, words) => {
    const { body } = await ask('POST', '/workloads', { name: 'wrong', kind: 'word_count', params })
    expect(await ended(body.id)).toBe('failed')
    const { lastRun } = (await ask<Workload & { lastRun: { error: { message: string; hint?: string } } }>('GET', `/workloads/${body.id}`)).body
    expect(`${lastRun.error.message} ${lastRun.error.hint ?? ''}`).toContain(words)
    expect((await ask('GET', `/workloads/${body.id}/results`)).status).toBe(404)
  })
})

describe('a workload', () => {
  test('is listed, changed with its ETag, and deleted', async () => {
    const { body } = await ask('POST', '/workloads', { name: 'Changing', kind: 'sql', params: { sql: 'select 1 as n' } })
    expect(await ended(body.id)).toBe('succeeded')
    const listed = (await ask<{ items: Workload[] }>('GET', '/workloads?name=chang&kind=sql')).body
    expect(listed.items.map(({ id }) => id)).toEqual([body.id])
    const changed = await ask(
      'PATCH',
      `/workloads/${body.id}`,
      { params: { sql: "select 'x' as s, 2 as n union all select 'y', 3 order by n" } },
      { 'if-match': '"1"' },
    )
    expect(changed.body.version).toBe(2)
    // Compression makes it a weak one.
    expect(changed.headers.get('etag')).toMatch(/^(W\/)?"2"$/)
    expect((await ask('PUT', `/workloads/${body.id}`, { name: 'a', kind: 'sql', params: { sql: 'select 1' } }, { 'if-match': '"1"' })).status).toBe(409)
    const run = await ask<{ id: string }>('POST', `/workloads/${body.id}/runs`)
    await eventually(
      'the second run',
      async () => (await ask<{ items: { id: string; state: string }[] }>('GET', `/workloads/${body.id}/runs`)).body.items[0]?.state === 'succeeded',
      30_000,
    )
    expect((await ask<{ items: { id: string }[] }>('GET', `/workloads/${body.id}/runs`)).body.items[0]?.id).toBe(run.body.id)
    expect((await ask<{ items: unknown[] }>('GET', `/workloads/${body.id}/results`)).body.items).toEqual([
      { s: 'x', n: '2' },
      { s: 'y', n: '3' },
    ])
    expect((await ask('DELETE', `/workloads/${body.id}`)).status).toBe(200)
    expect((await ask('GET', `/workloads/${body.id}`)).status).toBe(404)
  })

  test('that is asked for twice with one key is one', async () => {
    const body = { name: 'once', kind: 'flow', params: { flow: 'hello', params: { who: 'Ana' } } }
    const [first, second] = [
      await ask('POST', '/workloads', body, { 'idempotency-key': 'k1' }),
      await ask('POST', '/workloads', body, { 'idempotency-key': 'k1' }),
    ]
    expect(second.body.id).toBe(first.body.id)
    expect(await ended(first.body.id)).toBe('succeeded')
    expect((await ask<{ items: unknown[] }>('GET', `/workloads/${first.body.id}/runs`)).body.items).toHaveLength(1)
    expect((await ask<{ items: unknown[] }>('GET', `/workloads/${first.body.id}/results`)).body.items).toEqual([
      { task: 'greet', state: 'succeeded', output: 'hello Ana' },
    ])
  })

  test('that runs is cancelled', async () => {
    const { body } = await ask('POST', '/workloads', { name: 'slow', kind: 'flow', params: { flow: 'slow' } })
    await eventually('it runs', async () => (await ask('GET', `/workloads/${body.id}`)).body.lastRun?.state === 'running', 20_000)
    expect((await ask<{ cancelled: number }>('POST', `/workloads/${body.id}/cancel`)).body).toEqual({ cancelled: 1 })
    expect(await ended(body.id)).toBe('cancelled')
  })

  test.each([
    [{ name: 'x', kind: 'word_cuont', params: {} }, 'workloads.kind', 'Did you mean word_count?'],
    [{ name: 'x', kind: 'word_count', params: { top: 3 } }, 'workloads.params', 'params.source'],
    [{ name: 'x', kind: 'flow', params: { flow: 'helo' } }, 'flows.no_flow', 'Did you mean hello?'],
    [{ name: '', kind: 'sql', params: { sql: 'select 1' } }, 'http.invalid_request', 'name'],
  ])('%j is refused', async (request, code, words) => {
    const { status, body } = await ask<{ error: { code: string; message: string; hint?: string } }>('POST', '/api/v1/workloads', request)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(body.error.code).toBe(code)
    expect(`${body.error.message} ${body.error.hint ?? ''}`).toContain(words)
  })

  test('of every kind tells what it takes', async () => {
    const { items } = (await ask<{ items: { kind: string; params: { properties: object } }[] }>('GET', '/api/v1/workload-kinds')).body
    expect(items.map(({ kind }) => kind)).toEqual(['word_count', 'sql', 'python', 'flow'])
  })

  test('that is there shows no flow of Lagoa among those of the project', async () => {
    expect((await server.get<{ items: { name: string }[] }>('/api/v1/flows')).items.map(({ name }) => name)).toEqual(['hello', 'slow'])
  })
})
