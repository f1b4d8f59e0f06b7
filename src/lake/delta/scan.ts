/**
 * Scanning: SQL that reads some data files of a table as rows of its schema. A column that a file lacks is null, columns that the
 * schema does not know are left out, partition columns come from the log.
 */
import { missing, LagoaError } from '../../base/index.ts'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { AddFile, PartitionValues } from './actions.ts'
import { mustMatch } from './certain.ts'
import { readVector } from './deletions.ts'
import { listOf, isObject, type JsonObject } from './json.ts'
import { checkIds, renamed, storedFields, storedPartitions } from './mapping.ts'
import { dataPath } from './paths.ts'
import { ANY, fileBounds, mayMatch, testFrom, type Test } from './prune.ts'
import { pruneSql } from './prune-sql.ts'
import type { TableState } from './replay.ts'
import { selectionSql, type Selection } from './row-set.ts'
import { duckType } from './schema.ts'
import { fileList, identifier, literal, query, valueAtSql } from './sql.ts'
import { mentionsAll, parseStats } from './stats.ts'
import type { Metadata, Place, Predicate } from './types.ts'
import { changedKind, hasChangedTypes, storedShapes } from './widening.ts'
import { partitionLiteral } from './write.ts'

/** Files fetched at once. */
const FETCHES = 32

/** A column with each row's place, for writes that must know which rows of which files they touch: `fileAt` and `rowAt` take it apart. */
export const AT_COLUMN = '__lagoa_at'

const FILE_SHIFT = 40

/** SQL for the number, in what was scanned, of the file that holds the row at a place. */
export function fileAt(at: string): string {
  return `(${at} >> ${FILE_SHIFT})::integer`
}

/** SQL for a row's position in its file. */
export function rowAt(at: string): string {
  return `(${at} & ${2 ** FILE_SHIFT - 1})::bigint`
}

export interface LocalFile {
  readonly file: AddFile
  /** Its number among those that were made local together; the places of its rows hold it. */
  readonly number: number
  /** Where it lies on this machine. */
  readonly path: string
  /** Which of its rows are read; null for all. */
  readonly selection: Selection | null
  /** The types that it stores, where the table's have changed: files that store others are read apart, since one scan has one type. */
  readonly shape: string
}

/** Makes data files local. A file that the log names and the store does not have is an error that says so. */
export async function localFiles(place: Place, root: string, state: TableState, files: readonly AddFile[]): Promise<LocalFile[]> {
  const local: Omit<LocalFile, 'shape'>[] = []
  for (let start = 0; start < files.length; start += FETCHES) {
    const fetched = files.slice(start, start + FETCHES).map(async (file, i) => ({
      file,
      number: start + i,
      path: await localPath(place, root, state, file.path),
      selection: file.deletionVector && { rows: await readVector(place, root, file.path, file.deletionVector), only: false },
    }))
    local.push(...(await Promise.all(fetched)))
  }
  const paths = local.map(({ path }) => path)
  await checkIds(place, root, state.metadata, paths)
  const shapes = hasChangedTypes(state.metadata) ? await storedShapes(place, paths) : null
  return local.map((file) => ({ ...file, shape: shapes?.get(file.path) ?? '' }))
}

async function localPath(place: Place, root: string, state: TableState, logged: string): Promise<string> {
  const path = dataPath(place.objects, root, logged)
  try {
    return await place.objects.localFile(path)
  } catch (error) {
    if (!(error instanceof LagoaError) || error.code !== 'storage.missing_object') throw error
    throw missing('lake.data_file_missing', `Table ${root} names the data file ${path} in version ${state.version}, and it is not there`, {
      hint: 'Restore the file from a backup, or read an earlier version if the file was removed on purpose. Without it some rows would be missing.',
      cause: error,
    })
  }
}

/** `select` with the table's columns in schema order; `withAt` adds AT_COLUMN. */
export function scanSql(state: TableState, files: readonly LocalFile[], withAt: boolean = false): string {
  const { fields, partitionColumns } = state.metadata
  const stored = storedFields(state.metadata)
  const data = stored.filter((_, i) => !partitionColumns.includes(fields[i]?.name ?? ''))
  if (files.length === 0) {
    const nulls = fields.map((field) => `null::${duckType(field.type)} as ${identifier(field.name)}`)
    return `select ${[...nulls, ...(withAt ? [`null::bigint as ${AT_COLUMN}`] : [])].join(', ')} where false`
  }
  const typed = data.map((field) => `null::${duckType(field.type)} as ${identifier(field.name)}`).join(', ')
  const names = data.map((field) => field.name)
  // A column of that name hides the file's number; then every file is read by itself.
  const numbered = !names.some((name) => name.toLowerCase() === FILE_INDEX)
  const groups = new Map<PartitionValues, Group>()
  for (const { file, number, path, selection, shape } of files) {
    const group = groups.get(file.partitionValues) ?? { sources: [], complete: true }
    group.sources.push({ path, selection, shape, number })
    group.complete &&= mentionsAll(parseStats(file.stats), names)
    groups.set(file.partitionValues, group)
  }
  const selects = [...groups].map(([partition, { sources, complete }]) => {
    const columns = fields.map((field, i) => {
      const from = stored[i] ?? field
      const value = partitionColumns.includes(field.name)
        ? partitionLiteral(field, partition[from.name])
        : renamed(`cast(${identifier(from.name)} as ${duckType(from.type)})`, field.type, from.type)
      return `${value} as ${identifier(field.name)}`
    })
    // Without the statistics' word that every file has every column, all footers are read first to find the missing ones.
    const options = `union_by_name = ${!complete}, hive_partitioning = false`
    const runs = (numbered ? runsOfShape(sources) : sources.map((source) => [source])).map((run) => readSql(run, options, withAt))
    // The empty typed part gives columns that no file has; DuckDB drops it from the plan.
    const empty = `select ${typed}${withAt ? `, null::bigint as ${AT_COLUMN}` : ''} where false`
    return `select ${[...columns, ...(withAt ? [AT_COLUMN] : [])].join(', ')} from (${[empty, ...runs].join(' union all by name ')})`
  })
  return selects.join('\nunion all ')
}

