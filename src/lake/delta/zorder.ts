/**
 * Ordering a table's rows for skipping: the files of a partition are rewritten together (a cube), their rows in the order of a
 * space-filling curve (cluster.ts) and cut into files of about the target size. Tags tell by what a file was ordered and with which
 * others, so that doing it again finds nothing to do, and after appends only what is new and the last cube that was not full.
 *
 * The order in which rows came is lost within a cube, and readers who let the last of several rows win must not order their table so.
 * Cubes stand where their first file stood: rows that came later still come later. Followers of the table are brought nothing.
 */
import { randomUUID } from 'node:crypto'
import { bug, invalid } from '../../base/index.ts'
import type { AddFile, PartitionValues } from './actions.ts'
import { clusteringColumns, orderedSql, orderingSql } from './cluster.ts'
import { rowsIn } from './files.ts'
import type { Table } from './operations.ts'
import { PLACE_TAG, type TableState } from './replay.ts'
import { localFiles, scanSql } from './scan.ts'
import { countOf, query, temporary } from './sql.ts'
import { writeRows, type Written } from './write.ts'

export interface FileOrder {
  readonly columns: readonly string[]
  /** What the tag of a file in this order says. */
  readonly tag: string
  readonly sql: readonly string[]
  /** By the table's own clustering columns. */
  readonly clusters: boolean
}

const ORDER_TAG = 'lagoa.order'
const CUBE_TAG = 'lagoa.cube'
/** By what name other engines know who clustered a file; files of theirs are left to them. */
const PROVIDER = 'lagoa'

/** Null when files are only to be packed. */
export function fileOrder(root: string, state: TableState, zOrderBy: readonly string[] | undefined): FileOrder | null {
  const clusterBy = clusteringColumns(state)
  if (clusterBy !== null && clusterBy.length > 0) {
    if (zOrderBy !== undefined)
      throw invalid('lake.bad_option', `Table ${root} is clustered by ${clusterBy.map((path) => path.join('.')).join(', ')}; it cannot be ordered otherwise`, {
        hint: 'Leave out zOrderBy.',
      })
    return orderBy(root, state, clusterBy, true)
  }
  return zOrderBy === undefined
    ? null
    : orderBy(
        root,
        state,
        zOrderBy.map((name) => columnPath(state, name)),
        false,
      )
}

/** A column by its name, or one inside a struct by `outer.inner`. */
function columnPath(state: TableState, name: string): readonly string[] {
  return state.metadata.fields.some((field) => field.name.toLowerCase() === name.toLowerCase()) ? [name] : name.split('.')
}

function orderBy(root: string, state: TableState, paths: readonly (readonly string[])[], clusters: boolean): FileOrder {
  const sql = orderingSql(root, state, paths)
  const columns = paths.map((path) => path.join('.'))
  return { columns, tag: JSON.stringify(sql), sql, clusters }
}

/**
 * The files to rewrite, cube by cube, within the limit: of each partition those that are not in this order yet, together with the cubes
 * that are less than half full. Nothing for a partition that has one such cube and nothing else.
 */
export function planCubes(files: readonly AddFile[], tag: string, limits: { readonly mostBytes: number; readonly atLeast: number }): AddFile[][] {
  const partitions = new Map<string, AddFile[]>()
  for (const file of files) {
    if (file.clusteringProvider !== undefined && file.clusteringProvider !== PROVIDER) continue
    const key = partitionKey(file.partitionValues)
    const known = partitions.get(key)
    if (known) known.push(file)
    else partitions.set(key, [file])
  }
  const cubes: AddFile[][] = []
  let bytes = 0
  const loose = (file: AddFile): boolean => file.tags?.[ORDER_TAG] !== tag
  if ([...partitions.values()].flat().filter(loose).length < limits.atLeast && limits.atLeast > 1) return []
  for (const partition of partitions.values()) {
    const sizes = new Map<string, number>()
    for (const file of partition) if (!loose(file)) sizes.set(cubeOf(file), (sizes.get(cubeOf(file)) ?? 0) + file.size)
    const partial = new Set([...sizes].filter(([, size]) => size < limits.mostBytes / 2).map(([cube]) => cube))
    if (partial.size <= 1 && !partition.some(loose)) continue
    let cube: AddFile[] = []
    let size = 0
    const close = (): boolean => {
      if (cube.length === 0) return true
      if (cubes.length > 0 && bytes + size > limits.mostBytes) return false
      cubes.push(cube)
      bytes += size
      cube = []
      size = 0
      return true
    }
    let room = true
    for (const file of partition.filter((one) => loose(one) || partial.has(cubeOf(one)))) {
      if (cube.length > 0 && size + file.size > limits.mostBytes) room = close()
      if (!room) break
      cube.push(file)
      size += file.size
    }
    if (room) close()
  }
  return cubes
}

/** Equal partitions have equal keys. */
export function partitionKey(values: PartitionValues): string {
  return JSON.stringify(
    Object.keys(values)
      .sort()
      .map((name) => [name, values[name]]),
  )
}

function cubeOf(file: AddFile): string {
  return file.tags?.[CUBE_TAG] ?? ''
}

export async function writeCube(
  { place, root }: Table,
  state: TableState,
  cube: readonly AddFile[],
  order: FileOrder,
  targetBytes: number,
  signal: AbortSignal | undefined,
): Promise<Written> {
  const [first] = cube
  const connection = await place.duck.connect()
  const ordered = temporary('ordered')
  const parts: Written[] = []
  const discard = async (): Promise<void> => {
    for (const part of parts) await part.discard()
  }
  try {
    const scan = scanSql(state, await localFiles(place, root, state, cube))
    await query(connection, `create temp table ${ordered} as ${await orderedSql(connection, scan, order.sql, signal)}`, signal)
    const rows = await countOf(connection, `select count(*) from temp.${ordered}`)
    const files = Math.max(1, Math.ceil(cube.reduce((sum, { size }) => sum + size, 0) / targetBytes))
    const step = Math.max(1, Math.ceil(rows / files))
    for (let start = 0; start < rows; start += step) {
      const sql = `select * from temp.${ordered} where rowid >= ${start} and rowid < ${start + step}`
      parts.push(await writeRows(place, root, state.metadata, connection, sql, signal, first?.partitionValues ?? {}))
    }
    const tags = { [PLACE_TAG]: first?.path ?? '', [ORDER_TAG]: order.tag, [CUBE_TAG]: randomUUID() }
    const written: Written = {
      adds: parts.flatMap((part) => part.adds.map((add) => ({ ...add, tags, ...(order.clusters ? { clusteringProvider: PROVIDER } : {}) }))),
      rows: parts.reduce((sum, part) => sum + part.rows, 0),
      discard,
    }
    await checkRows(root, cube, written)
    return written
  } catch (error) {
    await discard()
    signal?.throwIfAborted()
    throw error
  } finally {
    await connection.run(`drop table if exists temp.${ordered}`)
    connection.closeSync()
  }
}

/** What rearranges rows must not lose or double one. */
export async function checkRows(root: string, files: readonly AddFile[], written: Written): Promise<void> {
  const expected = files.reduce((sum, file) => sum + rowsIn(file), 0)
  if (Number.isNaN(expected) || written.rows === expected) return
  await written.discard()
  throw bug('lake.optimize_rows', `Rewriting ${files.length} files of ${root} gave ${written.rows} rows instead of ${expected}; nothing was committed`)
}
