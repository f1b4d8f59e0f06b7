/**
 * Committing: one attempt per version by put-if-absent. When another writer took the version, its commit is read and either the two
 * do not touch (then the next version is tried) or this write ends with a conflict. What was decided is never decided anew here.
 */
import { randomUUID } from 'node:crypto'
import { conflict, systemClock, unavailable, type LagoaError } from '../../base/index.ts'
import { serializeCommit, type Commit, type CommitContent } from './actions.ts'
import { describeConflict, findConflict, type Intent } from './conflicts.ts'
import { gap, readCommit } from './log.ts'
import { commitPath } from './paths.ts'
import type { JsonObject } from './json.ts'
import type { TableState } from './replay.ts'
import { stamped, timestampOf } from './timestamps.ts'
import type { CommitOptions, Place, Txn } from './types.ts'

export interface Attempt {
  /** The version that the write was decided on; -1 makes a new table. */
  readonly readVersion: number
  /** The table at that version; a new one has none. */
  readonly state?: TableState
  readonly content: Omit<CommitContent, 'info'>
  readonly intent: Intent
  /** Facts for `commitInfo`. */
  readonly operation: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly metrics: Readonly<Record<string, number>>
  readonly blindAppend: boolean
}

export type Outcome =
  | { readonly kind: 'committed'; readonly version: number }
  /** Another writer committed the same application's version, or a later one, first. */
  | { readonly kind: 'overtaken'; readonly version: number }

/** The code of an error after which the data files must stay, because the commit could be neither confirmed nor ruled out. */
export const OUTCOME_UNKNOWN = 'lake.commit_unknown'

/** Lost races before a write gives up; each one means that another writer made progress. */
const ATTEMPTS = 100

export const txnsOf = ({ txn, txns = [] }: CommitOptions): readonly Txn[] => (txn ? [txn, ...txns] : txns)

export async function commit(place: Place, root: string, attempt: Attempt, options: CommitOptions): Promise<Outcome> {
  const id = randomUUID()
  const txns = txnsOf(options)
  let version = attempt.readVersion + 1
  const known = attempt.state?.metadata ?? null
  let before = attempt.state?.timestamp ?? 0
  for (let lost = 0; lost < ATTEMPTS; lost++) {
    options.signal?.throwIfAborted()
    const content = stamped({ ...attempt.content, info: infoOf(attempt, version, id, options) }, known, version, before)
    if (await put(place, root, version, id, serializeCommit(content))) return { kind: 'committed', version }
    for (;;) {
      const winner = await readCommit(place.objects, root, version)
      if (winner === null) break
      // A store may report our own success as a loss when it repeated the request underneath.
      if (winner.commit.info?.txnId === id) return { kind: 'committed', version }
      const { transactions } = winner.commit
      const isThere = (mine: Txn): boolean => transactions.some((txn) => txn.appId === mine.appId && txn.version >= mine.version)
      if (txns.length > 0 && txns.every(isThere)) return { kind: 'overtaken', version }
      const clash = findConflict(attempt.intent, winner.commit)
      if (clash) throw lostTo(root, attempt, describeConflict(clash))
      before = timestampOf(winner.commit.metadata ?? known, winner.commit.info, winner.modified, before)
      version++
    }
    if (version === attempt.readVersion + 1) throw gap(root, commitPath(root, version))
    // Losers start again spread out, longer the more often they lost.
    if (lost > 0) await systemClock.sleep(Math.random() * Math.min(5 * 2 ** Math.min(lost, 6), 200), options.signal)
  }
  throw lostTo(root, attempt, `${ATTEMPTS} other commits came first`)
}

async function put(place: Place, root: string, version: number, id: string, bytes: Uint8Array): Promise<boolean> {
  try {
    return await place.objects.putIfAbsent(commitPath(root, version), bytes)
  } catch (error) {
    // The request may have arrived although its answer did not: the log itself tells.
    let found: Commit | undefined
    try {
      found = (await readCommit(place.objects, root, version))?.commit
    } catch {
      throw unavailable(OUTCOME_UNKNOWN, `It is not known whether version ${version} of ${root} was committed: the store failed and does not answer`, {
        hint: 'Look at the table when the store is back, or repeat the write with a txn, which is never applied twice.',
        cause: error,
      })
    }
    if (found?.info?.txnId === id) return true
    throw error
  }
}

function lostTo(root: string, attempt: Attempt, reason: string): LagoaError {
  return conflict('lake.commit_conflict', `The ${attempt.operation} on ${root}, decided on version ${attempt.readVersion}, was not committed: ${reason}`, {
    hint: 'Run it again; it will see the newer version.',
  })
}

function infoOf(attempt: Attempt, version: number, id: string, options: CommitOptions): JsonObject {
  return {
    timestamp: Date.now(),
    operation: attempt.operation,
    // Spark reads both as maps of text.
    operationParameters: Object.fromEntries(
      Object.entries(attempt.parameters).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
    ),
    operationMetrics: Object.fromEntries(Object.entries(attempt.metrics).map(([key, value]) => [key, String(value)])),
    ...(version > 0 ? { readVersion: attempt.readVersion } : {}),
    isolationLevel: attempt.intent.isolation,
    isBlindAppend: attempt.blindAppend,
    engineInfo: 'Lagoa',
    txnId: id,
    ...(options.info ? { info: options.info } : {}),
  }
}
