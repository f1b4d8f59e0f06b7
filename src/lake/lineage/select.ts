/**
 * Column lineage of a SELECT, from DuckDB's own syntax tree: which columns of which tables each result column is made of, which decide
 * the rows, and which the text names, so that it would not run without them. Exact or `unknown` with the reason, never a guess.
 */
import { isNode, type SqlNode } from '../tree.ts'
import { aggregates, columnsIn, valuesOf, type Reader } from './expressions.ts'
import { fromOf, influences, items, renamed, type From, type FromReader } from './from.ts'
import {
  columnCalled,
  keyOf,
  mixed,
  same,
  scopeOf,
  tableColumn,
  Unresolved,
  type Column,
  type Influence,
  type Relation,
  type RowsHow,
  type Scope,
  type Source,
  type ValueHow,
} from './scope.ts'

export interface QueryLineage {
  readonly columns: readonly ColumnLineage[]
  readonly rows: readonly { readonly source: Source; readonly how: RowsHow }[]
  /** The query would not run without these. */
  readonly needs: readonly Source[]
}

export interface ColumnLineage {
  /** Null where only the engine knows it: an expression without an alias. */
  readonly name: string | null
  readonly sources: readonly { readonly source: Source; readonly how: ValueHow }[]
  /** The column is there because `*` took this one along. */
  readonly passed: Source | null
}

export type Lineage = QueryLineage | { readonly unknown: string }

/** `tables` gives the columns of each table that the query may read. */
export function lineageOf(tree: SqlNode, tables: ReadonlyMap<string, readonly string[]>, isAggregate: (name: string) => boolean): Lineage {
  const statement = items(tree.statements)[0]
  try {
    const needs = new Map<string, Source>()
    const name = ({ passed }: Column): void => void (passed && needs.set(keyOf(passed), passed))
    const { columns, rows } = queryOf(isNode(statement) ? statement.node : null, { tables, ctes: new Map(), parent: null, name, isAggregate })
    return {
      columns: columns.map((column) => ({ name: column.name, sources: [...column.values.values()], passed: column.passed })),
      rows: [...new Map(rows.map((row) => [`${row.how}\0${keyOf(row.source)}`, row])).values()],
      needs: [...needs.values()],
    }
  } catch (error) {
    if (error instanceof Unresolved) return { unknown: error.message }
    throw error
  }
}

interface Context {
  readonly tables: ReadonlyMap<string, readonly string[]>
  /** By lower-cased name; read only when something reads them, as the engine does. */
  readonly ctes: ReadonlyMap<string, () => Relation>
  /** The query around this one. */
  readonly parent: Scope | null
  readonly name: Reader['name']
  readonly isAggregate: Reader['isAggregate']
}

function readerOf(context: Context): FromReader {
  return {
    name: context.name,
    isAggregate: context.isAggregate,
    subquery: (node, scope) => queryOf(node, { ...context, parent: scope }),
    table(schema, name) {
      const cte = schema === '' ? context.ctes.get(name.toLowerCase()) : undefined
      if (cte) return cte()
      const full = schema === '' ? name : `${schema}.${name}`
      const columns = context.tables.get(full)
      if (!columns) throw new Unresolved(`the columns of ${full} are not known`)
      return { columns: columns.map((column) => tableColumn({ table: full, column })), rows: [] }
    },
  }
}

function queryOf(node: unknown, outside: Context): Relation {
  if (!isNode(node)) throw new Unresolved('the query has a form that is not followed')
  const context = withDefinitions(node, outside)
  switch (node.type) {
    case 'SELECT_NODE':
      return selectOf(node, context)
    case 'SET_OPERATION_NODE':
      return setOf(node, context)
    case 'RECURSIVE_CTE_NODE':
      return recursiveOf(node, context)
    default:
      throw new Unresolved(`${String(node.type)} is not followed`)
  }
}

/** A definition sees those before it. */
function withDefinitions(node: SqlNode, context: Context): Context {
  const definitions = items(isNode(node.cte_map) ? node.cte_map.map : undefined).filter(isNode)
  return definitions.reduce<Context>((seen, { key, value }) => {
    const info = isNode(value) ? value : {}
    const query = isNode(info.query) ? info.query.node : null
    let known: Relation | undefined
    const read = (): Relation => {
      if (known) return known
      const { columns, rows } = queryOf(query, seen)
      known = { columns: renamed(columns, items(info.aliases).map(String), readerOf(seen)), rows }
      return known
    }
    return { ...seen, ctes: new Map([...seen.ctes, [String(key).toLowerCase(), read]]) }
  }, context)
}

