import { describe, expect, test } from 'vitest'
import { emptyRows, t, truncateRows, type Rows, type Schema } from '../../../src/base/index.ts'
import { deltaFieldsOf, stageRows } from '../../../src/lake/stage.ts'
import { openLake } from '../../helpers/delta.ts'

const lake = await openLake()

/** Rows from values by column; numbers of every kind as Rows keeps them. */
function rowsOf(schema: Schema, values: Readonly<Record<string, readonly (string | number | null)[]>>): Rows {
  const count = Object.values(values)[0]?.length ?? 0
  const rows = emptyRows(schema, count)
  for (const column of rows.columns) {
    for (const [i, value] of (values[column.name] ?? []).entries()) {
      if (column.kind === 'text') column.values[i] = value === null ? null : String(value)
      else if (value !== null) {
        column.values[i] = Number(value)
        column.valid[i] = 1
      }
    }
  }
  return rows
}

const SCHEMA = {
  s: t.string().nullable(),
  j: t.json().nullable(),
  i: t.int().nullable(),
  l: t.long().nullable(),
  x: t.double().nullable(),
  b: t.boolean().nullable(),
  at: t.timestamp().nullable(),
  d: t.date().nullable(),
}

describe('staging', () => {
  test('every type arrives whole, at its limits too, and null as null', async () => {
    const staged = await stageRows(lake.connection, [
      rowsOf(SCHEMA, {
        s: ['é\u{1f600}"\'', null, ''],
        j: ['{"a":1}', null, '[]'],
        i: [2147483647, null, -2147483648],
        l: [9007199254740991, null, -9007199254740991],
        x: [0.1, null, -1e300],
        b: [1, null, 0],
        at: [1714557600000.125, null, -1.001],
        d: [19844, null, -1],
      }),
    ])
    expect(await lake.rows(staged.sql)).toEqual([
      ['é\u{1f600}"\'', '{"a":1}', 2147483647, '9007199254740991', 0.1, true, '2024-05-01 10:00:00.000125+00', '2024-05-01'],
      [null, null, null, null, null, null, null, null],
      ['', '[]', -2147483648, '-9007199254740991', -1e300, false, '1969-12-31 23:59:59.998999+00', '1969-12-31'],
    ])
    expect((await lake.rows(`describe ${staged.sql}`)).map((row) => row[1])).toEqual([
      'VARCHAR',
      'VARCHAR',
      'INTEGER',
      'BIGINT',
      'DOUBLE',
      'BOOLEAN',
      'TIMESTAMP WITH TIME ZONE',
      'DATE',
    ])
    await staged.drop()
    await expect(lake.rows(staged.sql)).rejects.toThrow()
  })
  test('many chunks of several batches keep their order and their nulls apart', async () => {
    const schema = { n: t.long(), s: t.string().nullable() }
    const batch = (from: number, count: number): Rows =>
      rowsOf(schema, {
        n: Array.from({ length: count }, (_, i) => from + i),
        s: Array.from({ length: count }, (_, i) => ((from + i) % 3 === 0 ? null : `s${from + i}`)),
      })
    const staged = await stageRows(lake.connection, [batch(0, 5000), batch(5000, 0), truncateRows(batch(5000, 4000), 2500)], {
      twice: 'n * 2',
      'the source': "'kafka'",
    })
    expect(staged.count).toBe(7500)
    expect(
      await lake.rows(
        `select count(*), count(s), sum(n), sum(twice), count(*) filter (where (s is null) <> (n % 3 = 0) or s <> 's' || n or n <> rid), any_value("the source") from (select *, row_number() over () - 1 as rid from (${staged.sql}))`,
      ),
    ).toEqual([['7500', '5000', '28121250', '56242500', '0', 'kafka']])
    await staged.drop()
  })
  test('the staged rows go into a table with the fields of the same schema', async () => {
    const schema = { s: t.string().describe('a name'), x: t.double().nullable().unit('mg/m3') }
    expect(deltaFieldsOf(SCHEMA).map((field) => field.type)).toEqual(['string', 'string', 'integer', 'long', 'double', 'boolean', 'timestamp', 'date'])
    expect(deltaFieldsOf(schema)).toEqual([
      { name: 's', type: 'string', nullable: false, metadata: { comment: 'a name' } },
      { name: 'x', type: 'double', nullable: true, metadata: { unit: 'mg/m3' } },
    ])
    const table = lake.table('bronze/staged')
    await table.create({ fields: deltaFieldsOf(schema) })
    const staged = await stageRows(lake.connection, [rowsOf(schema, { s: ['a', 'b'], x: [1.5, null] })])
    await table.append(staged)
    await staged.drop()
    expect(await lake.content(table)).toEqual([
      ['a', 1.5],
      ['b', null],
    ])
  })
  test('batches with other columns are refused', async () => {
    await expect(stageRows(lake.connection, [emptyRows({ a: t.int() }, 1), emptyRows({ a: t.long() }, 1)])).rejects.toMatchObject({
      code: 'lake.stage_columns',
    })
    await expect(stageRows(lake.connection, [])).rejects.toMatchObject({ code: 'lake.nothing_to_stage' })
  })
})
