/**
 * Conflicts: may a commit that was decided on one version be put after another commit that won the race?
 * Pure rules of optimistic concurrency, the same as Spark's.
 */
import type { AddFile, Commit } from './actions.ts'
import { pathKey } from './paths.ts'
import type { Metadata } from './types.ts'

/**
 * `Serializable`, the default as in Spark: the history of commits is one that could have come about by one writer. `WriteSerializable`, when
 * the table says so (`delta.isolationLevel`): so is what is written, but a blind append may stand before a command that did not see it.
 * `SnapshotIsolation`: commits that only rearrange rows.
 */
export type Isolation = 'Serializable' | 'WriteSerializable' | 'SnapshotIsolation'

export function isolationOf(metadata: Metadata): Isolation {
  return metadata.configuration['delta.isolationLevel'] === 'WriteSerializable' ? 'WriteSerializable' : 'Serializable'
}

/** What a write relied on and what it does. */
export interface Intent {
  /** Whether rows of such a file would have been read, had it been there. Appends read nothing. */
  readonly reads: (file: AddFile) => boolean
  /** Paths (as `pathKey` spells them) of the files whose rows were read. */
  readonly readPaths: ReadonlySet<string>
  /** Paths of the files that the commit removes. */
  readonly removedPaths: ReadonlySet<string>
  readonly appIds: ReadonlySet<string>
  /** Domains whose metadata the commit sets. */
  readonly domains: ReadonlySet<string>
  readonly isolation: Isolation
}

export type ConflictKind = 'protocol' | 'metadata' | 'transaction' | 'domain' | 'added' | 'removed'

export interface Conflict {
  readonly kind: ConflictKind
  readonly version: number
  /** The file, application or part of the table that both touched. */
  readonly what: string
}

export function findConflict(mine: Intent, winner: Commit): Conflict | null {
  const at = (kind: ConflictKind, what: string): Conflict => ({ kind, version: winner.version, what })
  if (winner.protocol) return at('protocol', 'the protocol of the table')
  if (winner.metadata) return at('metadata', 'the schema or the settings of the table')
  for (const txn of winner.transactions) if (mine.appIds.has(txn.appId)) return at('transaction', `the progress of application ${txn.appId}`)
  for (const { domain } of winner.domains) if (mine.domains.has(domain)) return at('domain', `the metadata of the domain ${domain}`)
  const isBlind = winner.info?.isBlindAppend === true && winner.removes.length === 0
  const passes = isBlind && mine.isolation === 'WriteSerializable'
  // A version has each path once, so who changed the rows of a path that was read, by whichever deletion vector, changed what was read.
  for (const remove of winner.removes) {
    if (mine.readPaths.has(pathKey(remove.path)) || mine.removedPaths.has(pathKey(remove.path))) return at('removed', `the file ${remove.path}`)
  }
  for (const add of winner.adds) {
    // The same file again (new statistics, say) replaces what was read; a file that only rearranges rows brings none.
    if (mine.readPaths.has(pathKey(add.path)) || mine.removedPaths.has(pathKey(add.path))) return at('added', `the file ${add.path}`)
    if (add.dataChange && !passes && mine.reads(add)) return at('added', `rows that this write would have read (${add.path})`)
  }
  return null
}

const PHRASES: Readonly<Record<ConflictKind, string>> = {
  protocol: 'changed',
  metadata: 'changed',
  transaction: 'moved',
  domain: 'changed',
  added: 'added',
  removed: 'removed',
}

export function describeConflict(conflict: Conflict): string {
  return `version ${conflict.version}, committed meanwhile, ${PHRASES[conflict.kind]} ${conflict.what}`
}
