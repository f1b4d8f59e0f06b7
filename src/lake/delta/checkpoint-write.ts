/**
 * Writing checkpoints (sections "Checkpoints" and "Checkpoint Schema"): the whole state at a version as one file of the first
 * specification.
 */
import { DuckDBDataChunk, BIGINT, VARCHAR, type DuckDBConnection } from '@duckdb/node-api'
import type { AddFile, Transaction } from './actions.ts'
import { PLACE } from './base.ts'
import { statsSql, type Source } from './checkpoint-files.ts'
import { logFolder, paddedVersion } from './paths.ts'
import { tombstoneRetention, transactionRetention } from './intervals.ts'
import type { TableState } from './replay.ts'
import { schemaString } from './schema.ts'
import { identifier, literal, query, temporary } from './sql.ts'
import type { Place } from './types.ts'

/** Writes the checkpoint of a state and points `_last_checkpoint` at it. */
export async function writeCheckpoint(place: Place, root: string, state: TableState, now: number): Promise<void> {
  const { files, version } = state
  const live = files.at(version)
  const gone = files.tombstones(version, now - tombstoneRetention(state.metadata))
  const forget = now - transactionRetention(state.metadata)
  const transactions = [...state.transactions.values()].filter(({ lastUpdated }) => lastUpdated === null || lastUpdated > forget)
  const staged = await place.objects.stage(`${logFolder(root)}${paddedVersion(version)}.checkpoint.parquet`)
  try {
    await withStagedFiles(place, state, live, gone, (connection, table, base) =>
      query(connection, `copy (${checkpointSql(state, transactions, table, base)}) to ${literal(staged.file)} (format parquet, compression snappy)`),
    )
    const sizeInBytes = await staged.publish()
    const size = 2 + transactions.length + state.domains.size + live.length + gone.length
    // Hadoop's local file system checks this file's own checksum file and would refuse the new bytes.
    await place.objects.delete(`${logFolder(root)}._last_checkpoint.crc`)
    await place.objects.put(
      `${logFolder(root)}_last_checkpoint`,
      new TextEncoder().encode(JSON.stringify({ version, size, sizeInBytes, numOfAddFiles: live.length })),
    )
  } finally {
    await staged.discard()
  }
}

/** Where the files come from that were in a large checkpoint already: they go from its Parquet to the next without passing through this process. */
interface BaseFiles {
  readonly source: Source
  /** Conditions on the rows of the source that are files and tombstones now. */
  readonly isLive: string
  readonly isGone: string
}

/** Puts what memory holds of the files into a temporary table, in a connection where the base's checkpoint is at hand. */
async function withStagedFiles<T>(
  place: Place,
  state: TableState,
  live: readonly number[],
  gone: readonly number[],
  work: (connection: DuckDBConnection, table: string, base: BaseFiles | null) => Promise<T>,
): Promise<T> {
  const { files } = state
  const { base } = files
  const table = temporary('checkpoint')
  const stage = async (connection: DuckDBConnection): Promise<void> => {
    await connection.run(
      `create temp table ${table} (removed bigint, place bigint, path varchar, partitions varchar, size bigint, modified bigint, stats varchar, tags varchar, deleted bigint, data bigint, vector varchar, provider varchar)`,
    )
    const inMemory = (row: number): boolean => base === null || row >= base.length
    await stageFiles(connection, table, state, live.filter(inMemory), gone.filter(inMemory))
  }
  if (base !== null) {
    const isHere = new Uint8Array(base.length)
    for (const row of [...live, ...gone]) if (row < base.length) isHere[row] = 1
    const left = [...isHere.keys()].filter((row) => isHere[row] === 0)
    // A file of the base that is gone by now is a tombstone here and no file; few are, so they are staged.
    const buried = gone.filter((row) => row < base.adds)
    return base.withSource(async (connection, source, notIn) => {
      await stage(connection)
      await stageFiles(connection, table, state, [], buried)
      return work(connection, table, {
        source,
        isLive: notIn([...left.filter((row) => row < base.adds), ...buried]),
        isGone: notIn(left.filter((row) => row >= base.adds)),
      })
    })
  }
  const connection = await place.duck.connect()
  try {
    await stage(connection)
    return await work(connection, table, null)
  } finally {
    connection.closeSync()
  }
}

