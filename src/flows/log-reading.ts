/** The log of a run, read from the database and from the parts of it that have been moved to the object store, as one. */
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { invalid } from '../base/index.ts'
import type { Objects, Records } from '../storage/index.ts'
import type { LogLevel, LogLine } from './logs.ts'

/** Whose line it is; `node` is null when its task was made anew since, and `index` for what is no element. */
export interface LogPlace {
  readonly n: number
  readonly fence: number
  readonly node: number | null
  readonly index: number | null
}

export interface LogPage {
  readonly items: readonly (LogLine & LogPlace)[]
  /** Where to read on; the same again when nothing came. */
  readonly cursor: string
}

export interface LogFilter {
  /** Only of this task and, when it maps over a list, of its elements. */
  readonly task?: number | undefined
  /** Only lines with this in them, in any case. */
  readonly search?: string | undefined
  /** Only lines of this level, or a graver one. */
  readonly level?: LogLevel | undefined
  readonly cursor?: string | undefined
  readonly limit: number
}

/** Lines are written in batches. Where one stands among all of its run: when it was written, by the transaction, and then task, try and number. */
export type BatchPlace = readonly [written: number, n: number, fence: number, seq: number]
export interface Batch {
  readonly place: BatchPlace
  readonly lines: readonly LogLine[]
  /** Another that is still being written could come before it. */
  readonly isEarly?: boolean
}

/** One file of batches that were moved, with the places of its first and last one. */
export interface LogPart {
  readonly path: string
  readonly first: BatchPlace
  readonly last: BatchPlace
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }
const ROWS_AT_ONCE = 20
/** What one page looks through at most, when little of it is wanted; the cursor then stands where it ended. */
const MOST_LINES = 500_000
const LARGEST_PART = 256_000_000
const START: BatchPlace = [0, -1, 0, -1]
/** A batch that a transaction writes for longer than this is not waited for. */
const SETTLED_MS = 5_000

/**
 * Lines from `cursor` on, in the order in which their batches were written. A batch may become visible after one that was begun later, so
 * reading stops before the first that another transaction could still come before: whoever follows misses none.
 */
export async function readLogs(records: Records, objects: Objects, run: string, { task, search, level = 'debug', cursor, limit }: LogFilter): Promise<LogPage> {
  const after = placeOf(cursor)
  const wanted = search?.toLowerCase() ?? ''
  const fits = (line: LogLine): boolean => RANK[line.level] >= RANK[level] && (wanted === '' || line.text.toLowerCase().includes(wanted))
  const tasks = task === undefined ? null : await tasksOf(records, run, task)
  for (;;) {
    const parts = await partsAfter(records, run, after)
    const items: (LogLine & { n: number; fence: number })[] = []
    let last = after
    let seen = 0
    const sources = [rowsAfter(records, run, tasks, after), ...parts.map((part) => batchesOf(objects, part, tasks, after))]
    for await (const { place, lines, isEarly = false } of inOrder(sources, [START, ...parts.map(({ first }) => first)])) {
      const found = lines.filter(fits)
      if (isEarly || (items.length > 0 && items.length + found.length > limit)) break
      for (const { at, level: of, text } of found) items.push({ n: place[1], fence: place[2], at, level: of, text })
      last = place
      seen += lines.length
      if (items.length >= limit || seen >= MOST_LINES) break
    }
    // What was moved meanwhile may have been missed in both places.
    const now = await partsAfter(records, run, after)
    if (now.length !== parts.length || now.some(({ path }, i) => path !== parts[i]?.path)) continue
    const places = await placesOf(records, run, [...new Set(items.map(({ n }) => n))])
    return {
      items: items.map((item) => ({ ...item, ...(places.get(item.n) ?? { node: null, index: null }) })),
      cursor: last === START ? '' : last.join('.'),
    }
  }
}

function placeOf(cursor: string | undefined): BatchPlace {
  if (cursor === undefined || cursor === '') return START
  const [, written, n, fence, seq] = /^(\d{1,15})\.(\d{1,9})\.(\d{1,9})\.(\d{1,9})$/.exec(cursor) ?? []
  if (n === undefined) throw invalid('runs.cursor', `"${cursor}" is no cursor of a log`, { hint: 'Pass what the page before answered, or none.' })
  return [Number(written), Number(n), Number(fence), Number(seq)]
}

const compare = (a: BatchPlace, b: BatchPlace): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]

