/**
 * Change feed (section "Reader Requirements for AddCDCFile"): which rows came, went and changed in each of some versions. A commit with
 * change data files is told by those alone; of others the added and removed files tell, and deletion vectors by what they differ in.
 */
import { LagoaError, invalid, missing } from '../../base/index.ts'
import type { AddFile, ChangeFile, Commit, PartitionValues, RemoveFile } from './actions.ts'
import { readVector } from './deletions.ts'
import { versionAt } from './head.ts'
import { listLog, readCommits } from './log.ts'
import type { Table } from './operations.ts'
import { pathKey } from './paths.ts'
import type { TableState } from './replay.ts'
import { CHANGE_TYPE, changeMetadata, recordsChanges, type ChangeType } from './row-changes.ts'
import { RowSet, type Selection } from './row-set.ts'
import { AT_COLUMN, fileAt, localFiles, scanSql, type LocalFile } from './scan.ts'
import { identifier, literal, valueAtSql } from './sql.ts'
import { timestampOf } from './timestamps.ts'
import type { AtVersion, ChangeFeed } from './types.ts'

/** Both ends belong to it; the newest version when `to` is absent. Rows have the columns of the last version. */
export async function changeFeed(table: Table, from: AtVersion, to: AtVersion | undefined): Promise<ChangeFeed> {
  const { place, root, head } = table
  const newest = await head.refresh()
  if (newest === null) throw missing('lake.table_missing', `There is no table at ${root}`, { hint: 'Check the spelling of its path.' })
  const first = 'version' in from ? from.version : await versionSince(table, newest, from.timestamp)
  const last = to === undefined ? newest.version : 'version' in to ? to.version : ((await versionAt(place, root, to.timestamp, newest)) ?? newest.version)
  if (first > last)
    throw invalid('lake.bad_range', `The change feed of ${root} cannot begin at version ${first}, behind its end ${last}`, {
      hint: `Ask from a version up to ${newest.version} on.`,
    })
  const [start, end] = [await head.at(first), await head.at(last)]
  if (start === null || end === null) throw missing('lake.table_missing', `There is no table at ${root}`)
  const told: Part[] = []
  const derived: Part[] = []
  for await (const { commit, timestamp } of commitsOf(table, start, end)) {
    const at = { version: commit.version, timestamp }
    if (commit.changes.length > 0) for (const file of commit.changes) told.push({ ...at, type: null, file: changeFile(file), selection: null })
    else derived.push(...(await derivedParts(table, end, commit)).map((part) => ({ ...at, ...part })))
  }
  const columns = end.metadata.fields.map(({ name }) => identifier(name))
  const written = { ...end, metadata: changeMetadata(end.metadata) }
  const parts = [await partsSql(table, written, told, columns), await partsSql(table, end, derived, columns)].filter((sql) => sql !== null)
  return { sql: parts.length === 0 ? ((await partsSql(table, end, [], columns, true)) ?? '') : parts.join('\nunion all '), from: first, to: last }
}

/** Rows of one file that changed in one version. */
interface Part {
  readonly version: number
  readonly timestamp: number
  /** Null when the file itself tells, row by row. */
  readonly type: ChangeType | null
  readonly file: AddFile
  /** Instead of what the file's own vector says. */
  readonly selection: Selection | null
}

/** The commits from `start` to `end`, once it is certain that the table kept its changes in each of them. */
async function* commitsOf({ place, root }: Table, start: TableState, end: TableState): AsyncGenerator<{ readonly commit: Commit; readonly timestamp: number }> {
  const { commits } = await listLog(place.objects, root, start.version)
  const found: { commit: Commit; timestamp: number }[] = []
  const off: number[] = []
  let { protocol, metadata, timestamp } = start
  for await (const part of readCommits(place.objects, root, commits, start.version, end.version)) {
    for (const { commit, modified } of part) {
      protocol = commit.protocol ?? protocol
      metadata = commit.metadata ?? metadata
      if (commit.version > start.version) timestamp = timestampOf(metadata, commit.info, modified, timestamp)
      if (!recordsChanges({ protocol, metadata })) off.push(commit.version)
      found.push({ commit, timestamp })
    }
  }
  if (off.length > 0)
    throw invalid('lake.change_feed_off', `Table ${root} kept no change feed in ${off.length === 1 ? 'version' : 'versions'} ${ranges(off)}`, {
      hint:
        off.at(-1) === end.version
          ? 'Switch it on with the property delta.enableChangeDataFeed; changes are kept from that version on.'
          : `Ask from version ${(off.at(-1) ?? 0) + 1} on.`,
    })
  yield* found
}

