/**
 * Base: the files of a large checkpoint, left in its Parquet. This process holds a few numbers of each in typed arrays (some fifty bytes a
 * file); paths, partition values, statistics and deletion vectors are looked up for the rows that are asked for. A checkpoint file that
 * was replaced or removed since is noticed before anything is read from it by row number.
 */
import { createHash } from 'node:crypto'
import type { DuckDBConnection } from '@duckdb/node-api'
import { LagoaError, missing } from '../../base/index.ts'
import type { AddFile } from './actions.ts'
import { addCells, addFrom, chunksOf, openSource, removeCells, removeFrom, statsSql, type Source } from './checkpoint-files.ts'
import { pathKey } from './paths.ts'
import { query } from './sql.ts'
import type { Place } from './types.ts'

/** Rows of a checkpoint by number: first the files of the table in the order in which they stand there, then the tombstones. */
export interface Base {
  /** How many rows are files. */
  readonly adds: number
  readonly length: number
  readonly sizes: Float64Array
  /** Without those that deletion vectors take away; NaN when the statistics do not tell. */
  readonly rows: Float64Array
  readonly deletedOn: Float64Array
  readonly removedData: Uint8Array
  readonly hasVector: Uint8Array
  /** A file or a tombstone, as a file, for each of some rows. */
  files(rows: readonly number[]): Promise<AddFile[]>
  /** The rows of files and tombstones with one of these paths (as `pathKey` spells them). */
  find(keys: ReadonlySet<string>): Promise<{ readonly row: number; readonly file: AddFile }[]>
  /** The rows of the files whose places (file, row) a query over the source gives. */
  select(sql: (source: Source) => string): Promise<number[]>
  /** Runs work with the checkpoint's files at hand for SQL, `removed` being a condition on rows that are no longer wanted. */
  withSource<T>(work: (connection: DuckDBConnection, source: Source, notIn: (rows: readonly number[]) => string) => Promise<T>): Promise<T>
  /** What `PLACE` is for a row. */
  placeOf(row: number): number
  /** False once the checkpoint was replaced or removed: what is not in memory is out of reach. */
  isThere(): Promise<boolean>
}

/** Rows of one kind in one file. */
interface Part {
  readonly kind: 'add' | 'remove'
  readonly file: number
  readonly start: number
  end: number
}

/** Where a row of the source stands, as one number. */
export const PLACE = '(file_index::bigint * 4294967296 + file_row_number::bigint)'

/** Rows that are looked up one by one; more are found by reading through what lies between the first and the last. */
const MOST_LISTED = 2000

