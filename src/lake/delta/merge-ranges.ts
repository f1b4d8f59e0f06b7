/**
 * Which files a merge can find matches in: from the equalities in its condition, the ranges that the input's values span, and from what it
 * asks of the table alone. Everything else in the condition leaves the file in.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { isObject, listOf, textOf, textsOf } from './json.ts'
import { ANY, rangeTest, testFrom, type Test } from './prune.ts'
import { parsed } from './condition.ts'
import { identifier, query } from './sql.ts'
import type { DeltaField } from './types.ts'

/** The columns that an unqualified or qualified name in a merge can mean. */
export interface Sides {
  readonly target: readonly DeltaField[]
  readonly source: readonly DeltaField[]
}

/** A column of the table that must equal one of the input. */
export interface KeyPair {
  readonly field: DeltaField
  /** Its name in the input. */
  readonly source: string
}

export interface Ranges {
  readonly keys: readonly KeyPair[]
  readonly target: Test
}

/** What a merge's condition says, `t` being the table and `s` the input. */
export async function rangesOf(connection: DuckDBConnection, on: string, sides: Sides): Promise<Ranges> {
  const keys: KeyPair[] = []
  const tests: Test[] = []
  for (const part of conjuncts(expressionOf(await parsed(connection, on)))) {
    const pair = keyPair(part, sides)
    if (pair) keys.push(pair)
    else tests.push(targetTest(part, sides))
  }
  return { keys, target: { kind: 'and', of: tests } }
}

/** What a condition says of the table's rows alone. */
export async function targetTestOf(connection: DuckDBConnection, condition: string, sides: Sides): Promise<Test> {
  return targetTest(expressionOf(await parsed(connection, condition)), sides)
}

/** Files outside of the ranges that the keys in the table `source` span cannot hold a match. */
export async function keyRanges(connection: DuckDBConnection, source: string, keys: readonly KeyPair[]): Promise<Test> {
  if (keys.length === 0) return ANY
  const measures = keys.map(
    (key) => `min(${identifier(key.source)})::varchar, max(${identifier(key.source)})::varchar, count(*) filter (where ${identifier(key.source)} is null)`,
  )
  const row = (await query(connection, `select ${measures.join(', ')} from temp.${source}`)).getRows()[0] ?? []
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
  return { kind: 'and', of: keys.map(({ field }, i) => rangeTest(field, text(row[3 * i]), text(row[3 * i + 1]), Number(row[3 * i + 2]) > 0)) }
}

/** The one expression of a parsed `select`. */
function expressionOf(tree: unknown): unknown {
  const statement = isObject(tree) ? listOf(tree.statements)[0] : null
  const node = isObject(statement) ? statement.node : null
  return isObject(node) ? listOf(node.select_list)[0] : null
}

function conjuncts(node: unknown): unknown[] {
  return isObject(node) && node.class === 'CONJUNCTION' && node.type === 'CONJUNCTION_AND' ? listOf(node.children).flatMap(conjuncts) : [node]
}

function keyPair(node: unknown, sides: Sides): KeyPair | null {
  if (!isObject(node) || node.class !== 'COMPARISON') return null
  if (node.type !== 'COMPARE_EQUAL' && node.type !== 'COMPARE_NOT_DISTINCT_FROM') return null
  const columns = [columnOf(node.left, sides), columnOf(node.right, sides)]
  const field = columns.find((column) => column?.side === 'target')?.field
  const source = columns.find((column) => column?.side === 'source')?.field
  return field && source && comparesAlike(field, source) ? { field, source: source.name } : null
}

const WHOLE: ReadonlySet<unknown> = new Set(['byte', 'short', 'integer', 'long'])

/** Equal values have the same text and the same order on both sides. */
function comparesAlike({ type: target }: DeltaField, { type: source }: DeltaField): boolean {
  return typeof target === 'string' && (target === source || (WHOLE.has(target) && WHOLE.has(source)))
}

interface Column {
  readonly side: 'target' | 'source'
  readonly field: DeltaField
}

function columnOf(node: unknown, { target, source }: Sides): Column | null {
  if (!isObject(node) || node.class !== 'COLUMN_REF') return null
  const names = textsOf(node.column_names)
  const name = names.at(-1)?.toLowerCase()
  const inside = (fields: readonly DeltaField[]): DeltaField | null => fields.find((field) => field.name.toLowerCase() === name) ?? null
  const [inTarget, inSource] = [inside(target), inside(source)]
  const prefix = names.length === 2 ? names[0]?.toLowerCase() : names.length === 1 ? '' : null
  if (inTarget && (prefix === 't' || (prefix === '' && inSource === null))) return { side: 'target', field: inTarget }
  if (inSource && (prefix === 's' || (prefix === '' && inTarget === null))) return { side: 'source', field: inSource }
  return null
}

function targetTest(node: unknown, sides: Sides): Test {
  const bare = unqualified(node, sides)
  return bare === null ? ANY : testFrom(bare, sides.target)
}

/** The tree with the table's columns by their bare names; null when it speaks of anything else. */
function unqualified(node: unknown, sides: Sides): unknown {
  if (Array.isArray(node)) {
    const items = node.map((item) => unqualified(item, sides))
    return items.every((item, i) => item !== null || node[i] === null) ? items : null
  }
  if (!isObject(node)) return node
  if (node.class === 'COLUMN_REF') {
    const column = columnOf(node, sides)
    return column?.side === 'target' ? { ...node, column_names: [column.field.name] } : null
  }
  if (textOf(node.class) === 'SUBQUERY') return null
  const bare: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(node)) {
    const inner = unqualified(value, sides)
    if (inner === null && value !== null) return null
    bare[key] = inner
  }
  return bare
}
