/**
 * Ingest: each file becomes one commit of its table, exactly once. What tells a file is its content (the digest stands in the commit's
 * Delta `txn`), so a file that was copied, renamed, touched or restored adds nothing again, and neither does a run that was killed and
 * started anew or two at the same time. Bad lines are stored before the commit; doing that again replaces them.
 */
import { mkdtemp, mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { backoff, errno, invalid, LagoaError, systemClock, toLagoaError, type Schema } from '../../base/index.ts'
import { checkName } from '../checks.ts'
import { quarantineName, type Table } from '../declare.ts'
import { fieldsOfRelation, type DeltaField, type DeltaTable, type Duck, type Snapshot } from '../delta/index.ts'
import { quoteName, quoteText } from '../sql.ts'
import { deltaFieldsOf, duckTypeOf } from '../stage.ts'
import { asideRows, instant, keepAside, type Owner } from './aside.ts'
import { FILE_FIELDS, type FileFormat, type FileOptions } from './declare.ts'
import { formatOf } from './format.ts'
import type { SourceFile } from './paths.ts'
import { digestOf, gone, knownEncoding, prepare, refuseMoved } from './prepare.ts'
import { readFileInto, refused, type KnownColumn, type Reading } from './reading.ts'
import { columnsOf, type Column } from './types.ts'

export interface IngestPlace {
  readonly duck: Duck
  /** A folder for work in progress; made when it is needed. */
  readonly temporary: string
  /** A table that need not be declared. */
  open(name: string): DeltaTable
}

/** What becomes of files that go into one table. */
export interface Target {
  readonly name: string
  readonly options: FileOptions
  /** The columns that the project promises for it. */
  readonly columns: Schema | null
  readonly partitionBy: readonly string[]
  readonly description: string | undefined
}

export interface FileOutcome {
  readonly file: string
  /** `known`: its content is in the table already. `empty`: no rows in it. `ready`: what a dry run would have added. */
  readonly outcome: 'added' | 'replaced' | 'known' | 'empty' | 'refused' | 'ready'
  readonly bytes: number
  readonly rows: number
  /** Lines kept in the quarantine. */
  readonly bad: number
  /** Rows without any value, left out. */
  readonly blank: number
  readonly version: number | null
  readonly format: FileFormat | null
  readonly columns: readonly Column[]
  readonly renamed: readonly { readonly from: string; readonly to: string }[]
  readonly notes: readonly string[]
  readonly error?: LagoaError
}

export interface Ingestion {
  /** Ingests one file. A refusal is an outcome; what may pass by itself (a full disk, a store that is away) is thrown. */
  take(file: SourceFile): Promise<FileOutcome>
}

export interface IngestOptions {
  readonly target: Target
  /** Reads and checks everything, stores nothing. */
  readonly dryRun?: boolean
  readonly signal?: AbortSignal
  /** Bytes that were read, as they are read. */
  readonly onBytes?: (bytes: number) => void
  readonly now?: () => number
}

/** Under this key of a commit's info stands which file it brought. */
const FILE_INFO = 'lagoaFile'

/** The table as a target: what the project declares of it, overlaid by what was asked for now. */
export function targetOf(name: string, declared: Table | undefined, asked: FileOptions): Target {
  checkName({ name })
  if (name.endsWith('_quarantine'))
    throw invalid('lake.ingest_target', `${name} holds what could not be ingested; no file can go there`, { hint: 'Name another table.' })
  const from = declared?.options.from
  if (declared && from?.kind !== 'files')
    throw invalid('lake.ingest_target', `Table ${name} is made by the project from ${from?.name ?? 'SQL'}; rows of a file would not belong there`, {
      hint: 'Name another table, such as bronze.files, and read it in the SQL; or declare the table with from: files(...).',
    })
  const options = { ...(from?.kind === 'files' ? from.options : {}), ...asked }
  if (options.encoding !== undefined) knownEncoding(options.encoding)
  return {
    name,
    options,
    columns: declared?.options.columns ?? null,
    partitionBy: declared?.options.partitionBy ?? [],
    description: declared?.options.description,
  }
}

/** Lost races with other writers of the table before a file is given up for now. */
const ATTEMPTS = 20

export function openIngestion(place: IngestPlace, { target, dryRun = false, signal, onBytes = () => undefined, now = Date.now }: IngestOptions): Ingestion {
  const table = place.open(target.name)
  const quarantine = place.open(quarantineName(target.name))
  const run: Run = { place, target, table, quarantine, dryRun, signal, names: null }

  const refuse = async (file: SourceFile, content: string, error: LagoaError): Promise<FileOutcome> => {
    if (!dryRun) {
      const connection = await place.duck.connect()
      try {
        const owner: Owner = { file: file.name, content, at: now() }
        const sql = asideRows(
          `select null as line, null as byte, null as columns, ${quoteText(`${error.message}. ${error.hint ?? ''}`.trim())} as error, null as raw`,
          owner,
        )
        await racing(signal, () => keepAside(quarantine, target.name, owner, { connection, sql }, connection, signal))
      } finally {
        connection.closeSync()
      }
    }
    return { ...nothing(file), outcome: 'refused', error }
  }

  return {
    async take(file) {
      signal?.throwIfAborted()
      if (file.size === 0) return { ...nothing(file), outcome: 'empty' }
      let content: string | null = null
      try {
        const local = await file.local()
        const before = await stat(local)
        const digest = await digestOf(local, signal, onBytes)
        content = digest
        return await racing(signal, () => ingest(run, file, local, before, digest, now()))
      } catch (error) {
        signal?.throwIfAborted()
        if (errno(error) === 'ENOENT') throw gone(file.name, error)
        const fault = toLagoaError(error)
        const isRefusal = REFUSALS.has(fault.code) || fault.kind === 'invalid' || fault.kind === 'unsupported' || fault.kind === 'limit'
        if (content === null || !isRefusal) throw error
        return refuse(file, content, fault)
      }
    },
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['lake.file_refused', 'lake.file_changed'])

const nothing = (file: SourceFile): Omit<FileOutcome, 'outcome'> => ({
  file: file.name,
  bytes: file.size,
  rows: 0,
  bad: 0,
  blank: 0,
  version: null,
  format: null,
  columns: [],
  renamed: [],
  notes: [],
})

/** Does it again when another writer of the table was faster. */
async function racing<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const lost = error instanceof LagoaError && (error.code === 'lake.commit_conflict' || error.code === 'lake.table_exists')
      if (!lost || attempt >= ATTEMPTS) throw error
      await systemClock.sleep(backoff(attempt, 20, 1000), signal)
    }
  }
}

