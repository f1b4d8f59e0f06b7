/**
 * Vacuum: deletes files below the table's folder that no version within retention names. A file stays when the newest version or a
 * pinned one has it, when it was removed within retention, when it is younger than retention (a writer may be about to commit it), when
 * a reader of this process uses its version, and when a part of its path begins with `_` or `.` (but for change data). In doubt it stays.
 *
 * The listing is read twice, once to tell what will go and once to delete, and what must stay is kept as hashes: memory does not grow
 * with the number of files found. Killed at any moment it leaves a table of which nothing is missing.
 */
import { randomUUID } from 'node:crypto'
import { invalid, LagoaError } from '../../base/index.ts'
import type { ObjectInfo, Objects } from '../../storage/index.ts'
import type { AddFile, RemoveFile } from './actions.ts'
import { vectorFile } from './deletions.ts'
import { listLog, readCommit, readCommits } from './log.ts'
import { storedFields } from './mapping.ts'
import { existing, finish, type Table } from './operations.ts'
import { isAddress, pathKey } from './paths.ts'
import { cleanPins, keptVersions, markVacuum, pinsOf, type VacuumMark } from './pins.ts'
import { tombstoneRetention } from './intervals.ts'
import { checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import type { Metadata, VacuumOptions, VacuumResult } from './types.ts'

/** A table may be told to keep removed files for no time at all; below this a vacuum wants to be told so too. */
const LEAST_RETENTION_MS = 3_600_000
/** Deleted between two looks at the pins and the log. */
const BATCH = 500
const DELETED_AT_ONCE = 16
/** So many paths are told at the end; `onFile` tells of all. */
const SAMPLE = 1000
const ADDS_AT_ONCE = 10_000

export async function vacuum(table: Table, options: VacuumOptions): Promise<VacuumResult> {
  const { place, root } = table
  const { signal, dryRun = false } = options
  const state = await existing(table)
  checkWritable(root, state.protocol, state.metadata, false)
  const tableRetention = tombstoneRetention(state.metadata)
  const retainMs = options.retainMs ?? tableRetention
  checkRetention(root, retainMs, tableRetention, options.force === true)
  const cutoff = Date.now() - retainMs
  const run: Run = { table, cutoff, options, hidden: hiddenBy(state.metadata), keep: new KeptPaths(), known: new Map(), version: -1, nested: new Set() }
  const mark = markVacuum(place.objects, root, randomUUID())
  try {
    if (!dryRun) {
      await mark.nextRound()
      await cleanPins(place, root)
    }
    await keepNow(run)
    await keepRemovedSince(run)
    const found = await survey(run)
    const told = { version: state.version, dryRun, retainMs, listed: found.listed, folders: found.folders, sample: found.sample }
    if (dryRun || found.files === 0) return { ...told, files: found.files, bytes: found.bytes }
    await note(table, 'VACUUM START', {
      parameters: {
        retentionCheckEnabled: options.force !== true,
        defaultRetentionMillis: tableRetention,
        ...(options.retainMs === undefined ? {} : { specifiedRetentionMillis: retainMs }),
      },
      metrics: { numFilesToDelete: found.files, sizeOfDataToDelete: found.bytes },
    })
    const end = (status: string, metrics: Readonly<Record<string, number>>): Promise<number> => note(table, 'VACUUM END', { parameters: { status }, metrics })
    let deleted: { files: number; bytes: number }
    try {
      deleted = await deleteGarbage(run, mark, found.files)
    } catch (error) {
      // What was deleted is deleted; that the end could not be told adds nothing to the reason why.
      await end('FAILED', {}).catch(() => undefined)
      signal?.throwIfAborted()
      throw error
    }
    const version = await end('COMPLETED', { numDeletedFiles: deleted.files, numVacuumedDirectories: found.folders })
    return { ...told, ...deleted, version }
  } finally {
    await mark.remove()
  }
}

function checkRetention(root: string, retainMs: number, tableRetention: number, force: boolean): void {
  if (!Number.isFinite(retainMs) || retainMs < 0)
    throw invalid('lake.bad_option', `A vacuum of ${root} cannot keep files for ${retainMs} ms`, { hint: 'Give a duration from 0 up.' })
  const least = Math.max(tableRetention, LEAST_RETENTION_MS)
  if (force || retainMs >= least) return
  const hours = (ms: number): string => `${Number((ms / 3_600_000).toFixed(2))} h`
  throw invalid(
    'lake.vacuum_retention',
    `A vacuum of ${root} that keeps removed files for ${hours(retainMs)} could delete what running readers and writers need; the least is ${hours(least)}`,
    {
      hint: "Keep them longer, or force it when nothing reads or writes this table meanwhile. The table's own retention is its property delta.deletedFileRetentionDuration.",
    },
  )
}

interface Run {
  readonly table: Table
  readonly cutoff: number
  readonly options: VacuumOptions
  readonly hidden: (relative: string) => boolean
  readonly keep: KeptPaths
  /** Versions of which every file is kept already: pinned ones, and those of readers. */
  readonly known: Map<number, true>
  /** The version up to which what the log added is kept. */
  version: number
  /** Folders of other tables below this one's. */
  readonly nested: Set<string>
}

/** Keeps what the newest version has, and pinned versions and those that are read. Called before each batch, so that it also keeps what came since. */
async function keepNow(run: Run): Promise<void> {
  const { place, root } = run.table
  const pinned = await pinsOf(place, root)
  // The log is read behind the pins: who removes a pin has committed before.
  for (const version of new Set([...pinned.map((pin) => pin.version), ...keptVersions(place.objects, root)])) {
    if (run.known.has(version)) continue
    await keepVersion(run, await pinnedState(run, version, pinned.find((pin) => pin.version === version)?.id))
    run.known.set(version, true)
  }
  const state = await existing(run.table)
  if (state.version === run.version) return
  if (!(run.version >= 0 && (await keepCommits(run, run.version + 1, state.version)))) await keepVersion(run, state)
  run.version = state.version
}

async function pinnedState({ table: { root, head } }: Run, version: number, pin: string | undefined): Promise<TableState> {
  try {
    const state = await head.at(version)
    if (state !== null) return state
  } catch (error) {
    if (!(error instanceof LagoaError) || error.kind === 'unavailable' || pin === undefined) throw error
    throw invalid('lake.pin_unreadable', `Version ${version} of ${root} is pinned by ${pin}, and which files it has can no longer be read: ${error.message}`, {
      hint: `When nobody needs it any more, remove the pin ${pin} and run this again.`,
      cause: error,
    })
  }
  throw invalid('lake.table_missing', `There is no table at ${root}`)
}

async function keepVersion(run: Run, state: TableState): Promise<void> {
  const live = state.files.at(state.version)
  const gone = state.files.tombstones(state.version, run.cutoff - 1)
  for (const rows of [live, gone]) {
    for (let start = 0; start < rows.length; start += ADDS_AT_ONCE) {
      run.options.signal?.throwIfAborted()
      for (const file of await state.files.adds(rows.slice(start, start + ADDS_AT_ONCE))) await keepFile(run, file)
    }
  }
}

/** Keeps what these commits added; false when one of them is gone. */
async function keepCommits(run: Run, from: number, to: number): Promise<boolean> {
  const { place, root } = run.table
  for (let version = from; version <= to; version++) {
    const found = await readCommit(place.objects, root, version)
    if (found === null) return false
    for (const file of [...found.commit.adds, ...found.commit.removes]) await keepFile(run, file)
  }
  return true
}

/** Checkpoints may have forgotten removals that are younger than what is asked for; the commits, while they are there, have not. */
async function keepRemovedSince(run: Run): Promise<void> {
  const { place, root } = run.table
  const { commits } = await listLog(place.objects, root)
  const recent = commits.filter(({ version, modified }) => modified >= run.cutoff && version <= run.version)
  // Only the unbroken run of commits before the newest tells of its time; a gap has been cleaned away.
  let first = recent.length - 1
  while (first > 0 && recent[first - 1]?.version === (recent[first]?.version ?? 0) - 1) first--
  const start = recent[first]
  const last = recent.at(-1)
  if (!start || !last) return
  for await (const part of readCommits(place.objects, root, recent, start.version, last.version)) {
    run.options.signal?.throwIfAborted()
    for (const { commit } of part) for (const file of commit.removes) await keepFile(run, file)
  }
}

/** Keeps a data file and its deletion vector, under every spelling that some engine could mean by what the log says. */
async function keepFile({ table: { place, root }, keep }: Run, file: AddFile | RemoveFile): Promise<void> {
  keepLogged(place.objects, root, keep, file.path)
  const vector = file.deletionVector
  if (vector === null || vector.storageType === 'i') return
  if (vector.storageType === 'p') keepLogged(place.objects, root, keep, vector.pathOrInlineDv)
  else keep.add(await vectorFile(place, root, file.path, vector))
}

function keepLogged(objects: Objects, root: string, keep: KeptPaths, logged: string): void {
  const decoded = pathKey(logged)
  if (!isAddress(logged)) {
    keep.add(`${root}/${decoded}`)
    keep.add(`${root}/${logged}`)
    if (!decoded.split('/').includes('..')) return
  }
  const path = objects.pathOf(logged.startsWith('/') ? `file://${logged}` : logged)
  if (path !== null) keep.add(path)
  // An address that means nothing here may be another name of this very folder: whatever has that file's name stays.
  else for (const name of [decoded, logged]) keep.addName(name.split('/').at(-1) ?? '')
}

/** What is deleted is read from here: files that are old, not hidden and not kept. */
async function* garbage(run: Run, onListed: (info: ObjectInfo) => void): AsyncGenerator<ObjectInfo> {
  const { place, root } = run.table
  for await (const info of place.objects.list(`${root}/`)) {
    run.options.signal?.throwIfAborted()
    const relative = info.path.slice(root.length + 1)
    const log = relative.lastIndexOf('/_delta_log/')
    if (log > 0) run.nested.add(relative.slice(0, log + 1))
    if (run.hidden(relative)) continue
    onListed(info)
    if (info.modified >= run.cutoff || run.keep.has(info.path)) continue
    if ([...run.nested].some((folder) => relative.startsWith(folder))) continue
    yield info
  }
}

interface Survey {
  readonly listed: number
  readonly files: number
  readonly bytes: number
  readonly folders: number
  readonly sample: readonly string[]
}

/** Counts what would be deleted. Tables below this one are known when the listing is over: when there are any it is read again. */
async function survey(run: Run): Promise<Survey> {
  for (;;) {
    const nested = run.nested.size
    let [listed, files, bytes, folders] = [0, 0, 0, 0]
    let folder = ''
    const sample: string[] = []
    for await (const { path, size } of garbage(run, (info) => {
      listed++
      const at = info.path.slice(0, info.path.lastIndexOf('/'))
      if (at !== folder) folders++
      folder = at
    })) {
      files++
      bytes += size
      if (sample.length < SAMPLE) sample.push(path)
      run.options.progress?.({ listed, deleted: 0, found: files, bytes })
    }
    if (run.nested.size > nested) continue
    if (run.options.dryRun === true && run.options.onFile) for await (const info of garbage(run, () => undefined)) run.options.onFile(info.path, info.size)
    return { listed, files, bytes, folders, sample }
  }
}

async function deleteGarbage(run: Run, mark: VacuumMark, found: number): Promise<{ files: number; bytes: number }> {
  const { objects } = run.table.place
  let [listed, files, bytes] = [0, 0, 0]
  const flush = async (batch: readonly ObjectInfo[]): Promise<void> => {
    await mark.nextRound()
    await keepNow(run)
    const doomed = batch.filter(({ path }) => !run.keep.has(path))
    for (let start = 0; start < doomed.length; start += DELETED_AT_ONCE) {
      run.options.signal?.throwIfAborted()
      const part = doomed.slice(start, start + DELETED_AT_ONCE)
      await Promise.all(part.map(({ path }) => objects.delete(path)))
      for (const { path, size } of part) {
        files++
        bytes += size
        run.options.onFile?.(path, size)
      }
      run.options.progress?.({ listed, found, deleted: files, bytes })
    }
  }
  let batch: ObjectInfo[] = []
  for await (const info of garbage(run, () => listed++)) {
    batch.push(info)
    if (batch.length < BATCH) continue
    await flush(batch)
    batch = []
  }
  if (batch.length > 0) await flush(batch)
  return { files, bytes }
}

/** A commit that changes nothing and tells of the vacuum, as Spark writes it. A change of the schema that came first is no reason not to. */
async function note(
  table: Table,
  operation: string,
  { parameters, metrics }: { readonly parameters: Readonly<Record<string, unknown>>; readonly metrics: Readonly<Record<string, number>> },
): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    try {
      const state = await existing(table)
      const result = await finish(
        table,
        { state, operation, parameters, metrics, written: [], removed: [], reads: () => false, readFiles: [], blindAppend: true, rowsAdded: 0 },
        {},
      )
      return result.version
    } catch (error) {
      if (attempt >= 3 || !(error instanceof LagoaError) || error.code !== 'lake.commit_conflict') throw error
    }
  }
}

