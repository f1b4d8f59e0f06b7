/**
 * Conditions of commands that change rows: whether asking twice gives the same answer, and for which files the answer is known to be yes
 * for every row, from partition values and statistics alone.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { unsupported } from '../../base/index.ts'
import type { AddFile, PartitionValues } from './actions.ts'
import { isObject, textOf, textsOf } from './json.ts'
import { storedFields } from './mapping.ts'
import type { Test } from './prune.ts'
import type { TableState } from './replay.ts'
import { certainTest } from './scan.ts'
import { identifier, literal, query } from './sql.ts'
import type { Predicate } from './types.ts'
import { partitionLiteral } from './write.ts'

/** The tree of an expression as DuckDB parses it; null when it does not, and running it gives the error. */
export async function parsed(connection: DuckDBConnection, expression: string): Promise<unknown> {
  const reader = await query(connection, `select json_serialize_sql(${literal(`select (${expression}\n)`)})::varchar`)
  return JSON.parse(String(reader.getRows()[0]?.[0] ?? 'null'))
}

/** Refuses expressions that are evaluated more than once and may give something else each time. */
export async function checkStable(connection: DuckDBConnection, root: string, expressions: readonly string[]): Promise<void> {
  for (const expression of expressions) {
    const names = new Set<string>()
    visit(await parsed(connection, expression), (node) => {
      const name = textOf(node.function_name)
      if (name !== null) names.add(name.toLowerCase())
    })
    if (names.size === 0) continue
    const listed = [...names].map(literal).join(', ')
    const reader = await query(
      connection,
      `select function_name from duckdb_functions() where stability = 'VOLATILE' and function_name <> 'error' and function_name in (${listed}) limit 1`,
    )
    const volatile = reader.getRows()[0]?.[0]
    if (volatile !== undefined)
      throw unsupported(
        'lake.unstable_expression',
        `${String(volatile)}() gives another value each time, so it cannot tell which rows of ${root} to change: ${expression}`,
        {
          hint: 'Write such values into a column first, or merge from a query that computes them: its rows are computed once.',
        },
      )
  }
}

function visit(node: unknown, seen: (node: Readonly<Record<string, unknown>>) => void): void {
  if (Array.isArray(node)) {
    for (const item of node) visit(item, seen)
  } else if (isObject(node)) {
    seen(node)
    for (const item of Object.values(node)) visit(item, seen)
  }
}

/** Which of some files hold only rows for which a condition is true; a file is left out whenever that is not certain. */
export async function certainlyMatching(
  connection: DuckDBConnection,
  state: TableState,
  where: Predicate,
  test: Test,
  files: readonly AddFile[],
): Promise<(file: AddFile) => boolean> {
  const byPartition = await matchingPartitions(connection, state, where, files)
  return byPartition ? (file) => byPartition.has(file.partitionValues) : certainTest(state.metadata, test)
}

/** A condition on partition columns alone is evaluated for each partition; null when it speaks of something else too. */
async function matchingPartitions(
  connection: DuckDBConnection,
  state: TableState,
  where: Predicate,
  files: readonly AddFile[],
): Promise<Set<PartitionValues> | null> {
  const { fields, partitionColumns } = state.metadata
  const stored = storedFields(state.metadata)
  const partitions = fields.flatMap((field, i) => (partitionColumns.includes(field.name) ? [{ field, key: stored[i]?.name ?? field.name }] : []))
  const columns = new Set(partitions.map(({ field }) => field.name.toLowerCase()))
  let only = columns.size > 0
  visit(await parsed(connection, where), (node) => {
    if (node.class === 'SUBQUERY' || node.class === 'STAR') only = false
    const names = node.class === 'COLUMN_REF' ? textsOf(node.column_names) : null
    if (names && !(names.length === 1 && columns.has(names[0]?.toLowerCase() ?? ''))) only = false
  })
  const values = [...new Set(files.map(({ partitionValues }) => partitionValues))]
  if (!only || values.length === 0) return only ? new Set() : null
  const rows = values.map((one, i) => `(${i}, ${partitions.map(({ field, key }) => partitionLiteral(field, one[key])).join(', ')})`)
  const reader = await query(
    connection,
    `select lagoa_partition from (values ${rows.join(', ')}) p(lagoa_partition, ${partitions.map(({ field }) => identifier(field.name)).join(', ')}) where (${where}\n) is true`,
  )
  return new Set(reader.getRows().map(([i]) => values[Number(i)] ?? {}))
}