export async function openBase(
  place: Place,
  root: string,
  paths: readonly string[],
  counts: { readonly adds: number; readonly removes: number },
): Promise<Base> {
  const length = counts.adds + counts.removes
  const stamps = await Promise.all(paths.map((path) => place.objects.head(path)))
  const sizes = new Float64Array(length)
  const rows = new Float64Array(length).fill(Number.NaN)
  const deletedOn = new Float64Array(length)
  const removedData = new Uint8Array(length)
  const hasVector = new Uint8Array(length)
  const numbers = new Int32Array(length)
  const parts: Part[] = []
  let index: HashIndex | null = null

  const isThere = async (): Promise<boolean> => {
    const now = await Promise.all(paths.map((path) => place.objects.head(path)))
    return now.every((info, i) => info !== null && info.size === stamps[i]?.size && info.modified === stamps[i].modified)
  }

  const gone = (cause?: unknown): LagoaError =>
    missing('lake.snapshot_expired', `The checkpoint ${paths[0] ?? ''} from which this snapshot of ${root} was opened has been replaced or removed`, {
      hint: 'Take a new snapshot of the table and go on with that.',
      cause,
    })

  const withConnection = async <T>(work: (connection: DuckDBConnection, source: Source) => Promise<T>): Promise<T> => {
    const release = place.objects.hold()
    const connection = await place.duck.connect()
    try {
      const local = await Promise.all(paths.map((path) => place.objects.localFile(path)))
      return await work(connection, await openSource(connection, local))
    } catch (error) {
      throw error instanceof LagoaError && error.code === 'storage.missing_object' ? gone(error) : error
    } finally {
      connection.closeSync()
      release()
    }
  }

  const checked = async <T>(work: (connection: DuckDBConnection, source: Source) => Promise<T>): Promise<T> => {
    if (!(await isThere())) throw gone()
    return withConnection(work)
  }

  const placeOf = (row: number): number => (parts.find((part) => row >= part.start && row < part.end)?.file ?? 0) * 2 ** 32 + (numbers[row] ?? -1)

  /** The row of a number in a part, which ascends there. */
  const rowOf = (part: Part, number: number): number => {
    let low = part.start
    let high = part.end - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((numbers[middle] ?? 0) < number) low = middle + 1
      else high = middle
    }
    return low
  }

  const load = async (connection: DuckDBConnection, source: Source, kind: Part['kind'], columns: string): Promise<void> => {
    let row = parts.at(-1)?.end ?? 0
    for await (const chunk of chunksOf(
      connection,
      `select file_index::integer, file_row_number::integer, ${columns} from ${source.sql} where ${kind}.path is not null`,
    )) {
      const [file, number, a, b, c] = [0, 1, 2, 3, 4].map((column) => chunk.getColumnVector(column))
      for (let i = 0; i < chunk.rowCount; i++, row++) {
        const of = Number(file?.getItem(i) ?? 0)
        const last = parts.at(-1)
        if (last?.kind === kind && last.file === of) last.end = row + 1
        else parts.push({ kind, file: of, start: row, end: row + 1 })
        numbers[row] = Number(number?.getItem(i) ?? 0)
        sizes[row] = Number(a?.getItem(i) ?? 0)
        if (kind === 'add') {
          rows[row] = Number(b?.getItem(i) ?? Number.NaN)
        } else {
          deletedOn[row] = Number(b?.getItem(i) ?? 0)
          removedData[row] = Number(c?.getItem(i) ?? 1)
        }
        if (kind === 'add') hasVector[row] = Number(c?.getItem(i) ?? 0)
      }
    }
  }

  await withConnection(async (connection, source) => {
    const vector = source.names('add').has('deletionVector')
    await load(
      connection,
      source,
      'add',
      `add.size::double, ${recordsSql(statsSql(source))}${vector ? ' - coalesce(add.deletionVector.cardinality, 0)' : ''}, ${vector ? '(add.deletionVector.storageType is not null)::integer' : '0'}`,
    )
    const remove = source.names('remove')
    const of = (name: string, otherwise: string): string => (remove.has(name) ? `remove.${name}` : otherwise)
    if (counts.removes > 0)
      await load(
        connection,
        source,
        'remove',
        `coalesce(${of('size', '0')}, 0)::double, coalesce(${of('deletionTimestamp', '0')}, 0)::double, coalesce(${of('dataChange', 'true')}, true)::integer`,
      )
  })

  const lookUp = async (connection: DuckDBConnection, source: Source, wanted: readonly number[], found: Map<number, AddFile>): Promise<void> => {
    for (const part of parts) {
      const inside = wanted.filter((row) => row >= part.start && row < part.end)
      if (inside.length === 0) continue
      const listed = inside.length <= MOST_LISTED
      const [low, high] = extremes(inside.map((row) => numbers[row] ?? 0))
      const condition = listed ? `file_row_number in (${inside.map((row) => numbers[row]).join(', ')})` : `file_row_number between ${low} and ${high}`
      const picked = listed ? null : new Set(inside)
      const cells = part.kind === 'add' ? addCells(source) : removeCells(source)
      const sql = `select file_row_number::integer, ${cells} from ${source.sql} where file_index = ${part.file} and ${part.kind}.path is not null and ${condition}`
      for await (const chunk of chunksOf(connection, sql)) {
        const columns = Array.from({ length: chunk.columnCount }, (_, i) => chunk.getColumnVector(i))
        for (let i = 0; i < chunk.rowCount; i++) {
          const row = rowOf(part, Number(columns[0]?.getItem(i) ?? -1))
          if (picked && !picked.has(row)) continue
          const cellsOf = columns.slice(1).map((column) => column.getItem(i))
          const file = part.kind === 'add' ? addFrom(cellsOf) : tombstoneFrom(cellsOf)
          if (file.size !== sizes[row]) throw gone()
          found.set(row, file)
        }
      }
    }
  }

  const files = async (wanted: readonly number[]): Promise<AddFile[]> => {
    if (wanted.length === 0) return []
    const found = new Map<number, AddFile>()
    await checked((connection, source) => lookUp(connection, source, wanted, found))
    return wanted.map((row) => {
      const file = found.get(row)
      if (file === undefined) throw gone()
      return file
    })
  }

  return {
    adds: counts.adds,
    length,
    sizes,
    rows,
    deletedOn,
    removedData,
    hasVector,
    files,
    placeOf,
    isThere,
    async find(keys) {
      index ??= await checked((connection, source) => hashIndex(connection, source, length))
      const hashes = index
      const candidates = [...new Set([...keys].flatMap((key) => hashes.rowsOf(key)))].sort((a, b) => a - b)
      const found = await files(candidates)
      // The hash says where to look, the path itself decides.
      return found.flatMap((file, i) => (keys.has(pathKey(file.path)) ? { row: candidates[i] ?? 0, file } : []))
    },
    async select(sql) {
      return checked(async (connection, source) => {
        const found: number[] = []
        for await (const chunk of chunksOf(connection, sql(source))) {
          const [file, number] = [chunk.getColumnVector(0), chunk.getColumnVector(1)]
          for (let i = 0; i < chunk.rowCount; i++) {
            const of = Number(file.getItem(i))
            const part = parts.find((one) => one.kind === 'add' && one.file === of)
            if (part) found.push(rowOf(part, Number(number.getItem(i))))
          }
        }
        return found
      })
    },
    withSource: (work) =>
      checked((connection, source) =>
        work(connection, source, (unwanted) => {
          if (unwanted.length === 0) return 'true'
          return `${PLACE} not in (${unwanted.map(placeOf).join(', ')})`
        }),
      ),
  }
}

