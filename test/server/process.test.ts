/** Users' Python over HTTP, as the client of its document calls it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findEnvironment } from '../../src/sandbox/index.ts'
import { EXAMPLE, serve, type Served } from '../helpers/cli.ts'

const environment = await findEnvironment()
const missing = !environment.ready ? environment.message : existsSync('/usr/bin/bwrap') ? null : 'there is no bubblewrap: apt-get install bubblewrap'

const CODE = `
import pandas as pd
import numpy as np

def process(df):
    df['rolling_mean'] = df['valor'].rolling(window=3).mean()
    df = df.dropna()
    df['timestamp'] = pd.Timestamp.now()
    return df
`

describe.skipIf(missing !== null)(`POST /process${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  let server: Served
  beforeAll(async () => {
    server = await serve('start', ['--project', EXAMPLE, '--count', '1'])
    mkdirSync(join(server.home, 'objects/meu-bucket/dados'), { recursive: true })
    writeFileSync(
      join(server.home, 'objects/meu-bucket/dados/vendas.csv'),
      `loja,valor\n${Array.from({ length: 10 }, (_, i) => `Loja ${i},${i + 0.5}`).join('\n')}\n`,
    )
  }, 120_000)
  afterAll(async () => {
    expect((await server.kill()).code).toBe(0)
  })

  async function ask(
    body: unknown,
    path = '/process/',
  ): Promise<{ status: number; body: Record<string, unknown> & { error?: { code: string; hint?: string } } }> {
    const answer = await fetch(server.url + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
  }
  const job = { dataset_path: 'meu-bucket/dados/vendas.csv', code: CODE, timeout: 120, max_memory: 1024 }

  test('answers what the client prints, and the result is a Parquet file that anyone can read', async () => {
    const { status, body } = await ask(job)
    expect({ status, body }).toMatchObject({
      status: 200,
      body: {
        status: 'success',
        rows: 8,
        columns: ['loja', 'valor', 'rolling_mean', 'timestamp'],
        execution_time: expect.any(Number) as number,
        message: null,
      },
    })
    expect(body.parquet_path).toMatch(/^processed\/[0-9a-f-]+\.parquet$/)
    expect(existsSync(join(server.home, 'objects', String(body.parquet_path)))).toBe(true)
    expect((body.preview as unknown[][])[0]?.slice(0, 3)).toEqual(['Loja 2', 2.5, 1.5])
    expect((await ask(job, '/process')).body.status).toBe('success')
  }, 120_000)

  test.each([
    ['refused', { code: 'import os\ndef process(df):\n    return df\n' }, { status: 'rejected', line: 1 }, { line: 1, col: 7 }],
    ['fails', { code: "def process(df):\n    return df['nothing']\n" }, { status: 'error', line: 2 }, null],
    ['never ends', { code: 'def process(df):\n    while True:\n        pass\n', timeout: 1 }, { status: 'timeout' }, null],
  ])(
    'code that is %s is told of with 422 and the same fields',
    async (_, change, wanted, finding) => {
      const { status, body } = await ask({ ...job, ...change })
      expect(status).toBe(422)
      expect(body).toMatchObject({ ...wanted, parquet_path: null, rows: null, columns: null, execution_time: null, message: expect.any(String) as string })
      if (finding) expect(body.findings).toMatchObject([finding])
    },
    60_000,
  )

  test.each([
    [{ ...job, dataset_path: 'meu-bucket/nothing.csv' }, 404, 'process.no_dataset'],
    [{ ...job, dataset_path: 'vendas' }, 400, 'process.dataset_path'],
    [{ ...job, timeout: 1e6 }, 400, 'process.limit'],
    [{ ...job, max_memory: 'much' }, 400, 'http.invalid_request'],
    [{ dataset_path: 'a/b.csv' }, 400, 'http.invalid_request'],
  ])('a request that makes no sense is refused: %j', async (request, status, code) => {
    const answer = await ask(request)
    expect({ status: answer.status, code: answer.body.error?.code }).toEqual({ status, code })
  })

  test('the example of its page runs as it is written there', async () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/process.md'), 'utf8')
    const [, body = ''] = /-d '(\{[^']*\})'/.exec(page) ?? []
    mkdirSync(join(server.home, 'objects/my-bucket/data'), { recursive: true })
    writeFileSync(join(server.home, 'objects/my-bucket/data/sales.csv'), 'value\n1\n2\n3\n4\n')
    const answer = await ask(JSON.parse(body))
    expect(answer).toMatchObject({ status: 200, body: { status: 'success', rows: 2, columns: ['value', 'mean'] } })
    // The page has every field of an answer, and no other.
    const [, table = ''] = /\| field of the answer \|[^\n]*\n\|[-|]*\n((?:\|.*\n)+)/.exec(page) ?? []
    const named = table.split('\n').flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name ?? ''))
    expect(named.sort()).toEqual(Object.keys(answer.body).sort())
  }, 60_000)

  test('validate says what would be refused without running anything', async () => {
    const { body } = await ask({ code: "def process(df):\n    open('/etc/passwd')\n    return df\n" }, '/process/validate')
    expect(body.findings).toMatchObject([{ line: 2, col: 4 }])
  })
})
