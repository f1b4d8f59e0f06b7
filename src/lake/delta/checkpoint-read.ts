/**
 * Reading checkpoints (sections "Checkpoints" and "Checkpoint Schema"), the whole state at a version: those of both specifications, in one
 * file, in parts, and with sidecars.
 */
import type { DuckDBConnection, DuckDBResultReader } from '@duckdb/node-api'
import { invalid } from '../../base/index.ts'
import {
  domainFrom,
  metadataFrom,
  parseCommit,
  partitionValuesFrom,
  protocolFrom,
  transactionFrom,
  type AddFile,
  type Commit,
  type DomainMetadata,
  type PartitionValues,
  type RemoveFile,
  type Transaction,
} from './actions.ts'
import { deletionVectorFrom } from './deletions.ts'
import { isObject, numberOf, textMapOf, textOf, type JsonObject } from './json.ts'
import type { ListedCheckpoint } from './log.ts'
import { logFolder, pathKey } from './paths.ts'
import type { CheckpointContent } from './replay.ts'
import { fileList, query } from './sql.ts'
import type { Metadata, Place, Protocol } from './types.ts'

export async function readCheckpoint(place: Place, root: string, checkpoint: ListedCheckpoint): Promise<CheckpointContent> {
  const [first = ''] = checkpoint.paths
  const connection = await place.duck.connect()
  try {
    const top = first.endsWith('.json') ? await jsonContent(place, first) : await parquetContent(place, connection, checkpoint.paths)
    const { protocol, metadata, transactions, domains, sidecars } = top
    if (!protocol || !metadata) throw invalid('lake.checkpoint_damaged', `The checkpoint ${first} holds no protocol or no metadata`)
    let { adds, removes } = top
    if (sidecars.length > 0) {
      const more = await parquetContent(
        place,
        connection,
        sidecars.map((path) => sidecarPath(root, path)),
      )
      adds = both(adds, more.adds)
      removes = both(removes, more.removes)
    }
    return { version: checkpoint.version, protocol, metadata, transactions, domains, adds, removes }
  } finally {
    connection.closeSync()
  }
}

/** What one file, or the parts of one checkpoint, hold. */
interface Content {
  readonly protocol: Protocol | null
  readonly metadata: Metadata | null
  readonly transactions: readonly Transaction[]
  readonly domains: readonly DomainMetadata[]
  readonly adds: Iterable<AddFile>
  readonly removes: Iterable<RemoveFile>
  /** Paths of files with more adds and removes (section "Sidecar File Information"). */
  readonly sidecars: readonly string[]
}

async function parquetContent(place: Place, connection: DuckDBConnection, paths: readonly string[]): Promise<Content> {
  const files = fileList(await Promise.all(paths.map((path) => place.objects.localFile(path))))
  const source = `read_parquet(${files}, union_by_name = true, hive_partitioning = false)`
  const columns = await columnsOf(connection, source)
  const objectsIn = async (column: string): Promise<JsonObject[]> => {
    if (!columns.has(column)) return []
    const reader = await query(connection, `select to_json(${column})::varchar from ${source} where ${column} is not null`)
    return reader.getRows().flatMap(([text]) => parsedObject(text))
  }
  return {
    protocol: (await objectsIn('protocol')).map(protocolFrom)[0] ?? null,
    metadata: (await objectsIn('metaData')).map(metadataFrom)[0] ?? null,
    transactions: (await objectsIn('txn')).map(transactionFrom).filter((txn) => txn !== null),
    domains: (await objectsIn('domainMetadata')).map(domainFrom).filter((domain) => domain !== null),
    adds: await readAdds(connection, source, columns.get('add') ?? new Set()),
    removes: await readRemoves(connection, source, columns.get('remove') ?? new Set()),
    sidecars: (await objectsIn('sidecar')).map((sidecar) => textOf(sidecar.path)).filter((path) => path !== null),
  }
}

/** The top level of a checkpoint may be lines of JSON, like a commit. */
async function jsonContent(place: Place, path: string): Promise<Content> {
  const bytes = (await place.objects.get(path)) ?? new Uint8Array()
  const { protocol, metadata, transactions, domains, adds, removes } = parsedLines(bytes, path)
  const sidecars = new TextDecoder()
    .decode(bytes)
    .split('\n')
    .flatMap((line) => parsedObject(line.includes('"sidecar"') ? line : null))
    .flatMap(({ sidecar }) => (isObject(sidecar) ? (textOf(sidecar.path) ?? []) : []))
  return { protocol, metadata, transactions, domains, adds, removes, sidecars }
}

