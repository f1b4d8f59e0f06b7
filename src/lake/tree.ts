/** SQL as DuckDB's own syntax tree (`json_serialize_sql`), and trees as SQL again. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid } from '../base/index.ts'
import { quoteText } from './sql.ts'

export type SqlNode = Readonly<Record<string, unknown>>

export function isNode(value: unknown): value is SqlNode {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** JSON numbers of this length may not survive JavaScript; they travel as text with this mark. */
const LONG_NUMBER = '@lagoa-number:'

export async function readTree(connection: DuckDBConnection, text: string): Promise<SqlNode> {
  const reader = await connection.runAndReadAll(`select json_serialize_sql(${quoteText(text)}::varchar)`)
  const json = String(reader.getRows()[0]?.[0]).replaceAll(/":(-?\d{16,})(?=[,}])/g, `":"${LONG_NUMBER}$1"`)
  const tree: unknown = JSON.parse(json)
  if (!isNode(tree)) throw invalid('lake.sql_syntax', 'The query is not SQL')
  return tree
}

/** The SQL of a tree in which `change` replaced nodes, from the leaves up. */
export async function rewrite(connection: DuckDBConnection, tree: SqlNode, change: (node: SqlNode) => SqlNode): Promise<string> {
  const visit = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(visit)
    return isNode(value) ? change(Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, visit(inner)]))) : value
  }
  const json = JSON.stringify(visit(tree)).replaceAll(new RegExp(`"${LONG_NUMBER}(-?\\d+)"`, 'g'), '$1')
  const reader = await connection.runAndReadAll(`select json_deserialize_sql(${quoteText(json)}::json)`)
  return String(reader.getRows()[0]?.[0])
}
