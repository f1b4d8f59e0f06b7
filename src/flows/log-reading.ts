/** The log of a run, read from the database and from the parts of it that have been moved to the object store, as one. */
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { invalid } from '../base/index.ts'
import type { Objects, Records } from '../storage/index.ts'
import type { LogLevel, LogLine } from './logs.ts'

export interface LogPage {
  readonly items: readonly (LogLine & { readonly n: number; readonly fence: number })[]
  /** Where to read on; the same again when nothing came. */
  readonly cursor: string
}

export interface LogFilter {
  readonly task?: number | undefined
  /** Only lines with this in them, in any case. */
  readonly search?: string | undefined
  /** Only lines of this level, or a graver one. */
  readonly level?: LogLevel | undefined
  readonly cursor?: string | undefined
  readonly limit: number
}

/** Lines are written in batches; where one stands among all of its run: task, try, number. */
export type BatchPlace = readonly [n: number, fence: number, seq: number]
export interface Batch {
  readonly place: BatchPlace
  readonly lines: readonly LogLine[]
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
const START: BatchPlace = [-1, 0, -1]

/** Lines in the order of tasks, of their tries and of what these said, from `cursor` on. */
export async function readLogs(records: Records, objects: Objects, run: string, { task, search, level = 'debug', cursor, limit }: LogFilter): Promise<LogPage> {
  const after = placeOf(cursor)
  const wanted = search?.toLowerCase() ?? ''
  const fits = (line: LogLine): boolean => RANK[line.level] >= RANK[level] && (wanted === '' || line.text.toLowerCase().includes(wanted))
  for (;;) {
    const parts = await partsAfter(records, run, task, after)
    const items: (LogLine & { n: number; fence: number })[] = []
    let last = after
    let seen = 0
    const sources = [rowsAfter(records, run, task, after), ...parts.map((part) => batchesOf(objects, part, task, after))]
    for await (const { place, lines } of inOrder(sources, [START, ...parts.map(({ first }) => first)])) {
      const found = lines.filter(fits)
      if (items.length > 0 && items.length + found.length > limit) break
      for (const { at, level: of, text } of found) items.push({ n: place[0], fence: place[1], at, level: of, text })
      last = place
      seen += lines.length
      if (items.length >= limit || seen >= MOST_LINES) break
    }
    // What was moved meanwhile may have been missed in both places.
    const now = await partsAfter(records, run, task, after)
    if (now.length === parts.length && now.every(({ path }, i) => path === parts[i]?.path)) return { items, cursor: last === START ? '' : last.join('.') }
  }
}

function placeOf(cursor: string | undefined): BatchPlace {
  if (cursor === undefined || cursor === '') return START
  const [, n, fence, seq] = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})$/.exec(cursor) ?? []
  if (n === undefined) throw invalid('runs.cursor', `"${cursor}" is no cursor of a log`, { hint: 'Pass what the page before answered.' })
  return [Number(n), Number(fence), Number(seq)]
}

const compare = (a: BatchPlace, b: BatchPlace): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]

async function partsAfter(records: Records, run: string, task: number | undefined, after: BatchPlace): Promise<LogPart[]> {
  return records.query<LogPart & object>(
    `select path, array[first_n, first_fence, first_seq] as first, array[last_n, last_fence, last_seq] as last from run_log_parts
     where run = $1 and (last_n, last_fence, last_seq) > ($2, $3, $4) and ($5::integer is null or $5 between first_n and last_n)
     order by first_n, first_fence, first_seq`,
    [run, ...after, task ?? null],
  )
}

async function* rowsAfter(records: Records, run: string, task: number | undefined, from: BatchPlace): AsyncGenerator<Batch> {
  for (let after = from; ;) {
    const rows = await records.query<{ n: number; fence: number; seq: number; lines: readonly (readonly [number, LogLevel, string])[] }>(
      `select n, fence, seq, lines from run_logs where run = $1 and (n, fence, seq) > ($2, $3, $4) and ($5::integer is null or n = $5)
       order by n, fence, seq limit ${ROWS_AT_ONCE}`,
      [run, ...after, task ?? null],
      { name: 'run_log_read' },
    )
    for (const { n, fence, seq, lines } of rows) {
      after = [n, fence, seq]
      yield { place: after, lines: lines.map(([at, level, text]) => ({ at, level, text })) }
    }
    if (rows.length < ROWS_AT_ONCE) return
  }
}

/** A line of a part: readable by people and by `zcat | jq`. */
export interface PartLine extends LogLine {
  readonly n: number
  readonly fence: number
  readonly seq: number
}

/** Nothing when the part has been removed meanwhile. */
async function* batchesOf(objects: Objects, { path }: LogPart, task: number | undefined, after: BatchPlace): AsyncGenerator<Batch> {
  const bytes = await objects.get(path)
  if (!bytes) return
  const text = (await promisify(gunzip)(bytes, { maxOutputLength: LARGEST_PART })).toString()
  let place: BatchPlace = START
  let lines: LogLine[] = []
  for (let from = 0; from < text.length;) {
    const end = text.indexOf('\n', from)
    const { n, fence, seq, at, level, text: said } = JSON.parse(text.slice(from, end)) as PartLine
    from = end + 1
    if (compare([n, fence, seq], place) !== 0) {
      if (lines.length > 0) yield { place, lines }
      place = [n, fence, seq]
      lines = []
    }
    if ((task === undefined || n === task) && compare(place, after) > 0) lines.push({ at, level, text: said })
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
