/** `lagoa table`: one table looked at and looked after from the command line, in the project, at a place, in a folder. */
import { cpSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { readings, writeReadings } from '../examples/readings.ts'
import { EXAMPLE, good, lagoa, newHome, once, sql, temporaryFolder, type Finished } from '../helpers/cli.ts'

const home = newHome()
const work = temporaryFolder('tables')
const TABLE = 'silver.readings'
const folder = join(home, 'objects/silver/readings')

const table = (...args: string[]): Promise<Finished> => lagoa(['table', ...args, '--project', EXAMPLE], { home })
const json = async <T>(...args: string[]): Promise<T> => good(await table(...args, '--json'))
interface Description {
  readonly version: number
  readonly rows: number
  readonly files: number
  readonly pins: readonly { readonly holder: string }[]
}

beforeAll(async () => {
  const path = join(work, 'readings.csv')
  writeReadings(path, readings(3000))
  await once(['--data', path], { home })
})

describe('lagoa table', () => {
  test('describes a table by its name, its place, its address and its path, the last without a project', async () => {
    const told = await json<Description>('describe', TABLE)
    expect(told).toMatchObject({ root: 'silver/readings', unreadable: null, unwritable: null, protocol: { minReaderVersion: 1, minWriterVersion: 2 } })
    expect(await json('describe', 'silver/readings')).toMatchObject({ version: told.version, rows: told.rows })
    const alone = await lagoa(['table', 'describe', `file://${folder}`, '--json'], { cwd: work })
    expect(good<Description>(alone)).toMatchObject({ version: told.version, rows: told.rows })
    const { stdout } = await table('describe', TABLE)
    expect(stdout).toMatch(/^version +\d+ of 20/m)
    expect(stdout).toMatch(/^sensor +string/m)
    expect(stdout).toMatch(/^appendOnly +yes +yes/m)
  })
  test('tells its history, newest first', async () => {
    const { version } = await json<Description>('describe', TABLE)
    const entries = await json<{ version: number; operation: string }[]>('history', TABLE, '--limit', '2')
    expect(entries.map((entry) => entry.version)).toEqual([version, version - 1])
    expect((await lagoa(['table', 'history', folder], { cwd: work })).stdout).toMatch(/CREATE TABLE +Lagoa/)
  })
  test('orders, restores, clones and vacuums, and the rows stay what they were', async () => {
    const before = await json<Description>('describe', TABLE)
    expect(await json('optimize', TABLE, '--zorder', 'sensor,at')).toMatchObject({ commits: 1, version: before.version + 1 })
    expect(await json('optimize', TABLE, '--zorder', 'sensor, at')).toMatchObject({ commits: 0 })
    expect(good(await table('clone', TABLE, 'silver/test', '--version', String(before.version), '--json'))).toMatchObject({ version: 0 })
    expect((await json<Description>('describe', TABLE)).pins).toMatchObject([{ holder: 'silver/test' }])
    await json('restore', TABLE, '--version', '0')
    expect((await json<Description>('describe', TABLE)).rows).toBe(0)
    expect(await json('restore', TABLE, '--version', String(before.version))).toMatchObject({ skipped: false })
    expect((await json<Description>('describe', TABLE)).rows).toBe(before.rows)
    const dry = await table('vacuum', TABLE, '--retain', '0s', '--force', '--dry-run')
    const listed = dry.stdout
      .trim()
      .split('\n')
      .filter((line) => line !== '')
    expect(dry.stderr).toContain('would be deleted')
    expect(await json('vacuum', TABLE, '--retain', '0s', '--force')).toMatchObject({ files: listed.length, sample: listed })
    expect(await sql("select count(*), (select count(*) from silver.readings) from delta('silver/test')", { home })).toEqual([[before.rows, before.rows]])
  })
  test('makes a table of a folder of Parquet files', async () => {
    const source = readdirSync(folder).find((name) => name.endsWith('.parquet')) ?? ''
    const target = join(home, 'objects/bronze/old/day=2024-01-02')
    mkdirSync(target, { recursive: true })
    cpSync(join(folder, source), join(target, 'x.parquet'))
    expect((await table('convert', 'bronze/old')).stderr).toContain('day date')
    expect((await table('convert', 'bronze/old', '--partition-by', 'day date')).stdout).toContain('bronze/old is a table of 1 file')
    expect(await sql(`select distinct "day" from delta('bronze/old')`, { home })).toEqual([['2024-01-02']])
  })
  test('says what is wrong and what to type', async () => {
    const wrong: readonly (readonly [readonly string[], string])[] = [
      [['table'], 'describe TABLE'],
      [['table', 'vaccum', TABLE], 'Did you mean lagoa table vacuum?'],
      [['table', 'vacuum'], 'lagoa table vacuum silver.readings'],
      [['table', 'describe', TABLE, '--force'], 'takes no --force'],
      [['table', 'vacuum', TABLE, '--retain', 'soon'], '--retain 7d'],
      [['table', 'vacuum', TABLE, '--retain', '1h'], 'force'],
      [['table', 'restore', TABLE], '--version 3'],
      [['table', 'restore', TABLE, '--at', 'yesterday'], '2026-01-31'],
      [['table', 'optimize', TABLE, '--zorder', 'sensr'], 'Did you mean sensor?'],
      [['table', 'convert', 'bronze/none', '--partition-by', 'day'], 'day date'],
      [['table', 'describe', 'silver.reading'], 'Did you mean silver.readings?'],
      [['table', 'describe', 'silver/nothing'], 'There is no table at silver/nothing'],
      [['table', 'vacuum', work], "outside of this project's object store"],
    ]
    for (const [args, text] of wrong) {
      const { code, stderr } = await lagoa([...args, ...(args.length > 1 ? ['--project', EXAMPLE] : [])], { home })
      expect(stderr, args.join(' ')).toContain(text)
      expect(code, args.join(' ')).not.toBe(0)
      expect(code, args.join(' ')).not.toBe(1)
    }
  })
  test('reads a folder outside of the lake in SQL', async () => {
    const copy = join(work, 'a copy')
    cpSync(folder, copy, { recursive: true })
    expect(await sql(`select count(*) > 0 from delta('${copy}')`, { home })).toEqual([[true]])
  })
})
