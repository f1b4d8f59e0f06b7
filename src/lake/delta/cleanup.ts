/**
 * Cleaning the log (section "Metadata Cleanup"): commits, checkpoints, checksums and compacted files that only versions older than the
 * retention need are removed, the oldest first, so that what is left can be read at any moment. Everything from the newest checkpoint on
 * that is not newer than the cut-off stays, and so does what a pinned version needs.
 */
import type { Objects } from '../../storage/index.ts'
import { sidecarsOf } from './checkpoint-read.ts'
import { logRetention } from './intervals.ts'
import { listLog, type Listing } from './log.ts'
import { logFolder } from './paths.ts'
import { pinsOf } from './pins.ts'
import type { TableState } from './replay.ts'
import type { Metadata, Place } from './types.ts'

const DAY = 86_400_000

/** Midnight (UTC) of the day up to which versions may go; null when the table keeps all (delta.enableExpiredLogCleanup). */
export function cutoffOf(metadata: Metadata, now: number): number | null {
  if (metadata.configuration['delta.enableExpiredLogCleanup']?.toLowerCase() === 'false') return null
  return Math.floor((now - logRetention(metadata)) / DAY) * DAY
}

/** Removes what expired before a cut-off; answers how many files went. */
export async function cleanLog(place: Place, root: string, state: TableState, cutoff: number, now: number): Promise<number> {
  const { objects } = place
  const pinned = (await pinsOf(place, root)).map(({ version }) => version)
  const oldest = oldestToKeep(await listLog(objects, root), cutoff, Math.min(state.version, ...pinned))
  if (oldest === null) return 0
  const folder = logFolder(root)
  const doomed: string[] = []
  for await (const { path } of objects.list(folder)) if (isExpired(path.slice(folder.length), oldest)) doomed.push(path)
  for (const path of doomed) await objects.delete(path)
  return doomed.length + (await cleanSidecars(place, root, now))
}

/**
 * The version of the checkpoint with which the log is to begin: the newest that is no newer than the last commit up to the cut-off and
 * than what is pinned. Null when there is none.
 */
function oldestToKeep({ commits, checkpoints }: Listing, cutoff: number, pinned: number): number | null {
  let last: number | null = null
  let adjusted = Number.NEGATIVE_INFINITY
  for (const { version, modified } of commits) {
    adjusted = Math.max(modified, adjusted + 1)
    if (adjusted > cutoff) break
    last = version
  }
  if (last === null) return null
  const bound = Math.min(last, pinned)
  return checkpoints.findLast(({ version }) => version <= bound)?.version ?? null
}

/** Whether a file of the log is of a version before the oldest to keep; of compacted files, whether its first version is not behind that. */
function isExpired(name: string, oldest: number): boolean {
  const match = /^(\d{20})\.(?:json|crc|checkpoint(?:\.[0-9a-f-]+)*\.(?:parquet|json)|(\d{20})\.compacted\.json)$/.exec(name)
  if (!match) return false
  const version = Number(match[1])
  return match[2] === undefined ? version < oldest : version <= oldest
}

/** Sidecars that no checkpoint names go when they are more than a day old: a younger one may be of a checkpoint that is being written. */
async function cleanSidecars(place: Place, root: string, now: number): Promise<number> {
  const { objects } = place
  const doomed = await oldSidecars(objects, root, now)
  if (doomed.length === 0) return 0
  const named = new Set<string>()
  // One checkpoint that cannot be read may name any of them: then all stay.
  for (const checkpoint of (await listLog(objects, root)).checkpoints) for (const path of await sidecarsOf(place, root, checkpoint)) named.add(path)
  const unnamed = doomed.filter((path) => !named.has(path))
  for (const path of unnamed) await objects.delete(path)
  return unnamed.length
}

async function oldSidecars(objects: Objects, root: string, now: number): Promise<string[]> {
  const before = Math.floor(now / DAY) * DAY - DAY
  const found: string[] = []
  for await (const { path, modified } of objects.list(`${logFolder(root)}_sidecars/`)) if (modified < before) found.push(path)
  return found
}
