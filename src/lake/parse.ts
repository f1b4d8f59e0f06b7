/** What a SELECT reads, by DuckDB's own parser: the tables it names and anything in it that is not allowed. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { denied, invalid } from '../base/index.ts'
import { isNode, readTree, type SqlNode } from './tree.ts'

export interface ParsedSelect {
  /** Tables read, as `schema.name` or `name`, without names that a WITH clause defines; one that is read twice appears twice. */
  readonly reads: readonly TableRead[]
  readonly tables: readonly string[]
  /** Calls of `delta('bucket/key')`: tables by their place and not by their name. */
  readonly places: readonly SqlNode[]
  readonly tree: SqlNode
}

export interface TableRead {
  readonly name: string
  /** `at (version => 3)`: the clause's unit and expression. */
  readonly at: SqlNode | null
}

/** Table functions that read nothing from outside. */
const HARMLESS_FUNCTIONS: ReadonlySet<string> = new Set(['range', 'generate_series', 'unnest', 'repeat', 'repeat_row'])

/** Functions of the engine that tell about itself or its settings, or write: file paths of the lake would show. */
const TELLTALE_FUNCTIONS =
  /^(pg_get_\w+|duckdb_\w+|pragma_\w+|read_\w+|write_\w+|current_setting|getenv|getvariable|set_config|which_secret|query|query_table|format_type)$/

/**
 * Refuses everything but one SELECT over tables: no files, no settings, no writing. `columns` gives column names for a better hint when the
 * text does not parse; `places` allows tables by their place.
 */
export async function parseSelect(
  connection: DuckDBConnection,
  text: string,
  what: string = 'The query',
  columns: () => Iterable<string> | Promise<Iterable<string>> = () => [],
  options: { readonly places?: boolean } = {},
): Promise<ParsedSelect> {
  const tree = await readTree(connection, text)
  if (tree.error === true && options.places) {
    const named = quotedTimestamp(text, tree)
    if (named !== null) return parseSelect(connection, named, what, columns, options)
  }
  if (tree.error === true) {
    if (tree.error_type === 'not implemented')
      throw denied('lake.sql_select_only', `${what} is not a SELECT`, {
        hint: 'Only SELECT is allowed here; tables change through streams, flows and refreshes.',
      })
    const before = textBefore(text, Number(tree.position ?? Number.NaN))
    const word = before === null ? undefined : columnAt(text, before.length, await columns())
    throw invalid('lake.sql_syntax', `${what}: ${String(tree.error_message)}${before === null ? '' : place(before)}`, {
      hint:
        word === undefined ? 'The SQL dialect is that of DuckDB.' : `${word} is a column here and a word of SQL; put the column in double quotes: "${word}".`,
    })
  }
  const statements = Array.isArray(tree.statements) ? tree.statements : []
  if (statements.length !== 1) throw invalid('lake.sql_one_statement', `${what} has ${statements.length} statements`, { hint: 'Write exactly one SELECT.' })
  const reads: TableRead[] = []
  const places: SqlNode[] = []
  walk(statements[0], new Set(), { reads, places: options.places ? places : null }, what)
  return { reads, tables: [...new Set(reads.map(({ name }) => name))], places, tree }
}

interface Found {
  readonly reads: TableRead[]
  /** Null where tables are read by name only. */
  readonly places: SqlNode[] | null
}

/** `timestamp` is a word of SQL that cannot name an argument as `version` can: where it stands before `=>` it is put in quotes. */
function quotedTimestamp(text: string, { error_message: message, position }: SqlNode): string | null {
  if (!/at or near "(?:=>|:=)"/.test(String(message))) return null
  const before = textBefore(text, Number(position ?? Number.NaN))
  const named = before?.replace(/\btimestamp(\s*)$/i, '"timestamp"$1')
  return before === null || named === undefined || named === before ? null : named + text.slice(before.length)
}

