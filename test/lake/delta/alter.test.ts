/** Changing what a table says of itself: columns, types, constraints and settings, in one commit and without touching a file. */
import { describe, expect, test } from 'vitest'
import type { Alteration, CreateOptions, DeltaTable } from '../../../src/lake/delta/index.ts'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()
let made = 0
const contains = (text: string): string => expect.stringContaining(text) as string

async function tableOf(options: CreateOptions, ...inserts: string[]): Promise<DeltaTable> {
  const table = lake.table(`silver/altered${made++}`)
  await table.create(options)
  for (const insert of inserts) await table.append(lake.select(insert))
  return table
}
const fieldsOf = async (table: DeltaTable): Promise<unknown> => (await lake.table(table.root).snapshot())?.metadata.fields.map(({ name, type }) => [name, type])
const files = (table: DeltaTable): Promise<string[]> => lake.paths(`${table.root}/part`)

const PLAIN: CreateOptions = { fields: [field('id', 'long'), field('name', 'string')] }
const MAPPED: CreateOptions = { ...PLAIN, configuration: { 'delta.columnMapping.mode': 'name' } }
const NESTED: CreateOptions = {
  fields: [
    field('id', 'long'),
    field('st', {
      type: 'struct',
      fields: [field('a', 'integer'), field('l', { type: 'array', elementType: { type: 'struct', fields: [field('b', 'integer')] }, containsNull: true })],
    }),
    field('m', { type: 'map', keyType: 'string', valueType: { type: 'struct', fields: [field('c', 'integer')] }, valueContainsNull: true }),
  ],
}
const NESTED_ROW = "select 1 as id, {'a': 2, 'l': [{'b': 3}]} as st, map {'k': {'c': 4}} as m"

