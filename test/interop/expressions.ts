/** Contract: an expression that a table keeps has here the values that Spark gives it. */
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { translate } from '../../src/lake/delta/expression.ts'
import { field, type Lake } from '../helpers/delta.ts'
import type { Engine } from './engine.ts'

const FIELDS = [
  field('id', 'integer'),
  field('b', 'byte'),
  field('i', 'integer'),
  field('l', 'long'),
  field('f', 'float'),
  field('x', 'double'),
  field('d', 'decimal(9,2)'),
  field('t', 'string'),
  field('flag', 'boolean'),
  field('day', 'date'),
  field('at', 'timestamp'),
  field('local', 'timestamp_ntz'),
  field('st', { type: 'struct', fields: [field('a', 'integer'), field('s', 'string')] }),
  field('arr', { type: 'array', elementType: 'integer', containsNull: true }),
  field('m', { type: 'map', keyType: 'string', valueType: 'integer', valueContainsNull: true }),
]

const ROWS = `select * from (values
  (1, 127, 7, 9223372036854775000, 0.1, 0.1, 1.25, 'Ação', true, date '2024-03-31', timestamptz '2024-03-31 23:30:00.5Z', timestamp '2024-03-31 23:30:00.5', {a: 1, s: 'x'}, [1, 2], map {'k': 1}),
  (2, -128, -7, -5, -2.5, -2.5, -0.01, '', false, date '1969-12-31', timestamptz '1969-12-31 23:59:59.999999Z', timestamp '1969-12-31 23:59:59.999999', {a: null, s: 'y'}, [], map {}),
  (3, 0, 0, 0, 'nan'::float, 'nan'::double, 0, ' a  ', null, date '1600-02-29', timestamptz '1970-01-01 00:00:00Z', timestamp '1970-01-01 00:00:00', null, [null], map {'k': null}),
  (4, 5, 1073741823, 42, 'inf'::float, '-0'::double, 9999999.99, '100%', true, date '2023-01-01', timestamptz '2023-01-01 00:00:00Z', timestamp '2023-01-01 00:00:00', {a: -3, s: null}, null, null),
  (5, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
  (6, 1, 3, 3, 3, 3.5, 3.50, 'a_b\\c', false, date '2020-12-31', timestamptz '2020-12-31 12:00:00Z', timestamp '2020-12-31 12:00:00', {a: 3, s: 'a1.b'}, [3], map {'z': 3}),
  (7, 2, 10, 10, 1e-7, -1.5, 2.00, 'b' || chr(10), true, date '2021-01-03', timestamptz '2021-01-03 06:07:08.009Z', timestamp '2021-01-03 06:07:08.009', {a: 0, s: 'b'}, [9, 8, 7], map {'k': 5})
) v(id, b, i, l, f, x, d, t, flag, "day", "at", "local", st, arr, m)`

