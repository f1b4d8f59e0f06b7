/** Describe: what a table says of itself, how this package stands to each of its features, and what of its history is still there. */
import { LagoaError } from '../../base/index.ts'
import { parseCommit } from './actions.ts'
import { readCheckpoint } from './checkpoint-read.ts'
import { clusteringColumns } from './cluster.ts'
import { listLog, noCommits, type Listing } from './log.ts'
import type { Table } from './operations.ts'
import { commitPath } from './paths.ts'
import { pinsOf } from './pins.ts'
import { checkReadable, checkWritable, supportedFeatures } from './protocol.ts'
import type { TableState } from './replay.ts'
import type { Metadata, Place, Protocol, TableDescription } from './types.ts'

export async function describe({ place, root, head }: Table): Promise<TableDescription | null> {
  let state: TableState | null = null
  try {
    state = await head.refresh()
    if (state === null) return null
  } catch (error) {
    if (!(error instanceof LagoaError) || error.kind !== 'unsupported') throw error
  }
  const listing = await listLog(place.objects, root)
  const { protocol, metadata } = state ?? (await declaredBy(place, root, listing))
  const names = [...supportedFeatures(protocol)].sort()
  return {
    root,
    id: metadata.id,
    name: metadata.name ?? null,
    description: metadata.description ?? null,
    createdAt: metadata.createdTime ?? null,
    version: state?.version ?? listing.commits.at(-1)?.version ?? listing.checkpoints.at(-1)?.version ?? 0,
    updatedAt: state?.timestamp ?? null,
    protocol,
    features: names.map((name) => ({ name, ...standTo(root, name, protocol.readerFeatures ?? []) })),
    unreadable: refusal(() => checkReadable(root, protocol, metadata)),
    unwritable: refusal(() => checkWritable(root, protocol, metadata, false)),
    columns: metadata.fields,
    partitionBy: metadata.partitionColumns,
    clusterBy: state === null ? [] : (clusteringColumns(state) ?? []),
    properties: metadata.configuration,
    constraints: Object.entries(metadata.configuration).flatMap(([key, expression]) =>
      key.startsWith(CONSTRAINT) ? [{ name: key.slice(CONSTRAINT.length), expression }] : [],
    ),
    files: state?.fileCount ?? null,
    bytes: state?.bytes ?? null,
    rows: state === null || state.filesWithoutRows > 0 ? null : state.knownRows,
    oldestVersion: oldestOf(listing),
    commits: listing.commits.length,
    checkpoints: [...new Set(listing.checkpoints.map(({ version }) => version))],
    pins: await pinsOf(place, root),
  }
}

const CONSTRAINT = 'delta.constraints.'

/** The oldest version that a checkpoint or the unbroken commits since version 0 lead to. */
function oldestOf({ commits, checkpoints }: Listing): number {
  return commits[0]?.version === 0 ? 0 : (checkpoints[0]?.version ?? commits[0]?.version ?? 0)
}

/** The rules that guard reads and writes are asked about a table that has this feature and nothing else; most features leave readers alone. */
function standTo(root: string, feature: string, forReaders: readonly string[]): { reads: boolean; writes: boolean } {
  const readerFeatures = forReaders.includes(feature) ? [feature] : []
  const protocol: Protocol = { minReaderVersion: 3, minWriterVersion: 7, readerFeatures, writerFeatures: [feature] }
  const metadata: Metadata = { id: '', fields: [], partitionColumns: [], configuration: {} }
  const reads = refusal(() => checkReadable(root, protocol, metadata)) === null
  return { reads, writes: reads && refusal(() => checkWritable(root, protocol, metadata, false)) === null }
}

function refusal(check: () => void): string | null {
  try {
    check()
    return null
  } catch (error) {
    if (error instanceof LagoaError && error.kind === 'unsupported') return error.message
    throw error
  }
}

/** Protocol and metadata of a table whose state cannot be made here: by its commits from the newest back, or its newest checkpoint. */
async function declaredBy(place: Place, root: string, listing: Listing): Promise<{ protocol: Protocol; metadata: Metadata }> {
  let protocol: Protocol | null = null
  let metadata: Metadata | null = null
  for (const { version } of listing.commits.toReversed()) {
    const path = commitPath(root, version)
    const bytes = await place.objects.get(path)
    if (bytes === null) continue
    const commit = parseCommit(version, bytes, path)
    protocol ??= commit.protocol
    metadata ??= commit.metadata
    if (protocol !== null && metadata !== null) return { protocol, metadata }
  }
  const newest = listing.checkpoints.at(-1)
  if (!newest) throw noCommits(root)
  const content = await readCheckpoint(place, root, newest)
  return { protocol: protocol ?? content.protocol, metadata: metadata ?? content.metadata }
}
