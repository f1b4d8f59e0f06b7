import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { writeParquet, type ParquetFile, type Relation } from '../../../src/lake/delta/index.ts'
import { checkpointFile, checksumFile, commitFile, field, lines, openLake, untext } from '../../helpers/delta.ts'
import { tempFolder } from '../../helpers/folder.ts'

const lake = await openLake()
const FIELDS = [field('id', 'long'), field('name', 'string')]

let made = 0
const fresh = (): string => `silver/t${++made}`

describe('creating', () => {
  test('a new table is empty, has version 0 and reads as typed nothing', async () => {
    const table = lake.table(fresh())
    expect(await table.snapshot()).toBeNull()
    expect(await table.create({ fields: FIELDS })).toMatchObject({ version: 0, skipped: false })
    const snapshot = await table.snapshot()
    expect(snapshot).toMatchObject({ version: 0, fileCount: 0, rowCount: 0, protocol: { minReaderVersion: 1, minWriterVersion: 2 } })
    expect(await lake.content(table)).toEqual([])
    expect((await lake.rows(`describe ${await table.scan(snapshot!)}`)).map((row) => row.slice(0, 2))).toEqual([
      ['id', 'BIGINT'],
      ['name', 'VARCHAR'],
    ])
  })
  test('a table is made once, whoever comes second is told', async () => {
    const root = fresh()
    await lake.table(root).create({ fields: FIELDS })
    await expect(lake.table(root).create({ fields: FIELDS })).rejects.toMatchObject({ code: 'lake.table_exists', kind: 'conflict' })
  })
  test('writing to no table says so', async () => {
    await expect(lake.table(fresh()).append(lake.select('select 1 as id'))).rejects.toMatchObject({ code: 'lake.table_missing', kind: 'missing' })
  })
  test('a schema with two columns of one name, or a partition column that is none, is refused', async () => {
    await expect(lake.table(fresh()).create({ fields: [field('a', 'long'), field('A', 'long')] })).rejects.toMatchObject({ code: 'lake.bad_schema' })
    await expect(lake.table(fresh()).create({ fields: FIELDS, partitionBy: ['day'] })).rejects.toMatchObject({ code: 'lake.bad_schema' })
    await expect(lake.table(fresh()).create({ fields: [field('a', 'interval')] })).rejects.toMatchObject({ code: 'lake.type_unsupported' })
  })
})

describe('a commit of several applications', () => {
  const txn = (appId: string, version = 1): { readonly appId: string; readonly version: number } => ({ appId, version })

  test('brings all of them forward, and is skipped when all are there', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    expect(await table.append(lake.select('select 1 as id'), { txn: txn('a'), txns: [txn('b', 7), txn('c')] })).toMatchObject({ version: 1, skipped: false })
    const snapshot = await table.snapshot()
    expect(['a', 'b', 'c', 'd'].map((appId) => snapshot?.txnVersion(appId))).toEqual([1, 7, 1, null])
    expect(await table.append(lake.select('select 2 as id'), { txns: [txn('c'), txn('b', 6)] })).toMatchObject({ version: 1, skipped: true })
    expect(await lake.content(table)).toEqual([['1', null]])
  })
  test('is a conflict when only some are there, also when they came meanwhile', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    await table.append(lake.select('select 1 as id'), { txn: txn('a') })
    await expect(table.append(lake.select('select 2 as id'), { txns: [txn('a'), txn('b')] })).rejects.toMatchObject({ code: 'lake.commit_conflict' })
    const both = await Promise.allSettled([
      lake.table(root).append(lake.select('select 3 as id'), { txns: [txn('c'), txn('d')] }),
      lake.table(root).append(lake.select('select 4 as id'), { txns: [txn('d'), txn('e')] }),
    ])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await lake.content(table)).toHaveLength(2)
  })
  test('without rows is made, for there are applications to bring forward', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    expect(await table.append(lake.select('select 1 as id where false'), { txns: [txn('a')] })).toMatchObject({ skipped: false, version: 1 })
    expect(await table.delete('id = 5', { txns: [txn('b')] })).toMatchObject({ skipped: false, version: 2 })
  })
})