describe('columns', () => {
  test('are added, also inside others, and old rows have no value of them', async () => {
    for (const configuration of [{}, { 'delta.columnMapping.mode': 'name' }]) {
      const table = await tableOf({ ...NESTED, configuration }, NESTED_ROW)
      await table.alter({ kind: 'addColumns', fields: [field('late', 'date', false)] })
      await table.alter({ kind: 'addColumns', fields: [field('z', 'string')], inside: 'st' })
      await table.alter({ kind: 'addColumns', fields: [field('y', 'string')], inside: ['st', 'l'] })
      await table.alter({ kind: 'addColumns', fields: [field('x', 'string')], inside: 'm' })
      await table.append(
        lake.select("select 2 as id, {'a': 5, 'l': [{'b': 6, 'y': 'y'}], 'z': 'z'} as st, map {'q': {'c': 7, 'x': 'x'}} as m, date '2024-01-01' as late"),
      )
      expect(await lake.content(lake.table(table.root), 'id, to_json(st)::varchar, to_json(m)::varchar, late::varchar'), JSON.stringify(configuration)).toEqual(
        [
          ['1', '{"a":2,"l":[{"b":3,"y":null}],"z":null}', '{"k":{"c":4,"x":null}}', null],
          ['2', '{"a":5,"l":[{"b":6,"y":"y"}],"z":"z"}', '{"q":{"c":7,"x":"x"}}', '2024-01-01'],
        ],
      )
      expect((await table.history())[1]).toMatchObject({ operation: 'ADD COLUMNS' })
    }
  })

  test('are renamed and dropped once the table maps them, and no file changes', async () => {
    const table = await tableOf(NESTED, NESTED_ROW)
    await expect(table.alter({ kind: 'renameColumn', column: 'st', to: 'other' })).rejects.toMatchObject({
      code: 'lake.bad_alteration',
      hint: contains('enableColumnMapping'),
    })
    const before = await files(table)
    await table.alter({ kind: 'enableColumnMapping' })
    expect((await table.snapshot())?.protocol).toEqual({ minReaderVersion: 2, minWriterVersion: 5 })
    expect(await table.alter({ kind: 'enableColumnMapping' })).toMatchObject({ skipped: true })
    await table.alter({ kind: 'renameColumn', column: 'st', to: 'o=p' })
    await table.alter({ kind: 'renameColumn', column: ['o=p', 'a'], to: 'first' })
    await table.alter({ kind: 'renameColumn', column: ['o=p', 'l', 'element', 'b'], to: 'second' })
    await table.alter({ kind: 'renameColumn', column: ['m', 'value', 'c'], to: 'third' })
    expect(await files(table)).toEqual(before)
    await table.append(lake.select("select 2 as id, {'first': 5, 'l': [{'second': 6}]} as \"o=p\", map {'q': {'third': 7}} as m"))
    expect(await lake.content(lake.table(table.root), 'id, to_json("o=p")::varchar, to_json(m)::varchar')).toEqual([
      ['1', '{"first":2,"l":[{"second":3}]}', '{"k":{"third":4}}'],
      ['2', '{"first":5,"l":[{"second":6}]}', '{"q":{"third":7}}'],
    ])
    await table.alter({ kind: 'dropColumn', column: ['o=p', 'first'] })
    await table.alter({ kind: 'dropColumn', column: 'm' })
    // A column of the same name is another column.
    await table.alter({ kind: 'addColumns', fields: [field('m', 'string')] })
    expect(await lake.content(table, 'id, to_json("o=p")::varchar, m')).toEqual([
      ['1', '{"l":[{"second":3}]}', null],
      ['2', '{"l":[{"second":6}]}', null],
    ])
    // Earlier versions keep their own columns.
    expect(await lake.content(table, 'id, st.a', (await table.snapshot({ version: 1 }))!)).toEqual([['1', 2]])
  })

  test('by which the table is partitioned are renamed but not dropped', async () => {
    const table = await tableOf({ ...MAPPED, partitionBy: ['name'] }, "select 1 as id, 'a' as name")
    await table.alter({ kind: 'renameColumn', column: 'name', to: 'Part' })
    await table.append(lake.select("select 2 as id, 'b' as part"))
    expect(await lake.content(lake.table(table.root), 'id, "Part"')).toEqual([
      ['1', 'a'],
      ['2', 'b'],
    ])
    expect((await table.snapshot())?.metadata.partitionColumns).toEqual(['Part'])
    await expect(table.alter({ kind: 'dropColumn', column: 'part' })).rejects.toMatchObject({ message: contains('partitioned by it') })
  })

  test('take nulls, comments and defaults', async () => {
    const table = await tableOf({ fields: [field('id', 'long', false), field('name', 'string')] }, "select 1 as id, 'a' as name")
    await table.alter({ kind: 'setNullable', column: 'ID' })
    expect(await table.alter({ kind: 'setNullable', column: 'id' })).toMatchObject({ skipped: true, version: 2 })
    await table.alter({ kind: 'comment', column: 'name', text: 'as people say it' })
    await table.alter({ kind: 'setDefault', column: 'name', expression: "'none'" })
    await table.append(lake.select('select null::bigint as id'))
    await table.alter({ kind: 'setDefault', column: 'name', expression: null })
    await table.append(lake.select('select 2 as id'))
    expect(await lake.content(table, 'id, name')).toEqual([
      ['1', 'a'],
      ['2', null],
      [null, 'none'],
    ])
    const { metadata, protocol } = (await table.snapshot())!
    expect(metadata.fields).toEqual([field('id', 'long'), { ...field('name', 'string'), metadata: { comment: 'as people say it' } }])
    expect(protocol.writerFeatures).toEqual(['appendOnly', 'invariants', 'allowColumnDefaults'])
  })
})

