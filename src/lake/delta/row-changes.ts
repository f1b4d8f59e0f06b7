/**
 * What the commands share that change rows: finding the rows, taking them out of their files (by a deletion vector where the table has
 * them switched on, else by writing the file anew without them), and telling of each change in change data files.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import type { AddFile, ChangeFile } from './actions.ts'
import { checkStable, certainlyMatching } from './condition.ts'
import { rowsIn } from './files.ts'
import type { Table } from './operations.ts'
import { ANY } from './prune.ts'
import { supportedFeatures } from './protocol.ts'
import type { TableState } from './replay.ts'
import { RowSet } from './row-set.ts'
import { AT_COLUMN, fileAt, fileTest, localFiles, predicateTest, pruneFiles, rowAt, scanSql, type LocalFile } from './scan.ts'
import { fileList, query } from './sql.ts'
import type { Metadata, Place, Predicate } from './types.ts'
import { writeVectors, type Loss } from './vector-write.ts'
import { CHANGE_FILES, NOTHING_WRITTEN, writeRows, type Written } from './write.ts'

/** New vectors are written only where the table's setting asks for them (section "Deletion Vectors"). */
export function writesVectors({ protocol, metadata }: TableState): boolean {
  return metadata.configuration['delta.enableDeletionVectors']?.toLowerCase() === 'true' && supportedFeatures(protocol).has('deletionVectors')
}

/** Section "Writer Requirements for AddCDCFile". */
export function recordsChanges({ protocol, metadata }: Pick<TableState, 'protocol' | 'metadata'>): boolean {
  return metadata.configuration['delta.enableChangeDataFeed']?.toLowerCase() === 'true' && supportedFeatures(protocol).has('changeDataFeed')
}

/** Runs work whose statements all see one moment: `now()` is the same in each of them. What it leaves in the connection is gone afterwards. */
export async function inOneMoment<T>(place: Place, work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const connection = await place.duck.connect()
  try {
    await connection.run('begin')
    return await work(connection)
  } finally {
    await connection.run('rollback').catch(() => {})
    connection.closeSync()
  }
}

/** Rows of a version for which a condition is true. */
export interface Found {
  /** Files that can hold such a row: what is decided rests on them. */
  readonly candidates: readonly AddFile[]
  /** Whether a file, had it been there, would have been one of them. */
  readonly reads: (file: AddFile) => boolean
  /** Files of which every row is one, which was known without reading them. */
  readonly certain: readonly AddFile[]
  /** Files with such rows that were read. */
  readonly touched: readonly Touched[]
  /** A temporary table of their places, in the column `row_at`. */
  readonly hits: string
}

export interface Touched {
  readonly file: LocalFile
  /** Rows that the data file holds, and those of them that the table has. */
  readonly physicalRows: number
  readonly rows: number
  /** How many of its rows were found. */
  readonly hits: number
}

export interface FindOptions {
  /** Files whose rows all match are read as well. */
  readonly needsRows: boolean
  /** The name of the temporary table to make. */
  readonly hits: string
  readonly signal: AbortSignal | undefined
}

/** The rows for which `where` is true. */
export async function findRows(
  { place, root }: Table,
  state: TableState,
  connection: DuckDBConnection,
  where: Predicate,
  { needsRows, hits, signal }: FindOptions,
): Promise<Found> {
  await checkStable(connection, root, [where])
  const test = await predicateTest(connection, state, where)
  const candidates = await pruneFiles(state, test)
  const matches = needsRows ? (): boolean => false : await certainlyMatching(connection, state, where, test, candidates)
  const certain: AddFile[] = []
  const read: AddFile[] = []
  for (const file of candidates) (matches(file) && !Number.isNaN(rowsIn(file)) ? certain : read).push(file)
  const files = await localFiles(place, root, state, read)
  await query(connection, `create temp table ${hits} as select ${AT_COLUMN} as row_at from (${scanSql(state, files, true)}) where (${where}\n) is true`, signal)
  return { candidates, reads: fileTest(state.metadata, test), certain, touched: await touchedFiles(connection, files, hits, signal), hits }
}

/** Every row there is, none of which was looked at. */
export async function everyRow(state: TableState): Promise<Pick<Found, 'candidates' | 'reads' | 'certain'>> {
  const live = await pruneFiles(state, ANY)
  return { candidates: live, reads: () => true, certain: live }
}

/** The files of a scan that have places in the temporary table `hits`, which holds each once. */
export async function touchedFiles(
  connection: DuckDBConnection,
  files: readonly LocalFile[],
  hits: string,
  signal: AbortSignal | undefined,
): Promise<Touched[]> {
  const counts = (await query(connection, `select ${fileAt('row_at')}, count(*) from temp.${hits} group by 1 order by 1`, signal)).getRows()
  const found = counts.flatMap(([number, count]) => {
    const file = files[Number(number)]
    return file ? [{ file, hits: Number(count) }] : []
  })
  const physical = await physicalRows(
    connection,
    found.map(({ file }) => file.path),
    signal,
  )
  return found.map((one) => {
    const all = physical.get(one.file.path) ?? 0
    return { ...one, physicalRows: all, rows: all - (one.file.file.deletionVector?.cardinality ?? 0) }
  })
}