describe('a Parquet file that is there already', () => {
  const written = async (sql: string): Promise<Relation & { readonly parquet: ParquetFile }> => {
    const { connection } = lake.select('')
    const parquet = await writeParquet({ connection, sql }, join(tempFolder(), 'rows.parquet'))
    return { connection, sql: `select * from read_parquet('${parquet.file}')`, parquet }
  }

  test('is moved into the table as it is, with statistics, and columns that it lacks are null', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [...FIELDS, field('more', 'double')] })
    const input = await written("select i::bigint as id, 'n' || i as name from range(5) t(i)")
    expect(await table.append(input)).toMatchObject({ rowsAdded: 5, filesAdded: 1 })
    expect(existsSync(input.parquet.file)).toBe(false)
    expect(await lake.content(table)).toEqual(Array.from({ length: 5 }, (_, i) => [String(i), `n${i}`, null]))
    expect(await table.snapshot()).toMatchObject({ rowCount: 5, fileCount: 1 })
  })
  test.each([
    ['another type', {}, "select 1::integer as id, 'a' as name"],
    ['partitions', { partitionBy: ['name'] }, "select 1::bigint as id, 'a' as name"],
    ['other names in its files', { configuration: { 'delta.columnMapping.mode': 'name' } }, "select 1::bigint as id, 'a' as name"],
    ['conditions', { constraints: { positive: 'id > 0' } }, "select 1::bigint as id, 'a' as name"],
  ])('is written anew for a table with %s', async (_, options, sql) => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS, ...options })
    const input = await written(sql)
    expect(await table.append(input)).toMatchObject({ rowsAdded: 1 })
    expect(existsSync(input.parquet.file)).toBe(true)
    expect(await lake.content(table)).toEqual([['1', 'a']])
  })
  test('is refused where its rows would be', async () => {
    const checked = lake.table(fresh())
    await checked.create({ fields: FIELDS, constraints: { positive: 'id > 0' } })
    await expect(checked.append(await written('select -1::bigint as id'))).rejects.toMatchObject({ code: 'lake.check_failed' })
    const full = lake.table(fresh())
    await full.create({ fields: [field('id', 'long', false)] })
    await expect(full.append(await written('select null::bigint as id'))).rejects.toMatchObject({ code: 'lake.null_value' })
    expect(await lake.content(full)).toEqual([])
  })
})