/** Parts of a path that begin with `_` or `.` belong to somebody else, unless they are change data or a partition's folder. */
function hiddenBy(metadata: Metadata): (relative: string) => boolean {
  const stored = storedFields(metadata)
  const partitions = new Set(
    metadata.fields.flatMap((field, i) => (metadata.partitionColumns.includes(field.name) ? [field.name, stored[i]?.name ?? field.name] : [])),
  )
  const isHidden = (part: string): boolean => {
    if (!part.startsWith('_') && !part.startsWith('.')) return false
    if (part === '_change_data') return false
    const equals = part.indexOf('=')
    return equals < 0 || !(partitions.has(part.slice(0, equals)) || partitions.has(pathKey(part.slice(0, equals))))
  }
  return (relative) => relative.split('/').some(isHidden)
}

/**
 * A set of texts that keeps 53 bits of a hash of each: two that share one only keep a file that could have gone. About 20 bytes a
 * file, where the texts themselves would take ten times as much.
 */
class KeptPaths {
  #slots = new Float64Array(1024)
  #count = 0

  add(path: string): void {
    this.#put(hash53(path))
  }

  /** Keeps every file of this name, in whichever folder. */
  addName(name: string): void {
    if (name !== '') this.#put(hash53(`\0${name}`))
  }

