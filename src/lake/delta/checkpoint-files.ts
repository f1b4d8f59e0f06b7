/**
 * The adds and removes of checkpoint files (section "Checkpoint Schema"), as DuckDB reads them from Parquet: which expressions give a
 * file's parts whatever columns a writer left out, and rows turned into files.
 */
import type { DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api'
import { partitionValuesFrom, type AddFile, type PartitionValues, type RemoveFile } from './actions.ts'
import { deletionVectorFrom } from './deletions.ts'
import { isObject, numberOf, textMapOf, textOf, type JsonObject } from './json.ts'
import { fileList, query } from './sql.ts'

/** Parquet files of one checkpoint, and the names inside their top-level columns; a column that is not there has no names. */
export interface Source {
  readonly sql: string
  readonly names: (column: string) => ReadonlySet<string>
}

export async function openSource(connection: DuckDBConnection, files: readonly string[]): Promise<Source> {
  const sql = `read_parquet(${fileList(files)}, union_by_name = true, hive_partitioning = false, file_row_number = true)`
  const reader = await query(connection, `select * from ${sql} limit 0`)
  const columns = reader.columnNames()
  const inside = new Map(
    reader
      .columnTypes()
      .map((type, i) => [
        columns[i] ?? '',
        new Set('entryNames' in type && Array.isArray(type.entryNames) ? type.entryNames.filter((name) => typeof name === 'string') : []),
      ]),
  )
  return { sql, names: (column) => inside.get(column) ?? new Set() }
}

/** The statistics as JSON text; a checkpoint may hold them as columns only. */
export function statsSql({ names }: Source): string {
  const has = names('add')
  const forms = [has.has('stats') ? 'add.stats' : null, has.has('stats_parsed') ? 'to_json(add.stats_parsed)::varchar' : null].filter((sql) => sql !== null)
  return forms.length > 0 ? `coalesce(${forms.join(', ')})` : 'null::varchar'
}

/** What `addFrom` makes a file of. */
export function addCells(source: Source): string {
  const has = source.names('add')
  const json = (name: string): string => (has.has(name) ? `to_json(add.${name})::varchar` : 'null::varchar')
  const modified = has.has('modificationTime') ? 'add.modificationTime' : '0'
  return [
    'add.path',
    json('partitionValues'),
    'add.size',
    modified,
    statsSql(source),
    json('tags'),
    json('deletionVector'),
    has.has('clusteringProvider') ? 'add.clusteringProvider' : 'null::varchar',
  ].join(', ')
}

export function addFrom([path, partitionValues, size, modified, stats, tags, vector, clusteringProvider]: readonly unknown[]): AddFile {
  return {
    path: textOf(path) ?? '',
    partitionValues: values(partitionValues) ?? {},
    size: numberOf(size) ?? 0,
    modificationTime: numberOf(modified) ?? 0,
    dataChange: true,
    stats: textOf(stats),
    tags: typeof tags === 'string' ? textMapOf(parsedObject(tags)[0]) : null,
    deletionVector: deletionVectorFrom(parsedObject(vector)[0]),
    ...(typeof clusteringProvider === 'string' ? { clusteringProvider } : {}),
  }
}

/** What `removeFrom` makes a tombstone of. */
export function removeCells({ names }: Source): string {
  const has = names('remove')
  const column = (name: string, json: boolean = false): string => (has.has(name) ? (json ? `to_json(remove.${name})::varchar` : `remove.${name}`) : 'null')
  return [
    'remove.path',
    column('deletionTimestamp'),
    column('dataChange'),
    column('partitionValues', true),
    column('size'),
    column('deletionVector', true),
  ].join(', ')
}

export function removeFrom([path, deleted, dataChange, partitionValues, size, vector]: readonly unknown[]): RemoveFile {
  return {
    path: textOf(path) ?? '',
    deletionTimestamp: numberOf(deleted),
    dataChange: dataChange !== false,
    partitionValues: values(partitionValues),
    size: numberOf(size),
    deletionVector: deletionVectorFrom(parsedObject(vector)[0]),
  }
}

/** Rows of a query one chunk after the other, so that they are never all in this process's memory. */
export async function* chunksOf(connection: DuckDBConnection, sql: string): AsyncGenerator<DuckDBDataChunk> {
  const result = await connection.stream(sql)
  for (let chunk = await result.fetchChunk(); chunk !== null && chunk.rowCount > 0; chunk = await result.fetchChunk()) yield chunk
}

export function parsedObject(text: unknown): JsonObject[] {
  if (typeof text !== 'string') return []
  const parsed: unknown = JSON.parse(text)
  return isObject(parsed) ? [parsed] : []
}

const partitionCache = new Map<string, PartitionValues>([['{}', {}]])

/** Partition values repeat: the last few thousand texts are parsed once. */
function values(text: unknown): PartitionValues | null {
  if (typeof text !== 'string') return null
  const known = partitionCache.get(text)
  if (known) return known
  const parsed = partitionValuesFrom(JSON.parse(text))
  if (partitionCache.size > 4096) partitionCache.clear()
  if (parsed) partitionCache.set(text, parsed)
  return parsed
}
