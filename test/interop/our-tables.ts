/** Every kind of table that this package writes, made once per test file, for other engines to read. */
import { join } from 'node:path'
import type { DeltaTable } from '../../src/lake/delta/index.ts'
import { field, type Lake } from '../helpers/delta.ts'
import { CHANGED_TABLES } from './our-vectors.ts'

export interface OurTable {
  readonly name: string
  readonly table: DeltaTable
  /** Absolute, as other engines want it. */
  readonly path: string
  /** Versions to read beside the newest, of the kinds whose history is the point. */
  readonly versions: readonly number[]
  /** Conditions that mean the same in DuckDB, Spark and DataFusion; each file's statistics decide whether it is read. */
  readonly conditions: readonly string[]
}

interface Kind {
  readonly name: string
  readonly conditions?: readonly string[]
  readonly travels?: boolean
  make(table: DeltaTable, lake: Lake): Promise<unknown>
}

const EVERY_TYPE = [
  field('id', 'integer'),
  field('b', 'byte'),
  field('s', 'short'),
  field('i', 'integer'),
  field('l', 'long'),
  field('f', 'float'),
  field('d', 'double'),
  field('dec9', 'decimal(9,2)'),
  field('dec18', 'decimal(18,6)'),
  field('dec38', 'decimal(38,10)'),
  field('t', 'string'),
  field('bin', 'binary'),
  field('flag', 'boolean'),
  field('day', 'date'),
  field('at', 'timestamp'),
]

const select = (...rows: readonly string[]): string => rows.map((row) => `select ${row}`).join(' union all by name ')

const LONG_TEXT = `'${'São Paulo às margens do rio '.repeat(4)}' || chr(128075)`
/** Statistics hold 32 characters; here the next one is the greatest there is. */
const TEXT_AT_THE_TOP = `repeat('z', 32) || chr(1114111) || 'a'`

const EXTREMES = select(
  '1 as id',
  `2 as id, -128 as b, -32768 as s, -2147483648 as i, -9223372036854775808 as l, '-3.4028235e38'::float as f, -1.7976931348623157e308::double as d, -9999999.99 as dec9, -999999999999.999999 as dec18, -9999999999999999999999999999.9999999999 as dec38, '' as t, ''::blob as bin, false as flag, date '1900-01-01' as "day", timestamptz '1900-01-01 00:00:00+00' as "at"`,
  `3 as id, 127 as b, 32767 as s, 2147483647 as i, 9223372036854775807 as l, '3.4028235e38'::float as f, 1.7976931348623157e308::double as d, 9999999.99 as dec9, 999999999999.999999 as dec18, 9999999999999999999999999999.9999999999 as dec38, ${LONG_TEXT} as t, '\\x00\\xFF\\x80'::blob as bin, true as flag, date '9999-12-31' as "day", timestamptz '2261-12-31 23:59:59.999999+00' as "at"`,
  `4 as id, 0 as b, 0 as s, 0 as i, 0 as l, 0::float as f, 0::double as d, 0.00 as dec9, 0 as dec18, 0.0000000001 as dec38, chr(128512) || 'é' || chr(10) || chr(9) || '"\\''''' as t, 'ab'::blob as bin, true as flag, date '1970-01-01' as "day", timestamptz '1969-12-31 23:59:59.999999+00' as "at"`,
  `5 as id, '-0'::float as f, '-0'::double as d, ${TEXT_AT_THE_TOP} as t, date '1969-12-31' as "day", timestamptz '1969-12-31 23:59:59.000001+00' as "at"`,
  `6 as id, 'nan'::float as f, 'nan'::double as d, 'b' || chr(65279) || 'om' as t, timestamptz '2024-02-29 12:34:56.789012+00' as "at"`,
  `7 as id, 'inf'::float as f, 'inf'::double as d, 'NULL' as t, timestamptz '1970-01-01 00:00:00+00' as "at"`,
  `8 as id, '-inf'::float as f, '-inf'::double as d, 'null' as t, timestamptz '2024-02-29 12:34:56.789999+00' as "at"`,
)

