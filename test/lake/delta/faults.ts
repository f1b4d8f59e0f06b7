/** Every command of a table, each with what it finds. */
import { utimes } from 'node:fs/promises'
import type { CommitOptions, CreateOptions, DeltaField, DeltaTable, DeltaType, MergeByCondition, Relation } from '../../../src/lake/delta/index.ts'
import { openTable } from '../../../src/lake/delta/index.ts'
import type { Command, Site } from '../../helpers/kills/command.ts'

const ROOT = 'silver/t'
const field = (name: string, type: DeltaType, nullable: boolean = true): DeltaField => ({ name, type, nullable, metadata: {} })
const FIELDS = [field('id', 'long'), field('part', 'string'), field('value', 'double')]
const VECTORS = { 'delta.enableDeletionVectors': 'true' }
const FEED = { 'delta.enableChangeDataFeed': 'true' }
const MAPPED = { 'delta.columnMapping.mode': 'name' }
const TXN: CommitOptions = { txn: { appId: 'app', version: 1 } }
const DAY = 86_400_000

async function selecting<T>({ duck }: Site, sql: string, work: (input: Relation) => Promise<T>): Promise<T> {
  const connection = await duck.connect()
  try {
    return await work({ connection, sql })
  } finally {
    connection.closeSync()
  }
}

/** Rows from one id to before another; `part` is 'even' or 'odd'. */
const rows = (from: number, to: number, value: string = 'range'): string =>
  `select range as id, if(range % 2 = 0, 'even', 'odd') as part, (${value})::double as value from range(${from}, ${to})`

/** A table of three files (of six when it is partitioned), ids 0 to 29. */
async function filled(site: Site, options: Partial<CreateOptions> = {}, root: string = ROOT): Promise<DeltaTable> {
  const table = openTable(site, root)
  await table.create({ fields: FIELDS, ...options })
  for (let i = 0; i < 3; i++) await selecting(site, rows(10 * i, 10 * i + 10), (input) => table.append(input))
  return table
}

/** A command on a filled table. */
function on(name: string, options: Partial<CreateOptions>, run: (table: DeltaTable, site: Site) => Promise<unknown>, more: Partial<Command> = {}): Command {
  return { name, tables: [ROOT], prepare: (site) => filled(site, options), run: (site) => run(openTable(site, ROOT), site), ...more }
}

const appends =
  (commit: CommitOptions = {}, sql: string = rows(30, 40)) =>
  (table: DeltaTable, site: Site): Promise<unknown> =>
    selecting(site, sql, (input) => table.append(input, commit))

/** Each command that changes rows: on a plain table, with deletion vectors, with a feed of changes, and with both. */
const KINDS: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['', {}],
  [' with vectors', VECTORS],
  [' with a feed', FEED],
  [' with vectors and a feed', { ...VECTORS, ...FEED }],
]

const FULL_MERGE: MergeByCondition = {
  on: 't.id = s.id',
  whenMatched: [{ and: 's.value < 0', delete: true }, { update: 'all' }],
  whenNotMatched: [{ insert: 'all' }],
  whenNotMatchedBySource: [{ and: "t.part = 'odd' and t.id < 3", delete: true }],
}

const ROW_COMMANDS: readonly Command[] = KINDS.flatMap(([kind, configuration]) => [
  on(`merge by keys${kind}`, { configuration }, (table, site) =>
    selecting(site, rows(25, 35, 'range * 100'), (input) => table.merge(input, { keys: ['id'], ...TXN })),
  ),
  on(`merge by a condition${kind}`, { configuration }, (table, site) =>
    selecting(site, rows(25, 35, 'if(range = 27, -1, range * 100)'), (input) => table.merge(input, { ...FULL_MERGE, ...TXN })),
  ),
  on(`delete${kind}`, { configuration }, (table) => table.delete('id % 3 = 0 or id >= 20')),
  on(`update${kind}`, { configuration }, (table) => table.update({ set: { value: '-abs(value)' }, where: 'id between 5 and 14' })),
  on(`overwrite where${kind}`, { configuration }, (table, site) =>
    selecting(site, rows(5, 8, '-1'), (input) => table.overwrite(input, { where: 'id between 5 and 14' })),
  ),
])

