/**
 * Merge: an input's rows change a table's. By keys, rows with known keys are updated and the others inserted; by a condition, clauses say
 * what becomes of rows that match, that do not, and that nothing in the input matches. Only files with a row that changes are touched;
 * inserted rows go to files of their own, so a merge that only inserts is an append to whoever follows the table.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { closest, invalid } from '../../base/index.ts'
import { txnsOf } from './commit.ts'
import { declarationChange, settled, type Declared } from './declaration.ts'
import { clauseNumber, clausesOf, insertedSql, updatedSql, type Clauses } from './merge-clauses.ts'
import { keyRanges, rangesOf, targetTestOf, type KeyPair, type Sides } from './merge-ranges.ts'
import { alignInput, alreadyDone, existing, finish, keepingOnlyCommitted, skipped, type Table } from './operations.ts'
import { ANY, type Test } from './prune.ts'
import { checkWritable } from './protocol.ts'
import type { TableState } from './replay.ts'
import {
  NO_CHANGES,
  recordsChanges,
  takenOut,
  touchedFiles,
  vectorMetrics,
  wholeAndPartial,
  writeChanges,
  writesVectors,
  type RowChange,
  type WrittenChanges,
} from './row-changes.ts'
import { AT_COLUMN, fileTest, localFiles, pruneFiles, scanSql } from './scan.ts'
import { duckType, fieldsOfRelation, type InputColumn } from './schema.ts'
import { countOf, identifier, query, temporary } from './sql.ts'
import type { CommitResult, DeltaField, MergeByCondition, MergeByKeys, MergeOptions, Predicate, Relation } from './types.ts'
import { assignedValues } from './update.ts'
import { NOTHING_WRITTEN, writeError, writeRows, type Written } from './write.ts'

/** A row's place in the staged input. */
const ROW = '__lagoa_row'
/** Of a row that changes: its place in the table, the clause that applies, and the input's row that it applies for. */
const ACT = '__lagoa_act'
const CLAUSE = '__lagoa_clause'

/** What a merge of either kind comes to. */
interface Plan {
  readonly on: Predicate
  readonly clauses: Clauses
  /** The table as it is afterwards: it may take new columns. */
  readonly target: TableState
  /** What can be said of files without reading them, for rows that match and for rows that nothing matches. */
  readonly test: Test
  /** A row of the table matches at most one of the input. */
  readonly unique: boolean
  /** The condition, for the table's history. */
  readonly predicate: string
}

export async function merge(table: Table, input: Relation, options: MergeOptions): Promise<CommitResult> {
  const { root } = table
  const { connection } = input
  const state = await existing(table)
  const done = alreadyDone(state, options)
  if (done) return done
  checkWritable(root, state.protocol, state.metadata, false)
  const temp = { source: temporary('source'), hits: temporary('hits'), acts: temporary('acts'), updated: temporary('updated'), inserted: temporary('inserted') }
  try {
    const plan =
      'keys' in options ? await planByKeys(table, state, input, temp.source, options) : await planByCondition(table, state, input, temp.source, options)
    return await run(table, state, connection, temp, plan, options)
  } catch (error) {
    options.signal?.throwIfAborted()
    throw writeError(root, error)
  } finally {
    for (const name of Object.values(temp)) await connection.run(`drop table if exists temp.${name}`)
  }
}

