/** Delta tables on S3: the same as in a folder, with other processes beside, and fetching no more than is needed. */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { checkpointFile, field, openLake, untext } from '../../helpers/delta.ts'
import { startProxy } from '../../helpers/s3-proxy.ts'
import { noS3Server, openObjects, optionsFor, startS3 } from '../../helpers/s3.ts'
import { tempFolder } from '../../helpers/folder.ts'

const WRITER = fileURLToPath(new URL('./writer.ts', import.meta.url))
const FIELDS = [field('id', 'long'), field('day', 'date'), field('value', 'double')]

describe.skipIf(noS3Server !== null)(`Delta tables on S3${noS3Server === null ? '' : ` (skipped: ${noS3Server})`}`, async () => {
  if (noS3Server !== null) return
  const server = await startS3()
  const proxy = await startProxy(server)
  const cached = (folder: string): ReturnType<typeof openObjects> => openObjects(proxy.server, { cache: { folder, limitBytes: 1e9 } })
  const lake = await openLake(cached)

  test('are created, appended to, merged, read at each version, compacted and checkpointed', async () => {
    const root = 'silver/whole_life'
    const table = lake.table(root)
    await table.create({ fields: FIELDS, partitionBy: ['day'] })
    for (let i = 0; i < 12; i++) await table.append(lake.select(`select ${i}::bigint as id, date '2024-01-01' + ${i % 3} as day, ${i}::double as value`))
    await table.merge(lake.select(`select 3::bigint as id, date '2024-01-01' as day, 33::double as value union all select 100, date '2024-01-02', 100`), {
      keys: ['id', 'day'],
    })
    expect(await lake.content(table, 'count(*), sum(value), count(distinct day)')).toEqual([['13', 66 - 3 + 33 + 100, '3']])
    // Nobody who comes later knows more than the store does.
    const later = (await openLake(cached)).table(root)
    const at5 = await later.snapshot({ version: 5 })
    expect(await lake.content(later, 'count(*), sum(value)', at5!)).toEqual([['5', 10]])
    expect(await lake.paths(`${root}/_delta_log/`)).toContain(checkpointFile(root, 10))
    expect(JSON.parse(untext(await lake.objects.get(`${root}/_delta_log/_last_checkpoint`)))).toMatchObject({ version: 10 })
    await later.optimize()
    expect(await lake.content(table, 'count(*), sum(value)')).toEqual([['13', 196]])
    expect((await table.history(100)).length).toBeGreaterThanOrEqual(14)
  })

  test('are read with only the files that a condition needs, each once', async () => {
    const root = 'gold/pruned'
    const writer = lake.table(root)
    await writer.create({ fields: FIELDS, partitionBy: ['day'] })
    await writer.append(lake.select(`select range as id, date '2024-01-01' + (range % 8)::integer as day, range::double as value from range(800)`))
    const elsewhere = await openLake(cached)
    const table = elsewhere.table(root)
    const before = proxy.seen.length
    const snapshot = await table.snapshot()
    const read = async (): Promise<unknown[][]> =>
      elsewhere.rows(`select count(*) from (${await table.scan(snapshot!, { where: `day = date '2024-01-03'` })}) where day = date '2024-01-03'`)
    expect(await read()).toEqual([['100']])
    expect(await read()).toEqual([['100']])
    const data = proxy.seen.slice(before).filter(({ method, path }) => method === 'GET' && path.includes('.parquet'))
    expect(data.map(({ path }) => decodeURIComponent(path))).toEqual([expect.stringContaining('/gold/pruned/day=2024-01-03/')])
  })

  test('commit once although the answer to the commit is lost', async () => {
    const table = lake.table('bronze/lost')
    await table.create({ fields: [field('id', 'long')] })
    for (const losses of [1, 2]) {
      let left = losses
      proxy.fate(({ method, headers }) => (method === 'PUT' && headers['if-none-match'] === '*' && left-- > 0 ? 'lose-answer' : 'pass'))
      await table.append(lake.select(`select ${losses}::bigint as id`))
    }
    proxy.fate(() => 'pass')
    expect(await table.snapshot()).toMatchObject({ version: 2, rowCount: 2 })
    expect(await lake.content(table, 'id')).toEqual([['1'], ['2']])
  })

  test('four processes append 100 times each to one table and lose none', { timeout: 180_000 }, async () => {
    const root = 'bronze/four'
    await lake.table(root).create({ fields: [field('id', 'long')] })
    const cache = join(tempFolder(), 'cache')
    const options = JSON.stringify({ ...optionsFor(server), cache: { folder: cache, limitBytes: 100_000 } })
    const ended = [0, 1, 2, 3].map(
      (n) =>
        new Promise<number | null>((resolve) => {
          const spill = join(tempFolder(), randomUUID())
          const child = spawn(process.execPath, [WRITER, options, spill, 'append', root, String(n * 1000), '100'], { stdio: ['ignore', 'ignore', 'inherit'] })
          child.once('close', resolve)
        }),
    )
    expect(await Promise.all(ended)).toEqual([0, 0, 0, 0])
    expect(await lake.table(root).snapshot()).toMatchObject({ version: 400, rowCount: 400 })
    expect(await lake.content(lake.table(root), 'count(distinct id), count(*)')).toEqual([['400', '400']])
  })
})
