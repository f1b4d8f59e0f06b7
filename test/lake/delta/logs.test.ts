/** A state is what replaying its log by the book gives: through checkpoints of every kind, compacted commits, and files left in a checkpoint. */
import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fileKey } from '../../../src/lake/delta/files.ts'
import { openHead } from '../../../src/lake/delta/head.ts'
import type { TableState } from '../../../src/lake/delta/replay.ts'
import { commitFile, field, lines, openLake, text } from '../../helpers/delta.ts'

const lake = await openLake()

const FILES = 6
const KINDS = ['classic', 'parts', 'json', 'parquet'] as const

interface File {
  readonly path: string
  readonly size: number
  readonly rows: number | null
  readonly vector: number | null
}

/** What a commit does to a file; what makes no sense for the file as it is then does nothing. */
const change = fc.record({
  file: fc.nat(FILES - 1),
  what: fc.constantFrom('add', 'add', 'remove', 'delete rows', 'restate'),
  size: fc.nat(1000),
  rows: fc.option(fc.integer({ min: 20, max: 50 })),
})
const commit = fc.record({
  changes: fc.uniqueArray(change, { selector: ({ file }) => file, maxLength: 4 }),
  txn: fc.option(fc.record({ app: fc.nat(2), version: fc.nat(99) })),
  domain: fc.option(fc.record({ name: fc.constantFrom('a', 'b'), removed: fc.boolean() })),
})
type Commit = typeof commit extends fc.Arbitrary<infer T> ? T : never

interface Model {
  readonly files: ReadonlyMap<string, File>
  readonly gone: ReadonlySet<string>
  readonly txns: ReadonlyMap<string, number>
  readonly domains: ReadonlyMap<string, string>
}

const EMPTY: Model = { files: new Map(), gone: new Set(), txns: new Map(), domains: new Map() }

/** Names as writers spell them: plain, escaped in ASCII, escaped beyond it, and escaped badly. */
const nameOf = (file: number): string => ['plain.parquet', 'a%20b.parquet', 'S%C3%A3o.parquet', 'p=1%/bad.parquet'][file % 4]?.replace('.', `${file}.`) ?? ''
const vectorOf = (n: number): object => ({ storageType: 'i', pathOrInlineDv: `v${n}`, sizeInBytes: 10, cardinality: n })
const keyOf = ({ path, vector }: { readonly path: string; readonly vector: number | null }): string =>
  fileKey({
    path,
    deletionVector: vector === null ? null : { storageType: 'i', pathOrInlineDv: `v${vector}`, offset: null, sizeInBytes: 10, cardinality: vector },
  })

const addOf = ({ path, size, rows, vector }: File, dataChange: boolean): object => ({
  add: {
    path,
    partitionValues: {},
    size,
    modificationTime: 7,
    dataChange,
    ...(rows === null ? {} : { stats: JSON.stringify({ numRecords: rows, minValues: { id: 1 }, nullCount: { id: 0 } }) }),
    ...(vector === null ? {} : { deletionVector: vectorOf(vector) }),
  },
})
const removeOf = (path: string, vector: number | null): object => ({
  remove: {
    path,
    deletionTimestamp: Date.now(),
    dataChange: true,
    partitionValues: {},
    size: 1,
    ...(vector === null ? {} : { deletionVector: vectorOf(vector) }),
  },
})

function applied(model: Model, one: Commit): { readonly model: Model; readonly actions: readonly object[] } {
  const files = new Map(model.files)
  const gone = new Set(model.gone)
  const txns = new Map(model.txns)
  const domains = new Map(model.domains)
  const actions: object[] = []
  const take = (path: string): void => {
    const { vector } = files.get(path) ?? { vector: null }
    actions.push(removeOf(path, vector))
    gone.add(keyOf({ path, vector }))
    files.delete(path)
  }
  const put = (file: File, dataChange: boolean): void => {
    actions.push(addOf(file, dataChange))
    gone.delete(keyOf(file))
    files.set(file.path, file)
  }
  for (const { file, what, size, rows } of one.changes) {
    const path = nameOf(file)
    const before = files.get(path)
    if (what === 'add' && !before) put({ path, size, rows, vector: null }, true)
    if (!before) continue
    if (what === 'remove') take(path)
    if (what === 'restate') put({ ...before, rows }, false)
    if (what === 'delete rows') {
      take(path)
      put({ ...before, vector: (before.vector ?? 0) + 1 }, true)
    }
  }
  if (one.txn) {
    actions.push({ txn: { appId: `app${one.txn.app}`, version: one.txn.version } })
    txns.set(`app${one.txn.app}`, one.txn.version)
  }
  if (one.domain) {
    const configuration = JSON.stringify({ at: actions.length })
    actions.push({ domainMetadata: { domain: one.domain.name, configuration, removed: one.domain.removed } })
    if (one.domain.removed) domains.delete(one.domain.name)
    else domains.set(one.domain.name, configuration)
  }
  return { model: { files, gone, txns, domains }, actions }
}

