/**
 * The live cache: the newest record per key, written to the Keys port. Each delivery is coalesced to one write a key, guarded by
 * the record's place in the log, so a replay of any length changes nothing.
 *
 * A mark in the store tells how far it holds what the log says. Each delivery moves it on, from where it was left: when it is not there
 * any more, or elsewhere, the store was emptied or is another one. Then it is filled again from the log, the newest records first, so that
 * nobody sees a reading older than the one that follows; deliveries of new records go on meanwhile.
 */
import {
  conflict,
  invalid,
  isMissing,
  jsonValue,
  type LagoaError,
  newId,
  parseDuration,
  systemClock,
  type Clock,
  type RowColumn,
  type Rows,
} from '../base/index.ts'
import type { Keys, KeyWrite } from '../storage/index.ts'
import type { Live, Stream } from './declare.ts'
import { checkForm, keptRecords, nameOf, parseTemplate, type Template } from './kept.ts'
import type { DecodedBatch, Sink } from './sink.ts'

type LiveOption = Live<Stream['schema']>

export interface LivePlan {
  /** Of the sink that writes it. */
  readonly name: string
  readonly by: string
  readonly ttlMs: number | null
  /** The key of a row that is kept as it is. */
  keyOf(rows: Rows, row: number): string
  /** What all keys of this stream begin with. */
  readonly prefix: string
  readonly template: Template
  readonly option: LiveOption
}

/** The declarations of the live cache in their order. */
export function livesOf({ options: { live } }: Pick<Stream, 'options'>): readonly LiveOption[] {
  if (live === undefined) return []
  return 'by' in live ? [live] : live
}

/** How the first live cache of the stream is kept, the one that screens show; null when the stream keeps nothing live. */
export const planLive = (stream: Stream): LivePlan | null => planLives(stream)[0] ?? null

/** Checks the declarations and answers how rows become keys. */
export function planLives(stream: Stream): LivePlan[] {
  const plans = livesOf(stream).map((live, index) => planOne(stream, live, index))
  const twice = plans.find(({ option }, index) => plans.findIndex((other) => keyText(stream, other.option) === keyText(stream, option)) !== index)
  if (twice)
    throw invalid('streams.live_twice', `Stream ${stream.name} keeps ${keyText(stream, twice.option)} live twice`, {
      hint: 'Give each a key of its own.',
    })
  return plans
}

const keyText = (stream: Stream, { by, key }: LiveOption): string => key ?? `${stream.name}:{${by}}`

function planOne(stream: Stream, live: LiveOption, index: number): LivePlan {
  const where = `Stream ${stream.name}`
  if (!Object.hasOwn(stream.schema, live.by)) {
    throw invalid('streams.live_by', `${where}: live.by names the field ${live.by}, which the schema does not have`, {
      hint: `Its fields are: ${Object.keys(stream.schema).join(', ')}.`,
    })
  }
  const ttlMs = live.ttl === undefined ? null : parseDuration(live.ttl)
  if (live.ttl !== undefined && ttlMs === null)
    throw invalid('streams.live_ttl', `${where}: "${live.ttl}" is no duration`, { hint: "Write ttl: '1h', for example." })
  checkForm(stream, 'live', live)
  const template = parseTemplate(stream, 'live', keyText(stream, live), live)
  if ((stream.options.partitions ?? 1) > 1 && stream.options.key !== live.by) {
    throw invalid('streams.live_order', `${where}: with several partitions only records of one key keep their order, so live.by must be the key`, {
      hint: `Set key: '${live.by}', or partitions: 1.`,
    })
  }
  return {
    name: index === 0 ? 'live' : `live:${keyText(stream, live)}`,
    by: live.by,
    ttlMs,
    prefix: template[0] ?? '',
    template,
    option: live,
    keyOf(rows, row) {
      return template.map((part, place) => (place % 2 === 0 ? part : String(jsonValueOf(rows, part, row) ?? ''))).join('')
    },
  }
}

