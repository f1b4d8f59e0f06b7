/** Rows that a deletion vector takes away are not read, and a vector that cannot be trusted is an error that names it. */
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bitmapArrayBytes, bitmapArrayRuns } from '../../../src/lake/delta/roaring.ts'
import { RowSet, type Run } from '../../../src/lake/delta/row-set.ts'
import { fromBase85, toBase85 } from '../../../src/lake/delta/deletions.ts'
import { checkpointFile, commitFile, field, lines, openLake, text, untext } from '../../helpers/delta.ts'
import { base85, bitmapArray, newVectorName, vectorFile, type Shape } from './vectors.ts'

const lake = await openLake()

const positions = fc
  .array(
    fc.record({
      start: fc.oneof(fc.nat(300_000), fc.nat(2 ** 31 - 1), fc.nat(2 ** 36)),
      length: fc.integer({ min: 1, max: 9000 }),
      step: fc.integer({ min: 1, max: 3 }),
    }),
    {
      maxLength: 8,
    },
  )
  .map((parts) => [...new Set(parts.flatMap(({ start, length, step }) => Array.from({ length }, (_, i) => start + i * step)))].sort((a, b) => a - b))

const each = (runs: Iterable<Run>): number[] => [...runs].flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i))

/** Neighbours joined. */
function runsOf(positions: readonly number[]): Run[] {
  const runs: [number, number][] = []
  for (const position of positions) {
    const last = runs.at(-1)
    if (last?.[1] === position) last[1]++
    else runs.push([position, position + 1])
  }
  return runs
}

describe('a bitmap of deleted rows', () => {
  test('holds the positions that were put into it, whatever its containers', () => {
    fc.assert(
      fc.property(positions, fc.infiniteStream(fc.boolean()), (wanted, runs) => {
        const shapes = new Map<number, Shape>()
        const shape = (key: number): Shape => {
          const known = shapes.get(key) ?? (runs.next().value ? 'run' : 'plain')
          shapes.set(key, known)
          return known
        }
        expect(each(bitmapArrayRuns(bitmapArray(wanted, shape)))).toEqual(wanted)
      }),
      { numRuns: 60 },
    )
  })
  test('is written in the shortest form of each container, and read again as it was', () => {
    fc.assert(
      fc.property(positions, (wanted) => {
        const joined = runsOf(wanted)
        const bytes = bitmapArrayBytes(joined)
        expect(each(bitmapArrayRuns(bytes))).toEqual(wanted)
        for (const shape of ['run', 'plain'] as const) expect(bytes.length).toBeLessThanOrEqual(bitmapArray(wanted, () => shape).length + 8)
      }),
      { numRuns: 40 },
    )
    expect(
      Buffer.from(
        bitmapArrayBytes([
          [3, 5],
          [7, 8],
          [11, 12],
          [18, 19],
          [29, 30],
        ]),
      ),
    ).toEqual(bitmapArray([3, 4, 7, 11, 18, 29], () => 'plain'))
    // The protocol's own example, whose vector has another header.
    expect(each(bitmapArrayRuns((fromBase85('^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L') ?? new Uint8Array()).subarray(0, 44)))).toEqual([
      3, 4, 7, 11, 18, 29,
    ])
  })
  test('that is cut off, or of which a byte is another one, gives positions or an error, but never hangs', () => {
    const whole = bitmapArray([1, 5, 70_000, 70_001, 70_002, 200_000, 300_000], (key) => (key === 1 ? 'run' : 'plain'))
    for (let length = 0; length < whole.length; length++) expect(() => each(bitmapArrayRuns(whole.subarray(0, length)))).toThrow()
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, byte) => {
        const other = Buffer.from(whole)
        other[at] = byte
        try {
          expect(each(bitmapArrayRuns(other)).length).toBeLessThan(1_000_000)
        } catch (error) {
          expect(error).toBeInstanceOf(Error)
        }
      }),
    )
  })
  test('is base85 in a log, which any bytes survive', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(fromBase85(base85(Buffer.from(bytes)))?.subarray(0, bytes.length)).toEqual(bytes)
        expect(toBase85(bytes)).toBe(base85(Buffer.from(bytes)))
      }),
    )
    // The protocol's own example.
    expect(Buffer.from(fromBase85('^-aqEH.-t@S}K{vb[*k^') ?? []).toString('hex')).toBe('d2c639aa8816431aaaf6d3fe2512ff61')
    expect(fromBase85('~~~~~')).toBeNull()
    expect(fromBase85('1234')).toBeNull()
  })
})

