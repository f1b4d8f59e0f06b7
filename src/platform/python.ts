/**
 * Users' Python for the rooms that have work for it: models of tables, tasks of flows, workloads. They say where the data is; here it becomes
 * files that the sandbox can open, and what comes back becomes rows, an object or a table.
 */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { invalid, toLagoaError } from '../base/index.ts'
import type { Json, PythonAnswer, PythonCall } from '../flows/index.ts'
import {
  bindTables,
  fieldsOfRelation,
  interruptible,
  isMade,
  parseSelect,
  quoteText,
  renderSql,
  type Lake,
  type PythonJob,
  type PythonRunner,
  type Sql,
} from '../lake/index.ts'
import { faultOf, formatOf, type Walled, type WalledJob } from '../processing/index.ts'
import type { Objects } from '../storage/index.ts'
import type { PythonBatch } from '../workloads/index.ts'

type JobInput = WalledJob['input']
type Connection = Awaited<ReturnType<Lake['duck']['connect']>>

/** Where rows are: a table by its name, an object by its path, a query over tables, or the rows themselves. */
export type Source = { readonly table: string } | { readonly object: string } | { readonly sql: string } | { readonly rows: readonly unknown[] }

export interface PythonPlaces {
  readonly walled: Walled
  readonly objects: Objects
  readonly temporaryFolder: string
  readonly lake: () => Lake
  /** The text of a script of the project. */
  readonly readScript: (file: string) => Promise<string>
  /** A table has a new version. */
  readonly onTable: (name: string) => void
}

/** The runner of models that the lake asks for: a script defines `process(df, ...)`, which gets the first input and by name the others. */
export function pythonRunner(walled: Walled): PythonRunner {
  return {
    capabilities: { name: 'sandbox', format: 'parquet' },
    async run({ table, file, source, inputs: { input, ...others }, output, limits, signal, onLine }: PythonJob) {
      const data = (path: string): JobInput => ({ path, format: 'parquet', key: null })
      if (input === undefined) throw invalid('lake.made_from', `Table ${table} gives ${file} no rows`, { hint: 'Name a table with from.' })
      const result = await walled.run(
        {
          code: source,
          input: data(input),
          inputs: Object.fromEntries(Object.entries(others).map(([name, path]) => [name, data(path)])),
          output,
          timeoutMs: Math.min(limits.seconds * 1000, walled.most.wallMs),
          memoryBytes: Math.min(limits.memoryBytes, walled.most.memoryBytes),
        },
        { signal, onLog: (text) => onLine({ from: 'stdout', text }) },
      )
      const fault = faultOf(result, file)
      if (fault) throw fault
    },
  }
}

/** What `task.python` does. */
export function pythonTool(places: PythonPlaces): (call: PythonCall) => Promise<PythonAnswer> {
  const { walled, objects, readScript } = places
  return async ({ file, code, input, arguments: given, into, timeoutMs, memoryBytes, place, key, signal, log }) => {
    const source = sourceOf(input)
    const script = file === null ? (code ?? '') : await readScript(file)
    return inFolder(places, async (folder) =>
      withInput(places, folder, source, signal, async (data) => {
        const output = join(folder, 'result.parquet')
        const result = await walled.run(
          {
            code: script,
            input: data,
            arguments: given,
            output,
            timeoutMs: timeoutMs === null ? undefined : Math.min(timeoutMs, walled.most.wallMs),
            memoryBytes: memoryBytes ?? undefined,
          },
          { signal, onLog: log },
        )
        const fault = faultOf(result, file ?? 'the code')
        if (fault) throw fault
        const columns = (result.columns ?? []).map(({ name, type }) => ({ name, type }))
        const count = result.rows ?? 0
        if (into !== null) {
          await writeTable(places, into, output, key, signal)
          return { columns, count, rows: null, table: into, object: null }
        }
        await publish(objects, output, place)
        return { columns, count, rows: await smallRows(places.lake(), output, count), table: null, object: place }
      }),
    )
  }
}

/** What workloads of the kind `python` do. */
export function pythonBatch(places: PythonPlaces): PythonBatch {
  const { walled } = places
  return async ({ source, code, timeoutMs, memoryBytes }, { signal, log }, body) =>
    inFolder(places, (folder) =>
      withInput(places, folder, source, signal, async (data) => {
        const output = join(folder, 'result.parquet')
        const result = await walled.run({ code, input: data, output, timeoutMs, memoryBytes }, { signal, onLog: log })
        const fault = faultOf(result, 'the code')
        if (fault) throw fault
        return body(output)
      }),
    )
}

const INLINE_ROWS = 1_000
const INLINE_CHARACTERS = 24_000

