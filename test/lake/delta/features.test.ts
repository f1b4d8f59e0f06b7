/** What tables ask of their writers: constraints, generated columns, defaults, mapped columns, and the protocol that says so. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DeltaTable, Protocol } from '../../../src/lake/delta/index.ts'
import { NEW_TABLE, protocolFor } from '../../../src/lake/delta/protocol.ts'
import { commitFile, field, lines, openLake, untext } from '../../helpers/delta.ts'

const lake = await openLake()
let made = 0
const fresh = (): string => `silver/features${made++}`
const contains = (text: string): string => expect.stringContaining(text) as string

async function protocolOf(table: DeltaTable): Promise<Protocol | undefined> {
  return (await table.snapshot())?.protocol
}

async function lastActions(root: string, version: number): Promise<Record<string, Record<string, unknown>>[]> {
  const text = untext(await lake.objects.get(commitFile(root, version)))
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, Record<string, unknown>>)
}

describe('the protocol of a table', () => {
  test('asks for no more than what the table uses', async () => {
    const cases: [Parameters<DeltaTable['create']>[0], Protocol][] = [
      [{ fields: [field('id', 'long')] }, NEW_TABLE],
      [{ fields: [field('id', 'long')], configuration: { 'delta.appendOnly': 'true' } }, NEW_TABLE],
      [
        { fields: [field('id', 'long')], constraints: { positive: 'id > 0' } },
        { minReaderVersion: 1, minWriterVersion: 3 },
      ],
      [{ fields: [field('id', 'long'), { ...field('twice', 'long'), generated: 'id * 2' }] }, { minReaderVersion: 1, minWriterVersion: 4 }],
      [
        { fields: [field('id', 'long')], configuration: { 'delta.columnMapping.mode': 'name' } },
        { minReaderVersion: 2, minWriterVersion: 5 },
      ],
      [
        { fields: [{ ...field('id', 'long'), default: '7' }] },
        { minReaderVersion: 1, minWriterVersion: 7, writerFeatures: ['appendOnly', 'invariants', 'allowColumnDefaults'] },
      ],
      [
        { fields: [field('at', 'timestamp_ntz')], constraints: { known: 'at is not null' } },
        {
          minReaderVersion: 3,
          minWriterVersion: 7,
          readerFeatures: ['timestampNtz'],
          writerFeatures: ['appendOnly', 'invariants', 'checkConstraints', 'timestampNtz'],
        },
      ],
      [
        { fields: [field('id', 'long')], configuration: { 'delta.feature.clustering': 'supported', 'delta.enableTypeWidening': 'true' } },
        {
          minReaderVersion: 3,
          minWriterVersion: 7,
          readerFeatures: ['typeWidening'],
          writerFeatures: ['appendOnly', 'invariants', 'typeWidening', 'domainMetadata', 'clustering'],
        },
      ],
    ]
    for (const [options, protocol] of cases) {
      const table = lake.table(fresh())
      await table.create(options)
      expect(await protocolOf(table), JSON.stringify(options)).toEqual(protocol)
      expect(await protocolOf(lake.table(table.root))).toEqual(protocol)
    }
  })

  test('grows by what is missing, and lists what its version brought', () => {
    const metadata = { id: 'x', fields: [{ ...field('id', 'long'), metadata: { CURRENT_DEFAULT: '1' } }], partitionColumns: [], configuration: {} }
    expect(protocolFor('x', { minReaderVersion: 2, minWriterVersion: 5 }, metadata)).toEqual({
      minReaderVersion: 3,
      minWriterVersion: 7,
      readerFeatures: ['columnMapping'],
      writerFeatures: ['appendOnly', 'invariants', 'checkConstraints', 'changeDataFeed', 'generatedColumns', 'columnMapping', 'allowColumnDefaults'],
    })
    const listed: Protocol = { minReaderVersion: 1, minWriterVersion: 7, writerFeatures: ['appendOnly'] }
    expect(protocolFor('x', listed, metadata)).toEqual({ ...listed, writerFeatures: ['appendOnly', 'allowColumnDefaults'] })
    const enough: Protocol = { minReaderVersion: 1, minWriterVersion: 7, writerFeatures: ['allowColumnDefaults', 'somethingElse'] }
    expect(protocolFor('x', enough, metadata)).toBe(enough)
    // A feature of the old kind is listed too where features are.
    expect(protocolFor('x', listed, { ...metadata, fields: [], configuration: { 'delta.columnMapping.mode': 'name' } })).toEqual({
      minReaderVersion: 3,
      minWriterVersion: 7,
      readerFeatures: ['columnMapping'],
      writerFeatures: ['appendOnly', 'columnMapping'],
    })
  })

  test.each([
    [{ 'delta.feature.timeTravelBackwards': 'supported' }, 'lake.feature_unsupported', 'timeTravelBackwards'],
    [{ 'delta.enableDeletionVector': 'true' }, 'lake.bad_property', 'delta.enableDeletionVector'],
    [{ 'delta.appendOnly': 'yes' }, 'lake.bad_property', 'its value is yes'],
    [{ 'delta.constraints.c': 'id > 0' }, 'lake.bad_property', 'no plain settings'],
    [{ 'delta.columnMapping.maxColumnId': '7' }, 'lake.bad_property', 'maxColumnId'],
    [{ 'delta.columnMapping.mode': 'shape' }, 'lake.feature_unsupported', 'columnMapping by shape'],
    [{ 'delta.enableIcebergCompatV2': 'true' }, 'lake.feature_unsupported', 'icebergCompatV2'],
  ])('is not made for the settings %j, and nothing is written', async (configuration, code, text) => {
    const root = fresh()
    await expect(lake.table(root).create({ fields: [field('id', 'long')], configuration })).rejects.toMatchObject({ code, message: contains(text) })
    expect(await lake.paths(`${root}/`)).toEqual([])
  })
})

describe('a constraint', () => {
  test('keeps out rows for which it is not true, whatever brings them, and names one', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [field('id', 'long'), field('co', 'double')], constraints: { Plausible: 'co >= 0 and co < 500' } })
    await table.append(lake.select('select 1 as id, 3.5 as co'))
    const broken = { code: 'lake.check_failed', kind: 'invalid', message: contains('the constraint plausible (co >= 0 and co < 500): {"id":2,"co":-1.0}') }
    await expect(table.append(lake.select('select * from (values (1, 1.0), (2, -1.0)) t(id, co)'))).rejects.toMatchObject(broken)
    await expect(table.overwrite(lake.select('select 2 as id, -1.0 as co'))).rejects.toMatchObject(broken)
    await expect(table.overwrite(lake.select('select 2 as id, -1.0 as co'), { where: 'id = 2' })).rejects.toMatchObject(broken)
    await expect(table.merge(lake.select('select 2 as id, -1.0 as co'), { keys: ['id'] })).rejects.toMatchObject(broken)
    // Null is not enough.
    await expect(table.append(lake.select('select 2 as id'))).rejects.toMatchObject({ message: contains('{"id":2,"co":null}') })
    expect(await table.snapshot()).toMatchObject({ version: 1, fileCount: 1 })
    expect(await lake.paths(`${table.root}/part`)).toHaveLength(1)
  })

  test('whose text cannot be evaluated here refuses the write and names what it uses', async () => {
    const root = fresh()
    const schema = JSON.stringify({ type: 'struct', fields: [field('id', 'long')] })
    const metaData = {
      id: root,
      format: { provider: 'parquet', options: {} },
      schemaString: schema,
      partitionColumns: [],
      configuration: { 'delta.constraints.odd': 'hash(id) > 0' },
    }
    await lake.objects.putIfAbsent(commitFile(root, 0), lines({ protocol: { minReaderVersion: 1, minWriterVersion: 3 } }, { metaData }))
    const table = lake.table(root)
    expect(await lake.content(table)).toEqual([])
    await expect(table.append(lake.select('select 1 as id'))).rejects.toMatchObject({
      code: 'lake.expression_unsupported',
      message: contains('the function hash'),
    })
    expect(await lake.paths(`${root}/`)).toHaveLength(1)
  })

  test('of a column, an invariant, is kept too', async () => {
    const table = lake.table(fresh())
    const invariant = { 'delta.invariants': JSON.stringify({ expression: { expression: 'x > 3' } }) }
    await table.create({ fields: [{ ...field('x', 'integer'), metadata: invariant }, field('st', { type: 'struct', fields: [field('a', 'integer', false)] })] })
    expect(await protocolOf(table)).toEqual(NEW_TABLE)
    await table.append(lake.select('select 4 as x'))
    await expect(table.append(lake.select('select 3 as x'))).rejects.toMatchObject({ message: contains('the invariant of column x (x > 3)') })
    await expect(table.append(lake.select("select 5 as x, {'a': null::integer} as st"))).rejects.toMatchObject({
      code: 'lake.null_value',
      message: contains('column st takes no nulls inside'),
    })
    await table.append(lake.select("select 5 as x, {'a': 1} as st"))
    expect(await lake.content(table, 'x, st.a')).toEqual([
      [4, null],
      [5, 1],
    ])
  })

  test('of nested types is kept inside arrays and maps', async () => {
    const table = lake.table(fresh())
    await table.create({
      fields: [
        field('id', 'long'),
        field('l', { type: 'array', containsNull: false, elementType: { type: 'struct', fields: [field('a', 'integer', false)] } }),
        field('m', { type: 'map', keyType: 'string', valueType: 'integer', valueContainsNull: false }),
      ],
    })
    await table.append(lake.select("select 1 as id, [{'a': 1}] as l, map {'k': 1} as m union all select 2, [], null"))
    for (const [l, m, column] of [
      ["[{'a': 1}, null]", "map {'k': 1}", 'l'],
      ["[{'a': null::integer}]", "map {'k': 1}", 'l'],
      ["[{'a': 1}]", "map {'k': null::integer}", 'm'],
    ])
      await expect(table.append(lake.select(`select 3 as id, ${l} as l, ${m} as m`)), l).rejects.toMatchObject({
        message: contains(`column ${column} takes no nulls`),
      })
  })

  test('of length comes with varchar', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [{ ...field('name', 'string'), metadata: { __CHAR_VARCHAR_TYPE_STRING: 'varchar(3)' } }] })
    await table.append(lake.select("select 'São' as name union all select null"))
    await expect(table.append(lake.select("select 'four' as name"))).rejects.toMatchObject({ message: contains('at most 3 characters') })
  })
})

describe('a column', () => {
  test('that is generated gets its value from the others, and takes no other', async () => {
    const table = lake.table(fresh())
    await table.create({
      fields: [
        field('id', 'long'),
        field('at', 'timestamp'),
        { ...field('day', 'date'), generated: 'cast(at as date)' },
        { ...field('n', 'integer'), generated: 'id + 1' },
      ],
      partitionBy: ['day'],
    })
    await table.append(lake.select("select 1 as id, timestamptz '2024-03-31 23:30:00Z' as at"))
    await table.append(lake.select("select 2 as id, timestamptz '2024-04-01 00:30:00Z' as at, date '2024-04-01' as \"day\", 3 as n"))
    await table.append(lake.select('select 3 as id'))
    await expect(table.append(lake.select("select 4 as id, timestamptz '2024-04-01 00:30:00Z' as at, date '2024-04-02' as \"day\""))).rejects.toMatchObject({
      code: 'lake.check_failed',
      message: contains('the generated column day (cast(at as date))'),
    })
    await expect(table.append(lake.select('select 3000000000 as id'))).rejects.toMatchObject({ code: 'lake.input_failed' })
    expect(await lake.content(table, 'id, "day"::varchar, n')).toEqual([
      ['1', '2024-03-31', 2],
      ['2', '2024-04-01', 3],
      ['3', null, 4],
    ])
  })

  test('with a default gets it when the input has no such column, and a given null stays', async () => {
    const table = lake.table(fresh())
    await table.create({
      fields: [
        field('id', 'long'),
        { ...field('name', 'string', false), default: "'it''s'".replace("''", "\\'") },
        { ...field('n', 'short'), default: '5', comment: 'a few' },
        { ...field('made', 'timestamp'), default: 'current_timestamp()' },
        { ...field('half', 'double'), generated: 'n / 2' },
      ],
    })
    await table.append(lake.select('select 1 as id'))
    await table.append(lake.select('select 2 as id, null as n, null as made'))
    expect(await lake.content(table, 'id, name, n, made between now() - interval 1 hour and now(), half')).toEqual([
      ['1', "it's", 5, true, 2.5],
      ['2', "it's", null, null, null],
    ])
    expect((await table.snapshot())?.metadata.fields[2]?.metadata).toEqual({ comment: 'a few', CURRENT_DEFAULT: '5' })
  })

  test.each([
    [[{ ...field('a', 'long'), generated: 'a + 1' }], 'a, which is no column'],
    [
      [
        { ...field('a', 'long'), generated: '1' },
        { ...field('b', 'long'), generated: 'a + 1' },
      ],
      'a, which is no column',
    ],
    [[{ ...field('a', 'timestamp'), generated: 'now()' }], 'changes with time'],
    [[{ ...field('a', 'long'), generated: '1', default: '2' }], 'has both'],
    [[field('b', 'long'), { ...field('a', 'long'), default: 'b' }], 'b, which is no column'],
    [[{ ...field('a', 'long'), default: "'x'" }], "the text 'x' as a value of type long"],
    [[field('a b', 'long')], 'the column name "a b"'],
    [[field('st', { type: 'struct', fields: [field('x=y', 'long')] })], 'the column name "x=y"'],
  ])('that cannot be kept is refused before anything is written (%#)', async (fields, text) => {
    const root = fresh()
    await expect(lake.table(root).create({ fields })).rejects.toMatchObject({ message: contains(text) })
    expect(await lake.paths(`${root}/`)).toEqual([])
  })
})

describe('mapped columns', () => {
  const FIELDS = [
    field('id', 'long'),
    field('a b', {
      type: 'struct',
      fields: [field('x;y', 'integer'), field('l', { type: 'array', elementType: { type: 'struct', fields: [field('z', 'string')] }, containsNull: true })],
    }),
    field('m', { type: 'map', keyType: 'string', valueType: { type: 'struct', fields: [field('w', 'integer')] }, valueContainsNull: true }),
    field('day=', 'string'),
  ]
  const ROWS = `select 1 as id, {'x;y': 2, 'l': [{'z': 'q'}, null]} as "a b", map {'k': {'w': 3}} as m, 'd/1' as "day="
    union all select 2, null, map {'k': null}, null`
  const READ = 'id, to_json("a b")::varchar, to_json(m)::varchar, "day="'

  test.each(['name', 'id'])('by %s are written under names of their own, with their numbers', async (mode) => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS, partitionBy: ['day='], configuration: { 'delta.columnMapping.mode': mode, 'delta.checkpointInterval': '2' } })
    await table.append(lake.select(ROWS))
    const expected = [
      ['1', '{"x;y":2,"l":[{"z":"q"},null]}', '{"k":{"w":3}}', 'd/1'],
      ['2', null, '{"k":null}', null],
    ]
    expect(await lake.content(table, READ)).toEqual(expected)
    await table.merge(lake.select("select 2 as id, 'd2' as \"day=\" union all select 3, 'd2'"), { keys: ['id'] })
    const merged = [expected[0], ['2', null, '{"k":null}', 'd2'], ['3', null, null, 'd2']]
    expect(await lake.content(lake.table(table.root), READ)).toEqual(merged)
    await table.optimize()
    expect(await lake.content(table, READ)).toEqual(merged)

    const { metadata } = (await table.snapshot())!
    const ids = JSON.stringify(metadata.fields).match(/"delta.columnMapping.id":\d+/g)
    expect(new Set(ids).size).toBe(8)
    expect(metadata.configuration['delta.columnMapping.maxColumnId']).toBe('8')
    const physical = metadata.fields.map((one) => String(one.metadata['delta.columnMapping.physicalName']))
    expect(physical.every((name) => /^col-[0-9a-f-]{36}$/.test(name))).toBe(true)
    const add = (await lastActions(table.root, 1)).find((action) => action.add)?.add
    expect(Object.keys(add?.partitionValues ?? {})).toEqual([physical[3]])
    expect(JSON.parse(String(add?.stats))).toMatchObject({ minValues: { [physical[0]!]: 1 } })
    const files = (await lake.rows(
      `select distinct name, field_id from parquet_schema('${join(lake.folder, table.root)}/**/*.parquet') where field_id is not null`,
    )) as [string, string][]
    expect(new Map(files).get(physical[0]!)).toBe('1')
    // The partition column is in no file.
    expect(files.map(([, id]) => Number(id)).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  test('stay as they are when the table gets another schema; new ones get names and numbers of their own', async () => {
    const table = lake.table(fresh())
    await table.create({
      fields: [field('id', 'long'), field('gone', 'string'), field('kind', 'integer')],
      configuration: { 'delta.columnMapping.mode': 'name' },
    })
    await table.append(lake.select("select 1 as id, 'x' as gone, 1 as kind"))
    const before = (await table.snapshot())!
    await table.overwrite(lake.select("select 'a' as kind, 2::bigint as id, 3 as fresh"), { schema: true })
    const after = (await table.snapshot())!
    const mapping = (snapshot: typeof before, name: string): unknown => snapshot.metadata.fields.find((one) => one.name === name)?.metadata
    expect(mapping(after, 'id')).toEqual(mapping(before, 'id'))
    expect(mapping(after, 'kind')).toMatchObject({ 'delta.columnMapping.id': 4 })
    expect(mapping(after, 'fresh')).toMatchObject({ 'delta.columnMapping.id': 5 })
    expect(await lake.content(table)).toEqual([['a', '2', 3]])
    expect(await lake.content(table, '*', before)).toEqual([['1', 'x', 1]])
    await table.evolve([field('late', 'double')])
    await table.append(lake.select('select 3 as id, 0.5 as late'))
    expect(await lake.content(table, 'id, late')).toEqual([
      ['2', null],
      ['3', 0.5],
    ])
  })

  test('let a write lose to another that it would have read, by stored names', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [field('id', 'long'), field('p', 'string')], partitionBy: ['p'], configuration: { 'delta.columnMapping.mode': 'name' } })
    await table.append(lake.select("select 1 as id, 'a' as p"))
    const other = lake.table(table.root)
    await other.snapshot()
    const racing = table.overwrite(lake.select("select 9 as id, 'a' as p"), { where: "p = 'a'", signal: new AbortController().signal })
    await Promise.all([racing.catch(() => null), other.append(lake.select("select 2 as id, 'a' as p"))])
    const ids = (await lake.content(table, 'id')).flat()
    // Either the overwrite came first and the append stayed, or it saw or lost to the append: never are both 1 and 9 there.
    expect(ids.includes('9') && ids.includes('1')).toBe(false)
    await expect(racing)
      .resolves.toBeDefined()
      .catch(() => expect(ids).toEqual(['1', '2']))
  })
})

