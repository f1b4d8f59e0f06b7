/**
 * Optimize: packs runs of small files into larger ones. The commit says that no data changed (dataChange = false), so it never
 * conflicts with an append and brings nothing to those who follow the table; the packed files stay for readers of older versions.
 */
import { bug } from '../../base/index.ts'
import type { AddFile, PartitionValues } from './actions.ts'
import { rowsIn } from './files.ts'
import { existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import { checkWritable } from './protocol.ts'
import { PLACE_TAG, type TableState } from './replay.ts'
import { localFiles, scanSql } from './scan.ts'
import type { CommitResult, OptimizeOptions } from './types.ts'
import { writeRows, type Written } from './write.ts'

const MB = 1024 * 1024

/** More files than this are not opened in one run, however small they are. */
const MOST_FILES = 4096

export async function optimize(table: Table, options: OptimizeOptions): Promise<CommitResult> {
  const state = await existing(table)
  checkWritable(table.root, state.protocol, state.metadata, false)
  const live = await state.files.adds(state.files.at(state.version))
  const bins = planBins(packable(live), {
    smallBytes: options.smallBytes ?? 16 * MB,
    targetBytes: options.targetBytes ?? 128 * MB,
    atLeast: options.atLeast ?? 2,
    mostBytes: options.mostBytes ?? 512 * MB,
    mostFiles: MOST_FILES,
  })
  if (bins.length === 0) return skipped(state.version)
  const filesOf = (bin: readonly number[]): AddFile[] => bin.flatMap((row) => live[row] ?? [])
  const written: Written[] = []
  await keepingOnlyCommitted(written, async () => {
    for (const bin of bins) written.push(await pack(table, state, filesOf(bin), options.signal))
  })
  const removed = filesOf(bins.flat())
  const adds = written.flatMap((one) => one.adds)
  const bytes = (sizes: readonly number[]): number => sizes.reduce((sum, size) => sum + size, 0)
  return finish(
    table,
    {
      state,
      operation: 'OPTIMIZE',
      parameters: { predicate: [], zOrderBy: [], auto: options.atLeast !== undefined },
      metrics: {
        numAddedFiles: adds.length,
        numRemovedFiles: removed.length,
        numAddedBytes: bytes(adds.map(({ size }) => size)),
        numRemovedBytes: bytes(removed.map(({ size }) => size)),
        minFileSize: Math.min(...adds.map(({ size }) => size)),
        maxFileSize: Math.max(...adds.map(({ size }) => size)),
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

async function pack({ place, root }: Table, state: TableState, bin: readonly AddFile[], signal: AbortSignal | undefined): Promise<Written> {
  const [first] = bin
  const connection = await place.duck.connect()
  try {
    const sql = scanSql(state, await localFiles(place, root, state, bin))
    const packed = await writeRows(place, root, state.metadata, connection, sql, signal, first?.partitionValues ?? {})
    const expected = bin.reduce((sum, file) => sum + rowsIn(file), 0)
    if (!Number.isNaN(expected) && packed.rows !== expected) {
      await packed.discard()
      throw bug('lake.optimize_rows', `Packing ${bin.length} files of ${root} gave ${packed.rows} rows instead of ${expected}; nothing was committed`)
    }
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