function selectOf(node: SqlNode, context: Context): Relation {
  const reader = readerOf(context)
  const from = fromOf(node.from_table, context.parent, reader)
  const inner = scopeOf(from.relations, from.star, context.parent)
  const list = items(node.select_list).filter(isNode)
  const aliases = aliasesOf(list, inner, reader)
  // What the list names may be used in all other clauses; a column of the tables comes first.
  const scope: Scope = { ...inner, alias: aliases }
  const columns = list.flatMap((item) => itemColumns(item, scope, from, reader))
  const decided = (clause: unknown, how: RowsHow): Influence[] => influences(columnsIn(clause, scope, reader), how)
  const grouped =
    node.aggregate_handling === 'FORCE_AGGREGATES'
      ? influences(
          list.filter((item) => !aggregates(item, context.isAggregate)).flatMap((item) => itemColumns(item, scope, from, reader)),
          'grouped',
        )
      : items(node.group_expressions).flatMap((group) => influences(positioned(group, columns) ?? columnsIn(group, scope, reader), 'grouped'))
  return {
    columns,
    rows: [
      ...from.rows,
      ...decided(node.where_clause, 'filtered'),
      ...grouped,
      ...decided(node.having, 'filtered'),
      ...decided(node.qualify, 'filtered'),
      ...modifierRows(node, columns, scope, reader),
    ],
  }
}

/** Looks an alias up when it is used, so that one may stand on another; a circle is none of DuckDB's names either. */
function aliasesOf(list: readonly SqlNode[], inner: Scope, reader: Reader): Scope['alias'] {
  const underWay = new Set<SqlNode>()
  const alias: Scope['alias'] = (name) => {
    const item = list.find((one) => typeof one.alias === 'string' && one.alias !== '' && same(one.alias, name))
    if (!item || underWay.has(item)) return null
    underWay.add(item)
    try {
      return { name, values: valuesOf(item, { ...inner, alias }, reader), passed: null }
    } finally {
      underWay.delete(item)
    }
  }
  return alias
}

function itemColumns(item: SqlNode, scope: Scope, from: From, reader: Reader): Column[] {
  if (item.class === 'STAR') return starColumns(item, scope, from, reader)
  const alias = typeof item.alias === 'string' && item.alias !== '' ? item.alias : null
  const path = item.class === 'COLUMN_REF' ? items(item.column_names) : []
  return [{ name: alias ?? (path.length > 0 ? String(path.at(-1)) : null), values: valuesOf(item, scope, reader), passed: null }]
}

function starColumns(item: SqlNode, scope: Scope, from: From, reader: Reader): Column[] {
  if (isNode(item.expr)) throw new Unresolved('COLUMNS(...) with a condition is not followed')
  const relation = typeof item.relation_name === 'string' && item.relation_name !== '' ? item.relation_name : null
  const all = relation === null ? from.star : from.relations.find(({ alias }) => same(alias, relation))?.columns
  if (!all) throw new Unresolved(`no table ${String(relation)} is known`)
  const named = (name: string): Column => {
    const column = called(all, name)
    reader.name(column)
    return column
  }
  const excluded = [
    ...items(item.exclude_list).map((name) => named(String(name))),
    ...items(item.qualified_exclude_list)
      .filter(isNode)
      .map((one) => {
        const column = qualified(one, all, scope)
        reader.name(column)
        return column
      }),
  ]
  const replaced = new Map(pairs(item.replace_list).map(([name, expression]) => [named(String(name)), expression]))
  // Unlike the others, a rename of what is not there is no fault to the engine.
  const renames = new Map(pairs(item.rename_list).map(([key, name]) => [isNode(key) ? qualified(key, all, scope) : called(all, String(key)), String(name)]))
  return all.flatMap((column) => {
    if (excluded.includes(column)) return []
    const expression = replaced.get(column)
    if (expression !== undefined) return [{ name: column.name, values: valuesOf(expression, scope, reader), passed: null }]
    return [{ ...column, name: renames.get(column) ?? column.name }]
  })
}

const pairs = (list: unknown): [unknown, unknown][] => items(list).flatMap((entry) => (isNode(entry) ? [[entry.key, entry.value]] : []))

/** A name that EXCLUDE or RENAME gives, with or without its table. */
function qualified(name: SqlNode, all: readonly Column[], { relations }: Scope): Column {
  const table = typeof name.table === 'string' && name.table !== '' ? name.table : null
  return called(table === null ? all : (relations.find(({ alias }) => same(alias, table))?.columns ?? []), String(name.column))
}

function called(columns: readonly Column[], name: string): Column {
  const column = columnCalled(columns, name)
  if (!column) throw new Unresolved(`no column ${name} is known`)
  return column
}

