/** Changes: which files brought rows between two versions, from the FileLog where it reaches and from the commits before it. */
import { missing } from '../../base/index.ts'
import { readCommit } from './log.ts'
import { commitPath } from './paths.ts'
import type { TableState } from './replay.ts'
import type { Place } from './types.ts'

export interface ChangedFiles {
  /** Rows of the FileLog. */
  readonly rows: readonly number[]
  /** No version in between took rows away or rearranged rows that came in between. */
  readonly appendOnly: boolean
}

export async function changedFiles(place: Place, root: string, after: number, upTo: TableState): Promise<ChangedFiles> {
  const { files, base, version } = upTo
  const early = after < base ? await earlyChanges(place, root, after, Math.min(base, version)) : { paths: new Set<string>(), appendOnly: true }
  let { appendOnly } = early
  const rows: number[] = []
  for (let row = 0; row < files.length; row++) {
    const dataAt = files.dataAt[row] ?? -1
    const isNew = (dataAt > after && dataAt <= version) || (dataAt === -1 && early.paths.has(files.paths[row] ?? ''))
    const removedAt = files.removedAt[row] ?? 0
    if (removedAt > Math.max(after, base) && removedAt <= version && (files.removedData[row] || isNew) && !isReplaced(upTo, row)) appendOnly = false
    if (isNew && files.isAt(row, version)) rows.push(row)
  }
  return { rows, appendOnly }
}

/** The same path is there again with the same rows: only its statistics or tags changed. */
function isReplaced(state: TableState, row: number): boolean {
  const { files } = state
  const again = files.find(files.paths[row] ?? '')
  return again !== undefined && again !== row && !files.removedData[row] && files.dataAt[again] === files.dataAt[row]
}

async function earlyChanges(place: Place, root: string, after: number, upTo: number): Promise<{ paths: Set<string>; appendOnly: boolean }> {
  const paths = new Set<string>()
  let appendOnly = true
  for (let version = after + 1; version <= upTo; version++) {
    const found = await readCommit(place.objects, root, version)
    if (found === null) {
      throw missing('lake.changes_gone', `The changes of ${root} after version ${after} can no longer be told: ${commitPath(root, version)} was cleaned away`, { hint: 'Read the whole table once and go on from its version.' })
    }
    for (const remove of found.commit.removes) if (remove.dataChange || paths.has(remove.path)) appendOnly = false
    for (const add of found.commit.adds) if (add.dataChange) paths.add(add.path)
  }
  return { paths, appendOnly }
}
