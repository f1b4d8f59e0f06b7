/**
 * Flows on the embedded database, with fsync on: how long a chain of short tasks takes, many tasks at once, and how soon a run begins. Beside
 * it, in the same run, the same chain in Prefect 3, when `node scripts/interop-setup.mjs prefect-3` has installed it.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { createLog } from '../src/base/index.ts'
import type { Flows } from '../src/flows/index.ts'
import type { Records } from '../src/storage/index.ts'
import { loadConfigFile, openPlatform, resolveConfig } from '../src/platform/index.ts'
import { median, percentile, type Figure } from './figures.ts'

const RUNS = 15
const STARTS = 1_000
const STEPS = 40
const PARTITIONS = 10_000
const PREFECT = join(import.meta.dirname, '../node_modules/.lagoa/interop/prefect-3/bin/python')
const run = promisify(execFile)

export async function flows(): Promise<Figure[]> {
  const home = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
  const project = join(import.meta.dirname, 'projects', 'flows')
  await loadConfigFile(project, undefined)
  const config = resolveConfig(project, [{ from: 'the benchmark', values: { home } }])
  const feed = { once: false, idle: true, simulation: {} }
  const platform = await openPlatform({ config, logger: createLog({ level: 'warn' }), feed, url: 'the benchmark' })
  try {
    const chain = await wholeRuns(platform.flows, 'sequential')
    const wide = await wholeRuns(platform.flows, 'parallel')
    const starts = await startDelays(platform.flows)
    const backfill = await backfillTimes(platform.flows)
    const bare = await bareCommits(platform.engines.records)
    const prefect = existsSync(PREFECT) ? await prefectChain(home) : null
    return [
      {
        name: `${STEPS} tasks one after the other, each taking what the one before answered`,
        value: `${median(chain).toFixed(0)} ms`,
        target: '<= 60 ms',
        ...(prefect === null ? {} : { baseline: `${prefect.toFixed(0)} ms Prefect 3, SQLite`, ratio: `${(prefect / median(chain)).toFixed(0)}x faster` }),
      },
      {
        name: `The same, against ${STEPS} changes of one row, each committed before the next: the least that the disk allows`,
        value: `${median(chain).toFixed(0)} ms`,
        baseline: `${median(bare).toFixed(0)} ms`,
        ratio: `${(median(chain) / median(bare)).toFixed(1)}x`,
      },
      { name: '1,000 tasks at once that do nothing', value: `${median(wide).toFixed(0)} ms`, target: '<= 500 ms' },
      {
        name: `From asking for a run to the begin of its task (${STARTS.toLocaleString('en')} runs)`,
        value: `p50 ${percentile(starts, 0.5).toFixed(1)} ms, p99 ${percentile(starts, 0.99).toFixed(1)} ms`,
        target: 'p99 <= 10 ms',
      },
      {
        name: `Plan and make a backfill of ${PARTITIONS.toLocaleString('en')} partitions`,
        value: `${median(backfill).toFixed(1)} s`,
        target: '<= 3 s',
      },
    ]
  } finally {
    await platform.close()
    await rm(home, { recursive: true, force: true })
  }
}

/** From asking to the news that it has ended, in ms; the first runs, which warm caches, are left out. */
async function wholeRuns(all: Flows, flow: string): Promise<number[]> {
  const times: number[] = []
  for (let i = -3; i < RUNS; i++) {
    const began = performance.now()
    const { id } = await all.trigger(flow, { by: 'the benchmark' })
    const { state } = await all.ended(id, AbortSignal.timeout(60_000))
    if (state !== 'succeeded') throw new Error(`a run of ${flow} is ${state}`)
    if (i >= 0) times.push(performance.now() - began)
  }
  return times
}

/** The same database, pool and number of round trips; in ms. */
async function bareCommits(records: Records): Promise<number[]> {
  await records.query('create table bench_row (n integer not null)')
  await records.query('insert into bench_row values (0)')
  const times: number[] = []
  for (let i = -3; i < RUNS; i++) {
    const began = performance.now()
    for (let step = 0; step < STEPS; step++) await records.query('update bench_row set n = n + 1', [], { name: 'bench_row' })
    if (i >= 0) times.push(performance.now() - began)
  }
  return times
}

async function startDelays(all: Flows): Promise<number[]> {
  const delays: number[] = []
  for (let i = -20; i < STARTS; i++) {
    const asked = performance.now()
    const { id } = await all.trigger('one', { by: 'the benchmark' })
    await all.ended(id, AbortSignal.timeout(60_000))
    const { items } = await all.tasks(id, { limit: 1 })
    const begun = items[0]?.output
    if (typeof begun !== 'number') throw new Error(`a run of one answered ${JSON.stringify(begun)}`)
    if (i >= 0) delays.push(begun - asked)
    await sleep(1)
  }
  return delays
}

/** Seconds; each is cancelled before the next. */
async function backfillTimes({ backfills }: Flows): Promise<number[]> {
  const from = '2024-01-01T00'
  const to = new Date(Date.UTC(2024, 0, 1, PARTITIONS - 1)).toISOString().slice(0, 13)
  const times: number[] = []
  for (let i = 0; i < 3; i++) {
    const began = performance.now()
    await backfills.plan('hourly', { from, to, existing: 'again' })
    const { id, total } = await backfills.create('hourly', { from, to, existing: 'again', by: 'the benchmark' })
    times.push((performance.now() - began) / 1_000)
    if (total !== PARTITIONS) throw new Error(`the backfill has ${total} partitions`)
    await backfills.cancel(id)
  }
  return times
}

/** The median of its chains, in ms, in one process that has its server. */
async function prefectChain(folder: string): Promise<number> {
  const env = { PATH: process.env.PATH, HOME: folder, PREFECT_HOME: join(folder, 'prefect') }
  const { stdout } = await run(PREFECT, [join(import.meta.dirname, 'flows.py'), String(STEPS), '5'], { env, maxBuffer: 64 * 1024 * 1024 })
  const { seconds } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { readonly seconds: readonly number[] }
  return median(seconds) * 1_000
}
