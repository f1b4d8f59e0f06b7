/**
 * Checkpoints (sections "Checkpoints" and "Checkpoint Schema"): the whole state at a version. Reads those of both specifications, in one
 * file, in parts, and with sidecars; writes single files of the first. DuckDB carries the bytes both ways.
 */
import { DuckDBDataChunk, BIGINT, VARCHAR, type DuckDBConnection, type DuckDBResultReader } from '@duckdb/node-api'
import { invalid, unsupported } from '../../base/index.ts'
import {
  metadataFrom,
  parseCommit,
  partitionValuesFrom,
  protocolFrom,
  transactionFrom,
  type AddFile,
  type Commit,
  type PartitionValues,
  type RemoveFile,
  type Transaction,
} from './actions.ts'
import { deletionVectorFrom } from './deletions.ts'
import { isObject, numberOf, textMapOf, textOf, type JsonObject } from './json.ts'
import type { ListedCheckpoint } from './log.ts'
import { logFolder, paddedVersion, pathKey } from './paths.ts'
import { tombstoneRetention } from './protocol.ts'
import type { CheckpointContent, TableState } from './replay.ts'
import { schemaString } from './schema.ts'
import { fileList, identifier, literal, query, temporary } from './sql.ts'
import type { Metadata, Place, Protocol } from './types.ts'

export async function readCheckpoint(place: Place, root: string, checkpoint: ListedCheckpoint): Promise<CheckpointContent> {
  const [first = ''] = checkpoint.paths
  const connection = await place.duck.connect()
  try {
    const top = first.endsWith('.json') ? await jsonContent(place, first) : await parquetContent(place, connection, checkpoint.paths)
    const { protocol, metadata, transactions, sidecars } = top
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
    return { version: checkpoint.version, protocol, metadata, transactions, adds, removes }
  } finally {
    connection.closeSync()
  }
}

/** What one file, or the parts of one checkpoint, hold. */
interface Content {
  readonly protocol: Protocol | null
  readonly metadata: Metadata | null
  readonly transactions: readonly Transaction[]
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
    adds: await readAdds(connection, source, columns.get('add') ?? new Set()),
    removes: await readRemoves(connection, source, columns.get('remove') ?? new Set()),
    sidecars: (await objectsIn('sidecar')).map((sidecar) => textOf(sidecar.path)).filter((path) => path !== null),
  }
}

