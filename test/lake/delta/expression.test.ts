/** Expressions that tables keep: what they mean here is what they mean in Spark, or they are refused. */
import { describe, expect, test } from 'vitest'
import { translate, translateAs } from '../../../src/lake/delta/expression.ts'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()
const FIELDS = [
  field('i', 'integer'),
  field('b', 'byte'),
  field('l', 'long'),
  field('f', 'float'),
  field('x', 'double'),
  field('dec', 'decimal(5,2)'),
  field('name', 'string'),
  field('flag', 'boolean'),
  field('day', 'date'),
  field('at', 'timestamp'),
  field('local', 'timestamp_ntz'),
  field('a b', 'integer'),
  field('st', { type: 'struct', fields: [field('In', 'integer'), field('text', 'string')] }),
  field('list', { type: 'array', elementType: 'integer', containsNull: true }),
  field('tags', { type: 'map', keyType: 'string', valueType: 'integer', valueContainsNull: true }),
]
const ROW = `select 7::integer as i, 127::tinyint as b, 3000000000::bigint as l, 0.1::float as f, -2.5::double as x, 1.25::decimal(5,2) as dec, 'Ação' as name, true as flag,
  date '2024-03-31' as day, timestamptz '2024-03-31 23:30:00.5Z' as at, timestamp '2024-03-31 23:30:00.5' as local, 4::integer as "a b", {'In': 5, 'text': 't'} as st, [1, 2] as list, map {'k': 9} as tags`

const valueOf = async (text: string): Promise<unknown> => (await lake.rows(`select ${translate(text, FIELDS).sql} from (${ROW})`))[0]?.[0]