const ALTERATIONS: readonly Command[] = [
  on('add columns', {}, (table) => table.alter({ kind: 'addColumns', fields: [field('note', 'string')] }), { refuses: 'lake.bad_schema' }),
  on('rename a column', { configuration: MAPPED }, (table) => table.alter({ kind: 'renameColumn', column: 'value', to: 'amount' }), {
    refuses: 'lake.column_missing',
  }),
  on('drop a column', { configuration: MAPPED }, (table) => table.alter({ kind: 'dropColumn', column: 'value' }), { refuses: 'lake.column_missing' }),
  on('enable column mapping', {}, (table) => table.alter({ kind: 'enableColumnMapping' })),
  on('take nulls', { fields: FIELDS.map((one) => ({ ...one, nullable: false })) }, (table) => table.alter({ kind: 'setNullable', column: 'value' })),
  on(
    'change a type',
    { fields: [field('id', 'integer'), ...FIELDS.slice(1)], configuration: { 'delta.enableTypeWidening': 'true' } },
    (table) => table.alter({ kind: 'changeType', column: 'id', type: 'long' }),
    {
      async prepare(site) {
        const table = openTable(site, ROOT)
        await table.create({ fields: [field('id', 'integer'), ...FIELDS.slice(1)], configuration: { 'delta.enableTypeWidening': 'true' } })
        await selecting(site, `select * replace (id::integer as id) from (${rows(0, 10)})`, (input) => table.append(input))
      },
    },
  ),
  on('set a default', { configuration: { 'delta.feature.allowColumnDefaults': 'supported' } }, (table) =>
    table.alter({ kind: 'setDefault', column: 'value', expression: '0.0' }),
  ),
  on('comment a column', {}, (table) => table.alter({ kind: 'comment', column: 'value', text: 'a value' })),
  on('add a constraint', {}, (table) => table.alter({ kind: 'addConstraint', name: 'known', expression: 'id >= 0' }), { refuses: 'lake.constraint_exists' }),
  on('drop a constraint', { constraints: { known: 'id >= 0' } }, (table) => table.alter({ kind: 'dropConstraint', name: 'known' }), {
    refuses: 'lake.constraint_missing',
  }),
  on('set properties', {}, (table) => table.alter({ kind: 'setProperties', properties: { owner: 'us' } })),
  on('unset properties', { configuration: { owner: 'us' } }, (table) => table.alter({ kind: 'unsetProperties', keys: ['owner'] })),
  on('upgrade to vectors', {}, (table) => table.alter({ kind: 'setProperties', properties: VECTORS })),
  on('upgrade to times in commits', {}, (table) => table.alter({ kind: 'setProperties', properties: { 'delta.enableInCommitTimestamps': 'true' } })),
  on('describe', {}, (table) => table.alter({ kind: 'describe', text: 'rows' })),
  on('evolve', {}, (table) => table.evolve([...FIELDS, field('note', 'string')])),
]

/** Files in a folder of partitions, and no table. */
async function parquetFiles(site: Site): Promise<void> {
  for (const [day, from] of [
    ['2024-01-01', 0],
    ['2024-01-02', 10],
  ] as const) {
    const staged = await site.objects.stage(`${ROOT}/day=${day}/some.parquet`)
    await selecting(site, rows(from, from + 10), ({ connection, sql }) => connection.run(`copy (${sql}) to '${staged.file}' (format parquet)`))
    await staged.publish()
  }
}

/** A table with files that no version has, with one that is only in old versions, and with rows taken out by vectors. */
async function untidy(site: Site): Promise<void> {
  const table = await filled(site, { configuration: VECTORS })
  await table.delete('id >= 20')
  await table.delete('id % 7 = 3')
  for (let i = 0; i < 3; i++) await site.objects.put(`${ROOT}/orphan${i}.parquet`, new Uint8Array(10))
  await new Promise((resolve) => setTimeout(resolve, 5))
}

const COMMITS = 6

/** A table whose log holds what has expired, with a checkpoint due at the next commit. */
async function aged(site: Site): Promise<void> {
  const table = openTable(site, ROOT)
  await table.create({ fields: FIELDS, configuration: { 'delta.checkpointInterval': '2', 'delta.logRetentionDuration': 'interval 2 days' } })
  for (let i = 1; i < COMMITS; i++) await selecting(site, rows(i, i + 1), (input) => table.append(input))
  await site.duck.idle()
  const midnight = Math.floor(Date.now() / DAY) * DAY
  for await (const { path } of site.objects.list(`${ROOT}/_delta_log/0`)) {
    const version = Number(/(\d{20})/.exec(path)?.[1])
    const then = (midnight - (COMMITS - version) * DAY) / 1000
    await utimes(await site.objects.localFile(path), then, then)
  }
}

