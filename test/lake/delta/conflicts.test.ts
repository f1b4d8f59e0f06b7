/** The conflict rules against brute force: what may be put after a winner is exactly what would have been decided after it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AddFile, Commit } from '../../../src/lake/delta/actions.ts'
import { findConflict, type Intent } from '../../../src/lake/delta/conflicts.ts'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()

/** A tiny table: each file holds some of the keys 0..7, `rows` maps a key to a value. */
type File = ReadonlyMap<number, number>
type Files = ReadonlyMap<string, File>

type Write =
  | { readonly kind: 'append'; readonly keys: readonly number[] }
  | { readonly kind: 'bump' | 'drop'; readonly from: number; readonly to: number }
  | { readonly kind: 'upsert'; readonly keys: readonly number[] }

const keys = fc.uniqueArray(fc.nat(7), { maxLength: 4 })
const range = fc.tuple(fc.nat(7), fc.nat(7)).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) }))
const write: fc.Arbitrary<Write> = fc.oneof(
  keys.map((of): Write => ({ kind: 'append', keys: of })),
  range.map((of): Write => ({ kind: 'bump', ...of })),
  range.map((of): Write => ({ kind: 'drop', ...of })),
  keys.map((of): Write => ({ kind: 'upsert', keys: of })),
)

interface Planned {
  readonly adds: Map<string, File>
  readonly removes: Set<string>
  readonly intent: Intent
}

let named = 0

/** Decides a write the way an engine does: files that may hold a wanted key are read, those that do are rewritten. */
function plan(files: Files, what: Write): Planned {
  const adds = new Map<string, File>()
  const removes = new Set<string>()
  const readPaths = new Set<string>()
  const add = (file: File): void => void (file.size > 0 && adds.set(`f${++named}`, file))
  const wants = (key: number): boolean =>
    what.kind === 'append' ? false : what.kind === 'upsert' ? what.keys.includes(key) : key >= what.from && key <= what.to
  const reads = (file: File): boolean => [...file.keys()].some(wants)
  for (const [path, file] of files) {
    if (!reads(file)) continue
    readPaths.add(path)
    removes.add(path)
    const kept = [...file].filter(([key]) => what.kind !== 'drop' || !wants(key))
    add(new Map(kept.map(([key, value]): [number, number] => [key, wants(key) ? (what.kind === 'bump' ? value + 1 : 100) : value])))
  }
  if (what.kind === 'append') add(new Map(what.keys.map((key): [number, number] => [key, 1])))
  if (what.kind === 'upsert') {
    const there = new Set([...files.values()].flatMap((file) => [...file.keys()]))
    add(new Map(what.keys.filter((key) => !there.has(key)).map((key): [number, number] => [key, 100])))
  }
  const intent: Intent = {
    reads: (file) => reads(fileOf(file)),
    readPaths,
    removedPaths: removes,
    appIds: new Set(),
    domains: new Set(),
    isolation: 'Serializable',
  }
  return { adds, removes, intent }
}

function apply(files: Files, { adds, removes }: Planned): Files {
  return new Map([...[...files].filter(([path]) => !removes.has(path)), ...adds])
}

/** The rows of a table, as a sorted list: appends may repeat a key. */
function content(files: Files): string[] {
  return [...files.values()].flatMap((file) => [...file].map(([key, value]) => `${key}=${value}`)).sort()
}

function fileOf(file: AddFile): File {
  return new Map(JSON.parse(file.stats ?? '[]') as [number, number][])
}

function commitOf({ adds, removes }: Planned): Commit {
  return {
    version: 1,
    protocol: null,
    metadata: null,
    adds: [...adds].map(([path, file]) => ({
      path,
      partitionValues: {},
      size: 1,
      modificationTime: 1,
      dataChange: true,
      stats: JSON.stringify([...file]),
      tags: null,
      deletionVector: null,
    })),
    removes: [...removes].map((path) => ({ path, deletionTimestamp: 1, dataChange: true, partitionValues: null, size: null, deletionVector: null })),
    transactions: [],
    changes: [],
    domains: [],
    info: null,
  }
}

const EMPTY: Commit = { version: 4, protocol: null, metadata: null, adds: [], removes: [], transactions: [], changes: [], domains: [], info: null }
const NOTHING: Intent = { reads: () => false, readPaths: new Set(), removedPaths: new Set(), appIds: new Set(), domains: new Set(), isolation: 'Serializable' }

