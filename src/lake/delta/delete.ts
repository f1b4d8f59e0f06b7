/**
 * Delete: takes away the rows for which a condition is true. Files of which every row goes are removed, without being read where
 * partitions or statistics tell; of the others the rows are taken by a deletion vector, or the file is written anew without them.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import type { AddFile } from './actions.ts'
import { txnsOf } from './commit.ts'
import { rowsIn } from './files.ts'
import { alreadyDone, existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import { checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import {
  NO_CHANGES,
  everyRow,
  findRows,
  inOneMoment,
  recordsChanges,
  takenOut,
  vectorMetrics,
  wholeAndPartial,
  writeChanges,
  writesVectors,
  type Found,
  type RowChange,
} from './row-changes.ts'
import { localFiles, scanSql } from './scan.ts'
import { temporary } from './sql.ts'
import type { CommitOptions, CommitResult, Predicate } from './types.ts'
import { NOTHING_WRITTEN, writeError, writeRows, type Written } from './write.ts'

export async function deleteRows(table: Table, where: Predicate | undefined, options: CommitOptions): Promise<CommitResult> {
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  checkWritable(table.root, state.protocol, state.metadata, true)
  try {
    return await inOneMoment(table.place, async (connection) => {
      const found: Found =
        where === undefined
          ? { ...(await everyRow(state)), touched: [], hits: '' }
          : await findRows(table, state, connection, where, { needsRows: false, hits: temporary('hits'), signal: options.signal })
      return deleteFound(table, state, connection, where ?? 'true', found, options)
    })
  } catch (error) {
    options.signal?.throwIfAborted()
    throw writeError(table.root, error)
  }
}

async function deleteFound(
  table: Table,
  state: TableState,
  connection: DuckDBConnection,
  where: Predicate,
  found: Found,
  options: CommitOptions,
): Promise<CommitResult> {
  const { signal } = options
  const removal = await removeFound(table, state, connection, where, found, signal)
  const { removed, ended, vectors, copied, rows } = removal
  if (removed.length === 0 && txnsOf(options).length === 0) return skipped(state.version)
  const changes = await keepingOnlyCommitted([vectors, copied], async () =>
    removal.mustBeTold ? writeChanges(table, state.metadata, connection, [await deletedRows(table, state, where, found)], signal) : NO_CHANGES,
  )
  return finish(
    table,
    {
      state,
      operation: 'DELETE',
      parameters: { predicate: JSON.stringify([where]) },
      metrics: {
        ...(Number.isNaN(rows) ? {} : { numDeletedRows: rows }),
        numCopiedRows: copied.rows,
        numRemovedFiles: ended.length,
        numAddedFiles: copied.adds.length,
        numRemovedBytes: bytes(ended),
        numAddedBytes: bytes(copied.adds),
        ...vectorMetrics(removed, vectors),
        numAddedChangeFiles: changes.files.length,
      },
      written: [vectors, copied, changes.written],
      removed,
      changes: changes.files,
      reads: found.reads,
      readFiles: found.candidates,
      blindAppend: false,
      rowsAdded: 0,
    },
    options,
  )
}

/** Files without the rows that were found; still nobody's. */
export interface Removal {
  /** What the commit removes: each file as it was. */
  readonly removed: readonly AddFile[]
  /** Those of them that do not come back with another vector. */
  readonly ended: readonly AddFile[]
  readonly vectors: Written
  /** Rows that stay, in files of their own. */
  readonly copied: Written
  /** How many rows go; NaN when no statistics tell. */
  readonly rows: number
  /** The table keeps a change feed, and the removed files do not tell of the change by themselves. */
  readonly mustBeTold: boolean
}

export async function removeFound(
  table: Table,
  state: TableState,
  connection: DuckDBConnection,
  where: Predicate,
  found: Found,
  signal: AbortSignal | undefined,
): Promise<Removal> {
  const { whole, partial } = wholeAndPartial(found.touched)
  const files = partial.map(({ file }) => file)
  const ended = [...found.certain, ...whole.map(({ file }) => file.file)]
  const cut = files.map(({ file }) => file)
  const common = {
    removed: [...ended, ...cut],
    rows: sum(found.certain.map(rowsIn)) + sum(found.touched.map(({ hits }) => hits)),
    mustBeTold: files.length > 0 && recordsChanges(state),
  }
  if (files.length === 0) return { ...common, ended, vectors: NOTHING_WRITTEN, copied: NOTHING_WRITTEN }
  if (writesVectors(state)) return { ...common, ended, vectors: await takenOut(table, connection, partial, found.hits, signal), copied: NOTHING_WRITTEN }
  const kept = `select * from (${scanSql(state, files)}) where (${where}\n) is not true`
  return {
    ...common,
    ended: common.removed,
    vectors: NOTHING_WRITTEN,
    copied: await writeRows(table.place, table.root, state.metadata, connection, kept, signal),
  }
}

/** The rows that go, for change data files: also those of whole files, since these speak for the commit alone. */
export async function deletedRows({ place, root }: Table, state: TableState, where: Predicate, found: Found): Promise<RowChange> {
  const files = [...(await localFiles(place, root, state, found.certain)), ...found.touched.map(({ file }) => file)]
  return { type: 'delete', sql: `select * from (${scanSql(state, files)}) where (${where}\n) is true` }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

function bytes(files: readonly AddFile[]): number {
  return sum(files.map(({ size }) => size))
}
