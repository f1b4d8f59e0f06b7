/**
 * Writing data files: DuckDB writes Parquet beside the table, each file is published under its final name, and what comes back are
 * the add actions to commit. Until a commit names them the files are nobody's; `discard` removes them.
 */
import { randomUUID } from 'node:crypto'
import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import { errno, invalid, unavailable, type LagoaError } from '../../base/index.ts'
import type { StagedObject } from '../../storage/index.ts'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { AddFile, PartitionValues } from './actions.ts'
import { brokenCheck, checkedSql, rowChecks } from './computed.ts'
import { fieldIds, renamed, storedFields, storedPartitions } from './mapping.ts'
import { dataPath, encodePath, partitionFolder } from './paths.ts'
import { duckType } from './schema.ts'
import { fileList, identifier, literal, query } from './sql.ts'
import { fileStats, type LeafStats } from './stats.ts'
import { textOf } from './json.ts'
import type { DeltaField, Metadata, ParquetFile, Place, Relation } from './types.ts'

export interface Written {
  readonly adds: readonly AddFile[]
  readonly rows: number
  /** Removes the files again, after a commit that did not happen. */
  discard(): Promise<void>
}

export const NOTHING_WRITTEN: Written = { adds: [], rows: 0, discard: () => Promise.resolve() }

/** About the size of a file: a later merge rewrites parts and not everything. One that is half as large again is split. */
const FILE_BYTES = 128 * 1024 * 1024

/** Spark 3 refuses dates before 1582 and instants before 1900 of files that do not say that they count days as Spark itself does since 3.0. */
const CALENDAR = "kv_metadata {'org.apache.spark.version': '3.0.0'}"

/** Where files lie below the table's folder, and how their names begin. */
interface FileNames {
  readonly folder: string
  readonly prefix: string
}

const DATA_FILES: FileNames = { folder: '', prefix: 'part' }
/** Section "Change Data Files". */
export const CHANGE_FILES: FileNames = { folder: '_change_data/', prefix: 'cdc' }

/**
 * `rows` is SQL that yields the table's columns, of the table's types; every row is checked for what the table asks of it. Or it is a file
 * of them that fits as it is, and is moved. With `only`, all rows are known to be of that partition and to have been in the table before,
 * and they keep their order.
 */
