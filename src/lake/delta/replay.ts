/**
 * Replay: from the commits of a log to the state of a table at a version (section "Action Reconciliation").
 * States share one FileLog that only grows, so commits must be applied to the newest state alone.
 */
import { invalid } from '../../base/index.ts'
import type { AddFile, Commit, DomainMetadata, RemoveFile, Transaction } from './actions.ts'
import type { Base } from './base.ts'
import { FileLog, removalOf } from './files.ts'
import { pathKey } from './paths.ts'
import { checkReadable } from './protocol.ts'
import { timestampOf } from './timestamps.ts'
import type { Metadata, Protocol } from './types.ts'

export interface TableState {
  readonly version: number
  /** Epoch milliseconds; later versions have later ones. */
  readonly timestamp: number
  readonly protocol: Protocol
  readonly metadata: Metadata
  readonly transactions: ReadonlyMap<string, Transaction>
  /** By domain; removed ones are not there. */
  readonly domains: ReadonlyMap<string, DomainMetadata>
  readonly files: FileLog
  /** The version from which on `files` knows what each version added: the checkpoint's, or -1 when all commits were read. */
  readonly base: number
  readonly fileCount: number
  readonly bytes: number
  /** Sum over the files whose statistics tell. */
  readonly knownRows: number
  readonly filesWithoutRows: number
}

/** What a checkpoint holds. */
export interface CheckpointContent {
  readonly version: number
  readonly protocol: Protocol
  readonly metadata: Metadata
  readonly transactions: readonly Transaction[]
  readonly domains: readonly DomainMetadata[]
  /** Files and tombstones; of a large checkpoint they are in `base` instead. */
  readonly adds: Iterable<AddFile>
  readonly removes: Iterable<RemoveFile>
  readonly base: Base | null
}

export function stateFromCheckpoint(root: string, content: CheckpointContent, timestamp: number): TableState {
  checkReadable(root, content.protocol, content.metadata)
  const files = new FileLog(content.base, content.version)
  for (const add of content.adds) files.add(add, content.version, -1)
  let fileCount = 0
  let bytes = 0
  let knownRows = 0
  let filesWithoutRows = 0
  for (let row = 0; row < files.length; row++) {
    if (!files.isAt(row, content.version)) continue
    fileCount++
    bytes += files.sizeAt(row)
    const rows = files.rowsAt(row)
    if (Number.isNaN(rows)) filesWithoutRows++
    else knownRows += rows
  }
  for (const remove of content.removes) files.bury(remove, content.version)
  const transactions = new Map(content.transactions.map((txn) => [txn.appId, txn]))
  return {
    version: content.version,
    timestamp,
    protocol: content.protocol,
    metadata: content.metadata,
    transactions,
    domains: domainsAfter(new Map(), content.domains),
    files,
    base: content.version,
    fileCount,
    bytes,
    knownRows,
    filesWithoutRows,
  }
}

export interface DatedCommit {
  readonly commit: Commit
  /** When the log's store says that the commit was written. */
  readonly modified: number
  /** The first of the versions whose actions these are, reconciled (section "Log Compaction Files"). The commit's own version is the last. */
  readonly from: number
}

/**
 * The state after some commits that follow `state` without a gap, from version 0 when it is null. Throws before anything has changed
 * when the table cannot be read here. Pure but for the FileLog, which must `know` the files that the commits name.
 */
export function applyCommits(root: string, state: TableState | null, commits: readonly DatedCommit[]): TableState {
  let protocol = state?.protocol
  let metadata = state?.metadata
  for (const { commit } of commits) {
    protocol = commit.protocol ?? protocol
    metadata = commit.metadata ?? metadata
    if (!protocol || !metadata)
      throw invalid('lake.log_damaged', `The log of ${root} starts at version ${commit.version} without a protocol and metadata`, {
        hint: 'Restore the first file of its _delta_log folder, or the latest checkpoint, from a backup.',
      })
    checkReadable(root, protocol, metadata)
  }
  if (!protocol || !metadata) throw invalid('lake.log_damaged', `The log of ${root} has no commits`)
  const files = state?.files ?? new FileLog()
  const transactions = new Map(state?.transactions)
  let domains: ReadonlyMap<string, DomainMetadata> = state?.domains ?? new Map()
  let { timestamp, version, fileCount, bytes, knownRows, filesWithoutRows } = state ?? EMPTY
  const count = (row: number, sign: 1 | -1): void => {
    fileCount += sign
    bytes += sign * files.sizeAt(row)
    const rows = files.rowsAt(row)
    if (Number.isNaN(rows)) filesWithoutRows += sign
    else knownRows += sign * rows
  }
  let base = state?.base ?? -1
  let current = state?.metadata ?? null
  for (const { commit, modified, from } of commits) {
    version = commit.version
    // What each of several versions added is not told: the files count as there since the last.
    const isWhole = from < version
    if (isWhole) base = version
    current = commit.metadata ?? current
    timestamp = timestampOf(current, commit.info, modified, timestamp)
    const removed = new Map<string, number>()
    for (const remove of commit.removes) {
      const row = files.remove(remove, version)
      if (row === undefined) continue
      count(row, -1)
      removed.set(pathKey(remove.path), row)
    }
    for (const add of commit.adds) {
      const before = files.find(add.path)
      // New data goes last; what is removed and added under one path got another deletion vector, and its rows stay where they were.
      const successorOf = add.dataChange ? removed.get(pathKey(add.path)) : (before ?? removed.get(pathKey(add.tags?.[PLACE_TAG] ?? add.path)))
      let dataAt = isWhole ? -1 : version
      if (before !== undefined) {
        // The same file again, with other statistics or tags: it replaces its earlier self.
        if (!add.dataChange && !isWhole) dataAt = files.dataAt(before)
        files.remove({ ...removalOf(files.knownAt(before), 0, add.dataChange), deletionTimestamp: null }, version)
        count(before, -1)
      } else if (!add.dataChange) {
        dataAt = -1
      }
      count(files.add(add, version, dataAt, successorOf === undefined ? undefined : files.placeAt(successorOf)), 1)
    }
    for (const txn of commit.transactions) transactions.set(txn.appId, txn)
    domains = domainsAfter(domains, commit.domains)
  }
  return { version, timestamp, protocol, metadata, transactions, domains, files, base, fileCount, bytes, knownRows, filesWithoutRows }
}

function domainsAfter(known: ReadonlyMap<string, DomainMetadata>, actions: readonly DomainMetadata[]): ReadonlyMap<string, DomainMetadata> {
  if (actions.length === 0) return known
  const domains = new Map(known)
  for (const action of actions) {
    if (action.removed) domains.delete(action.domain)
    else domains.set(action.domain, action)
  }
  return domains
}

/** Of a file that only rearranges rows: the path of the first file whose rows it holds, so that rows keep their order for readers here. */
export const PLACE_TAG = 'lagoa.place'

const EMPTY = { timestamp: 0, version: -1, fileCount: 0, bytes: 0, knownRows: 0, filesWithoutRows: 0 }
