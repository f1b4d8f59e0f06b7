/**
 * Consumer groups of readers outside: a name under which somebody keeps, per partition, the offset of the next record to read.
 * Reading moves nothing; who has dealt with the records commits, so a reader that dies reads them again (at least once).
 */
import { conflict, invalid } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { EventLog } from './log/port.ts'
import { loadOffset } from './offsets.ts'

export interface GroupOffset {
  readonly partition: number
  /** The next offset to read. */
  readonly offset: number
  /** Records in the log from there on. */
  readonly lag: number
}

export interface ConsumerGroup {
  readonly group: string
  readonly partitions: readonly GroupOffset[]
}

/** Offsets of groups stand beside those of the sinks, under names that no sink has. */
const PREFIX = 'group:'

export async function groupOffset(records: Records, stream: string, group: string, partition: number): Promise<number | null> {
  return loadOffset(records, { stream, sink: sinkOf(group), partition })
}

export async function listGroups(records: Records, log: EventLog, stream: string): Promise<ConsumerGroup[]> {
  const rows = await records.query<{ sink: string; partition: number; next_offset: number }>(
    'select sink, partition, next_offset from stream_offset where stream = $1 and starts_with(sink, $2) order by sink, partition',
    [stream, PREFIX],
  )
  const ends = await log.ends(stream)
  const groups = Map.groupBy(rows, ({ sink }) => sink)
  return [...groups].map(([sink, offsets]) => ({
    group: sink.slice(PREFIX.length),
    partitions: offsets.map(({ partition, next_offset: offset }) => ({ partition, offset, lag: Math.max(0, (ends[partition] ?? 0) - offset) })),
  }))
}

/**
 * Says that everything before `offset` was dealt with. With `from` it is done only when the group still stands there, so that of two
 * members that read the same records only the first commits. It may go back, to read again.
 */
export async function commitGroup(
  records: Records,
  log: EventLog,
  stream: string,
  group: string,
  { partition, offset, from }: { readonly partition: number; readonly offset: number; readonly from?: number | undefined },
): Promise<void> {
  const end = (await log.ends(stream))[partition]
  if (end === undefined) throw invalid('streams.no_partition', `Stream ${stream} has no partition ${partition}`, { hint: 'Partitions count from 0.' })
  if (offset > end)
    throw invalid('streams.offset_beyond', `Offset ${offset} is beyond the end of ${stream}/${partition}, which is ${end}`, {
      hint: 'Commit the offset after the last record that was read.',
    })
  const moved = await records.query(
    `insert into stream_offset as known (stream, sink, partition, next_offset) values ($1, $2, $3, $4)
     on conflict (stream, sink, partition) do update set next_offset = excluded.next_offset, moved_at = clock_timestamp()
     where $5::bigint is null or known.next_offset = $5
     returning 1`,
    [stream, sinkOf(group), partition, offset, from ?? null],
  )
  if (moved.length === 0) {
    throw conflict('streams.group_moved', `Group ${group} no longer stands at ${from} on ${stream}/${partition}`, {
      hint: 'Another member of the group committed first; read again from where it stands.',
    })
  }
}

function sinkOf(group: string): string {
  if (!/^[A-Za-z0-9._-]{1,100}$/.test(group))
    throw invalid('streams.group_name', `"${group}" cannot be the name of a consumer group`, {
      hint: 'Use letters, digits, dot, underscore and hyphen, at most 100.',
    })
  return PREFIX + group
}
