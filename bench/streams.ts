/**
 * Readings per second through the whole path of a stream: source, log, validation, two rules, live keys, bronze commits; everything
 * durable. Beside it, in the same process, the least that such data costs with the same parts: JSON.parse of the same texts, an appender
 * and one Parquet file, with no log, no checks, no rules and no commit.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance, DOUBLE, DuckDBDataChunk, TIMESTAMPTZ, DuckDBTimestampTZValue, VARCHAR } from '@duckdb/node-api'
import { createLog } from '../src/base/index.ts'
import { loadConfigFile, openPlatform, resolveConfig } from '../src/platform/index.ts'
import { median, type Figure } from './figures.ts'

const COUNT = 1_000_000
const RUNS = 3

export async function streams(): Promise<Figure[]> {
  const ours: number[] = []
  const bare: number[] = []
  for (let run = 0; run < RUNS; run++) {
    ours.push(COUNT / (await wholePath()))
    bare.push(COUNT / (await bareLoop()))
  }
  const rate = median(ours)
  const limit = median(bare)
  return [
    {
      name: `${COUNT.toLocaleString('en')} simulated readings: source, log, validation, 2 rules, live keys, bronze`,
      value: `${thousands(rate)}/s`,
      baseline: `${thousands(limit)}/s bare JSON.parse and Parquet`,
      ratio: `${(rate / limit).toFixed(2)}x`,
      target: '>= 200,000/s',
    },
  ]
}

async function wholePath(): Promise<number> {
  const home = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
  const project = join(import.meta.dirname, 'projects', 'sensors')
  await loadConfigFile(project, undefined)
  const config = resolveConfig(project, [{ from: 'the benchmark', values: { home } }])
  // Opened without records first, so that the clock does not see initdb.
  const empty = await openPlatform({ config, logger: createLog({ level: 'warn' }), feed: { once: true, simulation: { count: 1 } } })
  await Promise.all([...(empty.pipeline?.streams.values() ?? [])].map((stream) => stream.drain()))
  await empty.close()
  const began = performance.now()
  const platform = await openPlatform({ config, logger: createLog({ level: 'warn' }), feed: { once: true, simulation: { count: COUNT } } })
  const opened = performance.now()
  try {
    await Promise.all([...(platform.pipeline?.streams.values() ?? [])].map((stream) => stream.drain()))
    const seconds = (performance.now() - opened) / 1000
    const rows = (await platform.pipeline?.lake.table('bronze.readings').snapshot())?.rowCount
    if (rows !== COUNT) throw new Error(`bronze has ${rows} rows`)
    if (process.env.BENCH_VERBOSE) process.stderr.write(`opened in ${Math.round(opened - began)} ms, drained in ${seconds.toFixed(2)} s\n`)
    return seconds
  } finally {
    await platform.close()
    await rm(home, { recursive: true, force: true })
  }
}

async function bareLoop(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'lagoa-bare-'))
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    const texts = Array.from({ length: COUNT }, (_, i) =>
      JSON.stringify({
        sensor: `station-${i % 1000}`,
        at: new Date(Date.UTC(2026, 0, 1) + i * 1000).toISOString(),
        co: (i % 1004) / 100,
        no2: (i % 2004) / 10,
        temperature: 20.1,
        relative_humidity: 55.5,
        absolute_humidity: 0.75,
      }),
    )
    const began = performance.now()
    await connection.run(
      'create table readings (sensor varchar, "at" timestamptz, co double, no2 double, temperature double, relative_humidity double, absolute_humidity double)',
    )
    const appender = await connection.createAppender('readings')
    const types = [VARCHAR, TIMESTAMPTZ, DOUBLE, DOUBLE, DOUBLE, DOUBLE, DOUBLE]
    for (let start = 0; start < COUNT; start += 2048) {
      const rows = texts.slice(start, start + 2048).map(
        (text) =>
          JSON.parse(text) as {
            sensor: string
            at: string
            co: number
            no2: number
            temperature: number
            relative_humidity: number
            absolute_humidity: number
          },
      )
      const chunk = DuckDBDataChunk.create(types)
      chunk.setColumns([
        rows.map((row) => row.sensor),
        rows.map((row) => new DuckDBTimestampTZValue(BigInt(Date.parse(row.at)) * 1000n)),
        rows.map((row) => row.co),
        rows.map((row) => row.no2),
        rows.map((row) => row.temperature),
        rows.map((row) => row.relative_humidity),
        rows.map((row) => row.absolute_humidity),
      ])
      appender.appendDataChunk(chunk)
    }
    appender.closeSync()
    await connection.run(`copy readings to '${join(folder, 'bare.parquet')}' (format parquet)`)
    return (performance.now() - began) / 1000
  } finally {
    connection.closeSync()
    instance.closeSync()
    await rm(folder, { recursive: true, force: true })
  }
}

const thousands = (value: number): string => Math.round(value).toLocaleString('en')