describe('a set of rows', () => {
  const small = fc.uniqueArray(fc.oneof(fc.nat(100), fc.nat(10_000)), { maxLength: 300 }).map((all) => new Set(all))
  const setOf = (all: ReadonlySet<number>): RowSet => RowSet.of([...all].map((position) => [position, position + 1]))
  const sorted = (all: Iterable<number>): number[] => [...all].sort((a, b) => a - b)
  test('is added to and taken from like any set', () => {
    fc.assert(
      fc.property(small, small, fc.tuple(fc.nat(9000), fc.nat(9000)), (a, b, [from, more]) => {
        expect(each(setOf(a).runs())).toEqual(sorted(a))
        expect(setOf(a).size).toBe(a.size)
        expect(each(setOf(a).with(setOf(b)).runs())).toEqual(sorted(new Set([...a, ...b])))
        expect(each(setOf(a).without(setOf(b)).runs())).toEqual(sorted([...a].filter((one) => !b.has(one))))
        const range = RowSet.of([[from, from + more]])
        expect([...range.runs()]).toEqual(more === 0 ? [] : [[from, from + more]])
        expect(each(setOf(a).without(range).runs())).toEqual(sorted(a).filter((one) => one < from || one >= from + more))
      }),
    )
  })
})

let made = 0

/** A table of rows 0..n-1 in one file, and a way to give that file another vector as Spark's DELETE does. */
async function tableOf(rows: number) {
  const root = `silver/vectors${made++}`
  const table = lake.table(root)
  await table.create({ fields: [field('id', 'long')] })
  await table.append(lake.select(`select range as id from range(${rows})`))
  const actions = untext(await lake.objects.get(commitFile(root, 1)))
    .split('\n')
    .filter((line) => line.startsWith('{"add"'))
  const { add } = JSON.parse(actions[0] ?? '') as { add: Record<string, unknown> }
  let version = 1
  let before: unknown
  const commit = async (deletionVector: unknown): Promise<void> => {
    const remove = { path: add.path, deletionTimestamp: Date.now(), dataChange: true, ...(before === undefined ? {} : { deletionVector: before }) }
    await lake.objects.putIfAbsent(commitFile(root, ++version), lines({ remove }, { add: { ...add, deletionVector } }))
    before = deletionVector
  }
  return { root, table, commit }
}

const plain = (): Shape => 'plain'

async function stored(root: string, deleted: readonly number[], spoil?: (file: Buffer) => void) {
  const { encoded, file } = newVectorName()
  const data = bitmapArray(deleted, plain)
  const bytes = vectorFile(data)
  spoil?.(bytes)
  await lake.objects.put(`${root}/${file}`, bytes)
  return { storageType: 'u', pathOrInlineDv: encoded, offset: 1, sizeInBytes: data.length, cardinality: deleted.length, file }
}

function inline(deleted: readonly number[]) {
  const data = bitmapArray(deleted, (key) => (key === 0 ? 'run' : 'plain'))
  return { storageType: 'i', pathOrInlineDv: base85(data), sizeInBytes: data.length, cardinality: deleted.length }
}

