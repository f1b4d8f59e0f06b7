/**
 * Structured logs: one JSON object a line, or one coloured line on a terminal. Event names are stable and
 * dotted (`stream.batch_failed`); fields carry identifiers and counts, never row data or secrets.
 */
import { LagoaError } from './errors.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Log
}

export interface LogOptions {
  readonly level?: LogLevel
  readonly format?: 'json' | 'pretty'
  readonly write?: (line: string) => void
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 10, info: 20, warn: 30, error: 40 }

export function createLog(options: LogOptions = {}, context: LogFields = {}): Log {
  const least = RANK[options.level ?? 'info']
  const write = options.write ?? ((line) => process.stderr.write(line + '\n'))
  const render = options.format === 'pretty' ? prettyLine : jsonLine
  const at =
    (level: LogLevel) =>
    (event: string, fields: LogFields = {}): void => {
      if (RANK[level] >= least) write(render(level, event, { ...context, ...fields }))
    }
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    with: (fields) => createLog(options, { ...context, ...fields }),
  }
}

export const silentLog: Log = createLog({ write: () => undefined })

function jsonLine(level: LogLevel, event: string, fields: LogFields): string {
  return JSON.stringify({ time: new Date().toISOString(), level, event, ...fields }, (_, value: unknown) => plain(value))
}

const COLOURS: Readonly<Record<LogLevel, string>> = { debug: '\u001b[2m', info: '\u001b[36m', warn: '\u001b[33m', error: '\u001b[31m' }

function prettyLine(level: LogLevel, event: string, fields: LogFields): string {
  const time = new Date().toISOString().slice(11, 19)
  const rest = Object.entries(fields)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(plain(value), (_, inner: unknown) => plain(inner))}`)
    .join(' ')
  return `\u001b[2m${time}\u001b[0m ${COLOURS[level]}${level.padEnd(5)}\u001b[0m ${event}${rest ? `  \u001b[2m${rest}\u001b[0m` : ''}`
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof LagoaError) return { code: value.code, message: value.message, ...(value.hint ? { hint: value.hint } : {}) }
  if (value instanceof Error) return { message: value.message, stack: value.stack }
  return value
}