const NESTED = [
  field('id', 'integer'),
  field('l', { type: 'array', elementType: 'long', containsNull: true }),
  field('ll', { type: 'array', elementType: { type: 'array', elementType: 'string', containsNull: true }, containsNull: true }),
  field('st', {
    type: 'struct',
    fields: [field('a', 'integer'), field('in', { type: 'struct', fields: [field('at', 'timestamp'), field('price', 'decimal(12,3)')] })],
  }),
  field('m', { type: 'map', keyType: 'string', valueType: 'double', valueContainsNull: true }),
  field('ms', {
    type: 'map',
    keyType: 'integer',
    valueType: { type: 'struct', fields: [field('x', 'date'), field('tags', { type: 'array', elementType: 'string', containsNull: true })] },
    valueContainsNull: true,
  }),
  field('ls', { type: 'array', elementType: { type: 'struct', fields: [field('k', 'string'), field('v', 'binary')] }, containsNull: true }),
]

const NESTED_ROWS = select(
  '1 as id',
  `2 as id, []::bigint[] as l, [[]]::varchar[][] as ll, {a: null::integer, "in": null::struct("at" timestamptz, price decimal(12,3))} as st, map {}::map(varchar, double) as m, map {}::map(integer, struct(x date, tags varchar[])) as ms, []::struct(k varchar, v blob)[] as ls`,
  `3 as id, [1, null, 3]::bigint[] as l, [['a', null, ''], null, []]::varchar[][] as ll, {a: 1, "in": {"at": timestamptz '1960-01-01 00:00:00.5+00', price: 1.250::decimal(12,3)}} as st, map {'a': 1.5::double, '': null, 'ü': 'nan'::double} as m, map {1: {x: date '2024-01-01', tags: ['p', null]}, -1: null} as ms, [{k: 'k', v: 'ab'::blob}, null, {k: null, v: null}] as ls`,
)

/** Texts that a path, a Hive folder or a URL could take for something else; the empty one means null. */
const ODD = [
  '',
  'plain',
  'with blank',
  ' lead',
  'trail ',
  'a/b',
  'a\\b',
  'a%b',
  '100%',
  '%2F',
  'a=b',
  'a+b',
  'a&b',
  'a:b',
  'a#b',
  'a?b',
  'a*b',
  '[x]',
  '{y}',
  "it's",
  '"q"',
  'São Paulo',
  '東京',
  '😀',
  '.',
  '..',
  'NULL',
  'null',
  '2024-01-01',
  'a\nb',
  'a\tb',
  '~',
  '$1',
  '^',
  '|',
  '`',
  ';',
  ',',
  '<>',
  '_hidden',
  '.hidden',
  'x'.repeat(230),
]

