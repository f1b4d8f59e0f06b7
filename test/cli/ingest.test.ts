/** `lagoa ingest`, and folders that `lagoa start` watches. */
import { appendFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { eventually, failure, good, lagoa, newHome, project, serve, sql, start, temporaryFolder } from '../helpers/cli.ts'

const FILES = {
  'tables/companies.ts': `import { files, sql, t, table } from 'lagoa'
export const companies = table('bronze.companies', {
  from: files('inbox/*.csv', { delimiter: ';', decimal: ',' }),
  columns: { cnpj: t.string(), capital: t.double().nullable() },
  every: '200ms',
})
export const total = table('gold.capital', { sql: sql\`select count(*) as n, sum(\${companies.c.capital}) as capital from \${companies}\` })
`,
}

interface Ingested {
  readonly rows: number
  readonly bad: number
  readonly blank: number
  readonly added: number
  readonly known: number
  readonly refused: number
  readonly version: number | null
  readonly files: readonly { readonly file: string; readonly outcome: string; readonly error?: { readonly code: string } }[]
}

describe('lagoa ingest', () => {
  const home = newHome()
  const folder = project(FILES)
  const data = temporaryFolder('data')
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(data, name), content)
    return join(data, name)
  }
  const run = (...args: string[]): ReturnType<typeof lagoa> => lagoa(['ingest', ...args, '--project', folder], { home })

  test('makes a table that nobody declared, which every reading command knows', async () => {
    const path = file('a.csv', 'id;co\n1;2,5\n2;-200\n;\n3;x\n4;1,5\n')
    const dry = await run(path, '--into', 'bronze.air', '--columns', 'co:double', '--null', '-200', '--dry-run')
    expect(dry).toMatchObject({ code: 0 })
    expect(dry.stdout).toMatch(/would get 3 rows from 1 files/)
    expect((await lagoa(['tables', 'bronze.air', '--project', folder], { home })).code).toBe(4)
    const told: Ingested = good(await run(path, '--into', 'bronze.air', '--columns', 'co:double', '--null', '-200', '--json'))
    expect(told).toMatchObject({ rows: 3, bad: 1, blank: 1, added: 1, known: 0, refused: 0, version: 1, files: [{ outcome: 'added' }] })
    expect(await sql('select id, co from bronze.air order by id', { home }, folder)).toEqual([
      [1, 2.5],
      [2, null],
      [4, 1.5],
    ])
    expect(await sql('select _line, _column, _raw from bronze.air_quarantine', { home }, folder)).toEqual([[5, 'co', '3;x']])
    expect((await lagoa(['tables', '--project', folder], { home })).stdout).toMatch(/^bronze\.air +3 /m)
  })
  test('says for each file what became of it', async () => {
    const again = await run(join(data, 'a.csv'), file('b.csv.gz', gzipSync(Buffer.from('id;co\n9;9,5\n'))), '--into', 'bronze.air')
    expect(again.code).toBe(0)
    expect(again.stderr).toContain('a.csv: its content was ingested before, nothing added')
    expect(again.stderr).toContain('b.csv.gz: 1 rows')
    expect(again.stdout).toContain('1 rows from 1 files, 1 known before, version 2')
  })
  test('refuses one file, takes the others, and ends with the code of the refusal', async () => {
    const bad = file('c.csv', 'name\nAna\n')
    const told = await run(bad, file('d.csv', 'id;co\n10;1,5\n'), '--into', 'bronze.air', '--json')
    expect(told.code).toBe(5)
    expect((JSON.parse(told.stdout) as Ingested).files.map(({ outcome, error }) => [outcome, error?.code])).toEqual([
      ['refused', 'lake.file_refused'],
      ['added', undefined],
    ])
  })
  test('uses what the project declares of the table', async () => {
    const told: Ingested = good(await run(file('co.csv', 'cnpj;capital\n01;2,5\n02;3,5\n'), '--into', 'bronze.companies', '--json'))
    expect(told).toMatchObject({ rows: 2, bad: 0 })
    expect(await sql('select cnpj, capital from bronze.companies order by 1', { home }, folder)).toEqual([
      ['01', 2.5],
      ['02', 3.5],
    ])
  })
  test.each([
    [['--into', 'bronze.x'], 'cli.no_files', 2],
    [['a.csv'], 'cli.no_table', 2],
    [['nowhere.csv', '--into', 'bronze.x'], 'lake.no_files', 4],
    [['nowhere.csv', '--into', 'nolayer'], 'lake.table_name', 2],
    [['nowhere.csv', '--into', 'gold.capital'], 'lake.ingest_target', 2],
    [['a.csv', '--into', 'bronze.x', '--format', 'xml'], 'cli.value', 2],
    [['a.csv', '--into', 'bronze.x', '--columns', 'a:number'], 'cli.value', 2],
    [['a.csv', '--into', 'bronze.x', '--encoding', 'klingon'], 'lake.encoding', 2],
    [['a.csv', '--into', 'bronze.x', '--delimeter', ';'], 'cli.unknown_flag', 2],
  ])('%j is told as %s', async (args, code, exit) => {
    const finished = await run(...args, '--json')
    expect({ code: failure(finished).code, exit: finished.code }).toEqual({ code, exit })
    expect(failure(finished).hint ?? '').not.toBe('')
  })
  test('stops at Ctrl-C with nothing half done, and goes on when it is started again', async () => {
    const path = file('big.csv', '')
    appendFileSync(path, 'id,t\n')
    for (let part = 0; part < 10; part++) appendFileSync(path, Array.from({ length: 100_000 }, (_, i) => `${part * 100_000 + i},${'x'.repeat(60)}\n`).join(''))
    const running = start(['ingest', path, '--into', 'bronze.big', '--project', folder], { home })
    const work = join(home, 'tmp', String(running.pid))
    await eventually('its work', () => existsSync(work) && readdirSync(work).some((name) => name.startsWith('ingest-')))
    const stopped = await running.kill('SIGINT')
    expect(stopped.code).toBe(130)
    expect(stopped.stderr).toContain('the same command goes on from here')
    expect(existsSync(work)).toBe(false)
    good(await run(path, '--into', 'bronze.big', '--json'))
    expect(await sql('select count(*), count(distinct id) from bronze.big', { home }, folder)).toEqual([[1_000_000, 1_000_000]])
  })
})