/** A task and its elements. */
async function tasksOf(records: Records, run: string, task: number): Promise<ReadonlySet<number>> {
  const rows = await records.query<{ n: number }>('select n from run_tasks where run = $1 and (n = $2 or node = $2)', [run, task])
  return new Set([task, ...rows.map(({ n }) => n)])
}

async function placesOf(records: Records, run: string, tasks: readonly number[]): Promise<ReadonlyMap<number, { node: number; index: number | null }>> {
  if (tasks.length === 0) return new Map()
  const rows = await records.query<{ n: number; node: number; index: number | null }>(
    'select n, node, item_index as index from run_tasks where run = $1 and n = any($2)',
    [run, tasks],
    { name: 'run_log_places' },
  )
  return new Map(rows.map(({ n, node, index }) => [n, { node, index }]))
}

async function partsAfter(records: Records, run: string, after: BatchPlace): Promise<LogPart[]> {
  return records.query<LogPart & object>(`select path, first, last from run_log_parts where run = $1 and last > $2::bigint[] order by first`, [run, after])
}

async function* rowsAfter(records: Records, run: string, tasks: ReadonlySet<number> | null, from: BatchPlace): AsyncGenerator<Batch> {
  for (let after = from; ;) {
    const rows = await records.query<{
      written: number
      n: number
      fence: number
      seq: number
      settled: boolean
      lines: readonly (readonly [number, LogLevel, string])[]
    }>(
      `select written::text::bigint as written, n, fence, seq, written < pg_snapshot_xmin(pg_current_snapshot()) as settled, lines from run_logs
       where run = $1 and (written, n, fence, seq) > ($2::text::xid8, $3::integer, $4::integer, $5::integer) and ($6::integer[] is null or n = any($6))
       order by run_logs.written, n, fence, seq limit ${ROWS_AT_ONCE}`,
      [run, String(after[0]), after[1], after[2], after[3], tasks && [...tasks]],
      { name: 'run_log_read' },
    )
    for (const { written, n, fence, seq, settled, lines } of rows) {
      after = [written, n, fence, seq]
      const isEarly = !settled && Date.now() - (lines.at(-1)?.[0] ?? 0) < SETTLED_MS
      yield { place: after, lines: lines.map(([at, level, text]) => ({ at, level, text })), isEarly }
    }
    if (rows.length < ROWS_AT_ONCE) return
  }
}

/** A line of a part: readable by people and by `zcat | jq`. */
export interface PartLine extends LogLine {
  readonly written: number
  readonly n: number
  readonly fence: number
  readonly seq: number
}

/** Nothing when the part has been removed meanwhile. */
async function* batchesOf(objects: Objects, { path }: LogPart, tasks: ReadonlySet<number> | null, after: BatchPlace): AsyncGenerator<Batch> {
  const bytes = await objects.get(path)
  if (!bytes) return
  const text = (await promisify(gunzip)(bytes, { maxOutputLength: LARGEST_PART })).toString()
  let place: BatchPlace = START
  let lines: LogLine[] = []
  for (let from = 0; from < text.length;) {
    const end = text.indexOf('\n', from)
    const { written, n, fence, seq, at, level, text: said } = JSON.parse(text.slice(from, end)) as PartLine
    from = end + 1
    if (compare([written, n, fence, seq], place) !== 0) {
      if (lines.length > 0) yield { place, lines }
      place = [written, n, fence, seq]
      lines = []
    }
    if ((tasks === null || tasks.has(n)) && compare(place, after) > 0) lines.push({ at, level, text: said })
  }
  if (lines.length > 0) yield { place, lines }
}

/** Batches of all sources, each in order by itself, in one order. None is opened before its first place is reached. */
async function* inOrder(sources: readonly AsyncGenerator<Batch>[], firsts: readonly BatchPlace[]): AsyncGenerator<Batch> {
  const open = sources.map((source, i) => ({ source, place: firsts[i] ?? START, head: null as Batch | null }))
  try {
    while (open.length > 0) {
      const least = open.reduce((a, b) => (compare(b.place, a.place) < 0 ? b : a))
      if (least.head) yield least.head
      const next = await least.source.next()
      if (next.done) open.splice(open.indexOf(least), 1)
      else Object.assign(least, { head: next.value, place: next.value.place })
    }
  } finally {
    for (const { source } of open) await source.return(undefined)
  }
}
