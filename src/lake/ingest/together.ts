/**
 * Small CSV files in one commit. Files that follow each other and begin with the same header line are read as one; the commit brings a
 * Delta `txn` for each of them, so each is still known by its own content. When anything about them is not plain, nothing is committed
 * and they are to be tried in smaller parts, at last each by itself.
 */
import { mkdir, mkdtemp, readFile, rm, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { Snapshot } from '../delta/index.ts'
import { quoteName, quoteText } from '../sql.ts'
import { keepAside } from './aside.ts'
import type { FileOptions } from './declare.ts'
import { formatOf, packingOf } from './format.ts'
import type { SourceFile } from './paths.ts'
import { identifyBytes, refuseMoved, UTF8 } from './prepare.ts'
import { readTogether, SOURCE, STAGED, type Reading } from './reading.ts'
import { generationOf, infoOf, namesIn, nothing, racing, requestOf, stampOf, txnOf, type FileOutcome, type Run } from './run.ts'
import { columnsToFill, create, shape } from './shape.ts'

/** Files of one commit. */
export const MOST_TOGETHER = 1000
const MOST_BYTES = 32 * 1024 * 1024
/** A larger file is worth a commit of its own. */
const SMALL = 1024 * 1024

/** As many of the first files as may go together by their names and sizes. */
export function alike(files: readonly SourceFile[], { format, encoding, header, skip = 0 }: FileOptions): readonly SourceFile[] {
  if (encoding !== undefined || header === false || skip > 0) return []
  let bytes = 0
  const other = files.findIndex(({ name, size }) => (format ?? formatOf(name)) !== 'csv' || size > SMALL || (bytes += size) > MOST_BYTES)
  return other === -1 ? files : files.slice(0, other)
}

/** Takes as many of the first of these files as go together; null when fewer of them, or the first alone, are to be tried. */
export async function ingestTogether(run: Run, files: readonly SourceFile[], at: number): Promise<FileOutcome[] | null> {
  try {
    return await racing(run.signal, () => attempt(run, files, at))
  } catch {
    run.signal?.throwIfAborted()
    // Whose fault it is shows when each is taken by itself.
    return null
  }
}

async function attempt(run: Run, files: readonly SourceFile[], at: number): Promise<FileOutcome[] | null> {
  const { place, table, target } = run
  const found = await table.snapshot()
  const connection = await place.duck.connect()
  let work: string | null = null
  try {
    const looked = await lookAt(run, files, found, connection)
    const fresh = looked.flatMap(({ one }) => one ?? [])
    const sample = fresh.find(({ hasRows }) => hasRows)
    if (looked.length === 0 || (fresh.length > 0 && !sample)) return null
    if (!sample) return looked.map(({ file, outcome }) => ({ ...nothing(file), outcome: outcome ?? 'empty' }))
    await mkdir(place.temporary, { recursive: true })
    work = await mkdtemp(join(place.temporary, 'ingest-'))
    const snapshot = found !== null || target.columns === null ? found : await create(run, [])
    const all: Work = { fresh, sample, snapshot, connection, work, at }
    const reading = await read(run, all)
    if (reading === null) return null
    const outcomes = await outcomesOf(fresh, reading, connection, work)
    const added = [...outcomes.values()].filter(({ outcome }) => outcome === 'added')
    const contents = new Map(fresh.map(({ file, content }) => [file.name, content]))
    const version = added.length === 0 ? null : await commit(run, all, reading, added, contents)
    return looked.map(({ file, like, outcome }): FileOutcome => {
      const told = outcomes.get(like ?? file)
      if (!told) return { ...nothing(file), outcome: outcome ?? 'empty' }
      if (told.outcome !== 'added') return { ...told, file: file.name, bytes: file.size }
      // All of them are there already when somebody else committed the very same.
      return like || version === null ? { ...nothing(file), outcome: 'known' } : { ...told, version }
    })
  } finally {
    connection.closeSync()
    if (work !== null) await rm(work, { recursive: true, force: true })
  }
}

interface Fresh {
  readonly file: SourceFile
  readonly local: string
  readonly before: { readonly size: number; readonly mtimeMs: number }
  readonly content: string
  /** There is something behind its first line. */
  readonly hasRows: boolean
}

interface Looked {
  readonly file: SourceFile
  /** To be read. */
  readonly one?: Fresh
  /** A file before it that has the same content. */
  readonly like?: SourceFile
  /** Decided already. */
  readonly outcome?: 'known' | 'empty'
}

/** Looks at the files one by one until the first that is of another kind than those before it. */
async function lookAt(run: Run, files: readonly SourceFile[], found: Snapshot | null, connection: DuckDBConnection): Promise<Looked[]> {
  const { options } = run.target
  const known = found === null ? new Set<string>() : await namesIn(run, found, connection)
  const looked: Looked[] = []
  const names = new Set<string>()
  const contents = new Map<string, SourceFile>()
  let header: string | null = null
  for (const file of files) {
    run.signal?.throwIfAborted()
    if (names.has(file.name)) break
    names.add(file.name)
    if (file.size === 0) {
      looked.push({ file, outcome: 'empty' })
      continue
    }
    const local = await file.local()
    const before = await stat(local)
    const bytes = before.size <= SMALL ? await readFile(local) : null
    if (bytes === null || packingOf(bytes) !== null) break
    const { digest: content, encoding } = identifyBytes(bytes)
    const isKnownName = known.has(file.name)
    if (isKnownName && options.changed === 'replace') break
    if (generationOf(found, content) !== null) {
      looked.push({ file, outcome: 'known' })
      continue
    }
    const first = headerOf(bytes, options)
    if ((isKnownName && options.changed !== 'add') || encoding !== UTF8 || first === null || first !== (header ?? first)) break
    header = first
    const like = contents.get(content)
    if (like) {
      looked.push({ file, like })
      continue
    }
    contents.set(content, file)
    looked.push({ file, one: { file, local, before, content, hasRows: bytes.length > Buffer.byteLength(first, 'latin1') } })
  }
  return looked
}

/** The first line with its end, byte by byte; null when it may go on in the next line. */
function headerOf(bytes: Buffer, { quote }: FileOptions): string | null {
  const end = bytes.indexOf(0x0a)
  const line = bytes.subarray(0, end === -1 ? bytes.length : end + 1).toString('latin1')
  return ['"', "'", ...(quote ? [quote] : [])].some((mark) => line.split(mark).length % 2 === 0) ? null : line
}

interface Work {
  readonly fresh: readonly Fresh[]
  readonly sample: Fresh
  readonly snapshot: Snapshot | null
  readonly connection: DuckDBConnection
  readonly work: string
  readonly at: number
}

const DIGITS = 6

async function read(run: Run, { fresh, sample, snapshot, connection, work, at }: Work): Promise<Reading | null> {
  // Their own names may hold what DuckDB takes for a pattern; these tell the place in the list.
  const links = fresh.map((_, i) => join(work, String(i + 1).padStart(DIGITS, '0')))
  for (const [i, link] of links.entries()) await symlink(fresh[i]?.local ?? '', link)
  const names = `[${fresh.map(({ file }) => quoteText(file.name)).join(', ')}]`
  const reading = await readTogether(
    {
      ...requestOf(run, connection),
      known: await columnsToFill(run, snapshot, connection),
      stamp: stampOf(`${names}[cast(right(${quoteName(SOURCE)}, ${DIGITS}) as integer)]`, at),
      name: sample.file.name,
      file: links[fresh.indexOf(sample)] ?? '',
      format: 'csv',
      bytes: sample.before.size,
      work,
    },
    links,
  )
  for (const { local, before } of fresh) await refuseMoved(local, before)
  return reading
}

async function outcomesOf(fresh: readonly Fresh[], reading: Reading, connection: DuckDBConnection, work: string): Promise<Map<SourceFile, FileOutcome>> {
  const good = await rowsByFile(connection, reading.stamped.sql)
  const all = reading.blank === 0 ? good : await rowsByFile(connection, `select * from read_parquet(${quoteText(join(work, STAGED))})`)
  const { columns, renamed, notes } = reading
  return new Map(
    fresh.map(({ file }) => {
      const rows = good.get(file.name) ?? 0
      const blank = (all.get(file.name) ?? 0) - rows
      return [file, { ...nothing(file), outcome: rows === 0 ? 'empty' : 'added', rows, blank, format: 'csv', columns, renamed, notes }]
    }),
  )
}

async function rowsByFile(connection: DuckDBConnection, sql: string): Promise<Map<string, number>> {
  const reader = await connection.runAndReadAll(`select _file, count(*) from (${sql}) group by 1`)
  return new Map(reader.getRows().map(([file, count]) => [String(file), Number(count)]))
}

async function commit(
  run: Run,
  { connection, snapshot, at }: Work,
  reading: Reading,
  added: readonly FileOutcome[],
  contents: ReadonlyMap<string, string>,
): Promise<number | null> {
  const { table, quarantine, target, signal } = run
  await shape(run, reading, snapshot, connection)
  const brought = added.map(({ file, rows }) => ({ file, content: contents.get(file) ?? '', rows, bad: 0 }))
  await keepAside(
    quarantine,
    target.name,
    brought.map((one) => ({ ...one, at })),
    null,
    connection,
    signal,
  )
  const done = await table.append(
    { connection, ...reading.stamped },
    { txns: brought.map(({ content }) => txnOf(content, null)), info: infoOf(brought), ...(signal ? { signal } : {}) },
  )
  for (const { file } of brought) run.names?.add(file)
  return done.skipped ? null : done.version
}
