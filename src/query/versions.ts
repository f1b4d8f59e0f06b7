/**
 * Time travel in SQL: `from silver.readings at (version => 3)` and `at (timestamp => '2026-01-31 10:00')`, both of DuckDB's own grammar; and
 * tables by their place, `from delta('bucket/key', version => 3)`.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid, parseInstant } from '../base/index.ts'
import { isNode, rewrite, type parseSelect, type SqlNode } from '../lake/index.ts'

type ParsedSelect = Awaited<ReturnType<typeof parseSelect>>

/** A table to bind under an alias, at a version or time when the query says one. */
export interface ReadAt {
  readonly name: string
  /** The name is a place, as `delta(...)` was given it. */
  readonly isPlace: boolean
  readonly alias: string
  readonly at: { readonly version: number } | { readonly timestamp: number } | null
}

export interface PinnedSelect {
  readonly text: string
  readonly reads: readonly ReadAt[]
}

/** The text with each table at a version under a name of its own; as it was when there is none. */
export async function pinVersions(connection: DuckDBConnection, text: string, { reads, places, tree }: ParsedSelect): Promise<PinnedSelect> {
  const found = new Map<string, ReadAt>()
  for (const { name, at } of reads) {
    const alias = at ? aliasOf(name, at) : name
    found.set(alias, { name, isPlace: false, alias, at: at && pointOf(name, at) })
  }
  if (places.length === 0 && reads.every(({ at }) => at === null)) return { text, reads: [...found.values()] }
  const called = new Map(places.map((call) => [keyOf(call), placeOf(call)]))
  const aliases = new Map([...called.keys()].map((key, i) => [key, `delta ${i + 1}`]))
  for (const [key, read] of called) found.set(aliases.get(key) ?? '', { ...read, isPlace: true, alias: aliases.get(key) ?? '' })
  const pinned = await rewrite(connection, tree, (node) => {
    if (node.type === 'TABLE_FUNCTION' && isNode(node.function)) {
      const alias = aliases.get(keyOf(node.function))
      return alias === undefined ? node : namedTable(node, alias)
    }
    if (node.type !== 'BASE_TABLE' || !isNode(node.at_clause)) return node
    return { ...node, table_name: aliasOf(String(node.table_name), node.at_clause), alias: node.alias === '' ? node.table_name : node.alias, at_clause: null }
  })
  return { text: pinned, reads: [...found.values()] }
}

function aliasOf(name: string, at: SqlNode): string {
  return `${name}@${String(at.unit).toLowerCase()}=${constantOf(at.expr) ?? ''}`
}

function pointOf(name: string, at: SqlNode): NonNullable<ReadAt['at']> {
  return pointFrom(name, String(at.unit).toLowerCase(), constantOf(at.expr))
}

function pointFrom(name: string, unit: string, value: string | null): NonNullable<ReadAt['at']> {
  if (unit === 'version' && value !== null && /^\d{1,15}$/.test(value)) return { version: Number(value) }
  const timestamp = unit === 'timestamp' && value !== null ? parseInstant(value) : null
  if (timestamp === null)
    throw invalid('query.bad_version', `The version of ${name} to read cannot be understood`, {
      hint: "Write at (version => 3) or at (timestamp => '2026-01-31 10:00:00'); delta('bucket/key', ...) takes the same two.",
    })
  return { timestamp }
}

/** Calls that say the same are the same table. */
function keyOf(call: SqlNode): string {
  const parts = Array.isArray(call.children) ? call.children.filter(isNode) : []
  return call.function_name === 'delta' ? JSON.stringify(parts.map((part) => [part.alias, constantOf(part)])) : ''
}

/** What a call of `delta` asks for: the place as text, and at most one point. */
function placeOf(call: SqlNode): { readonly name: string; readonly at: ReadAt['at'] } {
  const [first, ...rest] = Array.isArray(call.children) ? call.children.filter(isNode) : []
  const name = constantOf(first)
  const [point] = rest
  if (name === null || name === '' || first?.alias !== '' || rest.length > 1)
    throw invalid('query.delta_arguments', 'delta() takes the place of a table as text, and a version or a timestamp', {
      hint: "Write delta('bucket/key'), delta('bucket/key', version => 3) or delta('bucket/key', timestamp => '2026-01-31 10:00').",
    })
  return { name, at: point === undefined ? null : pointFrom(name, String(point.alias).toLowerCase(), constantOf(point)) }
}

function namedTable({ alias, sample, query_location, column_name_alias }: SqlNode, name: string): SqlNode {
  return {
    type: 'BASE_TABLE',
    alias: alias === '' ? 'delta' : alias,
    sample,
    query_location,
    schema_name: '',
    table_name: name,
    column_name_alias,
    catalog_name: '',
    at_clause: null,
  }
}

/** The text of a constant, also inside a cast. */
function constantOf(node: unknown): string | null {
  if (!isNode(node)) return null
  if (node.class === 'CAST') return constantOf(node.child)
  return node.class === 'CONSTANT' && isNode(node.value) && (typeof node.value.value === 'string' || typeof node.value.value === 'number')
    ? String(node.value.value)
    : null
}
