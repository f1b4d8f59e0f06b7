/**
 * FileLog: every data file that a table's loaded history added. A row says from which version to which the file was part of the table, so
 * one log serves every snapshot since it was loaded, and a refresh appends instead of copying. Rows are never changed in a way that a
 * snapshot of an earlier version could see. Numbers are held by column in typed arrays; what else is known of a file is held for those
 * that commits brought, and left in its checkpoint for the rows of a `Base`.
 */
import { bug } from '../../base/index.ts'
import type { AddFile, Commit, PartitionValues, RemoveFile } from './actions.ts'
import type { Base } from './base.ts'
import type { Source } from './checkpoint-files.ts'
import { vectorId, type DeletionVector } from './deletions.ts'
import { isObject, numberOf } from './json.ts'
import { pathKey } from './paths.ts'

/** A version that never comes: still there, or (for a tombstone whose file was never seen) never there. */
const NEVER = Number.MAX_SAFE_INTEGER

/** What tells the files of a table apart: path and deletion vector (section "Action Reconciliation"). */
export function fileKey(file: { readonly path: string; readonly deletionVector: DeletionVector | null }): string {
  return file.deletionVector === null ? pathKey(file.path) : `${pathKey(file.path)}\0${vectorId(file.deletionVector)}`
}

export class FileLog {
  /** Rows of a large checkpoint come first; null when everything is in memory. */
  readonly base: Base | null
  /** Files behind the base's rows. */
  readonly #files: AddFile[] = []
  /** Of the base's rows, those that commits named. */
  readonly #named: Map<number, AddFile> = new Map()
  readonly #askedFor: Set<string> = new Set()
  readonly #present: Map<string, number> = new Map()
  readonly #namedPresent: Map<string, number> = new Map()
  /** By key, the row of a file that is gone. */
  readonly #gone: Map<string, number> = new Map()
  /** Rows of files that are gone, and the version from which on another row tells of the very same file. */
  readonly #backAt: Map<number, number> = new Map()
  readonly #interned: Map<string, PartitionValues> = new Map()
  readonly #sizes: Numbers
  readonly #rows: Numbers
  readonly #addedAt: Numbers
  readonly #removedAt: Numbers
  readonly #deletedOn: Numbers
  readonly #dataAt: Numbers
  readonly #removedData: Numbers
  readonly #places: Numbers
  #inOrder = true
  #length = 0

  constructor(base: Base | null = null, version: number = -1) {
    this.base = base
    const length = base?.length ?? 0
    const adds = base?.adds ?? 0
    this.#length = length
    this.#sizes = new Numbers(base?.sizes ?? new Float64Array())
    this.#rows = new Numbers(base?.rows ?? new Float64Array())
    // Tombstones were never there, as far as this log knows.
    this.#addedAt = new Numbers(new Float64Array(length).fill(version, 0, adds).fill(NEVER, adds))
    this.#removedAt = new Numbers(new Float64Array(length).fill(NEVER, 0, adds).fill(version, adds))
    this.#deletedOn = new Numbers(base?.deletedOn.slice() ?? new Float64Array())
    this.#dataAt = new Numbers(new Float64Array(length).fill(-1))
    this.#removedData = new Numbers(new Float64Array(base?.removedData ?? []))
    this.#places = new Numbers(new Float64Array(length).map((_, row) => row))
  }

  /** How many rows there are, present or not. */
  get length(): number {
    return this.#length
  }

  /** The rows are in the order in which the table's rows came. */
  get inOrder(): boolean {
    return this.#inOrder
  }