describe('conflicts', () => {
  test('a commit that is let through gives the table that running it after the winner would have given', () => {
    let free = 0
    fc.assert(
      fc.property(fc.array(keys, { maxLength: 4 }), write, write, (start, first, second) => {
        const files: Files = new Map(start.filter((of) => of.length > 0).map((of, i) => [`start${i}`, new Map(of.map((key): [number, number] => [key, 0]))]))
        const winner = plan(files, first)
        const mine = plan(files, second)
        if (findConflict(mine.intent, commitOf(winner)) !== null) return
        free++
        const after = apply(files, winner)
        expect(content(apply(after, mine))).toEqual(content(apply(after, plan(after, second))))
      }),
      { numRuns: 5000 },
    )
    expect(free).toBeGreaterThan(500)
  })
  test('appends never conflict with appends', () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        expect(findConflict(plan(new Map(), { kind: 'append', keys: a }).intent, commitOf(plan(new Map(), { kind: 'append', keys: b })))).toBeNull()
      }),
    )
  })
  test('a change of protocol, of metadata or of the same application conflicts with everything', () => {
    expect(findConflict(NOTHING, { ...EMPTY, protocol: { minReaderVersion: 1, minWriterVersion: 2 } })).toMatchObject({ kind: 'protocol' })
    expect(findConflict(NOTHING, { ...EMPTY, metadata: { id: 'x', fields: [], partitionColumns: [], configuration: {} } })).toMatchObject({ kind: 'metadata' })
    const txn = { ...EMPTY, transactions: [{ appId: 'a', version: 1, lastUpdated: null }] }
    expect(findConflict({ ...NOTHING, appIds: new Set(['a']) }, txn)).toMatchObject({ kind: 'transaction', version: 4 })
    expect(findConflict({ ...NOTHING, appIds: new Set(['b']) }, txn)).toBeNull()
  })
  test('files that only rearrange rows conflict with who read the originals, not with who would have read them', () => {
    const moved: Commit = {
      ...EMPTY,
      adds: [{ path: 'new', partitionValues: {}, size: 1, modificationTime: 1, dataChange: false, stats: null, tags: null, deletionVector: null }],
      removes: [{ path: 'old', deletionTimestamp: 1, dataChange: false, partitionValues: null, size: null, deletionVector: null }],
    }
    expect(findConflict({ ...NOTHING, reads: () => true }, moved)).toBeNull()
    expect(findConflict({ ...NOTHING, readPaths: new Set(['old']) }, moved)).toMatchObject({ kind: 'removed' })
  })
})

describe('racing writes', () => {
  /** Runs `first` while a write of `second` is deciding: its input query is slow enough. */
  const race = async (root: string, prepare: string, slow: 'append' | 'merge' | 'overwrite', quick: string): Promise<[unknown, unknown]> => {
    const table = lake.table(root)
    await table.create({ fields: [field('id', 'long'), field('v', 'string')] })
    await table.append(lake.select(prepare))
    const connection = await lake.place.duck.connect()
    const sql = `select 5 as id, 'slow' as v where (select count(*) from range(60000000) r(i) where i % 7 = 3) > 0`
    try {
      const input = { connection, sql }
      const late = (
        slow === 'append' ? table.append(input) : slow === 'merge' ? table.merge(input, { keys: ['id'] }) : table.overwrite(input, { where: 'id = 5' })
      ).catch((error: unknown) => error)
      await new Promise((resolve) => setTimeout(resolve, 15))
      const early = await lake.table(root).append(lake.select(quick))
      return [early, await late]
    } finally {
      connection.closeSync()
    }
  }
  test('an append goes behind whatever won', async () => {
    const [early, late] = await race('race/append', "select 1 as id, 'a' as v", 'append', "select 5 as id, 'q' as v")
    expect(early).toMatchObject({ version: 2 })
    expect(late).toMatchObject({ version: 3 })
  })
  test('a merge conflicts with rows that it would have matched, and leaves no files', async () => {
    const [, late] = await race('race/merge', "select 5 as id, 'a' as v", 'merge', "select 5 as id, 'q' as v")
    expect(late).toMatchObject({ code: 'lake.commit_conflict', kind: 'conflict' })
    const files = await lake.paths('race/merge/part')
    expect(files).toHaveLength(2)
    expect(await lake.content(lake.table('race/merge'))).toEqual([
      ['5', 'a'],
      ['5', 'q'],
    ])
  })
  test('a merge goes behind rows with keys outside its own range', async () => {
    const [, late] = await race('race/merge2', "select 5 as id, 'a' as v", 'merge', "select 6 as id, 'q' as v")
    expect(late).toMatchObject({ version: 3 })
    expect(await lake.content(lake.table('race/merge2'))).toEqual([
      ['5', 'slow'],
      ['6', 'q'],
    ])
  })
})
