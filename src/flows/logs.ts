/**
 * What tasks say while they run: kept by attempt in the database, in small batches, so that it can be followed. Bounded: an attempt that
 * says too much is cut off, with a last line that tells so.
 */
import { toLagoaError, type Log } from '../base/index.ts'
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
