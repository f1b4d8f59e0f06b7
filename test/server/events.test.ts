/** The event stream: quick, batched, bounded, and gone when its reader is. */
import { readdirSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LiveMessage } from '../../src/server/wire.ts'
import { EXAMPLE, eventually, newHome, serve, type Served } from '../helpers/cli.ts'

let server: Served
beforeAll(async () => {
  server = await serve('start', ['--project', EXAMPLE, '--rate', '400'], { home: newHome() })
}, 60_000)
afterAll(async () => {
  expect((await server.kill()).code).toBe(0)
})

interface Heard {
  readonly messages: { readonly at: number; readonly message: LiveMessage }[]
  close(): void
}

async function listen(streams: string): Promise<Heard> {
  const controller = new AbortController()
  const answer = await fetch(`${server.url}/api/v1/events?streams=${streams}`, { signal: controller.signal })
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
  const messages: Heard['messages'] = []
  const reading = (async () => {
    let rest = ''
    for await (const chunk of answer.body ?? []) {
      rest += Buffer.from(chunk).toString()
      const parts = rest.split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) if (part.startsWith('data: ')) messages.push({ at: performance.now(), message: LiveMessage.parse(JSON.parse(part.slice(6))) })
    }
  })()
  reading.catch(() => undefined)
  return { messages, close: () => controller.abort() }
}

const openFiles = (): number => readdirSync(`/proc/${server.pid}/fd`).length

describe('the event stream', () => {
  test('has at most about ten messages a second, whatever the rate, and every reading once', async () => {
    const heard = await listen('sensor_raw')
    await eventually('a first message', () => heard.messages.length > 0)
    const from = heard.messages.length
    await sleep(3000)
    const messages = heard.messages.slice(from)
    heard.close()
    expect(messages.length).toBeGreaterThan(15)
    expect(messages.length).toBeLessThanOrEqual(33)
    const count = messages.reduce((sum, { message }) => sum + (message.live?.sensor_raw?.keys.length ?? 0), 0)
    expect(count).toBeGreaterThan(900)
    expect(count).toBeLessThan(1500)
    expect(messages.some(({ message }) => message.services?.every(({ state }) => state === 'up'))).toBe(true)
  })
  test('tells each reading that was posted', async () => {
    const heard = await listen('sensor_raw')
    await eventually('a first message', () => heard.messages.some(({ message }) => message.live))
    for (let i = 0; i < 5; i++) {
      const sensor = `posted-${i}`
      await server.post('/api/v1/streams/sensor_raw/records', [{ sensor, at: new Date().toISOString(), co: 1 }])
      await eventually('the reading', () => heard.messages.find(({ message }) => message.live?.sensor_raw?.keys.includes(sensor)))
    }
    heard.close()
  })
  test('leaves nothing behind when its readers go, two hundred times', async () => {
    await sleep(200)
    const before = openFiles()
    for (let i = 0; i < 20; i++) {
      const heard = await Promise.all(Array.from({ length: 10 }, () => listen('sensor_raw')))
      for (const one of heard) one.close()
    }
    // A hub that kept them would refuse more than a hundred at once.
    await eventually('the connections are gone', () => openFiles() <= before + 2)
    const heard = await listen('sensor_raw')
    await eventually('a message', () => heard.messages.length > 0)
    heard.close()
  })
  test('refuses more readers than it can serve', async () => {
    const heard = await Promise.all(Array.from({ length: 100 }, () => listen('')))
    expect((await fetch(`${server.url}/api/v1/events`)).status).toBe(413)
    for (const one of heard) one.close()
    await eventually('room again', async () => {
      const controller = new AbortController()
      const { status } = await fetch(`${server.url}/api/v1/events`, { signal: controller.signal })
      controller.abort()
      return status === 200
    })
  })
  test('holds little for a reader that does not read', async () => {
    const memory = async (): Promise<number> => Number(/^process_resident_memory_bytes (\S+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1])
    const { hostname, port } = new URL(server.url)
    const sockets = Array.from({ length: 10 }, () => {
      const socket = connect(Number(port), hostname, () => socket.write(`GET /api/v1/events?streams=sensor_raw HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`))
      return socket.pause()
    })
    const before = await memory()
    const lines = Array.from({ length: 5000 }, (_, i) =>
      JSON.stringify({ sensor: `slow-${i % 50}-${'x'.repeat(200)}`, at: '2026-01-01T00:00:00Z', co: 1 }),
    ).join('\n')
    for (let i = 0; i < 20; i++) {
      await fetch(`${server.url}/api/v1/streams/sensor_raw/records`, { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: lines })
    }
    const grown = (await memory()) - before
    for (const socket of sockets) socket.destroy()
    expect(grown).toBeLessThan(400_000_000)
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200)
  })
  test('is not opened by HEAD', async () => {
    expect((await fetch(`${server.url}/api/v1/events`, { method: 'HEAD' })).status).toBe(200)
  })
})