export async function writeRows(
  place: Place,
  root: string,
  metadata: Metadata,
  connection: DuckDBConnection,
  rows: string | ParquetFile,
  signal?: AbortSignal,
  only?: PartitionValues,
  names: FileNames = DATA_FILES,
): Promise<Written> {
  const stored = storedFields(metadata)
  const isPartition = (field: DeltaField): boolean => metadata.partitionColumns.includes(field.name)
  const partitionColumns = storedPartitions(metadata)
  const data = stored.filter(({ name }) => !partitionColumns.includes(name))
  const partitioned = only ? [] : metadata.fields.filter(isPartition)
  const checks = only ? [] : rowChecks(metadata)
  const values = metadata.fields.flatMap((field, i) => {
    const to = stored[i] ?? field
    return isPartition(field) ? [] : [{ name: to.name, sql: renamed(identifier(field.name), to.type, field.type) }]
  })
  const columns = [
    // One column carries the checks for its row, so that the rows are read once.
    ...values.map(({ name, sql: value }, i) => `${i === 0 && checks.length > 0 ? checkedSql(value, checks, metadata.fields) : value} as ${identifier(name)}`),
    ...partitioned.map((field) => `${partitionText(field)} as ${identifier(stored[metadata.fields.indexOf(field)]?.name ?? field.name)}`),
  ]
  const staged: StagedObject[] = []
  const published: string[] = []
  const discard = async (): Promise<void> => {
    for (const one of staged) await one.discard()
    for (const path of published) await place.objects.delete(path)
  }
  const nameOf = (values: PartitionValues | null, number: number): string =>
    `${names.folder}${values === null ? '' : partitionFolder(partitionColumns, values)}${names.prefix}-${String(number).padStart(5, '0')}-${randomUUID()}.c000.snappy.parquet`
  // Rows of one file are written to its place at once; those of several into a folder beside it.
  const firstPath = nameOf(only ?? (partitioned.length > 0 ? null : {}), 0)
  const first = await place.objects.stage(`${root}/${firstPath}`)
  const folder = `${first.file}.parts`
  try {
    const ids = fieldIds(metadata, data)
    const options = ids === null ? [] : [`field_ids ${ids}`]
    const write = async (sql: string): Promise<WrittenFile[]> => {
      const input = `select ${columns.join(', ')} from (${sql}\n)`
      const byPartition = [`partition_by (${partitionColumns.map(identifier).join(', ')})`, 'overwrite_or_ignore', ...options]
      if (partitioned.length === 0) return copyInOrder(connection, input, first.file, folder, options, signal)
      await mkdir(folder, { recursive: true })
      return copy(connection, input, folder, byPartition, signal)
    }
    const files = typeof rows === 'string' ? await write(rows) : await cut(connection, { ...rows, partitionValues: {} }, folder, options, signal)
    const adds: AddFile[] = []
    let count = 0
    for (const file of files) {
      if (file.rows === 0) continue
      const written = only ? { ...file, partitionValues: only } : file
      if (!only) checkNulls(root, metadata, stored, written)
      const isInPlace = written.file === first.file
      const relative = isInPlace ? firstPath : nameOf(written.partitionValues, adds.length)
      const object = isInPlace ? first : await place.objects.stage(`${root}/${relative}`)
      staged.push(object)
      if (!isInPlace) await move(written.file, object.file)
      const path = encodePath(relative)
      const size = await object.publish()
      published.push(dataPath(place.objects, root, path))
      count += written.rows
      adds.push({
        path,
        partitionValues: written.partitionValues,
        size,
        modificationTime: Date.now(),
        dataChange: true,
        stats: fileStats(written.rows, data, written.leaves, indexedColumns(metadata)),
        tags: null,
        deletionVector: null,
      })
      signal?.throwIfAborted()
    }
    return { adds, rows: count, discard }
  } catch (error) {
    await discard()
    signal?.throwIfAborted()
    throw brokenCheck(root, checks, error) ?? writeError(root, error)
  } finally {
    await rm(folder, { recursive: true, force: true })
    await first.discard()
  }
}

async function copy(
  connection: DuckDBConnection,
  sql: string,
  to: string,
  options: readonly string[],
  signal: AbortSignal | undefined,
): Promise<WrittenFile[]> {
  const reader = await query(
    connection,
    `copy (${sql}) to ${literal(to)} (${['format parquet, compression snappy, return_stats', CALENDAR, ...options].join(', ')})`,
    signal,
  )
  return reader.getRowObjectsJson().map(writtenFile)
}

/**
 * The order of rows carries meaning: the last row of a key wins. DuckDB keeps it in a single file only, not when it splits by size
 * while it writes, so a file that became too large is cut afterwards.
 */
async function copyInOrder(
  connection: DuckDBConnection,
  sql: string,
  to: string,
  folder: string,
  options: readonly string[],
  signal: AbortSignal | undefined,
): Promise<WrittenFile[]> {
  const [whole] = await copy(connection, sql, to, options, signal)
  return whole ? cut(connection, whole, folder, options, signal) : []
}

/** The file itself, or its parts in their order, in a folder. */
async function cut(
  connection: DuckDBConnection,
  whole: WrittenFile,
  folder: string,
  options: readonly string[],
  signal: AbortSignal | undefined,
): Promise<WrittenFile[]> {
  const { size } = await stat(whole.file)
  if (size <= 1.5 * FILE_BYTES) return [whole]
  const parts = Math.ceil(size / FILE_BYTES)
  const rows = Math.ceil(whole.rows / parts)
  await mkdir(folder, { recursive: true })
  const files: WrittenFile[] = []
  for (let part = 0; part < parts; part++) {
    const rowsOfPart = `select * exclude (file_row_number) from read_parquet(${fileList([whole.file])}, file_row_number = true) where file_row_number >= ${part * rows} and file_row_number < ${(part + 1) * rows}`
    files.push(...(await copy(connection, rowsOfPart, `${folder}/part-${part}.parquet`, options, signal)))
  }
  return files
}