/** The smallest and the largest of many numbers. */
function extremes(values: readonly number[]): [number, number] {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const value of values) {
    if (value < low) low = value
    if (value > high) high = value
  }
  return [low, high]
}

/** Writers put `numRecords` first; looking there spares parsing the whole text. */
function recordsSql(stats: string): string {
  const first = `try_cast(nullif(regexp_extract(${stats}, '^\\s*\\{\\s*"numRecords"\\s*:\\s*(\\d+)', 1), '') as double)`
  return `coalesce(${first}, try_cast(try(json_extract_string(${stats}, '$.numRecords')) as double))`
}

/** A tombstone in the shape of the file that it stands for. */
function tombstoneFrom(cells: readonly unknown[]): AddFile {
  const { path, partitionValues, size, dataChange, deletionVector } = removeFrom(cells)
  return { path, partitionValues: partitionValues ?? {}, size: size ?? 0, modificationTime: 0, dataChange, stats: null, tags: null, deletionVector }
}

/** From the path of a file to the rows that may be of it: open addressing over 64 bits of the path's MD5. */
interface HashIndex {
  rowsOf(key: string): number[]
}

async function hashIndex(connection: DuckDBConnection, source: Source, length: number): Promise<HashIndex> {
  const low = new Uint32Array(length)
  const high = new Uint32Array(length)
  let size = 1024
  while (size < 2 * length) size *= 2
  const slots = new Int32Array(size).fill(-1)
  const put = (row: number, a: number, b: number): void => {
    low[row] = a
    high[row] = b
    let slot = a & (size - 1)
    while (slots[slot] !== -1) slot = (slot + 1) & (size - 1)
    slots[slot] = row
  }
  let row = 0
  for (const kind of ['add', 'remove']) {
    if (!source.names(kind).has('path')) continue
    // Escapes of plain ASCII are undone there; what else is encoded, well or badly, is for `pathKey` itself.
    const key = `case when not contains(path, '%') then path when regexp_full_match(path, '([^%]|%[0-7][0-9A-Fa-f])*') then url_decode(path) end`
    const sql = `select (h & 4294967295)::uinteger, (h >> 32)::uinteger, case when h is null then path end
      from (select path, md5_number_lower(${key}) as h from (select ${kind}.path as path from ${source.sql} where ${kind}.path is not null))`
    for await (const chunk of chunksOf(connection, sql)) {
      const [a, b, path] = [chunk.getColumnVector(0), chunk.getColumnVector(1), chunk.getColumnVector(2)]
      for (let i = 0; i < chunk.rowCount; i++, row++) {
        const encoded = path.getItem(i)
        if (typeof encoded === 'string') put(row, ...hashOf(pathKey(encoded)))
        else put(row, Number(a.getItem(i)), Number(b.getItem(i)))
      }
    }
  }
  return {
    rowsOf(key) {
      const [a, b] = hashOf(key)
      const found: number[] = []
      for (let slot = a & (size - 1); slots[slot] !== -1; slot = (slot + 1) & (size - 1)) {
        const at = slots[slot] ?? -1
        if (low[at] === a && high[at] === b) found.push(at)
      }
      return found
    },
  }
}

/** The halves of what DuckDB calls `md5_number_lower`. */
function hashOf(key: string): [low: number, high: number] {
  const digest = createHash('md5').update(key).digest()
  return [digest.readUInt32LE(8), digest.readUInt32LE(12)]
}

/** How many adds and removes the files of a checkpoint hold. */
export async function countActions(connection: DuckDBConnection, source: Source): Promise<{ adds: number; removes: number }> {
  const count = (kind: string): string => (source.names(kind).has('path') ? `count(${kind}.path)` : '0')
  const [counts = []] = (await query(connection, `select ${count('add')}::double, ${count('remove')}::double from ${source.sql}`)).getRows()
  return { adds: Number(counts[0] ?? 0), removes: Number(counts[1] ?? 0) }
}
