/**
 * Conflicts: may a commit that was decided on one version be put after another commit that won the race?
 * Pure rules of optimistic concurrency; the isolation is serializable.
 */
import type { AddFile, Commit } from './actions.ts'
import { pathKey } from './paths.ts'

/** What a write relied on and what it does. */
export interface Intent {
  /** Whether rows of such a file would have been read, had it been there. Appends read nothing. */
  readonly reads: (file: AddFile) => boolean
  /** Paths (as `pathKey` spells them) of the files whose rows were read. */
  readonly readPaths: ReadonlySet<string>
  /** Paths of the files that the commit removes. */
  readonly removedPaths: ReadonlySet<string>
  readonly appIds: ReadonlySet<string>
}

export type ConflictKind = 'protocol' | 'metadata' | 'transaction' | 'added' | 'removed'

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
  for (const remove of winner.removes) {
    if (mine.readPaths.has(pathKey(remove.path)) || mine.removedPaths.has(pathKey(remove.path))) return at('removed', `the file ${remove.path}`)
  }
  for (const add of winner.adds) {
    // The same file again (new statistics, say) replaces what was read; a file that only rearranges rows brings none.
    if (mine.readPaths.has(pathKey(add.path)) || mine.removedPaths.has(pathKey(add.path))) return at('added', `the file ${add.path}`)
    if (add.dataChange && mine.reads(add)) return at('added', `rows that this write would have read (${add.path})`)
  }
  return null
}

const PHRASES: Readonly<Record<ConflictKind, string>> = {
  protocol: 'changed',
  metadata: 'changed',
  transaction: 'moved',
  added: 'added',
  removed: 'removed',
}

export function describeConflict(conflict: Conflict): string {
  return `version ${conflict.version}, committed meanwhile, ${PHRASES[conflict.kind]} ${conflict.what}`
}
