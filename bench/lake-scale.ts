/** Logs that have grown: a million files, ten thousand commits, and the commit and the refresh that are made over and over. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openDuck } from '../src/lake/index.ts'
import { median, type Figure } from './figures.ts'
import { makeManyCommits, makeManyFiles } from './million.ts'

const RUNS = 5
const FILES = 1_000_000
const COMMITS = 10_000

export async function lakeScale(): Promise<Figure[]> {
  const home = await mkdtemp(join(tmpdir(), 'lagoa-bench-'))
  try {
    const duck = await openDuck({ tempDirectory: join(home, 'spill') })
    const connection = await duck.connect()
    await makeManyFiles(connection, join(home, 'objects/bench/files'), FILES)
    connection.closeSync()
    await duck.close()
    await makeManyCommits(join(home, 'objects/bench/commits'), COMMITS)
    const files = await runs(home, ['open', 'bench/files', "day = date '2023-01-01' and id between 548000000 and 548100000"])
    const commits = await runs(home, ['open', 'bench/commits', 'id = 5000000'])
    const writes: Figures[] = []
    for (let i = 0; i < 3; i++) writes.push(await run(home, ['commit', `bench/writes${i}`]))
    const of = (all: readonly Figures[], name: string): number => median(all.map((one) => one[name] ?? Number.NaN))
    return [
      {
        name: `Open a table of ${FILES.toLocaleString('en')} files and find those for a condition (first after opening)`,
        value: `${ms(of(files, 'open'))} + ${ms(of(files, 'prune'))} (${ms(of(files, 'cpu'))} of processor time)`,
        target: '<= 1,500 ms',
      },
      { name: 'Memory for that, Node and DuckDB, above an idle process', value: `${Math.round(of(files, 'memoryMB'))} MB`, target: '< 500 MB' },
      {
        name: `Open a table of ${COMMITS.toLocaleString('en')} commits without any checkpoint`,
        value: `${ms(of(commits, 'open'))}`,
        target: '<= 500 ms',
      },
      { name: 'Refresh when nothing changed', value: `${of(commits, 'refresh').toFixed(2)} ms`, target: '<= 1 ms' },
      { name: 'Durable append of 1,000 rows', value: `p50 ${of(writes, 'p50').toFixed(1)} ms, p99 ${of(writes, 'p99').toFixed(1)} ms`, target: 'p99 <= 15 ms' },
    ]
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

type Figures = Readonly<Record<string, number>>

async function runs(home: string, given: readonly string[]): Promise<Figures[]> {
  const all: Figures[] = []
  for (let i = 0; i < RUNS; i++) all.push(await run(home, given))
  return all
}

async function run(home: string, [mode = '', ...rest]: readonly string[]): Promise<Figures> {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'lake-scale-run.ts'), mode, home, ...rest])
  return JSON.parse(stdout) as Figures
}

function ms(value: number): string {
  return `${Math.round(value).toLocaleString('en')} ms`
}