/** `3 to 5, 7` */
function ranges(versions: readonly number[]): string {
  const runs: [number, number][] = []
  for (const version of versions) {
    const run = runs.at(-1)
    if (run && run[1] === version - 1) run[1] = version
    else runs.push([version, version])
  }
  return runs.map(([first, last]) => (first === last ? String(first) : `${first} to ${last}`)).join(', ')
}

/** The first version at or after an instant. */
async function versionSince({ place, root, head }: Table, newest: TableState, timestamp: number): Promise<number> {
  let before: number | null
  try {
    before = await versionAt(place, root, timestamp, newest)
  } catch (error) {
    if (!(error instanceof LagoaError) || error.code !== 'lake.version_missing') throw error
    const oldest = (await listLog(place.objects, root)).commits[0]
    return oldest?.version ?? 0
  }
  const state = before === null ? null : await head.at(before)
  return state !== null && state.timestamp >= timestamp ? state.version : (before ?? -1) + 1
}

type Derived = Pick<Part, 'type' | 'file' | 'selection'>

/** What the files tell that a commit added and removed; those that only rearrange rows tell nothing. */
async function derivedParts({ place, root }: Table, state: TableState, commit: Commit): Promise<Derived[]> {
  const parts: Derived[] = []
  const removed = new Map(commit.removes.filter(({ dataChange }) => dataChange).map((remove) => [pathKey(remove.path), remove]))
  const vectorOf = async ({ path, deletionVector }: AddFile | RemoveFile): Promise<RowSet> =>
    deletionVector ? readVector(place, root, path, deletionVector) : new RowSet()
  for (const add of commit.adds) {
    if (!add.dataChange) continue
    const remove = removed.get(pathKey(add.path))
    removed.delete(pathKey(add.path))
    if (!remove) {
      parts.push({ type: 'insert', file: add, selection: null })
      continue
    }
    const [before, after] = [await vectorOf(remove), await vectorOf(add)]
    const [gone, back] = [after.without(before), before.without(after)]
    const file: AddFile = { ...add, deletionVector: null }
    if (gone.size > 0) parts.push({ type: 'delete', file, selection: { rows: gone, only: true } })
    if (back.size > 0) parts.push({ type: 'insert', file, selection: { rows: back, only: true } })
  }
  for (const remove of removed.values()) {
    if (remove.partitionValues === null && state.metadata.partitionColumns.length > 0)
      throw missing('lake.changes_gone', `Version ${commit.version} of ${root} removed ${remove.path} and does not tell from which partition`, {
        hint: `Ask from version ${commit.version + 1} on.`,
      })
    parts.push({ type: 'delete', file: fileOf(remove), selection: null })
  }
  return parts
}

function fileOf({ path, partitionValues, size, deletionVector }: RemoveFile): AddFile {
  return { ...changeFile({ path, partitionValues: partitionValues ?? {}, size: size ?? 0 }), deletionVector }
}

function changeFile({ path, partitionValues, size }: ChangeFile): AddFile {
  return { path, partitionValues, size, modificationTime: 0, dataChange: true, stats: null, tags: null, deletionVector: null }
}

/** SQL for the rows of some parts; null when there are none, unless an empty answer is wanted. */
async function partsSql(
  { place, root }: Table,
  state: TableState,
  parts: readonly Part[],
  columns: readonly string[],
  empty: boolean = false,
): Promise<string | null> {
  if (parts.length === 0 && !empty) return null
  const partitions = new Map<string, PartitionValues>()
  const shared = (values: PartitionValues): PartitionValues => {
    const key = JSON.stringify(values)
    const known = partitions.get(key) ?? values
    partitions.set(key, known)
    return known
  }
  const files = await localFiles(
    place,
    root,
    state,
    parts.map(({ file }) => ({ ...file, partitionValues: shared(file.partitionValues) })),
  )
  const local = files.map((file, i): LocalFile => ({ ...file, selection: parts[i]?.selection ?? file.selection }))
  const told = (of: (part: Part) => string): string => valueAtSql(parts.map(of), fileAt(AT_COLUMN))
  // The file itself tells the kinds of its changes, or has one kind.
  const type =
    parts.length > 0 && parts.every((part) => part.type === null) ? CHANGE_TYPE : `${told((part) => literal(part.type ?? ''))}::varchar as ${CHANGE_TYPE}`
  const version = `${told((part) => String(part.version))}::bigint`
  const time = `make_timestamptz(${told((part) => String(part.timestamp * 1000))}::bigint)`
  return `select ${columns.join(', ')}, ${type}, ${version} as _commit_version, ${time} as _commit_timestamp from (${scanSql(state, local, true)})`
}
