/**
 * What tasks say while they run: kept by attempt in the database, in small batches, so that it can be followed. Bounded: an attempt that
 * says too much is cut off, with a last line that tells so.
 */
import { invalid, toLagoaError, type Log } from '../base/index.ts'
import type { Records } from '../storage/index.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LogLine {
  readonly at: number
  readonly level: LogLevel
  readonly text: string
}

export interface RunLogs {
  /** For one attempt; `close` keeps what is left. */
  open(run: string, n: number, fence: number): AttemptLog
  close(): Promise<void>
}

export interface AttemptLog {
  line(level: LogLevel, text: string): void
  close(): Promise<void>
}

const FLUSH_MS = 200
const LONGEST_LINE = 16_384
const MOST_CHARACTERS = 8_000_000

export function openRunLogs(records: Records, log: Log): RunLogs {
  const open = new Set<AttemptLog>()
  return {
    open(run, n, fence) {
      let lines: (readonly [number, LogLevel, string])[] = []
      let seq = 0
      let characters = 0
      let timer: NodeJS.Timeout | null = null
      let writing: Promise<void> = Promise.resolve()
      const flush = (): void => {
        timer = null
        if (lines.length === 0) return
        const batch = lines
        lines = []
        const place = seq++
        writing = writing.then(() =>
          records
            .query(
              'insert into run_logs (run, n, fence, seq, lines) values ($1, $2, $3, $4, $5::jsonb) on conflict do nothing',
              [run, n, fence, place, JSON.stringify(batch)],
              {
                name: 'run_log_insert',
              },
            )
            .then(
              () => undefined,
              (error: unknown) => log.warn('runs.log_lost', { run, task: n, lines: batch.length, error: toLagoaError(error) }),
            ),
        )
      }
      const attempt: AttemptLog = {
        line(level, text) {
          if (characters > MOST_CHARACTERS) return
          characters += text.length
          const isLast = characters > MOST_CHARACTERS
          // A NUL is no text to PostgreSQL.
          const plain = text.replaceAll('\u0000', '\uFFFD')
          lines.push([Date.now(), level, plain.length > LONGEST_LINE ? `${plain.slice(0, LONGEST_LINE)}…` : plain])
          if (isLast) lines.push([Date.now(), 'warn', 'The rest of the log is not kept: it is too long.'])
          if (lines.length >= 500) {
            if (timer) clearTimeout(timer)
            flush()
          } else timer ??= setTimeout(flush, FLUSH_MS)
        },
        async close() {
          if (timer) clearTimeout(timer)
          flush()
          open.delete(attempt)
          await writing
        },
      }
      open.add(attempt)
      return attempt
    },
    async close() {
      for (const attempt of open) await attempt.close()
    },
  }
}

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

/** A batch that a transaction writes for longer than this is not waited for. */
const SETTLED_MS = 5_000
const CURSOR = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/

/**
 * Lines from `cursor` on, in the order in which their batches were written. A batch may become visible after one that was begun later, so
 * reading stops before the first that another transaction could still come before: whoever follows misses none. The lines of a node are those of
 * its elements, too.
 */
export async function readLogs(
  records: Records,
  run: string,
  { task, cursor, limit }: { readonly task?: number | undefined; readonly cursor?: string | undefined; readonly limit: number },
): Promise<LogPage> {
  const [, written = '0', n = '-1', fence = '0', seq = '-1'] = CURSOR.exec(cursor ?? '') ?? []
  if (cursor !== undefined && cursor !== '' && !CURSOR.test(cursor))
    throw invalid('runs.cursor', `"${cursor}" is no cursor of a log`, { hint: 'Pass what the page before answered, or none.' })
  const rows = await records.query<{
    written: string
    n: number
    fence: number
    seq: number
    node: number | null
    index: number | null
    settled: boolean
    lines: readonly (readonly [number, LogLevel, string])[]
  }>(
    `select l.written::text, l.n, l.fence, l.seq, t.node, t.item_index as index, l.written < pg_snapshot_xmin(pg_current_snapshot()) as settled, l.lines
     from run_logs l left join run_tasks t on t.run = l.run and t.n = l.n
     where l.run = $1 and (l.written, l.n, l.fence, l.seq) > ($2::text::xid8, $3::integer, $4::integer, $5::integer)
       and ($6::integer is null or l.n = $6 or t.node = $6)
     order by l.written, l.n, l.fence, l.seq limit 200`,
    [run, written, Number(n), Number(fence), Number(seq), task ?? null],
  )
  const items: (LogLine & LogPlace)[] = []
  let last = cursor ?? ''
  for (const row of rows) {
    if (items.length > 0 && items.length + row.lines.length > limit) break
    if (!row.settled && Date.now() - (row.lines.at(-1)?.[0] ?? 0) < SETTLED_MS) break
    for (const [at, level, text] of row.lines) items.push({ n: row.n, fence: row.fence, node: row.node, index: row.index, at, level, text })
    last = `${row.written}.${row.n}.${row.fence}.${row.seq}`
  }
  return { items, cursor: last }
}
