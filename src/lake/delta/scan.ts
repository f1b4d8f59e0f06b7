/**
 * Scanning: SQL that reads some data files of a table as rows of its schema. A column that a file lacks is null, columns that the
 * schema does not know are left out, partition columns come from the log.
 */
import { missing, LagoaError } from '../../base/index.ts'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { AddFile, PartitionValues } from './actions.ts'
import { keptRows } from './deletions.ts'
import { listOf, isObject, type JsonObject } from './json.ts'
import { checkIds, renamed, storedFields } from './mapping.ts'
import { dataPath } from './paths.ts'
import { fileBounds, mayMatch, testFrom, type Test } from './prune.ts'
import type { TableState } from './replay.ts'
import { duckType } from './schema.ts'
import { fileList, identifier, literal, query } from './sql.ts'
import { mentionsAll, parseStats } from './stats.ts'
import type { Place, Predicate } from './types.ts'
import { partitionLiteral } from './write.ts'

/** Files fetched at once. */
const FETCHES = 32

/** A column with the local path of each row's file, for writes that must know which files they touch. */
export const FILE_COLUMN = '__lagoa_file'

export interface LocalFile {
  readonly file: AddFile
  /** Where it lies on this machine. */
  readonly path: string
  /** With a deletion vector: SQL over `file_row_number` that is true for the rows the file has. */
  readonly kept: string | null
}

/** Makes data files local. A file that the log names and the store does not have is an error that says so. */
export async function localFiles(place: Place, root: string, state: TableState, files: readonly AddFile[]): Promise<LocalFile[]> {
  const local: LocalFile[] = []
  for (let start = 0; start < files.length; start += FETCHES) {
    const fetched = files.slice(start, start + FETCHES).map(async (file) => ({
      file,
      path: await localPath(place, root, state, file.path),
      kept: file.deletionVector && (await keptRows(place, root, file.path, file.deletionVector)),
    }))
    local.push(...(await Promise.all(fetched)))
  }
  await checkIds(
    place,
    root,
    state.metadata,
    local.map(({ path }) => path),
  )
  return local
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

/** `select` with the table's columns in schema order; `withFile` adds FILE_COLUMN. */
export function scanSql(state: TableState, files: readonly LocalFile[], withFile: boolean = false): string {
  const { fields, partitionColumns } = state.metadata
  const stored = storedFields(state.metadata)
  const data = stored.filter((_, i) => !partitionColumns.includes(fields[i]?.name ?? ''))
  if (files.length === 0) {
    const nulls = fields.map((field) => `null::${duckType(field.type)} as ${identifier(field.name)}`)
    return `select ${[...nulls, ...(withFile ? [`null::varchar as ${FILE_COLUMN}`] : [])].join(', ')} where false`
  }
  const typed = data.map((field) => `null::${duckType(field.type)} as ${identifier(field.name)}`).join(', ')
  const names = data.map((field) => field.name)
  const groups = new Map<PartitionValues, Group>()
  for (const { file, path, kept } of files) {
    const group = groups.get(file.partitionValues) ?? { runs: [], complete: true }
    const run = group.runs.at(-1)
    if (run && kept === null && run.kept === null) run.paths.push(path)
    else group.runs.push({ paths: [path], kept })
    group.complete &&= mentionsAll(parseStats(file.stats), names)
    groups.set(file.partitionValues, group)
  }
  const selects = [...groups].map(([partition, { runs, complete }]) => {
    const columns = fields.map((field, i) => {
      const from = stored[i] ?? field
      const value = partitionColumns.includes(field.name)
        ? partitionLiteral(field, partition[from.name])
        : renamed(`cast(${identifier(from.name)} as ${duckType(from.type)})`, field.type, from.type)
      return `${value} as ${identifier(field.name)}`
    })
    // Without the statistics' word that every file has every column, all footers are read first to find the missing ones.
    const sources = runs.map(({ paths, kept }) => {
      const options = `union_by_name = ${!complete}, hive_partitioning = false, filename = ${withFile ? literal(FILE_COLUMN) : 'false'}`
      if (kept === null) return `select * from read_parquet(${fileList(paths)}, ${options})`
      return `select * exclude (file_row_number) from read_parquet(${fileList(paths)}, file_row_number = true, ${options}) where ${kept}`
    })
    // The empty typed part gives columns that no file has; DuckDB drops it from the plan.
    const empty = `select ${typed}${withFile ? `, null::varchar as ${FILE_COLUMN}` : ''} where false`
    return `select ${[...columns, ...(withFile ? [FILE_COLUMN] : [])].join(', ')} from (${[empty, ...sources].join(' union all by name ')})`
  })
  return selects.join('\nunion all ')
}

/** Files of one partition. */
interface Group {
  /** Neighbours that are read in one go: a file with a deletion vector is alone. */
  readonly runs: { readonly paths: string[]; readonly kept: string | null }[]
  complete: boolean
}

/** The files at a state's version that can hold a row which matches a test, in the order of their rows. */
export async function pruneFiles(state: TableState, test: Test): Promise<AddFile[]> {
  const live = await state.files.adds(state.files.at(state.version))
  if (test.kind === 'any') return live
  const { fields, partitionColumns } = state.metadata
  const stored = storedFields(state.metadata)
  const storedNames = new Map(fields.map((field, i) => [field.name, stored[i]?.name ?? field.name]))
  const storedName = (column: string): string => storedNames.get(column) ?? column
  const storedPartitions = partitionColumns.map(storedName)
  return live.filter((file) => {
    const bounds = fileBounds(stored, storedPartitions, file)
    return mayMatch(test, (column) => bounds(storedName(column)))
  })
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
