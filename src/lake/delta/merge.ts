/**
 * Merge by key: rows with known keys are updated, the others inserted. Only files that hold a matching row are rewritten; inserted rows
 * go to files of their own, so a merge that only inserts is an append to whoever follows the table.
 */
import { closest, invalid } from '../../base/index.ts'
import { alignInput, alreadyDone, existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import { fileBounds, mayMatch, rangeTest, type Test } from './prune.ts'
import { checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import { FILE_COLUMN, localFiles, pruneFiles, scanSql } from './scan.ts'
import { duckType, type InputColumn } from './schema.ts'
import { countOf, identifier, query, temporary } from './sql.ts'
import type { CommitOptions, CommitResult, DeltaField, Relation } from './types.ts'
import { NOTHING_WRITTEN, writeError, writeRows, type Written } from './write.ts'
import type { DuckDBConnection } from '@duckdb/node-api'

export interface MergeOptions extends CommitOptions {
  readonly keys: readonly string[]
  readonly duplicates?: 'error' | 'last'
}

/** A row's place in the staged input. */
const ROW = '__lagoa_row'

export async function merge(table: Table, input: Relation, options: MergeOptions): Promise<CommitResult> {
  const { place, root } = table
  const { connection } = input
  const { signal } = options
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  checkWritable(root, state.protocol, state.metadata, false)
  const columns = (await alignInput(root, state.metadata, input)).filter((column) => column.sql !== null)
  const keys = keyFields(root, columns, options.keys)
  const source = temporary('source')
  const hits = temporary('hits')
  try {
    await query(
      connection,
      `create temp table ${source} as select ${columns.map(({ field, sql }) => `${sql ?? 'null'} as ${identifier(field.name)}`).join(', ')} from (${input.sql}\n)`,
      signal,
    )
    await settleDuplicates(root, connection, source, keys, options)
    const test = await keyRanges(connection, source, keys)
    const sourceRows = await countOf(connection, `select count(*) from temp.${source}`)
    const candidates = sourceRows === 0 ? [] : await pruneFiles(state, test)
    const files = await localFiles(place, root, state, candidates)
    const on = keys.map((key) => `t.${identifier(key.name)} is not distinct from s.${identifier(key.name)}`).join(' and ')
    const rows = `(select *, rowid as ${ROW} from temp.${source})`
    await query(
      connection,
      `create temp table ${hits} as select t.${FILE_COLUMN} as file, s.${ROW} as source_row from (${scanSql(state, files, true)}) t join ${rows} s on ${on}`,
      signal,
    )
    const touched = new Set((await query(connection, `select distinct file from temp.${hits}`)).getRows().map(([file]) => String(file)))
    const updated = await countOf(connection, `select count(*) from temp.${hits}`)
    const rewriteFiles = files.filter(({ path }) => touched.has(path))
    const removed = rewriteFiles.map(({ file }) => file)
    if (removed.length > 0) checkWritable(root, state.protocol, state.metadata, true)
    const rewritten: Written =
      removed.length === 0
        ? NOTHING_WRITTEN
        : await writeRows(
            place,
            root,
            state.metadata,
            connection,
            `select ${updatedColumns(state, columns)} from (${scanSql(state, rewriteFiles)}) t left join ${rows} s on ${on}`,
            signal,
          )
    const inserted = await keepingOnlyCommitted([rewritten], () =>
      writeRows(
        place,
        root,
        state.metadata,
        connection,
        `select ${insertedColumns(state, columns)} from ${rows} s where ${ROW} not in (select source_row from temp.${hits}) order by ${ROW}`,
        signal,
      ),
    )
    if (rewritten.rows === 0 && inserted.rows === 0 && !options.txn) return skipped(state.version)
    const { fields, partitionColumns } = state.metadata
    return await finish(
      table,
      {
        state,
        operation: 'MERGE',
        parameters: {
          predicate: keys.map((key) => `t.${identifier(key.name)} <=> s.${identifier(key.name)}`).join(' AND '),
          matchedPredicates: [{ actionType: 'update' }],
          notMatchedPredicates: [{ actionType: 'insert' }],
        },
        metrics: {
          numSourceRows: sourceRows,
          numTargetRowsInserted: inserted.rows,
          numTargetRowsUpdated: updated,
          numTargetRowsDeleted: 0,
          numTargetRowsCopied: rewritten.rows - updated,
          numOutputRows: rewritten.rows + inserted.rows,
          numTargetFilesAdded: rewritten.adds.length + inserted.adds.length,
          numTargetFilesRemoved: removed.length,
        },
        written: [rewritten, inserted],
        removed,
        reads: (file) => mayMatch(test, fileBounds(fields, partitionColumns, file)),
        readFiles: candidates,
        blindAppend: false,
        rowsAdded: inserted.rows,
      },
      options,
    )
  } catch (error) {
    signal?.throwIfAborted()
    throw writeError(root, error)
  } finally {
    await connection.run(`drop table if exists temp.${hits}`)
    await connection.run(`drop table if exists temp.${source}`)
  }
}

function keyFields(root: string, columns: readonly InputColumn[], keys: readonly string[]): DeltaField[] {
  if (keys.length === 0)
    throw invalid('lake.bad_key', `A merge into ${root} needs at least one key column`, {
      hint: 'Name the columns that tell rows apart, such as keys: ["id"].',
    })
  return keys.map((key) => {
    const found = columns.find(({ field }) => field.name.toLowerCase() === key.toLowerCase())
    if (found && typeof found.field.type === 'string') return found.field
    const near = closest(
      key,
      columns.map(({ field }) => field.name),
    )
    throw invalid('lake.bad_key', `The key column ${key} of the merge into ${root} is ${found ? 'nested' : 'not a column of both the table and the input'}`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The input has ${columns.map(({ field }) => field.name).join(', ')}.`,
    })
  })
}

async function settleDuplicates(root: string, connection: DuckDBConnection, source: string, keys: readonly DeltaField[], options: MergeOptions): Promise<void> {
  const list = keys.map((key) => identifier(key.name)).join(', ')
  if (options.duplicates === 'last') {
    await query(connection, `delete from temp.${source} where rowid not in (select max(rowid) from temp.${source} group by ${list})`, options.signal)
    return
  }
  const twice = (
    await query(connection, `select ${list}, count(*) from temp.${source} group by ${list} having count(*) > 1 limit 1`, options.signal)
  ).getRowsJson()[0]
  if (!twice) return
  const count = twice.at(-1)
  const shown = keys.map((key, i) => `${key.name} = ${String(twice[i])}`).join(', ')
  throw invalid('lake.duplicate_key', `The input of the merge into ${root} has ${String(count)} rows with ${shown}`, {
    hint: "Keep one of them in the query, or merge with duplicates: 'last'.",
  })
}

/** The ranges that the input's keys span: files outside cannot hold a match. */
async function keyRanges(connection: DuckDBConnection, source: string, keys: readonly DeltaField[]): Promise<Test> {
  const measures = keys.map(
    (key) => `min(${identifier(key.name)})::varchar, max(${identifier(key.name)})::varchar, count(*) filter (where ${identifier(key.name)} is null)`,
  )
  const row = (await query(connection, `select ${measures.join(', ')} from temp.${source}`)).getRows()[0] ?? []
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
  return { kind: 'and', of: keys.map((key, i) => rangeTest(key, text(row[3 * i]), text(row[3 * i + 1]), Number(row[3 * i + 2]) > 0)) }
}

/** Columns that the input lacks keep their value. */
function updatedColumns(state: TableState, columns: readonly InputColumn[]): string {
  const given = new Set(columns.map(({ field }) => field.name))
  return state.metadata.fields
    .map(({ name }) =>
      given.has(name) ? `case when s.${ROW} is null then t.${identifier(name)} else s.${identifier(name)} end as ${identifier(name)}` : `t.${identifier(name)}`,
    )
    .join(', ')
}

function insertedColumns(state: TableState, columns: readonly InputColumn[]): string {
  const given = new Set(columns.map(({ field }) => field.name))
  return state.metadata.fields.map(({ name, type }) => (given.has(name) ? identifier(name) : `null::${duckType(type)} as ${identifier(name)}`)).join(', ')
}
