/** From a stream to its table: exactly once however deliveries are cut, and through changes of the stream's schema. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { emptyRows, t, type Schema } from '../../../src/base/index.ts'
import { table, type StreamRef, type Table } from '../../../src/lake/declare.ts'
import { batchOf, openPlace, readings, rowsOf } from './project.ts'

const bronze = (schema: Schema): Table => table('bronze.raw', { from: { kind: 'stream', name: 'readings', schema } satisfies StreamRef })

describe('appending', () => {
  test('stores each record once, in order, however often and in whatever pieces it comes', { timeout: 60_000 }, async () => {
    const raw = table('bronze.raw', { from: readings })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ back: fc.nat(6), sizes: fc.array(fc.nat(4), { minLength: 1, maxLength: 3 }), partition: fc.nat(1) }), {
          minLength: 1,
          maxLength: 8,
        }),
        async (deliveries) => {
          const project = await (await openPlace()).open(raw)
          const appender = project.appender(raw)
          const ends = [0, 0]
          for (const { back, sizes, partition } of deliveries) {
            let at = Math.max(0, (ends[partition] ?? 0) - back)
            const batches = sizes.map((size) => {
              const batch = batchOf(rowsOf(Array.from({ length: size }, (_, i) => ({ id: `${partition}:${at + i}`, minute: 0, value: null }))), at)
              at += size
              return batch
            })
            if (at > 0) await appender.append(partition, at, batches)
            ends[partition] = Math.max(ends[partition] ?? 0, at)
            expect(await appender.position(partition)).toBe(ends[partition] === 0 ? null : ends[partition])
          }
          if ((await project.table('bronze.raw').snapshot()) === null) return
          const found = await project.select('select _partition, _offset, id from bronze.raw order by 1, 2')
          expect(found).toEqual(
            [0, 1].flatMap((partition) => Array.from({ length: ends[partition] ?? 0 }, (_, i) => [partition, String(i), `${partition}:${i}`])),
          )
        },
      ),
      { numRuns: 25 },
    )
  })
  test('follows a stream that gained and lost fields', async () => {
    const place = await openPlace()
    const first = { id: t.string(), old: t.double(), maybe: t.double() }
    const second = { id: t.string(), maybe: t.double().nullable(), added: t.string() }
    let offset = 0
    for (const [schema, values] of [
      [first, ['a', 1, 2]],
      [second, ['b', null, 'x']],
      [second, ['c', 3, 'y']],
      [first, ['d', 4, 5]],
    ] as const) {
      const rows = emptyRows(schema, 1)
      rows.columns.forEach((column, i) => {
        const value = values[i] ?? null
        if (column.kind === 'text') column.values[0] = value === null ? null : String(value)
        else if (typeof value === 'number') [column.values[0], column.valid[0]] = [value, 1]
      })
      const raw = bronze(schema)
      await (await place.open(raw)).appender(raw).append(0, offset + 1, [batchOf(rows, offset)])
      offset++
    }
    const project = await place.open(bronze(second))
    expect(await project.select('select id, old, maybe, added from bronze.raw order by id')).toEqual([
      ['a', 1, 2, null],
      ['b', null, null, 'x'],
      ['c', null, 3, 'y'],
      ['d', 4, 5, null],
    ])
    expect((await project.table('bronze.raw').history()).map(({ operation }) => operation)).toEqual([
      'WRITE',
      'WRITE',
      'WRITE',
      'ADD COLUMNS',
      'WRITE',
      'CREATE TABLE',
    ])
  })
  test('a field of another type is refused with what to do, and takes nothing in', async () => {
    const place = await openPlace()
    const raw = bronze({ id: t.long() })
    await (await place.open(raw)).appender(raw).append(0, 1, [batchOf(emptyRows({ id: t.long().nullable() }, 0), 0)])
    const other = bronze({ id: t.string() })
    const project = await place.open(other)
    await expect(project.appender(other).append(0, 2, [batchOf(emptyRows({ id: t.string() }, 1), 1)])).rejects.toMatchObject({
      code: 'lake.stream_type',
      kind: 'invalid',
      message: 'Stream readings now has id as string, table bronze.raw keeps it as long',
      hint: expect.stringContaining('another name') as string,
    })
    expect(await project.appender(other).position(0)).toBe(1)
    const narrower = bronze({ id: t.int() })
    const rows = emptyRows({ id: t.int() }, 1)
    if (rows.columns[0]?.kind === 'number') rows.columns[0].valid[0] = 1
    await (await place.open(narrower)).appender(narrower).append(0, 2, [batchOf(rows, 1)])
    expect(await project.select('select id from bronze.raw')).toEqual([['0']])
  })
})