/** DuckDB's own column with the number of each row's file among those that one `read_parquet` reads. */
const FILE_INDEX = 'file_index'

function readSql(run: readonly Source[], options: string, withAt: boolean): string {
  const number = run.length === 1 ? '0' : `${FILE_INDEX}::bigint`
  const kept = selectionSql(
    run.map(({ selection }) => selection),
    number,
  )
  const paths = fileList(run.map(({ path }) => path))
  if (kept === null && !withAt) return `select * from read_parquet(${paths}, ${options})`
  const offsets = run.map((source, i) => String(source.number - i))
  const at = `((${number} + ${valueAtSql(offsets, number)})::bigint << ${FILE_SHIFT}) + file_row_number as ${AT_COLUMN}`
  return `select * exclude (file_row_number)${withAt ? `, ${at}` : ''} from read_parquet(${paths}, file_row_number = true, ${options})${kept === null ? '' : ` where ${kept}`}`
}

/** Neighbours that store the same types. */
function runsOfShape(sources: readonly Source[]): Source[][] {
  const runs: Source[][] = []
  for (const source of sources) {
    const run = runs.at(-1)
    if (run?.[0]?.shape === source.shape) run.push(source)
    else runs.push([source])
  }
  return runs
}

interface Source {
  readonly path: string
  readonly selection: Selection | null
  readonly shape: string
  /** Its number among the files of the scan. */
  readonly number: number
}

/** Files of one partition. */
interface Group {
  readonly sources: Source[]
  complete: boolean
}

/** The files at a state's version that can hold a row which matches a test, in the order of their rows. */
export async function pruneFiles(state: TableState, test: Test): Promise<AddFile[]> {
  const { files, version, metadata } = state
  if (test.kind === 'any') return files.adds(files.at(version))
  const stored = storedFields(metadata)
  const partitions = storedPartitions(metadata)
  const asStored = storedTest(metadata, test)
  const rows = await files.atWhere(version, (source) => pruneSql(asStored, stored, partitions, source))
  return (await files.adds(rows)).filter((file) => mayMatch(asStored, fileBounds(stored, partitions, file)))
}

/** Whether a file of a table can hold a row that matches a test. */
export function fileTest(metadata: Metadata, test: Test): (file: AddFile) => boolean {
  const stored = storedFields(metadata)
  const partitions = storedPartitions(metadata)
  const asStored = storedTest(metadata, test)
  return (file) => mayMatch(asStored, fileBounds(stored, partitions, file))
}

/** Whether every row of a file of a table certainly matches a test. */
export function certainTest(metadata: Metadata, test: Test): (file: AddFile) => boolean {
  const stored = storedFields(metadata)
  const partitions = storedPartitions(metadata)
  const asStored = storedTest(metadata, test)
  return (file) => mustMatch(asStored, fileBounds(stored, partitions, file))
}

/**
 * The test by the names under which files know the columns. Where a column was of another kind once, old statistics are not compared: the
 * bounds of a float, say, are no exact doubles.
 */
function storedTest({ fields, ...metadata }: Metadata, test: Test): Test {
  const stored = storedFields({ fields, ...metadata })
  const known = new Map(fields.map((field, i) => [field.name, { name: stored[i]?.name ?? field.name, changed: changedKind(field) }]))
  const asStored = (part: Test): Test => {
    switch (part.kind) {
      case 'any':
        return part
      case 'and':
      case 'or':
        return { ...part, of: part.of.map(asStored) }
      case 'null':
        return { ...part, column: known.get(part.column)?.name ?? part.column }
      case 'compare':
        return known.get(part.column)?.changed === true ? ANY : { ...part, column: known.get(part.column)?.name ?? part.column }
    }
  }
  return asStored(test)
}

/** What a SQL condition says for pruning. A condition that does not parse prunes nothing; running it gives the error. */
export async function predicateTest(connection: DuckDBConnection, state: TableState, where: Predicate): Promise<Test> {
  const reader = await query(connection, `select json_serialize_sql(${literal(`select * from t where (${where}\n)`)})::varchar`)
  const parsed: unknown = JSON.parse(String(reader.getRows()[0]?.[0] ?? 'null'))
  return testFrom(whereClause(parsed), state.metadata.fields)
}

function whereClause(parsed: unknown): JsonObject | null {
  const statements = isObject(parsed) ? listOf(parsed.statements) : []
  const node = statements.length === 1 && isObject(statements[0]) ? statements[0].node : null
  return isObject(node) && isObject(node.where_clause) ? node.where_clause : null
}
