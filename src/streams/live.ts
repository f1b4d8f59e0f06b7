/**
 * The live cache: the newest record per key, written to the Keys port. Each delivery is coalesced to one write a key, guarded by
 * the record's place in the log, so a replay of any length changes nothing.
 */
import { invalid, isMissing, jsonValue, parseDuration, type RowColumn, type Rows } from '../base/index.ts'
import type { Keys, KeyWrite } from '../storage/index.ts'
import type { Stream } from './declare.ts'
import type { DecodedBatch, Sink } from './sink.ts'

export interface LivePlan {
  readonly by: string
  readonly ttlMs: number | null
  /** The key of a row. */
  keyOf(rows: Rows, row: number): string
  /** What all keys of this stream begin with. */
  readonly prefix: string
}

/** Checks the declaration and answers how rows become keys, or null when the stream keeps nothing live. */
export function planLive(stream: Stream): LivePlan | null {
  const live = stream.options.live
  if (!live) return null
  const where = `Stream ${stream.name}`
  if (!Object.hasOwn(stream.schema, live.by)) {
    throw invalid('streams.live_by', `${where}: live.by names the field ${live.by}, which the schema does not have`, {
      hint: `Its fields are: ${Object.keys(stream.schema).join(', ')}.`,
    })
  }
  const ttlMs = live.ttl === undefined ? null : parseDuration(live.ttl)
  if (live.ttl !== undefined && ttlMs === null)
    throw invalid('streams.live_ttl', `${where}: "${live.ttl}" is no duration`, { hint: "Write ttl: '1h', for example." })
  const parts = (live.key ?? `${stream.name}:{${live.by}}`).split(/\{([^}]*)\}/)
  const unknown = parts.find((part, index) => index % 2 === 1 && !Object.hasOwn(stream.schema, part))
  if (unknown !== undefined)
    throw invalid('streams.live_key', `${where}: live.key names the field ${unknown}, which the schema does not have`, {
      hint: `Its fields are: ${Object.keys(stream.schema).join(', ')}.`,
    })
  if ((stream.options.partitions ?? 1) > 1 && stream.options.key !== live.by) {
    throw invalid('streams.live_order', `${where}: with several partitions only records of one key keep their order, so live.by must be the key`, {
      hint: `Set key: '${live.by}', or partitions: 1.`,
    })
  }
  return {
    by: live.by,
    ttlMs,
    prefix: parts[0] ?? '',
    keyOf(rows, row) {
      return parts.map((part, index) => (index % 2 === 0 ? part : String(jsonValueOf(rows, part, row) ?? ''))).join('')
    },
  }
}

export function liveSink(stream: Stream, plan: LivePlan, keys: Keys): Sink {
  return {
    name: 'live',
    kind: 'live',
    pace: { records: 20_000, ms: 50 },
    async deliver({ batches, partition }) {
      const writes = coalesce(stream, plan, batches, partition)
      if (writes.length > 0) await keys.put(writes)
    },
  }
}

/** From the newest record back: the first one seen of a key is the one to keep. A record without the field to live by has no key. */
function coalesce(stream: Stream, plan: LivePlan, batches: readonly DecodedBatch[], partition: number): KeyWrite[] {
  const writes = new Map<string, KeyWrite>()
  // Keyed without the prefix, which would cost a new text for each of the records that are passed over.
  const source = `${stream.name}/${partition}`
  const isPlain = stream.options.live?.key === undefined
  for (const { rows, offsets } of batches.toReversed()) {
    const by = rows.columns.find(({ name }) => name === plan.by)
    if (!by) continue
    for (let row = rows.count - 1; row >= 0; row--) {
      if (isMissing(by, row)) continue
      const name = isPlain && by.kind === 'text' ? (by.values[row] ?? '') : plan.keyOf(rows, row)
      if (writes.has(name)) continue
      const key = isPlain && by.kind === 'text' ? plan.prefix + name : name
      writes.set(name, {
        key,
        fields: fieldsOf(rows.columns, row),
        ...(plan.ttlMs === null ? {} : { ttlMs: plan.ttlMs }),
        order: { source, offset: offsets[row] ?? 0 },
      })
    }
  }
  return [...writes.values()]
}

/** A hash of text fields as Redis keeps it; what is missing is left out. */
function fieldsOf(columns: readonly RowColumn[], row: number): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const column of columns) if (!isMissing(column, row)) fields[column.name] = String(jsonValue(column, row))
  return fields
}

function jsonValueOf(rows: Rows, name: string, row: number): unknown {
  const column = rows.columns.find((candidate) => candidate.name === name)
  return column ? jsonValue(column, row) : null
}