interface WrittenFile extends ParquetFile {
  readonly partitionValues: PartitionValues
}

/** Writes rows to a file outside of any table, as a table's data files are written. */
export async function writeParquet({ connection, sql }: Relation, to: string, signal?: AbortSignal): Promise<ParquetFile> {
  const [written] = await copy(connection, sql, to, [], signal)
  return { file: to, rows: written?.rows ?? 0, leaves: written?.leaves ?? new Map() }
}

function writtenFile(row: Readonly<Record<string, unknown>>): WrittenFile {
  const leaves = new Map<string, LeafStats>()
  for (const [path, stats] of entries(row.column_statistics)) {
    leaves.set(path, Object.fromEntries(entries(stats).flatMap(([key, value]) => (typeof value === 'string' ? [[key, value]] : []))))
  }
  const partitionValues: PartitionValues = Object.fromEntries(entries(row.partition_keys).map(([key, value]) => [key, textOf(value)]))
  return { file: textOf(row.filename) ?? '', rows: Number(row.count), leaves, partitionValues }
}

/** A DuckDB map in its JSON form is a list of keys and values. */
function entries(map: unknown): [string, unknown][] {
  if (!Array.isArray(map)) return []
  return map.flatMap((entry: unknown): [string, unknown][] => {
    if (typeof entry !== 'object' || entry === null || !('key' in entry) || !('value' in entry)) return []
    return typeof entry.key === 'string' ? [[entry.key, entry.value]] : []
  })
}

/** The text that stands for a partition column's value (section "Partition Value Serialization"); the empty string means null there. */
export function partitionText({ name, type }: DeltaField): string {
  const column = identifier(name)
  if (type === 'timestamp') return `strftime(timezone('UTC', ${column}), '%Y-%m-%d %H:%M:%S.%f')`
  if (type === 'timestamp_ntz') return `strftime(${column}, '%Y-%m-%d %H:%M:%S.%f')`
  return `nullif(${column}::varchar, '')`
}

/** A partition value's text as SQL of the column's type. */
export function partitionLiteral(field: DeltaField, value: string | null | undefined): string {
  const type = duckType(field.type)
  if (value === null || value === undefined || value === '') return `null::${type}`
  return `${literal(value)}::${type}`
}

export function indexedColumns(metadata: Metadata): number {
  const wanted = Number(metadata.configuration['delta.dataSkippingNumIndexedCols'] ?? 32)
  return Number.isInteger(wanted) ? wanted : 32
}

/** Statistics tell of nulls in plain columns; nested ones are checked row by row. */
function checkNulls(root: string, metadata: Metadata, stored: readonly DeltaField[], written: WrittenFile): void {
  for (const [i, field] of metadata.fields.entries()) {
    if (field.nullable) continue
    const name = stored[i]?.name ?? field.name
    const leaf = written.leaves.get(identifier(name))
    const nulls = metadata.partitionColumns.includes(field.name) ? (written.partitionValues[name] === null ? written.rows : 0) : Number(leaf?.null_count ?? 0)
    if (nulls > 0)
      throw invalid('lake.null_value', `Column ${field.name} of ${root} takes no nulls, the input has ${nulls} in it`, {
        hint: `Filter them out (where ${identifier(field.name)} is not null) or give them a value with coalesce.`,
      })
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (errno(error) !== 'EXDEV') throw error
    await copyFile(from, to)
  }
}

/** DuckDB's own errors, told apart: a full disk can be waited out, the rest lies in the input. */
export function writeError(root: string, error: unknown): unknown {
  const text = error instanceof Error ? error.message : String(error)
  const known: LagoaError | null = /No space left|disk full|max_temp_directory_size/i.test(text)
    ? unavailable('storage.disk_full', `Rows for ${root} could not be written, the disk is full`, {
        hint: 'Free some space, then write again; nothing was committed.',
        cause: error,
      })
    : /^(Conversion|Invalid Input|Out of Range|Binder|Catalog|Parser) Error/.test(text)
      ? invalid('lake.input_failed', `The rows to write to ${root} could not be computed: ${text}`, {
          hint: 'Correct the query or the value it names, then write again; nothing was committed.',
          cause: error,
        })
      : null
  return known ?? error
}