/** `known` are the names that WITH clauses give and that DuckDB sees from here; anything wider would let them stand for its own views. */
function walk(node: unknown, known: ReadonlySet<string>, found: Found, what: string): void {
  if (Array.isArray(node)) {
    for (const item of node) walk(item, known, found, what)
    return
  }
  if (!isNode(node)) return
  check(node, what, found)
  if (node.type === 'BASE_TABLE') {
    const read = tableRead(node, known, what)
    if (read) found.reads.push(read)
  }
  const scope = new Set(known)
  for (const [name, query] of definitions(node)) {
    // A definition sees those before it. Itself it sees only in the second part of a recursive one, which brings its own name.
    walk(query, scope, found, what)
    scope.add(name)
  }
  const own = node.type === 'RECURSIVE_CTE_NODE' ? String(node.cte_name).toLowerCase() : null
  for (const [key, value] of Object.entries(node)) {
    if (key === 'cte_map') continue
    walk(value, own !== null && key === 'right' ? new Set([...scope, own]) : scope, found, what)
  }
}

function definitions(node: SqlNode): [string, unknown][] {
  const map = isNode(node.cte_map) && Array.isArray(node.cte_map.map) ? node.cte_map.map : []
  return map.flatMap((entry: unknown): [string, unknown][] => (isNode(entry) ? [[String(entry.key).toLowerCase(), entry.value]] : []))
}

function tableRead(node: SqlNode, known: ReadonlySet<string>, what: string): TableRead | null {
  const schema = String(node.schema_name ?? '')
  const name = String(node.table_name ?? '')
  const catalog = String(node.catalog_name ?? '')
  if (catalog !== '')
    throw denied('lake.sql_catalog', `${what} names another database: ${catalog}.${schema}.${name}`, {
      hint: 'Write tables as layer.name, such as gold.air_hourly.',
    })
  if (schema === '' && known.has(name.toLowerCase())) return null
  return { name: schema === '' ? name : `${schema}.${name}`, at: isNode(node.at_clause) ? node.at_clause : null }
}

function check(node: SqlNode, what: string, { places }: Found): void {
  if (node.type === 'TABLE_FUNCTION' && isNode(node.function)) {
    const name = String(node.function.function_name).toLowerCase()
    if (name === 'delta' && places !== null) places.push(node.function)
    else if (!HARMLESS_FUNCTIONS.has(name)) {
      throw denied('lake.sql_function', `${what} may not call ${name}() in FROM`, {
        hint: `Allowed there are tables, subqueries and ${[...HARMLESS_FUNCTIONS, ...(places === null ? [] : ['delta'])].join(', ')}.`,
      })
    }
  }
  if (node.class === 'FUNCTION') {
    const name = String(node.function_name).toLowerCase()
    if (TELLTALE_FUNCTIONS.test(name))
      throw denied('lake.sql_function', `${what} may not call ${name}()`, { hint: 'Queries see tables and values, not the engine and its settings.' })
  }
  if (node.type === 'SHOW_REF')
    throw denied('lake.sql_select_only', `${what} may not use DESCRIBE or SHOW`, { hint: 'Use `lagoa tables NAME` or the Schema tab.' })
}

/** The text before a position, which DuckDB counts in characters, not in UTF-16; null when it names none. */
function textBefore(text: string, position: number): string | null {
  return Number.isFinite(position) && position >= 0 ? [...text].slice(0, position).join('') : null
}

function place(before: string): string {
  return ` (line ${before.split('\n').length}, column ${before.length - before.lastIndexOf('\n')})`
}

/** The column whose bare name the parser stumbled over: it stands where the error is, or just before. */
function columnAt(text: string, position: number, columns: Iterable<string>): string | undefined {
  const names = new Map([...columns].map((name) => [name.toLowerCase(), name]))
  const words = [/^\w+/.exec(text.slice(position))?.[0], /(\w+)\s*$/.exec(text.slice(0, position))?.[1]]
  return words.flatMap((word) => (word === undefined ? [] : (names.get(word.toLowerCase()) ?? [])))[0]
}
