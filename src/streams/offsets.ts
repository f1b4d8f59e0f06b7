/**
 * How far each sink has come, per stream and partition. The row is the truth for every sink that has no durable position of its
 * own; it moves only from the value the mover started at, so two movers can never both win.
 */
import { conflict } from '../base/index.ts'
import type { Migration, Queryable, Records } from '../storage/index.ts'

export const offsetMigrations: readonly Migration[] = [
  {
    name: '0110_stream_offset',
    sql: `
      create table stream_offset (
        stream text not null,
        sink text not null,
        partition int not null,
        next_offset bigint not null,
        moved_at timestamptz not null default clock_timestamp(),
        primary key (stream, sink, partition)
      ) with (fillfactor = 50);`,
  },
]

export interface OffsetKey {
  readonly stream: string
  readonly sink: string
  readonly partition: number
}

export async function loadOffset(records: Records, key: OffsetKey): Promise<number | null> {
  const [row] = await records.query<{ next_offset: number }>('select next_offset from stream_offset where stream = $1 and sink = $2 and partition = $3', [
    key.stream,
    key.sink,
    key.partition,
  ])
  return row?.next_offset ?? null
}

export async function loadOffsets(records: Records, stream: string): Promise<{ sink: string; partition: number; next_offset: number }[]> {
  return records.query('select sink, partition, next_offset from stream_offset where stream = $1', [stream])
}

/** Moves the offset, or rejects with kind conflict when it is no longer at `from`. `from: null` means that there was no row. */
export async function moveOffset(tx: Queryable, key: OffsetKey, from: number | null, to: number): Promise<void> {
  const moved =
    from === null
      ? await tx.query('insert into stream_offset (stream, sink, partition, next_offset) values ($1, $2, $3, $4) on conflict do nothing returning 1', [
          key.stream,
          key.sink,
          key.partition,
          to,
        ])
      : await tx.query(
          'update stream_offset set next_offset = $4, moved_at = clock_timestamp() where stream = $1 and sink = $2 and partition = $3 and next_offset = $5 returning 1',
          [key.stream, key.sink, key.partition, to, from],
          { name: 'stream_offset_move' },
        )
  if (moved.length === 0) {
    throw conflict('streams.offset_moved', `The offset of ${key.sink} on ${key.stream}/${key.partition} was moved by another process`, {
      hint: 'Only one Lagoa may run this project on this database; the lane reads its offset again.',
    })
  }
}
