/** What a log carries beside its commits, and how it is kept short: checksums, checkpoints, times inside of commits, and what has expired. */
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { durationOf } from '../../../src/lake/delta/intervals.ts'
import { openTable } from '../../../src/lake/delta/index.ts'
import { checkpointFile, checksumFile, commitFile, field, lines, openLake, text, untext } from '../../helpers/delta.ts'

const lake = await openLake()
const FIELDS = [field('id', 'long')]
const DAY = 86_400_000
let made = 0
const fresh = (): string => `upkeep/t${++made}`

/** Gives a file of the log another age. */
async function age(path: string, modified: number): Promise<void> {
  await utimes(join(lake.folder, path), modified / 1000, modified / 1000)
}

async function tableWith(root: string, commits: number, configuration: Record<string, string> = {}): Promise<void> {
  const table = lake.table(root)
  await table.create({ fields: FIELDS, configuration })
  for (let i = 1; i < commits; i++) await table.append(lake.select(`select ${i} as id`), { txn: { appId: 'app', version: i } })
}

const logOf = async (root: string): Promise<string[]> => (await lake.paths(`${root}/_delta_log/0`)).map((path) => path.slice(`${root}/_delta_log/`.length))

describe('a checksum', () => {
  test('beside each commit says what the table amounts to', async () => {
    const root = fresh()
    await tableWith(root, 3)
    const snapshot = await lake.table(root).snapshot()
    expect(JSON.parse(untext(await lake.objects.get(checksumFile(root, 2))))).toMatchObject({
      tableSizeBytes: snapshot?.bytes,
      numFiles: 2,
      numMetadata: 1,
      numProtocol: 1,
      setTransactions: [{ appId: 'app', version: 2 }],
      domainMetadata: [],
      metadata: { id: snapshot?.metadata.id, schemaString: JSON.stringify({ type: 'struct', fields: FIELDS }), format: { provider: 'parquet' } },
      protocol: snapshot?.protocol,
    })
  })
  test('that is there already stays, and one that is damaged or gone is done without', async () => {
    const root = fresh()
    await tableWith(root, 2)
    await lake.objects.put(checksumFile(root, 2), text('{'))
    await lake.table(root).append(lake.select('select 2 as id'))
    expect(untext(await lake.objects.get(checksumFile(root, 2)))).toBe('{')
    expect(await lake.content(lake.table(root), 'sum(id)')).toEqual([['3']])
  })
})

describe('what follows a commit', () => {
  test('is not waited for, is done one piece at a time, and is over when the engine is closed', async () => {
    const root = fresh()
    const table = openTable(lake.place, root)
    await table.create({ fields: FIELDS })
    for (let i = 1; i <= 25; i++) await table.append(lake.select(`select ${i} as id`))
    await lake.place.duck.idle()
    const checkpoints = (await logOf(root)).filter((name) => name.includes('.checkpoint.'))
    expect(checkpoints.length).toBeGreaterThanOrEqual(1)
    expect(checkpoints.length).toBeLessThanOrEqual(3)
    expect(await lake.content(lake.table(root), 'sum(id)')).toEqual([['325']])
  })
})

describe('times inside of commits', () => {
  const ON = { 'delta.enableInCommitTimestamps': 'true' }
  const infoOf = async (root: string, version: number): Promise<Record<string, unknown>> =>
    (JSON.parse(untext(await lake.objects.get(commitFile(root, version))).split('\n')[0] ?? '') as { commitInfo: Record<string, unknown> }).commitInfo

  test('lead each commit and increase, whatever the clock does; travelling by time goes by them', async () => {
    const root = fresh()
    const ahead = Date.now() + 3_600_000
    await tableWith(root, 12, ON)
    const own = await Promise.all(Array.from({ length: 12 }, async (_, version) => Number((await infoOf(root, version)).inCommitTimestamp)))
    expect(own).toEqual([...new Set(own)].sort((a, b) => a - b))
    expect(Object.keys(await infoOf(root, 3))[0]).toBe('inCommitTimestamp')
    // A log that was copied has other times of its files.
    for (let version = 0; version < 12; version++) await age(commitFile(root, version), ahead - version * 1000)
    for (const table of [lake.table(root), lake.large(root)]) {
      expect((await table.snapshot())?.timestamp).toBe(own[11])
      for (const version of [0, 4, 11]) {
        expect((await table.snapshot({ timestamp: own[version] ?? 0 }))?.version).toBe(version)
        expect((await table.snapshot({ version }))?.timestamp).toBe(own[version])
      }
      await expect(table.snapshot({ timestamp: (own[0] ?? 0) - 1 })).rejects.toMatchObject({ code: 'lake.version_missing' })
      expect((await table.history(50)).map(({ timestamp }) => timestamp).reverse()).toEqual(own)
    }
    expect(JSON.parse(untext(await lake.objects.get(checksumFile(root, 11))))).toMatchObject({ inCommitTimestampOpt: own[11] })
  })
  test('are later than the commit before, also when that one has a time to come', async () => {
    const root = fresh()
    await tableWith(root, 2, ON)
    const later = Date.now() + 600_000
    await lake.objects.putIfAbsent(commitFile(root, 2), lines({ commitInfo: { inCommitTimestamp: later, operation: 'WRITE' } }))
    await lake.table(root).append(lake.select('select 3 as id'))
    expect((await infoOf(root, 3)).inCommitTimestamp).toBe(later + 1)
  })
  test('that were switched on later count from there on; before, the times of the files do', async () => {
    const root = fresh()
    await tableWith(root, 3)
    const start = Date.now() - 10 * DAY
    for (let version = 0; version < 3; version++) await age(commitFile(root, version), start + version * 1000)
    await lake.table(root).alter({ kind: 'setProperties', properties: ON })
    const since = Number((await infoOf(root, 3)).inCommitTimestamp)
    const table = lake.table(root)
    expect((await table.snapshot())?.metadata.configuration).toMatchObject({
      'delta.inCommitTimestampEnablementVersion': '3',
      'delta.inCommitTimestampEnablementTimestamp': String(since),
    })
    expect((await table.snapshot({ timestamp: start + 1500 }))?.version).toBe(1)
    expect((await table.snapshot({ timestamp: since - 1 }))?.version).toBe(2)
    expect((await table.snapshot({ timestamp: since }))?.version).toBe(3)
    expect((await table.history()).map(({ timestamp }) => timestamp)).toEqual([since, start + 2000, start + 1000, start])
  })
})