/** Beyond the place of any row of a source. */
const BEHIND_BASE = 2 ** 52

async function stageFiles(connection: DuckDBConnection, table: string, state: TableState, live: readonly number[], gone: readonly number[]): Promise<void> {
  const { files } = state
  const chunk = DuckDBDataChunk.create([BIGINT, BIGINT, VARCHAR, VARCHAR, BIGINT, BIGINT, VARCHAR, VARCHAR, BIGINT, BIGINT, VARCHAR, VARCHAR])
  const appender = await connection.createAppender(table, 'main', 'temp')
  const rows = [...live, ...gone]
  const placeOf = (place: number): number => (files.base !== null && place < files.base.length ? files.base.placeOf(place) : BEHIND_BASE + place)
  try {
    for (let start = 0; start < rows.length; start += 2048) {
      const part = rows.slice(start, start + 2048)
      const known: AddFile[] = part.map((row) => files.knownAt(row))
      chunk.reset()
      chunk.setColumns([
        part.map((_, i) => (start + i < live.length ? 0n : 1n)),
        part.map((row) => BigInt(placeOf(files.placeAt(row)))),
        known.map((file) => file.path),
        known.map((file) => JSON.stringify(file.partitionValues)),
        known.map((file) => BigInt(file.size)),
        known.map((file) => BigInt(file.modificationTime)),
        known.map((file) => file.stats),
        known.map((file) => (file.tags === null ? null : JSON.stringify(file.tags))),
        part.map((row) => BigInt(files.deletedOn(row))),
        part.map((row) => (files.removedData(row) ? 1n : 0n)),
        known.map((file) => (file.deletionVector === null ? null : JSON.stringify(file.deletionVector))),
        known.map((file) => file.clusteringProvider ?? null),
      ])
      appender.appendDataChunk(chunk)
    }
  } finally {
    appender.closeSync()
  }
}

const VECTOR = 'struct(storageType varchar, pathOrInlineDv varchar, "offset" integer, sizeInBytes integer, cardinality bigint)'

/** A deletion vector from its JSON, which holds no more than the protocol names; a struct of nulls, as some checkpoints have it, is none. */
function vectorSql(json: string): string {
  return `case when ${json}->>'storageType' is not null then from_json(${json}, '{"storageType":"VARCHAR","pathOrInlineDv":"VARCHAR","offset":"INTEGER","sizeInBytes":"INTEGER","cardinality":"BIGINT"}') end`
}

const TYPES = {
  txn: 'struct(appId varchar, version bigint, lastUpdated bigint)',
  add: `struct(path varchar, partitionValues map(varchar, varchar), size bigint, modificationTime bigint, dataChange boolean, tags map(varchar, varchar), stats varchar, deletionVector ${VECTOR}, clusteringProvider varchar)`,
  remove: `struct(path varchar, deletionTimestamp bigint, dataChange boolean, extendedFileMetadata boolean, partitionValues map(varchar, varchar), size bigint, deletionVector ${VECTOR})`,
  metaData:
    'struct(id varchar, "name" varchar, description varchar, format struct(provider varchar, options map(varchar, varchar)), schemaString varchar, partitionColumns varchar[], configuration map(varchar, varchar), createdTime bigint)',
  domainMetadata: 'struct(domain varchar, configuration varchar, removed boolean)',
  protocol: 'struct(minReaderVersion integer, minWriterVersion integer, readerFeatures varchar[], writerFeatures varchar[])',
} as const

type Column = keyof typeof TYPES
const COLUMNS: readonly Column[] = ['txn', 'add', 'remove', 'metaData', 'protocol', 'domainMetadata']
const MAP = `'"MAP(VARCHAR,VARCHAR)"'`

