/** What a project's lake does in several commits, each with what it finds: refreshes, replays, streams, files and branches. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { emptyRows, LagoaError, silentLog, t, type Schema } from '../../../src/base/index.ts'
import { between, findFiles, openIngestion, openLake, quarantine, table, targetOf, type Lake, type Table } from '../../../src/lake/index.ts'
import type { Expectation } from '../../../src/lake/expectations.ts'
import type { Command, Site } from '../../helpers/kills/command.ts'

const RAW = { id: t.string().nullable(), at: t.timestamp().nullable(), value: t.double().nullable() } satisfies Schema
const START = Date.UTC(2024, 0, 1)
const HOUR = 3_600_000
const streamed = (schema: Schema): Table => table('bronze.raw', { from: { kind: 'stream', name: 'readings', schema } })
const raw = streamed(RAW)

const open = ({ objects, duck, work }: Site, tables: readonly Table[]): Promise<Lake> =>
  openLake({ objects, duck, tables, logger: silentLog, temporaryFolder: work })

type Reading = readonly [id: string, hour: number, value: number]

/** Appends records to a stream's table; those with a fourth field have a note. */
async function feed(lake: Lake, readings: readonly Reading[], declared: Table = raw, schema: Schema = RAW): Promise<unknown> {
  const appender = lake.appender(declared)
  const first = (await appender.position(0)) ?? 0
  return appendFrom(lake, first, readings, declared, schema)
}

async function appendFrom(lake: Lake, first: number, readings: readonly Reading[], declared: Table = raw, schema: Schema = RAW): Promise<unknown> {
  const rows = emptyRows(schema, readings.length)
  for (const column of rows.columns) {
    readings.forEach(([id, hour, value], row) => {
      if (column.kind === 'text') column.values[row] = id
      else {
        column.values[row] = column.name === 'at' ? START + hour * HOUR : value
        column.valid[row] = 1
      }
    })
  }
  const offsets = Float64Array.from(readings, (_, i) => first + i)
  return lake.appender(declared).append(0, first + readings.length, [{ rows, offsets, appendedAt: START }])
}

const CLEAN = 'select id, "at", value from bronze.raw'
const keeping = (most: number): Readonly<Record<string, Expectation>> => ({ plausible: quarantine(between('value', 0, most)) })
const merged = (most: number): Table => table('silver.t', { merge: ['id'], sql: CLEAN, expect: keeping(most) })
const windowed = table('silver.t', {
  window: { column: 'hour', source: 'at', size: '1h' },
  sql: `select date_trunc('hour', "at") as hour, sum(value) as value from bronze.raw group by all`,
  expect: keeping(100),
})
const full = (most: number): Table => table('silver.t', { sql: 'select id, sum(value) as value from bronze.raw group by all', expect: keeping(most) })

const FIRST: readonly Reading[] = [
  ['a', 0, 1],
  ['b', 1, 200],
  ['c', 2, 30],
  ['d', 3, 400],
]
const NEXT: readonly Reading[] = [
  ['a', 0, 2],
  ['b', 1, 50],
  ['e', 4, 500],
  ['f', 5, 60],
]
const MADE = ['silver/t', 'silver/t_quarantine']

/** A refresh of `silver.t` over what was fed since the last one. */
function refresh(name: string, model: Table, more: { readonly first?: boolean; readonly rebuild?: boolean } = {}): Command {
  return {
    name,
    tables: MADE,
    async prepare(site) {
      const lake = await open(site, [raw, model])
      await feed(lake, FIRST)
      if (more.first === true) return
      await lake.refresh('silver.t')
      if (more.rebuild !== true) await feed(lake, NEXT)
    },
    run: async (site) => (await open(site, [raw, model])).refresh('silver.t', undefined, { rebuild: more.rebuild === true }),
  }
}

/** Rows that today's rule would not have held are put back. */
function replay(name: string, model: (most: number) => Table): Command {
  return {
    name,
    tables: MADE,
    async prepare(site) {
      const lake = await open(site, [raw, model(100)])
      await feed(lake, FIRST)
      await lake.refresh('silver.t')
    },
    run: async (site) => (await open(site, [raw, model(300)])).replay('silver.t'),
  }
}

/** Ingests one file; those of `before` were ingested before it. */
function ingest(name: string, before: readonly (readonly [string, string])[], [file, content]: readonly [string, string]): Command {
  const take = async (site: Site, name: string, text: string): Promise<unknown> => {
    mkdirSync(join(site.work, 'in'), { recursive: true })
    writeFileSync(join(site.work, 'in', name), text)
    const lake = await open(site, [])
    const ingestion = openIngestion(
      { duck: site.duck, temporary: join(site.work, 'work'), open: (table) => lake.open(table), hold: () => () => undefined },
      { target: targetOf('bronze.x', undefined, { changed: 'replace' }) },
    )
    const found = await findFiles([`in/${name}`], { objects: site.objects, base: site.work, project: site.work, anyName: false })
    for (const one of found) {
      const { error } = await ingestion.take(one)
      if (error) throw error
    }
    return found
  }
  return {
    name,
    tables: ['bronze/x', 'bronze/x_quarantine'],
    async prepare(site) {
      for (const [earlier, text] of before) await take(site, earlier, text)
    },
    run: (site) => take(site, file, content),
    columns: ['id', 'v', 'w', '_file', '_line', '_column', '_error', '_raw', '_content'],
  }
}

