/**
 * Graft: what a shallow clone changed since it was made, as one commit on the table that it was made of. The commit is decided on the
 * version that was cloned, so the rules for concurrent commits tell whether what happened to the table meanwhile allows it: nothing of it
 * is decided anew. New files are copied into the table's folder before the commit names them.
 */
import { isDeepStrictEqual } from 'node:util'
import { conflict, invalid } from '../../base/index.ts'
import type { AddFile } from './actions.ts'
import { describeConflict, findConflict, isolationOf, type Intent } from './conflicts.ts'
import { differentFiles, type Rooted } from './difference.ts'
import { vectorFile, type DeletionVector } from './deletions.ts'
import { rowsIn } from './files.ts'
import { readCommit } from './log.ts'
import { alreadyDone, existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import { dataPath, encodePath, loggedAddress, pathKey } from './paths.ts'
import { checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import type { CommitResult, GraftOptions, Metadata, Place } from './types.ts'

/** `base` is the state of the table that `tip` was cloned from. With `dryRun` nothing is written, and a conflict rejects all the same. */
export async function graft(table: Table, base: TableState, tip: Rooted, options: GraftOptions): Promise<CommitResult> {
  const { place, root } = table
  const done = alreadyDone(await existing(table), options)
  if (done) return done
  const { onlyBefore: removed, onlyAfter } = await differentFiles(place, { root, state: base }, tip)
  const metadata = metadataAfter(base.metadata, tip.state.metadata)
  const protocol = isDeepStrictEqual(base.protocol, tip.state.protocol) ? undefined : tip.state.protocol
  if (removed.length === 0 && onlyAfter.length === 0 && metadata === null && protocol === undefined) return skipped(base.version)
  checkWritable(root, tip.state.protocol, metadata ?? base.metadata, removed.length > 0)
  // A commit that only adds files stands beside whatever else was added; one that took rows away was made from all that was there.
  const isAppend = removed.length === 0 && metadata === null && protocol === undefined
  const reads = (): boolean => !isAppend
  const readFiles = isAppend ? [] : await base.files.adds(base.files.at(base.version))
  await refuseConflicts(table, base, { reads, readFiles, removed })
  const counts = { filesAdded: onlyAfter.length, filesRemoved: removed.length, rowsAdded: rowsOf(onlyAfter) }
  if (options.dryRun === true) return { ...skipped(base.version), ...counts }
  const copies: string[] = []
  const discard = async (): Promise<void> => {
    for (const path of copies) await place.objects.delete(path)
  }
  const adds: AddFile[] = []
  await keepingOnlyCommitted([{ adds, rows: 0, discard }], async () => {
    for (const file of onlyAfter) {
      options.signal?.throwIfAborted()
      adds.push(await movedIn(place, root, tip, file, copies))
    }
  })
  return finish(
    table,
    {
      state: base,
      operation: 'MERGE BRANCH',
      parameters: { source: place.objects.uri(tip.root), sourceVersion: tip.state.version, baseVersion: base.version },
      metrics: { numAddedFiles: adds.length, numRemovedFiles: removed.length, numOutputRows: counts.rowsAdded },
      written: [{ adds, rows: counts.rowsAdded, discard }],
      removed,
      ...(metadata ? { metadata } : {}),
      ...(protocol ? { protocol } : {}),
      reads,
      readFiles,
      blindAppend: isAppend,
      rowsAdded: counts.rowsAdded,
    },
    options,
  )
}

/** Told before a byte is copied. What is committed after this look meets the same rules when the commit is put. */
async function refuseConflicts(
  { place, root }: Table,
  base: TableState,
  decided: { readonly reads: () => boolean; readonly readFiles: readonly AddFile[]; readonly removed: readonly AddFile[] },
): Promise<void> {
  const intent: Intent = {
    reads: decided.reads,
    readPaths: keysOf(decided.readFiles),
    removedPaths: keysOf(decided.removed),
    appIds: new Set<string>(),
    domains: new Set<string>(),
    isolation: isolationOf(base.metadata),
  }
  for (let version = base.version + 1; ; version++) {
    const found = await readCommit(place.objects, root, version)
    if (found === null) return
    const clash = findConflict(intent, found.commit)
    if (clash)
      throw conflict('lake.commit_conflict', `What was changed since version ${base.version} of ${root} cannot be merged: ${describeConflict(clash)}`, {
        hint: 'Start again from the newest version.',
      })
  }
}

const keysOf = (files: readonly AddFile[]): Set<string> => new Set(files.map(({ path }) => pathKey(path)))
const rowsOf = (files: readonly AddFile[]): number => files.reduce((sum, file) => sum + (rowsIn(file) || 0), 0)

/** Null when the clone changed nothing but what makes it a table of its own. */
function metadataAfter(base: Metadata, tip: Metadata): Metadata | null {
  const own = Object.entries(base.configuration).filter(([key]) => isOwn(key))
  const taken = Object.entries(tip.configuration).filter(([key]) => !isOwn(key))
  const { name: _name, createdTime: _created, ...shape } = tip
  const { name, createdTime } = base
  const after: Metadata = {
    ...shape,
    id: base.id,
    ...(name === undefined ? {} : { name }),
    ...(createdTime === undefined ? {} : { createdTime }),
    configuration: Object.fromEntries([...own, ...taken]),
  }
  return isDeepStrictEqual(after, base) ? null : after
}

/** Settings that speak of versions of the table itself. */
const isOwn = (key: string): boolean => key.startsWith('delta.inCommitTimestampEnablement')

/** The file as the table names it, its bytes and those of its deletion vector in the table's folder. */
async function movedIn(place: Place, root: string, tip: Rooted, file: AddFile, copies: string[]): Promise<AddFile> {
  const bring = async (from: string): Promise<string> => {
    if (!from.startsWith(`${tip.root}/`)) return from
    const to = `${root}/${from.slice(tip.root.length + 1)}`
    if (!copies.includes(to)) {
      copies.push(to)
      await place.objects.copy(from, to)
    }
    return to
  }
  const to = await bring(dataPath(place.objects, tip.root, file.path))
  if (!to.startsWith(`${root}/`))
    throw invalid('lake.bad_branch', `The branch of ${root} holds the file ${to}, which belongs to neither`, { hint: 'Drop the branch and make it anew.' })
  const vector = file.deletionVector && (await broughtVector(place, tip, file, file.deletionVector, bring))
  return { ...file, path: encodePath(to.slice(root.length + 1)), dataChange: true, deletionVector: vector }
}

async function broughtVector(
  place: Place,
  tip: Rooted,
  file: AddFile,
  vector: DeletionVector,
  bring: (from: string) => Promise<string>,
): Promise<DeletionVector> {
  if (vector.storageType === 'i') return vector
  const from = await vectorFile(place, tip.root, file.path, vector)
  const to = await bring(from)
  // Named by its UUID it is found in whichever table's folder it lies.
  return vector.storageType === 'u' ? vector : { ...vector, pathOrInlineDv: loggedAddress(place.objects, to) }
}
