/** The conflict rules against brute force: what may be put after a winner is exactly what would have been decided after it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AddFile, Commit } from '../../../src/lake/delta/actions.ts'
import { findConflict, type Intent } from '../../../src/lake/delta/conflicts.ts'
import type { DeletionVector } from '../../../src/lake/delta/deletions.ts'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()

/** A tiny table: each file holds some of the keys 0..7, `rows` maps a key to a value; `vector` tells which of its rows are gone. */
interface File {
  readonly rows: ReadonlyMap<number, number>
  /** The name of its deletion vector; null when it has none. */
  readonly vector: string | null
}
type Files = ReadonlyMap<string, File>

interface Write {
  readonly kind: 'append' | 'bump' | 'drop' | 'upsert'
  readonly keys: readonly number[]
  /** Rows are taken by deletion vectors, new ones go to new files. */
  readonly vectors: boolean
}

const keys = fc.uniqueArray(fc.nat(7), { maxLength: 4 })
const range = fc.tuple(fc.nat(7), fc.nat(7)).map(([a, b]) => Array.from({ length: Math.abs(a - b) + 1 }, (_, i) => Math.min(a, b) + i))
const write: fc.Arbitrary<Write> = fc
  .tuple(
    fc.oneof(
      keys.map((of) => ({ kind: 'append' as const, keys: of })),
      range.map((of) => ({ kind: 'bump' as const, keys: of })),
      range.map((of) => ({ kind: 'drop' as const, keys: of })),
      keys.map((of) => ({ kind: 'upsert' as const, keys: of })),
    ),
    fc.boolean(),
  )
  .map(([what, vectors]) => ({ ...what, vectors }))

interface Planned {
  readonly adds: Map<string, File>
  readonly removes: Map<string, string | null>
  readonly intent: Intent
  readonly blind: boolean
}

let named = 0

/** Decides a write the way an engine does: files that may hold a wanted key are read, those that do lose their rows. */
function plan(files: Files, what: Write): Planned {
  const adds = new Map<string, File>()
  const removes = new Map<string, string | null>()
  const readPaths = new Set<string>()
  const add = (rows: ReadonlyMap<number, number>): void => void (rows.size > 0 && adds.set(`f${++named}`, { rows, vector: null }))
  const wants = (key: number): boolean => what.kind !== 'append' && what.keys.includes(key)
  const changed = (value: number): number => (what.kind === 'bump' ? value + 1 : 100)
  const reads = ({ rows }: File): boolean => [...rows.keys()].some(wants)
  for (const [path, file] of files) {
    if (!reads(file)) continue
    readPaths.add(path)
    removes.set(path, file.vector)
    const kept = [...file.rows].filter(([key]) => !wants(key))
    const moved = what.kind === 'drop' ? [] : [...file.rows].filter(([key]) => wants(key)).map(([key, value]): [number, number] => [key, changed(value)])
    if (what.vectors) {
      if (kept.length > 0) adds.set(path, { rows: new Map(kept), vector: `v${++named}` })
      add(new Map(moved))
    } else add(new Map([...kept, ...moved]))
  }
  if (what.kind === 'append') add(new Map(what.keys.map((key): [number, number] => [key, 1])))
  if (what.kind === 'upsert') {
    const there = new Set([...files.values()].flatMap((file) => [...file.rows.keys()]))
    add(new Map(what.keys.filter((key) => !there.has(key)).map((key): [number, number] => [key, 100])))
  }
  const intent: Intent = {
    reads: (file) => reads(fileOf(file)),
    readPaths,
    removedPaths: new Set(removes.keys()),
    appIds: new Set(),
    domains: new Set(),
    isolation: 'Serializable',
  }
  return { adds, removes, intent, blind: what.kind === 'append' }
}

/** A file is one by its path and its vector: what is not there as it is named is not removed. */
function apply(files: Files, { adds, removes }: Planned): Files {
  for (const [path, { vector }] of adds)
    if (files.has(path) && removes.get(path) !== files.get(path)?.vector) throw new Error(`${path} would be there twice, the second time with ${vector}`)
  return new Map([...[...files].filter(([path, { vector }]) => !removes.has(path) || removes.get(path) !== vector), ...adds])
}

/** The rows of a table, as a sorted list: appends may repeat a key. */
function content(files: Files): string[] {
  return [...files.values()].flatMap(({ rows }) => [...rows].map(([key, value]) => `${key}=${value}`)).sort()
}

function fileOf(file: AddFile): File {
  return { rows: new Map(JSON.parse(file.stats ?? '[]') as [number, number][]), vector: null }
}

const vectorOf = (name: string | null): DeletionVector | null =>
  name === null ? null : { storageType: 'u', pathOrInlineDv: name, offset: 1, sizeInBytes: 1, cardinality: 1 }

