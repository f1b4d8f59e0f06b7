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
const CHECKPOINT = /^(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.([0-9a-f-]{36}))?\.(?:parquet|json)$/

/** What lies in the log folder from a version on. */
export async function listLog(objects: Objects, root: string, from: number = 0): Promise<Listing> {
  const folder = logFolder(root)
  const commits: ListedCommit[] = []
  const found = new Map<string, { version: number; modified: number; parts: number; paths: string[] }>()
  // Commits and checkpoints sort behind the bare version number.
  for await (const { path, modified } of objects.list(folder, from > 0 ? { after: `${folder}${paddedVersion(from)}` } : {})) {
    const name = path.slice(folder.length)
    const commit = COMMIT.exec(name)
    if (commit) commits.push({ version: Number(commit[1]), modified })
    const checkpoint = CHECKPOINT.exec(name)
    if (!checkpoint) continue
    const [, version = '', , parts, uuid] = checkpoint
    const key = `${version}.${parts ?? ''}.${uuid ?? ''}`
    const known = found.get(key) ?? { version: Number(version), modified, parts: Number(parts ?? 1), paths: [] }
    known.paths.push(path)
    found.set(key, known)
  }
  const checkpoints = [...found.values()].filter((one) => one.paths.length === one.parts).sort((a, b) => a.version - b.version)
  return { commits, checkpoints }
}

/** The version that `_last_checkpoint` points at. It is only a hint: null when it is missing or unreadable. */
export async function lastCheckpointHint(objects: Objects, root: string): Promise<number | null> {
  const bytes = await objects.get(`${logFolder(root)}_last_checkpoint`)
  if (bytes === null) return null
  try {
    const hint: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return isObject(hint) ? numberOf(hint.version) : null
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
  return { commit: parseCommit(version, bytes, path), modified: info?.modified ?? 0 }
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
        return { commit: parseCommit(version, bytes, path), modified: modified.get(version) ?? 0 }
      }),
    )
  }
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