const gold = table('gold.g', { sql: 'select id, value * 2 as value from silver.t' })
const BRANCHED = [raw, merged(100), gold]
const IN_BRANCH = ['silver/_branches/dev/t', 'gold/_branches/dev/g']

/** Tables with rows, of which `dev` may be a branch. */
async function branching(site: Site): Promise<Lake> {
  const lake = await open(site, BRANCHED)
  await feed(
    lake,
    FIRST.filter(([, , value]) => value < 100),
  )
  await lake.refresh('silver.t')
  await lake.refresh('gold.g')
  await feed(lake, NEXT)
  return lake
}

/** A branch in which both tables changed, and rows are held back for the first time. */
async function branched(site: Site): Promise<void> {
  const lake = await branching(site)
  await lake.branches.create('dev', ['silver.t', 'gold.g'])
  const dev = await lake.within('dev')
  await dev.refresh('silver.t')
  await dev.refresh('gold.g')
}

const branchNames = async (site: Site): Promise<string[]> => (await (await open(site, BRANCHED)).branches.list()).map(({ name }) => name)

export const COMMANDS: readonly Command[] = [
  {
    name: 'the first append of a stream',
    tables: ['bronze/raw'],
    prepare: () => Promise.resolve(),
    run: async (site) => appendFrom(await open(site, [raw]), 0, FIRST),
  },
  {
    name: 'an append of a stream that has new records and a new field',
    tables: ['bronze/raw'],
    prepare: async (site) => feed(await open(site, [raw]), FIRST),
    async run(site) {
      const schema = { ...RAW, note: t.string().nullable() }
      const declared = streamed(schema)
      return appendFrom(await open(site, [declared]), 2, [...FIRST.slice(2), ...NEXT], declared, schema)
    },
  },
  refresh('the first refresh of a merged table, with held rows', merged(100), { first: true }),
  refresh('a refresh of a merged table, with held rows', merged(100)),
  refresh('a refresh of windows, with held rows', windowed),
  refresh('a refresh of a whole table, with held rows', full(100)),
  refresh('a rebuild, with held rows', merged(100), { rebuild: true }),
  replay('a replay into a merged table', merged),
  replay('a replay into a whole table', full),
  ingest('the first ingest of a file, with bad lines', [], ['a.csv', 'id,v\n1,1\n2,2\nshort\n3,3\n']),
  ingest('an ingest with a new column', [['a.csv', 'id,v\n1,1\n2,2\n']], ['b.csv', 'id,v,w\n3,3,x\n4,4,y\ntoo,many,of,them\n']),
  ingest('an ingest with a wider column', [['a.csv', 'id,v\n1,1\n2,2\n']], ['b.csv', 'id,v\n3,3.5\n4,4\n']),
  ingest('an ingest in the place of the old rows', [['a.csv', 'id,v\n1,1\n2,2\n']], ['a.csv', 'id,v\n1,10\n5,50\n']),
  {
    name: 'the making of a branch',
    tables: [...IN_BRANCH, 'silver/t', 'gold/g'],
    prepare: branching,
    run: async (site) => (await open(site, BRANCHED)).branches.create('dev', ['silver.t', 'gold.g']),
    async again(site) {
      const { branches } = await open(site, BRANCHED)
      await branches.create('dev', ['silver.t', 'gold.g']).catch((error: unknown) => {
        if (!(error instanceof LagoaError) || error.code !== 'lake.branch_exists') throw error
      })
      for (const name of ['silver.t', 'gold.g']) await branches.diff('dev', name)
    },
    also: branchNames,
  },
  {
    name: 'the merge of a branch',
    tables: ['silver/t', 'gold/g', 'silver/t_quarantine'],
    prepare: branched,
    run: async (site) => (await open(site, BRANCHED)).branches.merge('dev'),
    refuses: 'lake.no_branch',
    also: branchNames,
  },
  {
    name: 'the dropping of a branch',
    tables: ['silver/t', 'gold/g'],
    prepare: branched,
    run: async (site) => (await open(site, BRANCHED)).branches.drop('dev'),
    async again(site) {
      const { branches } = await open(site, BRANCHED)
      // What is left of a branch is not merged.
      const [left] = await branches.list()
      if (left?.over === 'dropped')
        await branches.merge('dev').then(
          () => Promise.reject(new Error('remains were merged')),
          (error: unknown) => (error instanceof LagoaError && error.code === 'lake.branch_over' ? undefined : Promise.reject(error)),
        )
      await branches.drop('dev')
    },
    refuses: 'lake.no_branch',
    also: branchNames,
  },
]