describe('a table with deletion vectors', () => {
  test('is read without the deleted rows at each version, few or many of them, wherever the vector is', async () => {
    const { root, table, commit } = await tableOf(300_000)
    const few = [0, 7, 299_999]
    const many = Array.from({ length: 100_000 }, (_, i) => 3 * i)
    await commit(inline(few))
    expect(await table.snapshot()).toMatchObject({ version: 2, rowCount: 299_997, fileCount: 1 })
    await commit(await stored(root, many))
    const { file, ...vector } = await stored(root, [1, 2])
    await commit({ ...vector, storageType: 'p', pathOrInlineDv: `file://${join(lake.folder, root, file)}` })
    const sums = async (version: number): Promise<unknown> => {
      const snapshot = await table.snapshot({ version })
      if (snapshot === null) return null
      return (await lake.rows(`select count(*), sum(id), ${String(snapshot.rowCount)} from (${await table.scan(snapshot)})`))[0]
    }
    const whole = (300_000 * 299_999) / 2
    expect(await sums(1)).toEqual(['300000', String(whole), 300_000])
    expect(await sums(2)).toEqual(['299997', String(whole - 7 - 299_999), 299_997])
    expect(await sums(3)).toEqual(['200000', String(whole - (3 * 100_000 * 99_999) / 2), 200_000])
    expect(await sums(4)).toEqual(['299998', String(whole - 3), 299_998])
  })
  test('tells what came and what went when a vector grew, also from commits before the checkpoint it was opened at', async () => {
    const { root, table, commit } = await tableOf(10)
    await commit(inline([1]))
    await commit(await stored(root, [1, 2]))
    const ids = async (sql: string): Promise<unknown[]> => (await lake.rows(`select id from (${sql}) order by id`)).map(([id]) => Number(id))
    const snapshot = await table.snapshot()
    if (snapshot === null) throw new Error('no table')
    const changes = await table.changes(2, snapshot)
    expect(changes.appendOnly).toBe(false)
    expect(await ids(changes.sql)).toEqual([0, 3, 4, 5, 6, 7, 8, 9])
    expect(await ids(await changes.gone())).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(changes.rows).toBe(8)
    const all = await table.changes(0, snapshot)
    expect(await ids(all.sql)).toEqual([0, 3, 4, 5, 6, 7, 8, 9])
    expect(await ids(await all.gone())).toEqual([])
    // A checkpoint tells files apart by their vectors too: the one that is there, and the two tombstones of the same path.
    const actions = await Promise.all([0, 2, 3].map(async (version) => untext(await lake.objects.get(commitFile(root, version))).split('\n')))
    const kept = actions.flat().filter((line) => /^\{"(protocol|metaData|remove)/.test(line))
    const json = join(lake.folder, root, 'checkpoint.ndjson')
    await lake.objects.put(`${root}/checkpoint.ndjson`, text([...kept, actions[2]?.find((line) => line.startsWith('{"add"'))].join('\n')))
    await lake.rows(`copy (from read_json('${json}', format = 'newline_delimited')) to '${join(lake.folder, checkpointFile(root, 3))}' (format parquet)`)
    const opened = lake.table(root)
    const again = await opened.snapshot()
    if (again === null) throw new Error('no table')
    expect(again).toMatchObject({ version: 3, rowCount: 8, fileCount: 1 })
    const early = await opened.changes(2, again)
    expect(await ids(early.sql)).toEqual([0, 3, 4, 5, 6, 7, 8, 9])
    expect(await ids(await early.gone())).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9])
  })
  test('a remove that names another vector than the file has now leaves the file there', async () => {
    const { root, table, commit } = await tableOf(10)
    await commit(inline([1]))
    const path = (JSON.parse(untext(await lake.objects.get(commitFile(root, 2))).split('\n')[1] ?? '') as { add: { path: string } }).add.path
    await lake.objects.putIfAbsent(commitFile(root, 3), lines({ remove: { path, deletionTimestamp: 1, dataChange: true } }))
    for (const opened of [table, lake.table(root)]) expect(await opened.snapshot()).toMatchObject({ version: 3, fileCount: 1, rowCount: 9 })
  })
  test('is not read on when a vector is spoilt, gone, elsewhere, or not what the log says', async () => {
    const refused = async (make: (root: string) => Promise<unknown>, message: RegExp): Promise<void> => {
      const { root, table, commit } = await tableOf(10)
      await commit(await make(root))
      const snapshot = await table.snapshot()
      if (snapshot === null) throw new Error('no table')
      await expect(table.scan(snapshot)).rejects.toThrow(message)
    }
    await refused((root) => stored(root, [1, 2], (file) => file.writeUInt8(9, 30)), /checksum/)
    await refused((root) => stored(root, [1, 2], (file) => file.writeUInt32BE(9, 1)), /has 9 bytes/)
    await refused(async (root) => ({ ...(await stored(root, [1, 2])), cardinality: 1 }), /more rows and the log says 1/)
    await refused(async (root) => ({ ...(await stored(root, [1, 2])), cardinality: 3 }), /2 rows and the log says 3/)
    await refused(async (root) => ({ ...(await stored(root, [1, 2])), sizeInBytes: 2 ** 40 }), /ends before/)
    await refused(async (root) => ({ ...(await stored(root, [1])), pathOrInlineDv: newVectorName().encoded }), /is not there/)
    await refused(async (root) => ({ ...(await stored(root, [1])), storageType: 'x' }), /storage type x/)
    for (const path of ['file:///etc/hostname', 's3://other/place/vector.bin', '../../etc/hostname'])
      await refused(async (root) => ({ ...(await stored(root, [1])), storageType: 'p', pathOrInlineDv: path }), /outside of this object store/)
    await refused(async (root) => ({ ...(await stored(root, [1])), storageType: 'p', pathOrInlineDv: `s3://${root}/../x.bin` }), /outside of this object store/)
    await refused(() => Promise.resolve({ ...inline([1]), pathOrInlineDv: 'abc' }), /base85/)
  })
})
