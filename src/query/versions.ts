/** Time travel in SQL: `from silver.readings at (version => 3)` and `at (timestamp => '2026-01-31 10:00')`, both of DuckDB's own grammar. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid } from '../base/index.ts'
import { isNode, rewrite, type parseSelect, type SqlNode } from '../lake/index.ts'

type ParsedSelect = Awaited<ReturnType<typeof parseSelect>>

/** A table to bind under an alias, at a version or time when the query says one. */
export interface ReadAt {
  readonly name: string
  readonly alias: string
  readonly at: { readonly version: number } | { readonly timestamp: number } | null
}

/** The text with each table at a version under a name of its own; as it was when there is none. */
export async function pinVersions(
  connection: DuckDBConnection,
  text: string,
  { reads, tree }: ParsedSelect,
): Promise<{ readonly text: string; readonly reads: readonly ReadAt[] }> {
  const found = new Map<string, ReadAt>()
  for (const { name, at } of reads) {
    const alias = at ? aliasOf(name, at) : name
    found.set(alias, { name, alias, at: at && pointOf(name, at) })
  }
  if (reads.every(({ at }) => at === null)) return { text, reads: [...found.values()] }
  const pinned = await rewrite(connection, tree, (node) => {
    if (node.type !== 'BASE_TABLE' || !isNode(node.at_clause)) return node
    return { ...node, table_name: aliasOf(String(node.table_name), node.at_clause), alias: node.alias === '' ? node.table_name : node.alias, at_clause: null }
  })
  return { text: pinned, reads: [...found.values()] }
}

function aliasOf(name: string, at: SqlNode): string {
  return `${name}@${String(at.unit).toLowerCase()}=${constantOf(at.expr) ?? ''}`
}

function pointOf(name: string, at: SqlNode): NonNullable<ReadAt['at']> {
  const value = constantOf(at.expr)
  if (at.unit === 'VERSION' && value !== null && /^\d{1,15}$/.test(value)) return { version: Number(value) }
  const timestamp =
    at.unit === 'TIMESTAMP' && value !== null
      ? Date.parse(
          /(?:Z|[+-]\d\d(?::?\d\d)?)$/i.test(value.slice(10))
            ? value
            : `${value.length <= 10 ? value : value.replace(' ', 'T')}${value.length <= 10 ? '' : 'Z'}`,
        )
      : Number.NaN
  if (Number.isNaN(timestamp))
    throw invalid('query.bad_version', `The version of ${name} to read cannot be understood`, {
      hint: "Write at (version => 3) or at (timestamp => '2026-01-31 10:00:00').",
    })
  return { timestamp }
}

/** The text of a constant, also inside a cast. */
function constantOf(node: unknown): string | null {
  if (!isNode(node)) return null
  if (node.class === 'CAST') return constantOf(node.child)
  return node.class === 'CONSTANT' && isNode(node.value) && (typeof node.value.value === 'string' || typeof node.value.value === 'number')
    ? String(node.value.value)
    : null
}
