/** A damaged log gives an error that names the file, or the right rows. Never wrong ones. */
import { describe, expect, test } from 'vitest'
import { checkpointFile, commitFile, field, lines, openLake, text, untext } from '../../helpers/delta.ts'

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