async function planByKeys(table: Table, state: TableState, input: Relation, source: string, options: MergeByKeys): Promise<Plan> {
  const { root } = table
  const { connection } = input
  const columns = (await alignInput(root, state.metadata, input)).filter((column) => column.sql !== null)
  const keys = keyFields(root, columns, options.keys)
  await stage(
    connection,
    source,
    `select ${columns.map(({ field, sql }) => `${sql ?? 'null'} as ${identifier(field.name)}`).join(', ')} from (${input.sql}\n)`,
    options.signal,
  )
  await settleDuplicates(root, connection, source, keys, options)
  const values = new Map(columns.map(({ field }) => [field.name, `s.${identifier(field.name)}`]))
  return {
    on: keys.map((key) => `t.${identifier(key.name)} is not distinct from s.${identifier(key.name)}`).join(' and '),
    clauses: { matched: [{ and: null, action: 'update', values }], notMatched: [{ and: null, action: 'insert', values }], notMatchedBySource: [] },
    target: state,
    test: await keyRanges(
      connection,
      source,
      keys.map((field): KeyPair => ({ field, source: field.name })),
    ),
    unique: true,
    predicate: keys.map((key) => `t.${identifier(key.name)} <=> s.${identifier(key.name)}`).join(' AND '),
  }
}

async function planByCondition(table: Table, state: TableState, input: Relation, source: string, options: MergeByCondition): Promise<Plan> {
  const { root } = table
  const { connection } = input
  const given = await fieldsOfRelation(input)
  const declared = options.schema === true ? widened(root, state, given) : state
  const target: TableState = { ...state, ...declared }
  await stage(connection, source, `select * from (${input.sql}\n)`, options.signal)
  const sides: Sides = { target: target.metadata.fields, source: given }
  const t = `(${scanSql(target, [])}) t`
  const s = `(select * exclude (${ROW}) from temp.${source} limit 0) s`
  const over = { both: `${t}, ${s}`, t, s }
  const clauses = await clausesOf(root, options, async (assigned, which) =>
    assigned === 'all'
      ? sameNames(await alignInput(root, target.metadata, { connection, sql: `select * from ${s}` }))
      : assignedValues(table, target, connection, assigned, over[which]),
  )
  const { keys, target: said } = await rangesOf(connection, options.on, sides)
  const matching: Test = { kind: 'and', of: [await keyRanges(connection, source, keys), said] }
  const alone: Test[] = []
  for (const { and } of clauses.notMatchedBySource) alone.push(and === null ? ANY : await targetTestOf(connection, and, sides))
  return {
    on: `(${options.on}\n)`,
    clauses,
    target,
    test: alone.length === 0 ? matching : { kind: 'or', of: [matching, ...alone] },
    unique: false,
    predicate: options.on,
  }
}

/** The table with the columns that only the input has. */
function widened(root: string, state: TableState, given: readonly DeltaField[]): Declared {
  const known = new Set(state.metadata.fields.map(({ name }) => name.toLowerCase()))
  const added = given.filter(({ name }) => !known.has(name.toLowerCase())).map((field) => ({ ...field, nullable: true }))
  return added.length === 0 ? state : settled(root, state, { ...state.metadata, fields: [...state.metadata.fields, ...added] })
}

/** The input's columns for the table's of the same names. */
function sameNames(columns: readonly InputColumn[]): Map<string, string> {
  return new Map(columns.flatMap(({ field, sql }) => (sql === null ? [] : [[field.name, `cast(s.${identifier(field.name)} as ${duckType(field.type)})`]])))
}

/** The input's rows with their numbers, so that each is computed once. */
async function stage(connection: DuckDBConnection, source: string, sql: string, signal: AbortSignal | undefined): Promise<void> {
  await query(connection, `create temp table ${source} as select *, row_number() over () as ${ROW} from (${sql})`, signal)
}