const HEADER = [
  {
    protocol: {
      minReaderVersion: 3,
      minWriterVersion: 7,
      readerFeatures: ['deletionVectors', 'v2Checkpoint'],
      writerFeatures: ['deletionVectors', 'v2Checkpoint', 'domainMetadata'],
    },
  },
  {
    metaData: {
      id: 'x',
      format: { provider: 'parquet', options: {} },
      schemaString: JSON.stringify({ type: 'struct', fields: [field('id', 'long')] }),
      partitionColumns: [],
      configuration: {},
    },
  },
]

/** A checkpoint as other writers make them. */
async function checkpoint(root: string, version: number, model: Model, kind: (typeof KINDS)[number]): Promise<void> {
  const log = join(lake.folder, root, '_delta_log')
  const name = `${String(version).padStart(20, '0')}.checkpoint`
  const rest = [
    ...HEADER,
    ...[...model.txns].map(([appId, at]) => ({ txn: { appId, version: at } })),
    ...[...model.domains].map(([domain, configuration]) => ({ domainMetadata: { domain, configuration, removed: false } })),
  ]
  const files = [...model.files.values()].map((file) => addOf(file, false))
  const gone = [...model.gone].map((key) => {
    const [path = '', vector] = key.split('\0')
    return removeOf(path.includes('/bad') || !/[ã ]/.test(path) ? path : encodeURIComponent(path), vector === undefined ? null : Number(vector.slice(2)))
  })
  const all = [...files, ...gone]
  const toParquet = async (actions: readonly object[], to: string): Promise<void> => {
    await lake.objects.put(`${root}/actions.ndjson`, lines(...actions))
    await lake.rows(
      `copy (from read_json('${join(lake.folder, root, 'actions.ndjson')}', format = 'newline_delimited', sample_size = -1, map_inference_threshold = -1)) to '${to}' (format parquet)`,
    )
  }
  if (kind === 'classic') return toParquet([...rest, ...all], join(log, `${name}.parquet`))
  const half = Math.ceil(all.length / 2)
  if (kind === 'parts') {
    await toParquet([...rest, ...all.slice(0, half)], join(log, `${name}.0000000001.0000000002.parquet`))
    return toParquet(all.length > half ? all.slice(half) : rest.slice(0, 1), join(log, `${name}.0000000002.0000000002.parquet`))
  }
  await mkdir(join(log, '_sidecars'), { recursive: true })
  const sidecars = all.length === 0 ? [] : [all.slice(0, half), all.slice(half)].filter((part) => part.length > 0)
  const named: object[] = []
  for (const part of sidecars) {
    const path = `${randomUUID()}.parquet`
    await toParquet(part, join(log, '_sidecars', path))
    named.push({ sidecar: { path, sizeInBytes: 1, modificationTime: 1 } })
  }
  const top = [{ checkpointMetadata: { version } }, ...rest, ...named]
  if (kind === 'json') await lake.objects.put(`${root}/_delta_log/${name}.${randomUUID()}.json`, lines(...top))
  else await toParquet(top, join(log, `${name}.${randomUUID()}.parquet`))
}

async function expectState(state: TableState | null, version: number, model: Model): Promise<void> {
  if (state === null) return expect.unreachable('there is a table')
  const files = [...model.files.values()]
  const known = files.map(({ rows, vector }) => (rows === null ? null : rows - (vector ?? 0)))
  expect(state).toMatchObject({
    version,
    fileCount: files.length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    filesWithoutRows: known.filter((rows) => rows === null).length,
    knownRows: known.reduce<number>((sum, rows) => sum + (rows ?? 0), 0),
  })
  const rows = state.files.at(version)
  const adds = await state.files.adds(rows)
  expect(adds.map(fileKey).sort()).toEqual(files.map(keyOf).sort())
  for (const [i, add] of adds.entries()) {
    const file = model.files.get(add.path)
    expect(add).toMatchObject({ size: file?.size, modificationTime: 7, partitionValues: {} })
    expect(add.stats === null).toBe(file?.rows === null)
    expect(state.files.sizeAt(rows[i] ?? -1)).toBe(file?.size)
    expect(state.files.hasVector(rows[i] ?? -1)).toBe(file?.vector !== null)
  }
  expect((await state.files.adds(state.files.tombstones(version, 0))).map(fileKey).sort()).toEqual([...model.gone].sort())
  expect(new Map([...state.transactions].map(([app, txn]) => [app, txn.version]))).toEqual(model.txns)
  expect(new Map([...state.domains].map(([name, domain]) => [name, domain.configuration]))).toEqual(model.domains)
}