export const COMMANDS: readonly Command[] = [
  {
    name: 'create',
    tables: [ROOT],
    prepare: () => Promise.resolve(),
    run: (site) => openTable(site, ROOT).create({ fields: FIELDS, partitionBy: ['part'], description: 'rows', constraints: { known: 'id >= 0' } }),
    refuses: 'lake.table_exists',
  },
  on('append', {}, appends(), { once: true }),
  on('append to partitions', { partitionBy: ['part'] }, appends(), { once: true }),
  on('append with a txn', {}, appends(TXN)),
  on('append with a txn and a checkpoint due', { configuration: { 'delta.checkpointInterval': '2' } }, appends(TXN)),
  on('append with times in commits', { configuration: { 'delta.enableInCommitTimestamps': 'true' } }, appends(TXN)),
  on('append with mapped columns', { configuration: MAPPED }, appends(TXN)),
  { name: 'append, and what has expired goes', tables: [ROOT], prepare: aged, run: (site) => appends(TXN)(openTable(site, ROOT), site) },
  on('overwrite', {}, (table, site) => selecting(site, rows(100, 110), (input) => table.overwrite(input))),
  on('overwrite of partitions', { partitionBy: ['part'] }, (table, site) =>
    selecting(site, `select * from (${rows(100, 110)}) where part = 'odd'`, (input) => table.overwrite(input, { where: "part = 'odd'" })),
  ),
  on('overwrite with another schema', {}, (table, site) =>
    selecting(site, 'select 1 as id, true as here', (input) => table.overwrite(input, { schema: true })),
  ),
  on('overwrite as another table', {}, (table, site) =>
    selecting(site, rows(100, 110), (input) => table.overwrite(input, { as: { fields: FIELDS, partitionBy: ['part'], configuration: { owner: 'us' } } })),
  ),
  ...ROW_COMMANDS,
  on('delete of all', {}, (table) => table.delete()),
  ...ALTERATIONS,
  on('optimize', {}, (table) => table.optimize()),
  on('optimize of partitions', { partitionBy: ['part'] }, (table) => table.optimize()),
  on('optimize by columns', {}, (table) => table.optimize({ zOrderBy: ['value', 'part'] })),
  on('restore', { configuration: VECTORS }, (table) => table.restore({ version: 2 }), {
    async prepare(site) {
      const table = await filled(site, { configuration: VECTORS })
      await table.alter({ kind: 'setProperties', properties: { owner: 'us' } })
      await table.delete('id >= 20 or id = 3')
    },
  }),
  {
    name: 'shallow clone',
    tables: [ROOT, 'gold/clone'],
    prepare: async (site) => (await filled(site, { configuration: VECTORS })).delete('id = 3'),
    run: (site) => openTable(site, ROOT).shallowClone('gold/clone'),
    refuses: 'lake.table_exists',
  },
  {
    name: 'convert',
    tables: [ROOT],
    prepare: parquetFiles,
    run: (site) => openTable(site, ROOT).convert({ partitionBy: [field('day', 'date')] }),
    refuses: 'lake.table_exists',
  },
  {
    name: 'vacuum',
    tables: [ROOT],
    prepare: untidy,
    run: (site) => openTable(site, ROOT).vacuum({ retainMs: 0, force: true }),
    async again(site) {
      const table = openTable(site, ROOT)
      // Nobody waits for a vacuum that is dead.
      await table.pin({ id: 'report', reason: 'reader', version: 5 }, AbortSignal.timeout(5000))
      await table.unpin('report')
      await table.vacuum({ retainMs: 0, force: true })
    },
  },
  on('compact the log', {}, (table) => table.compactLog()),
  on('pin', {}, (table) => table.pin({ id: 'report', reason: 'reader', version: 2 })),
  on('unpin', {}, (table) => table.unpin('report'), {
    prepare: async (site) => (await filled(site)).pin({ id: 'report', reason: 'reader', version: 2 }),
  }),
]
