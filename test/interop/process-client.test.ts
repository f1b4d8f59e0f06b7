/** The Python client that the document about processing data sets prints, run as it stands: its address is reached through a proxy, as in a network. */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findEnvironment } from '../../src/sandbox/index.ts'
import { EXAMPLE, serve, temporaryFolder, type Served } from '../helpers/cli.ts'

const python = join(import.meta.dirname, '../../node_modules/.lagoa/interop/clients/bin/python')
const document = join(import.meta.dirname, '../../../shared/seeds/0-process-datasets.md')
const environment = await findEnvironment()
const missing = !environment.ready
  ? environment.message
  : !existsSync('/usr/bin/bwrap')
    ? 'there is no bubblewrap'
    : !existsSync(document)
      ? 'the document is not here'
      : null

describe.skipIf(missing !== null)(`the client of the document${missing === null ? '' : ` (skipped: ${missing})`}`, () => {
  let server: Served
  let proxy: Server
  let via: string

  beforeAll(async () => {
    if (!existsSync(python)) throw new Error('The clients are not installed: run node scripts/interop-setup.mjs')
    server = await serve('start', ['--project', EXAMPLE, '--count', '1'])
    mkdirSync(join(server.home, 'objects/meu-bucket/dados'), { recursive: true })
    writeFileSync(
      join(server.home, 'objects/meu-bucket/dados/vendas.csv'),
      `data,loja,valor\n${Array.from({ length: 20 }, (_, i) => `2026-01-${String(i + 1).padStart(2, '0')},Loja ${i % 3},${i === 4 ? '' : (i * 1.5).toFixed(2)}`).join('\n')}\n`,
    )
    const { hostname, port } = new URL(server.url)
    proxy = createServer((incoming, answer) => {
      const { pathname } = new URL(incoming.url ?? '', 'http://seu-servico')
      const onward = request(
        { hostname, port, method: incoming.method, path: pathname, headers: { ...incoming.headers, host: `${hostname}:${port}` } },
        (got) => {
          answer.writeHead(got.statusCode ?? 502, got.headers)
          got.pipe(answer)
        },
      )
      incoming.pipe(onward)
    })
    await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done))
    const address = proxy.address()
    via = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
  }, 180_000)
  afterAll(async () => {
    proxy.close()
    expect((await server.kill()).code).toBe(0)
  })

  test('prints its five lines', async () => {
    const [, client = ''] = /```python\n(import requests[^]*?)```/.exec(readFileSync(document, 'utf8')) ?? []
    expect(client).toContain('http://seu-servico/process/')
    const file = join(temporaryFolder('client'), 'client.py')
    writeFileSync(file, client)
    const { stdout } = await promisify(execFile)(python, ['-B', file], {
      timeout: 120_000,
      env: { PATH: '/usr/bin:/bin', http_proxy: via, PYTHONIOENCODING: 'utf-8' },
    })
    // Of twenty values one is missing, and with it the means over three of them; the first two have none.
    expect(stdout.trimEnd().split('\n')).toEqual([
      'Status: success',
      expect.stringMatching(/^Arquivo Parquet: processed\/[0-9a-f-]{36}\.parquet$/),
      'Linhas: 15',
      "Colunas: ['data', 'loja', 'valor', 'rolling_mean', 'timestamp']",
      expect.stringMatching(/^Tempo de execução: \d+\.\d+ segundos$/),
    ])
  }, 180_000)
})