describe('types', () => {
  const WIDE: CreateOptions = {
    fields: [
      field('id', 'byte'),
      field('f', 'float'),
      field('day', 'date'),
      field('dec', 'decimal(5,2)'),
      field('i', 'integer'),
      field('st', { type: 'struct', fields: [field('a', 'short')] }),
    ],
    configuration: { 'delta.enableTypeWidening': 'true' },
  }
  test('grow, and files of before are read as the new ones, whatever is asked of them', async () => {
    const table = await tableOf(WIDE, "select 1 as id, 0.1::float as f, date '2024-01-01' as \"day\", 1.25 as dec, 5 as i, {'a': 7::smallint} as st")
    for (const [column, type] of [
      ['id', 'integer'],
      ['id', 'long'],
      ['f', 'double'],
      ['day', 'timestamp_ntz'],
      ['dec', 'decimal(12,4)'],
      ['i', 'decimal(12,2)'],
      [['st', 'a'], 'long'],
    ] as const)
      await table.alter({ kind: 'changeType', column, type })
    await table.append(
      lake.select(
        "select 3000000000 as id, 0.1::double as f, timestamp '2024-01-01 10:00:00' as \"day\", 1.255::decimal(12,4) as dec, 5.5::decimal(12,2) as i, {'a': 3000000000} as st",
      ),
    )
    const other = lake.table(table.root)
    const snapshot = (await other.snapshot())!
    const expected = [
      ['1', 0.10000000149011612, '2024-01-01 00:00:00', '1.2500', '5.00', '7'],
      ['3000000000', 0.1, '2024-01-01 10:00:00', '1.2550', '5.50', '3000000000'],
    ]
    const select = 'id, f, "day"::varchar, dec, i, st.a'
    expect(await lake.content(other, select)).toEqual(expected)
    const [narrow, wide] = expected
    for (const [where, found] of [
      ['id = 3000000000', [wide]],
      ['id < 3000000000', [narrow]],
      ['id = 1', [narrow]],
      ['f = 0.1', [wide]],
      ['f > 0.1', [narrow]],
      ['f <= 0.1', [wide]],
      ["day < timestamp '2024-01-01 05:00:00'", [narrow]],
      ["day > timestamp '2024-01-01 05:00:00'", [wide]],
      ['dec > 1.25', [wide]],
      ['dec < 1.2501', [narrow]],
      ['i = 5.5', [wide]],
      ['i < 5.25', [narrow]],
      ['st.a > 100000', [wide]],
    ] as const) {
      const sql = await other.scan(snapshot, { where })
      expect(await lake.rows(`select ${select} from (${sql}) where ${where}`), where).toEqual(found)
    }
    expect(snapshot.metadata.fields[0]).toMatchObject({
      type: 'long',
      metadata: {
        'delta.typeChanges': [
          { fromType: 'byte', toType: 'integer' },
          { fromType: 'integer', toType: 'long' },
        ],
      },
    })
    await other.optimize({ smallBytes: 1_000_000 })
    expect(await lake.content(lake.table(table.root), select)).toEqual(expected)
  })

  test('that hold less than the old one, or without the setting, are refused', async () => {
    const table = await tableOf(WIDE)
    for (const [column, type] of [
      ['i', 'short'],
      ['i', 'decimal(9,0)'],
      ['i', 'string'],
      ['f', 'float '],
      ['dec', 'decimal(6,4)'],
      ['day', 'timestamp'],
    ] as const)
      await expect(table.alter({ kind: 'changeType', column, type }), type).rejects.toMatchObject({ code: 'lake.bad_alteration' })
    expect(await table.alter({ kind: 'changeType', column: 'i', type: 'integer' })).toMatchObject({ skipped: true })
    await expect((await tableOf(PLAIN)).alter({ kind: 'changeType', column: 'id', type: 'decimal(20,0)' })).rejects.toMatchObject({
      message: contains('delta.enableTypeWidening'),
    })
  })
})

describe('constraints', () => {
  test('are added only when every row meets them, and hold from then on', async () => {
    const table = await tableOf(PLAIN, "select 1 as id, 'a' as name", "select -1 as id, 'b' as name")
    await expect(table.alter({ kind: 'addConstraint', name: 'positive', expression: 'id > 0' })).rejects.toMatchObject({
      code: 'lake.check_failed',
      message: contains('{"id":-1,"name":"b"}'),
    })
    expect((await table.snapshot())?.version).toBe(2)
    await table.overwrite(lake.select("select 1 as id, 'a' as name"))
    await table.alter({ kind: 'addConstraint', name: 'Positive', expression: 'id > 0' })
    expect((await table.snapshot())?.protocol).toEqual({ minReaderVersion: 1, minWriterVersion: 3 })
    await expect(table.append(lake.select('select 0 as id'))).rejects.toMatchObject({ message: contains('the constraint positive') })
    await expect(table.alter({ kind: 'addConstraint', name: 'POSITIVE', expression: 'id > 1' })).rejects.toMatchObject({ code: 'lake.constraint_exists' })
    await expect(table.alter({ kind: 'addConstraint', name: 'odd', expression: 'id > nowhere' })).rejects.toMatchObject({
      message: contains('nowhere, which is no column'),
    })
    await table.alter({ kind: 'dropConstraint', name: 'positive' })
    await table.append(lake.select('select 0 as id'))
    await expect(table.alter({ kind: 'dropConstraint', name: 'positive' })).rejects.toMatchObject({ code: 'lake.constraint_missing' })
  })

  test('lose to rows that come while they are judged', async () => {
    const table = await tableOf(PLAIN, "select 1 as id, 'a' as name")
    const other = lake.table(table.root)
    const results = await Promise.allSettled([
      table.alter({ kind: 'addConstraint', name: 'positive', expression: 'id > 0' }),
      other.append(lake.select('select -1 as id')),
    ])
    const constraint = (await lake.table(table.root).snapshot())?.metadata.configuration['delta.constraints.positive'] !== undefined
    const bad = (await lake.content(lake.table(table.root), 'id')).some(([id]) => id === '-1')
    expect(constraint && bad).toBe(false)
    expect(results.some(({ status }) => status === 'fulfilled')).toBe(true)
  })

  test('and generated columns keep the columns that they read', async () => {
    const table = await tableOf({
      ...MAPPED,
      fields: [...MAPPED.fields, { ...field('twice', 'long'), generated: 'id * 2' }],
      constraints: { named: 'name is not null' },
    })
    for (const [change, reader] of [
      [{ kind: 'renameColumn', column: 'ID', to: 'key' }, 'the generated column twice'],
      [{ kind: 'dropColumn', column: 'name' }, 'the constraint named'],
    ] as const satisfies readonly (readonly [Alteration, string])[])
      await expect(table.alter(change)).rejects.toMatchObject({ code: 'lake.bad_alteration', message: contains(reader) })
    await table.alter({ kind: 'dropColumn', column: 'twice' })
    await table.alter({ kind: 'renameColumn', column: 'id', to: 'key' })
    expect(await fieldsOf(table)).toEqual([
      ['key', 'long'],
      ['name', 'string'],
    ])
  })
})

