/** A damaged log gives an error that names the file, or the right rows. Never wrong ones. */
import { describe, expect, test } from 'vitest'
import { checkpointFile, checksumFile, commitFile, field, lines, openLake, text, untext } from '../../helpers/delta.ts'

const lake = await openLake()
let made = 0

async function tableWith(commits: number): Promise<string> {
  const root = `silver/damaged${++made}`
  const table = lake.table(root)
  await table.create({ fields: [field('id', 'long')] })
  for (let i = 1; i < commits; i++) await table.append(lake.select(`select ${i} as id`))
  return root
}

const sum = async (root: string): Promise<unknown> => (await lake.content(lake.table(root), 'sum(id)'))[0]?.[0]

describe('a damaged log', () => {
  test('a commit that was cut off, emptied or overwritten is named; versions before it can be read', async () => {
    for (const damage of [
      (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 20),
      () => new Uint8Array(),
      () => text('\0\0\0\0\0\0'),
      () => text('[1, 2]\n'),
      () => lines({ add: { path: 'no size' } }),
      () => lines({ metaData: { id: 'x', schemaString: '{' } }),
    ]) {
      const root = await tableWith(4)
      const bytes = await lake.objects.get(commitFile(root, 2))
      await lake.objects.put(commitFile(root, 2), damage(bytes ?? new Uint8Array()))
      await expect(lake.table(root).snapshot()).rejects.toMatchObject({
        code: 'lake.log_damaged',
        message: expect.stringContaining(commitFile(root, 2)) as string,
      })
      await expect(lake.table(root).snapshot({ version: 2 })).rejects.toMatchObject({ code: 'lake.log_damaged' })
      const table = lake.table(root)
      expect(await lake.content(table, 'sum(id)', (await table.snapshot({ version: 1 }))!)).toEqual([['1']])
    }
  })
  test('a gap names the missing file', async () => {
    const root = await tableWith(5)
    await lake.objects.delete(commitFile(root, 2))
    await expect(lake.table(root).snapshot()).rejects.toMatchObject({
      code: 'lake.log_gap',
      kind: 'missing',
      message: expect.stringContaining(commitFile(root, 2)) as string,
    })
    await lake.objects.delete(commitFile(root, 0))
    await expect(lake.table(root).snapshot()).rejects.toMatchObject({ code: 'lake.log_gap', message: expect.stringContaining(commitFile(root, 0)) as string })
  })
  test('a log without protocol or metadata is refused', async () => {
    const root = `silver/damaged${++made}`
    await lake.objects.putIfAbsent(commitFile(root, 0), lines({ commitInfo: { operation: 'WRITE' } }))
    await expect(lake.table(root).snapshot()).rejects.toMatchObject({ code: 'lake.log_damaged' })
  })
  test('a checkpoint that cannot be read is done without while the commits are there', async () => {
    for (const damage of [text('PAR1'), new Uint8Array(), text('x'.repeat(5000))]) {
      const root = await tableWith(13)
      await lake.objects.put(checkpointFile(root, 10), damage)
      expect(await sum(root)).toBe('78')
    }
  })
  test('a damaged checkpoint falls back to the one before it', async () => {
    const root = await tableWith(24)
    for (let version = 0; version <= 9; version++) await lake.objects.delete(commitFile(root, version))
    await lake.objects.put(checkpointFile(root, 20), text('nonsense'))
    expect(await sum(root)).toBe('276')
  })
  test('without any checkpoint or commits to fall back to, nothing is guessed', async () => {
    const root = await tableWith(13)
    for (let version = 0; version <= 9; version++) await lake.objects.delete(commitFile(root, version))
    await lake.objects.put(checkpointFile(root, 10), text('nonsense'))
    await expect(lake.table(root).snapshot()).rejects.toMatchObject({ code: 'lake.checkpoint_damaged' })
  })
  test('a wrong, damaged or missing _last_checkpoint does not matter', async () => {
    const root = await tableWith(13)
    const hint = `${root}/_delta_log/_last_checkpoint`
    for (const bytes of [text('{'), text('{"version": 99}'), text('{"version": 5}'), text('{"version": "x"}')]) {
      await lake.objects.put(hint, bytes)
      expect(await sum(root)).toBe('78')
    }
    await lake.objects.delete(hint)
    expect(await sum(root)).toBe('78')
  })
  test('half of a multi-part checkpoint is not one', async () => {
    const root = await tableWith(13)
    const bytes = await lake.objects.get(checkpointFile(root, 10))
    await lake.objects.put(`${root}/_delta_log/${'11'.padStart(20, '0')}.checkpoint.0000000001.0000000002.parquet`, bytes ?? new Uint8Array())
    await lake.objects.put(`${root}/_delta_log/_last_checkpoint`, text('{"version": 11, "parts": 2}'))
    expect(await sum(root)).toBe('78')
  })
  test('a multi-part checkpoint is read whole', async () => {
    const root = await tableWith(13)
    const source = `${lake.folder}/${checkpointFile(root, 10)}`
    const part = (n: number): string => `${lake.folder}/${root}/_delta_log/${'10'.padStart(20, '0')}.checkpoint.000000000${n}.0000000002.parquet`
    await lake.connection.run(
      `copy (select * from '${source}' where add is null or add.path < (select median(add.path) from '${source}')) to '${part(1)}' (format parquet)`,
    )
    await lake.connection.run(
      `copy (select * from '${source}' where add is not null and add.path >= (select median(add.path) from '${source}')) to '${part(2)}' (format parquet)`,
    )
    await lake.objects.delete(checkpointFile(root, 10))
    for (let version = 0; version <= 10; version++) await lake.objects.delete(commitFile(root, version))
    expect(await sum(root)).toBe('78')
  })
  test('a missing data file is named, not read over', async () => {
    const root = await tableWith(4)
    const [first = ''] = await lake.paths(`${root}/part`)
    await lake.objects.delete(first)
    const table = lake.table(root)
    await expect(table.scan((await table.snapshot())!)).rejects.toMatchObject({
      code: 'lake.data_file_missing',
      kind: 'missing',
      message: expect.stringContaining(first) as string,
    })
  })
  test('a file outside the folder is refused', async () => {
    const root = await tableWith(2)
    await lake.objects.putIfAbsent(
      commitFile(root, 2),
      lines({ add: { path: 'file:/tmp/x.parquet', partitionValues: {}, size: 1, modificationTime: 1, dataChange: true } }),
    )
    const table = lake.table(root)
    await expect(table.scan((await table.snapshot())!)).rejects.toMatchObject({ code: 'lake.foreign_file', kind: 'unsupported' })
  })
  test('the hidden checksum file that Hadoop leaves beside _last_checkpoint goes when a checkpoint is written', async () => {
    const root = await tableWith(10)
    await lake.objects.put(`${root}/_delta_log/._last_checkpoint.crc`, text('crc'))
    await lake.table(root).append(lake.select('select 10 as id'))
    expect(untext(await lake.objects.get(`${root}/_delta_log/_last_checkpoint`))).toContain('"version":10')
    expect(await lake.objects.head(`${root}/_delta_log/._last_checkpoint.crc`)).toBeNull()
  })
})