describe('cleaning the log', () => {
  /** Versions of which each is a day younger than the one before, the newest of today. */
  async function daily(root: string, commits: number, configuration: Record<string, string> = {}): Promise<void> {
    await tableWith(root, commits, { 'delta.logRetentionDuration': 'interval 5 days', ...configuration })
    const midnight = Math.floor(Date.now() / DAY) * DAY
    for (const name of await logOf(root)) await age(`${root}/_delta_log/${name}`, midnight - (commits - 1 - Number(name.slice(0, 20))) * DAY)
  }
  const versionsOf = async (root: string): Promise<number[]> =>
    (await logOf(root)).filter((name) => /^\d+\.json$/.test(name)).map((name) => Number(name.slice(0, 20)))

  test('removes what only expired versions need, from the last checkpoint before the cut-off on all stays', async () => {
    const root = fresh()
    await daily(root, 30, { 'delta.checkpointInterval': '4' })
    const state = lake.table(root)
    await state.compactLog({ from: 1, to: 3 })
    await state.compactLog({ from: 24, to: 26 })
    await state.compactLog({ from: 25, to: 26 })
    for (let i = 30; i <= 32; i++) await state.append(lake.select(`select ${i} as id`))
    // Five days before today is version 24 of the thirty, which has a checkpoint.
    expect(await versionsOf(root)).toEqual([24, 25, 26, 27, 28, 29, 30, 31, 32])
    expect((await logOf(root)).filter((name) => name.includes('.checkpoint.')).map((name) => Number(name.slice(0, 20)))).toEqual([24, 28, 32])
    expect((await logOf(root)).filter((name) => name.endsWith('.crc')).map((name) => Number(name.slice(0, 20)))[0]).toBe(24)
    expect((await logOf(root)).filter((name) => name.includes('compacted'))).toEqual(['00000000000000000025.00000000000000000026.compacted.json'])
    for (const version of [24, 26, 31, 32]) expect((await lake.table(root).snapshot({ version }))?.rowCount).toBe(version)
    await expect(lake.table(root).snapshot({ version: 23 })).rejects.toMatchObject({
      code: 'lake.version_missing',
      hint: 'The oldest version that can be read is 24.',
    })
    // A handle that was open all along goes on.
    expect(await lake.content(state, 'count(*)')).toEqual([['32']])
  })
  test('keeps everything when the table says so, and what a pinned version needs', async () => {
    const kept = fresh()
    await daily(kept, 30, { 'delta.checkpointInterval': '4', 'delta.enableExpiredLogCleanup': 'false' })
    const pinned = fresh()
    await daily(pinned, 30, { 'delta.checkpointInterval': '4' })
    await lake.table(pinned).pin({ id: 'mine', version: 10, reason: 'reader' })
    for (const root of [kept, pinned]) for (let i = 30; i <= 32; i++) await lake.table(root).append(lake.select(`select ${i} as id`))
    expect((await versionsOf(kept))[0]).toBe(0)
    expect((await versionsOf(pinned))[0]).toBe(8)
    expect((await lake.table(pinned).snapshot({ version: 10 }))?.rowCount).toBe(10)
  })
  test('leaves a log alone that has no checkpoint before the cut-off', async () => {
    const root = fresh()
    await daily(root, 30, { 'delta.checkpointInterval': '29' })
    await lake.table(root).append(lake.select('select 30 as id'))
    expect((await versionsOf(root))[0]).toBe(0)
  })
  test('an application that was silent for longer than the table remembers is left out of checkpoints', async () => {
    const root = fresh()
    await tableWith(root, 2, { 'delta.setTransactionRetentionDuration': 'interval 1 day' })
    const old = { txn: { appId: 'old', version: 7, lastUpdated: Date.now() - 2 * DAY } }
    await lake.objects.putIfAbsent(commitFile(root, 2), lines({ commitInfo: {} }, old, { txn: { appId: 'undated', version: 3 } }))
    const table = lake.table(root)
    expect((await table.snapshot())?.txnVersion('old')).toBe(7)
    for (let i = 3; i <= 10; i++) await table.append(lake.select(`select ${i} as id`))
    expect(await lake.objects.head(checkpointFile(root, 10))).not.toBeNull()
    const opened = await lake.table(root).snapshot()
    expect(['app', 'old', 'undated'].map((app) => opened?.txnVersion(app))).toEqual([1, null, 3])
  })
  test('durations are read as Spark writes them', () => {
    expect(['interval 30 days', '2 weeks', 'INTERVAL 1 day 12 hours', 'interval 90 seconds', 'interval 1 month', 'soon', ''].map(durationOf)).toEqual([
      30 * DAY,
      14 * DAY,
      1.5 * DAY,
      90_000,
      null,
      null,
      null,
    ])
  })
})
