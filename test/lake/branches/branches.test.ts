/** Branches: nothing is copied, a difference tells rows, a merge gives what the branch had or refuses, and a cut-off step can be repeated. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openBranches, type Branches } from '../../../src/lake/branches.ts'
import { openTable, type DeltaTable } from '../../../src/lake/delta/index.ts'
import { field, openLake } from '../../helpers/delta.ts'
import { watchedObjects } from '../../helpers/watched-objects.ts'

const lake = await openLake()
const FIELDS = [field('id', 'long'), field('name', 'string')]
let made = 0
const rootOf = (name: string): string => name.replace('.', '/')

interface Setting {
  readonly name: string
  readonly main: DeltaTable
  readonly branches: Branches
}

async function setting(): Promise<Setting> {
  const name = `silver.t${++made}`
  const tables = new Map<string, DeltaTable>()
  const table = (wanted: string): DeltaTable => {
    const known = tables.get(wanted) ?? openTable(lake.place, wanted.replace('.', '/'))
    tables.set(wanted, known)
    return known
  }
  const main = table(name)
  await main.create({ fields: FIELDS })
  await main.append(lake.select("select i as id, 'row ' || i as name from range(10) r(i)"))
  return { name, main, branches: openBranches({ ...lake.place, table, rootOf }) }
}

async function branchTable({ branches, name }: Setting, branch: string): Promise<DeltaTable> {
  const table = branches.table(await branches.get(branch), name)
  if (table === null) throw new Error('not in the branch')
  return table
}

describe('a branch', () => {
  test('reads the rows of the fork without a copy, and what is written to it stays in it', async () => {
    const one = await setting()
    const before = await lake.paths(`${one.name.replace('.', '/')}/part`)
    await one.branches.create('dev', [one.name])
    const fork = await branchTable(one, 'dev')
    expect(await lake.content(fork, 'count(*)')).toEqual([['10']])
    expect((await lake.paths('silver/_branches/dev/')).filter((path) => path.endsWith('.parquet'))).toEqual([])
    await fork.append(lake.select("select 99 as id, 'new' as name"))
    await one.main.append(lake.select("select 100 as id, 'main' as name"))
    expect(await lake.content(fork, 'max(id)')).toEqual([['99']])
    expect(await lake.content(one.main, 'max(id)')).toEqual([['100']])
    expect((await lake.paths(`${one.name.replace('.', '/')}/part`)).length).toBe(before.length + 1)
    await one.branches.drop('dev')
  })

  test('tells what it changed row by row, paired by keys', async () => {
    const one = await setting()
    await one.branches.create('dev', [one.name])
    const fork = await branchTable(one, 'dev')
    await fork.merge(lake.select("select * from (values (3, 'three'), (20, 'twenty')) v(id, name)"), { keys: ['id'] })
    await fork.overwrite(lake.select("select 0 as id, '' as name where false"), { where: 'id = 7' })
    const found = await one.branches.diff('dev', one.name, { keys: ['id'] })
    expect(found).toMatchObject({ added: 1, removed: 1, changed: 1, keys: ['id'], columnsAdded: [], columnsRemoved: [] })
    expect(found.sample).toEqual([
      { change: 'added', before: null, after: { id: 20, name: 'twenty' } },
      { change: 'changed', before: { id: 3, name: 'row 3' }, after: { id: 3, name: 'three' } },
      { change: 'removed', before: { id: 7, name: 'row 7' }, after: null },
    ])
    expect(await one.branches.diff('dev', one.name, { limit: 0 })).toMatchObject({ added: 2, removed: 2, changed: 0, sample: [] })
    await one.branches.drop('dev')
  })

  test('that only packed files has no difference, and one with a new column names it', async () => {
    const one = await setting()
    await one.main.append(lake.select("select 11 as id, 'more' as name"))
    await one.branches.create('dev', [one.name])
    const fork = await branchTable(one, 'dev')
    await fork.optimize()
    expect(await one.branches.diff('dev', one.name)).toMatchObject({ added: 0, removed: 0, changed: 0, sample: [] })
    await fork.evolve([...FIELDS, field('extra', 'double')])
    await fork.append(lake.select("select 12 as id, 'wider' as name, 1.5::double as extra"))
    expect(await one.branches.diff('dev', one.name)).toMatchObject({ added: 1, columnsAdded: ['extra'] })
    expect(await one.branches.merge('dev')).toMatchObject([{ table: one.name, outcome: 'merged' }])
    expect(await lake.content(one.main, 'count(*), max(extra)')).toEqual([['12', 1.5]])
  })

  test('merges as one commit that works without the branch, and is gone afterwards', async () => {
    const one = await setting()
    await one.branches.create('dev', [one.name])
    const fork = await branchTable(one, 'dev')
    await fork.merge(lake.select("select 3 as id, 'three' as name union all select 30, 'thirty'"), { keys: ['id'] })
    const wanted = await lake.content(fork)
    expect(await one.branches.merge('dev', { dryRun: true })).toMatchObject([{ outcome: 'merged' }])
    expect((await one.main.snapshot())?.version).toBe(1)
    expect(await one.branches.merge('dev')).toMatchObject([{ outcome: 'merged', version: 2 }])
    expect(await lake.content(one.main)).toEqual(wanted)
    expect(await lake.paths('silver/_branches/dev/')).toEqual([])
    expect(await one.main.pins()).toEqual([])
    await expect(one.branches.get('dev')).rejects.toMatchObject({ code: 'lake.no_branch' })
    expect((await one.main.history(1))[0]).toMatchObject({ operation: 'MERGE BRANCH' })
  })

  test('that only added rows merges past other added rows; one that changed rows is refused when the table moved on', async () => {
    const one = await setting()
    await one.branches.create('adds', [one.name])
    await one.branches.create('changes', [one.name])
    await (await branchTable(one, 'adds')).append(lake.select("select 50 as id, 'branch' as name"))
    await (await branchTable(one, 'changes')).overwrite(lake.select("select 1 as id, 'all' as name"))
    await one.main.append(lake.select("select 60 as id, 'main' as name"))
    await one.branches.merge('adds')
    expect(await lake.content(one.main, 'id', undefined)).toContainEqual(['50'])
    const refused = one.branches.merge('changes')
    await expect(refused).rejects.toMatchObject({ code: 'lake.branch_conflict', kind: 'conflict' })
    await expect(refused).rejects.toThrow(/Nothing was merged/)
    expect(await lake.content(one.main, 'count(*)')).toEqual([['12']])
    await one.branches.drop('changes')
  })

  test('keeps its files from a vacuum of the table', async () => {
    const one = await setting()
    await one.branches.create('dev', [one.name])
    await one.main.overwrite(lake.select("select 1 as id, 'only' as name"))
    await one.main.vacuum({ retainMs: 0, force: true })
    expect(await lake.content(await branchTable(one, 'dev'), 'count(*)')).toEqual([['10']])
    await one.branches.drop('dev')
    await one.main.vacuum({ retainMs: 0, force: true })
    expect((await lake.paths(`${one.name.replace('.', '/')}/part`)).length).toBe(1)
  })

  test('refuses what it cannot do with a word on what to do instead', async () => {
    const one = await setting()
    await one.branches.create('dev', [one.name])
    await expect(one.branches.create('dev', [one.name])).rejects.toMatchObject({ code: 'lake.branch_exists' })
    await expect(one.branches.create('De v', [one.name])).rejects.toMatchObject({ code: 'lake.bad_branch_name' })
    await expect(one.branches.create('other', [])).rejects.toMatchObject({ code: 'lake.empty_branch' })
    await expect(one.branches.get('devv')).rejects.toThrow(/no branch devv/)
    await expect(one.branches.diff('dev', 'silver.other')).rejects.toMatchObject({ code: 'lake.not_in_branch' })
    await one.branches.drop('dev')
    expect(await one.branches.list()).toEqual([])
  })
})

describe('whatever happens to a branch', () => {
  const change = fc.oneof(
    fc.record({ kind: fc.constant('append' as const), id: fc.nat(20) }),
    fc.record({ kind: fc.constant('merge' as const), id: fc.nat(20) }),
    fc.record({ kind: fc.constant('delete' as const), id: fc.nat(20) }),
    fc.record({ kind: fc.constant('optimize' as const), id: fc.constant(0) }),
  )
  test('merging it gives the rows that it had', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 6 }), async (changes) => {
        const one = await setting()
        await one.branches.create('dev', [one.name])
        const fork = await branchTable(one, 'dev')
        for (const { kind, id } of changes) {
          const row = lake.select(`select ${id} as id, 'changed ${id}' as name`)
          if (kind === 'append') await fork.append(row)
          else if (kind === 'merge') await fork.overwrite(row, { where: `id = ${id}` })
          else if (kind === 'delete') await fork.overwrite(lake.select("select 0 as id, '' as name where false"), { where: `id = ${id}` })
          else await fork.optimize()
        }
        const wanted = await lake.content(fork)
        await one.branches.merge('dev')
        expect(await lake.content(one.main)).toEqual(wanted)
      }),
      { numRuns: 15 },
    )
  })

  test('a merge that is cut off at any write leaves the old table or the new one, and goes on when it is called again', async () => {
    for (let stopAt = 1; ; stopAt++) {
      const one = await setting()
      await one.branches.create('dev', [one.name])
      await (await branchTable(one, 'dev')).overwrite(lake.select("select 1 as id, 'new' as name"), { where: 'id = 1' })
      const wanted = await lake.content(await branchTable(one, 'dev'))
      const old = await lake.content(one.main)
      let steps = 0
      const cut = watchedObjects(lake.objects, () => {
        if (++steps >= stopAt) throw new Error('cut off')
      })
      const place = { ...lake.place, objects: cut }
      const cutOff = openBranches({ ...place, table: (name) => openTable(place, rootOf(name)), rootOf })
      const done = await cutOff.merge('dev').then(
        () => true,
        () => false,
      )
      const now = await lake.content(openTable(lake.place, one.name.replace('.', '/')))
      expect([old, wanted]).toContainEqual(now)
      if (done) {
        expect(stopAt).toBeGreaterThan(3)
        return
      }
      if ((await one.branches.list()).length > 0) await one.branches.merge('dev')
      expect(await lake.content(one.main)).toEqual(wanted)
      expect(await one.branches.list()).toEqual([])
    }
  })
})
