/**
 * The lake against its limits: 10 million rows of CSV to bronze, silver and gold as Delta, beside the same SQL in bare DuckDB, and the same
 * work in PySpark with Delta when `npm run test:interop` has installed it. Every run is a process of its own; they take turns.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { median, type Figure } from './figures.ts'
import { writeReadings } from './medallion.ts'

const ROWS = 10_000_000
const RUNS = 3
const LAYERS = ['bronze', 'silver', 'gold'] as const
const SPARK = join(import.meta.dirname, '../node_modules/.lagoa/interop/spark-3.5')
const run = promisify(execFile)

interface Run {
  readonly seconds: Readonly<Record<string, number>>
  readonly peakMB?: number
}

export async function lake(): Promise<Figure[]> {
  const folder = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
  try {
    const csv = join(folder, 'readings.csv')
    await writeReadings(csv, ROWS)
    const once = async (command: string, args: readonly string[]): Promise<Run> => {
      const place = join(folder, 'run')
      try {
        const { stdout } = await run(command, [...args, csv, place], { maxBuffer: 64 * 1024 * 1024 })
        return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Run
      } finally {
        await rm(place, { recursive: true, force: true })
      }
    }
    const script = join(import.meta.dirname, 'lake-run.ts')
    const ours: Run[] = []
    const bare: Run[] = []
    for (let turn = 0; turn < RUNS; turn++) {
      bare.push(await once(process.execPath, [script, 'duckdb']))
      ours.push(await once(process.execPath, [script, 'lagoa']))
    }
    const spark = existsSync(SPARK) ? await once(join(SPARK, 'bin/python'), [join(import.meta.dirname, 'medallion.py'), join(SPARK, 'jars')]) : null
    const [total, limit] = [median(ours.map(totalOf)), median(bare.map(totalOf))]
    const peak = Math.max(...ours.map(({ peakMB = Number.NaN }) => peakMB))
    const millions = `${ROWS / 1_000_000}M-row CSV to bronze, silver and gold`
    const layers = LAYERS.map((layer) => `${layer} ${median(ours.map(({ seconds }) => seconds[layer] ?? Number.NaN)).toFixed(1)}`).join(', ')
    return [
      {
        name: `${millions} as Delta (seconds: ${layers})`,
        value: `${total.toFixed(1)} s`,
        baseline: `${limit.toFixed(1)} s the same SQL in bare DuckDB, plain Parquet`,
        ratio: `${(total / limit).toFixed(2)}x`,
        target: '<= 1.25x',
      },
      { name: 'The most memory of that', value: `${Math.round(peak)} MB`, target: '<= 2,048 MB' },
      ...(spark
        ? [
            {
              name: `${millions}, against PySpark 3.5 with Delta on local[2] (warm JVM)`,
              value: `${total.toFixed(1)} s`,
              baseline: `${totalOf(spark).toFixed(1)} s PySpark`,
              ratio: `${(totalOf(spark) / total).toFixed(1)}x faster`,
              target: '>= 3x faster',
            },
          ]
        : []),
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const totalOf = ({ seconds }: Run): number => LAYERS.reduce((sum, layer) => sum + (seconds[layer] ?? Number.NaN), 0)
