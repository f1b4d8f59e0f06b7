/**
 * Interactive SQL. The engine is confined twice: a query may be only one SELECT over named tables (checked on its parse tree), and the
 * DuckDB instance that runs it can open no file outside the lake, load nothing and change no setting.
 */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api'
import { LagoaError, invalid, missing, overLimit, toLagoaError } from '../base/index.ts'
import { bindTables, declaredColumns, fieldsOfRelation, interruptible, parseSelect, type DeltaTable, type Lake } from '../lake/index.ts'
import { jsonCell } from './cells.ts'
import { pinVersions, type PinnedSelect, type ReadAt } from './versions.ts'

export interface Query {
  run(text: string, options?: QueryOptions): Promise<QueryAnswer>
  /** Writes what a SELECT answers into a table, which is made when it is not there; for the project's own SQL, whose memory is the lake's. */
  write(text: string, into: DeltaTable, options: WriteOptions): Promise<WriteAnswer>
  /** One round trip through the engine, in milliseconds. */
  ping(): Promise<number>
  close(): Promise<void>
}

export interface QueryOptions {
  /** At most this many rows are answered. */
  readonly limit?: number
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Reads the tables as this branch has them. */
  readonly branch?: string
  /** Reads these tables at an older version, where the text does not say itself (`silver.readings at (version => 3)`). */
  readonly versions?: ReadonlyMap<string, number>
  /** The text may read tables in folders outside of the lake with `delta('/path')`: only a process of the user's own may allow that. */
  readonly outside?: boolean
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

/** A table by its place. */
export interface PlacedTable {
  readonly table: DeltaTable
  /** The folder of which the engine must be allowed to read files, when it lies outside of the lake. */
  readonly outside: string | null
  close(): Promise<void>
}

export interface WriteOptions {
  /** In place of the rows that are there, or beside them. */
  readonly mode: 'overwrite' | 'append'
  /** Rows of this name are appended once, however often it is asked. */
  readonly once?: string | undefined
  readonly signal?: AbortSignal | undefined
}
export interface WriteAnswer {
  readonly rows: number
  readonly version: number
}

export async function openQuery(options: {
  readonly lake: () => Lake
  /** Keeps the files that a query reads until the answer is called. */
  readonly hold: () => () => void
  /** Opens what `delta('...')` names; rejects places outside of the lake unless they are allowed. */
  readonly place?: (place: string, options: { readonly outside: boolean }) => Promise<PlacedTable>
  readonly allowedFolder: string
  readonly memoryLimit: string
  readonly threads: number
  readonly tempFolder: string
}): Promise<Query> {
  /** An engine that can open files below these folders and nothing else. */
  const confined = async (folders: readonly string[]): Promise<DuckDBInstance> => {
    const made = await DuckDBInstance.create(':memory:', {
      threads: String(options.threads),
      memory_limit: options.memoryLimit,
      temp_directory: options.tempFolder,
    })
    const setup = await made.connect()
    try {
      for (const setting of [
        "set global TimeZone = 'UTC'",
        'set autoinstall_known_extensions = false',
        'set autoload_known_extensions = false',
        `set allowed_directories = [${folders.map((folder) => `'${folder.replaceAll("'", "''")}/'`).join(', ')}]`,
        'set enable_external_access = false',
        'set lock_configuration = true',
      ]) {
        await setup.run(setting)
      }
    } catch (error) {
      made.closeSync()
      throw error
    } finally {
      setup.closeSync()
    }
    return made
  }
  const instance = await confined([options.allowedFolder])
  const control = await instance.connect()

  const running = new Set<Promise<unknown>>()
  /** A connection that is closed under its statement takes the process down with it: closing waits for all of them. */
  const whileOpen = <T>(work: Promise<T>): Promise<T> => {
    running.add(work)
    void work.catch(() => undefined).finally(() => running.delete(work))
    return work
  }

  const run = async (
    text: string,
    stop: AbortSignal,
    { limit = DEFAULT_LIMIT, versions, prune, branch, outside = false }: QueryOptions,
  ): Promise<QueryAnswer> => {
    if (!Number.isInteger(limit) || limit < 1 || limit > LARGEST_LIMIT)
      throw invalid('query.limit', `A query cannot answer ${limit} rows`, { hint: `Choose a limit from 1 to ${LARGEST_LIMIT}.` })
    const began = performance.now()
    const opened: (() => Promise<void> | void)[] = []
    try {
      const parser = await instance.connect()
      opened.push(() => parser.closeSync())
      const lake = branch === undefined ? options.lake() : await options.lake().within(branch)
      const { pinned, bound, folders } = await scansFor(parser, text, lake, opened, { versions, prune, outside })
      stop.throwIfAborted()
      // What an engine may open is fixed when it starts: for folders outside it takes one of its own.
      const connection = folders.length === 0 ? parser : await connectAnew(folders, opened)
      const binding = await bindTables(connection, bound)
      try {
        return await interruptible(connection, stop, () => answer(connection, pinned.text, limit, began))
      } finally {
        await binding.release()
      }
    } finally {
      for (const close of opened.reverse()) await close()
    }
  }

  /** What the SQL reads, at the versions that it names or that are the newest now; kept until what was opened is closed. */
  const scansFor = async (
    parser: DuckDBConnection,
    text: string,
    lake: Lake,
    opened: (() => Promise<void> | void)[],
    { versions, prune, outside = false }: Reading,
  ): Promise<{ pinned: PinnedSelect; bound: Map<string, string>; folders: string[] }> => {
    const asked = stripSemicolon(text)
    const { place } = options
    const parsed = await parseSelect(parser, asked, 'The query', () => columnNames(lake), { places: place !== undefined })
    const pinned = await pinVersions(parser, asked, parsed)
    const bound = new Map<string, string>()
    const folders: string[] = []
    for (const read of pinned.reads) {
      const placed = read.isPlace && place ? await place(read.name, { outside }) : null
      if (placed) opened.push(() => placed.close())
      if (placed?.outside) folders.push(placed.outside)
      const scan = await scanOf(placed?.table ?? lake.table(read.name), read, versions?.get(read.name), prune?.get(read.name))
      opened.push(scan.release)
      bound.set(read.alias, scan.sql)
    }
    return { pinned, bound, folders }
  }

  const write = async (text: string, into: DeltaTable, { mode, once, signal }: WriteOptions): Promise<WriteAnswer> => {
    const opened: (() => Promise<void> | void)[] = []
    try {
      const lake = options.lake()
      // Not the engine of queries, which can write nothing.
      const connection = await lake.duck.connect()
      opened.push(() => connection.closeSync())
      const { pinned, bound } = await scansFor(connection, text, lake, opened, {})
      const binding = await bindTables(connection, bound)
      opened.push(() => binding.release())
      const relation = { connection, sql: pinned.text }
      const fields = await fieldsOfRelation(relation)
      if (!(await into.snapshot()))
        await into.create({ fields }).catch(async (error: unknown) => (await into.snapshot()) ?? Promise.reject(toLagoaError(error)))
      const commit = signal ? { signal } : {}
      const txn = once === undefined ? {} : { txn: { appId: once, version: 1 } }
      const { rowsAdded, version } = await interruptible(connection, signal, async () => {
        if (mode === 'overwrite') return into.overwrite(relation, { schema: true, ...commit })
        await into.evolve(fields, commit)
        return into.append(relation, { ...commit, ...txn })
      })
      return { rows: rowsAdded, version }
    } finally {
      for (const close of opened.reverse()) await close()
    }
  }

  const connectAnew = async (folders: readonly string[], opened: (() => Promise<void> | void)[]): Promise<DuckDBConnection> => {
    const engine = await confined([options.allowedFolder, ...new Set(folders)])
    opened.push(() => engine.closeSync())
    const connection = await engine.connect()
    opened.push(() => connection.closeSync())
    return connection
  }

  return {
    async run(text, asked = {}) {
      const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = asked
      const late = AbortSignal.timeout(timeoutMs)
      const stop = signal ? AbortSignal.any([late, signal]) : late
      const work = whileOpen(run(text, stop, asked).finally(options.hold()))
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
    async write(text, into, asked) {
      try {
        return await whileOpen(write(text, into, asked).finally(options.hold()))
      } catch (error) {
        asked.signal?.throwIfAborted()
        throw queryError(error)
      }
    },
    async ping() {
      const began = performance.now()
      await whileOpen(control.run('select 1'))
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

interface Reading {
  readonly versions?: ReadonlyMap<string, number> | undefined
  readonly prune?: ReadonlyMap<string, string> | undefined
  readonly outside?: boolean
}

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

/** SQL for a table's rows; no vacuum of this process takes its files until the release. */
async function scanOf(
  table: DeltaTable,
  { name, isPlace, at }: ReadAt,
  version: number | undefined,
  where: string | undefined,
): Promise<{ readonly sql: string; readonly release: () => void }> {
  const snapshot = await table.snapshot(at ?? (version === undefined ? undefined : { version }))
  if (!snapshot && isPlace)
    throw missing('lake.table_missing', `There is no table at ${name}`, {
      hint: "Write its place as 'bucket/key', an address such as s3://bucket/key, or the path of a folder, which begins with / or ./",
    })
  if (!snapshot)
    throw invalid('query.empty_table', `Table ${name} has no rows yet`, { hint: 'It gets its first version when its input has data; see `lagoa tables`.' })
  const release = table.keep(snapshot)
  try {
    return { sql: await table.scan(snapshot, where === undefined ? {} : { where }), release }
  } catch (error) {
    release()
    throw error
  }
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
