/**
 * Log compaction (section "Log Compaction Files"): the reconciled actions of a run of commits in one file, so that whoever opens the table
 * reads that instead of each. The commits stay; nobody has to use it.
 */
import { invalid } from '../../base/index.ts'
import { serializeActions, type AddFile, type Commit, type CommitContent, type DomainMetadata, type RemoveFile, type Transaction } from './actions.ts'
import { fileKey } from './files.ts'
import { lastCheckpointHint, listLog, readCommits } from './log.ts'
import { existing, type Table } from './operations.ts'
import { logFolder, paddedVersion, pathKey } from './paths.ts'
import { PLACE_TAG } from './replay.ts'

/** Compacts the commits from one version to another: by default those behind the last checkpoint. Null when there are fewer than two. */
export async function compactLog(
  table: Table,
  range: { readonly from?: number; readonly to?: number },
): Promise<{ readonly from: number; readonly to: number } | null> {
  const { place, root } = table
  const state = await existing(table)
  const hint = await lastCheckpointHint(place.objects, root)
  const from = range.from ?? (hint === null ? 0 : hint.version + 1)
  const to = range.to ?? state.version
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to > state.version)
    throw invalid('lake.bad_option', `The versions ${from} to ${to} of ${root} cannot be compacted: its newest is ${state.version}`, {
      hint: `Name versions between 0 and ${state.version}.`,
    })
  if (to <= from) return null
  const { commits } = await listLog(place.objects, root, from)
  const reconciliation = new Reconciliation()
  for await (const part of readCommits(place.objects, root, commits, from, to)) for (const { commit } of part) reconciliation.take(commit)
  const path = `${logFolder(root)}${paddedVersion(from)}.${paddedVersion(to)}.compacted.json`
  await place.objects.putIfAbsent(path, serializeActions(reconciliation.content()))
  return { from, to }
}

/** What remains of commits when each action replaces those that it reconciles with (section "Action Reconciliation"). */
class Reconciliation {
  #protocol: CommitContent['protocol']
  #metadata: CommitContent['metadata']
  readonly #transactions: Map<string, Transaction> = new Map()
  readonly #domains: Map<string, DomainMetadata> = new Map()
  readonly #adds: Map<string, { readonly file: AddFile; readonly place: number }> = new Map()
  readonly #removes: Map<string, RemoveFile> = new Map()
  /** Of the paths that came here, where their rows stand among those of the others. */
  readonly #places: Map<string, number> = new Map()

  take(commit: Commit): void {
    this.#protocol = commit.protocol ?? this.#protocol
    this.#metadata = commit.metadata ?? this.#metadata
    for (const txn of commit.transactions) this.#transactions.set(txn.appId, txn)
    // A domain that is gone still cancels what was there before these commits.
    for (const domain of commit.domains) this.#domains.set(domain.domain, domain)
    for (const remove of commit.removes) {
      this.#adds.delete(fileKey(remove))
      this.#removes.set(fileKey(remove), { ...remove, dataChange: false })
    }
    for (const add of commit.adds) {
      const before = add.dataChange ? undefined : this.#places.get(pathKey(add.tags?.[PLACE_TAG] ?? add.path))
      const place = before ?? this.#places.size
      this.#places.set(pathKey(add.path), place)
      this.#removes.delete(fileKey(add))
      this.#adds.set(fileKey(add), { file: { ...add, dataChange: false }, place })
    }
  }

  content(): Omit<CommitContent, 'info'> {
    return {
      ...(this.#protocol ? { protocol: this.#protocol } : {}),
      ...(this.#metadata ? { metadata: this.#metadata } : {}),
      transactions: [...this.#transactions.values()],
      domains: [...this.#domains.values()],
      removes: [...this.#removes.values()],
      adds: [...this.#adds.values()].sort((a, b) => a.place - b.place).map(({ file }) => file),
    }
  }
}