describe('a checkpoint that lies', () => {
  /** A table of 13 commits and the checkpoint at version 10, rewritten by a query over its rows `c`. */
  async function lying(sql: (source: string) => string, commits: 'kept' | 'gone', checksum: 'kept' | 'gone'): Promise<string> {
    const root = await tableWith(13)
    const path = checkpointFile(root, 10)
    const copy = `${lake.folder}/${root}/copy.parquet`
    await lake.rows(`copy (${sql(`read_parquet('${lake.folder}/${path}')`)}) to '${copy}' (format parquet)`)
    await lake.objects.put(path, (await lake.objects.get(`${root}/copy.parquet`)) ?? new Uint8Array())
    if (commits === 'gone') for (let version = 0; version < 10; version++) await lake.objects.delete(commitFile(root, version))
    if (checksum === 'gone') for (let version = 0; version < 13; version++) await lake.objects.delete(checksumFile(root, version))
    return root
  }
  const LIES: readonly [what: string, sql: (source: string) => string][] = [
    ['lacks a file', (source) => `from ${source} where add is null or add.path <> (select min(add.path) from ${source})`],
    ['holds a file twice', (source) => `from ${source} union all (from ${source} where add.path = (select min(add.path) from ${source}))`],
    ['holds no file', (source) => `from ${source} where add is null`],
    ['tells wrong sizes', (source) => `select * replace (case when add is not null then struct_update(add, size := add.size + 1) end as add) from ${source}`],
    [
      'is of another table',
      (source) => `select * replace (case when "metaData" is not null then struct_update("metaData", id := 'other') end as "metaData") from ${source}`,
    ],
    ['has no protocol', (source) => `from ${source} where protocol is null`],
  ]
  test.each(LIES)('because it %s is done without while the commits are there, and is an error when they are gone', async (_, sql) => {
    const kept = await lying(sql, 'kept', 'kept')
    for (const table of [lake.table(kept), lake.large(kept)]) expect(await lake.content(table, 'sum(id)')).toEqual([['78']])
    const gone = await lying(sql, 'gone', 'kept')
    for (const table of [lake.table(gone), lake.large(gone)]) await expect(table.snapshot()).rejects.toMatchObject({ code: 'lake.checkpoint_damaged' })
  })
  test('about how many files it holds is found out by what _last_checkpoint says, without a checksum too', async () => {
    const [, fewer] = LIES[0] ?? []
    const root = await lying(fewer ?? String, 'gone', 'gone')
    await expect(lake.table(root).snapshot()).rejects.toMatchObject({ code: 'lake.checkpoint_damaged' })
  })
  test('is no match for a checksum that lies: the commits decide', async () => {
    const root = await tableWith(13)
    await lake.objects.put(checksumFile(root, 10), text(JSON.stringify({ numFiles: 1, tableSizeBytes: 1 })))
    expect(await sum(root)).toBe('78')
  })
  test('by a missing part, sidecar or row group is not one', async () => {
    const root = await tableWith(13)
    const bytes = (await lake.objects.get(checkpointFile(root, 10))) ?? new Uint8Array()
    await lake.objects.put(checkpointFile(root, 10), bytes.subarray(0, bytes.length - 100))
    expect(await sum(root)).toBe('78')
    expect(await lake.content(lake.large(root), 'sum(id)')).toEqual([['78']])
  })
})

