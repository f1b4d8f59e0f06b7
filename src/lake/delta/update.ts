/**
 * Update: gives columns new values in the rows for which a condition is true. Where the table has deletion vectors the old rows are taken
 * out of their files and the new ones written to files of their own; otherwise files with such rows are written anew, in their order.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid } from '../../base/index.ts'
import { txnsOf } from './commit.ts'
import { completedSql, generationOf } from './computed.ts'
import { checkStable } from './condition.ts'
import { alignInput, alreadyDone, existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import { checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import { NO_CHANGES, findRows, inOneMoment, recordsChanges, takenOut, vectorMetrics, wholeAndPartial, writeChanges, writesVectors } from './row-changes.ts'
import { scanSql } from './scan.ts'
import { duckType, type InputColumn } from './schema.ts'
import { identifier, temporary } from './sql.ts'
import type { Assignments, CommitResult, UpdateOptions } from './types.ts'
import { NOTHING_WRITTEN, writeError, writeRows } from './write.ts'

export async function update(table: Table, options: UpdateOptions): Promise<CommitResult> {
  const { root } = table
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  checkWritable(root, state.protocol, state.metadata, true)
  if (Object.keys(options.set).length === 0)
    throw invalid('lake.bad_option', `An update of ${root} sets no column`, {
      hint: "Name one with its new value as SQL, such as set: { price: 'price * 2' }.",
    })
  try {
    return await inOneMoment(table.place, async (connection) => {
      await checkStable(connection, root, Object.values(options.set))
      const values = await assignedValues(table, state, connection, options.set, `(${scanSql(state, [])}) t`)
      return updateRows(table, state, connection, values, options)
    })
  } catch (error) {
    options.signal?.throwIfAborted()
    throw writeError(root, error)
  }
}

async function updateRows(
  table: Table,
  state: TableState,
  connection: DuckDBConnection,
  values: ReadonlyMap<string, string>,
  options: UpdateOptions,
): Promise<CommitResult> {
  const { place, root } = table
  const { signal } = options
  const where = options.where ?? 'true'
  const found = await findRows(table, state, connection, where, { needsRows: true, hits: temporary('hits'), signal })
  const { whole, partial } = wholeAndPartial(found.touched)
  const removed = found.touched.map(({ file }) => file.file)
  if (removed.length === 0 && txnsOf(options).length === 0) return skipped(state.version)
  const rows = scanSql(
    state,
    found.touched.map(({ file }) => file),
  )
  const matching = `select * from (${rows}) where (${where}\n) is true`
  const withVectors = writesVectors(state)
  const updated = changedRows(state, values, null, matching)
  const vectors = withVectors ? await takenOut(table, connection, partial, found.hits, signal) : NOTHING_WRITTEN
  const written = await keepingOnlyCommitted([vectors], () =>
    writeRows(place, root, state.metadata, connection, withVectors ? updated : changedRows(state, values, where, rows), signal),
  )
  const changes = await keepingOnlyCommitted([vectors, written], () => {
    if (!recordsChanges(state) || removed.length === 0) return Promise.resolve(NO_CHANGES)
    return writeChanges(
      table,
      state.metadata,
      connection,
      [
        { type: 'update_preimage', sql: matching },
        { type: 'update_postimage', sql: updated },
      ],
      signal,
    )
  })
  const hits = found.touched.reduce((sum, one) => sum + one.hits, 0)
  return finish(
    table,
    {
      state,
      operation: 'UPDATE',
      parameters: { predicate: JSON.stringify([where]) },
      metrics: {
        numUpdatedRows: hits,
        numCopiedRows: written.rows - hits,
        numRemovedFiles: withVectors ? whole.length : removed.length,
        numAddedFiles: written.adds.length,
        ...vectorMetrics(removed, vectors),
        numAddedChangeFiles: changes.files.length,
      },
      written: [vectors, written, changes.written],
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

/**
 * SQL by column for the values that an assignment gives, of the columns' types; what cannot become one without loss is refused.
 * `from` names what the expressions are over, for their types.
 */
export async function assignedValues(
  table: Table,
  state: Pick<TableState, 'metadata'>,
  connection: DuckDBConnection,
  set: Assignments,
  from: string,
): Promise<Map<string, string>> {
  const sql = `select ${Object.entries(set)
    .map(([column, value]) => `(${value}\n) as ${identifier(column)}`)
    .join(', ')} from ${from}`
  const bySpelling = new Map(Object.entries(set).map(([column, value]) => [column.toLowerCase(), value]))
  if (bySpelling.size < Object.keys(set).length)
    throw invalid('lake.duplicate_column', `A column of ${table.root} is set twice: ${Object.keys(set).join(', ')}`, {
      hint: 'Set it once; upper and lower case count as the same name.',
    })
  const columns = await alignInput(table.root, state.metadata, { connection, sql })
  return new Map(
    columns.flatMap(({ field, sql: cast }) => {
      const value = bySpelling.get(field.name.toLowerCase())
      return cast === null || value === undefined ? [] : [[field.name, `cast((${value}\n) as ${duckType(field.type)})`]]
    }),
  )
}

/** The table's columns of some rows with new values, where `where` is true or everywhere; generated columns follow what they come from. */
function changedRows(state: TableState, values: ReadonlyMap<string, string>, where: string | null, from: string): string {
  const columns = state.metadata.fields.map((field): InputColumn => {
    const value = values.get(field.name)
    const old = identifier(field.name)
    if (value === undefined) return { field, sql: generationOf(field) === null ? old : null }
    return { field, sql: where === null ? value : `case when (${where}\n) then ${value} else ${old} end` }
  })
  return completedSql(columns, from)
}