  /** Looks up what the base holds of the files that commits name. Without it they cannot be added or removed. */
  async know(commits: readonly Pick<Commit, 'adds' | 'removes'>[]): Promise<void> {
    if (this.base === null) return
    const wanted = new Set<string>()
    const want = (path: string): void => {
      const key = pathKey(path)
      if (!this.#askedFor.has(key)) wanted.add(key)
    }
    for (const { adds, removes } of commits) {
      for (const add of adds) want(add.path)
      for (const remove of removes) want(remove.path)
    }
    if (wanted.size === 0) return
    for (const { row, file } of await this.base.find(wanted)) {
      this.#named.set(row, this.#shared(file))
      if (row < this.base.adds) this.#namedPresent.set(pathKey(file.path), row)
      else this.#gone.set(fileKey(file), row)
    }
    for (const key of wanted) this.#askedFor.add(key)
  }

  /** The row of a file that the newest version has, whichever deletion vector it has there: a version has each path once. */
  find(path: string): number | undefined {
    const key = pathKey(path)
    if (this.base !== null && !this.#askedFor.has(key) && !this.#present.has(key))
      throw bug('lake.file_not_looked_up', `The file ${path} was not looked up in the checkpoint before it was asked for`)
    return this.#present.get(key) ?? this.#namedPresent.get(key)
  }

  add(file: AddFile, version: number, dataAt: number, place?: number): number {
    const row = this.#append(file.size, rowsIn(file), version, dataAt, place ?? this.#length)
    if (place !== undefined) this.#inOrder = false
    this.#files.push(this.#shared(file))
    this.#present.set(pathKey(file.path), row)
    const key = fileKey(file)
    const before = this.#gone.get(key)
    if (before !== undefined) {
      this.#backAt.set(before, version)
      this.#gone.delete(key)
    }
    return row
  }

  /**
   * Marks a present file as removed; answers its row, or undefined when the table did not have it. A file is one by its path and its
   * deletion vector (section "Action Reconciliation"), so removing it with another vector than it has now leaves it there.
   */
  remove(file: RemoveFile, version: number): number | undefined {
    const row = this.find(file.path)
    if (row === undefined || fileKey(file) !== this.keyAt(row)) {
      this.bury(file, version)
      return undefined
    }
    this.#present.delete(pathKey(file.path))
    this.#namedPresent.delete(pathKey(file.path))
    this.#takeAway(row, file, version)
    return row
  }

  /** Keeps a tombstone for a file that is not known. */
  bury(file: RemoveFile, version: number): void {
    const row = this.#append(file.size ?? 0, Number.NaN, NEVER, -1, this.#length)
    this.#files.push(
      this.#shared({
        path: file.path,
        partitionValues: file.partitionValues ?? {},
        size: file.size ?? 0,
        modificationTime: 0,
        dataChange: true,
        stats: null,
        tags: null,
        deletionVector: file.deletionVector,
      }),
    )
    this.#takeAway(row, file, version)
  }

  #takeAway(row: number, file: RemoveFile, version: number): void {
    this.#removedAt.set(row, version)
    this.#deletedOn.set(row, file.deletionTimestamp ?? 0)
    this.#removedData.set(row, file.dataChange ? 1 : 0)
    // Of two tombstones of one file the later one counts.
    const key = fileKey(file)
    const before = this.#gone.get(key)
    if (before !== undefined) this.#backAt.set(before, version)
    this.#gone.set(key, row)
  }

  /** The rows of the files that are part of a version, in the order in which their rows came. */
  at(version: number): number[] {
    const found: number[] = []
    for (let row = 0; row < this.#length; row++) if (this.isAt(row, version)) found.push(row)
    return this.#ordered(found)
  }

  /**
   * Like `at`, with only those files of the base whose places a query over its checkpoint gives. What came after the base is all there.
   */
  async atWhere(version: number, sql: (source: Source) => string): Promise<number[]> {
    if (this.base === null) return this.at(version)
    const found = (await this.base.select(sql)).filter((row) => this.isAt(row, version))
    for (let row = this.base.length; row < this.#length; row++) if (this.isAt(row, version)) found.push(row)
    return this.#ordered(found)
  }

  #ordered(rows: number[]): number[] {
    return this.#inOrder ? rows : rows.sort((a, b) => this.#places.get(a) - this.#places.get(b) || a - b)
  }

  isAt(row: number, version: number): boolean {
    return this.#addedAt.get(row) <= version && this.#removedAt.get(row) > version
  }

  /** The rows of files that are gone at a version and were deleted after `since` (epoch milliseconds). */
  tombstones(version: number, since: number): number[] {
    const found: number[] = []
    for (let row = 0; row < this.#length; row++) {
      if (this.#removedAt.get(row) > version || this.#deletedOn.get(row) <= since) continue
      if ((this.#backAt.get(row) ?? NEVER) > version) found.push(row)
    }
    return found
  }

  sizeAt(row: number): number {
    return this.#sizes.get(row)
  }

  /** Without those that its deletion vector takes away; NaN when the statistics do not tell. */
  rowsAt(row: number): number {
    return this.#rows.get(row)
  }

  /** The version that added the file, the base version for files that a checkpoint brought. */
  addedAt(row: number): number {
    return this.#addedAt.get(row)
  }

  removedAt(row: number): number {
    return this.#removedAt.get(row)
  }

  /** Epoch milliseconds of the removal; 0 when not removed or not told. */
  deletedOn(row: number): number {
    return this.#deletedOn.get(row)
  }

  /** The version that brought the file's rows into the table; -1 when that was at or before the base. */
  dataAt(row: number): number {
    return this.#dataAt.get(row)
  }

  /** The removal took rows away, it did not just rearrange them. */
  removedData(row: number): boolean {
    return this.#removedData.get(row) === 1
  }

  /** Files are read in ascending place: the row itself, or the place of the file whose rows a rearranged one took over. */
  placeAt(row: number): number {
    return this.#places.get(row)
  }

  hasVector(row: number): boolean {
    return this.isKnown(row) ? this.knownAt(row).deletionVector !== null : this.base?.hasVector[row] === 1
  }

  /** It is in memory: behind the base, or named by a commit. */
  isKnown(row: number): boolean {
    return row >= (this.base?.length ?? 0) || this.#named.has(row)
  }

  knownAt(row: number): AddFile {
    const file = this.#named.get(row) ?? this.#files[row - (this.base?.length ?? 0)]
    if (file === undefined) throw bug('lake.file_not_looked_up', `File ${row} of the checkpoint was not looked up before it was asked for`)
    return file
  }

  keyAt(row: number): string {
    return fileKey(this.knownAt(row))
  }

  /** The row of each file whose key is asked for, of whatever version; keys that no file has are not answered. */
  async rowsOf(keys: ReadonlySet<string>): Promise<ReadonlyMap<string, number[]>> {
    const found = new Map<string, number[]>()
    if (keys.size === 0) return found
    const take = (row: number, file: AddFile): void => {
      const key = fileKey(file)
      if (keys.has(key)) found.set(key, [...(found.get(key) ?? []), row])
    }
    if (this.base !== null) {
      const paths = new Set([...keys].map((key) => key.split('\0')[0] ?? key))
      for (const { row, file } of await this.base.find(paths)) take(row, file)
    }
    for (const [i, file] of this.#files.entries()) take(i + (this.base?.length ?? 0), file)
    return found
  }

  /** The files at some rows, in their order; files of one partition share its values. */
  async adds(rows: readonly number[]): Promise<AddFile[]> {
    const { base } = this
    if (base === null) return rows.map((row) => this.knownAt(row))
    const wanted = rows.filter((row) => row < base.length && !this.#named.has(row))
    const found = new Map<number, AddFile>()
    for (const [i, file] of (await base.files(wanted)).entries()) found.set(wanted[i] ?? -1, this.#shared(file))
    return rows.map((row) => found.get(row) ?? this.knownAt(row))
  }

  #append(size: number, rows: number, addedAt: number, dataAt: number, place: number): number {
    this.#sizes.push(size)
    this.#rows.push(rows)
    this.#addedAt.push(addedAt)
    this.#removedAt.push(NEVER)
    this.#deletedOn.push(0)
    this.#dataAt.push(dataAt)
    this.#removedData.push(0)
    this.#places.push(place)
    return this.#length++
  }

  /** Equal partition values are one object, and what is read back counts as data whatever the commit said of it. */
  #shared(file: AddFile): AddFile {
    const partitionValues = this.#intern(file.partitionValues)
    return file.dataChange && partitionValues === file.partitionValues ? file : { ...file, partitionValues, dataChange: true }
  }

  #intern(values: PartitionValues): PartitionValues {
    const key = JSON.stringify(values)
    const known = this.#interned.get(key)
    if (known) return known
    this.#interned.set(key, values)
    return values
  }
}

/** Numbers by row: some to begin with, and as many as are pushed. */
class Numbers {
  #values: Float64Array
  #length: number

  constructor(values: Float64Array) {
    this.#values = values
    this.#length = values.length
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Float64Array(Math.max(64, Math.ceil(this.#length * 1.5)))
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#length++] = value
  }

  get(row: number): number {
    return this.#values[row] ?? Number.NaN
  }

  set(row: number, value: number): void {
    this.#values[row] = value
  }
}

/** The action that takes a file out of the table. */
export function removalOf({ path, partitionValues, size, deletionVector }: AddFile, now: number, dataChange: boolean): RemoveFile {
  return { path, deletionTimestamp: now, dataChange, partitionValues, size, deletionVector }
}

/** How many rows of a file are there: without those that its deletion vector takes away; NaN when its statistics do not tell. */
export function rowsIn(file: AddFile): number {
  return rowsOf(file.stats) - (file.deletionVector?.cardinality ?? 0)
}

function rowsOf(stats: string | null): number {
  if (stats === null) return Number.NaN
  // Writers put numRecords first; looking there saves parsing the whole text.
  const first = /^\s*\{\s*"numRecords"\s*:\s*(\d+)/.exec(stats)
  if (first) return Number(first[1])
  try {
    const parsed: unknown = JSON.parse(stats)
    return (isObject(parsed) ? numberOf(parsed.numRecords) : null) ?? Number.NaN
  } catch {
    return Number.NaN
  }
}