export function liveSink(stream: Stream, plan: LivePlan, keys: Keys, clock: Clock = systemClock): Sink {
  const { only, as } = plan.option
  const writesOf = only === undefined && as === undefined ? coalesce : coalesceForms
  /** By partition, the mark as this lane left it, and how far what came is written. */
  const marks = new Map<number, { text: string | null; isFull: boolean; upTo: number }>()
  const nameOfMark = (partition: number): string => `${stream.name}/${plan.name}/${partition}`

  const markOf = (partition: number): { text: string | null; isFull: boolean; upTo: number } => {
    const mark = marks.get(partition) ?? { text: null, isFull: false, upTo: 0 }
    marks.set(partition, mark)
    return mark
  }
  const moveMark = async (partition: number, to: string): Promise<void> => {
    const mark = markOf(partition)
    if (mark.text !== to && !(await keys.moveMark(nameOfMark(partition), mark.text, to))) throw lost(stream, plan, partition)
    mark.text = to
  }
  return {
    name: plan.name,
    kind: 'live',
    pace: { records: 20_000, ms: 50 },
    async position(partition) {
      const text = await keys.mark(nameOfMark(partition))
      const full = /^full (\d+)$/.exec(text ?? '')?.[1]
      marks.set(partition, { text, isFull: full !== undefined, upTo: Number(full ?? 0) })
      return full === undefined ? null : Number(full)
    },
    async deliver({ batches, partition, upTo }) {
      const writes = writesOf(stream, plan, batches, partition)
      if (writes.length > 0) await keys.put(writes)
      const mark = markOf(partition)
      mark.upTo = upTo
      // While the store is being filled its mark stays, and is looked at when that is done.
      if (mark.isFull) await moveMark(partition, fullUpTo(upTo))
    },
    refill: {
      async confirm(partition, upTo) {
        const { isFull, text } = markOf(partition)
        if (!isFull) return
        if (text !== fullUpTo(upTo)) await moveMark(partition, fullUpTo(upTo))
        else if ((await keys.mark(nameOfMark(partition))) !== text) throw lost(stream, plan, partition)
      },
      async fill(partition, upTo, stretches, signal) {
        const mark = markOf(partition)
        mark.upTo = Math.max(mark.upTo, upTo)
        await moveMark(partition, `filling ${newId()}`)
        for await (const batches of stretches) {
          const writes = writesOf(stream, plan, batches, partition)
          const left = plan.ttlMs === null ? null : plan.ttlMs - (clock.now() - (batches.at(-1)?.appendedAt ?? 0))
          // What is older is over, too.
          if (left !== null && left <= 0) break
          if (writes.length > 0) await keys.put(left === null ? writes : writes.map((write) => ({ ...write, ttlMs: left })))
        }
        signal.throwIfAborted()
        // Deliveries that come meanwhile leave the mark to this.
        do await moveMark(partition, fullUpTo(mark.upTo))
        while (mark.text !== fullUpTo(mark.upTo))
        mark.isFull = true
      },
    },
  }
}

const fullUpTo = (offset: number): string => `full ${offset}`

const lost = (stream: Stream, { name }: LivePlan, partition: number): LagoaError =>
  conflict('streams.keys_lost', `The store of ${name} no longer has what it got of ${stream.name}/${partition}`, {
    hint: 'It is filled again from the event log. When this comes again and again, two projects use one store: give each its own database in redis.url.',
  })

/** The same for records that are kept in a shape of their own, or not all of them. */
function coalesceForms(stream: Stream, plan: LivePlan, batches: readonly DecodedBatch[], partition: number): KeyWrite[] {
  const writes = new Map<string, KeyWrite>()
  for (const batch of batches.toReversed()) {
    const by = batch.rows.columns.find(({ name }) => name === plan.by)
    for (const { row, fields } of keptRecords(stream, plan.option, batch, true)) {
      const key = by && !isMissing(by, row) ? nameOf(plan.template, fields) : null
      if (key === null || writes.has(key)) continue
      writes.set(key, {
        key,
        fields: hashOf(fields),
        ...(plan.ttlMs === null ? {} : { ttlMs: plan.ttlMs }),
        order: { source: `${stream.name}/${partition}`, offset: batch.offsets[row] ?? 0 },
      })
    }
  }
  return [...writes.values()]
}

function hashOf(fields: Readonly<Record<string, unknown>>): Record<string, string> {
  const hash: Record<string, string> = {}
  for (const [name, value] of Object.entries(fields))
    if (value !== null && value !== undefined) hash[name] = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return hash
}

/** From the newest record back: the first one seen of a key is the one to keep. A record without the field to live by has no key. */
function coalesce(stream: Stream, plan: LivePlan, batches: readonly DecodedBatch[], partition: number): KeyWrite[] {
  const writes = new Map<string, KeyWrite>()
  // Keyed without the prefix, which would cost a new text for each of the records that are passed over.
  const source = `${stream.name}/${partition}`
  const isPlain = plan.option.key === undefined
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
