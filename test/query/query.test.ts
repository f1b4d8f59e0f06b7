/** Interactive SQL over a real lake: answers, limits, times, and every way out of the cage that we could think of. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { table } from '../../src/lake/declare.ts'
import { openQuery, type QueryAnswer } from '../../src/query/index.ts'
import { tempFolder } from '../helpers/folder.ts'
import { openPlace, readings } from '../lake/models/project.ts'

// What a query shows must not depend on where the server stands.
process.env.TZ = 'America/Sao_Paulo'

const raw = table('bronze.raw', { from: readings })
const place = await openPlace()
const project = await place.open(
  raw,
  table('silver.clean', { merge: ['id'], sql: 'select id, "at", value from bronze.raw' }),
  table('gold.empty', { sql: 'select id from silver.clean' }),
)
await project.feed(
  raw,
  [1, 2, 3].map((n) => ({ id: `r${n}`, minute: n, value: n })),
)
await project.refresh('silver.clean')
await project.feed(raw, [{ id: 'r4', minute: 4, value: 4 }])
await project.refresh('silver.clean')

const outside = tempFolder()
writeFileSync(join(outside, 'secret.csv'), 'a,b\n1,2\n')
const openOne = (): ReturnType<typeof openQuery> =>
  openQuery({
    lake: () => project,
    hold: () => place.objects.hold(),
    allowedFolder: place.folder,
    memoryLimit: '100MB',
    threads: 2,
    tempFolder: join(outside, 'spill'),
  })
const query = await openOne()
afterAll(() => query.close())

const ask = async (text: string): Promise<readonly (readonly unknown[])[]> => (await query.run(text)).rows
const cell = async (sql: string): Promise<unknown> => (await ask(`select ${sql} as cell`))[0]?.[0]

describe('answers', () => {
  test('come from tables by their names, with the names and types of the columns', async () => {
    expect(await query.run('select id, value, "at" from silver.clean order by id;')).toEqual({
      columns: [
        { name: 'id', type: 'varchar' },
        { name: 'value', type: 'double' },
        { name: 'at', type: 'timestamp with time zone' },
      ],
      rows: [1, 2, 3, 4].map((n) => [`r${n}`, n, `2024-01-01T00:0${n}:00.000Z`]),
      truncated: false,
      elapsedMs: expect.any(Number) as number,
    })
    expect(await ask('with c as (select * from silver.clean) select count(*) from c join bronze.raw using (id)')).toEqual([[4]])
    expect(await ask('from silver.clean select 1 as a, 2 as a limit 1 -- the end')).toEqual([[1, 2]])
  })
  test('are in UTC wherever the server stands', async () => {
    expect(await ask('select hour("at"), "at"::varchar from silver.clean limit 1')).toEqual([[0, '2024-01-01 00:01:00+00']])
  })
  test('are cut at the limit, which says so', async () => {
    for (const [rows, limit, truncated] of [
      [9, 10, false],
      [10, 10, false],
      [11, 10, true],
      [100_000, 5000, true],
    ] as const) {
      const answer = await query.run(`select * from range(${rows})`, { limit })
      expect(answer).toMatchObject({ truncated })
      expect(answer.rows).toHaveLength(Math.min(rows, limit))
    }
    for (const limit of [0, -1, 1.5, 100_001]) await expect(query.run('select 1', { limit })).rejects.toMatchObject({ code: 'query.limit' })
  })
  test('can be of an older version, asked for in SQL or beside it', async () => {
    const [, first] = (await project.table('silver.clean').history()).map(({ timestamp }) => timestamp)
    const count = async (from: string, versions?: ReadonlyMap<string, number>): Promise<unknown> =>
      (await query.run(`select count(*) from ${from}`, versions ? { versions } : {})).rows[0]?.[0]
    expect(await count('silver.clean', new Map([['silver.clean', 1]]))).toBe(3)
    expect(await count('silver.clean at (version => 1)')).toBe(3)
    expect(await count('silver.clean at (version => 2)')).toBe(4)
    expect(await count(`silver.clean at (timestamp => '${new Date(first ?? 0).toISOString().replace('T', ' ').replace('Z', '')}')`)).toBe(3)
    expect(await ask('select now.id from silver.clean now anti join silver.clean at (version => 1) using (id)')).toEqual([['r4']])
    expect(await ask("select clean.id, 9007199254740993 from silver.clean at (version => 1) where clean.id = 'r1'")).toEqual([['r1', '9007199254740993']])
    await expect(ask('select 1 from silver.clean at (version => 9)')).rejects.toMatchObject({ code: 'lake.version_missing' })
    await expect(ask("select 1 from silver.clean at (version => 'x')")).rejects.toMatchObject({ code: 'query.bad_version' })
  })
  test('to a mistake say what to type', async () => {
    await expect(ask('select at from silver.clean')).rejects.toMatchObject({ code: 'lake.sql_syntax', hint: expect.stringContaining('"at"') as string })
    await expect(ask('select 1 from silver.claen')).rejects.toMatchObject({ code: 'lake.no_table', hint: expect.stringContaining('silver.clean') as string })
    await expect(ask('select 1 from gold.empty')).rejects.toMatchObject({ code: 'query.empty_table' })
    await expect(ask('select idd from silver.clean')).rejects.toMatchObject({ code: 'query.failed', message: expect.stringMatching(/idd/) as string })
    await expect(ask("select 'x'::int")).rejects.toMatchObject({ code: 'query.failed', kind: 'invalid' })
    await expect(ask('select ?')).rejects.toMatchObject({ kind: 'invalid' })
  })
})

describe('cells', () => {
  test.each([
    ['1', 1],
    ['9007199254740991', 9007199254740991],
    ['9007199254740993', '9007199254740993'],
    ['170141183460469231731687303715884105727::hugeint', '170141183460469231731687303715884105727'],
    ['12.340::decimal(10,3)', '12.340'],
    ["'NaN'::double", 'NaN'],
    ["'-inf'::double", '-Infinity'],
    ['null', null],
    ["timestamp '2024-05-01 10:00:00'", '2024-05-01T10:00:00.000'],
    ["timestamp '2024-05-01 10:00:00.123456'", '2024-05-01T10:00:00.123456'],
    ["timestamptz '2024-05-01 10:00:00.000007+02'", '2024-05-01T08:00:00.000007Z'],
    ["timestamptz '1969-12-31 23:59:59.999999Z'", '1969-12-31T23:59:59.999999Z'],
    ["timestamptz '1900-01-01 00:00:00.5Z'", '1900-01-01T00:00:00.500Z'],
    ["timestamp_ns '2024-05-01 10:00:00.123456789'", '2024-05-01T10:00:00.123456789'],
    ["timestamp_s '2024-05-01 10:00:00'", '2024-05-01T10:00:00.000'],
    ["timestamp_ms '2024-05-01 10:00:00.5'", '2024-05-01T10:00:00.500'],
    ["timestamptz 'infinity'", 'infinity'],
    ["timestamp '-infinity'", '-infinity'],
    ["date '2024-05-01'", '2024-05-01'],
    ["time '10:00:00.5'", '10:00:00.5'],
    ["interval '1 day 2 hours'", '1 day 02:00:00'],
    ["'a\\x00\\xFF'::blob", 'YQD/'],
    ['[1, null, 3]', [1, null, 3]],
    ["{a: 1, b: [date '2024-01-01']}", { a: 1, b: ['2024-01-01'] }],
    ["map {'k': 1.5::double}", [{ key: 'k', value: 1.5 }]],
    ["'b'::enum('a', 'b')", 'b'],
    ["'00000000-0000-0000-0000-000000000001'::uuid", '00000000-0000-0000-0000-000000000001'],
    ['union_value(n := 7)', 7],
    ['\'{"a": 1}\'::json', '{"a": 1}'],
  ])('%s', async (sql, expected) => {
    const found = await cell(sql)
    expect(found).toEqual(expected)
    expect(JSON.parse(JSON.stringify(found ?? null))).toEqual(expected)
  })
})

describe('a query that is too long', async () => {
  // A single value that takes long ends on its own: closing waits for it, so that the tests below do not see its memory.
  const query = await openOne()
  afterAll(() => query.close())
  test.each([
    'select count(*) from range(1000000000000)',
    'select max(a.range + b.range) from range(100000000) a, range(100000000) b',
    'select list_sum(list_transform(range(100000000), lambda x: x * 2)) from range(100)',
    'with recursive n as (select 1 as i union all select i + 1 from n) select count(*) from n',
    "select count(*) from range(100000000) where regexp_matches(repeat(range::varchar, 20), '(1+)+2$')",
  ])('is interrupted: %s', async (text) => {
    const began = performance.now()
    await expect(query.run(text, { timeoutMs: 300 })).rejects.toMatchObject({
      kind: 'limit',
      code: expect.stringMatching(/^query\.(timeout|memory)$/) as string,
    })
    expect(performance.now() - began).toBeLessThan(5_000)
    expect((await query.run('select 1')).rows).toEqual([[1]])
  })
})

describe('limits', () => {
  test("one that its caller gives up ends at once with the caller's reason", async () => {
    const giveUp = new AbortController()
    setTimeout(() => giveUp.abort(new Error('left')), 100)
    const began = performance.now()
    await expect(query.run('select count(*) from range(1000000000000)', { signal: giveUp.signal })).rejects.toThrow('left')
    expect(performance.now() - began).toBeLessThan(5_000)
    await expect(query.run('select 1', { signal: giveUp.signal })).rejects.toThrow('left')
  })
  test('one that needs too much memory is told so', { timeout: 60_000 }, async () => {
    await expect(query.run('select array_agg(repeat(range::varchar, 100)) from range(10000000)', { timeoutMs: 50_000 })).rejects.toMatchObject({
      code: 'query.memory',
      kind: 'limit',
    })
    expect(await cell('1')).toBe(1)
  })
  test('twenty at once answer as one does', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => query.run(`select ${i}, count(*), sum(value) from silver.clean, range(${i + 1})`)))
    answers.forEach((answer: QueryAnswer, i) => expect(answer.rows).toEqual([[i, 4 * (i + 1), 10 * (i + 1)]]))
  })
  test('thousands of queries, failing ones too, leave nothing behind', { timeout: 120_000 }, async () => {
    const some = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i += 10) {
        await Promise.allSettled(
          Array.from({ length: 10 }, (_, n) =>
            query.run(
              ['select count(*) from silver.clean', 'select nowhere from silver.clean', "select error('x') from silver.clean", 'select * from range(5000)'][
                n % 4
              ] ?? '',
              { limit: 1 },
            ),
          ),
        )
      }
      global.gc?.()
      return process.memoryUsage().rss
    }
    const before = await some(500)
    expect((await some(1500)) - before).toBeLessThan(64 * 1024 * 1024)
    // Each query has a database of its own: were they kept, attaching would become slow and their count would show in the ids.
    expect(await ask('select 1 from silver.clean limit 1')).toEqual([[1]])
    const began = performance.now()
    await some(100)
    expect(performance.now() - began).toBeLessThan(5000)
  })
})

describe('closing', () => {
  test('waits for what still runs', async () => {
    for (let round = 0; round < 20; round++) {
      const one = await openOne()
      const asked = Array.from({ length: 8 }, () => one.ping())
      await one.close()
      expect((await Promise.allSettled(asked)).filter(({ status }) => status === 'rejected')).toEqual([])
    }
  })
})

describe('the cage', () => {
  const file = join(outside, 'secret.csv')
  test.each([
    `select * from read_csv('${file}')`,
    `select * from '${file}'`,
    `select * from "${file}"`,
    `with f as (select * from '${file}') select * from f`,
    `select * from read_text('${file}')`,
    `select * from read_blob(['${file}'])`,
    `select * from parquet_metadata('${place.folder}/x.parquet')`,
    `select * from glob('${place.folder}/**')`,
    `select * from sniff_csv('${file}')`,
    `select * from query('select 1')`,
    `select * from query_table('silver.clean')`,
    `select (select count(*) from read_csv('${file}'))`,
    `select exists(from glob('/*'))`,
    `select list_transform([1], lambda x: (select count(*) from duckdb_tables()))`,
    `values ((select count(*) from duckdb_views))`,
    `copy (select 1) to '${join(outside, 'out.csv')}'`,
    `attach '${join(outside, 'x.db')}' as x`,
    'create table t as select 1',
    'insert into silver.clean values (1)',
    'delete from silver.clean',
    'drop schema silver',
    'install httpfs',
    "load '/tmp/x'",
    "set memory_limit = '10GB'",
    'reset memory_limit',
    'pragma version',
    'call pragma_version()',
    'checkpoint',
    "export database '/tmp/x'",
    'prepare p as select 1',
    'execute p',
    'begin',
    'explain select 1',
    'describe silver.clean',
    'show all tables',
    'from (show databases)',
    'summarize silver.clean',
    'select 1; drop schema silver',
    'select * from duckdb_databases()',
    'select * from duckdb_settings()',
    'select * from duckdb_settings',
    'select * from duckdb_views',
    'table duckdb_views',
    'with duckdb_views as (select * from duckdb_views) select * from duckdb_views',
    'with recursive duckdb_views as (select * from duckdb_views union all select * from duckdb_views) select * from duckdb_views',
    'with a as (with duckdb_views as (select 1) select 1) select * from duckdb_views',
    'select * from (with duckdb_views as (select 1) select 1) t, duckdb_views',
    'select * from information_schema.tables',
    'select * from pg_catalog.pg_views',
    'select * from pg_views',
    'select * from sqlite_master',
    'select * from main.duckdb_views',
    'select * from system.information_schema.schemata',
    'select * from temp.information_schema.tables',
    'select * from memory.main.x',
    'select pg_get_viewdef(1)',
    'select main.pg_get_viewdef(1)',
    "select current_setting('allowed_directories')",
    "select 'temp_directory'.current_setting()",
    "select getenv('HOME')",
    "select write_log('x')",
  ])('%s', async (text) => {
    await expect(ask(text)).rejects.toMatchObject({
      kind: expect.stringMatching(/^(denied|missing|invalid|unsupported)$/) as string,
      message: expect.not.stringContaining(place.folder) as string,
    })
    expect(await ask('select count(*) from silver.clean')).toEqual([[4]])
  })
  test('errors do not tell where files lie', async () => {
    for (const text of [
      'select value::date from silver.clean',
      'select nowhere from silver.clean',
      'select error(id) from silver.clean',
      'select sum(id) from silver.clean',
    ]) {
      const error = await ask(text).catch((thrown: unknown) => thrown)
      expect(String(error)).toMatch(/LagoaError/)
      expect(JSON.stringify([String(error)])).not.toContain(place.folder)
    }
  })
})