const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`

const KINDS: readonly Kind[] = [
  {
    name: 'every type: extremes, nulls, NaN, text of all kinds',
    conditions: [
      'd > 1e300',
      'd < -1e300',
      'f >= 0',
      "t >= 'z'",
      "t = ''",
      "t = 'NULL'",
      'l = 9223372036854775807',
      'l < -9007199254740993',
      'dec38 > 0',
      'dec18 < 0',
      "day < date '1970-01-01'",
      'b is null',
      't is not null and flag',
      's = 32767',
    ],
    async make(table, lake) {
      await table.create({ fields: EVERY_TYPE })
      await table.append(lake.select(EXTREMES))
    },
  },
  {
    name: 'every type, a file for each row',
    conditions: [
      'd > 1e300',
      'd < -1e300',
      'd = 0',
      'f >= 0',
      "t >= 'zzzz'",
      "t = ''",
      'l = 9223372036854775807',
      'l = 9223372036854775806',
      'dec38 > 999999999',
      'dec38 = 0.0000000001',
      "day < date '1970-01-01'",
      'b is null',
      'flag',
      'not flag',
      's = 32767',
    ],
    async make(table, lake) {
      await table.create({ fields: EVERY_TYPE })
      for (let id = 1; id <= 8; id++) await table.append(lake.select(`select * from (${EXTREMES}) where id = ${id}`))
    },
  },
  {
    name: 'instants between two milliseconds',
    conditions: [
      "ts > cast('2024-02-29 12:34:56.789' as timestamp)",
      "ts <= cast('1969-12-31 23:59:59.999' as timestamp)",
      "ts >= cast('1969-12-31 23:59:59.999999' as timestamp)",
    ],
    async make(table, lake) {
      await table.create({ fields: [field('ts', 'timestamp')] })
      for (const at of [
        '2024-02-29 12:34:56.789001',
        '2024-02-29 12:34:56.788999',
        '1969-12-31 23:59:59.999999',
        '1969-12-31 23:59:59.000001',
        '1970-01-01 00:00:00',
      ])
        await table.append(lake.select(`select timestamptz '${at}+00' as ts`))
    },
  },
  {
    name: 'days and instants before 1900 and far in the future',
    conditions: ["day < date '1600-01-01'", "day = date '1582-10-15'"],
    async make(table, lake) {
      await table.create({ fields: [field('day', 'date'), field('at', 'timestamp')] })
      await table.append(
        lake.select(
          ['0002-01-02', '1000-02-28', '1582-10-04', '1582-10-15', '1883-11-18', '1899-12-31', '9999-12-31']
            .map((day) => `select date '${day}' as "day", timestamptz '${day} 12:00:00.123456+00' as "at"`)
            .join(' union all '),
        ),
      )
    },
  },
  {
    name: 'nested lists, structs and maps',
    conditions: ['id = 3', 'id > 3'],
    async make(table, lake) {
      await table.create({ fields: NESTED })
      await table.append(lake.select(NESTED_ROWS))
    },
  },
  {
    name: 'partitions named by odd text',
    conditions: ["p = 'a%b'", "p = 'a/b'", 'p is null', "p in ('.', '..')", "p = '😀'", "p > 'a' and p < 'b'"],
    async make(table, lake) {
      await table.create({ fields: [field('p', 'string'), field('n', 'integer')], partitionBy: ['p'] })
      await table.append(
        lake.select(`select unnest([${ODD.map(quote).join(', ')}]) as p, unnest(range(${ODD.length}))::integer as n union all select null, -1`),
      )
    },
  },
  ...['byte', 'short', 'integer', 'long', 'float', 'double', 'decimal(9,2)', 'decimal(38,10)', 'boolean', 'date', 'timestamp'].map((type): Kind => ({
    name: `partitions of type ${type}`,
    conditions: ['p is null'],
    async make(table, lake) {
      await table.create({ fields: [field('p', type), field('n', 'integer')], partitionBy: ['p'] })
      const values: Readonly<Record<string, readonly string[]>> = {
        boolean: ['true', 'false'],
        date: ["date '1969-12-31'", "date '2024-02-29'"],
        timestamp: ["timestamptz '1969-12-31 23:59:59.999999+00'", "timestamptz '2024-02-29 00:00:00+00'", "timestamptz '2024-02-29 12:34:56.789+00'"],
        float: ['1.5::float', '-1e20::float', '1e-7::float', '0.1::float', "'inf'::float", "'nan'::float"],
        double: ['1.5::double', '-1e300::double', '1e-7::double', '0.1::double', "'-inf'::double", "'nan'::double"],
        'decimal(9,2)': ['1.50', '-0.01', '1234567.89'],
        'decimal(38,10)': ['0.0000000001', '-1.5', '1234567890123456789.0123456789'],
        long: ['9223372036854775807', '-9223372036854775808', '0'],
      }
      const sql = (values[type] ?? ['-7', '0', '100']).map((value, n) => `select ${value} as p, ${n} as n`)
      for (const one of [...sql, 'select null as p, -1 as n']) await table.append(lake.select(one))
    },
  })),
  {
    name: 'two partition columns behind and before the data',
    conditions: ["site = 'b'", "day = date '2024-01-02' and n > 4"],
    async make(table, lake) {
      await table.create({ fields: [field('site', 'string'), field('n', 'integer'), field('day', 'date'), field('x', 'double')], partitionBy: ['day', 'site'] })
      await table.append(
        lake.select(
          "select (date '2024-01-01' + (i % 3)::integer) as \"day\", ['a', 'b', null][1 + i % 3] as site, i::integer as n, i / 2 as x from range(12) r(i)",
        ),
      )
    },
  },
  ...['p q', 'p/q', 'p%q', 'ação', '_u', '.d', 'a=b', '#?', 'a+b', 'a:b'].map((column): Kind => ({
    name: `partition column ${column}`,
    async make(table, lake) {
      // Names that files may not have take a mapping.
      const configuration = /[ =]/.test(column) ? { 'delta.columnMapping.mode': 'name' } : {}
      await table.create({ fields: [field('id', 'long'), field(column, 'string')], partitionBy: [column], configuration })
      await table.append(lake.select(`select 1::bigint as id, 'São Paulo + Rio' as "${column}"`))
    },
  })),
  ...(['name', 'id'] as const).map((mode): Kind => ({
    name: `columns mapped by ${mode}, renamed, dropped and added`,
    conditions: ['id > 1', 'id = 4'],
    travels: true,
    async make(table, lake) {
      await table.create({
        fields: [...NESTED, field('a b', 'string'), field('gone', 'double')],
        partitionBy: ['a b'],
        configuration: { 'delta.columnMapping.mode': mode, 'delta.checkpointInterval': '3' },
      })
      await table.append(lake.select(`select *, 'x' as "a b", 1.5 as gone from (${NESTED_ROWS})`))
      await table.alter({ kind: 'renameColumn', column: ['st', 'in', 'price'], to: 'cost;s' })
      await table.alter({ kind: 'renameColumn', column: ['ms', 'value', 'tags'], to: 'labels' })
      await table.alter({ kind: 'dropColumn', column: 'gone' })
      await table.alter({ kind: 'dropColumn', column: 'll' })
      await table.alter({ kind: 'addColumns', fields: [field('gone', 'string')] })
      await table.append(
        lake.select('select 4 as id, \'y\' as "a b", \'again\' as gone, {a: 1, "in": {"at": null::timestamptz, \'cost;s\': 2.5::decimal(12,3)}} as st'),
      )
    },
  })),
  {
    name: 'columns mapped after files were written',
    conditions: ['key > 1'],
    async make(table, lake) {
      await table.create({ fields: [field('id', 'long'), field('gone', 'string'), field('st', { type: 'struct', fields: [field('a', 'integer')] })] })
      await table.append(lake.select("select 1 as id, 'x' as gone, {a: 1} as st"))
      await table.alter({ kind: 'enableColumnMapping' })
      await table.alter({ kind: 'renameColumn', column: 'id', to: 'key' })
      await table.alter({ kind: 'renameColumn', column: ['st', 'a'], to: 'b' })
      await table.alter({ kind: 'dropColumn', column: 'gone' })
      await table.append(lake.select('select 2 as key, {b: 2} as st'))
    },
  },
  {
    name: 'constraints, generated columns and defaults',
    conditions: ['twice = 4', "day = date '2024-03-31'"],
    async make(table, lake) {
      await table.create({
        fields: [
          field('id', 'long'),
          field('at', 'timestamp'),
          { ...field('twice', 'long'), generated: 'id * 2' },
          { ...field('day', 'date'), generated: 'cast(at as date)' },
          { ...field('name', 'string'), default: "'none'" },
        ],
        partitionBy: ['day'],
        constraints: { positive: 'id > 0', named: "name is not null and name <> ''" },
      })
      await table.append(lake.select('select i as id, timestamptz \'2024-03-31 22:00:00Z\' + i * interval 1 hour as "at" from range(1, 4) r(i)'))
      await table.append(lake.select("select 9 as id, 'given' as name, 18 as twice"))
    },
  },
  {
    name: 'timestamps without a zone',
    conditions: ["plain > cast('2024-01-01 00:00:00' as timestamp)", 'p is null'],
    async make(table, lake) {
      await table.create({
        fields: [field('plain', 'timestamp_ntz'), field('st', { type: 'struct', fields: [field('t', 'timestamp_ntz')] }), field('p', 'timestamp_ntz')],
        partitionBy: ['p'],
      })
      for (const local of ['1969-12-31 23:59:59.999999', '2024-02-29 12:34:56.789012'])
        await table.append(
          lake.select(`select timestamp '${local}' as plain, {t: timestamp '${local}'} as st, timestamp '${local}' as p union all select null, null, null`),
        )
    },
  },
  {
    name: 'an empty table',
    async make(table) {
      await table.create({ fields: EVERY_TYPE })
    },
  },
  {
    name: 'an empty partitioned table with a description and comments',
    async make(table) {
      await table.create({
        fields: [{ ...field('p', 'string'), metadata: { comment: 'where "it" was' } }, field('n', 'long')],
        partitionBy: ['p'],
        description: 'Nothing\nyet',
      })
    },
  },
  {
    name: 'a table that was emptied',
    travels: true,
    async make(table, lake) {
      await table.create({ fields: [field('n', 'long')] })
      await table.append(lake.select('select 1::bigint as n'))
      await table.overwrite(lake.select('select 1::bigint as n where false'))
    },
  },
  {
    name: 'columns that take no nulls',
    conditions: ['n = 2'],
    async make(table, lake) {
      await table.create({
        fields: [
          field('n', 'long', false),
          field('st', { type: 'struct', fields: [field('a', 'integer', false)] }, false),
          field('l', { type: 'array', elementType: 'integer', containsNull: false }, false),
        ],
      })
      await table.append(lake.select('select 1::bigint as n, {a: 1::integer} as st, [1::integer] as l union all select 2, {a: 2}, [2, 3]'))
    },
  },
  {
    name: 'names of columns that need quoting',
    async make(table, lake) {
      const names = ['select', 'Camel', 'ação', 'a.b', 'x-y', '1st', "it's", '"q"', '`t`', '😀', '__dunder', 'a%20b', '$', '#']
      await table.create({ fields: names.map((name) => field(name, 'integer')) })
      await table.append(lake.select(`select ${names.map((name, i) => `${i}::integer as "${name.replaceAll('"', '""')}"`).join(', ')}`))
    },
  },
  {
    name: 'a schema that was replaced',
    travels: true,
    async make(table, lake) {
      await table.create({ fields: [field('id', 'long'), field('x', 'string')] })
      await table.append(lake.select("select 1::bigint as id, 'one' as x"))
      await table.overwrite(lake.select("select 2.5::decimal(5,2) as x, 'b' as name, [1::integer] as list"), { schema: true })
      await table.append(lake.select("select 3.5::decimal(5,2) as x, 'c' as name, null::integer[] as list"))
    },
  },
  {
    name: 'no statistics',
    conditions: ['n = 3'],
    async make(table, lake) {
      await table.create({ fields: [field('n', 'long'), field('t', 'string')], configuration: { 'delta.dataSkippingNumIndexedCols': '0' } })
      for (let n = 0; n < 5; n++) await table.append(lake.select(`select ${n}::bigint as n, 'x' as t`))
    },
  },
  {
    name: 'every operation, with checkpoints and transactions',
    travels: true,
    conditions: ['id < 5', "site = 'b'", "ts >= cast('2024-01-01 00:00:05' as timestamp)", 'x is null'],
    async make(table, lake) {
      const rows = (from: number, to: number, site: string): string =>
        `select i::bigint as id, '${site}' as site, i / 4.0 as x, timestamptz '2024-01-01 00:00:00+00' + to_seconds(i) as ts from range(${from}, ${to}) r(i)`
      await table.create({
        fields: [field('id', 'long'), field('site', 'string'), field('x', 'double'), field('ts', 'timestamp')],
        partitionBy: ['site'],
        description: 'All of it',
      })
      await table.append(lake.select(rows(0, 5, 'a')), { txn: { appId: 'stream/readings/0', version: 7 } })
      await table.append(lake.select(rows(5, 9, 'b')), { info: { batch: 2 } })
      await table.merge(lake.select(`select id, site, -x as x, ts from (${rows(3, 7, 'a')})`), { keys: ['id'] })
      await table.overwrite(lake.select(rows(100, 103, 'b')), { where: "site = 'b'" })
      await table.overwrite(lake.select(rows(2, 4, 'a')), { where: 'id between 2 and 3' })
      await table.merge(lake.select('select 101::bigint as id, null::double as x union all select 999, 1'), { keys: ['id'] })
      for (let i = 0; i < 6; i++) await table.append(lake.select(rows(200 + 10 * i, 203 + 10 * i, 'c')), { txn: { appId: 'stream/readings/1', version: i } })
      await table.overwrite(lake.select(rows(0, 4, 'd')))
      for (let i = 0; i < 9; i++)
        await table.merge(lake.select(rows(i, i + 2, 'd')), { keys: ['id', 'site'], txn: { appId: 'stream/readings/1', version: 10 + i } })
    },
  },
  {
    name: 'a checkpoint at every commit',
    travels: true,
    async make(table, lake) {
      await table.create({
        fields: [field('p', 'string'), field('dec', 'decimal(38,10)'), field('st', { type: 'struct', fields: [field('a', 'integer')] })],
        partitionBy: ['p'],
        configuration: { 'delta.checkpointInterval': '1', 'delta.appendOnly': 'true' },
      })
      for (let i = 0; i < 4; i++)
        await table.append(
          lake.select(`select '${['a b', 'ü', '%', "'"][i]?.replaceAll("'", "''")}' as p, ${i}.5::decimal(38,10) as "dec", {a: ${i}::integer} as st`),
        )
    },
  },
]

export async function makeOurTables(lake: Lake): Promise<OurTable[]> {
  const made: OurTable[] = []
  for (const [i, kind] of [...KINDS, ...CHANGED_TABLES].entries()) {
    const root = `silver/ours${i}`
    const table = lake.table(root)
    await kind.make(table, lake)
    const newest = kind.travels ? ((await table.snapshot())?.version ?? 0) : 0
    made.push({
      name: kind.name,
      table,
      path: join(lake.folder, root),
      versions: Array.from({ length: newest }, (_, version) => version),
      conditions: kind.conditions ?? [],
    })
  }
  return made
}