describe('appending', () => {
  test('rows come back with their types, columns by name, missing ones null', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: [...FIELDS, field('at', 'timestamp'), field('x', 'double')] })
    const result = await table.append(
      lake.select(`select timestamptz '2024-05-01 10:00:00.123456+00' as "at", 1::integer as id, 'a' as name union all select null, 2, null`),
    )
    expect(result).toMatchObject({ version: 1, rowsAdded: 2, filesAdded: 1 })
    expect(await lake.content(table)).toEqual([
      ['1', 'a', '2024-05-01 10:00:00.123456+00', null],
      ['2', null, null, null],
    ])
  })
  test('an unknown column, a lossy type and a null where none may be are refused and leave nothing behind', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: [field('id', 'long', false), field('name', 'string')] })
    await expect(table.append(lake.select('select 1 as id, 2 as nam'))).rejects.toMatchObject({
      code: 'lake.unknown_column',
      hint: expect.stringContaining('name') as string,
    })
    await expect(table.append(lake.select('select 1.5 as id'))).rejects.toMatchObject({ code: 'lake.type_mismatch' })
    await expect(table.append(lake.select('select null::bigint as id'))).rejects.toMatchObject({ code: 'lake.null_value' })
    await expect(table.append(lake.select('select 170141183460469231731687303715884105727::hugeint as id'))).rejects.toMatchObject({
      code: 'lake.input_failed',
    })
    await expect(table.append(lake.select('select nowhere'))).rejects.toMatchObject({ code: 'lake.input_failed' })
    const left = await lake.paths(`${root}/`)
    expect(left).toEqual([checksumFile(root, 0), commitFile(root, 0)])
  })
  test('a nested column that takes no nulls gets none', async () => {
    const table = lake.table(fresh())
    await table.create({
      fields: [
        field('o', { type: 'struct', fields: [field('k', 'integer')] }, false),
        field('l', { type: 'array', elementType: 'string', containsNull: true }),
      ],
    })
    await expect(table.append(lake.select('select null::struct(k integer) as o'))).rejects.toMatchObject({
      code: 'lake.null_value',
      message: expect.stringContaining('takes no nulls') as string,
    })
    await table.append(lake.select("select {k: 1} as o, ['a', null] as l union all select {k: null}, null"))
    expect(await lake.content(table, 'o.k, l[1]')).toEqual([
      [1, 'a'],
      [null, null],
    ])
  })
  test('many callers at once see each commit once', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    const connections = await Promise.all(Array.from({ length: 4 }, () => lake.place.duck.connect()))
    await Promise.all(
      connections.map(async (connection, n) => {
        for (let i = 0; i < 8; i++) {
          await table.append({ connection, sql: `select ${n * 100 + i} as id` })
          const [a, b] = await Promise.all([table.snapshot(), table.snapshot()])
          expect(a?.rowCount).toBe(a?.version)
          expect(b?.rowCount).toBe(b?.version)
        }
      }),
    )
    for (const connection of connections) connection.closeSync()
    expect(await table.snapshot()).toMatchObject({ version: 32, rowCount: 32, fileCount: 32 })
  })
  test('no rows commit nothing, except the txn when one is given', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    expect(await table.append(lake.select('select 1 as id where false'))).toMatchObject({ version: 0, skipped: true })
    expect(await table.append(lake.select('select 1 as id where false'), { txn: { appId: 'a', version: 3 } })).toMatchObject({
      version: 1,
      skipped: false,
      filesAdded: 0,
    })
    expect((await table.snapshot())?.txnVersion('a')).toBe(3)
  })
  test('a txn is applied once, later ones move it on, other applications do not matter', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    const write = (appId: string, version: number): ReturnType<typeof table.append> =>
      table.append(lake.select(`select ${version} as id, '${appId}' as name`), { txn: { appId, version } })
    expect(await write('a', 1)).toMatchObject({ skipped: false })
    expect(await write('a', 1)).toMatchObject({ skipped: true })
    expect(await write('a', 0)).toMatchObject({ skipped: true })
    expect(await write('b', 1)).toMatchObject({ skipped: false })
    expect(await write('a', 2)).toMatchObject({ skipped: false })
    expect(await lake.content(table)).toEqual([
      ['1', 'a'],
      ['1', 'b'],
      ['2', 'a'],
    ])
  })
  test('names with blanks, percent signs, brackets and letters of any script work for tables and partitions', async () => {
    const root = 'silver/Mé dia 100% [x] 表'
    const table = lake.table(root)
    await table.create({ fields: [field('id', 'long'), field('região', 'string'), field('day', 'date')], partitionBy: ['região', 'day'] })
    await table.append(
      lake.select(
        `select i as id, ['a/b', 'x=1 %20', null, 'São Paulo', '[*?]', '..', ''][1 + i % 7] as "região", date '2024-01-01' + (i % 2)::integer as day from range(28) r(i)`,
      ),
    )
    const reopened = lake.table(root)
    expect(await lake.content(reopened, '"região", count(*), sum(id)'.replace('"região", ', ''))).toEqual([['28', '378']])
    // Delta has no empty partition value: it is null.
    expect(await lake.rows(`select "região", count(*) from (${await reopened.scan((await reopened.snapshot())!)}) group by 1 order by 1 nulls last`)).toEqual(
      [
        ['..', '4'],
        ['São Paulo', '4'],
        ['[*?]', '4'],
        ['a/b', '4'],
        ['x=1 %20', '4'],
        [null, '8'],
      ].sort((a, b) => (a[0] === null ? 1 : b[0] === null ? -1 : Buffer.compare(Buffer.from(a[0] ?? ''), Buffer.from(b[0] ?? '')))),
    )
    expect(await table.scan((await table.snapshot())!, { where: `"região" = 'a/b' and day = '2024-01-01'` })).not.toContain('Paulo')
  })
})