describe('an expression of Spark', () => {
  test.each([
    ['i > 3 and not (x >= 0) or null', true],
    ['i + 1 = 8 and -i = -7', true],
    // A byte and a whole number are added as whole numbers.
    ['b + 1', 128],
    ['i / 2', 3.5],
    ['i / 0', null],
    ['i % 4 = 3 and mod(-7, 3) = -1', true],
    ['-7 div 2', '-3'],
    ['9223372036854775807 = l or l > 2999999999', true],
    ['-9223372036854775808 < l', true],
    // A float is no more exact for being compared with 0.1.
    ['f = 0.1', false],
    ['f > 0.1', true],
    ['dec * 2 = 2.50 and dec + i = 8.25', true],
    ['dec < x', false],
    ['`a b` = 4', true],
    ['St.IN = 5 and st.`text` = "t"', true],
    ['list[0] = 1 and list[7] is null', true],
    ["tags['k'] = 9 and tags['z'] is null", true],
    ['i in (1, 7, null)', true],
    ['i not in (1, null)', null],
    ['i between 7 and 9 and not i not between 7 and 9', true],
    ["name like 'A%o' and name not like 'a%'", true],
    [String.raw`'50%' like '50\%' and '50x' not like '50\%'`, true],
    [String.raw`'a1.b' rlike '^a\\d\\.b$' and not regexp_like('a1xb', 'a1\\.b')`, true],
    [String.raw`'ab\n' rlike 'b$'`, true],
    ["'it\\'s' = \"it's\"", true],
    ["case when i > 3 then 'big' when i is null then null else 'small' end", 'big'],
    ["case i when 7 then 'seven' end", 'seven'],
    ['coalesce(null, i, 3)', 7],
    ["if(flag, 1, 2) = 1 and nvl(null, 'x') = 'x' and nullif(i, 7) is null", true],
    ['flag is true and flag is not false and (i = null) is not true', true],
    ['i is distinct from null and i <=> 7 and not (i <=> null)', true],
    ['length(name)', 4],
    ["upper(name) = 'AÇÃO' and lower('ÁB') = 'áb'", true],
    ["trim('  a ') = 'a' and substring(name, 2, 2) = 'çã'", true],
    ["concat(name, '!', 'x') = name || '!x' and concat(name, null) is null", true],
    ["startswith(name, 'A') and endswith(name, 'o') and contains(name, 'ç')", true],
    ['year(at) = 2024 and month(day) = 3 and day(local) = 31 and hour(at) = 23 and second(at) = 0', true],
    // Sunday is the first day of the week.
    ['dayofweek(day)', 1],
    ['quarter(day) = 1 and weekofyear(day) = 13 and dayofyear(day) = 91', true],
    ['cast(at as date) = day and to_date(local) = day', true],
    ["day >= '2024-03-31' and at < '2024-04-01' and date '2024-03-31' = day", true],
    ["date_format(at, 'yyyy-MM-dd HH')", '2024-03-31 23'],
    ["date_trunc('hour', at) = timestamp '2024-03-31 23:00:00' and trunc(day, 'MM') = date '2024-03-01'", true],
    ["date_add(day, 1) = '2024-04-01' and datediff(day, '2024-03-01') = 30", true],
    ['greatest(1, i, null) = 7 and least(i, 2L) = 2', true],
    ['floor(x) = -3 and ceil(x) = -2 and abs(x) = 2.5', true],
    // A fraction is cut off, not rounded.
    ['cast(x as int)', -2],
    ["cast('12' as int) + cast(flag as int) = 13 and cast(i as string) = '7' and cast(day as string) = '2024-03-31'", true],
    ["cast(at as string) = '2024-03-31 23:30:00.5'", true],
    ['isnull(null) and isnotnull(i) and not isnan(x)', true],
    ['1e2 = 100 and 1.5D = 1.5 and 10Y = 10', true],
  ])('%s', async (text, value) => {
    expect(await valueOf(text)).toEqual(value)
  })

  test.each([
    ['i > name', 'a comparison of integer with string'],
    ['name = 5', 'a comparison of string with integer'],
    ["i = '1.5'", "the text '1.5' as a value of type integer"],
    ['at = local', 'a comparison of timestamp with timestamp_ntz'],
    ['st = st', 'a comparison of values of type STRUCT'],
    ['dec / 2', '/ of decimals'],
    ['i', null],
    ['nowhere > 3', 'nowhere, which is no column'],
    ['day + interval 1 day', 'interval, which is no column'],
    ['hash(name) > 0', 'the function hash'],
    ['constructor(i) > 0', 'the function constructor'],
    ['constructor > 0', 'constructor, which is no column'],
    ['cast(i as constructor) > 0', 'CAST AS CONSTRUCTOR'],
    ['rand() > 0.5', 'the function rand'],
    ['i > (select max(i) from t)', 'select, which is no column'],
    ['i > 3; drop table t', 'the character ;'],
    ['i > 3 -- comment', 'a comment'],
    ["'a' 'b' = 'ab'", 'two texts in a row'],
    [String.raw`name = '\x41'`, 'with such an escape'],
    ["name rlike '(?i)a'", 'the regular expression (?i)a'],
    ['name rlike name', 'RLIKE with a computed pattern'],
    ['substring(name, 0, 1) = name', 'substring from a place'],
    ['cast(name as int) = 1', 'a cast from string to integer'],
    ["date_format(at, 'EEEE') = 'Sunday'", 'date_format by EEEE'],
    ['list[i] = 1', 'an index'],
    ['i +', 'an end where a value should be'],
    ['(i > 3', 'an end where ) should be'],
    ['i > 3 i', 'i at this place'],
    ['i in ()', 'IN of nothing'],
    ['name and flag', 'a value of type string as a condition'],
  ])('%s is refused by what it uses, or is no condition', (text, construct) => {
    const refused = (): unknown => translateAs(text, FIELDS, 'boolean')
    if (construct === null) expect(refused).toThrow(/a value of type integer for a column of type boolean/)
    else expect(refused).toThrow(construct)
    expect(refused).toThrow(expect.objectContaining({ code: 'lake.expression_unsupported', kind: 'unsupported' }))
  })

  test('tells which columns it reads, and whether it changes with time', () => {
    expect(translate('I > 3 and st.in is null', FIELDS)).toMatchObject({ columns: new Set(['i', 'st']), stable: true, type: 'boolean' })
    expect(translate('current_timestamp()', FIELDS)).toMatchObject({ columns: new Set(), stable: false, type: 'timestamp' })
    expect(translate('current_date', FIELDS)).toMatchObject({ stable: false, type: 'date' })
  })

  test('becomes the type of the column that it is for', async () => {
    const as = async (text: string, type: string): Promise<unknown> =>
      (await lake.rows(`select typeof(x), x::varchar from (select ${translateAs(text, FIELDS, type).sql} as x from (${ROW}))`))[0]
    expect(await as('1', 'byte')).toEqual(['TINYINT', '1'])
    expect(await as("'2024-01-02'", 'date')).toEqual(['DATE', '2024-01-02'])
    expect(await as("'2024-01-02 03:04:05'", 'timestamp')).toEqual(['TIMESTAMP WITH TIME ZONE', '2024-01-02 03:04:05+00'])
    expect(await as('1.5', 'decimal(10,3)')).toEqual(['DECIMAL(10,3)', '1.500'])
    expect(await as('null', 'date')).toEqual(['DATE', null])
    expect(() => translateAs('1.5', FIELDS, 'integer')).toThrow('a value of type decimal(2,1) for a column of type integer')
  })
})
