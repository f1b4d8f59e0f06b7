/** Changes: which files brought and took rows between two versions, from the FileLog where it reaches and from the commits before it. */
import { missing } from '../../base/index.ts'
import { fileKey } from './files.ts'
import { readCommit } from './log.ts'
import { commitPath } from './paths.ts'
import type { TableState } from './replay.ts'
import type { Place } from './types.ts'

export interface ChangedFiles {
  /** Rows of the FileLog whose files hold what came. */
  readonly rows: readonly number[]
  /** Rows of the FileLog whose files were removed with rows that were there at `after`. */
  readonly gone: readonly number[]
  /** No version in between took rows away. */
  readonly appendOnly: boolean
}

/**
 * Files that were only rearranged bring nothing: as long as no data was removed, the rows are read from the files that brought them,
 * which stay until they are vacuumed. Once data was removed, what those files hold may be outdated; then the rearranged files that
 * are there now are read instead, which gives more rows than came and none that are not there.
 */
export async function changedFiles(place: Place, root: string, after: number, upTo: TableState): Promise<ChangedFiles> {
  const { files, base, version } = upTo
  const early = after < base ? await earlyChanges(place, root, after, Math.min(base, version)) : NO_CHANGES
  const since = Math.max(after, base)
  const rowsOf = await files.rowsOf(new Set([...early.brought, ...early.gone, ...early.rearranged]))
  const rowsIn = (keys: ReadonlySet<string>): ReadonlySet<number> => new Set([...keys].flatMap((key) => rowsOf.get(key) ?? []))
  const earlyRows = { brought: rowsIn(early.brought), gone: rowsIn(early.gone), rearranged: rowsIn(early.rearranged) }
  for (const key of [...early.brought, ...early.gone]) if (!rowsOf.has(key)) throw changesGone(root, after, key.split('\0')[0] ?? key)
  const brought = (row: number): boolean => {
    const dataAt = files.dataAt(row)
    return (dataAt > after && dataAt <= version) || (dataAt === -1 && earlyRows.brought.has(row))
  }
  let appendOnly = !early.removedData
  const came: number[] = []
  const gone: number[] = []
  const rearranged: number[] = []
  for (let row = 0; row < files.length; row++) {
    const removedAt = files.removedAt(row)
    const removedHere = removedAt > since && removedAt <= version && !isReplaced(upTo, row)
    if (removedHere && files.removedData(row)) appendOnly = false
    if ((removedHere && files.removedData(row) && !brought(row)) || (earlyRows.gone.has(row) && !files.isAt(row, version))) gone.push(row)
    if (brought(row)) {
      if (!isReplaced(upTo, row)) came.push(row)
    } else if (files.isAt(row, version) && files.dataAt(row) === -1 && (files.addedAt(row) > since || earlyRows.rearranged.has(row))) {
      rearranged.push(row)
    }
  }
  if (appendOnly) return { rows: came, gone: [], appendOnly }
  return { rows: [...came.filter((row) => files.isAt(row, version)), ...rearranged], gone, appendOnly }
}

/** The same file is there again with the same rows: only its statistics or tags changed. */
function isReplaced(state: TableState, row: number): boolean {
  const { files } = state
  // No commit named it, so none put another in its place.
  if (!files.isKnown(row)) return false
  const again = files.find(files.knownAt(row).path)
  return again !== undefined && again !== row && files.keyAt(again) === files.keyAt(row) && !files.removedData(row) && files.dataAt(again) === files.dataAt(row)
}

interface EarlyChanges {
  /** Keys of files that brought rows, unless these were removed again. */
  readonly brought: ReadonlySet<string>
  readonly gone: ReadonlySet<string>
  readonly rearranged: ReadonlySet<string>
  readonly removedData: boolean
}

const NO_CHANGES: EarlyChanges = { brought: new Set(), gone: new Set(), rearranged: new Set(), removedData: false }

async function earlyChanges(place: Place, root: string, after: number, upTo: number): Promise<EarlyChanges> {
  const brought = new Set<string>()
  const gone = new Set<string>()
  const rearranged = new Set<string>()
  let removedData = false
  for (let version = after + 1; version <= upTo; version++) {
    const found = await readCommit(place.objects, root, version)
    if (found === null) throw changesGone(root, after, commitPath(root, version))
    for (const remove of found.commit.removes) {
      if (!remove.dataChange) continue
      removedData = true
      const key = fileKey(remove)
      if (!brought.delete(key)) gone.add(key)
    }
    for (const add of found.commit.adds) {
      const key = fileKey(add)
      if (add.dataChange) brought.add(key)
      else if (!brought.has(key)) rearranged.add(key)
    }
  }
  return { brought, gone, rearranged, removedData }
}

function changesGone(root: string, after: number, path: string): Error {
  return missing('lake.changes_gone', `The changes of ${root} after version ${after} can no longer be told: ${path} was cleaned away`, {
    hint: 'Read the whole table once and go on from its version.',
  })
}