describe('overwriting', () => {
  test('all rows are replaced, and the schema too when asked', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    await table.append(lake.select("select 1 as id, 'a' as name"))
    expect(await table.overwrite(lake.select("select 2 as id, 'b' as name"))).toMatchObject({ filesRemoved: 1, filesAdded: 1 })
    expect(await lake.content(table)).toEqual([['2', 'b']])
    await expect(table.overwrite(lake.select('select 3 as other'))).rejects.toMatchObject({ code: 'lake.unknown_column' })
    await table.overwrite(lake.select('select 3.5::double as other'), { schema: true })
    expect(await lake.content(table)).toEqual([[3.5]])
    expect((await table.snapshot())?.metadata.fields.map((one) => [one.name, one.type])).toEqual([['other', 'double']])
  })
  test('with a condition only matching rows go, files without them stay untouched', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    for (const start of [0, 10, 20]) await table.append(lake.select(`select i as id, 'old' as name from range(${start}, ${start + 10}) r(i)`))
    const result = await table.overwrite(lake.select("select 15 as id, 'new' as name"), { where: 'id between 15 and 25' })
    expect(result).toMatchObject({ filesRemoved: 2 })
    expect(await lake.content(table, "count(*), sum(id), count(*) filter (where name = 'new')")).toEqual([['20', String(105 + 15 + 26 + 27 + 28 + 29), '1']])
  })
  test('rows outside the condition are refused; null results of the condition do not match', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    await table.append(lake.select("select null::bigint as id, 'keep' as name union all select 1, 'go'"))
    await expect(table.overwrite(lake.select("select 2 as id, 'b' as name"), { where: 'id = 1' })).rejects.toMatchObject({ code: 'lake.outside_condition' })
    await table.overwrite(lake.select("select 1 as id, 'b' as name where false"), { where: 'id = 1' })
    expect(await lake.content(table)).toEqual([[null, 'keep']])
  })
  test('an append-only table takes appends and inserts and refuses the rest before a byte is written', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS, configuration: { 'delta.appendOnly': 'true' } })
    await table.append(lake.select("select 1 as id, 'a' as name"))
    await table.merge(lake.select("select 2 as id, 'b' as name"), { keys: ['id'] })
    const before = (await lake.paths(`${root}/`)).length
    await expect(table.overwrite(lake.select('select 1 as id'))).rejects.toMatchObject({ code: 'lake.append_only', kind: 'denied' })
    await expect(table.overwrite(lake.select('select 1 as id'), { where: 'id = 1' })).rejects.toMatchObject({ code: 'lake.append_only' })
    await expect(table.merge(lake.select("select 2 as id, 'c' as name"), { keys: ['id'] })).rejects.toMatchObject({ code: 'lake.append_only' })
    expect((await lake.paths(`${root}/`)).length).toBe(before)
    expect(await lake.content(table)).toEqual([
      ['1', 'a'],
      ['2', 'b'],
    ])
  })
})

