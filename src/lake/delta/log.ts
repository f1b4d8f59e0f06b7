/**
 * The log of a table over Objects: finding, reading and writing commits and checkpoints. A commit appears whole or not at all,
 * and each version once, because the store's put-if-absent promises both.
 */
import { invalid, missing } from '../../base/index.ts'
import type { Objects } from '../../storage/index.ts'
import { parseCommit } from './actions.ts'
import { isObject, numberOf } from './json.ts'
import { commitPath, logFolder, paddedVersion } from './paths.ts'
import type { DatedCommit } from './replay.ts'

export interface Listing {
  /** Ascending, possibly with gaps. */
  readonly commits: readonly ListedCommit[]
  /** Ascending by version; only checkpoints of which every part is there. */
  readonly checkpoints: readonly ListedCheckpoint[]
  readonly compactions: readonly ListedCompaction[]
}

/** The reconciled actions of some versions in one file (section "Log Compaction Files"). */
export interface ListedCompaction {
  readonly from: number
  readonly to: number
  readonly path: string
}

export interface ListedCommit {
  readonly version: number
  readonly modified: number
}

export interface ListedCheckpoint {
  readonly version: number
  readonly modified: number
  readonly paths: readonly string[]
}

const COMMIT = /^(\d{20})\.json$/
const COMPACTION = /^(\d{20})\.(\d{20})\.compacted\.json$/
const CHECKPOINT = /^(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.([0-9a-f-]{36}))?\.(?:parquet|json)$/

/** What lies in the log folder from a version on. */
export async function listLog(objects: Objects, root: string, from: number = 0): Promise<Listing> {
  const folder = logFolder(root)
  const commits: ListedCommit[] = []
  const compactions: ListedCompaction[] = []
  const found = new Map<string, { version: number; modified: number; parts: number; paths: string[] }>()
  // Commits and checkpoints sort behind the bare version number.
  for await (const { path, modified } of objects.list(folder, from > 0 ? { after: `${folder}${paddedVersion(from)}` } : {})) {
    const name = path.slice(folder.length)
    const commit = COMMIT.exec(name)
    if (commit) commits.push({ version: Number(commit[1]), modified })
    const compaction = COMPACTION.exec(name)
    if (compaction) compactions.push({ from: Number(compaction[1]), to: Number(compaction[2]), path })
    const checkpoint = CHECKPOINT.exec(name)
    if (!checkpoint) continue
    const [, version = '', , parts, uuid] = checkpoint
    const key = `${version}.${parts ?? ''}.${uuid ?? ''}`
    const known = found.get(key) ?? { version: Number(version), modified, parts: Number(parts ?? 1), paths: [] }
    known.paths.push(path)
    found.set(key, known)
  }
  const checkpoints = [...found.values()].filter((one) => one.paths.length === one.parts).sort((a, b) => a.version - b.version)
  return { commits, checkpoints, compactions }
}

/** What `_last_checkpoint` says (section "Last Checkpoint File Schema"). */
export interface CheckpointHint {
  readonly version: number
  /** How many files the checkpoint holds, when it tells. */
  readonly files: number | null
}

/** It is only a hint: null when it is missing or unreadable. */
export async function lastCheckpointHint(objects: Objects, root: string): Promise<CheckpointHint | null> {
  const bytes = await objects.get(`${logFolder(root)}_last_checkpoint`)
  if (bytes === null) return null
  try {
    const hint: unknown = JSON.parse(new TextDecoder().decode(bytes))
    const version = isObject(hint) ? numberOf(hint.version) : null
    return isObject(hint) && version !== null ? { version, files: numberOf(hint.numOfAddFiles) } : null
  } catch {
    return null
  }
}

/** One commit, or null when that version is not there. */
export async function readCommit(objects: Objects, root: string, version: number): Promise<DatedCommit | null> {
  const path = commitPath(root, version)
  const bytes = await objects.get(path)
  if (bytes === null) return null
  const info = await objects.head(path)
  return { commit: parseCommit(version, bytes, path), modified: info?.modified ?? 0, from: version }
}

/** The commits from a version on that follow without a gap, in order: ever more are asked for at once as long as all are there. */
export async function* newCommits(objects: Objects, root: string, from: number): AsyncGenerator<DatedCommit[]> {
  for (let start = from, count = 1; ; start += count, count = Math.min(count * 4, READ_AHEAD)) {
    const read = await Promise.all(Array.from({ length: count }, (_, i) => readCommit(objects, root, start + i)))
    const end = read.indexOf(null)
    const found = (end === -1 ? read : read.slice(0, end)).filter((commit) => commit !== null)
    if (found.length > 0) yield found
    if (end !== -1) return
  }
}

/** How many commits are read at once while a log is replayed. */
const READ_AHEAD = 32

/** The commits of a listing from `from` to `to`, in order; a gap is an error that names the file. */
export async function* readCommits(objects: Objects, root: string, listed: readonly ListedCommit[], from: number, to: number): AsyncGenerator<DatedCommit[]> {
  const modified = new Map(listed.map((commit) => [commit.version, commit.modified]))
  for (let start = from; start <= to; start += READ_AHEAD) {
    const versions = Array.from({ length: Math.min(READ_AHEAD, to - start + 1) }, (_, i) => start + i)
    yield await Promise.all(
      versions.map(async (version) => {
        const path = commitPath(root, version)
        const bytes = modified.has(version) ? await objects.get(path) : null
        if (bytes === null) throw gap(root, path)
        return { commit: parseCommit(version, bytes, path), modified: modified.get(version) ?? 0, from: version }
      }),
    )
  }
}

/**
 * What the versions from `from` to `to` did, by compacted files where there are such and by the commits between them. A compacted file
 * that is damaged is done without.
 */
export async function* readActions(objects: Objects, root: string, listing: Listing, from: number, to: number): AsyncGenerator<DatedCommit[]> {
  let next = from
  while (next <= to) {
    const usable = listing.compactions.filter((one) => one.from === next && one.to > next && one.to <= to).sort((a, b) => b.to - a.to)
    const compacted = await firstReadable(objects, root, listing, usable)
    if (compacted !== null) {
      yield [compacted]
      next = compacted.commit.version + 1
      continue
    }
    const start = next
    const following = listing.compactions.filter((one) => one.from > start && one.to > one.from && one.to <= to).map((one) => one.from)
    const end = Math.min(to + 1, ...following) - 1
    yield* readCommits(objects, root, listing.commits, next, end)
    next = end + 1
  }
}

async function firstReadable(objects: Objects, root: string, listing: Listing, compactions: readonly ListedCompaction[]): Promise<DatedCommit | null> {
  for (const { from, to, path } of compactions) {
    const last = listing.commits.find((one) => one.version === to)
    const bytes = await objects.get(path)
    if (last === undefined || bytes === null) continue
    try {
      const commit = parseCommit(to, bytes, path)
      // A compaction tells nothing of the commits themselves; the last one's time is the version's.
      const { info } = (await readCommit(objects, root, to))?.commit ?? { info: null }
      return { commit: { ...commit, info }, modified: last.modified, from }
    } catch {
      continue
    }
  }
  return null
}

export function gap(root: string, path: string): Error {
  return missing('lake.log_gap', `The log of ${root} has a gap: ${path} is missing`, {
    hint: 'Restore that file from a backup. Reading on without it could give wrong rows.',
  })
}

export function noCommits(root: string): Error {
  return invalid('lake.log_damaged', `The log folder of ${root} holds checkpoints or commits, but no version can be read from them`, {
    hint: 'Restore the _delta_log folder from a backup.',
  })
}
