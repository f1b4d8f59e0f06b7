/** What a SELECT reads, by DuckDB's own parser: the tables it names and anything in it that is not allowed. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { denied, invalid } from '../base/index.ts'
import { quoteText } from './sql.ts'

export interface ParsedSelect {
  /** Tables read, as `schema.name` or `name`, without names that a WITH clause defines. */
  readonly tables: readonly string[]
}

/** Table functions that read nothing from outside. */
const HARMLESS_FUNCTIONS: ReadonlySet<string> = new Set(['range', 'generate_series', 'unnest', 'repeat', 'repeat_row'])

/** Refuses everything but one SELECT over tables: no files, no settings, no writing. */
export async function parseSelect(connection: DuckDBConnection, text: string, what: string = 'The query'): Promise<ParsedSelect> {
  const reader = await connection.runAndReadAll(`select json_serialize_sql(${quoteText(text)}::varchar)`)
  const tree: unknown = JSON.parse(String(reader.getRows()[0]?.[0]))
  if (!isObject(tree)) throw invalid('lake.sql_syntax', `${what} is not SQL`)
  if (tree.error === true) {
    const notSelect = tree.error_type === 'not implemented'
    if (notSelect) throw denied('lake.sql_select_only', `${what} is not a SELECT`, { hint: 'Only SELECT is allowed here; tables change through streams, flows and refreshes.' })
    throw invalid('lake.sql_syntax', `${what}: ${String(tree.error_message)}${caret(text, Number(tree.position))}`, { hint: 'The SQL dialect is that of DuckDB.' })
  }
  const statements = Array.isArray(tree.statements) ? tree.statements : []
  if (statements.length !== 1) throw invalid('lake.sql_one_statement', `${what} has ${statements.length} statements`, { hint: 'Write exactly one SELECT.' })
  const tables = new Set<string>()
  walk(statements[0], new Set(), tables, what)
  return { tables: [...tables] }
}

function walk(node: unknown, known: ReadonlySet<string>, tables: Set<string>, what: string): void {
  if (Array.isArray(node)) {
    for (const item of node) walk(item, known, tables, what)
    return
  }
  if (!isObject(node)) return
  let scope = known
  const defined = isObject(node.cte_map) && Array.isArray(node.cte_map.map) ? node.cte_map.map.map((entry) => (isObject(entry) ? String(entry.key).toLowerCase() : '')) : []
  if (defined.length > 0) scope = new Set([...known, ...defined])
  if (node.type === 'BASE_TABLE') {
    const schema = String(node.schema_name ?? '')
    const name = String(node.table_name ?? '')
    const catalog = String(node.catalog_name ?? '')
    if (catalog !== '') throw denied('lake.sql_catalog', `${what} names another database: ${catalog}.${schema}.${name}`, { hint: 'Write tables as layer.name, such as gold.air_hourly.' })
    if (schema !== '' || !scope.has(name.toLowerCase())) tables.add(schema === '' ? name : `${schema}.${name}`)
  }
  if (node.type === 'TABLE_FUNCTION' && isObject(node.function)) {
    const name = String(node.function.function_name).toLowerCase()
    if (!HARMLESS_FUNCTIONS.has(name)) {
      throw denied('lake.sql_function', `${what} may not call ${name}() in FROM`, { hint: `Allowed there are tables, subqueries and ${[...HARMLESS_FUNCTIONS].join(', ')}.` })
    }
  }
  if (node.type === 'SHOW_REF') throw denied('lake.sql_select_only', `${what} may not use DESCRIBE or SHOW`, { hint: 'Use `lagoa tables NAME` or the Schema tab.' })
  for (const value of Object.values(node)) if (typeof value === 'object') walk(value, scope, tables, what)
}

function caret(text: string, position: number): string {
  if (!Number.isFinite(position) || position < 0) return ''
  const before = text.slice(0, position)
  const line = before.split('\n').length
  return ` (line ${line}, column ${position - before.lastIndexOf('\n')})`
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