describe('time', () => {
  test('every version can be read by number and by time, from commits and from checkpoints', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    const times: number[] = [(await table.snapshot())!.timestamp]
    for (let version = 1; version <= 23; version++) {
      await table.append(lake.select(`select ${version} as id`))
      times.push((await table.snapshot())!.timestamp)
    }
    expect(await lake.objects.head(checkpointFile(root, 10))).not.toBeNull()
    expect(await lake.objects.head(checkpointFile(root, 20))).not.toBeNull()
    expect(JSON.parse(untext(await lake.objects.get(`${root}/_delta_log/_last_checkpoint`)))).toMatchObject({ version: 20, numOfAddFiles: 20 })
    for (const handle of [table, lake.table(root)]) {
      for (const version of [0, 1, 9, 10, 11, 20, 21, 23]) {
        const snapshot = await handle.snapshot({ version })
        expect(snapshot).toMatchObject({ version, rowCount: version })
        expect(await lake.content(handle, 'coalesce(max(id), 0)', snapshot!)).toEqual([[String(version)]])
      }
    }
    expect(times).toEqual([...new Set(times)].sort((a, b) => a - b))
    const handle = lake.table(root)
    const adjusted = (await handle.history(50)).reverse()
    for (const { version, timestamp } of adjusted.filter((_, i) => i % 5 === 0)) expect((await handle.snapshot({ timestamp }))?.version).toBe(version)
    expect((await handle.snapshot({ timestamp: Date.now() + 60_000 }))?.version).toBe(23)
    await expect(handle.snapshot({ timestamp: 0 })).rejects.toMatchObject({ code: 'lake.version_missing', kind: 'missing' })
    await expect(handle.snapshot({ version: 24 })).rejects.toMatchObject({ code: 'lake.version_missing' })
  })
  test('a snapshot stays what it was while the table moves on', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS })
    await table.append(lake.select("select i as id, 'a' as name from range(5) r(i)"))
    const before = (await table.snapshot())!
    await table.overwrite(lake.select("select 9 as id, 'z' as name"))
    await table.append(lake.select("select 10 as id, 'z' as name"))
    expect(await lake.content(table, 'count(*)', before)).toEqual([['5']])
    expect(before).toMatchObject({ version: 1, rowCount: 5, fileCount: 1 })
    expect(await table.snapshot()).toMatchObject({ version: 3, rowCount: 2, fileCount: 2 })
  })
  test('a table that was dropped and made anew is noticed', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    await table.append(lake.select('select 1 as id'))
    expect((await table.snapshot())?.version).toBe(1)
    for await (const { path } of lake.objects.list(`${root}/`)) await lake.objects.delete(path)
    expect(await table.snapshot()).toBeNull()
    await lake.table(root).create({ fields: [field('other', 'string')] })
    expect((await table.snapshot())?.metadata.fields[0]?.name).toBe('other')
  })
  test('history tells what each commit did', async () => {
    const table = lake.table(fresh())
    await table.create({ fields: FIELDS, description: 'people' })
    await table.append(lake.select('select 1 as id'), { info: { run: 'r1' } })
    await table.merge(lake.select('select 1 as id union all select 2'), { keys: ['id'] })
    const [merge, append, create] = await table.history()
    expect(create).toMatchObject({ version: 0, operation: 'CREATE TABLE' })
    expect(append).toMatchObject({
      version: 1,
      operation: 'WRITE',
      parameters: { mode: 'Append' },
      metrics: { numOutputRows: 1, numFiles: 1 },
      info: { run: 'r1' },
      engineInfo: 'Lagoa',
    })
    expect(merge).toMatchObject({ version: 2, operation: 'MERGE', metrics: { numTargetRowsInserted: 1, numTargetRowsUpdated: 1, numSourceRows: 2 } })
    expect(await table.history(1)).toHaveLength(1)
  })
})

describe('changes', () => {
  test('appends and insert-only merges are append-only, updates and overwrites are not', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    for (let i = 1; i <= 12; i++) await table.append(lake.select(`select ${i} as id, 'a' as name`))
    await table.merge(lake.select("select 100 as id, 'm' as name"), { keys: ['id'] })
    for (const handle of [table, lake.table(root)]) {
      const upTo = (await handle.snapshot())!
      const some = await handle.changes(4, upTo)
      expect(some).toMatchObject({ appendOnly: true, files: 9, rows: 9 })
      expect(await lake.rows(`select min(id), max(id), count(*) from (${some.sql})`)).toEqual([['5', '100', '9']])
      expect(await handle.changes(13, upTo)).toMatchObject({ appendOnly: true, files: 0, rows: 0 })
    }
    await table.merge(lake.select("select 100 as id, 'again' as name"), { keys: ['id'] })
    for (const handle of [table, lake.table(root)]) {
      const upTo = (await handle.snapshot())!
      expect(await handle.changes(4, upTo)).toMatchObject({ appendOnly: false })
      expect(await handle.changes(14, upTo)).toMatchObject({ appendOnly: true, rows: 0 })
    }
  })
  test('when the commits were cleaned away the reader is told to start over', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    for (let i = 1; i <= 10; i++) await table.append(lake.select(`select ${i} as id`))
    for (let version = 0; version < 10; version++) await lake.objects.delete(commitFile(root, version))
    const handle = lake.table(root)
    expect(await lake.content(handle, 'count(*)')).toEqual([['10']])
    await expect(handle.changes(3, (await handle.snapshot())!)).rejects.toMatchObject({ code: 'lake.changes_gone' })
    await expect(handle.snapshot({ version: 4 })).rejects.toMatchObject({ code: 'lake.version_missing' })
    expect((await handle.history()).map((entry) => entry.version)).toEqual([10])
  })
})