  has(path: string): boolean {
    return this.#holds(hash53(path)) || this.#holds(hash53(`\0${path.slice(path.lastIndexOf('/') + 1)}`))
  }

  #holds(hash: number): boolean {
    return this.#slots[this.#slot(hash)] === hash
  }

  #put(hash: number): void {
    const slot = this.#slot(hash)
    if (this.#slots[slot] === hash) return
    this.#slots[slot] = hash
    if (++this.#count * 2 < this.#slots.length) return
    const before = this.#slots
    this.#slots = new Float64Array(before.length * 2)
    for (const one of before) if (one !== 0) this.#slots[this.#slot(one)] = one
  }

  /** Where a hash stands, or the free slot where it would. */
  #slot(hash: number): number {
    const mask = this.#slots.length - 1
    let slot = hash % this.#slots.length
    while (this.#slots[slot] !== 0 && this.#slots[slot] !== hash) slot = (slot + 1) & mask
    return slot
  }
}

/** Two independent 32-bit hashes by multiplication and rotation (the finisher is MurmurHash3's), as one number from 1 up. */
function hash53(text: string): number {
  let a = 0x9e3779b1
  let b = 0x85ebca77
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    a = Math.imul(a ^ unit, 0x85ebca6b)
    a = (a << 13) | (a >>> 19)
    b = Math.imul(b ^ unit, 0xc2b2ae35)
    b = (b << 17) | (b >>> 15)
  }
  return mixed(a ^ text.length) * 0x20_0000 + (mixed(b) & 0x1f_ffff) + 1
}

function mixed(value: number): number {
  let x = value
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}