interface Run {
  readonly place: IngestPlace
  readonly target: Target
  readonly table: DeltaTable
  readonly quarantine: DeltaTable
  readonly dryRun: boolean
  readonly signal: AbortSignal | undefined
  /** Names of the files whose rows the table has; read once and then kept up. */
  names: Set<string> | null
}

const appIdOf = (content: string): string => `file/${content}`

async function ingest(run: Run, file: SourceFile, local: string, before: { size: number; mtimeMs: number }, content: string, at: number): Promise<FileOutcome> {
  const { place, target, table, quarantine, dryRun, signal } = run
  const found = await table.snapshot()
  const generation = found?.txnVersion(appIdOf(content)) ?? null
  const connection = await place.duck.connect()
  let work: string | null = null
  try {
    const isKnownName = found !== null && (await namesIn(run, found, connection)).has(file.name)
    const replaces = isKnownName && target.options.changed === 'replace' && (generation === null || (await wasReplaced(table, file.name, content)))
    if (generation !== null && !replaces) return { ...nothing(file), outcome: 'known' }
    if (isKnownName && (target.options.changed ?? 'refuse') === 'refuse') throw changed(file.name, target.name)
    await mkdir(place.temporary, { recursive: true })
    work = await mkdtemp(join(place.temporary, 'ingest-'))
    const { options } = target
    const format = options.format ?? formatOf(file.name)
    const prepared = await prepare(local, { format, encoding: options.encoding, work, signal })
    const snapshot = dryRun || found !== null || target.columns === null ? found : await create(run, [])
    const known = snapshot && (await knownColumns(table, snapshot, connection))
    const mode = options.schema ?? (target.columns === null ? 'evolve' : 'freeze')
    const reading = await readFileInto({
      connection,
      name: file.name,
      file: prepared.file,
      format: prepared.format,
      bytes: prepared.bytes,
      options,
      asked: new Map(Object.entries(options.types ?? {}).map(([name, field]) => [name, duckTypeOf(field)])),
      known: known ?? promised(target),
      mayEvolve: mode === 'evolve',
      work,
      signal,
    })
    await refuseMoved(local, before)
    const told = {
      ...nothing(file),
      rows: reading.rows,
      bad: reading.badRows,
      blank: reading.blank,
      format: prepared.format,
      columns: reading.columns,
      renamed: reading.renamed,
      notes: [...prepared.notes, ...reading.notes],
    }
    if (reading.rows + reading.badRows === 0) return { ...told, outcome: 'empty' }
    if (dryRun) return { ...told, outcome: 'ready' }
    const owner: Owner = { file: file.name, content, at }
    await shape(run, reading, snapshot, connection)
    await keepAside(quarantine, target.name, owner, reading.bad === null ? null : { connection, sql: asideRows(reading.bad, owner) }, connection, signal)
    const rows = { connection, sql: `select *, ${quoteText(file.name)} as _file, ${instant(at)} as _ingested_at from (${reading.good}\n)` }
    const commit = {
      txn: { appId: appIdOf(content), version: (generation ?? 0) + 1 },
      info: { [FILE_INFO]: { file: file.name, content, rows: reading.rows, bad: reading.badRows } },
      ...(signal ? { signal } : {}),
    }
    const done = replaces ? await table.overwrite(rows, { ...commit, where: `_file = ${quoteText(file.name)}` }) : await table.append(rows, commit)
    if (done.skipped) return { ...nothing(file), outcome: 'known' }
    run.names?.add(file.name)
    return { ...told, outcome: replaces ? 'replaced' : 'added', version: done.version, rows: done.rowsAdded }
  } finally {
    connection.closeSync()
    if (work !== null) await rm(work, { recursive: true, force: true })
  }
}