describe('schemas that moved on', () => {
  test('a column that files lack reads as null, one they have too many is left out', async () => {
    const root = fresh()
    const table = lake.table(root)
    await table.create({ fields: FIELDS })
    await table.append(lake.select("select 1 as id, 'a' as name"))
    const first = JSON.parse(
      untext(await lake.objects.get(commitFile(root, 0)))
        .split('\n')
        .find((line) => line.includes('metaData')) ?? '',
    ) as { metaData: Record<string, unknown> }
    const schema = { type: 'struct', fields: [field('id', 'long'), field('score', 'double'), field('when', 'timestamp')] }
    await lake.objects.putIfAbsent(commitFile(root, 2), lines({ metaData: { ...first.metaData, schemaString: JSON.stringify(schema) } }))
    expect(await lake.content(table)).toEqual([['1', null, null]])
    await table.append(lake.select('select 2 as id, 0.5::double as score'))
    expect(await lake.content(table)).toEqual([
      ['1', null, null],
      ['2', 0.5, null],
    ])
  })
})

describe('features', () => {
  const protocolOf = (reader: number, writer: number, readerFeatures?: string[], writerFeatures?: string[]): unknown => ({
    protocol: { minReaderVersion: reader, minWriterVersion: writer, readerFeatures, writerFeatures },
  })
  const withProtocol = async (protocol: unknown, configuration: Record<string, string> = {}, fields = FIELDS): Promise<string> => {
    const root = fresh()
    await lake.objects.putIfAbsent(
      commitFile(root, 0),
      lines(protocol, {
        metaData: {
          id: root,
          format: { provider: 'parquet', options: {} },
          schemaString: JSON.stringify({ type: 'struct', fields }),
          partitionColumns: [],
          configuration,
        },
      }),
    )
    return root
  }
  test('reader features that are not known are refused by name', async () => {
    const root = await withProtocol(protocolOf(3, 7, ['catalogManaged', 'variantType'], ['catalogManaged', 'variantType']))
    await expect(lake.table(root).snapshot()).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/catalogManaged, variantType/) as string,
    })
    const mapped = await withProtocol(protocolOf(2, 5), { 'delta.columnMapping.mode': 'shape' })
    await expect(lake.table(mapped).snapshot()).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/columnMapping by shape/) as string,
    })
  })
  test('writer features that are not known are refused by name, reading goes on', async () => {
    for (const [name, root] of [
      ['rowTracking', await withProtocol(protocolOf(1, 7, undefined, ['appendOnly', 'rowTracking']))],
      ['identityColumns', await withProtocol(protocolOf(1, 6), {}, [{ ...field('id', 'long'), metadata: { 'delta.identity.start': 1 } }])],
    ] as const) {
      const table = lake.table(root)
      expect((await table.snapshot())?.version).toBe(0)
      await expect(table.append(lake.select('select 1 as id')), name).rejects.toMatchObject({
        kind: 'unsupported',
        code: 'lake.feature_unsupported',
        message: expect.stringContaining(name) as string,
      })
      expect(await lake.paths(`${root}/`)).toHaveLength(1)
    }
  })
  test('a table with only appendOnly and invariants named as features is written', async () => {
    const table = lake.table(await withProtocol(protocolOf(3, 7, [], ['appendOnly', 'invariants'])))
    await table.append(lake.select('select 1 as id'))
    expect(await lake.content(table, 'id')).toEqual([['1']])
  })
})
