/**
 * Head: the newest known state of a table, kept fresh by asking for the next commit, and older versions on demand.
 */
import { LagoaError, invalid, missing } from '../../base/index.ts'
import type { ObjectInfo } from '../../storage/index.ts'
import { readCheckpoint } from './checkpoint-read.ts'
import { disagreement, readChecksum } from './checksum.ts'
import {
  gap,
  lastCheckpointHint,
  listLog,
  newCommits,
  noCommits,
  readActions,
  readCommit,
  type CheckpointHint,
  type ListedCheckpoint,
  type ListedCommit,
  type Listing,
} from './log.ts'
import { commitPath } from './paths.ts'
import { applyCommits, stateFromCheckpoint, type DatedCommit, type TableState } from './replay.ts'
import { commitTimestampOf, commitTimestampsSince, hasCommitTimestamps, timestampOf } from './timestamps.ts'
import type { Place } from './types.ts'

export interface Head {
  /** The newest version, never older than one that was committed before the call; null when there is no table. */
  refresh(): Promise<TableState | null>
  /** The state at an earlier version; damage behind it does not matter. Null when there is no table. */
  at(version: number): Promise<TableState | null>
}

/** Older states that are kept: asking for the same version twice in a row is common (a diff, a dashboard). */
const KEPT_STATES = 4

/** How long a large checkpoint is taken to be there since it was last seen. */
const BASE_SEEN_MS = 5000

/** Rows of the FileLog that may pile up between two loads of the log. */
const MOST_GROWTH = 100_000

export function openHead(place: Place, root: string): Head {
  let current: { state: TableState; commit: ObjectInfo | null; loadedRows: number; baseSeen: number } | null = null
  let last: Promise<TableState | null> = Promise.resolve(null)
  let waiting: Promise<TableState | null> | null = null
  const kept = new Map<number, TableState>()

  const load = async (): Promise<TableState | null> => {
    kept.clear()
    const state = await loadState(place, root, null)
    current = state && { state, commit: await place.objects.head(commitPath(root, state.version)), loadedRows: state.files.length, baseSeen: Date.now() }
    return state
  }

  const refreshNow = async (): Promise<TableState | null> => {
    if (current === null) return load()
    const path = commitPath(root, current.state.version)
    const news = newCommits(place.objects, root, current.state.version + 1)
    const [same, first] = await Promise.all([place.objects.head(path), news.next()])
    // The table was dropped, made anew or restored behind our back: what we know is about another log.
    if (same?.modified !== current.commit?.modified || same?.size !== current.commit?.size) return load()
    if (await isBaseGone()) return load()
    if (first.done === true) return current.state
    const { loadedRows, baseSeen } = current
    let { state } = current
    for (let found: DatedCommit[] = first.value; found.length > 0;) {
      await state.files.know(found.map(({ commit }) => commit))
      state = applyCommits(root, state, found)
      current = { state, commit: current.commit, loadedRows, baseSeen }
      const more = await news.next()
      found = more.done === true ? [] : more.value
    }
    current = { state, commit: await place.objects.head(commitPath(root, state.version)), loadedRows, baseSeen }
    // Files that came and went since the start are let go by starting over, before they outgrow what is there.
    return state.files.length > 2 * loadedRows + state.fileCount + MOST_GROWTH ? load() : state
  }

  /** Files that were left in a checkpoint are out of reach once that was cleaned away; a newer one has them. */
  const isBaseGone = async (): Promise<boolean> => {
    const base = current?.state.files.base
    if (!current || !base || Date.now() - current.baseSeen < BASE_SEEN_MS) return false
    current.baseSeen = Date.now()
    return !(await base.isThere())
  }

  return {
    // A refresh that runs may have looked before the caller's commit landed, so a caller shares only one that has not begun.
    // They run one after the other: applying the same commit twice to the shared FileLog would count its files twice.
    refresh() {
      if (waiting !== null) return waiting
      waiting = last
        .catch(() => null)
        .then(() => {
          waiting = null
          return refreshNow()
        })
        .catch((error: unknown) => {
          if (error instanceof LagoaError && error.code === 'lake.snapshot_expired') return load()
          throw error
        })
      last = waiting
      return waiting
    },
    async at(version) {
      const known = current?.state
      if (known?.version === version) return known
      const before = kept.get(version)
      if (before) return before
      const state = await loadState(place, root, version)
      if (state === null) return null
      kept.set(version, state)
      for (const oldest of kept.keys()) {
        if (kept.size <= KEPT_STATES) break
        kept.delete(oldest)
      }
      return state
    },
  }
}