async function run(table: Table, state: TableState, connection: DuckDBConnection, temp: Temporaries, plan: Plan, options: MergeOptions): Promise<CommitResult> {
  const { place, root } = table
  const { signal } = options
  const { target, clauses } = plan
  const sourceRows = await countOf(connection, `select count(*) from temp.${temp.source}`, signal)
  const candidates = sourceRows === 0 && clauses.notMatchedBySource.length === 0 ? [] : await pruneFiles(target, plan.test)
  const files = await localFiles(place, root, target, candidates)
  const acts = await findActs(root, connection, temp, plan, scanSql(target, files, true), signal)
  const touched = await touchedFiles(connection, files, acts, signal)
  if (touched.length > 0) checkWritable(root, target.protocol, target.metadata, true)
  const { whole, partial } = wholeAndPartial(touched)
  const removed = touched.map(({ file }) => file.file)
  const rows = changedRows(
    temp,
    acts,
    plan,
    scanSql(
      target,
      touched.map(({ file }) => file),
      true,
    ),
  )
  const feed = recordsChanges(target) && touched.length > 0
  if (feed) {
    await query(connection, `create temp table ${temp.updated} as ${rows.updated}`, signal)
    await query(connection, `create temp table ${temp.inserted} as ${rows.inserted}`, signal)
  }
  const [updated, inserted] = feed ? [`select * from temp.${temp.updated}`, `select * from temp.${temp.inserted}`] : [rows.updated, rows.inserted]
  const write = (sql: string): Promise<Written> => writeRows(place, root, target.metadata, connection, sql, signal)
  const withVectors = writesVectors(target)
  const written: Written[] = []
  let changes: WrittenChanges = NO_CHANGES
  await keepingOnlyCommitted(written, async () => {
    // One after the other, so that each is known when the next one fails.
    written.push(withVectors ? await takenOut(table, connection, partial, acts, signal) : NOTHING_WRITTEN)
    const rewritten = withVectors ? updated : feed ? `${rows.untouched} union all by name ${updated}` : rows.rewritten
    written.push(touched.length > 0 ? await write(rewritten) : NOTHING_WRITTEN)
    written.push(clauses.notMatched.length > 0 ? await write(inserted) : NOTHING_WRITTEN)
    if (feed) {
      const told: RowChange[] = [
        { type: 'update_preimage', sql: rows.before('update') },
        { type: 'update_postimage', sql: updated },
        { type: 'delete', sql: rows.before('delete') },
        { type: 'insert', sql: inserted },
      ]
      changes = await writeChanges(table, target.metadata, connection, told, signal)
      written.push(changes.written)
    }
  })
  const [vectors = NOTHING_WRITTEN, rewritten = NOTHING_WRITTEN, news = NOTHING_WRITTEN] = written
  const change = declarationChange(state, target)
  if (touched.length === 0 && news.rows === 0 && Object.keys(change).length === 0 && txnsOf(options).length === 0) return skipped(state.version)
  const counts = await countActs(connection, acts, clauses)
  return finish(
    table,
    {
      state,
      operation: 'MERGE',
      parameters: parametersOf(plan),
      metrics: {
        numSourceRows: sourceRows,
        numTargetRowsInserted: news.rows,
        ...counts,
        numTargetRowsCopied: withVectors ? 0 : touched.reduce((sum, one) => sum + one.rows - one.hits, 0),
        numOutputRows: rewritten.rows + news.rows,
        numTargetFilesAdded: rewritten.adds.length + news.adds.length,
        numTargetFilesRemoved: withVectors ? whole.length : removed.length,
        numTargetDeletionVectorsAdded: vectors.adds.length,
        numTargetDeletionVectorsUpdated: vectorMetrics(removed, vectors).numDeletionVectorsUpdated ?? 0,
        numTargetDeletionVectorsRemoved: vectorMetrics(removed, vectors).numDeletionVectorsRemoved ?? 0,
        numTargetChangeFilesAdded: changes.files.length,
      },
      written,
      removed,
      changes: changes.files,
      ...change,
      reads: fileTest(target.metadata, plan.test),
      readFiles: candidates,
      blindAppend: false,
      rowsAdded: news.rows,
    },
    options,
  )
}

/** Names of temporary tables. */
type Temporaries = Readonly<Record<'source' | 'hits' | 'acts' | 'updated' | 'inserted', string>>

/**
 * Joins the table with the input into `hits` (every match, whether a clause applies or not) and answers the table with the rows that
 * change, each once.
 */