describe('settings', () => {
  test('are set and unset, and declare the features that they ask for', async () => {
    const table = await tableOf(PLAIN)
    await table.alter({ kind: 'setProperties', properties: { 'delta.checkpointInterval': '3', mine: 'yes' } })
    expect(await table.alter({ kind: 'setProperties', properties: { mine: 'yes' } })).toMatchObject({ skipped: true })
    await table.alter({ kind: 'unsetProperties', keys: ['mine', 'never'] })
    await table.alter({ kind: 'describe', text: 'Who is who' })
    await table.alter({ kind: 'setProperties', properties: { 'delta.feature.domainMetadata': 'supported' } })
    expect(await lake.table(table.root).snapshot()).toMatchObject({
      metadata: { configuration: { 'delta.checkpointInterval': '3' }, description: 'Who is who' },
      protocol: { minReaderVersion: 1, minWriterVersion: 7, writerFeatures: ['appendOnly', 'invariants', 'domainMetadata'] },
    })
    await table.alter({ kind: 'setProperties', properties: { 'delta.columnMapping.mode': 'name' } })
    expect((await table.snapshot())?.metadata.fields[1]?.metadata).toEqual({ 'delta.columnMapping.id': 2, 'delta.columnMapping.physicalName': 'name' })
    for (const change of [
      { kind: 'setProperties', properties: { 'delta.columnMapping.mode': 'id' } },
      { kind: 'unsetProperties', keys: ['delta.columnMapping.mode'] },
      { kind: 'unsetProperties', keys: ['delta.columnMapping.maxColumnId'] },
      { kind: 'setProperties', properties: { 'delta.nothing': '1' } },
    ] as const satisfies readonly Alteration[])
      await expect(table.alter(change), JSON.stringify(change)).rejects.toMatchObject({ kind: 'invalid' })
  })

  test.each([
    [{ kind: 'renameColumn', column: 'nowhere', to: 'x' }, 'no column nowhere'],
    [{ kind: 'renameColumn', column: 'name', to: 'ID' }, 'a column ID already'],
    [{ kind: 'addColumns', fields: [field('ID', 'string')] }, 'two columns are called ID'],
    [{ kind: 'addColumns', fields: [{ ...field('x', 'string'), default: "'a'" }] }, 'with an expression'],
    [{ kind: 'addColumns', fields: [field('x', 'string')], inside: 'name' }, 'has no fields'],
    [{ kind: 'dropColumn', column: ['name', 'x'] }, 'no column x'],
    [{ kind: 'setDefault', column: 'id', expression: 'rand()' }, 'the function rand'],
    [{ kind: 'changeType', column: 'id', type: 'string' }, 'delta.enableTypeWidening'],
  ] as const satisfies readonly (readonly [Alteration, string])[])('a change that cannot be is refused and nothing is committed (%#)', async (change, text) => {
    const table = await tableOf(MAPPED)
    await expect(table.alter(change)).rejects.toMatchObject({ message: contains(text) })
    expect((await table.snapshot())?.version).toBe(0)
    expect((await lake.paths(`${table.root}/_delta_log/`)).filter((path) => path.endsWith('.json'))).toHaveLength(1)
  })

  test('of a table that was changed twice with one txn are changed once', async () => {
    const table = await tableOf(PLAIN)
    const txn = { appId: 'migration', version: 1 }
    await table.alter({ kind: 'addColumns', fields: [field('x', 'string')] }, { txn })
    expect(await table.alter({ kind: 'addColumns', fields: [field('x', 'string')] }, { txn })).toMatchObject({ skipped: true })
  })
})
