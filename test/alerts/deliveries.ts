/** A stream's log in memory, cut into deliveries at will. */
import type { Schema } from '../../src/base/index.ts'
import type { Queryable } from '../../src/storage/index.ts'
import type { DecodedBatch, Delivery } from '../../src/streams/index.ts'
import { conflict } from '../../src/base/index.ts'
import { rowsOf, type Row } from './reference.ts'

export function batchOf(schema: Schema, rows: readonly Row[], from: number, appendedAt: number): DecodedBatch {
  return { from, upTo: from + rows.length, appendedAt, rows: rowsOf(schema, rows), offsets: Float64Array.from(rows, (_, i) => from + i), bad: [] }
}

/** Consecutive batches that end at the given offsets. */
export function batchesOf(schema: Schema, rows: readonly Row[], cuts: readonly number[], appendedAt: number): DecodedBatch[] {
  const ends = [...new Set([...cuts.filter((cut) => cut > 0 && cut < rows.length), rows.length])].sort((a, b) => a - b)
  return ends.map((end, i) => {
    const from = ends[i - 1] ?? 0
    return batchOf(schema, rows.slice(from, end), from, appendedAt)
  })
}

export const OFFSET_TABLE = 'create table test_offset (partition integer primary key, next bigint not null)'

export function deliveryOf(stream: string, partition: number, batches: readonly DecodedBatch[]): Delivery {
  const from = batches[0]?.from ?? 0
  const upTo = batches.at(-1)?.upTo ?? 0
  return {
    stream,
    partition,
    from,
    upTo,
    batches,
    async commitIn(tx: Queryable) {
      const moved =
        from === 0
          ? await tx.query('insert into test_offset values ($1, $2) on conflict do nothing returning 1', [partition, upTo])
          : await tx.query('update test_offset set next = $3 where partition = $1 and next = $2 returning 1', [partition, from, upTo])
      if (moved.length === 0) throw conflict('test.offset_moved', `The offset of partition ${partition} is not ${from}`)
    },
  }
}