describe('a checkpoint', () => {
  test.each(['table', 'large'] as const)('keeps deletion vectors, of files and of tombstones, of a %s', async (open) => {
    const table = lake[open](fresh())
    await table.create({ fields: [field('id', 'long')], configuration: { 'delta.enableDeletionVectors': 'true', 'delta.checkpointInterval': '3' } })
    for (const start of [0, 100, 200]) await table.append(lake.select(`select i as id from range(${start}, ${start + 100}) r(i)`))
    for (const id of [7, 8, 250, 9, 107, 10]) await table.delete(`id = ${id}`)
    const ids = Array.from({ length: 300 }, (_, id) => id).filter((id) => ![7, 8, 9, 10, 107, 250].includes(id))
    const version = (await table.snapshot())?.version
    expect(version).toBe(9)
    const log = `${table.root}/_delta_log/`
    const newest = (await lake.paths(log)).filter((path) => path.endsWith('.checkpoint.parquet')).at(-1)
    expect(newest).toContain('09.checkpoint')
    const checkpoint = `'${join(lake.folder, newest!)}'`
    expect(
      await lake.rows(`select count(*), count(add.deletionVector.cardinality), sum(add.deletionVector.cardinality) from ${checkpoint} where add is not null`),
    ).toEqual([['3', '3', '6']])
    // Each vector but the last of a file is that of a tombstone, as is the file that had none.
    expect(await lake.rows(`select count(*), count(remove.deletionVector.storageType) from ${checkpoint} where remove is not null`)).toEqual([['6', '3']])
    for (let gone = 0; gone < version!; gone++) await lake.objects.delete(commitFile(table.root, gone))
    expect((await lake.content(lake[open](table.root), 'id::integer')).flat()).toEqual(ids)
    const again = lake[open](table.root)
    for (const id of [11, 12, 299]) await again.delete(`id = ${id}`)
    expect((await lake.content(lake.table(table.root), 'id::integer')).flat()).toEqual(ids.filter((id) => ![11, 12, 299].includes(id)))
  })
})