async function findActs(
  root: string,
  connection: DuckDBConnection,
  temp: Temporaries,
  plan: Plan,
  scan: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { matched, notMatchedBySource } = plan.clauses
  await query(
    connection,
    `create temp table ${temp.hits} as select t.${AT_COLUMN} as row_at, s.${ROW} as source_row, ${clauseNumber(matched)} as clause from (${scan}) t join temp.${temp.source} s on ${plan.on}`,
    signal,
  )
  if (isPlainUpsert(plan)) return temp.hits
  const deletesAll = matched.length === 1 && matched[0]?.action === 'delete' && matched[0].and === null
  if (!deletesAll) {
    const twice = await countOf(
      connection,
      `select count(*) from (select row_at from temp.${temp.hits} where clause is not null group by row_at having count(*) > 1 limit 1)`,
      signal,
    )
    if (twice > 0)
      throw invalid('lake.ambiguous_merge', `More than one input row of the merge into ${root} would change the same row of the table`, {
        hint: 'Keep one of them in the query, or let only one match by the conditions of the merge.',
      })
  }
  await query(
    connection,
    `create temp table ${temp.acts} as select row_at, clause, min(source_row) as source_row from temp.${temp.hits} where clause is not null group by all`,
    signal,
  )
  if (notMatchedBySource.length > 0)
    await query(
      connection,
      `insert into ${temp.acts} select row_at, clause, null from (select t.${AT_COLUMN} as row_at, ${clauseNumber(notMatchedBySource, matched.length)} as clause from (${scan}) t anti join temp.${temp.hits} h on h.row_at = t.${AT_COLUMN}) where clause is not null`,
      signal,
    )
  return temp.acts
}

/** Every match is an update, of one input row each: what changes is told by the join itself. */
function isPlainUpsert({ clauses: { matched, notMatchedBySource }, unique }: Plan): boolean {
  return unique && matched.length === 1 && matched[0]?.action === 'update' && matched[0].and === null && notMatchedBySource.length === 0
}

/** The rows of a merge as SQL: `scan` reads the files that are touched, with the places of their rows. */
interface ChangedRows {
  /** Rows as they are after an update. */
  readonly updated: string
  /** All rows of the files that stay, updated or not, in their order. */
  readonly rewritten: string
  /** Rows that no clause changes. */
  readonly untouched: string
  readonly inserted: string
  /** Rows as they were before. */
  before(action: 'update' | 'delete'): string
}