/** The top level of a checkpoint may be lines of JSON, like a commit. */
async function jsonContent(place: Place, path: string): Promise<Content> {
  const bytes = (await place.objects.get(path)) ?? new Uint8Array()
  const { protocol, metadata, transactions, adds, removes } = parsedLines(bytes, path)
  const sidecars = new TextDecoder()
    .decode(bytes)
    .split('\n')
    .flatMap((line) => parsedObject(line.includes('"sidecar"') ? line : null))
    .flatMap(({ sidecar }) => (isObject(sidecar) ? (textOf(sidecar.path) ?? []) : []))
  return { protocol, metadata, transactions, adds, removes, sidecars }
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

/** Writes the checkpoint of a state and points `_last_checkpoint` at it. */
export async function writeCheckpoint(place: Place, root: string, state: TableState, now: number): Promise<void> {
  const live = state.files.at(state.version)
  // Only a table that breaks the protocol gets here with one: without its vector a file's deleted rows would be back.
  if (live.some((row) => state.files.vectors.has(row)))
    throw unsupported('lake.feature_unsupported', `No checkpoint of ${root} can be written: it uses deletionVectors`)
  const connection = await place.duck.connect()
  const staged = await place.objects.stage(`${logFolder(root)}${paddedVersion(state.version)}.checkpoint.parquet`)
  try {
    // Without its vector a tombstone would name another file, perhaps one that is there. VACUUM finds files that nothing names.
    const gone = state.files.tombstones(state.version, now - tombstoneRetention(state.metadata)).filter((row) => !state.files.vectors.has(row))
    const files = temporary('checkpoint')
    await connection.run(
      `create temp table ${files} (removed bigint, path varchar, partitions varchar, size bigint, modified bigint, stats varchar, tags varchar, deleted bigint, data bigint)`,
    )
    await stageFiles(connection, files, state, live, gone)
    await query(connection, `copy (${checkpointSql(state, files)}) to ${literal(staged.file)} (format parquet, compression snappy)`)
    const sizeInBytes = await staged.publish()
    const size = 2 + state.transactions.size + live.length + gone.length
    // Hadoop's local file system checks this file's own checksum file and would refuse the new bytes.
    await place.objects.delete(`${logFolder(root)}._last_checkpoint.crc`)
    await place.objects.put(
      `${logFolder(root)}_last_checkpoint`,
      new TextEncoder().encode(JSON.stringify({ version: state.version, size, sizeInBytes, numOfAddFiles: live.length })),
    )
  } finally {
    await staged.discard()
    connection.closeSync()
  }
}

async function stageFiles(connection: DuckDBConnection, table: string, state: TableState, live: readonly number[], gone: readonly number[]): Promise<void> {
  const { files } = state
  const chunk = DuckDBDataChunk.create([BIGINT, VARCHAR, VARCHAR, BIGINT, BIGINT, VARCHAR, VARCHAR, BIGINT, BIGINT])
  const appender = await connection.createAppender(table, 'main', 'temp')
  const rows = [...live, ...gone]
  const tags = (row: number): string | null => {
    const found = files.tags.get(row)
    return found ? JSON.stringify(found) : null
  }
  try {
    for (let start = 0; start < rows.length; start += 2048) {
      const part = rows.slice(start, start + 2048)
      chunk.reset()
      chunk.setColumns([
        part.map((_, i) => (start + i < live.length ? 0n : 1n)),
        part.map((row) => files.paths[row] ?? ''),
        part.map((row) => JSON.stringify(files.partitions[row] ?? {})),
        part.map((row) => BigInt(files.sizes[row] ?? 0)),
        part.map((row) => BigInt(files.modified[row] ?? 0)),
        part.map((row) => files.stats[row] ?? null),
        part.map(tags),
        part.map((row) => BigInt(files.deletedOn[row] ?? 0)),
        part.map((row) => (files.removedData[row] ? 1n : 0n)),
      ])
      appender.appendDataChunk(chunk)
    }
  } finally {
    appender.closeSync()
  }
}

const TYPES = {
  txn: 'struct(appId varchar, version bigint, lastUpdated bigint)',
  add: 'struct(path varchar, partitionValues map(varchar, varchar), size bigint, modificationTime bigint, dataChange boolean, tags map(varchar, varchar), stats varchar)',
  remove:
    'struct(path varchar, deletionTimestamp bigint, dataChange boolean, extendedFileMetadata boolean, partitionValues map(varchar, varchar), size bigint)',
  metaData:
    'struct(id varchar, "name" varchar, description varchar, format struct(provider varchar, options map(varchar, varchar)), schemaString varchar, partitionColumns varchar[], configuration map(varchar, varchar), createdTime bigint)',
  protocol: 'struct(minReaderVersion integer, minWriterVersion integer, readerFeatures varchar[], writerFeatures varchar[])',
} as const

type Column = keyof typeof TYPES
const COLUMNS: readonly Column[] = ['txn', 'add', 'remove', 'metaData', 'protocol']
const MAP = `'"MAP(VARCHAR,VARCHAR)"'`

function checkpointSql(state: TableState, files: string): string {
  const row = (column: Column, value: string, from: string = ''): string =>
    `select ${COLUMNS.map((name) => `${name === column ? `(${value})` : 'null'}::${TYPES[name]} as ${identifier(name)}`).join(', ')}${from}`
  const text = (value: string | undefined): string => (value === undefined ? 'null' : literal(value))
  const map = (value: unknown): string => `from_json(${literal(JSON.stringify(value))}, ${MAP})`
  const list = (value: readonly string[] | undefined): string => (value === undefined ? 'null' : `[${value.map(literal).join(', ')}]::varchar[]`)
  const { protocol, metadata } = state
  return [
    row(
      'protocol',
      `{'minReaderVersion': ${protocol.minReaderVersion}, 'minWriterVersion': ${protocol.minWriterVersion}, 'readerFeatures': ${list(protocol.readerFeatures)}, 'writerFeatures': ${list(protocol.writerFeatures)}}`,
    ),
    row(
      'metaData',
      `{'id': ${text(metadata.id)}, 'name': ${text(metadata.name)}, 'description': ${text(metadata.description)}, 'format': {'provider': 'parquet', 'options': ${map({})}}, 'schemaString': ${text(schemaString(metadata.fields))}, 'partitionColumns': ${list(metadata.partitionColumns)}, 'configuration': ${map(metadata.configuration)}, 'createdTime': ${metadata.createdTime ?? 'null'}}`,
    ),
    ...[...state.transactions.values()].map((txn) =>
      row('txn', `{'appId': ${text(txn.appId)}, 'version': ${txn.version}, 'lastUpdated': ${txn.lastUpdated ?? 'null'}}`),
    ),
    row(
      'add',
      `{'path': path, 'partitionValues': from_json(partitions, ${MAP}), 'size': size, 'modificationTime': modified, 'dataChange': false, 'tags': case when tags is not null then from_json(tags, ${MAP}) end, 'stats': stats}`,
      ` from ${files} where removed = 0`,
    ),
    row(
      'remove',
      `{'path': path, 'deletionTimestamp': deleted, 'dataChange': data = 1, 'extendedFileMetadata': true, 'partitionValues': from_json(partitions, ${MAP}), 'size': size}`,
      ` from ${files} where removed = 1`,
    ),
  ].join('\nunion all ')
}
