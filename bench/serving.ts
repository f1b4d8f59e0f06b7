/** Starting, waiting and watching, as a user meets them: the real command in a process of its own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
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
const SAVES = 21
const POSTS = 50

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
  const saved = await reload(home)
  const quiet = await start(home, [])
  const posts = await posted(quiet.url)
  const stopping = performance.now()
  await quiet.stop()
  const stopped = performance.now() - stopping
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
      name: `A saved rule to its effect in the API, in \`lagoa dev\` (${SAVES} saves)`,
      value: `p50 ${Math.round(percentile(saved, 0.5))} ms, p95 ${Math.round(percentile(saved, 0.95))} ms`,
      target: '<= 200 ms',
    },
    {
      name: `A posted reading to a client of the event stream (${POSTS} posts, one at a time)`,
      value: `p50 ${Math.round(percentile(posts, 0.5))} ms, p95 ${Math.round(percentile(posts, 0.95))} ms`,
      target: 'p95 <= 250 ms',
    },
    { name: 'SIGTERM to the end of `lagoa start`', value: `${Math.round(stopped)} ms`, target: '<= 3,000 ms' },
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

/** From the end of a write to a file of the project to the moment in which a request sees it. */
async function reload(home: string): Promise<number[]> {
  const project = join(home, 'project')
  await cp(join(ROOT, 'examples/air-quality'), project, { recursive: true })
  const running = await start(home, [], 'dev', project)
  const rules = join(project, 'alerts/air.ts')
  const text = await readFile(rules, 'utf8')
  const took: number[] = []
  for (let i = 0; i < SAVES; i++) {
    const limit = 100 + i
    await writeFile(rules, text.replace(/\$\{co\} > \d+/, `\${co} > ${limit}`))
    const began = performance.now()
    while (!(await (await fetch(`${running.url}/api/v1/rules`)).text()).includes(`co > ${limit}`)) await sleep(2)
    took.push(performance.now() - began)
    await sleep(200)
  }
  await running.stop()
  return took
}

async function posted(url: string): Promise<number[]> {
  const seen = new Map<string, () => void>()
  const request = get(`${url}/api/v1/events?streams=sensor_raw`, (response) => {
    response.setEncoding('utf8')
    response.on('data', (text: string) => {
      for (const [sensor, tell] of seen) if (text.includes(sensor)) tell()
    })
  })
  request.on('error', () => undefined)
  await sleep(1_000)
  const took: number[] = []
  for (let i = 0; i < POSTS; i++) {
    const sensor = `posted-${i}-`
    const arrived = new Promise<void>((resolve) => seen.set(sensor, resolve))
    const began = performance.now()
    await fetch(`${url}/api/v1/streams/sensor_raw/records`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([{ sensor, at: new Date().toISOString(), co: 1 }]),
    })
    await arrived
    took.push(performance.now() - began)
    seen.delete(sensor)
    await sleep(100 * Math.random())
  }
  request.destroy()
  return took
}

async function start(home: string, flags: readonly string[], command: string = 'start', project: string = 'examples/air-quality'): Promise<Running> {
  const began = performance.now()
  const child = spawn(process.execPath, ['src/cli/main.ts', command, '--project', project, '--port', '0', '--home', home, '--json', ...flags], {
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
