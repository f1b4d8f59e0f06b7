/**
 * A workload that counts the words of 1 GB of text, beside the same count in bare DuckDB, and in PySpark when `npm run test:interop` has
 * installed it. Every run is a process of its own; they take turns, and all must count the same.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { median, type Figure } from './figures.ts'
import { memoryOfTree } from './memory.ts'
import { writeWords } from './words.ts'

const BYTES = 1_000_000_000
const RUNS = 3
const LOOK_MS = 50
const SPARK = join(import.meta.dirname, '../node_modules/.lagoa/interop/spark-3.5/bin/python')

interface Run {
  readonly seconds: number
  readonly words: number
  readonly first: unknown
  /** Of the process and all that it started: the most memory that they had at a time. */
  readonly peakBytes: number
}

export async function wordCount(): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
  try {
    const file = join(folder, 'words.txt')
    await writeWords(file, BYTES)
    const once = async (command: string, args: readonly string[]): Promise<Run> => {
      const place = join(folder, 'run')
      try {
        return await measured(command, [...args, file, place], place)
      } finally {
        await rm(place, { recursive: true, force: true })
      }
    }
    const script = join(import.meta.dirname, 'word-count-run.ts')
    const ours: Run[] = []
    const bare: Run[] = []
    for (let turn = 0; turn < RUNS; turn++) {
      bare.push(await once(process.execPath, [script, 'duckdb']))
      ours.push(await once(process.execPath, [script, 'lagoa']))
    }
    const spark = existsSync(SPARK) ? await once(SPARK, [join(import.meta.dirname, 'word_count.py')]) : null
    const said = new Set([...ours, ...bare, ...(spark ? [spark] : [])].map(({ words, first }) => JSON.stringify({ words, first })))
    if (said.size !== 1) throw new Error(`they do not count the same: ${[...said].join(', ')}`)
    const [mine, limit] = [ours, bare].map((runs) => median(runs.map(({ seconds }) => seconds)))
    if (mine === undefined || limit === undefined) throw new Error('nothing was measured')
    const name = `Count the words of ${BYTES / 1e9} GB of text (${ours[0]?.words.toLocaleString('en')} different ones), from the request to the results in a table`
    return [
      {
        name,
        value: `${mine.toFixed(1)} s`,
        baseline: `${limit.toFixed(1)} s bare DuckDB, plain Parquet`,
        ratio: `${(mine / limit).toFixed(2)}x`,
        target: '<= 1.3x',
      },
      {
        name: 'The most memory of that, all processes',
        value: `${Math.round(Math.max(...ours.map(({ peakBytes }) => peakBytes)) / 1e6)} MB`,
        target: '<= 2,000 MB',
      },
      ...(spark
        ? [
            {
              name: 'The same against PySpark 3.5 on local[2] (warm JVM)',
              value: `${mine.toFixed(1)} s`,
              baseline: `${spark.seconds.toFixed(1)} s PySpark`,
              ratio: `${(spark.seconds / mine).toFixed(1)}x faster`,
              target: '>= 2x faster',
            },
          ]
        : []),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function measured(command: string, args: readonly string[], place: string): Promise<Run> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const { pid = 0 } = child
  let peakBytes = 0
  let isLooking = false
  const timer = setInterval(() => {
    if (isLooking) return
    isLooking = true
    void memoryOfTree(pid, place).then((bytes) => {
      peakBytes = Math.max(peakBytes, bytes)
      isLooking = false
    })
  }, LOOK_MS)
  try {
    const ended = new Promise<number | null>((done) => child.once('close', done))
    const [said, complaint] = await Promise.all([text(child.stdout), text(child.stderr)])
    if ((await ended) !== 0) throw new Error(`${command} ended: ${complaint.slice(-2_000)}`)
    return { ...(JSON.parse(said.trim().split('\n').at(-1) ?? '') as Omit<Run, 'peakBytes'>), peakBytes }
  } finally {
    clearInterval(timer)
  }
}