/** `group by 1` and `order by 2` mean columns of the result. */
function positioned(node: unknown, columns: readonly Column[]): Column[] | null {
  if (!isNode(node) || node.class !== 'CONSTANT' || !isNode(node.value)) return null
  const column = columns[Number(node.value.value) - 1]
  return column ? [column] : []
}

/** In ORDER BY and DISTINCT ON a name that stands alone is first one of the result; inside an expression columns of the tables come first. */
function modifierRows(node: SqlNode, columns: readonly Column[], scope: Scope, reader: Reader): Influence[] {
  const read = (expression: unknown): readonly Column[] => {
    if (!isNode(expression)) return []
    if (expression.class === 'STAR') return columns
    const path = expression.class === 'COLUMN_REF' ? items(expression.column_names) : []
    const result = path.length === 1 ? columns.find(({ name }) => same(name, String(path[0]))) : undefined
    return result ? [result] : (positioned(expression, columns) ?? columnsIn(expression, scope, reader))
  }
  return items(node.modifiers)
    .filter(isNode)
    .flatMap((modifier) => {
      switch (modifier.type) {
        case 'ORDER_MODIFIER':
          return items(modifier.orders).flatMap((order) => influences(isNode(order) ? read(order.expression) : [], 'ordered'))
        case 'DISTINCT_MODIFIER': {
          const targets = items(modifier.distinct_on_targets)
          return influences(targets.length > 0 ? targets.flatMap(read) : columns, 'grouped')
        }
        default:
          return influences(columnsIn([modifier.limit, modifier.offset], scope, reader), 'filtered')
      }
    })
}

function setOf(node: SqlNode, context: Context): Relation {
  const left = queryOf(node.left, context)
  const right = queryOf(node.right, context)
  const kind = String(node.setop_type)
  const rows = [...left.rows, ...right.rows]
  const columns = kind === 'UNION_BY_NAME' ? byName(left, right) : byPosition(kind, left, right, readerOf(context))
  const decided =
    kind === 'EXCEPT' || kind === 'INTERSECT'
      ? influences([...left.columns, ...right.columns], 'filtered')
      : node.setop_all === true
        ? []
        : influences(columns, 'grouped')
  return { columns, rows: [...rows, ...decided, ...modifierRows(node, columns, scopeOf([], columns, context.parent), readerOf(context))] }
}

/** Both sides must have as many columns, so each of them is needed. */
function byPosition(kind: string, left: Relation, right: Relation, reader: Reader): Column[] {
  if (!/^(UNION|EXCEPT|INTERSECT)$/.test(kind)) throw new Unresolved(`${kind} is not followed`)
  if (left.columns.length !== right.columns.length) throw new Unresolved('the two sides of a set operation have columns of unknown number')
  for (const column of [...left.columns, ...right.columns]) reader.name(column)
  return left.columns.map((column, i) => {
    const other = right.columns[i]
    return { name: column.name, values: kind === 'EXCEPT' || !other ? column.values : mixed([column, other], true), passed: null }
  })
}

function byName(left: Relation, right: Relation): Column[] {
  if ([...left.columns, ...right.columns].some(({ name }) => name === null)) throw new Unresolved('UNION BY NAME of an expression without an alias')
  const partner = (columns: readonly Column[], { name }: Column): Column | undefined => columns.find((column) => same(column.name, name ?? ''))
  return [
    ...left.columns.map((column) => {
      const other = partner(right.columns, column)
      return other ? { name: column.name, values: mixed([column, other], true), passed: null } : column
    }),
    ...right.columns.filter((column) => !partner(left.columns, column)),
  ]
}

/** The second part reads what the first and itself give: read again until nothing new comes, which the number of columns bounds. */
function recursiveOf(node: SqlNode, context: Context): Relation {
  if (items(node.key_targets).length > 0) throw new Unresolved('a recursive WITH USING KEY is not followed')
  const name = String(node.cte_name).toLowerCase()
  const reader = readerOf(context)
  let columns: readonly Column[] = renamed(queryOf(node.left, context).columns, items(node.aliases).map(String), reader)
  const start = queryOf(node.left, context).rows
  for (;;) {
    const known = columns
    const again = queryOf(node.right, { ...context, ctes: new Map([...context.ctes, [name, (): Relation => ({ columns: known, rows: [] })]]) })
    columns = byPosition('UNION', { columns: known, rows: [] }, again, reader)
    const size = (list: readonly Column[]): string => list.map(({ values }) => [...values].map(([key, { how }]) => key + how).join()).join(';')
    if (size(columns) === size(known)) return { columns, rows: [...start, ...again.rows] }
  }
}
