/**
 * Append and overwrite. An append reads nothing and so never conflicts with another; an overwrite reads what it replaces.
 * A write that would change nothing commits nothing, unless it has a txn to record.
 */
import { isDeepStrictEqual } from 'node:util'
import { invalid } from '../../base/index.ts'
import { alignInput, alreadyDone, existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import type { AddFile } from './actions.ts'
import { fileBounds, mayMatch } from './prune.ts'
import { checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import { FILE_COLUMN, localFiles, predicateTest, pruneFiles, scanSql } from './scan.ts'
import { checkFields, duckType, fieldsOfRelation, type InputColumn } from './schema.ts'
import { countOf, identifier, query, temporary } from './sql.ts'
import type { CommitOptions, CommitResult, CreateOptions, Metadata, Predicate, Relation } from './types.ts'
import { NOTHING_WRITTEN, writeError, writeRows, type Written } from './write.ts'

export async function append(table: Table, input: Relation, options: CommitOptions): Promise<CommitResult> {
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  checkWritable(table.root, state.protocol, state.metadata, false)
  const columns = await alignInput(table.root, state.metadata, input)
  const written = await writeRows(table.place, table.root, state.metadata, input.connection, inputSql(columns, input.sql), options.signal)
  if (written.rows === 0 && !options.txn) return skipped(state.version)
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

/** The table's columns from the input; what it lacks is null. */
function inputSql(columns: readonly InputColumn[], sql: string): string {
  return `select ${columns.map(({ field, sql: value }) => `${value ?? `null::${duckType(field.type)}`} as ${identifier(field.name)}`).join(', ')} from (${sql}\n)`
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
  const metadata = options.as
    ? metadataOfShape(table.root, state.metadata, options.as)
    : options.schema
      ? await metadataOfInput(table, state.metadata, input)
      : state.metadata
  const columns = await alignInput(table.root, metadata, input)
  const written = await writeRows(table.place, table.root, metadata, input.connection, inputSql(columns, input.sql), options.signal)
  const removed = await state.files.adds(state.files.at(state.version))
  const changed = metadata !== state.metadata
  if (written.rows === 0 && removed.length === 0 && !changed && !options.txn) return skipped(state.version)
  return finish(
    table,
    {
      state,
      operation: 'WRITE',
      parameters: { mode: 'Overwrite', partitionBy: metadata.partitionColumns },
      metrics: { numFiles: written.adds.length, numOutputRows: written.rows, numOutputBytes: bytesOf(written), numRemovedFiles: removed.length },
      written: [written],
      removed,
      ...(changed ? { metadata } : {}),
      reads: () => true,
      readFiles: removed,
      blindAppend: false,
      rowsAdded: written.rows,
    },
    options,
  )
}

/** The table's metadata with the input's columns; the same object when they are the table's already. */
async function metadataOfInput(table: Table, metadata: Metadata, input: Relation): Promise<Metadata> {
  const fields = await fieldsOfRelation(input).catch((error: unknown) => {
    throw writeError(table.root, error)
  })
  const signature = (list: Metadata['fields']): string => JSON.stringify(list.map(({ name, type }) => [name, type]))
  if (signature(fields) === signature(metadata.fields)) return metadata
  checkFields(table.root, fields, metadata.partitionColumns)
  const changed = { ...metadata, fields }
  return changed
}

/** The table's metadata in another shape; the same object when it has that shape already. */
function metadataOfShape(root: string, metadata: Metadata, { fields, partitionBy, description, configuration }: CreateOptions): Metadata {
  const shaped: Metadata = {
    ...metadata,
    fields,
    partitionColumns: partitionBy ?? [],
    configuration: { ...metadata.configuration, ...configuration },
    ...(description === undefined ? {} : { description }),
  }
  if (isDeepStrictEqual(shaped, metadata)) return metadata
  checkFields(root, fields, shaped.partitionColumns)
  return shaped
}

async function overwriteWhere(table: Table, state: TableState, input: Relation, where: Predicate, options: OverwriteOptions): Promise<CommitResult> {
  const { place, root } = table
  const { connection } = input
  if (options.schema || options.as)
    throw invalid('lake.bad_option', `An overwrite of ${root} with a condition cannot change its schema`, {
      hint: 'Leave out schema and as, or overwrite the whole table.',
    })
  checkWritable(root, state.protocol, state.metadata, true)
  const test = await predicateTest(connection, state, where)
  const columns = await alignInput(root, state.metadata, input)
  const rows = temporary('input')
  try {
    await query(connection, `create temp table ${rows} as ${inputSql(columns, input.sql)}`, options.signal)
    const outside = await countOf(connection, `select count(*) from temp.${rows} where (${where}\n) is not true`, options.signal)
    if (outside > 0)
      throw invalid('lake.outside_condition', `${outside} rows to write to ${root} do not match the condition of the overwrite: ${where}`, {
        hint: 'Filter the input by the same condition.',
      })
    const candidates = await pruneFiles(state, test)
    const { whole, partial } = await filesToReplace(table, state, candidates, where, input, options)
    const removed = [...whole, ...partial]
    const kept =
      partial.length === 0
        ? NOTHING_WRITTEN
        : await writeRows(
            place,
            root,
            state.metadata,
            connection,
            `select * from (${scanSql(state, await localFiles(place, root, state, partial))}) where (${where}\n) is not true`,
            options.signal,
          )
    const written = await keepingOnlyCommitted([kept], () => writeRows(place, root, state.metadata, connection, `select * from temp.${rows}`, options.signal))
    if (written.rows === 0 && removed.length === 0 && !options.txn) return skipped(state.version)
    const { fields, partitionColumns } = state.metadata
    return await finish(
      table,
      {
        state,
        operation: 'WRITE',
        parameters: { mode: 'Overwrite', partitionBy: partitionColumns, predicate: where },
        metrics: {
          numFiles: written.adds.length + kept.adds.length,
          numOutputRows: written.rows,
          numCopiedRows: kept.rows,
          numOutputBytes: bytesOf(written, kept),
          numRemovedFiles: removed.length,
        },
        written: [kept, written],
        removed,
        reads: (file) => mayMatch(test, fileBounds(fields, partitionColumns, file)),
        readFiles: candidates,
        blindAppend: false,
        rowsAdded: written.rows,
      },
      options,
    )
  } catch (error) {
    options.signal?.throwIfAborted()
    throw writeError(root, error)
  } finally {
    await connection.run(`drop table if exists temp.${rows}`)
  }
}

/** Of the candidates, those whose rows all match and those of which some rows stay. */
async function filesToReplace(
  table: Table,
  state: TableState,
  candidates: readonly AddFile[],
  where: Predicate,
  input: Relation,
  options: CommitOptions,
): Promise<{ whole: AddFile[]; partial: AddFile[] }> {
  const files = await localFiles(table.place, table.root, state, candidates)
  const reader = await query(
    input.connection,
    `select ${FILE_COLUMN}, count(*), count(*) filter (where (${where}\n) is true) from (${scanSql(state, files, true)}) group by 1`,
    options.signal,
  )
  const whole: AddFile[] = []
  const partial: AddFile[] = []
  const byPath = new Map(files.map((one) => [one.path, one.file]))
  for (const [path, all, matching] of reader.getRows()) {
    const file = byPath.get(String(path))
    if (file === undefined || Number(matching) === 0) continue
    if (matching === all) whole.push(file)
    else partial.push(file)
  }
  return { whole, partial }
}