/** Rows by local path as the files' footers tell them. */
async function physicalRows(connection: DuckDBConnection, paths: readonly string[], signal: AbortSignal | undefined): Promise<Map<string, number>> {
  if (paths.length === 0) return new Map()
  const reader = await query(connection, `select file_name, num_rows from parquet_file_metadata(${fileList(paths)})`, signal)
  return new Map(reader.getRows().map(([path, rows]) => [String(path), Number(rows)]))
}

/** Files that lose all their rows, and those that keep some. */
export function wholeAndPartial(touched: readonly Touched[]): { readonly whole: Touched[]; readonly partial: Touched[] } {
  return { whole: touched.filter(({ hits, rows }) => hits >= rows), partial: touched.filter(({ hits, rows }) => hits < rows) }
}

/** The files with vectors that take the places in `hits` too. */
export function takenOut(
  { place, root }: Table,
  connection: DuckDBConnection,
  partial: readonly Touched[],
  hits: string,
  signal: AbortSignal | undefined,
): Promise<Written> {
  return partial.length === 0 ? Promise.resolve(NOTHING_WRITTEN) : writeVectors(place, root, losses(connection, partial, hits, signal), signal)
}

async function* losses(connection: DuckDBConnection, partial: readonly Touched[], hits: string, signal: AbortSignal | undefined): AsyncGenerator<Loss> {
  const byNumber = new Map(partial.map((one) => [one.file.number, one]))
  const wanted = partial.map(({ file }) => `(${file.number})`).join(', ')
  const result = await connection.stream(
    `select ${fileAt('row_at')}, ${rowAt('row_at')}::integer from temp.${hits} where ${fileAt('row_at')} in (select * from (values ${wanted})) order by row_at`,
  )
  let open: { readonly touched: Touched; readonly rows: RowSet } | null = null
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) {
    signal?.throwIfAborted()
    const numbers = chunk.getColumnValues(0)
    const positions = chunk.getColumnValues(1)
    for (let i = 0; i < chunk.rowCount; i++) {
      const number = Number(numbers[i])
      if (open?.touched.file.number !== number) {
        if (open) yield lossOf(open.touched, open.rows)
        const touched = byNumber.get(number)
        if (touched === undefined) continue
        open = { touched, rows: new RowSet() }
      }
      const position = Number(positions[i])
      open.rows.add(position, position + 1)
    }
  }
  if (open) yield lossOf(open.touched, open.rows)
}

function lossOf({ file, physicalRows: rows }: Touched, gone: RowSet): Loss {
  return { file: file.file, physicalRows: rows, rows: gone }
}

/** What the metrics of every command tell of vectors. */
export function vectorMetrics(removed: readonly AddFile[], vectors: Written): Readonly<Record<string, number>> {
  const had = removed.filter(({ deletionVector }) => deletionVector !== null).length
  const paths = new Set(vectors.adds.map(({ path }) => path))
  const updated = removed.filter(({ path, deletionVector }) => deletionVector !== null && paths.has(path)).length
  return {
    numDeletionVectorsAdded: vectors.adds.length,
    numDeletionVectorsRemoved: had,
    numDeletionVectorsUpdated: updated,
  }
}

export type ChangeType = 'insert' | 'delete' | 'update_preimage' | 'update_postimage'

export const CHANGE_TYPE = '_change_type'

/** Rows of the table's columns, and what happened to them. */
export interface RowChange {
  readonly type: ChangeType
  readonly sql: string
}

/** Change data files (section "Change Data Files"), still nobody's. */
export interface WrittenChanges {
  readonly files: readonly ChangeFile[]
  /** Takes part in the commit only by being discarded when it fails. */
  readonly written: Written
}

export const NO_CHANGES: WrittenChanges = { files: [], written: NOTHING_WRITTEN }

export async function writeChanges(
  { place, root }: Table,
  metadata: Metadata,
  connection: DuckDBConnection,
  changes: readonly RowChange[],
  signal: AbortSignal | undefined,
): Promise<WrittenChanges> {
  const sql = changes.map(({ type, sql: rows }) => `select *, '${type}' as ${CHANGE_TYPE} from (${rows})`).join('\nunion all by name ')
  const { adds, discard } = await writeRows(place, root, changeMetadata(metadata), connection, sql, signal, undefined, CHANGE_FILES)
  return { files: adds.map(({ path, partitionValues, size }) => ({ path, partitionValues, size })), written: { adds: [], rows: 0, discard } }
}

/** The table's columns and the kind of change. What the table asks of its rows is not asked of rows that were in it. */
export function changeMetadata(metadata: Metadata): Metadata {
  const settings = Object.entries(metadata.configuration).filter(([key]) => key.startsWith('delta.columnMapping.'))
  const fields = metadata.fields.map((field) => ({
    ...field,
    nullable: true,
    metadata: Object.fromEntries(Object.entries(field.metadata).filter(([key]) => key.startsWith('delta.columnMapping.'))),
  }))
  return {
    ...metadata,
    fields: [...fields, { name: CHANGE_TYPE, type: 'string', nullable: true, metadata: {} }],
    configuration: Object.fromEntries(settings),
  }
}
