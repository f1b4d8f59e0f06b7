/**
 * What a walled job costs, from the call to the Parquet file on disk. The data sets have names, so that they are decoded once; the first row
 * has none. Baseline of a small job is the same in a fresh interpreter without any wall, which is what a container a job would pay as well.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { silentLog } from '../src/base/index.ts'
import { type JobInput, type JobLimits, type JobResult, openSandbox, type Sandbox } from '../src/sandbox/index.ts'
import { type Figure, median, percentile } from './figures.ts'

const LIMITS: JobLimits = { wallMs: 60_000, cpuMs: 60_000, memoryBytes: 2 ** 30, outputBytes: 2 ** 28, logBytes: 2 ** 16 }
const SMALL = 'def process(df):\n    df["c"] = df["a"].rolling(3).mean()\n    return df.dropna()\n'
const LARGE = 'def process(df):\n    df["f"] = df["a"] * 2 + df["b"]\n    return df\n'
const BARE = `
import sys, pandas as pd
names = {}
exec(sys.argv[1], names)
names["process"](pd.read_csv(sys.argv[2])).to_parquet(sys.argv[3])
`

export async function sandbox(): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'lagoa-bench-'))
  const python = join(import.meta.dirname, '..', 'node_modules', '.lagoa', 'python', 'bin', 'python')
  if (!existsSync(python)) throw new Error(`There is no Python at ${python}; make it with: npm run lagoa -- python install`)
  const began = performance.now()
  const opened = await openSandbox({
    python,
    environment: { hash: '', python: '', packages: {}, source: 'locked' },
    folder,
    capacity: 2,
    maxQueued: 1_000,
    validator: 'on',
    log: silentLog,
  })
  const start = performance.now() - began
  try {
    if (!opened.state.ready) throw new Error(opened.state.message)
    const small = join(folder, 'small.csv')
    writeFileSync(small, `a,b\n${Array.from({ length: 1_000 }, (_, row) => `${row},${row / 2}\n`).join('')}`)
    const large = join(folder, 'large.parquet')
    await makeLarge(large)
    const work = new Work(opened, folder)
    const named: JobInput = { path: small, format: 'csv', key: 'small' }
    await work.times(20, SMALL, named)

    const fresh = await work.times(100, SMALL, { ...named, key: null })
    const again = await work.times(200, SMALL, named)
    const rested = await work.times(40, SMALL, named, 100)
    const bare = Array.from({ length: 5 }, () => {
      const at = performance.now()
      spawnSync(python, ['-I', '-c', BARE, SMALL, small, join(folder, 'bare.parquet')])
      return performance.now() - at
    })
    const big: JobInput = { path: large, format: 'parquet', key: 'large' }
    await work.times(2, LARGE, big)
    const million = await work.times(20, LARGE, big)
    const throughput = await work.throughput(300, SMALL, named)
    const late = await work.lateness(20)
    return [
      { name: 'A job on 1,000 rows, data set read anew', value: both(fresh) },
      { name: 'A job on 1,000 rows, after a rest of 100 ms', value: both(rested) },
      {
        name: 'A job on 1,000 rows, right after another',
        value: both(again),
        baseline: `${median(bare).toFixed(0)} ms in a fresh Python without walls`,
        ratio: `${(median(bare) / median(again)).toFixed(0)}x faster`,
        target: 'p50 <= 20 ms, p95 <= 40 ms',
      },
      { name: 'A job on 1,000,000 x 5 numbers', value: both(million), target: 'p50 <= 100 ms' },
      { name: 'Jobs on 1,000 rows, two at a time', value: `${throughput.toFixed(0)}/s`, target: '>= 60/s' },
      { name: 'How late an endless job is ended (the worst of 20)', value: `${Math.max(...late).toFixed(0)} ms`, target: '<= 100 ms' },
      { name: 'Start, with the probe that tries to escape', value: `${start.toFixed(0)} ms` },
    ]
  } finally {
    await opened.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

class Work {
  readonly #sandbox: Sandbox
  readonly #folder: string
  #count = 0

  constructor(sandbox: Sandbox, folder: string) {
    this.#sandbox = sandbox
    this.#folder = folder
  }

  async times(count: number, code: string, input: JobInput, restMs = 0): Promise<number[]> {
    const times: number[] = []
    for (let n = 0; n < count; n++) {
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs))
      const began = performance.now()
      await this.#succeed(code, input)
      times.push(performance.now() - began)
    }
    return times
  }

  async throughput(count: number, code: string, input: JobInput): Promise<number> {
    const began = performance.now()
    await Promise.all(Array.from({ length: count }, () => this.#succeed(code, input)))
    return (count * 1000) / (performance.now() - began)
  }

  async lateness(count: number): Promise<number[]> {
    const late: number[] = []
    for (let n = 0; n < count; n++) {
      const began = performance.now()
      const result = await this.#run(
        'def process(df):\n    while True:\n        pass\n',
        { path: '/dev/null', format: 'csv', key: 'small' },
        { ...LIMITS, wallMs: 200 },
      )
      if (result.status !== 'timeout') throw new Error(`An endless job ended as ${result.status}: ${result.message}`)
      late.push(performance.now() - began - 200)
    }
    return late
  }

  async #succeed(code: string, input: JobInput): Promise<void> {
    const result = await this.#run(code, input, LIMITS)
    if (result.status !== 'success') throw new Error(`A job ended as ${result.status}: ${result.message}`)
  }

  async #run(code: string, input: JobInput, limits: JobLimits): Promise<JobResult> {
    const output = join(this.#folder, `${this.#count++}.parquet`)
    const result = await this.#sandbox.run({ tenant: 'bench', code, input, output, limits }, { signal: new AbortController().signal })
    rmSync(output, { force: true })
    return result
  }
}

async function makeLarge(path: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(
    `copy (select i as a, random() as b, i % 100 as c, random() * 1000 as d, i * 0.5::double as e from range(1000000) t(i)) to '${path}' (format parquet)`,
  )
  connection.closeSync()
  instance.closeSync()
}

const both = (times: readonly number[]): string => `p50 ${percentile(times, 0.5).toFixed(1)} ms, p95 ${percentile(times, 0.95).toFixed(1)} ms`