function commitOf({ adds, removes, blind }: Planned): Commit {
  return {
    ...EMPTY,
    version: 1,
    adds: [...adds].map(([path, { rows, vector }]) => ({
      path,
      partitionValues: {},
      size: 1,
      modificationTime: 1,
      dataChange: true,
      stats: JSON.stringify([...rows]),
      tags: null,
      deletionVector: vectorOf(vector),
    })),
    removes: [...removes].map(([path, vector]) => ({
      path,
      deletionTimestamp: 1,
      dataChange: true,
      partitionValues: null,
      size: null,
      deletionVector: vectorOf(vector),
    })),
    info: { isBlindAppend: blind },
  }
}

const start = fc.array(keys, { maxLength: 4 }).map((all): Files => {
  const some = all.filter((of) => of.length > 0)
  return new Map(some.map((of, i) => [`start${i}`, { rows: new Map(of.map((key): [number, number] => [key, 0])), vector: null }]))
})

const EMPTY: Commit = { version: 4, protocol: null, metadata: null, adds: [], removes: [], transactions: [], changes: [], domains: [], info: null }
const NOTHING: Intent = { reads: () => false, readPaths: new Set(), removedPaths: new Set(), appIds: new Set(), domains: new Set(), isolation: 'Serializable' }

describe('conflicts', () => {
  test('a commit that is let through gives the table that running it after the winner would have given', () => {
    let free = 0
    fc.assert(
      fc.property(start, write, write, write, (before, zeroth, first, second) => {
        // Some files of the version that both read have vectors already.
        const files = apply(before, plan(before, zeroth))
        const winner = plan(files, first)
        const mine = plan(files, second)
        if (findConflict(mine.intent, commitOf(winner)) !== null) return
        free++
        const after = apply(files, winner)
        expect(content(apply(after, mine))).toEqual(content(apply(after, plan(after, second))))
      }),
      { numRuns: 10_000 },
    )
    expect(free).toBeGreaterThan(1000)
  })
  test('where writes alone are serializable, a blind append may stand before a command that did not see it, and nothing else may', () => {
    let passed = 0
    fc.assert(
      fc.property(start, write, write, (files, first, second) => {
        const winner = plan(files, first)
        const mine = plan(files, second)
        const strict = findConflict(mine.intent, commitOf(winner))
        const lenient = findConflict({ ...mine.intent, isolation: 'WriteSerializable' }, commitOf(winner))
        expect(lenient).toEqual(first.kind === 'append' ? null : strict)
        if (first.kind !== 'append' || strict === null) return
        passed++
        // As if the append had come after the command.
        expect(content(apply(apply(files, winner), mine))).toEqual(content(apply(apply(files, mine), winner)))
      }),
      { numRuns: 5000 },
    )
    expect(passed).toBeGreaterThan(100)
  })
  test('two deletes of different rows of one file conflict, by vectors as by rewriting', () => {
    const files: Files = new Map([
      [
        'one',
        {
          rows: new Map([
            [0, 0],
            [1, 0],
            [2, 0],
          ]),
          vector: null,
        },
      ],
    ])
    const drop = (key: number, vectors: boolean): Planned => plan(files, { kind: 'drop', keys: [key], vectors })
    for (const [a, b] of [
      [true, true],
      [true, false],
      [false, true],
      [false, false],
    ] as const)
      expect(findConflict(drop(0, a).intent, commitOf(drop(1, b)))).toMatchObject({ kind: 'removed', what: 'the file one' })
  })
  test('appends never conflict with appends', () => {
    fc.assert(
      fc.property(keys, keys, (a, b) => {
        const append = (of: readonly number[]): Planned => plan(new Map(), { kind: 'append', keys: of, vectors: false })
        expect(findConflict(append(a).intent, commitOf(append(b)))).toBeNull()
      }),
    )
  })
  test('a change of protocol, of metadata or of the same application conflicts with everything', () => {
    expect(findConflict(NOTHING, { ...EMPTY, protocol: { minReaderVersion: 1, minWriterVersion: 2 } })).toMatchObject({ kind: 'protocol' })
    expect(findConflict(NOTHING, { ...EMPTY, metadata: { id: 'x', fields: [], partitionColumns: [], configuration: {} } })).toMatchObject({ kind: 'metadata' })
    const txn = { ...EMPTY, transactions: [{ appId: 'a', version: 1, lastUpdated: null }] }
    expect(findConflict({ ...NOTHING, appIds: new Set(['a']) }, txn)).toMatchObject({ kind: 'transaction', version: 4 })
    expect(findConflict({ ...NOTHING, appIds: new Set(['b']) }, txn)).toBeNull()
    const domain = { ...EMPTY, domains: [{ domain: 'delta.clustering', configuration: '{}', removed: false }] }
    expect(findConflict({ ...NOTHING, domains: new Set(['delta.clustering']) }, domain)).toMatchObject({ kind: 'domain' })
    expect(findConflict({ ...NOTHING, domains: new Set(['other']) }, domain)).toBeNull()
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