const changed = (file: string, table: string): LagoaError =>
  new LagoaError('conflict', 'lake.file_changed', `${file} was ingested into ${table} before, with other content`, {
    hint: "Its old rows are still there. Say what its new content is: --changed replace puts it in their place, --changed add adds it to them (changed: '...' in files(...)); or give the file another name.",
  })

async function namesIn(run: Run, snapshot: Snapshot, connection: Awaited<ReturnType<Duck['connect']>>): Promise<ReadonlySet<string>> {
  if (run.names) return run.names
  if (!snapshot.metadata.fields.some(({ name }) => name === '_file')) return new Set()
  const reader = await connection.runAndReadAll(`select distinct _file from (${await run.table.scan(snapshot)}) where _file is not null`)
  run.names = new Set(reader.getRows().map(([name]) => String(name)))
  return run.names
}

/** Commits that are looked through for what a file's rows were last made from. */
const HISTORY = 1000

/** The content was in the table under this name, and then other content took its place. */
async function wasReplaced(table: DeltaTable, file: string, content: string): Promise<boolean> {
  for (const { info } of await table.history(HISTORY)) {
    const brought = info[FILE_INFO]
    if (typeof brought === 'object' && brought !== null && 'file' in brought && brought.file === file)
      return 'content' in brought && brought.content !== content
  }
  return false
}

