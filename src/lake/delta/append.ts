/**
 * Append and overwrite. An append reads nothing and so never conflicts with another; an overwrite reads what it replaces.
 * A write that would change nothing commits nothing, unless it has a txn to record.
 */
import { isDeepStrictEqual } from 'node:util'
import { invalid } from '../../base/index.ts'
import { fitsAsFile } from './adopt.ts'
import { alignInput, alreadyDone, existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import { txnsOf } from './commit.ts'
import { completedSql } from './computed.ts'
import { declarationChange, declaredAs, settled, type Declared } from './declaration.ts'
import { deletedRows, removeFound } from './delete.ts'
import { checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import { NO_CHANGES, findRows, vectorMetrics, writeChanges } from './row-changes.ts'
import { fieldsOfRelation } from './schema.ts'
import { countOf, query, temporary } from './sql.ts'
import type { CommitOptions, CommitResult, CreateOptions, DeltaField, Predicate, Relation } from './types.ts'
import { writeError, writeRows, type Written } from './write.ts'

export async function append(table: Table, input: Relation, options: CommitOptions): Promise<CommitResult> {
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  checkWritable(table.root, state.protocol, state.metadata, false)
  const columns = await alignInput(table.root, state.metadata, input)
  const rows = input.parquet && (await fitsAsFile(state.metadata, input)) ? input.parquet : completedSql(columns, input.sql)
  const written = await writeRows(table.place, table.root, state.metadata, input.connection, rows, options.signal)
  if (written.rows === 0 && txnsOf(options).length === 0) return skipped(state.version)
  return finish(
    table,
    {
      state,
      operation: 'WRITE',
      parameters: { mode: 'Append', partitionBy: state.metadata.partitionColumns },
      metrics: { numFiles: written.adds.length, numOutputRows: written.rows, numOutputBytes: bytesOf(written) },
      written: [written],
      removed: [],
      reads: () => false,
      readFiles: [],
      blindAppend: true,
      rowsAdded: written.rows,
    },
    options,
  )
}

function bytesOf(...written: Written[]): number {
  return written.flatMap((one) => one.adds).reduce((sum, add) => sum + add.size, 0)
}

export interface OverwriteOptions extends CommitOptions {
  readonly where?: Predicate
  readonly schema?: boolean
  readonly as?: CreateOptions
}

export async function overwrite(table: Table, input: Relation, options: OverwriteOptions): Promise<CommitResult> {
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  if (options.where !== undefined) return overwriteWhere(table, state, input, options.where, options)
  checkWritable(table.root, state.protocol, state.metadata, true)
  const declared = options.as ? shaped(table.root, state, options.as) : options.schema ? await ofInput(table, state, input) : state
  const { metadata } = declared
  const columns = await alignInput(table.root, metadata, input)
  const written = await writeRows(table.place, table.root, metadata, input.connection, completedSql(columns, input.sql), options.signal)
  const removed = await state.files.adds(state.files.at(state.version))
  const changed = declared.metadata !== state.metadata || declared.protocol !== state.protocol
  if (written.rows === 0 && removed.length === 0 && !changed && txnsOf(options).length === 0) return skipped(state.version)
  return finish(
    table,
    {
      state,
      operation: 'WRITE',
      parameters: { mode: 'Overwrite', partitionBy: metadata.partitionColumns },
      metrics: { numFiles: written.adds.length, numOutputRows: written.rows, numOutputBytes: bytesOf(written), numRemovedFiles: removed.length },
      written: [written],
      removed,
      ...declarationChange(state, declared),
      reads: () => true,
      readFiles: removed,
      blindAppend: false,
      rowsAdded: written.rows,
    },
    options,
  )
}

/** The table with the input's columns, without expressions of columns that it had; unchanged when they are its own already. */
async function ofInput(table: Table, state: TableState, input: Relation): Promise<Declared> {
  const fields = await fieldsOfRelation(input, state.metadata.fields).catch((error: unknown) => {
    throw writeError(table.root, error)
  })
  const signature = (list: readonly DeltaField[]): string => JSON.stringify(list.map(({ name, type }) => [name, shapeText(type)]))
  if (signature(fields) === signature(state.metadata.fields)) return state
  return settled(table.root, state, { ...state.metadata, fields })
}

/** A type without what a mapping says of its fields. */
function shapeText(type: DeltaField['type']): string {
  return JSON.stringify(type, (key, value: unknown) => (key === 'metadata' ? undefined : value))
}

/** The table in another shape; unchanged when it has that shape already. */
function shaped(root: string, state: TableState, as: CreateOptions): Declared {
  const declared = declaredAs(root, state, as)
  return isDeepStrictEqual(declared.metadata, state.metadata) && declared.protocol === state.protocol ? state : declared
}

async function overwriteWhere(table: Table, state: TableState, input: Relation, where: Predicate, options: OverwriteOptions): Promise<CommitResult> {
  const { place, root } = table
  const { connection } = input
  if (options.schema || options.as)
    throw invalid('lake.bad_option', `An overwrite of ${root} with a condition cannot change its schema`, {
      hint: 'Leave out schema and as, or overwrite the whole table.',
    })
  checkWritable(root, state.protocol, state.metadata, true)
  const columns = await alignInput(root, state.metadata, input)
  const rows = temporary('input')
  const hits = temporary('hits')
  try {
    await query(connection, `create temp table ${rows} as ${completedSql(columns, input.sql)}`, options.signal)
    const outside = await countOf(connection, `select count(*) from temp.${rows} where (${where}\n) is not true`, options.signal)
    if (outside > 0)
      throw invalid('lake.outside_condition', `${outside} rows to write to ${root} do not match the condition of the overwrite: ${where}`, {
        hint: 'Filter the input by the same condition.',
      })
    const found = await findRows(table, state, connection, where, { needsRows: false, hits, signal: options.signal })
    const removal = await removeFound(table, state, connection, where, found, options.signal)
    const { removed, ended, vectors, copied } = removal
    const news = `select * from temp.${rows}`
    const written = await keepingOnlyCommitted([vectors, copied], () => writeRows(place, root, state.metadata, connection, news, options.signal))
    if (written.rows === 0 && removed.length === 0 && txnsOf(options).length === 0) return skipped(state.version)
    const changes = await keepingOnlyCommitted([vectors, copied, written], async () => {
      if (!removal.mustBeTold) return NO_CHANGES
      return writeChanges(table, state.metadata, connection, [await deletedRows(table, state, where, found), { type: 'insert', sql: news }], options.signal)
    })
    const { partitionColumns } = state.metadata
    return await finish(
      table,
      {
        state,
        operation: 'WRITE',
        parameters: { mode: 'Overwrite', partitionBy: partitionColumns, predicate: where },
        metrics: {
          numFiles: written.adds.length + copied.adds.length,
          numOutputRows: written.rows,
          numCopiedRows: copied.rows,
          numOutputBytes: bytesOf(written, copied),
          numRemovedFiles: ended.length,
          ...vectorMetrics(removed, vectors),
          numAddedChangeFiles: changes.files.length,
        },
        written: [vectors, copied, written, changes.written],
        removed,
        changes: changes.files,
        reads: found.reads,
        readFiles: found.candidates,
        blindAppend: false,
        rowsAdded: written.rows,
      },
      options,
    )
  } catch (error) {
    options.signal?.throwIfAborted()
    throw writeError(root, error)
  } finally {
    for (const name of [rows, hits]) await connection.run(`drop table if exists temp.${name}`)
  }
}
