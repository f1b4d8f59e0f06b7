/**
 * How far a source has come, kept in the producer marks of its appends, one for each partition.
 *
 * A batch is stored partition by partition, and the next one begins when that is done; so everything before the batch of the newest mark
 * is stored everywhere. A source goes on from there, reads that one batch again, and each partition leaves out what its own mark
 * covers. When the topic has got more partitions since, that batch is finished as it was begun: its keys keep their old places.
 */
import { encodeJson } from '../log/batch.ts'
import { partitionOf } from '../log/partition.ts'
import type { EventLog, ProducerMark } from '../log/port.ts'
import type { SourceBatch } from './source.ts'

export interface Resume {
  readonly sequence: number
  readonly note: Readonly<Record<string, unknown>>
}

export interface Progress {
  /** Where the source must go on; null at the beginning. */
  readonly resume: Resume | null
  /** Stores what is not stored yet; answers how many records that were. */
  append(batch: SourceBatch): Promise<number>
}

/** What a mark's note holds. */
interface SourceMark {
  readonly sequence: number
  /** The source's own position after the batch. */
  readonly at: Resume['note']
  /** How many partitions the batch was spread over. */
  readonly partitions: number
  /** Where the batch began. */
  readonly before: Resume | null
  /** Records up to here were stored in all partitions before this append. */
  readonly complete: number
}

export async function openProgress(log: EventLog, topic: string, id: string, partitions: number): Promise<Progress> {
  const marks: (SourceMark | null)[] = []
  for (let partition = 0; partition < partitions; partition++) marks.push(sourceMark(await log.producerState(topic, `${id}/${partition}`)))
  const done = marks.map((mark) => mark?.sequence ?? 0)
  const newest = marks.reduce((best, mark) => (mark && mark.sequence > (best?.sequence ?? 0) ? mark : best), null)
  const resume = newest && (newest.partitions === 1 ? { sequence: newest.sequence, note: newest.at } : newest.before)
  let before = resume
  let complete = newest ? (newest.partitions === 1 ? newest.sequence : newest.complete) : 0

  /** Stores the records up to `to`, spread over `spread` partitions. */
  const appendPart = async (batch: SourceBatch, to: number, spread: number): Promise<number> => {
    const note = { at: batch.note, partitions: spread, before, complete }
    let stored = 0
    for (const [partition, { keys, values }] of spreadOut(batch, to, spread, (n, partition) => n > complete && n > (done[partition] ?? 0)).entries()) {
      if (values.length === 0) continue
      await log.append(topic, partition, encodeJson(keys, values), { producer: { id: `${id}/${partition}`, sequence: to, note } })
      done[partition] = to
      stored += values.length
    }
    complete = Math.max(complete, to)
    return stored
  }

  return {
    resume,
    async append(batch) {
      let stored = 0
      if (newest && newest.partitions !== partitions && complete < newest.sequence)
        stored += await appendPart(batch, Math.min(batch.sequence, newest.sequence), newest.partitions)
      stored += await appendPart(batch, batch.sequence, partitions)
      before = { sequence: batch.sequence, note: batch.note }
      return stored
    },
  }
}

interface Lot {
  readonly keys: readonly (string | null)[] | null
  readonly values: readonly string[]
}

function spreadOut(batch: SourceBatch, to: number, partitions: number, isWanted: (n: number, partition: number) => boolean): Lot[] {
  const first = batch.sequence - batch.values.length + 1
  if (partitions === 1 && to === batch.sequence && isWanted(first, 0)) return [batch]
  const lots = Array.from({ length: partitions }, () => ({ keys: [] as (string | null)[], values: [] as string[] }))
  for (let n = first; n <= to; n++) {
    const key = batch.keys?.[n - first] ?? null
    const partition = partitionOf(key, partitions, n)
    if (!isWanted(n, partition)) continue
    lots[partition]?.keys.push(key)
    lots[partition]?.values.push(batch.values[n - first] ?? '')
  }
  return lots
}

function sourceMark(mark: ProducerMark | null): SourceMark | null {
  if (!mark) return null
  const { at, partitions, before, complete } = mark.note ?? {}
  return {
    sequence: mark.sequence,
    at: isObject(at) ? at : {},
    partitions: typeof partitions === 'number' ? partitions : 1,
    before: isObject(before) && typeof before.sequence === 'number' && isObject(before.note) ? { sequence: before.sequence, note: before.note } : null,
    complete: typeof complete === 'number' ? complete : 0,
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)