function parsedLines(bytes: Uint8Array, path: string): Commit {
  try {
    return parseCommit(0, bytes, path)
  } catch (cause) {
    // Damage of a commit would end the search; of a checkpoint it only means that an older one is tried.
    throw invalid('lake.checkpoint_damaged', `The checkpoint ${path} cannot be read`, { cause })
  }
}

/** Sidecars always lie in their own folder, whatever path to it the log may spell. */
function sidecarPath(root: string, logged: string): string {
  return `${logFolder(root)}_sidecars/${pathKey(logged.slice(logged.lastIndexOf('/') + 1))}`
}

function* both<T>(first: Iterable<T>, second: Iterable<T>): Generator<T> {
  yield* first
  yield* second
}

/** Top-level columns of the checkpoint with the names inside them. */
async function columnsOf(connection: DuckDBConnection, source: string): Promise<Map<string, Set<string>>> {
  const reader = await query(connection, `select * from ${source} limit 0`)
  const names = reader.columnNames()
  return new Map(
    reader
      .columnTypes()
      .map((type, i) => [
        names[i] ?? '',
        new Set('entryNames' in type && Array.isArray(type.entryNames) ? type.entryNames.filter((name) => typeof name === 'string') : []),
      ]),
  )
}

async function readAdds(connection: DuckDBConnection, source: string, has: ReadonlySet<string>): Promise<Iterable<AddFile>> {
  if (!has.has('path')) return []
  const json = (name: string): string => (has.has(name) ? `to_json(add.${name})::varchar` : 'null::varchar')
  const stats = [has.has('stats') ? 'add.stats' : null, has.has('stats_parsed') ? json('stats_parsed') : null].filter((sql) => sql !== null)
  const reader = await query(
    connection,
    `select add.path, ${json('partitionValues')}, add.size, ${has.has('modificationTime') ? 'add.modificationTime' : '0'}, ${stats.length > 0 ? `coalesce(${stats.join(', ')})` : 'null::varchar'}, ${json('tags')}, ${json('deletionVector')}
     from ${source} where add is not null and add.path is not null`,
  )
  return eachRow(reader, ([path, partitionValues, size, modified, text, tags, vector]) => ({
    path: textOf(path) ?? '',
    partitionValues: values(partitionValues) ?? {},
    size: numberOf(size) ?? 0,
    modificationTime: numberOf(modified) ?? 0,
    dataChange: false,
    stats: textOf(text),
    tags: tags === null ? null : textMapOf(parsedObject(tags)[0]),
    deletionVector: deletionVectorFrom(parsedObject(vector)[0]),
  }))
}

async function readRemoves(connection: DuckDBConnection, source: string, has: ReadonlySet<string>): Promise<Iterable<RemoveFile>> {
  if (!has.has('path')) return []
  const column = (name: string, json: boolean = false): string => (has.has(name) ? (json ? `to_json(remove.${name})::varchar` : `remove.${name}`) : 'null')
  const reader = await query(
    connection,
    `select remove.path, ${column('deletionTimestamp')}, ${column('dataChange')}, ${column('partitionValues', true)}, ${column('size')}, ${column('deletionVector', true)} from ${source} where remove is not null and remove.path is not null`,
  )
  return eachRow(reader, ([path, deleted, dataChange, partitionValues, size, vector]) => ({
    path: textOf(path) ?? '',
    deletionTimestamp: numberOf(deleted),
    dataChange: dataChange !== false,
    partitionValues: values(partitionValues),
    size: numberOf(size),
    deletionVector: deletionVectorFrom(parsedObject(vector)[0]),
  }))
}

/** Row by row from columns, so that no array of rows is ever held. */
function* eachRow<T>(reader: DuckDBResultReader, make: (cells: readonly unknown[]) => T): Generator<T> {
  const columns = reader.getColumns()
  for (let row = 0; row < reader.currentRowCount; row++) yield make(columns.map((column) => column[row] ?? null))
}

function parsedObject(text: unknown): JsonObject[] {
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
