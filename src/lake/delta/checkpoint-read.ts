/**
 * Reading checkpoints (sections "Checkpoints" and "Checkpoint Schema"), the whole state at a version: those of both specifications, in one
 * file, in parts, and with sidecars.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid } from '../../base/index.ts'
import {
  domainFrom,
  metadataFrom,
  parseCommit,
  protocolFrom,
  transactionFrom,
  type AddFile,
  type Commit,
  type DomainMetadata,
  type RemoveFile,
  type Transaction,
} from './actions.ts'
import { countActions, openBase } from './base.ts'
import { addCells, addFrom, openSource, parsedObject, removeCells, removeFrom, type Source } from './checkpoint-files.ts'
import { isObject, textOf, type JsonObject } from './json.ts'
import type { ListedCheckpoint } from './log.ts'
import { logFolder, pathKey } from './paths.ts'
import type { CheckpointContent } from './replay.ts'
import { identifier, query } from './sql.ts'
import type { Metadata, Place, Protocol } from './types.ts'

/** Of checkpoints with more files than this, only numbers are held in memory. */
const FILES_IN_MEMORY = 20_000

export async function readCheckpoint(place: Place, root: string, checkpoint: ListedCheckpoint): Promise<CheckpointContent> {
  const [first = ''] = checkpoint.paths
  const isJson = first.endsWith('.json')
  const release = place.objects.hold()
  const connection = await place.duck.connect()
  try {
    const top = isJson ? await jsonContent(place, first) : await parquetContent(place, connection, checkpoint.paths)
    const { protocol, metadata, transactions, domains, adds, removes } = top
    if (!protocol || !metadata) throw invalid('lake.checkpoint_damaged', `The checkpoint ${first} holds no protocol or no metadata`)
    const sidecars = top.sidecars.map((path) => sidecarPath(root, path))
    const paths = isJson ? sidecars : [...checkpoint.paths, ...sidecars]
    const rest = { version: checkpoint.version, protocol, metadata, transactions, domains }
    if (paths.length === 0) return { ...rest, adds, removes, base: null }
    const source = await localSource(place, connection, paths)
    const counts = await countActions(connection, source)
    if (counts.adds + counts.removes > (place.filesInMemory ?? FILES_IN_MEMORY))
      return { ...rest, adds, removes, base: await openBase(place, root, paths, counts) }
    const files = await filesOf(connection, source)
    return { ...rest, adds: [...adds, ...files.adds], removes: [...removes, ...files.removes], base: null }
  } finally {
    connection.closeSync()
    release()
  }
}

/** The paths of the sidecars that a checkpoint names. */
export async function sidecarsOf(place: Place, root: string, checkpoint: ListedCheckpoint): Promise<string[]> {
  const [first = ''] = checkpoint.paths
  if (first.endsWith('.json')) return (await jsonContent(place, first)).sidecars.map((path) => sidecarPath(root, path))
  const release = place.objects.hold()
  const connection = await place.duck.connect()
  try {
    return (await parquetContent(place, connection, checkpoint.paths)).sidecars.map((path) => sidecarPath(root, path))
  } finally {
    connection.closeSync()
    release()
  }
}

/** What the top level of a checkpoint holds. */
interface Content {
  readonly protocol: Protocol | null
  readonly metadata: Metadata | null
  readonly transactions: readonly Transaction[]
  readonly domains: readonly DomainMetadata[]
  /** Files of a top level in JSON; those in Parquet are read with the sidecars'. */
  readonly adds: readonly AddFile[]
  readonly removes: readonly RemoveFile[]
  /** Paths of files with more adds and removes (section "Sidecar File Information"). */
  readonly sidecars: readonly string[]
}

async function localSource(place: Place, connection: DuckDBConnection, paths: readonly string[]): Promise<Source> {
  return openSource(connection, await Promise.all(paths.map((path) => place.objects.localFile(path))))
}

const SINGLE = ['protocol', 'metaData', 'txn', 'domainMetadata', 'sidecar'] as const

async function parquetContent(place: Place, connection: DuckDBConnection, paths: readonly string[]): Promise<Content> {
  const source = await localSource(place, connection, paths)
  const there = SINGLE.filter((column) => source.names(column).size > 0)
  const found = new Map<string, JsonObject[]>(SINGLE.map((column) => [column, []]))
  if (there.length > 0) {
    const isThere = (column: string): string => `${identifier(column)} is not null`
    const cells = there.map((column) => `case when ${isThere(column)} then to_json(${identifier(column)})::varchar end`)
    const reader = await query(connection, `select ${cells.join(', ')} from ${source.sql} where ${there.map(isThere).join(' or ')}`)
    for (const row of reader.getRows()) for (const [i, text] of row.entries()) found.get(there[i] ?? '')?.push(...parsedObject(text))
  }
  const objects = (column: (typeof SINGLE)[number]): JsonObject[] => found.get(column) ?? []
  return {
    protocol: objects('protocol').map(protocolFrom)[0] ?? null,
    metadata: objects('metaData').map(metadataFrom)[0] ?? null,
    transactions: objects('txn')
      .map(transactionFrom)
      .filter((txn) => txn !== null),
    domains: objects('domainMetadata')
      .map(domainFrom)
      .filter((domain) => domain !== null),
    adds: [],
    removes: [],
    sidecars: objects('sidecar')
      .map((sidecar) => textOf(sidecar.path))
      .filter((path) => path !== null),
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

async function filesOf(connection: DuckDBConnection, source: Source): Promise<{ adds: AddFile[]; removes: RemoveFile[] }> {
  const rowsOf = async (kind: 'add' | 'remove', cells: string): Promise<readonly (readonly unknown[])[]> =>
    source.names(kind).has('path') ? (await query(connection, `select ${cells} from ${source.sql} where ${kind}.path is not null`)).getRows() : []
  return {
    adds: (await rowsOf('add', addCells(source))).map(addFrom),
    removes: (await rowsOf('remove', removeCells(source))).map(removeFrom),
  }
}