async function knownColumns(table: DeltaTable, snapshot: Snapshot, connection: Awaited<ReturnType<Duck['connect']>>): Promise<KnownColumn[]> {
  const nullable = new Map(snapshot.metadata.fields.map((field) => [field.name, field.nullable]))
  const columns = await columnsOf(connection, await table.scan(snapshot))
  return columns.filter(({ name }) => !Object.hasOwn(FILE_FIELDS, name)).map((column) => ({ ...column, nullable: nullable.get(column.name) ?? true }))
}

/** The columns that a table will have which is not there yet. */
function promised({ columns }: Target): KnownColumn[] | null {
  return columns && Object.entries(columns).map(([name, field]) => ({ name, type: duckTypeOf(field), nullable: field.isNullable }))
}

async function create({ table, target }: Run, fields: readonly DeltaField[]): Promise<Snapshot | null> {
  const { columns, partitionBy, description } = target
  const own = columns ? deltaFieldsOf(columns) : fields
  await table.create({
    fields: [...own, ...deltaFieldsOf(FILE_FIELDS)],
    ...(partitionBy.length > 0 ? { partitionBy } : {}),
    ...(description === undefined ? {} : { description }),
  })
  return table.snapshot()
}

/** Brings the table into a shape that takes the rows: made, with more columns, or with wider ones. */
async function shape(run: Run, reading: Reading, snapshot: Snapshot | null, connection: Awaited<ReturnType<Duck['connect']>>): Promise<void> {
  const { table, signal } = run
  const relation = { connection, sql: reading.good }
  const fields = await fieldsOfRelation(relation)
  if (!snapshot) {
    await create(run, fields)
    return
  }
  if (reading.widened.length > 0) await widen(run, reading, snapshot, connection)
  const added = new Set(reading.added.map(({ name }) => name))
  const lacking = deltaFieldsOf(FILE_FIELDS).filter(({ name }) => !snapshot.metadata.fields.some((field) => field.name === name))
  if (added.size + lacking.length === 0) return
  const current = (await table.snapshot()) ?? snapshot
  await table.evolve([...current.metadata.fields, ...fields.filter(({ name }) => added.has(name)), ...lacking], signal ? { signal } : {})
}

/** Above this a whole number has neighbours that a DOUBLE takes for the same. */
const EXACT = 2 ** 53

/** Rewrites the table with wider columns: Delta's own type widening would shut out readers that do not know it. */
async function widen(
  { table, target, signal }: Run,
  { widened }: Reading,
  snapshot: Snapshot,
  connection: Awaited<ReturnType<Duck['connect']>>,
): Promise<void> {
  const types = new Map(widened.map(({ name, type }) => [name, type]))
  const scan = await table.scan(snapshot)
  const doubles = widened.filter(({ type }) => type === 'DOUBLE').map(({ name }) => name)
  if (doubles.length > 0) {
    const tests = doubles.map((name) => `coalesce(max(abs(try_cast(${quoteName(name)} as hugeint))) > ${EXACT}, false)`)
    const row = (await connection.runAndReadAll(`select ${tests.join(', ')} from (${scan})`)).getRows()[0] ?? []
    const exact = doubles.find((_, i) => row[i] === true)
    if (exact !== undefined)
      throw refused(
        target.name,
        `${exact} has whole numbers in the table that a DOUBLE cannot hold exactly, and fractions in the file`,
        'Ingest the file into another table, or its column as text: --columns.',
      )
  }
  const sql = `select ${snapshot.metadata.fields.map(({ name }) => (types.has(name) ? `cast(${quoteName(name)} as ${types.get(name)}) as ${quoteName(name)}` : quoteName(name))).join(', ')} from (${scan})`
  const wide = new Map((await fieldsOfRelation({ connection, sql })).map((field) => [field.name, field.type]))
  const fields = snapshot.metadata.fields.map((field) => (types.has(field.name) ? { ...field, type: wide.get(field.name) ?? field.type } : field))
  const { description } = snapshot.metadata
  await table.overwrite(
    { connection, sql },
    { as: { fields, partitionBy: snapshot.metadata.partitionColumns, ...(description === undefined ? {} : { description }) }, ...(signal ? { signal } : {}) },
  )
}
