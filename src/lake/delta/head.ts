/**
 * Head: the newest known state of a table, kept fresh by asking for the next commit, and older versions on demand.
 */
import { LagoaError, invalid, missing } from '../../base/index.ts'
import type { ObjectInfo } from '../../storage/index.ts'
import { readCheckpoint } from './checkpoint-read.ts'
import { gap, lastCheckpointHint, listLog, noCommits, readCommit, readCommits, type ListedCheckpoint, type Listing } from './log.ts'
import { commitPath } from './paths.ts'
import { applyCommits, stateFromCheckpoint, type TableState } from './replay.ts'
import type { Place } from './types.ts'

export interface Head {
  /** The newest version, never older than one that was committed before the call; null when there is no table. */
  refresh(): Promise<TableState | null>
  /** The state at an earlier version; damage behind it does not matter. Null when there is no table. */
  at(version: number): Promise<TableState | null>
}

/** Older states that are kept: asking for the same version twice in a row is common (a diff, a dashboard). */
const KEPT_STATES = 4

/** Rows of the FileLog that may pile up between two loads of the log. */
const MOST_GROWTH = 100_000

export function openHead(place: Place, root: string): Head {
  let current: { state: TableState; commit: ObjectInfo | null; loadedRows: number } | null = null
  let last: Promise<TableState | null> = Promise.resolve(null)
  let waiting: Promise<TableState | null> | null = null
  const kept = new Map<number, TableState>()

  const load = async (): Promise<TableState | null> => {
    kept.clear()
    const state = await loadState(place, root, null)
    current = state && { state, commit: await place.objects.head(commitPath(root, state.version)), loadedRows: state.files.length }
    return state
  }

  const refreshNow = async (): Promise<TableState | null> => {
    if (current === null) return load()
    const path = commitPath(root, current.state.version)
    const [same, next] = await Promise.all([place.objects.head(path), readCommit(place.objects, root, current.state.version + 1)])
    // The table was dropped, made anew or restored behind our back: what we know is about another log.
    if (same?.modified !== current.commit?.modified || same?.size !== current.commit?.size) return load()
    const found = next === null ? [] : [next]
    for (let more = next; more !== null;) {
      more = await readCommit(place.objects, root, more.commit.version + 1)
      if (more !== null) found.push(more)
    }
    if (found.length === 0) return current.state
    const { loadedRows } = current
    const state = applyCommits(root, current.state, found)
    current = { state, commit: await place.objects.head(commitPath(root, state.version)), loadedRows }
    // Files that came and went since the start are let go by starting over, before they outgrow what is there.
    return state.files.length > 2 * loadedRows + state.fileCount + MOST_GROWTH ? load() : state
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
  const from = hint !== null && (wanted === null || hint <= wanted) ? hint : 0
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
      return await replayFrom(place, root, listing, wanted, best)
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
  if (listing.commits[0]?.version === 0) return replayFrom(place, root, listing, wanted, null)
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

async function replayFrom(place: Place, root: string, listing: Listing, wanted: number | null, checkpoint: ListedCheckpoint | null): Promise<TableState> {
  const start = checkpoint?.version ?? -1
  const newest = Math.max(start, listing.commits.at(-1)?.version ?? -1)
  if (wanted !== null && wanted > newest)
    throw missing('lake.version_missing', `Table ${root} has no version ${wanted}; its newest is ${newest}`, { hint: `Ask for a version up to ${newest}.` })
  let state: TableState | null = null
  if (checkpoint) {
    const commit = listing.commits.find((one) => one.version === start)
    state = stateFromCheckpoint(root, await readCheckpoint(place, root, checkpoint), commit?.modified ?? checkpoint.modified)
  }
  for await (const commits of readCommits(place.objects, root, listing.commits, start + 1, wanted ?? newest)) state = applyCommits(root, state, commits)
  if (state === null) throw noCommits(root)
  return state
}

function versionMissing(root: string, wanted: number, oldest: number): Error {
  return missing('lake.version_missing', `Version ${wanted} of ${root} can no longer be read: its commits were cleaned away`, {
    hint: `The oldest version that can be read is ${oldest}.`,
  })
}

/** The last version committed at or before an instant, by the commits' times made strictly increasing; null when there are none. */
export async function versionAt(place: Place, root: string, timestamp: number): Promise<number | null> {
  const { commits } = await listLog(place.objects, root)
  let found: number | null = null
  let adjusted = Number.NEGATIVE_INFINITY
  for (const commit of commits) {
    adjusted = Math.max(commit.modified, adjusted + 1)
    if (adjusted > timestamp) break
    found = commit.version
  }
  if (found !== null) return found
  const first = commits[0]
  if (!first) return null
  throw missing('lake.version_missing', `Table ${root} has no version as old as ${new Date(timestamp).toISOString()}`, {
    hint: `Its oldest commit is version ${first.version} of ${new Date(first.modified).toISOString()}.`,
  })
}
