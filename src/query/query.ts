/**
 * Interactive SQL. The engine is confined twice: a query may be only one SELECT over named tables (checked on its parse tree), and the
 * DuckDB instance that runs it can open no file outside the lake, load nothing and change no setting.
 */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import { LagoaError, invalid, overLimit, toLagoaError } from '../base/index.ts'
import { bindTables, declaredColumns, interruptible, parseSelect, type Lake } from '../lake/index.ts'
import { jsonCell } from './cells.ts'
import { pinVersions, type ReadAt } from './versions.ts'

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
  /** Reads these tables at an older version, where the text does not say itself (`silver.readings at (version => 3)`). */
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

export async function openQuery(options: {
  readonly lake: () => Lake
  /** Keeps the files that a query reads until the answer is called. */
  readonly hold: () => () => void
  readonly allowedFolder: string
  readonly memoryLimit: string
  readonly threads: number
  readonly tempFolder: string
}): Promise<Query> {
  const instance = await DuckDBInstance.create(':memory:', {
    threads: String(options.threads),
    memory_limit: options.memoryLimit,
    temp_directory: options.tempFolder,
  })
  const control = await instance.connect()
  for (const setting of [
    "set global TimeZone = 'UTC'",
    'set autoinstall_known_extensions = false',
    'set autoload_known_extensions = false',
    `set allowed_directories = ['${options.allowedFolder.replaceAll("'", "''")}/']`,
    'set enable_external_access = false',
    'set lock_configuration = true',
  ]) {
    await control.run(setting)
  }

  const running = new Set<Promise<unknown>>()

  const run = async (text: string, stop: AbortSignal, { limit = DEFAULT_LIMIT, versions, prune }: QueryOptions): Promise<QueryAnswer> => {
    if (!Number.isInteger(limit) || limit < 1 || limit > LARGEST_LIMIT)
      throw invalid('query.limit', `A query cannot answer ${limit} rows`, { hint: `Choose a limit from 1 to ${LARGEST_LIMIT}.` })
    const began = performance.now()
    const connection = await instance.connect()
    try {
      const lake = options.lake()
      const asked = stripSemicolon(text)
      const parsed = await parseSelect(connection, asked, 'The query', () => columnNames(lake))
      const pinned = await pinVersions(connection, asked, parsed)
      const bound = new Map<string, string>()
      for (const read of pinned.reads) bound.set(read.alias, await scanOf(lake, read, versions?.get(read.name), prune?.get(read.name)))
      stop.throwIfAborted()
      const binding = await bindTables(connection, bound)
      try {
        return await interruptible(connection, stop, () => answer(connection, pinned.text, limit, began))
      } finally {
        await binding.release()
      }
    } finally {
      connection.closeSync()
    }
  }

  return {
    async run(text, asked = {}) {
      const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = asked
      const late = AbortSignal.timeout(timeoutMs)
      const stop = signal ? AbortSignal.any([late, signal]) : late
      const work = run(text, stop, asked).finally(options.hold())
      running.add(work)
      void work.catch(() => undefined).finally(() => running.delete(work))
      try {
        return await notMuchLater(work, stop)
      } catch (error) {
        signal?.throwIfAborted()
        if (late.aborted)
          throw overLimit('query.timeout', `The query ran longer than ${timeoutMs / 1000} s and was stopped`, {
            hint: 'Narrow it with WHERE, or aggregate in a gold table.',
          })
        throw queryError(error)
      }
    },
    async ping() {
      const began = performance.now()
      await control.run('select 1')
      return performance.now() - began
    },
    async close() {
      await Promise.allSettled(running)
      control.closeSync()
      instance.closeSync()
    },
  }
}

/** DuckDB looks for an interrupt between vectors: a single value that takes long is not waited for, it ends on its own. */
const GRACE_MS = 150

async function notMuchLater<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  let watch = (): void => undefined
  const overdue = new Promise<never>((_, reject) => {
    watch = () => void (timer = setTimeout(() => reject(stop.reason), GRACE_MS))
    if (stop.aborted) watch()
    else stop.addEventListener('abort', watch, { once: true })
  })
  try {
    return await Promise.race([work, overdue])
  } finally {
    stop.removeEventListener('abort', watch)
    clearTimeout(timer)
  }
}

async function scanOf(lake: Lake, { name, at }: ReadAt, version: number | undefined, where: string | undefined): Promise<string> {
  const table = lake.table(name)
  const snapshot = await table.snapshot(at ?? (version === undefined ? undefined : { version }))
  if (!snapshot)
    throw invalid('query.empty_table', `Table ${name} has no rows yet`, { hint: 'It gets its first version when its input has data; see `lagoa tables`.' })
  return table.scan(snapshot, where === undefined ? {} : { where })
}

async function answer(connection: DuckDBConnection, text: string, limit: number, began: number): Promise<QueryAnswer> {
  const reader = await connection.streamAndReadUntil(text, limit + 1)
  const names = reader.columnNames()
  const types = reader.columnTypes()
  const rows = reader.getRows()
  return {
    columns: names.map((name, index) => ({ name, type: String(types[index] ?? '').toLowerCase() })),
    rows: rows.slice(0, limit).map((row) => row.map(jsonCell)),
    truncated: rows.length > limit,
    elapsedMs: performance.now() - began,
  }
}

/** Names of columns that a query may mean, for the hint when it does not parse. */
async function columnNames(lake: Lake): Promise<string[]> {
  const names: string[] = []
  for (const [name, table] of lake.plan.tables) {
    const declared = declaredColumns(table)
    const known = declared
      ? Object.keys(declared)
      : await lake
          .table(name)
          .snapshot()
          .then(
            (snapshot) => (snapshot?.metadata.fields ?? []).map((field) => field.name),
            () => [],
          )
    names.push(...known)
  }
  return names
}

function queryError(error: unknown): LagoaError {
  if (error instanceof LagoaError) return error
  const message = error instanceof Error ? error.message : String(error)
  if (/^Out of Memory/i.test(message))
    return overLimit('query.memory', 'The query needs more memory than queries may use', {
      hint: 'Read fewer columns or rows, or raise query.memory in lagoa.config.ts.',
      cause: error,
    })
  if (/^(Binder|Parser|Catalog|Conversion|Invalid Input|Out of Range|Syntax|Constraint|Not implemented|Permission|Parameter)/i.test(message)) {
    return invalid('query.failed', message.split('\n\nLINE')[0]?.trim() ?? message, { hint: 'The SQL dialect is that of DuckDB.', cause: error })
  }
  return toLagoaError(error)
}

const stripSemicolon = (text: string): string => text.trim().replace(/;\s*$/, '')
