/**
 * Restore: makes the table what it was at an earlier version, in one commit and without touching a data file: files of that version
 * that are gone come back, others leave, columns and settings are those of then. The protocol never falls, and what applications
 * wrote of their progress (`txn`) stays, as with Spark: a stream that is at offset 100 does not bring rows a second time.
 */
import { randomUUID } from 'node:crypto'
import { missing } from '../../base/index.ts'
import type { AddFile, DomainMetadata } from './actions.ts'
import { vectorFile } from './deletions.ts'
import { fileKey, rowsIn } from './files.ts'
import { versionAt } from './head.ts'
import { alreadyDone, existing, finish, skipped, type Table } from './operations.ts'
import { dataPath } from './paths.ts'
import { pin, unpin } from './pins.ts'
import { checkWritable, protocolFor, supportedFeatures } from './protocol.ts'
import type { TableState } from './replay.ts'
import type { AtVersion, CommitOptions, CommitResult, Place } from './types.ts'
import type { Written } from './write.ts'

/** Long enough for any restore; a killed one's pin is over then. */
const PINNED_MS = 3_600_000

export async function restore(table: Table, to: AtVersion, options: CommitOptions): Promise<CommitResult> {
  const { place, root } = table
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  const version = 'version' in to ? to.version : await versionAt(place, root, to.timestamp, state)
  if (version === null || version === state.version) return skipped(state.version)
  if (version > state.version)
    throw missing('lake.version_missing', `Table ${root} has no version ${version}; its newest is ${state.version}`, {
      hint: `Restore one up to ${state.version}.`,
    })
  // A vacuum that runs must see that these files come back before it is checked that they are there.
  const id = `restore-${randomUUID()}`
  await pin(table, { id, reason: 'reader', version, until: Date.now() + PINNED_MS }, options.signal)
  try {
    return await restoreVersion(table, state, to, version, options)
  } finally {
    await unpin(table, id)
  }
}

async function restoreVersion(table: Table, state: TableState, to: AtVersion, version: number, options: CommitOptions): Promise<CommitResult> {
  const { place, root } = table
  const target = await table.head.at(version)
  if (target === null) throw missing('lake.table_missing', `There is no table at ${root}`)
  const supported = supportedFeatures(state.protocol)
  // Files of then may use what the columns and settings of then do not tell of.
  const dropped = [...supportedFeatures(target.protocol)].filter((feature) => !supported.has(feature))
  const protocol = protocolFor(root, state.protocol, target.metadata, dropped)
  checkWritable(root, protocol, state.metadata, false)
  const now = await state.files.adds(state.files.at(state.version))
  const then = await target.files.adds(target.files.at(version))
  const keysThen = new Set(then.map(fileKey))
  const keysNow = new Set(now.map(fileKey))
  const removed = now.filter((file) => !keysThen.has(fileKey(file)))
  const added = then.filter((file) => !keysNow.has(fileKey(file)))
  checkWritable(root, protocol, target.metadata, removed.length > 0)
  await checkThere(place, root, version, added, options.signal)
  const bytes = (files: readonly AddFile[]): number => files.reduce((sum, file) => sum + file.size, 0)
  return finish(
    table,
    {
      state,
      operation: 'RESTORE',
      parameters: 'version' in to ? { version, timestamp: null } : { version: null, timestamp: new Date(to.timestamp).toISOString() },
      metrics: {
        numRestoredFiles: added.length,
        restoredFilesSize: bytes(added),
        numRemovedFiles: removed.length,
        removedFilesSize: bytes(removed),
        numOfFilesAfterRestore: target.fileCount,
        tableSizeAfterRestore: target.bytes,
      },
      written: [standing(added)],
      removed,
      metadata: target.metadata,
      ...(protocol === state.protocol ? {} : { protocol }),
      domains: restoredDomains(state, target),
      // The result is a version as a whole: whatever others do meanwhile would be in it or missing from it.
      reads: () => true,
      readFiles: now,
      blindAppend: false,
      rowsAdded: added.reduce((sum, file) => sum + (rowsIn(file) || 0), 0),
    },
    options,
  )
}

/** Files that were there before: when the commit fails they stay. */
function standing(adds: readonly AddFile[]): Written {
  return { adds, rows: 0, discard: () => Promise.resolve() }
}

/** How the table is clustered belongs to a version; what else is kept in domains (high-water marks, progress) only moves on. */
function restoredDomains(state: TableState, target: TableState): DomainMetadata[] {
  const now = state.domains.get(CLUSTERING)
  const then = target.domains.get(CLUSTERING)
  if (then !== undefined) return then.configuration === now?.configuration ? [] : [then]
  return now === undefined ? [] : [{ ...now, removed: true }]
}

const CLUSTERING = 'delta.clustering'

const LOOKED_UP_AT_ONCE = 32
/** So many missing files are named. */
const NAMED = 5

/** Every file, and every file of a deletion vector, must be there before a commit names them. */
export async function checkThere(place: Place, root: string, version: number, files: readonly AddFile[], signal: AbortSignal | undefined): Promise<void> {
  const gone: string[] = []
  const vectors = new Set<string>()
  const look = async (path: string): Promise<void> => {
    if ((await place.objects.head(path)) === null) gone.push(path)
  }
  for (let start = 0; start < files.length; start += LOOKED_UP_AT_ONCE) {
    signal?.throwIfAborted()
    await Promise.all(
      files.slice(start, start + LOOKED_UP_AT_ONCE).map(async (file) => {
        await look(dataPath(place.objects, root, file.path))
        if (file.deletionVector === null || file.deletionVector.storageType === 'i') return
        const vector = await vectorFile(place, root, file.path, file.deletionVector)
        if (vectors.has(vector)) return
        vectors.add(vector)
        await look(vector)
      }),
    )
  }
  if (gone.length === 0) return
  const named = gone.sort().slice(0, NAMED).join(', ')
  throw missing(
    'lake.version_vacuumed',
    `Version ${version} of ${root} cannot be brought back: ${gone.length === 1 ? 'a file of it is' : `${gone.length} files of it are`} gone: ${named}${gone.length > NAMED ? ', ...' : ''}`,
    { hint: 'They were vacuumed or deleted. Restore them from a backup, or choose a later version.' },
  )
}
