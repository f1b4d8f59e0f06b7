/** From declarations to a plan, and every way in which a declaration is refused. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DuckDBInstance } from '@duckdb/node-api'
import { t } from '../../../src/base/index.ts'
import { table, type Table } from '../../../src/lake/declare.ts'
import { fail, quarantine } from '../../../src/lake/expectations.ts'
import { planTables, type TablePlan } from '../../../src/lake/model.ts'
import { planRefresh } from '../../../src/lake/plan.ts'
import { quoteColumns, sql } from '../../../src/lake/sql.ts'
import { readings } from './project.ts'

const connection = await (await DuckDBInstance.create(':memory:')).connect()
const plan = (...tables: Table[]): Promise<TablePlan> => planTables(tables, connection)
const raw = table('bronze.raw', { from: readings })
const silver = (text: string, options: object = {}): Table => table('silver.clean', { ...options, sql: text })
const inputsOf = async (text: string): Promise<readonly string[]> =>
  (await plan(raw, table('bronze.other', { from: readings }), silver(text))).models[0]?.inputs ?? []
const refused = (tables: Table[], code: string, pattern: RegExp): Promise<void> =>
  expect(plan(...tables)).rejects.toSatisfy((error: { code: string; message: string; hint: string }) => {
    expect({ code: error.code, text: `${error.message} | ${error.hint}` }).toEqual({ code, text: expect.stringMatching(pattern) as string })
    return true
  })

describe('references', () => {
  test('are found in templates, plain text, quoted names, subqueries, WITH, joins and set operations', async () => {
    const made = await plan(raw, table('silver.clean', { sql: sql`select ${raw.c.id} from ${raw}` }))
    expect(made.models[0]).toMatchObject({ inputs: ['bronze.raw'], text: 'select "id" from "bronze"."raw"', mode: { kind: 'full' } })
    expect(await inputsOf('select * from bronze.raw;')).toEqual(['bronze.raw'])
    expect(await inputsOf('select * from "bronze"."raw" -- the end')).toEqual(['bronze.raw'])
    expect(await inputsOf('select (select max(id) from bronze.other) from bronze.raw where id in (select id from bronze.other)')).toEqual(
      expect.arrayContaining(['bronze.raw', 'bronze.other']),
    )
    expect(await inputsOf('with a as (select * from bronze.raw), b as (select * from a) select * from b join bronze.other using (id)')).toEqual(
      expect.arrayContaining(['bronze.raw', 'bronze.other']),
    )
    expect(await inputsOf('select id from bronze.raw union all select id from bronze.other except select id from range(3) r(id)')).toEqual([
      'bronze.raw',
      'bronze.other',
    ])
    expect(await inputsOf('with recursive n as (select 1 as i union all select i + 1 from n where i < 3) select i from n, bronze.raw')).toEqual(['bronze.raw'])
  })
  test('to unknown tables and columns are refused with the nearest name', async () => {
    await refused([raw, silver('select * from bronze.rw')], 'lake.unknown_table', /reads bronze\.rw.*Did you mean bronze\.raw/)
    await refused(
      [raw, table('silver.clean', { sql: sql`select ${{ kind: 'column', asset: 'bronze.raw', name: 'vale' }} from ${raw}` })],
      'lake.unknown_column',
      /bronze\.raw\.vale.*Did you mean value/,
    )
    await refused(
      [raw, silver('select id from bronze.raw', { columns: { id: t.string() }, merge: ['idd'] })],
      'lake.unknown_column',
      /merge names silver\.clean\.idd.*Did you mean id/,
    )
    await refused(
      [raw, silver('select id from bronze.raw', { window: { column: 'hour', source: 'att', size: '1h' } })],
      'lake.unknown_column',
      /bronze\.raw\.att.*Did you mean at/,
    )
  })
  test('of a name to itself in WITH do not make a way to the views of the engine', async () => {
    for (const text of [
      'with duckdb_views as (select * from duckdb_views) select * from duckdb_views',
      'with recursive duckdb_views as (select * from duckdb_views union all select * from duckdb_views) select * from duckdb_views',
      'select * from (with duckdb_views as (select 1) select 1), duckdb_views',
    ]) {
      await refused([raw, silver(text)], 'lake.unknown_table', /reads duckdb_views/)
    }
  })
  test('in a circle are refused with the whole circle', async () => {
    const a = table('silver.a', { sql: 'select * from silver.b' })
    const b = table('silver.b', { sql: 'select * from silver.c' })
    const c = table('silver.c', { sql: 'select * from silver.a' })
    await refused([a, b, c], 'lake.table_cycle', /silver\.a -> silver\.b -> silver\.c -> silver\.a/)
    await refused([raw, silver('select * from silver.clean')], 'lake.table_cycle', /reads silver\.clean itself/)
  })
  test('put models in the order of their inputs, through quarantines too', async () => {
    const held = table('gold.held', { sql: 'select count(*) as n from silver.clean_quarantine' })
    const made = await plan(held, silver('select * from bronze.raw', { expect: { known: quarantine('id is not null') } }), raw)
    expect(made.models.map(({ name }) => name)).toEqual(['silver.clean', 'gold.held'])
  })
})

describe('declarations that cannot work are refused', () => {
  test.each([
    ['a bad name', [table('Silver', { from: readings })], 'lake.table_name', /layer\.name/],
    ['a name used twice', [raw, table('bronze.Raw', { from: readings })], 'lake.table_twice', /bronze\.raw and bronze\.Raw/],
    [
      'the name of a quarantine',
      [raw, silver('select * from bronze.raw', { expect: { a: quarantine('id > 1') } }), table('silver.clean_quarantine', { from: readings })],
      'lake.table_twice',
      /silver\.clean_quarantine/,
    ],
    ['no source of rows', [table('silver.x', {})], 'lake.table_without_rows', /from:/],
    ['expectations on a stream table', [table('bronze.x', { from: readings, expect: { a: fail('id > 1') } })], 'lake.stream_table', /expect/],
    [
      'merge and window',
      [raw, silver('select * from bronze.raw', { merge: ['id'], window: { column: 'h', source: 'at', size: '1h' } })],
      'lake.two_modes',
      /both/,
    ],
    [
      'no driver',
      [raw, table('bronze.b', { from: readings }), silver('select * from bronze.raw join bronze.b using (id)', { merge: ['id'] })],
      'lake.no_driver',
      /from:/,
    ],
    [
      'a driver read twice',
      [raw, silver('select * from bronze.raw where value > (select avg(value) from bronze.raw)', { merge: ['id'] })],
      'lake.driver_twice',
      /more than once/,
    ],
    ['an empty merge', [raw, silver('select * from bronze.raw', { merge: [] })], 'lake.merge_keys', /id/],
    [
      'a window that is no duration',
      [raw, silver('select * from bronze.raw', { window: { column: 'h', source: 'at', size: 'an hour' } })],
      'lake.duration',
      /1d/,
    ],
    ['every that is no duration', [table('bronze.x', { from: readings, every: 'often' })], 'lake.duration', /every/],
    [
      'a condition that does not parse',
      [raw, silver('select id from bronze.raw', { columns: { id: t.string() }, expect: { a: fail('id >') } })],
      'lake.sql_syntax',
      /Expectation a of silver\.clean/,
    ],
    [
      'a condition over other tables',
      [raw, silver('select id from bronze.raw', { columns: { id: t.string() }, expect: { a: fail('id in (select id from bronze.raw)') } })],
      'lake.expectation_sql',
      /bronze\.raw/,
    ],
    ['a fixed version', [raw, silver('select * from bronze.raw at (version => 1)')], 'lake.sql_at', /leave the clause out/],
  ] as [string, Table[], string, RegExp][])('%s', (_, tables, code, pattern) => refused(tables, code, pattern))
  test.each([
    ["select * from read_csv('/etc/passwd')", 'lake.sql_function'],
    ["select * from glob('/*')", 'lake.sql_function'],
    ["select * from query('select 1')", 'lake.sql_function'],
    ['select * from duckdb_settings()', 'lake.sql_function'],
    ["select current_setting('temp_directory')", 'lake.sql_function'],
    ['select pg_get_viewdef(1)', 'lake.sql_function'],
    ["select * from '/etc/passwd'", 'lake.unknown_table'],
    ['select * from information_schema.tables', 'lake.unknown_table'],
    ['select * from system.main.duckdb_tables', 'lake.sql_catalog'],
    ['show tables', 'lake.sql_select_only'],
    ['from (describe bronze.raw)', 'lake.sql_select_only'],
    ['pragma database_list', 'lake.sql_select_only'],
    ['create table x as select 1', 'lake.sql_select_only'],
    ["copy (select 1) to '/tmp/x'", 'lake.sql_select_only'],
    ['select 1; select 2', 'lake.sql_one_statement'],
    ['', 'lake.sql_one_statement'],
  ])('%s', (text, code) => refused([raw, silver(text)], code, /./))
})

describe('columns that are words of SQL', () => {
  test('make the hint of a syntax error say so', async () => {
    for (const text of [
      'select at from bronze.raw',
      'select id, at, value from bronze.raw',
      'select max(at) from bronze.raw',
      'select id from bronze.raw where at is not null',
      'select id from bronze.raw order by at',
    ])
      await refused([raw, silver(text)], 'lake.sql_syntax', /put the column in double quotes: "at"/)
    await refused([raw, silver('selec id from bronze.raw')], 'lake.sql_syntax', /\(line 1, column 1\).*dialect/)
    await refused([raw, silver("select 'ção' as á, at\nfrom bronze.raw")], 'lake.sql_syntax', /line 2, column 1.*"at"/)
  })
  test('are quoted in conditions, and nothing else is', () => {
    const columns = ['at', 'end', 'order', 'date', 'left']
    const cases = [
      ['at is not null', '"at" is not null'],
      ["at > date '2024-01-01' and date < current_date", `"at" > date '2024-01-01' and "date" < current_date`],
      ["x at time zone 'UTC' > at", `x at time zone 'UTC' > "at"`],
      [`"at" = 'at' and left(x, 1) = 'end'`, `"at" = 'at' and left(x, 1) = 'end'`],
      ['AT IN (1, 2) or order > 3', '"at" IN (1, 2) or "order" > 3'],
    ] as const
    for (const [condition, quoted] of cases) expect(quoteColumns(condition, columns)).toBe(quoted)
  })
})

describe('what a refresh has to do', () => {
  test.each([
    ['no input yet', 'merge', { input: null, covered: null, current: false }, { kind: 'nothing' }],
    ['first time', 'merge', { input: 3, covered: null, current: false }, { kind: 'rebuild', upTo: 3, anew: true }],
    ['nothing new', 'window', { input: 3, covered: 3, current: true }, { kind: 'nothing' }],
    ['new versions', 'window', { input: 5, covered: 3, current: true }, { kind: 'changes', after: 3, upTo: 5 }],
    ['new versions of any input', 'full', { input: 5, covered: 3, current: true }, { kind: 'rebuild', upTo: 5, anew: false }],
    ['another definition', 'merge', { input: 3, covered: 3, current: false }, { kind: 'rebuild', upTo: 3, anew: true }],
    ['an input that was made anew', 'merge', { input: 1, covered: 3, current: true }, { kind: 'rebuild', upTo: 1, anew: true }],
  ] as const)('%s', (_, mode, state, expected) => expect(planRefresh(mode, state)).toEqual(expected))

  test('whatever happens in between, one refresh that gets through covers the input with what the definition says', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('append' as const) }),
      fc.record({ kind: fc.constant('define' as const), to: fc.nat(2) }),
      fc.record({ kind: fc.constant('refresh' as const), crash: fc.constantFrom('no', 'first', 'between') }),
    )
    fc.assert(
      fc.property(fc.constantFrom('merge' as const, 'full' as const), fc.array(step, { maxLength: 30 }), (mode, steps) => {
        let input = 0
        let definition = 0
        let made = 0
        const table = { definition: -1, generation: -1, covered: null as number | null, rows: [] as string[] }
        const quarantine = { generation: -1, rows: [] as { version: number; row: string }[] }
        const refresh = (crash: string): void => {
          const current = table.definition === definition && (quarantine.generation === -1 || quarantine.generation === table.generation)
          const plan = planRefresh(mode, { input, covered: table.covered, current })
          if (plan.kind === 'nothing' || crash === 'first') return
          const generation = plan.kind === 'rebuild' && plan.anew ? ++made : table.generation
          const after = plan.kind === 'changes' ? plan.after : 0
          const came = Array.from({ length: plan.upTo - after }, (_, i) => ({ version: plan.upTo, row: `${definition}:${after + i + 1}` }))
          quarantine.rows = [...quarantine.rows.filter(({ version }) => plan.kind === 'changes' && version <= plan.after), ...came]
          quarantine.generation = generation
          if (crash === 'between') return
          table.rows = [...(plan.kind === 'changes' ? table.rows : []), ...came.map(({ row }) => row)]
          Object.assign(table, { definition, generation, covered: plan.upTo })
        }
        for (const one of steps) {
          if (one.kind === 'append') input++
          else if (one.kind === 'define') definition = one.to
          else refresh(one.crash)
        }
        refresh('no')
        const all = Array.from({ length: input }, (_, i) => `${definition}:${i + 1}`)
        expect(table.rows).toEqual(all)
        expect(quarantine.rows.map(({ row }) => row)).toEqual(all)
        expect(table.covered).toBe(input)
      }),
      { numRuns: 500 },
    )
  })
})
