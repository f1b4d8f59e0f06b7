/** A snapshot is what replaying the log by the book gives, whichever way it was reached. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Snapshot } from '../../../src/lake/delta/index.ts'
import { field, lines, commitFile, openLake } from '../../helpers/delta.ts'

const lake = await openLake()

interface Step {
  readonly adds: readonly { readonly file: number; readonly size: number; readonly rows: number | null; readonly dataChange: boolean }[]
  readonly removes: readonly number[]
  readonly txns: readonly { readonly app: number; readonly version: number }[]
}

const step: fc.Arbitrary<Step> = fc.record({
  adds: fc.uniqueArray(fc.record({ file: fc.nat(12), size: fc.nat(1000), rows: fc.option(fc.nat(50)), dataChange: fc.boolean() }), {
    selector: (add) => add.file,
    maxLength: 4,
  }),
  removes: fc.uniqueArray(fc.nat(12), { maxLength: 3 }),
  txns: fc.uniqueArray(fc.record({ app: fc.nat(3), version: fc.nat(100) }), { selector: (txn) => txn.app, maxLength: 2 }),
})

interface Model {
  readonly files: Map<string, { size: number; rows: number | null }>
  readonly txns: Map<string, number>
}

const name = (file: number): string => `part ${file} é.parquet`

/** The book: removes and adds of one commit never name the same file. */
function actionsOf({ adds, removes, txns }: Step): unknown[] {
  const added = new Set(adds.map((add) => add.file))
  return [
    ...txns.map(({ app, version }) => ({ txn: { appId: `app${app}`, version } })),
    ...removes
      .filter((file) => !added.has(file))
      .map((file) => ({ remove: { path: encodeURIComponent(name(file)), dataChange: true, deletionTimestamp: Date.now() } })),
    ...adds.map(({ file, size, rows, dataChange }) => ({
      add: {
        path: encodeURIComponent(name(file)),
        partitionValues: {},
        size,
        modificationTime: 1,
        dataChange,
        ...(rows === null ? {} : { stats: JSON.stringify({ numRecords: rows }) }),
      },
    })),
    { commitInfo: { operation: 'TEST' } },
  ]
}

function modelAfter(model: Model, { adds, removes, txns }: Step): Model {
  const files = new Map(model.files)
  for (const file of removes) files.delete(name(file))
  for (const { file, size, rows } of adds) files.set(name(file), { size, rows })
  return { files, txns: new Map([...model.txns, ...txns.map(({ app, version }): [string, number] => [`app${app}`, version])]) }
}

function expectSame(snapshot: Snapshot | null, version: number, { files, txns }: Model): void {
  const rows = [...files.values()].map((file) => file.rows)
  expect(snapshot).toMatchObject({
    version,
    fileCount: files.size,
    bytes: [...files.values()].reduce((sum, file) => sum + file.size, 0),
    rowCount: rows.includes(null) ? null : rows.reduce<number>((sum, count) => sum + (count ?? 0), 0),
  })
  for (let app = 0; app <= 3; app++) expect(snapshot?.txnVersion(`app${app}`)).toBe(txns.get(`app${app}`) ?? null)
}

const HEADER = [
  { protocol: { minReaderVersion: 1, minWriterVersion: 2 } },
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

describe('replay', () => {
  test('any valid log gives the model, by refresh, by opening anew, at every version, and through a checkpoint', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), fc.nat(11), async (steps, openedAfter) => {
        const root = `bronze/log${++run}`
        const followed = lake.table(root)
        let model: Model = { files: new Map(), txns: new Map() }
        await lake.objects.putIfAbsent(commitFile(root, 0), lines(...HEADER))
        const models = [model]
        for (const [i, one] of steps.entries()) {
          await lake.objects.putIfAbsent(commitFile(root, i + 1), lines(...actionsOf(one)))
          models.push((model = modelAfter(model, one)))
          if (i >= openedAfter) expectSame(await followed.snapshot(), i + 1, model)
        }
        const opened = lake.table(root)
        expectSame(await opened.snapshot(), steps.length, model)
        const asked = openedAfter % models.length
        expectSame(await opened.snapshot({ version: asked }), asked, models[asked] ?? model)
        // The next multiple of ten gets a checkpoint; opening then starts there, with the commits before it gone.
        for (let version = steps.length + 1; version <= 20; version++)
          await opened.append(lake.select('select 1 as id where false'), { txn: { appId: 'filler', version } })
        for (let version = 0; version < 20; version++) await lake.objects.delete(commitFile(root, version))
        expectSame(await lake.table(root).snapshot(), 20, model)
      }),
      { numRuns: 25 },
    )
  })
  test('a checkpoint keeps the tombstones of removed files, so that a cleaner does not take them for rubbish nor forget them', async () => {
    const table = lake.table('bronze/tombstones')
    await table.create({ fields: [field('id', 'long'), field('p', 'string')], partitionBy: ['p'] })
    for (let i = 0; i < 9; i++) await table.overwrite(lake.select(`select ${i} as id, 'x y' as p`))
    await table.append(lake.select('select 10 as id, null as p'))
    const file = `${lake.folder}/bronze/tombstones/_delta_log/00000000000000000010.checkpoint.parquet`
    expect(
      await lake.rows(
        `select count(add), count(remove), count(protocol), count("metaData"), min(remove.size) > 0, any_value(remove.partitionValues['p']), count(*) filter (where add.partitionValues['p'] is null and add.path is not null) from '${file}'`,
      ),
    ).toEqual([['2', '8', '1', '1', true, 'x y', '1']])
  })
})
