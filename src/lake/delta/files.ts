/**
 * FileLog: every data file that a table's loaded history added, by column (parallel arrays; one JavaScript object per file
 * would cost a gigabyte at a million files). A row says from which version to which the file was part of the table, so one
 * log serves every snapshot since it was loaded, and a refresh appends instead of copying. Rows are never changed in a way
 * that a snapshot of an earlier version could see.
 */
import { isObject, numberOf } from './json.ts'
import { vectorId, type DeletionVector } from './deletions.ts'
import { pathKey } from './paths.ts'
import type { AddFile, PartitionValues, RemoveFile } from './actions.ts'

/** A version that never comes: still there, or (for a tombstone whose file was never seen) never there. */
const NEVER = Number.MAX_SAFE_INTEGER

/** What tells the files of a table apart: path and deletion vector (section "Action Reconciliation"). */
export function fileKey(file: { readonly path: string; readonly deletionVector: DeletionVector | null }): string {
  return file.deletionVector === null ? pathKey(file.path) : `${pathKey(file.path)}\0${vectorId(file.deletionVector)}`
}

export class FileLog {
  readonly paths: string[] = []
  readonly sizes: number[] = []
  readonly modified: number[] = []
  /** Without those that its deletion vector takes away; NaN when the statistics do not tell. */
  readonly rows: number[] = []
  readonly stats: (string | null)[] = []
  /** Equal values share one object. */
  readonly partitions: PartitionValues[] = []
  readonly tags: Map<number, Readonly<Record<string, string>>> = new Map()
  readonly vectors: Map<number, DeletionVector> = new Map()
  /** The version that added the file, the base version for files that a checkpoint brought. */
  readonly addedAt: number[] = []
  readonly removedAt: number[] = []
  /** Epoch milliseconds of the removal; 0 when not removed or not told. */
  readonly deletedOn: number[] = []
  /** The version that brought the file's rows into the table; -1 when that was at or before the base. */
  readonly dataAt: number[] = []
  /** The removal took rows away, it did not just rearrange them. */
  readonly removedData: boolean[] = []
  /** Files are read in ascending place: the row itself, or the place of the file whose rows a rearranged one took over. */
  readonly places: number[] = []
  #inOrder = true
  readonly #present: Map<string, number> = new Map()
  readonly #interned: Map<string, PartitionValues> = new Map()

  /** How many rows there are, present or not. */
  get length(): number {
    return this.paths.length
  }

  /** The row of a file that the newest version has, whichever deletion vector it has there: a version has each path once. */
  find(path: string): number | undefined {
    return this.#present.get(pathKey(path))
  }

  add(file: AddFile, version: number, dataAt: number, place?: number): number {
    const row = this.paths.length
    this.places.push(place ?? row)
    if (place !== undefined) this.#inOrder = false
    this.paths.push(file.path)
    this.sizes.push(file.size)
    this.modified.push(file.modificationTime)
    this.rows.push(rowsIn(file))
    this.stats.push(file.stats)
    this.partitions.push(this.#intern(file.partitionValues))
    if (file.tags !== null) this.tags.set(row, file.tags)
    if (file.deletionVector !== null) this.vectors.set(row, file.deletionVector)
    this.addedAt.push(version)
    this.removedAt.push(NEVER)
    this.deletedOn.push(0)
    this.dataAt.push(dataAt)
    this.removedData.push(false)
    this.#present.set(pathKey(file.path), row)
    return row
  }

  /**
   * Marks a present file as removed; answers its row, or undefined when the table did not have it. A file is one by its path and its
   * deletion vector (section "Action Reconciliation"), so removing it with another vector than it has now leaves it there.
   */
  remove(file: RemoveFile, version: number): number | undefined {
    const row = this.#present.get(pathKey(file.path))
    if (row === undefined || fileKey(file) !== this.keyAt(row)) {
      this.bury(file, version)
      return undefined
    }
    this.#present.delete(pathKey(file.path))
    this.removedAt[row] = version
    this.deletedOn[row] = file.deletionTimestamp ?? 0
    this.removedData[row] = file.dataChange
    return row
  }

  /** Keeps a tombstone for a file that is not known. */
  bury(file: RemoveFile, version: number): void {
    const present = this.find(file.path)
    const row = this.add(
      {
        path: file.path,
        partitionValues: file.partitionValues ?? {},
        size: file.size ?? 0,
        modificationTime: 0,
        dataChange: file.dataChange,
        stats: null,
        tags: null,
        deletionVector: file.deletionVector,
      },
      NEVER,
      -1,
    )
    if (present === undefined) this.#present.delete(pathKey(file.path))
    else this.#present.set(pathKey(file.path), present)
    this.removedAt[row] = version
    this.deletedOn[row] = file.deletionTimestamp ?? 0
    this.removedData[row] = file.dataChange
  }

  /** The rows of the files that are part of a version, in the order in which their rows came. */
  at(version: number): number[] {
    const found: number[] = []
    for (let row = 0; row < this.paths.length; row++) if (this.isAt(row, version)) found.push(row)
    return this.#inOrder ? found : found.sort((a, b) => (this.places[a] ?? a) - (this.places[b] ?? b) || a - b)
  }

  isAt(row: number, version: number): boolean {
    return (this.addedAt[row] ?? NEVER) <= version && (this.removedAt[row] ?? NEVER) > version
  }

  /** The rows of files that are gone at a version and were deleted after `since` (epoch milliseconds). */
  tombstones(version: number, since: number): number[] {
    const found: number[] = []
    for (let row = 0; row < this.paths.length; row++) {
      const back = this.find(this.paths[row] ?? '')
      const isBack = back !== undefined && (this.addedAt[back] ?? NEVER) <= version && this.keyAt(back) === this.keyAt(row)
      if ((this.removedAt[row] ?? NEVER) <= version && (this.deletedOn[row] ?? 0) > since && !isBack) found.push(row)
    }
    return found
  }

  keyAt(row: number): string {
    return fileKey({ path: this.paths[row] ?? '', deletionVector: this.vectors.get(row) ?? null })
  }

  removalAt(row: number, now: number, dataChange: boolean): RemoveFile {
    return removalOf(this.addAt(row), now, dataChange)
  }

  addAt(row: number): AddFile {
    return {
      path: this.paths[row] ?? '',
      partitionValues: this.partitions[row] ?? {},
      size: this.sizes[row] ?? 0,
      modificationTime: this.modified[row] ?? 0,
      dataChange: true,
      stats: this.stats[row] ?? null,
      tags: this.tags.get(row) ?? null,
      deletionVector: this.vectors.get(row) ?? null,
    }
  }

  /** The files at some rows, in their order; files of one partition share its values. */
  adds(rows: readonly number[]): Promise<AddFile[]> {
    return Promise.resolve(rows.map((row) => this.addAt(row)))
  }

  #intern(values: PartitionValues): PartitionValues {
    const key = JSON.stringify(values)
    const known = this.#interned.get(key)
    if (known) return known
    this.#interned.set(key, values)
    return values
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
