/** Starting, waiting and watching, as a user meets them: the real command in a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { median, percentile, type Figure } from './figures.ts'
import { memoryOfTree } from './memory.ts'

const ROOT = join(import.meta.dirname, '..')
const STARTS = 5
const WATCH_MS = 15_000
const IDLE_MS = 20_000

export async function serving(): Promise<Figure[]> {
  const first: number[] = []
  const later: number[] = []
  for (let i = 0; i < STARTS; i++) {
    const home = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
    for (const times of [first, later]) {
      const running = await start(home, [])
      times.push(running.ms)
      await running.stop()
    }
    await rm(home, { recursive: true, force: true })
  }
  const home = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
  const idle = await start(home, [])
  await sleep(IDLE_MS)
  const memory = await memoryOfTree(idle.pid, home)
  await idle.stop()
  const busy = await start(home, ['--stations', '50', '--rate', '1000'])
  const delays = await watch(busy.url, WATCH_MS)
  await busy.stop()
  await rm(home, { recursive: true, force: true })
  return [
    { name: `First start to ready (empty home; median of ${STARTS})`, value: `${Math.round(median(first))} ms`, target: '<= 4,000 ms' },
    { name: `Later start to ready (median of ${STARTS})`, value: `${Math.round(median(later))} ms`, target: '<= 1,500 ms' },
    {
      name: `Memory of all processes after ${IDLE_MS / 1000} s of the example at 12 readings/s (PSS)`,
      value: `${Math.round(memory / 1e6)} MB`,
      target: '<= 300 MB',
    },
    {
      name: `Sensor to client of the event stream at 1,000 readings/s (${delays.length.toLocaleString('en')} readings)`,
      value: `p50 ${Math.round(percentile(delays, 0.5))} ms, p95 ${Math.round(percentile(delays, 0.95))} ms, p99 ${Math.round(percentile(delays, 0.99))} ms`,
      target: 'p95 <= 250 ms',
    },
  ]
}

interface Running {
  readonly url: string
  readonly pid: number
  /** From spawning the process to its answer to a request. */
  readonly ms: number
  stop(): Promise<void>
}

async function start(home: string, flags: readonly string[]): Promise<Running> {
  const began = performance.now()
  const child = spawn(process.execPath, ['src/cli/main.ts', 'start', '--project', 'examples/air-quality', '--port', '0', '--home', home, '--json', ...flags], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const line = await firstLine(child)
  const { url } = JSON.parse(line) as { url: string }
  await (await fetch(`${url}/health/ready`)).text()
  const ms = performance.now() - began
  return {
    url,
    pid: child.pid ?? 0,
    ms,
    stop: () =>
      new Promise((done) => {
        child.once('exit', () => done())
        child.kill('SIGTERM')
      }),
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    if (child.stdout) createInterface({ input: child.stdout }).once('line', resolve)
    child.once('exit', (code) => reject(new Error(`lagoa ended with ${code}`)))
  })
}

/** The delay of each reading from its own time to its arrival here, once the stream has settled. */
function watch(url: string, forMs: number): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const delays: number[] = []
    const began = Date.now()
    const request = get(`${url}/api/v1/events?streams=sensor_raw`, (response) => {
      let rest = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        const now = Date.now()
        const parts = (rest + text).split('\n\n')
        rest = parts.pop() ?? ''
        if (now - began < 2000) return
        for (const part of parts) {
          if (!part.startsWith('data: ')) continue
          const { live } = JSON.parse(part.slice(6)) as { live?: { sensor_raw?: { times: number[] } } }
          for (const time of live?.sensor_raw?.times ?? []) delays.push(now - time)
        }
      })
    })
    request.once('error', reject)
    setTimeout(() => {
      request.removeAllListeners('error')
      request.on('error', () => undefined)
      request.destroy()
      resolve(delays)
    }, forMs)
  })
}
