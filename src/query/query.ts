/**
 * Interactive SQL. The engine is confined twice: a query may be only one SELECT over named tables (checked on its parse tree), and the
 * DuckDB instance that runs it can open no file outside the lake, load nothing and change no setting.
 */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import { invalid, overLimit, toLagoaError } from '../base/index.ts'
import { bindTables, parseSelect, type Lake } from '../lake/index.ts'
import { jsonCell } from './cells.ts'

export interface Query {
  run(text: string, options?: QueryOptions): Promise<QueryAnswer>
  /** One round trip through the engine, in milliseconds. */
  ping(): Promise<number>
  close(): Promise<void>
}

export interface QueryOptions {
  /** At most this many rows are answered. */
  readonly limit?: number
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Reads these tables at an older version. */
  readonly versions?: ReadonlyMap<string, number>
  /** Conditions that the text applies to these tables anyway: files that cannot match are not opened. */
  readonly prune?: ReadonlyMap<string, string>
}

export interface QueryAnswer {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rows: readonly (readonly unknown[])[]
  /** There were more rows than the limit. */
  readonly truncated: boolean
  readonly elapsedMs: number
}

const DEFAULT_LIMIT = 1000
const LARGEST_LIMIT = 100_000
const DEFAULT_TIMEOUT_MS = 60_000

export async function openQuery(options: { readonly lake: () => Lake; readonly allowedFolder: string; readonly memoryLimit: string; readonly threads: number; readonly tempFolder: string }): Promise<Query> {
  const instance = await DuckDBInstance.create(':memory:', { threads: String(options.threads), memory_limit: options.memoryLimit, temp_directory: options.tempFolder })
  const control = await instance.connect()
  for (const setting of [
    "set TimeZone = 'UTC'",
    'set autoinstall_known_extensions = false',
    'set autoload_known_extensions = false',
    `set allowed_directories = ['${options.allowedFolder.replaceAll("'", "''")}/']`,
    'set enable_external_access = false',
    'set lock_configuration = true',
  ]) {
    await control.run(setting)
  }

  return {
    async run(text, { limit = DEFAULT_LIMIT, timeoutMs = DEFAULT_TIMEOUT_MS, signal, versions, prune } = {}) {
      if (!Number.isInteger(limit) || limit < 1 || limit > LARGEST_LIMIT) throw invalid('query.limit', `A query cannot answer ${limit} rows`, { hint: `Choose a limit from 1 to ${LARGEST_LIMIT}.` })
      const began = performance.now()
      const connection = await instance.connect()
      try {
        const { tables } = await parseSelect(connection, stripSemicolon(text))
        const lake = options.lake()
        const bound = new Map<string, string>()
        for (const name of tables) bound.set(name, await scanOf(lake, name, versions?.get(name), prune?.get(name)))
        const binding = await bindTables(connection, bound)
        try {
          return await answer(connection, stripSemicolon(text), { limit, timeoutMs, signal, began })
        } finally {
          await binding.release()
        }
      } finally {
        connection.closeSync()
      }
    },
    async ping() {
      const began = performance.now()
      await control.run('select 1')
      return performance.now() - began
    },
    async close() {
      control.closeSync()
      instance.closeSync()
    },
  }
}

async function scanOf(lake: Lake, name: string, version: number | undefined, where: string | undefined): Promise<string> {
  const table = lake.table(name)
  const snapshot = await table.snapshot(version === undefined ? undefined : { version })
  if (!snapshot) throw invalid('query.empty_table', `Table ${name} has no rows yet`, { hint: 'It gets its first version when its input has data; see `lagoa tables`.' })
  return table.scan(snapshot, where === undefined ? {} : { where })
}

async function answer(connection: DuckDBConnection, text: string, options: { limit: number; timeoutMs: number; signal: AbortSignal | undefined; began: number }): Promise<QueryAnswer> {
  const stop = AbortSignal.any([AbortSignal.timeout(options.timeoutMs), ...(options.signal ? [options.signal] : [])])
  const interrupt = (): void => connection.interrupt()
  stop.addEventListener('abort', interrupt, { once: true })
  try {
    const reader = await connection.streamAndReadUntil(text, options.limit + 1)
    const names = reader.columnNames()
    const types = reader.columnTypes()
    const rows = reader.getRows()
    return {
      columns: names.map((name, index) => ({ name, type: typeName(String(types[index] ?? '')) })),
      rows: rows.slice(0, options.limit).map((row) => row.map(jsonCell)),
      truncated: rows.length > options.limit,
      elapsedMs: performance.now() - options.began,
    }
  } catch (error) {
    if (stop.aborted) throw overLimit('query.timeout', `The query ran longer than ${options.timeoutMs / 1000} s and was stopped`, { hint: 'Narrow it with WHERE, or aggregate in a gold table.' })
    const message = error instanceof Error ? error.message : String(error)
    if (/^(Binder|Parser|Catalog|Conversion|Invalid Input|Out of Range|Syntax|Constraint|Not implemented)/i.test(message)) {
      throw invalid('query.failed', message.split('\n\nLINE')[0]?.trim() ?? message, { hint: 'The SQL dialect is that of DuckDB.', cause: error })
    }
    if (/^Out of Memory/i.test(message)) throw overLimit('query.memory', 'The query needs more memory than queries may use', { hint: 'Read fewer columns or rows, or raise query.memory in lagoa.config.ts.', cause: error })
    throw toLagoaError(error)
  } finally {
    stop.removeEventListener('abort', interrupt)
  }
}

const stripSemicolon = (text: string): string => text.trim().replace(/;\s*$/, '')

/** DuckDB's own short names: `timestamptz`, not the standard's long form. */
const typeName = (type: string): string => type.toLowerCase().replaceAll('timestamp with time zone', 'timestamptz')
