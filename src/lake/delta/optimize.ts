/**
 * Optimize: packs runs of small files into larger ones, or orders rows so that conditions skip files (zorder.ts). The commit says that
 * no data changed (dataChange = false), so it never conflicts with an append and brings nothing to those who follow the table; the
 * files that it replaces stay for readers of older versions.
 */
import { invalid } from '../../base/index.ts'
import type { AddFile, PartitionValues } from './actions.ts'
import { storedFields } from './mapping.ts'
import { existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import { checkWritable } from './protocol.ts'
import { PLACE_TAG, type TableState } from './replay.ts'
import { localFiles, scanSql } from './scan.ts'
import { identifier, query } from './sql.ts'
import type { CommitResult, OptimizeOptions } from './types.ts'
import { partitionLiteral, writeRows, type Written } from './write.ts'
import { checkRows, fileOrder, partitionKey, planCubes, writeCube } from './zorder.ts'

const MB = 1024 * 1024

/** More files than this are not opened in one run, however small they are. */
const MOST_FILES = 4096

export async function optimize(table: Table, options: OptimizeOptions): Promise<CommitResult> {
  const state = await existing(table)
  checkWritable(table.root, state.protocol, state.metadata, false)
  const live = await state.files.adds(state.files.at(state.version))
  const chosen = options.where === undefined ? live : await ofPartitions(table, state, live, options.where, options.signal)
  const order = fileOrder(table.root, state, options.zOrderBy)
  const written: Written[] = []
  let removed: readonly AddFile[] = []
  if (order === null) {
    const bins = planBins(packable(chosen), {
      smallBytes: options.smallBytes ?? 16 * MB,
      targetBytes: options.targetBytes ?? 128 * MB,
      atLeast: options.atLeast ?? 2,
      mostBytes: options.mostBytes ?? 512 * MB,
      mostFiles: MOST_FILES,
    })
    const filesOf = (bin: readonly number[]): AddFile[] => bin.flatMap((row) => chosen[row] ?? [])
    removed = filesOf(bins.flat())
    await keepingOnlyCommitted(written, async () => {
      for (const bin of bins) written.push(await pack(table, state, filesOf(bin), options.signal))
    })
  } else {
    const cubes = planCubes(chosen, order.tag, { mostBytes: options.mostBytes ?? 4096 * MB, atLeast: options.atLeast ?? 1 })
    removed = cubes.flat()
    await keepingOnlyCommitted(written, async () => {
      for (const cube of cubes) written.push(await writeCube(table, state, cube, order, options.targetBytes ?? 128 * MB, options.signal))
    })
  }
  if (removed.length === 0) return skipped(state.version)
  const adds = written.flatMap((one) => one.adds)
  const bytes = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0)
  return finish(
    table,
    {
      state,
      operation: 'OPTIMIZE',
      parameters: {
        predicate: options.where === undefined ? [] : [options.where],
        zOrderBy: order !== null && !order.clusters ? order.columns : [],
        ...(order?.clusters ? { clusterBy: order.columns } : {}),
        auto: options.atLeast !== undefined,
      },
      metrics: {
        numAddedFiles: adds.length,
        numRemovedFiles: removed.length,
        numAddedBytes: bytes(adds.map(({ size }) => size)),
        numRemovedBytes: bytes(removed.map(({ size }) => size)),
        ...(adds.length === 0 ? {} : { minFileSize: Math.min(...adds.map(({ size }) => size)), maxFileSize: Math.max(...adds.map(({ size }) => size)) }),
      },
      written,
      removed,
      rearranges: true,
      // Rows that others add meanwhile do not matter; files that they remove do, and those are named in `removed`.
      reads: () => false,
      readFiles: [],
      blindAppend: false,
      rowsAdded: 0,
    },
    options,
  )
}