/** Reads the log from its store: the newest version, or the one asked for. Null when there is no table. */
async function loadState(place: Place, root: string, wanted: number | null): Promise<TableState | null> {
  const hint = await lastCheckpointHint(place.objects, root)
  const from = hint !== null && (wanted === null || hint.version <= wanted) ? hint.version : 0
  let listing = await listLog(place.objects, root, from)
  let usable = checkpointsUpTo(listing, wanted)
  // The hint may be wrong, or its checkpoint gone: then the whole folder tells.
  if (from > 0 && !usable.some((checkpoint) => checkpoint.version === from)) {
    listing = await listLog(place.objects, root)
    usable = checkpointsUpTo(listing, wanted)
  }
  if (listing.commits.length === 0 && listing.checkpoints.length === 0) return null
  let failure: unknown = null
  for (let best = usable.pop(); best; best = usable.pop()) {
    try {
      return await replayFrom(place, root, listing, wanted, best, hint)
    } catch (error) {
      // An older checkpoint helps only when it is this one that cannot be read.
      if (error instanceof LagoaError && (error.kind === 'unsupported' || error.kind === 'unavailable' || NOT_THE_CHECKPOINT.has(error.code))) throw error
      failure = error
      if (usable.length === 0 && from > 0) {
        listing = await listLog(place.objects, root)
        usable = checkpointsUpTo(listing, wanted).filter((checkpoint) => checkpoint.version < (best?.version ?? 0))
      }
    }
  }
  if (listing.commits[0]?.version === 0) return replayFrom(place, root, listing, wanted, null, null)
  if (failure !== null) {
    throw invalid('lake.checkpoint_damaged', `No checkpoint of ${root} can be read, and the commits before it are gone`, {
      hint: `Restore ${root}/_delta_log from a backup, or delete the damaged checkpoint if an older one is there.`,
      cause: failure,
    })
  }
  if (wanted !== null && listing.checkpoints.length > 0) throw versionMissing(root, wanted, listing.checkpoints[0]?.version ?? 0)
  if (listing.commits.length > 0) throw gap(root, commitPath(root, 0))
  throw noCommits(root)
}

const NOT_THE_CHECKPOINT: ReadonlySet<string> = new Set(['lake.log_damaged', 'lake.log_gap', 'lake.version_missing'])

function checkpointsUpTo(listing: Listing, wanted: number | null): ListedCheckpoint[] {
  return listing.checkpoints.filter((checkpoint) => wanted === null || checkpoint.version <= wanted)
}

async function replayFrom(
  place: Place,
  root: string,
  listing: Listing,
  wanted: number | null,
  checkpoint: ListedCheckpoint | null,
  hint: CheckpointHint | null,
): Promise<TableState> {
  const start = checkpoint?.version ?? -1
  const newest = Math.max(start, listing.commits.at(-1)?.version ?? -1)
  if (wanted !== null && wanted > newest)
    throw missing('lake.version_missing', `Table ${root} has no version ${wanted}; its newest is ${newest}`, { hint: `Ask for a version up to ${newest}.` })
  let state: TableState | null = null
  if (checkpoint) {
    const commit = listing.commits.find((one) => one.version === start)
    state = await stateAtCheckpoint(place, root, checkpoint, commit, hint)
  }
  for await (const commits of readActions(place.objects, root, listing, start + 1, wanted ?? newest)) {
    await state?.files.know(commits.map(({ commit }) => commit))
    state = applyCommits(root, state, commits)
  }
  if (state === null) throw noCommits(root)
  return state
}

