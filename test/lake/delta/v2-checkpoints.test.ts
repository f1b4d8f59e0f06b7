/** Checkpoints of the second specification: a top level in JSON or Parquet, and files with the rest of the actions beside it. */
import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { commitFile, field, lines, openLake, untext } from '../../helpers/delta.ts'

const lake = await openLake()
let made = 0

/** A table of three files with a checkpoint at version 3, behind which the commits are kept or not. */
async function tableOf(format: 'json' | 'parquet', commits: 'kept' | 'gone') {
  const root = `silver/v2_${made++}`
  const log = join(lake.folder, root, '_delta_log')
  const table = lake.table(root)
  await table.create({ fields: [field('id', 'long'), field('p', 'string')], partitionBy: ['p'] })
  for (let id = 1; id <= 3; id++) await table.append(lake.select(`select ${id} as id, 'p ${id}' as p`), { txn: { appId: 'app', version: id } })
  const all: string[] = []
  for (let version = 0; version <= 3; version++) all.push(...untext(await lake.objects.get(commitFile(root, version))).split('\n'))
  const of = (action: string): string[] => all.filter((line) => line.startsWith(`{"${action}"`))
  const adds = of('add')
  await mkdir(join(log, '_sidecars'), { recursive: true })
  const toParquet = async (actions: readonly string[], to: string): Promise<void> => {
    await lake.objects.put(`${root}/actions.ndjson`, new TextEncoder().encode(actions.join('\n')))
    await lake.rows(`copy (from read_json('${join(lake.folder, root, 'actions.ndjson')}', format = 'newline_delimited')) to '${to}' (format parquet)`)
  }
  const sidecars = [`${randomUUID()}.parquet`, `${randomUUID()}.parquet`]
  await toParquet(adds.slice(0, 2), join(log, '_sidecars', sidecars[0] ?? ''))
  await toParquet(adds.slice(2), join(log, '_sidecars', sidecars[1] ?? ''))
  const top = [
    '{"checkpointMetadata":{"version":3}}',
    ...of('protocol'),
    ...of('metaData'),
    ...of('txn').slice(-1),
    ...sidecars.map((path, i) =>
      JSON.stringify({ sidecar: { path: i === 0 ? path : `file:/elsewhere/_delta_log/_sidecars/${path}`, sizeInBytes: 1, modificationTime: 1 } }),
    ),
  ]
  const checkpoint = `${String(3).padStart(20, '0')}.checkpoint.${randomUUID()}.${format}`
  if (format === 'json') await lake.objects.put(`${root}/_delta_log/${checkpoint}`, new TextEncoder().encode(top.join('\n')))
  else await toParquet(top, join(log, checkpoint))
  if (commits === 'gone') for (let version = 0; version <= 3; version++) await lake.objects.delete(commitFile(root, version))
  return { root, checkpoint: `${root}/_delta_log/${checkpoint}`, sidecars: sidecars.map((name) => `${root}/_delta_log/_sidecars/${name}`) }
}

const ROWS = [
  ['1', 'p 1'],
  ['2', 'p 2'],
  ['3', 'p 3'],
]

describe('a checkpoint of the second specification', () => {
  test.each(['json', 'parquet'] as const)('in %s is read with its sidecars, and commits follow it', async (format) => {
    const { root } = await tableOf(format, 'gone')
    const table = lake.table(root)
    const snapshot = await table.snapshot()
    expect(snapshot).toMatchObject({ version: 3, fileCount: 3, rowCount: 3 })
    expect(snapshot?.txnVersion('app')).toBe(3)
    expect(await lake.content(table)).toEqual(ROWS)
    await lake.objects.putIfAbsent(commitFile(root, 4), lines({ txn: { appId: 'app', version: 4 } }))
    expect((await table.snapshot())?.txnVersion('app')).toBe(4)
  })
  test.each(['json', 'parquet'] as const)('in %s that is damaged, or lacks a sidecar, is done without while the commits are there', async (format) => {
    const cut = await tableOf(format, 'kept')
    await lake.objects.put(cut.checkpoint, new TextEncoder().encode('{"protocol":'))
    const lacking = await tableOf(format, 'kept')
    await lake.objects.delete(lacking.sidecars[1] ?? '')
    for (const { root } of [cut, lacking]) expect(await lake.content(lake.table(root))).toEqual(ROWS)
  })
  test('that is damaged is an error when the commits are gone', async () => {
    const { root, sidecars } = await tableOf('json', 'gone')
    await lake.objects.delete(sidecars[1] ?? '')
    await expect(lake.table(root).snapshot()).rejects.toMatchObject({ code: 'lake.checkpoint_damaged' })
  })
})
