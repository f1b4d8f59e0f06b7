/**
 * Ingest: each file becomes one commit of its table, or with other small ones a part of one, exactly once. What tells a file is its content
 * (the digest stands in the commit's Delta `txn`), so a file that was copied, renamed, touched or restored adds nothing again, and neither does a run that was killed and
 * started anew or two at the same time. Bad lines are stored before the commit; doing that again replaces them.
 */
import { mkdtemp, mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { errno, invalid, LagoaError, toLagoaError } from '../../base/index.ts'
import { checkName } from '../checks.ts'
import { quarantineName, type Table } from '../declare.ts'
import { quoteText } from '../sql.ts'
import { asideRows, keepAside, type Owner } from './aside.ts'
import type { FileFormat, FileOptions } from './declare.ts'
import { firstBytes, formatOf, formatOfContent, packingOf } from './format.ts'
import type { SourceFile } from './paths.ts'
import { gone, identify, knownEncoding, prepare, refuseMoved, utf16Mark, UTF8, type Identity, type Prepared } from './prepare.ts'
import { readFileInto, type Reading } from './reading.ts'
import {
  generationOf,
  infoOf,
  namesIn,
  nothing,
  racing,
  requestOf,
  stampOf,
  txnOf,
  wasReplaced,
  type FileOutcome,
  type IngestPlace,
  type Run,
  type Target,
} from './run.ts'
import { columnsToFill, create, shape } from './shape.ts'
import { alike, ingestTogether, MOST_TOGETHER } from './together.ts'

export interface Ingestion {
  /** Ingests one file. A refusal is an outcome; what may pass by itself (a full disk, a store that is away) is thrown. */
  take(file: SourceFile): Promise<FileOutcome>
  /**
   * Ingests the first of these files, and with it as many of the next ones as go into the same commit: one outcome for each that was taken,
   * in their order. What is thrown is about the first.
   */
  takeNext(files: readonly SourceFile[]): Promise<FileOutcome[]>
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

export function openIngestion(place: IngestPlace, { target, dryRun = false, signal, onBytes = () => undefined, now = Date.now }: IngestOptions): Ingestion {
  const table = place.open(target.name)
  const quarantine = place.open(quarantineName(target.name))
  const run: Run = { place, target, table, quarantine, dryRun, signal, names: null }
  /** How many files are tried together: half as many after a failure, twice as many after a success. */
  let reach = MOST_TOGETHER

  const refuse = async (file: SourceFile, content: string, error: LagoaError): Promise<FileOutcome> => {
    if (!dryRun) {
      const connection = await place.duck.connect()
      try {
        const owner: Owner = { file: file.name, content, at: now() }
        const sql = asideRows(
          `select null as line, null as byte, null as columns, ${quoteText(`${error.message}. ${error.hint ?? ''}`.trim())} as error, null as raw`,
          owner,
        )
        await racing(signal, () => keepAside(quarantine, target.name, [owner], { connection, sql }, connection, signal))
      } finally {
        connection.closeSync()
      }
    }
    return { ...nothing(file), outcome: 'refused', error }
  }

  const take = async (file: SourceFile): Promise<FileOutcome> => {
    signal?.throwIfAborted()
    if (file.size === 0) return { ...nothing(file), outcome: 'empty' }
    let arrival: Arrival | null = null
    try {
      const arrived = await arrive(file, target.options, signal, onBytes)
      arrival = arrived
      return await racing(signal, () => ingest(run, arrived, now()))
    } catch (error) {
      signal?.throwIfAborted()
      if (errno(error) === 'ENOENT') throw gone(file.name, error)
      const fault = toLagoaError(error)
      const isRefusal = REFUSALS.has(fault.code) || fault.kind === 'invalid' || fault.kind === 'unsupported' || fault.kind === 'limit'
      if (arrival === null || !isRefusal) throw error
      return refuse(file, (await arrival.identity).digest, fault)
    } finally {
      await arrival?.identity.catch(() => undefined)
    }
  }

  /** What was fetched stays until the file's outcome is known. */
  const held = async <T>(work: () => Promise<T>): Promise<T> => {
    const release = place.hold()
    try {
      return await work()
    } finally {
      release()
    }
  }

  const takeNext = async (files: readonly SourceFile[]): Promise<FileOutcome[]> => {
    signal?.throwIfAborted()
    const [first] = files
    if (!first) return []
    let together = dryRun ? [] : alike(files.slice(0, reach), target.options)
    while (together.length > 1) {
      const taken = await ingestTogether(run, together, now())
      if (taken !== null) {
        reach = Math.min(2 * reach, MOST_TOGETHER)
        for (const { bytes } of taken) onBytes(bytes)
        return taken
      }
      reach = Math.floor(together.length / 2)
      together = together.slice(0, reach)
    }
    const outcome = await take(first)
    if (outcome.bad === 0 && outcome.outcome !== 'refused') reach = Math.min(2 * reach, MOST_TOGETHER)
    return [outcome]
  }

  return { take: (file) => held(() => take(file)), takeNext: (files) => held(() => takeNext(files)) }
}

const REFUSALS: ReadonlySet<string> = new Set(['lake.file_refused', 'lake.file_changed'])

/** A file on its way in: where its bytes are, and who it is, which is being found out. */
interface Arrival {
  readonly file: SourceFile
  readonly local: string
  readonly before: { readonly size: number; readonly mtimeMs: number }
  readonly format: FileFormat | null
  /** Its text can be read as it lies there, in an encoding that is to be found out. */
  readonly isBareText: boolean
  /** It is large CSV, and most likely UTF-8: worth reading while it is identified. */
  readonly isEarly: boolean
  readonly identity: Promise<Identity>
}

/** A CSV file from this size on is read while it is identified; smaller ones are known before. */
const READ_EARLY = 8 * 1024 * 1024

async function arrive(file: SourceFile, options: FileOptions, signal: AbortSignal | undefined, onBytes: (bytes: number) => void): Promise<Arrival> {
  const local = await file.local()
  const before = await stat(local)
  const start = await firstBytes(local, 64)
  const isPacked = packingOf(start) !== null
  const format = options.format ?? formatOf(file.name) ?? (isPacked ? null : formatOfContent(start))
  const isBareText = !isPacked && format !== 'parquet' && options.encoding === undefined
  const identity = identify(local, isBareText, signal, onBytes)
  // Whoever waits for it hears of a failure.
  identity.catch(() => undefined)
  const isEarly = isBareText && format === 'csv' && before.size >= READ_EARLY && utf16Mark(start) === ''
  return { file, local, before, format, isBareText, isEarly, identity }
}

async function ingest(run: Run, arrival: Arrival, at: number): Promise<FileOutcome> {
  const { place, target, table, quarantine, dryRun, signal } = run
  const { file, local, before, format, isBareText } = arrival
  const { options } = target
  const found = await table.snapshot()
  const connection = await place.duck.connect()
  let work: string | null = null
  try {
    const isKnownName = found !== null && (await namesIn(run, found, connection)).has(file.name)
    const mode = options.changed ?? 'refuse'
    const isEarly = arrival.isEarly && !isKnownName
    const isNew = ({ digest }: Identity): boolean => generationOf(found, digest) === null
    /** Its rows take the place of others; null when they are in the table already. */
    const standing = async (identity: Identity): Promise<'beside' | 'replaces' | null> => {
      if (isKnownName && mode === 'replace' && (isNew(identity) || (await wasReplaced(table, file.name, identity.digest)))) return 'replaces'
      if (!isNew(identity)) return null
      if (isKnownName && mode === 'refuse') throw changed(file.name, target.name)
      return 'beside'
    }
    if (!isEarly && (await standing(await arrival.identity)) === null) return { ...nothing(file), outcome: 'known' }
    await mkdir(place.temporary, { recursive: true })
    const folder = await mkdtemp(join(place.temporary, 'ingest-'))
    work = folder
    const snapshot = dryRun || found !== null || target.columns === null ? found : await create(run, [])
    const request = { ...requestOf(run, connection), known: await columnsToFill(run, snapshot, connection), stamp: stampOf(quoteText(file.name), at) }
    const read = async (encoding: string | null, stop: AbortSignal | undefined): Promise<{ readonly reading: Reading; readonly prepared: Prepared }> => {
      const into = await mkdtemp(join(folder, 'read-'))
      const prepared = await prepare(local, { format, encoding, work: into, signal: stop })
      const reading = await readFileInto({ ...request, ...prepared, name: file.name, work: into, signal: stop })
      return { reading, prepared }
    }
    const isAsRead = (identity: Identity): boolean => identity.encoding === UTF8 && isNew(identity)
    const early = isEarly ? await readWhile(arrival.identity, isAsRead, signal, (stop) => read(UTF8, stop)) : null
    const identity = await arrival.identity
    const stands = await standing(identity)
    if (stands === null) return { ...nothing(file), outcome: 'known' }
    const { reading, prepared } = early ?? (await read(isBareText ? identity.encoding : (options.encoding ?? null), signal))
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
    const content = identity.digest
    const owner: Owner = { file: file.name, content, at }
    await shape(run, reading, snapshot, connection)
    await keepAside(quarantine, target.name, [owner], reading.bad === null ? null : { connection, sql: asideRows(reading.bad, owner) }, connection, signal)
    const rows = { connection, ...reading.stamped }
    const commit = {
      txn: txnOf(content, generationOf(found, content)),
      info: infoOf({ file: file.name, content, rows: reading.rows, bad: reading.badRows }),
      ...(signal ? { signal } : {}),
    }
    const replaces = stands === 'replaces'
    const done = replaces ? await table.overwrite(rows, { ...commit, where: `_file = ${quoteText(file.name)}` }) : await table.append(rows, commit)
    if (done.skipped) return { ...nothing(file), outcome: 'known' }
    run.names?.add(file.name)
    return { ...told, outcome: replaces ? 'replaced' : 'added', version: done.version, rows: done.rowsAdded }
  } finally {
    connection.closeSync()
    if (work !== null) await rm(work, { recursive: true, force: true })
  }
}

/** Reads a file while it is identified. When it is not what it is read as, the reading ends at once, whatever it found, and the answer is null. */
async function readWhile<T>(
  identity: Promise<Identity>,
  isAsRead: (identity: Identity) => boolean,
  signal: AbortSignal | undefined,
  read: (stop: AbortSignal) => Promise<T>,
): Promise<T | null> {
  const other = new AbortController()
  const decided = identity.then(
    (found) => isAsRead(found) || other.abort(),
    () => other.abort(),
  )
  try {
    const result = await read(signal ? AbortSignal.any([signal, other.signal]) : other.signal)
    await decided
    return other.signal.aborted ? null : result
  } catch (error) {
    signal?.throwIfAborted()
    await decided
    if (other.signal.aborted) return null
    throw error
  }
}

const changed = (file: string, table: string): LagoaError =>
  new LagoaError('conflict', 'lake.file_changed', `${file} was ingested into ${table} before, with other content`, {
    hint: "Its old rows are still there. Say what its new content is: --changed replace puts it in their place, --changed add adds it to them (changed: '...' in files(...)); or give the file another name.",
  })