describe('types', () => {
  test('a timestamp without zone is written when it is asked for, and only then', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [field('id', 'long'), field('local', 'timestamp_ntz')], partitionBy: [] })
    await table.append(lake.select("select 1 as id, timestamp '2024-01-01 10:00:00.123456' as local"))
    expect(await lake.content(table, 'id, typeof(local), local::varchar')).toEqual([['1', 'TIMESTAMP', '2024-01-01 10:00:00.123456']])
    const [add] = await lake.paths(`${table.root}/part`)
    expect(await lake.rows(`select logical_type from parquet_schema('${join(lake.folder, add!)}') where name = 'local'`)).toEqual([
      [contains('isAdjustedToUTC=0')],
    ])
    const other = lake.table(fresh())
    await other.create({ fields: [field('id', 'long')] })
    await other.overwrite(lake.select("select timestamp '2024-01-01 10:00:00' as at"), { schema: true })
    expect((await other.snapshot())?.metadata.fields[0]?.type).toBe('timestamp')
    expect(await protocolOf(other)).toEqual(NEW_TABLE)
  })

  test('a commit of a table with features is readable text', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [field('id', 'long')], constraints: { positive: 'id > 0' } })
    expect(JSON.parse((await readFile(join(lake.folder, commitFile(table.root, 0)), 'utf8')).split('\n')[2]!)).toMatchObject({
      metaData: { configuration: { 'delta.constraints.positive': 'id > 0' } },
    })
  })
})