const EXPRESSIONS = [
  'i > 3 and not (x >= 0) or flag',
  'flag or null',
  'b + 1',
  '-i',
  'i * 2 - 1',
  'l % 4',
  'mod(i, -3)',
  'i / 2',
  'i / 0',
  'x / f',
  'i div 2',
  'l div -3',
  'x % 2',
  'f = 0.1',
  'f > 0.1',
  'f < x',
  'x = x',
  'x > 1e300',
  'd + i',
  'd - 0.005',
  'd * 2',
  'd * d',
  'd < x',
  'd = 3.5',
  'b = l',
  'i <=> null',
  'x is not distinct from f',
  'flag is true',
  'flag is not false',
  'i in (7, 10, null)',
  'i not in (7, 10)',
  'i between 0 and 7',
  "t between 'A' and 'b'",
  "t like 'a%'",
  "t like '%\\\\%'",
  "t like 'a\\\\_b%'",
  "t rlike '^[ab]'",
  "t rlike 'b$'",
  "t rlike 'a.b'",
  "st.s rlike '^a\\\\d\\\\.b$'",
  "case when i > 3 then 'big' when i is null then 'none' else 'small' end",
  'case i when 7 then 1.5 when 10 then 2 end',
  'coalesce(b, 99)',
  "if(flag, t, 'no')",
  'nullif(i, 7)',
  'nvl(d, 0)',
  'length(t)',
  'upper(t)',
  'lower(t)',
  'trim(t)',
  'substring(t, 2, 2)',
  'substr(t, 2)',
  "concat(t, '!')",
  "t || '?' || t",
  "startswith(t, 'A')",
  "contains(t, 'a')",
  'year(at)',
  'month(day)',
  'day(local)',
  'quarter(day)',
  'dayofweek(day)',
  'dayofyear(at)',
  'weekofyear(day)',
  'hour(at)',
  'minute(local)',
  'second(at)',
  'cast(at as date)',
  'cast(local as date)',
  'cast(day as timestamp)',
  'cast(at as timestamp_ntz)',
  'cast(at as string)',
  'cast(day as string)',
  'cast(i as string)',
  'cast(flag as int)',
  'cast(i as boolean)',
  'cast(x as float)',
  'cast(d as int)',
  'cast(d as decimal(9,1))',
  'cast(d as double)',
  "cast('12' as int)",
  "day >= '2021-01-01'",
  "at < '2021-01-01 00:00:00'",
  "local = timestamp_ntz '2020-12-31 12:00:00'",
  'day = at',
  "date_format(at, 'yyyy-MM-dd HH:mm:ss')",
  "date_format(day, 'yyyyMM')",
  "date_trunc('hour', at)",
  "date_trunc('week', day)",
  "date_trunc('quarter', local)",
  "trunc(day, 'MM')",
  "trunc(at, 'year')",
  'date_add(day, 30)',
  'date_sub(day, b)',
  "datediff(day, '2020-01-01')",
  'greatest(i, b, 3)',
  'least(x, f)',
  'abs(x)',
  'floor(d * 1D)',
  'st.a + 1',
  'st is null',
  'arr[0]',
  "m['k']",
  'isnull(i)',
  '1.50',
  '1e2',
  '.5',
  '100000000000',
]

export function evaluatesExpressions(lake: Lake, engine: Engine): void {
  describe('an expression means the same', () => {
    test('for every row of a table', async () => {
      const root = 'silver/expressions'
      const path = join(lake.folder, root)
      const source = lake.table(`${root}_source`)
      await source.create({ fields: FIELDS })
      await source.append(lake.select(ROWS))
      const list = EXPRESSIONS.map((text, n) => `${text} as e${n}`).join(', ')
      await engine.sql([`create table delta.\`${path}\` using delta as select id, ${list} from delta.\`${path}_source\``], {
        'spark.sql.ansi.enabled': 'false',
      })
      const theirs = lake.table(root)
      const snapshot = (await theirs.snapshot())!
      const rows = await source.scan((await source.snapshot())!)
      const ours = EXPRESSIONS.map((text, n) => `${translate(text, FIELDS).sql} as e${n}`).join(', ')
      const differing: unknown[] = []
      for (const [n, text] of EXPRESSIONS.entries()) {
        const found = await lake.rows(
          `select s.id, s.e${n}::varchar, o.e${n}::varchar from (${await theirs.scan(snapshot)}) s join (select id, ${ours} from (${rows})) o using (id) where s.e${n} is distinct from o.e${n} order by 1`,
        )
        for (const row of found) differing.push([text, ...row])
      }
      expect(differing).toEqual([])
      const types = snapshot.metadata.fields.slice(1).map(({ type }) => type)
      expect(
        EXPRESSIONS.map((text, n) => [text, translate(text, FIELDS).type === types[n] ? 'same' : [translate(text, FIELDS).type, types[n]]]).filter(
          ([, same]) => same !== 'same',
        ),
      ).toEqual([])
    })
  })
}