describe('log files out of place', () => {
  test('a commit under two versions applies twice only in what it says, and never its rows', async () => {
    const root = await tableWith(4)
    await lake.objects.putIfAbsent(commitFile(root, 4), (await lake.objects.get(commitFile(root, 2))) ?? new Uint8Array())
    expect(await sum(root)).toBe('6')
    expect(await lake.table(root).snapshot()).toMatchObject({ version: 4, fileCount: 3, rowCount: 3 })
  })
  test('a removal before what it removes leaves the file, as the versions say', async () => {
    const root = await tableWith(3)
    const path = (await lake.paths(`${root}/part`))[0]?.slice(root.length + 1) ?? ''
    const [first, second] = [await lake.objects.get(commitFile(root, 1)), await lake.objects.get(commitFile(root, 2))]
    await lake.objects.put(commitFile(root, 1), lines({ commitInfo: {} }, { remove: { path, deletionTimestamp: 1, dataChange: true } }))
    await lake.objects.put(commitFile(root, 2), first ?? new Uint8Array())
    await lake.objects.put(commitFile(root, 3), second ?? new Uint8Array())
    expect(await sum(root)).toBe('3')
  })
  test('names that are no versions, temporary files and folders are passed over', async () => {
    const root = await tableWith(4)
    for (const name of [
      '1.json',
      '00000000000000000002.json.tmp',
      '00000000000000000009.json.crc',
      '00000000000000000003.checkpoint.parquet.tmp',
      '_delta/00000000000000000004.json',
    ])
      await lake.objects.put(`${root}/_delta_log/${name}`, text('rubbish'))
    expect(await sum(root)).toBe('6')
  })
  test('a missing commit behind a checkpoint, or in the middle of those read at once, is named', async () => {
    const root = await tableWith(60)
    for (let version = 10; version <= 50; version += 10) await lake.objects.delete(checkpointFile(root, version))
    await lake.objects.delete(commitFile(root, 40))
    await expect(lake.table(root).snapshot()).rejects.toMatchObject({ code: 'lake.log_gap', message: expect.stringContaining(commitFile(root, 40)) as string })
    expect((await lake.table(root).snapshot({ version: 39 }))?.rowCount).toBe(39)
  })
  test('a newest commit that is missing is the version before: nothing tells that there was one', async () => {
    const root = await tableWith(5)
    const followed = lake.table(root)
    expect((await followed.snapshot())?.version).toBe(4)
    await lake.objects.delete(commitFile(root, 4))
    for (const table of [followed, lake.table(root)]) expect(await table.snapshot()).toMatchObject({ version: 3, rowCount: 3 })
  })
  test('a _last_checkpoint that points to a time to come, or at a checkpoint that was taken away, is a hint and no more', async () => {
    const root = await tableWith(24)
    const hint = `${root}/_delta_log/_last_checkpoint`
    await lake.objects.put(hint, text('{"version": 1000, "size": 3, "numOfAddFiles": 1}'))
    expect(await sum(root)).toBe('276')
    await lake.objects.put(hint, text('{"version": 20, "size": 3}'))
    await lake.objects.delete(checkpointFile(root, 20))
    for (let version = 0; version < 10; version++) await lake.objects.delete(commitFile(root, version))
    expect(await sum(root)).toBe('276')
  })
})