function changedRows(temp: Temporaries, acts: string, plan: Plan, scan: string): ChangedRows {
  const { fields } = plan.target.metadata
  const { matched, notMatched, notMatchedBySource } = plan.clauses
  const changing = [...matched, ...notMatchedBySource]
  const numbers = (action: 'update' | 'delete'): string => [-1, ...changing.flatMap((clause, i) => (clause.action === action ? [i] : []))].join(', ')
  const columns = fields.map(({ name }) => `t.${identifier(name)}`).join(', ')
  const act = `(select row_at as ${ACT}, clause as ${CLAUSE}, source_row as ${ACT}_row from temp.${acts}) a on a.${ACT} = t.${AT_COLUMN}`
  const plain = isPlainUpsert(plan)
  // What is over the table's rows alone is evaluated before the input's are joined, where its names mean these rows.
  const alone = notMatchedBySource.flatMap(({ values }, i) =>
    [...values].map(([column, value]) => ({
      clause: matched.length + i,
      column,
      value,
      name: `${ACT}_${matched.length + i}_${fields.findIndex(({ name }) => name === column)}`,
    })),
  )
  const early = alone.map(({ clause, value, name }) => `, case a.${CLAUSE} when ${clause} then ${value} end as ${name}`).join('')
  const settledClauses = changing.map((clause, i) =>
    i < matched.length ? clause : { ...clause, values: new Map(alone.filter((one) => one.clause === i).map(({ column, name }) => [column, `t.${name}`])) },
  )
  const joined = (kind: 'join' | 'left join'): string =>
    plain
      ? `(${scan}) t ${kind} temp.${temp.source} s on ${plan.on}`
      : `(select t.*, a.${CLAUSE}, a.${ACT}_row${early} from (${scan}) t ${kind} ${act}) t left join temp.${temp.source} s on s.${ROW} = t.${ACT}_row`
  const number = plain ? `case when s.${ROW} is not null then 0 end` : `t.${CLAUSE}`
  const unmatched = `temp.${temp.source} s anti join temp.${temp.hits} h on h.source_row = s.${ROW}`
  const [first] = notMatched
  const inserts =
    notMatched.length === 1 && first?.and === null
      ? [insertedSql(fields, first, `${unmatched} order by s.${ROW}`)]
      : notMatched.map((clause, i) =>
          insertedSql(fields, clause, `(select s.*, ${clauseNumber(notMatched)} as ${CLAUSE} from ${unmatched}) s where s.${CLAUSE} = ${i} order by s.${ROW}`),
        )
  const none = `select ${columns} from (${scan}) t where false`
  return {
    updated: updatedSql(fields, settledClauses, number, `${joined('join')}${plain ? '' : ` where t.${CLAUSE} in (${numbers('update')})`}`),
    rewritten: updatedSql(
      fields,
      settledClauses,
      number,
      `${joined('left join')}${plain ? '' : ` where t.${CLAUSE} is null or t.${CLAUSE} in (${numbers('update')})`}`,
    ),
    untouched: `select ${columns} from (${scan}) t anti join temp.${acts} a on a.row_at = t.${AT_COLUMN}`,
    inserted: inserts.length === 0 ? none : inserts.map((sql) => `select * from (${sql})`).join(' union all '),
    before: (action) => `select ${columns} from (${scan}) t join ${act} where a.${CLAUSE} in (${numbers(action)})`,
  }
}

/** How many rows each kind of clause changed, as Spark counts them. */
async function countActs(connection: DuckDBConnection, acts: string, { matched, notMatchedBySource }: Clauses): Promise<Record<string, number>> {
  const reader = await query(connection, `select clause, count(*) from temp.${acts} group by 1`)
  const byClause = new Map(reader.getRows().map(([clause, count]) => [Number(clause), Number(count)]))
  const count = (bySource: boolean, action: 'update' | 'delete'): number =>
    (bySource ? notMatchedBySource : matched).reduce(
      (sum, clause, i) => sum + (clause.action === action ? (byClause.get(i + (bySource ? matched.length : 0)) ?? 0) : 0),
      0,
    )
  const [updated, deleted, updatedBySource, deletedBySource] = [count(false, 'update'), count(false, 'delete'), count(true, 'update'), count(true, 'delete')]
  return {
    numTargetRowsUpdated: updated + updatedBySource,
    numTargetRowsDeleted: deleted + deletedBySource,
    numTargetRowsMatchedUpdated: updated,
    numTargetRowsMatchedDeleted: deleted,
    numTargetRowsNotMatchedBySourceUpdated: updatedBySource,
    numTargetRowsNotMatchedBySourceDeleted: deletedBySource,
  }
}

function parametersOf({ predicate, clauses: { matched, notMatched, notMatchedBySource } }: Plan): Readonly<Record<string, unknown>> {
  const told = (clauses: Clauses['matched']): unknown[] =>
    clauses.map(({ and, action }) => ({ ...(and === null ? {} : { predicate: and }), actionType: action }))
  return {
    predicate: [predicate],
    matchedPredicates: told(matched),
    notMatchedPredicates: told(notMatched),
    notMatchedBySourcePredicates: told(notMatchedBySource),
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

async function settleDuplicates(root: string, connection: DuckDBConnection, source: string, keys: readonly DeltaField[], options: MergeByKeys): Promise<void> {
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
