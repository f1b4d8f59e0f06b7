/** What a SELECT that is no model reads: a task's, for example. */
import type { DuckDBConnection } from '@duckdb/node-api'
import type { Described, Place } from '../../catalog/index.ts'
import { parseSelect } from '../parse.ts'
import { aggregateNames, placeOf, tableId } from './describe.ts'
import { lineageOf } from './select.ts'

export interface SqlReads {
  /** Ids of tables. */
  readonly tables: readonly string[]
  /** Columns that the text names: it would not run without them. */
  readonly named: readonly Place[]
  /** Tables whose columns all come along, or of which it is not known which do. */
  readonly whole: readonly string[]
}

export type SqlReader = (text: string) => Promise<SqlReads>

/** Knows the tables that were described. Rejects for what is no SELECT. */
export async function openSqlReader(connection: DuckDBConnection, { assets }: Described): Promise<SqlReader> {
  const columns = new Map(assets.flatMap((asset) => (asset.kind === 'table' ? [[asset.name, asset.columns.map(({ name }) => name)] as const] : [])))
  const isAggregate = await aggregateNames(connection)
  return async (text) => {
    const { tables, tree } = await parseSelect(connection, text)
    const ids = tables.map(tableId)
    const isBlind = tables.some((name) => (columns.get(name) ?? []).length === 0)
    const lineage = isBlind ? null : lineageOf(tree, columns, isAggregate)
    if (lineage === null || 'unknown' in lineage) return { tables: ids, named: [], whole: ids }
    const passed = lineage.columns.flatMap((column) => (column.passed ? [tableId(column.passed.table)] : []))
    return { tables: ids, named: lineage.needs.map(placeOf), whole: [...new Set(passed)] }
  }
}