function checkpointSql(state: TableState, transactions: readonly Transaction[], files: string, base: BaseFiles | null): string {
  const row = (column: Column, value: string, from: string = ''): string =>
    `select ${COLUMNS.map((name) => `${name === column ? `(${value})` : 'null'}::${TYPES[name]} as ${identifier(name)}`).join(', ')}${from}`
  const text = (value: string | undefined): string => (value === undefined ? 'null' : literal(value))
  const map = (value: unknown): string => `from_json(${literal(JSON.stringify(value))}, ${MAP})`
  const list = (value: readonly string[] | undefined): string => (value === undefined ? 'null' : `[${value.map(literal).join(', ')}]::varchar[]`)
  const { protocol, metadata } = state
  const fromBase = (kind: 'add' | 'remove', name: string): string => (base?.source.names(kind).has(name) ? `${kind}.${name}` : 'null')
  const baseVector = (kind: 'add' | 'remove'): string =>
    base?.source.names(kind).has('deletionVector') ? vectorSql(`to_json(${kind}.deletionVector)`) : 'null'
  const staged = `select {'path': path, 'partitionValues': from_json(partitions, ${MAP}), 'size': size, 'modificationTime': modified, 'dataChange': false, 'tags': case when tags is not null then from_json(tags, ${MAP}) end, 'stats': stats, 'deletionVector': ${vectorSql('vector')}, 'clusteringProvider': provider}::${TYPES.add} as file, place, rowid as turn from ${files} where removed = 0`
  const kept =
    base &&
    `select {'path': add.path, 'partitionValues': ${fromBase('add', 'partitionValues')}, 'size': add.size, 'modificationTime': ${fromBase('add', 'modificationTime')}, 'dataChange': false, 'tags': ${fromBase('add', 'tags')}, 'stats': ${statsSql(base.source)}, 'deletionVector': ${baseVector('add')}, 'clusteringProvider': ${fromBase('add', 'clusteringProvider')}}::${TYPES.add} as file, ${PLACE} as place, -1 as turn from ${base.source.sql} where add.path is not null and ${base.isLive}`
  // Readers here take the order of files for the order of rows. What memory holds is staged in that order.
  const adds = kept === null ? staged : `${kept} union all ${staged}${state.files.inOrder ? '' : ' order by place, turn'}`
  return [
    row(
      'protocol',
      `{'minReaderVersion': ${protocol.minReaderVersion}, 'minWriterVersion': ${protocol.minWriterVersion}, 'readerFeatures': ${list(protocol.readerFeatures)}, 'writerFeatures': ${list(protocol.writerFeatures)}}`,
    ),
    row(
      'metaData',
      `{'id': ${text(metadata.id)}, 'name': ${text(metadata.name)}, 'description': ${text(metadata.description)}, 'format': {'provider': 'parquet', 'options': ${map({})}}, 'schemaString': ${text(schemaString(metadata.fields))}, 'partitionColumns': ${list(metadata.partitionColumns)}, 'configuration': ${map(metadata.configuration)}, 'createdTime': ${metadata.createdTime ?? 'null'}}`,
    ),
    ...transactions.map((txn) => row('txn', `{'appId': ${text(txn.appId)}, 'version': ${txn.version}, 'lastUpdated': ${txn.lastUpdated ?? 'null'}}`)),
    ...[...state.domains.values()].map((one) =>
      row('domainMetadata', `{'domain': ${text(one.domain)}, 'configuration': ${text(one.configuration)}, 'removed': false}`),
    ),
    row('add', 'file', ` from (${adds})`),
    ...(base === null
      ? []
      : [
          row(
            'remove',
            `{'path': ${fromBase('remove', 'path')}, 'deletionTimestamp': ${fromBase('remove', 'deletionTimestamp')}, 'dataChange': ${fromBase('remove', 'dataChange')}, 'extendedFileMetadata': true, 'partitionValues': ${fromBase('remove', 'partitionValues')}, 'size': ${fromBase('remove', 'size')}, 'deletionVector': ${baseVector('remove')}}`,
            ` from ${base.source.sql} where ${fromBase('remove', 'path')} is not null and ${base.isGone}`,
          ),
        ]),
    row(
      'remove',
      `{'path': path, 'deletionTimestamp': deleted, 'dataChange': data = 1, 'extendedFileMetadata': true, 'partitionValues': from_json(partitions, ${MAP}), 'size': size, 'deletionVector': ${vectorSql('vector')}}`,
      ` from ${files} where removed = 1`,
    ),
  ].join('\nunion all ')
}