test('any valid log gives the state of its naive replay, whichever way it was reached', { timeout: 120_000 }, async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(commit, { minLength: 2, maxLength: 9 }),
      fc.array(fc.record({ at: fc.integer({ min: 1, max: 6 }), kind: fc.constantFrom(...KINDS) }), { maxLength: 2 }),
      fc.option(fc.record({ from: fc.nat(6), length: fc.integer({ min: 1, max: 6 }) })),
      fc.nat(9),
      async (commits, checkpoints, compaction, openedAt) => {
        const root = `logs/t${++run}`
        const models = [EMPTY]
        await lake.objects.putIfAbsent(commitFile(root, 0), lines(...HEADER))
        const followers = [openHead(lake.place, root), openHead({ ...lake.place, filesInMemory: -1 }, root)]
        for (const [i, one] of commits.entries()) {
          const { model, actions } = applied(models.at(-1) ?? EMPTY, one)
          models.push(model)
          await lake.objects.putIfAbsent(commitFile(root, i + 1), lines({ commitInfo: { operation: 'TEST' } }, ...actions))
          for (const point of checkpoints) if (point.at === i + 1) await checkpoint(root, i + 1, model, point.kind)
          if (i + 1 >= openedAt % commits.length) for (const head of followers) await expectState(await head.refresh(), i + 1, model)
        }
        const newest = commits.length
        if (compaction && compaction.from < newest)
          await lake.table(root).compactLog({ from: compaction.from, to: Math.min(newest, compaction.from + compaction.length) })
        const anew = [openHead(lake.place, root), openHead({ ...lake.place, filesInMemory: -1 }, root)]
        for (const head of [...followers, ...anew]) {
          for (const version of [newest, openedAt % (newest + 1), 0]) {
            await head.refresh()
            await expectState(await head.at(version), version, models[version] ?? EMPTY)
          }
        }
      },
    ),
    { numRuns: 80 },
  )
})

test('a checkpoint that was replaced by another is not read by the numbers of its rows', async () => {
  const root = 'logs/replaced'
  await lake.objects.putIfAbsent(commitFile(root, 0), lines(...HEADER))
  const one: File = { path: 'one.parquet', size: 1, rows: 1, vector: null }
  const two: File = { path: 'two.parquet', size: 2, rows: 2, vector: null }
  const model = { ...EMPTY, files: new Map([one, two].map((file) => [file.path, file])) }
  await lake.objects.putIfAbsent(commitFile(root, 1), lines(addOf(one, true), addOf(two, true)))
  await checkpoint(root, 1, model, 'classic')
  const state = await openHead({ ...lake.place, filesInMemory: -1 }, root).refresh()
  await expectState(state, 1, model)
  await new Promise((done) => setTimeout(done, 20))
  await checkpoint(root, 1, { ...model, files: new Map([two, one].map((file) => [file.path, file])) }, 'classic')
  await expect(state?.files.adds([0])).rejects.toMatchObject({ code: 'lake.snapshot_expired', kind: 'missing' })
})

test('a compacted file that is damaged is done without', async () => {
  const root = 'logs/compacted'
  const table = lake.table(root)
  await table.create({ fields: [field('id', 'long')] })
  for (let i = 1; i <= 6; i++) await table.append(lake.select(`select ${i} as id`))
  expect(await table.compactLog()).toEqual({ from: 0, to: 6 })
  const [path = ''] = (await lake.paths(`${root}/_delta_log/`)).filter((one) => one.includes('compacted'))
  await lake.objects.delete(commitFile(root, 3))
  expect(await lake.content(lake.table(root), 'sum(id)')).toEqual([['21']])
  await lake.objects.put(path, text('{"add":'))
  await expect(lake.table(root).snapshot()).rejects.toMatchObject({ code: 'lake.log_gap' })
  expect(
    await lake
      .table(root)
      .compactLog({ from: 4, to: 4 })
      .catch((error: unknown) => error),
  ).toMatchObject({ code: 'lake.log_gap' })
})
