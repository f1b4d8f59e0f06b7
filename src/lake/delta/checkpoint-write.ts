/**
 * Writing checkpoints (sections "Checkpoints" and "Checkpoint Schema"): the whole state at a version as one file of the first
 * specification.
 */
import { DuckDBDataChunk, BIGINT, VARCHAR, type DuckDBConnection } from '@duckdb/node-api'
import { unsupported } from '../../base/index.ts'
import { logFolder, paddedVersion } from './paths.ts'
import { tombstoneRetention } from './protocol.ts'
import type { TableState } from './replay.ts'
import { schemaString } from './schema.ts'
import { identifier, literal, query, temporary } from './sql.ts'
import type { Place } from './types.ts'

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
    const size = 2 + state.transactions.size + state.domains.size + live.length + gone.length
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
  domainMetadata: 'struct(domain varchar, configuration varchar, removed boolean)',
  protocol: 'struct(minReaderVersion integer, minWriterVersion integer, readerFeatures varchar[], writerFeatures varchar[])',
} as const

type Column = keyof typeof TYPES
const COLUMNS: readonly Column[] = ['txn', 'add', 'remove', 'metaData', 'protocol', 'domainMetadata']
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
    ...[...state.domains.values()].map((one) =>
      row('domainMetadata', `{'domain': ${text(one.domain)}, 'configuration': ${text(one.configuration)}, 'removed': false}`),
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