/** The state that a checkpoint gives, unless its version's checksum, or the note that was left when it was written, says otherwise. */
async function stateAtCheckpoint(
  place: Place,
  root: string,
  checkpoint: ListedCheckpoint,
  commit: ListedCommit | undefined,
  hint: CheckpointHint | null,
): Promise<TableState> {
  const [content, checksum] = await Promise.all([readCheckpoint(place, root, checkpoint), readChecksum(place, root, checkpoint.version)])
  const modified = commit?.modified ?? checkpoint.modified
  const info = hasCommitTimestamps(content.metadata) && commit ? (await readCommit(place.objects, root, checkpoint.version))?.commit.info : null
  const inCommit = info ?? { inCommitTimestamp: checksum?.inCommitTimestampOpt }
  const state = stateFromCheckpoint(root, content, timestampOf(content.metadata, inCommit, modified, 0))
  const noted =
    hint?.version === checkpoint.version && hint.files !== null && hint.files !== state.fileCount ? `${state.fileCount} files instead of ${hint.files}` : null
  const lie = (checksum && disagreement(checksum, state)) ?? noted
  if (lie !== null)
    throw invalid('lake.checkpoint_damaged', `The checkpoint ${checkpoint.paths[0] ?? ''} holds ${lie}`, {
      hint: 'Restore it from a backup. If it is right and the .crc file of its version is not, delete that.',
    })
  return state
}

function versionMissing(root: string, wanted: number, oldest: number): Error {
  return missing('lake.version_missing', `Version ${wanted} of ${root} can no longer be read: its commits were cleaned away`, {
    hint: `The oldest version that can be read is ${oldest}.`,
  })
}

/**
 * The last version committed at or before an instant; null when there are no commits. Where commits carry their own times those count, and
 * for the versions before that the times of the commits' files, made strictly increasing.
 */
export async function versionAt(place: Place, root: string, timestamp: number, newest: TableState | null): Promise<number | null> {
  const { commits } = await listLog(place.objects, root)
  const since = newest && commitTimestampsSince(newest.metadata)
  if (since && timestamp >= since.timestamp) {
    const stamped = commits.filter((commit) => commit.version >= since.version)
    const found = await lastStampedUpTo(place, root, stamped, timestamp)
    if (found !== null) return found
    throw tooOld(root, timestamp, stamped[0])
  }
  let found: number | null = null
  let adjusted = Number.NEGATIVE_INFINITY
  const dated = commits.filter((commit) => !since || commit.version < since.version)
  for (const commit of dated) {
    adjusted = Math.max(commit.modified, adjusted + 1)
    if (adjusted > timestamp) break
    found = commit.version
  }
  if (found !== null) return found
  const first = dated[0] ?? commits[0]
  if (!first) return null
  throw tooOld(root, timestamp, first)
}

/** Times inside of commits increase, so that a few of them have to be read. */
async function lastStampedUpTo(place: Place, root: string, commits: readonly ListedCommit[], timestamp: number): Promise<number | null> {
  let low = 0
  let high = commits.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const listed = commits[middle]
    const read = listed && (await readCommit(place.objects, root, listed.version))
    const own = read ? (commitTimestampOf(read.commit.info) ?? read.modified) : 0
    if (own <= timestamp) low = middle + 1
    else high = middle
  }
  return commits[low - 1]?.version ?? null
}

function tooOld(root: string, timestamp: number, first: ListedCommit | undefined): LagoaError {
  return missing('lake.version_missing', `Table ${root} has no version as old as ${new Date(timestamp).toISOString()}`, {
    hint: first ? `Its oldest commit is version ${first.version} of ${new Date(first.modified).toISOString()}.` : 'Its commits were cleaned away.',
  })
}
