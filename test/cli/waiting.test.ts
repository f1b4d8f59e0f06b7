import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { EXAMPLE, newHome, start } from '../helpers/cli.ts'
import { noPostgresServer, startPostgresServer } from '../helpers/postgres-server.ts'
import { freePort } from '../helpers/servers.ts'

const nowhere = 'postgresql://me:hunter2@127.0.0.1:1/db'

/** Asks until the address gives an answer that fits. */
async function answer(
  port: number,
  path: string,
  fits: (answer: { readonly status: number; readonly text: string }) => boolean,
  accept = '*/*',
): Promise<string> {
  let last = 'no answer'
  for (let tries = 0; tries < 600; tries++) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { accept } })
      const text = await response.text()
      if (fits({ status: response.status, text })) return text
      last = `${response.status} ${text}`
    } catch (error) {
      last = String(error)
    }
    await sleep(50)
  }
  throw new Error(last)
}

describe('a start whose database server is away', () => {
  test('tells so at its address, to programs and to people, and ends when it is stopped', async () => {
    const port = await freePort()
    const started = start(['start', '--project', EXAMPLE, '--port', String(port)], { home: newHome(), env: { LAGOA_DATABASE__URL: nowhere } })
    const told = await answer(port, '/api/v1/system', ({ text }) => text.includes('Lagoa is waiting'))
    expect(JSON.parse(told)).toMatchObject({
      error: {
        code: 'storage.database_away',
        kind: 'unavailable',
        message: expect.stringContaining('ECONNREFUSED') as string,
        hint: expect.any(String) as string,
      },
    })
    expect(await answer(port, '/', ({ status }) => status === 503, 'text/html')).toContain('<h1>Lagoa is waiting: ')
    const { code, stdout, stderr } = await started.kill()
    expect(code).toBe(0)
    expect(told + stdout + stderr).not.toContain('hunter2')
  })

  test.skipIf(noPostgresServer !== null)(`goes on when the server comes${noPostgresServer === null ? '' : ` (skipped: ${noPostgresServer})`}`, async () => {
    const server = await startPostgresServer()
    const url = await server.database()
    await server.kill()
    const port = await freePort()
    const started = start(['start', '--project', EXAMPLE, '--port', String(port), '--json'], { home: newHome(), env: { LAGOA_DATABASE__URL: url } })
    await answer(port, '/api/v1/system', ({ text }) => text.includes('Lagoa is waiting'))
    await server.start()
    expect(await started.line('url')).toMatchObject({ url: `http://127.0.0.1:${port}` })
    expect(await answer(port, '/api/v1/system', ({ status }) => status === 200)).toContain('"startedAt"')
    expect((await started.kill()).code).toBe(0)
  })
})