/** The files of the partitions for whose values a condition is true. */
async function ofPartitions(
  { place, root }: Table,
  state: TableState,
  files: readonly AddFile[],
  where: string,
  signal: AbortSignal | undefined,
): Promise<AddFile[]> {
  const { fields, partitionColumns } = state.metadata
  const stored = storedFields(state.metadata)
  const partitions = new Map(files.map(({ partitionValues }) => [partitionKey(partitionValues), partitionValues]))
  const rows = [...partitions.values()].map((values, i) => {
    const cells = partitionColumns.map((name) => {
      const at = fields.findIndex((field) => field.name === name)
      const [field, own] = [fields[at], stored[at]]
      return field && own ? `${partitionLiteral(field, values[own.name])} as ${identifier(name)}` : `null as ${identifier(name)}`
    })
    return `select ${[`${i} as __lagoa_partition`, ...cells].join(', ')}`
  })
  if (rows.length === 0) return []
  const connection = await place.duck.connect()
  try {
    const reader = await query(connection, `select __lagoa_partition from (${rows.join(' union all ')}) where (${where}\n)`, signal)
    const wanted = new Set(reader.getRows().map(([i]) => Number(i)))
    const keys = new Set([...partitions.keys()].filter((_, i) => wanted.has(i)))
    return files.filter(({ partitionValues }) => keys.has(partitionKey(partitionValues)))
  } catch (error) {
    signal?.throwIfAborted()
    throw invalid(
      'lake.bad_condition',
      `Files of ${root} cannot be chosen by ${where}: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`,
      {
        hint:
          partitionColumns.length === 0
            ? 'The table has no partitions: leave the condition out.'
            : `Name only partition columns: ${partitionColumns.join(', ')}.`,
        cause: error,
      },
    )
  } finally {
    connection.closeSync()
  }
}

async function pack({ place, root }: Table, state: TableState, bin: readonly AddFile[], signal: AbortSignal | undefined): Promise<Written> {
  const [first] = bin
  const connection = await place.duck.connect()
  try {
    const sql = scanSql(state, await localFiles(place, root, state, bin))
    const packed = await writeRows(place, root, state.metadata, connection, sql, signal, first?.partitionValues ?? {})
    await checkRows(root, bin, packed)
    const tags = { [PLACE_TAG]: first?.path ?? '' }
    return { ...packed, adds: packed.adds.map((add) => ({ ...add, tags })) }
  } finally {
    connection.closeSync()
  }
}

function packable(files: readonly AddFile[]): PackableFile[] {
  return files.map(({ size, partitionValues }, row) => ({ row, size, partition: partitionValues }))
}

export interface PackableFile {
  /** Its place in the order of rows. */
  readonly row: number
  readonly size: number
  /** Equal partitions are one object. */
  readonly partition: PartitionValues
}

export interface PackLimits {
  readonly smallBytes: number
  readonly targetBytes: number
  readonly atLeast: number
  readonly mostBytes: number
  readonly mostFiles: number
}

/**
 * Runs of neighbouring small files of one partition, each to become one file. A run ends at a larger file, so that rows keep their
 * order: whoever lets the last row of a key win depends on it.
 */
export function planBins(files: readonly PackableFile[], limits: PackLimits): number[][] {
  if (files.filter(({ size }) => size < limits.smallBytes).length < limits.atLeast) return []
  const bins: number[][] = []
  const open = new Map<PartitionValues, { rows: number[]; bytes: number }>()
  const budget = { bytes: 0, files: 0 }
  const close = (partition: PartitionValues): void => {
    const bin = open.get(partition)
    open.delete(partition)
    if (!bin || bin.rows.length < 2 || (bins.length > 0 && (budget.bytes + bin.bytes > limits.mostBytes || budget.files + bin.rows.length > limits.mostFiles)))
      return
    bins.push(bin.rows)
    budget.bytes += bin.bytes
    budget.files += bin.rows.length
  }
  for (const { row, size, partition } of files) {
    const bin = open.get(partition)
    const small = size < limits.smallBytes
    if (bin && (!small || bin.bytes + size > limits.targetBytes || bin.rows.length >= limits.mostFiles)) close(partition)
    if (!small) continue
    const current = open.get(partition) ?? { rows: [], bytes: 0 }
    current.rows.push(row)
    current.bytes += size
    open.set(partition, current)
  }
  for (const partition of open.keys()) close(partition)
  return bins
}