async function inFolder<T>({ temporaryFolder }: PythonPlaces, body: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(temporaryFolder, 'python-'))
  try {
    return await body(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The rows as a file that the sandbox can open, good until `body` has ended. */
async function withInput<T>(
  { objects, lake }: PythonPlaces,
  folder: string,
  source: Source,
  signal: AbortSignal,
  body: (input: JobInput) => Promise<T>,
): Promise<T> {
  if ('rows' in source) {
    const path = join(folder, 'input.json')
    await writeFile(path, source.rows.length === 0 ? '[]' : source.rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
    return body({ path, format: 'json', key: null })
  }
  const release = objects.hold()
  try {
    if ('object' in source) {
      const info = await objects.head(source.object)
      if (!info) throw invalid('python.no_object', `There is no object ${source.object}`, { hint: 'Name a table, or bucket/path/file of the object store.' })
      const key = `${source.object} ${info.size} ${info.modified}`
      return await body({ path: await objects.localFile(source.object), format: formatOf(source.object), key })
    }
    const path = join(folder, 'input.parquet')
    const connection = await lake().duck.connect()
    try {
      await interruptible(connection, signal, () =>
        exported(connection, lake(), 'table' in source ? `select * from ${quoted(source.table)}` : source.sql, path),
      )
    } finally {
      connection.closeSync()
    }
    return await body({ path, format: 'parquet', key: null })
  } finally {
    release()
  }
}

/** Writes what a SELECT over tables of the lake gives; it may read nothing else. */
async function exported(connection: Connection, lake: Lake, text: string, path: string): Promise<void> {
  const asked = text.trim().replace(/;\s*$/, '')
  const { reads } = await parseSelect(connection, asked, 'The input', () => [])
  const bound = new Map<string, string>()
  for (const { name, at } of reads) {
    if (at) throw invalid('python.version', `The input reads ${name} at an older version`, { hint: 'Leave out at (...), or make a table of it.' })
    const table = lake.table(name)
    const snapshot = await table.snapshot()
    if (!snapshot) throw invalid('query.empty_table', `Table ${name} has no rows yet`, { hint: 'It gets its first version when its input has data.' })
    bound.set(name, await table.scan(snapshot))
  }
  const binding = await bindTables(connection, bound)
  try {
    await connection.run(`copy (${asked}\n) to ${quoteText(path)} (format parquet)`)
  } catch (error) {
    throw invalid('python.input', `The rows cannot be read: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]}`, {
      hint: 'Correct the query of input.',
      cause: error,
    })
  } finally {
    await binding.release()
  }
}

const quoted = (table: string): string =>
  table
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.')

/** What a flow says of a task's input, in all the ways that it may say it. */
export function sourceOf(input: unknown): Source {
  if (input === null || input === undefined) return { rows: [{}] }
  if (typeof input === 'string') {
    if (/^\s*(select|with|from)\s/i.test(input)) return { sql: input }
    return input.includes('/') ? { object: input } : { table: input }
  }
  if (Array.isArray(input)) {
    const rows: readonly unknown[] = input
    return { rows }
  }
  if (isRecord(input)) {
    const { kind, name, text, rows, columns, object, table } = input
    if (kind === 'table' && typeof name === 'string') return { table: name }
    if (kind === 'sql' && typeof text === 'string') return { sql: text }
    if (isSql(input)) return { sql: renderSql(input).text }
    if (typeof table === 'string') return { table }
    if (typeof object === 'string') return { object }
    if (Array.isArray(rows)) return { rows: Array.isArray(columns) ? rows.map((row: unknown) => named(columns, row)) : rows }
  }
  throw invalid('python.source', 'The input of the task is neither a table, an object, a query nor rows', {
    hint: "Write input: 'silver.readings', 'bucket/file.csv', 'select ...', a list of rows, or what another task answers.",
  })
}

/** A row as an object: `task.sql` answers lists of values, `task.python` objects. */
function named(columns: readonly unknown[], row: unknown): unknown {
  if (!Array.isArray(row)) return row
  return Object.fromEntries(columns.map((column, place) => [isRecord(column) ? String(column.name) : String(column), (row as readonly unknown[])[place]]))
}

/** The rows as JSON; null when they are too many to be carried from task to task. */
async function smallRows({ duck }: Lake, file: string, count: number): Promise<readonly Json[] | null> {
  if (count > INLINE_ROWS) return null
  const connection = await duck.connect()
  try {
    const reader = await connection.runAndReadAll(`select to_json(r)::varchar from read_parquet(${quoteText(file)}) r`)
    const texts = reader.getRows().map(([text]) => String(text))
    if (texts.reduce((sum, text) => sum + text.length, 0) > INLINE_CHARACTERS) return null
    return texts.map((text) => JSON.parse(text) as Json)
  } finally {
    connection.closeSync()
  }
}

async function publish(objects: Objects, file: string, path: string): Promise<void> {
  const staged = await objects.stage(path)
  try {
    await copyFile(file, staged.file)
    await staged.publish()
  } finally {
    await staged.discard()
  }
}

/** Replaces the rows of a table by those of the file; the same key a second time changes nothing. */
async function writeTable({ lake, onTable }: PythonPlaces, name: string, file: string, key: string, signal: AbortSignal): Promise<void> {
  const declared = lake().plan.tables.get(name)
  if (declared && (isMade(declared.options) || declared.options.from !== undefined))
    throw invalid('python.table_made', `Table ${name} gets its rows from elsewhere, and a task must not write them`, {
      hint: 'Give into: another name, or take away from, sql, rows and python of that table.',
    })
  if (!/^[A-Za-z_]\w*\.[A-Za-z_]\w*$/.test(name))
    throw invalid('python.table_name', `${JSON.stringify(name)} is no name for a table`, { hint: "Write into: 'gold.scored', for example." })
  const table = lake().open(name)
  const connection = await lake().duck.connect()
  try {
    const sql = `select * from read_parquet(${quoteText(file)})`
    if (!(await table.snapshot())) {
      const fields = await fieldsOfRelation({ connection, sql })
      await table.create({ fields }).catch(async (error: unknown) => (await table.snapshot()) ?? Promise.reject(toLagoaError(error)))
    }
    await interruptible(connection, signal, () => table.overwrite({ connection, sql }, { schema: true, txn: { appId: `task/${key}`, version: 1 }, signal }))
  } finally {
    connection.closeSync()
  }
  onTable(name)
}

const isSql = (value: object): value is Sql => 'kind' in value && value.kind === 'sql' && 'strings' in value && 'parts' in value
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value)