describe('a watched folder', () => {
  test('fills its table and those made from it, and shows what it refused', async () => {
    const folder = project(FILES)
    mkdirSync(join(folder, 'inbox'))
    writeFileSync(join(folder, 'inbox/a.csv'), 'cnpj;capital\n1;2,5\n')
    const home = newHome()
    const server = await serve('start', ['--project', folder], { home })
    type Table = { rows: number | null; quarantined: number; refresh: { state: string; error?: string } }
    await eventually('the first file', async () => (await server.get<Table>('/api/v1/tables/bronze.companies')).rows === 1)
    writeFileSync(join(folder, 'inbox/b.csv'), 'cnpj;capital\n2;3,5\n')
    await eventually(
      'gold',
      async () =>
        (await server.post<{ rows: unknown[][] }>('/api/v1/query', { sql: 'select n, capital from gold.capital' }).catch(() => ({ rows: [[0]] })))
          .rows[0]?.[0] === 2,
    )
    writeFileSync(join(folder, 'inbox/c.csv'), 'other\n1\n')
    const failed = await eventually('the refusal', async () => {
      const table = await server.get<Table>('/api/v1/tables/bronze.companies')
      return table.refresh.state === 'failed' && table
    })
    expect(failed.refresh.error).toContain('inbox/c.csv')
    expect(failed.quarantined).toBe(1)
    expect((await server.kill()).code).toBe(0)
    const listed = await lagoa(['tables', '--project', folder], { home })
    expect(listed.stderr).toContain('bronze.companies: inbox/c.csv was refused')
  })
  test('is drained by --once, which ends with the fault of a file after all else was done', async () => {
    const folder = project(FILES)
    mkdirSync(join(folder, 'inbox'))
    writeFileSync(join(folder, 'inbox/a.csv'), 'cnpj;capital\n1;2,5\n')
    const home = newHome()
    const summary: { tables: Record<string, { rows: number }> } = good(await lagoa(['start', folder, '--once', '--json'], { home }))
    expect(summary.tables).toMatchObject({ 'bronze.companies': { rows: 1 }, 'gold.capital': { rows: 1 } })
    writeFileSync(join(folder, 'inbox/b.csv'), 'other\n1\n')
    writeFileSync(join(folder, 'inbox/c.csv'), 'cnpj;capital\n2;2,5\n')
    const finished = await lagoa(['start', folder, '--once', '--json'], { home })
    expect({ exit: finished.code, code: failure(finished).code }).toEqual({ exit: 5, code: 'lake.file_refused' })
    expect(await sql('select n from gold.capital', { home }, folder)).toEqual([[2]])
  })
  test.each([
    ['files([])', 'files(...): paths must name a path'],
    ["files('in', { delimeter: ';' })", 'delimeter'],
    ["files('in', { format: 'xml' })", 'format must be csv'],
    ["files('in', { types: { a: 'string' } })", 'is not a field'],
  ])('declared as %s is told when the project is loaded', async (text, part) => {
    const folder = project({ 'tables/a.ts': `import { files, table } from 'lagoa'\nexport const a = table('bronze.a', { from: ${text} as never })\n` })
    const finished = await lagoa(['tables', '--project', folder, '--json'])
    const { message, hint } = failure(finished)
    expect(finished.code).toBe(2)
    expect(`${message} ${hint ?? ''}`).toContain(part)
  })
})
