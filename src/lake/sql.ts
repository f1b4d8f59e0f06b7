/** The `sql` tag: text with references to tables and columns, so that a renamed one is a compile error, not a surprise at night. */
import type { ColumnRef, FieldType } from '../base/index.ts'
import type { Table } from './declare.ts'

export type SqlPart = Table | ColumnRef | Sql | string | number | boolean | null

export interface Sql {
  readonly kind: 'sql'
  readonly strings: readonly string[]
  readonly parts: readonly SqlPart[]
}

export function sql(strings: TemplateStringsArray, ...parts: SqlPart[]): Sql {
  return { kind: 'sql', strings, parts }
}

export interface RenderedSql {
  readonly text: string
  /** Names of the tables that the template refers to. */
  readonly tables: readonly string[]
  readonly columns: readonly ColumnRef[]
}

/** The text as DuckDB reads it. Tables become `"layer"."name"`, columns their quoted name, other values literals. */
export function renderSql(source: Sql | string): RenderedSql {
  if (typeof source === 'string') return { text: source, tables: [], columns: [] }
  const tables = new Set<string>()
  const columns: ColumnRef[] = []
  const render = ({ strings, parts }: Sql): string => strings.map((text, i) => text + (i < parts.length ? part(parts[i] ?? null) : '')).join('')
  const part = (value: SqlPart): string => {
    if (value === null) return 'null'
    if (typeof value === 'string') return quoteText(value)
    if (typeof value === 'number' || typeof value === 'boolean') return String(value)
    if (value.kind === 'sql') return render(value)
    if (value.kind === 'column') {
      columns.push(value)
      return quoteName(value.name)
    }
    tables.add(value.name)
    return quoteTable(value.name)
  }
  return { text: render(source), tables: [...tables], columns }
}

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`
export const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`
export const quoteTable = (name: string): string => name.split('.').map(quoteName).join('.')

const DUCK_TYPES: Readonly<Record<FieldType, string>> = {
  string: 'varchar',
  json: 'varchar',
  int: 'integer',
  long: 'bigint',
  double: 'double',
  boolean: 'boolean',
  timestamp: 'timestamptz',
  date: 'date',
}

/** The type that a promised column has in SQL. */
export const duckTypeOf = (type: FieldType): string => DUCK_TYPES[type]

/**
 * Quotes the bare words of a condition that are names of these columns, so that a column may be called `at` or `end` though SQL knows
 * the word. Strings, quoted names, calls, typed literals (`date '2024-01-01'`) and `at time zone` stay as they are.
 */
export function quoteColumns(condition: string, columns: Iterable<string>): string {
  const names = new Map([...columns].map((name) => [name.toLowerCase(), name]))
  return condition.replaceAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|[\p{L}_][\p{L}\p{N}_]*/gu, (word, at: number) => {
    const name = names.get(word.toLowerCase())
    const rest = condition.slice(at + word.length)
    return name === undefined || /^['"-]/.test(word) || /^\s*[(']|^\s+time\s+zone\b/i.test(rest) ? word : quoteName(name)
  })
}
