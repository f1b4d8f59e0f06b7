/** The FROM clause: the relations that a SELECT reads, under the names that it gives them. */
import { isNode, type SqlNode } from '../tree.ts'
import { columnsIn, type Reader } from './expressions.ts'
import { columnCalled, mixed, same, scopeOf, Unresolved, type Column, type Influence, type Named, type Relation, type RowsHow, type Scope } from './scope.ts'

export interface From {
  readonly relations: readonly Named[]
  readonly star: readonly Column[]
  readonly rows: readonly Influence[]
}

export interface FromReader extends Reader {
  /** A table of the lake or a name that WITH gives. */
  readonly table: (schema: string, name: string) => Relation
}

const EMPTY: From = { relations: [], star: [], rows: [] }

/** `outer` is what stands left of it and around the query: subqueries and functions here may refer to that. */
export function fromOf(node: unknown, outer: Scope | null, reader: FromReader): From {
  if (!isNode(node)) return EMPTY
  switch (node.type) {
    case 'EMPTY':
      return EMPTY
    case 'BASE_TABLE': {
      const schema = text(node.schema_name)
      const name = text(node.table_name)
      return named(node, reader.table(schema, name), name, schema || null, reader)
    }
    case 'SUBQUERY':
      return named(node, reader.subquery(isNode(node.subquery) ? node.subquery.node : null, outer ?? scopeOf([], [], null)), null, null, reader)
    case 'EXPRESSION_LIST':
      return named(node, { columns: listColumns(node, outer, reader), rows: [] }, null, null, reader)
    case 'TABLE_FUNCTION':
      return functionOf(node, outer, reader)
    case 'JOIN':
      return joinOf(node, outer, reader)
    case 'PIVOT':
      return Array.isArray(node.unpivot_names) && node.unpivot_names.length > 0 ? unpivotOf(node, outer, reader) : pivotOf(node, outer, reader)
    default:
      throw new Unresolved(`${String(node.type)} in FROM is not followed`)
  }
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')
export const items = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const nodes = (value: unknown): SqlNode[] => items(value).filter(isNode)

/** Marks that the query needs the columns, and tells how they decide its rows. */
export function influences(columns: Iterable<Column>, how: RowsHow): Influence[] {
  return [...mixed(columns).values()].map(({ source }) => ({ source, how }))
}

function named(node: SqlNode, relation: Relation, name: string | null, schema: string | null, reader: Reader): From {
  const alias = text(node.alias)
  const columns = renamed(relation.columns, items(node.column_name_alias).map(String), reader)
  return { relations: [{ schema: alias === '' ? schema : null, alias: alias === '' ? name : alias, columns }], star: columns, rows: relation.rows }
}

/** `t(a, b)`: names by position, so a column that went missing before them would break or shift them. */
export function renamed(columns: readonly Column[], names: readonly string[], reader: Reader): readonly Column[] {
  if (names.length === 0) return columns
  columns.forEach(reader.name)
  return columns.map((column, i) => ({ ...column, name: names[i] ?? column.name }))
}

function listColumns(node: SqlNode, outer: Scope | null, reader: Reader): Column[] {
  const rows = items(node.values).map(items)
  return (rows[0] ?? []).map((_, i) => ({
    name: `col${i}`,
    values: mixed(rows.flatMap((row) => columnsIn(row[i], outer ?? scopeOf([], [], null), reader))),
    passed: null,
  }))
}

/** Functions that give one column; its name when the query gives none. */
const ONE_COLUMN: Readonly<Record<string, string>> = { unnest: 'unnest', range: 'range', generate_series: 'generate_series' }

function functionOf(node: SqlNode, outer: Scope | null, reader: Reader): From {
  const call = isNode(node.function) ? node.function : {}
  const name = text(call.function_name).toLowerCase()
  const own = ONE_COLUMN[name]
  if (own === undefined || items(call.children).length > (name === 'unnest' ? 1 : 3)) throw new Unresolved(`the columns of ${name}() in FROM are not known`)
  if (text(node.with_ordinality) === 'WITH_ORDINALITY') throw new Unresolved('WITH ORDINALITY is not followed')
  const read = columnsIn(call, outer ?? scopeOf([], [], null), reader)
  const column: Column = {
    name: items(node.column_name_alias).length > 0 || text(node.alias) === '' ? own : text(node.alias),
    values: mixed(read),
    passed: null,
  }
  return named(node, { columns: [column], rows: influences(read, 'joined') }, name, null, reader)
}

function joinOf(node: SqlNode, outer: Scope | null, reader: FromReader): From {
  const left = fromOf(node.left, outer, reader)
  const right = fromOf(node.right, scopeOf(left.relations, left.star, outer), reader)
  const kind = text(node.join_type)
  if (!/^(INNER|LEFT|RIGHT|FULL|OUTER|SEMI|ANTI)$/.test(kind)) throw new Unresolved(`a ${kind} join is not followed`)
  const both = [...left.relations, ...right.relations]
  const shared = sharedNames(node, left, right)
  const merged = shared.map((name) => {
    const pair = [visible(left.star, name), visible(right.star, name)] as const
    pair.forEach(reader.name)
    return { name, pair, column: mergedColumn(kind, pair) }
  })
  const scope = scopeOf(both, [...left.star, ...right.star], outer)
  const rows = [
    ...left.rows,
    ...right.rows,
    ...influences(columnsIn(node.condition, scope, reader), 'joined'),
    ...influences(
      merged.flatMap(({ pair }) => [...pair]),
      'joined',
    ),
  ]
  if (kind === 'SEMI' || kind === 'ANTI') return { relations: left.relations, star: left.star, rows }
  const isShared = (column: Column): boolean => merged.some(({ name }) => same(column.name, name))
  const star = [
    ...left.star.map((column) => merged.find(({ name }) => same(column.name, name))?.column ?? column),
    ...right.star.filter((column) => !isShared(column)),
  ]
  return { relations: both, star, rows }
}

function sharedNames(node: SqlNode, left: From, right: From): string[] {
  if (node.ref_type !== 'NATURAL') return items(node.using_columns).map(String)
  if ([...left.star, ...right.star].some(({ name }) => name === null)) throw new Unresolved('a NATURAL join of columns without names')
  return left.star.flatMap(({ name }) => (name !== null && right.star.some((column) => same(column.name, name)) ? [name] : []))
}

function visible(columns: readonly Column[], name: string): Column {
  const column = columnCalled(columns, name)
  if (!column) throw new Unresolved(`no column ${name} is known on both sides of a join`)
  return column
}

function mergedColumn(kind: string, [left, right]: readonly [Column, Column]): Column {
  if (kind === 'FULL' || kind === 'OUTER') return { name: left.name, values: mixed([left, right]), passed: null }
  return { ...(kind === 'RIGHT' ? right : left), name: left.name, passed: null }
}

function pivotOf(node: SqlNode, outer: Scope | null, reader: FromReader): From {
  const source = fromOf(node.source, outer, reader)
  const scope = scopeOf(source.relations, source.star, outer)
  const aggregated = nodes(node.aggregates).map((call) => ({ alias: text(call.alias), columns: columnsIn(call, scope, reader) }))
  const pivots = nodes(node.pivots).map((pivot) => ({
    columns: columnsIn(pivot.pivot_expressions, scope, reader),
    names: nodes(pivot.entries).map(entryName),
  }))
  const used = new Set([...aggregated, ...pivots].flatMap(({ columns }) => columns))
  const groupNames = items(node.groups).map(String)
  const groups = groupNames.length > 0 ? groupNames.map((name) => visible(source.star, name)) : source.star.filter((column) => !used.has(column))
  if (groupNames.length > 0) groups.forEach(reader.name)
  if (aggregated.length > 1 && aggregated.some(({ alias }) => alias === '')) throw new Unresolved('a PIVOT with several aggregates that have no names')
  const by = pivots.flatMap(({ columns }) => columns)
  const made = crossed(pivots.map(({ names }) => names)).flatMap((entry) =>
    aggregated.map(({ alias, columns }): Column => ({ name: alias === '' ? entry : `${entry}_${alias}`, values: mixed([...columns, ...by]), passed: null })),
  )
  return named(node, { columns: [...groups, ...made], rows: [...source.rows, ...influences(groups, 'grouped')] }, null, null, reader)
}

function entryName(entry: SqlNode): string {
  if (isNode(entry.star_expr) || isNode(entry.expr)) throw new Unresolved('a PIVOT over computed values')
  if (text(entry.alias) !== '') return text(entry.alias)
  return nodes(entry.values)
    .map(({ value, is_null }) => (is_null === true ? 'NULL' : String(value)))
    .join('_')
}

const crossed = (lists: readonly (readonly string[])[]): string[] =>
  lists.reduce<string[] | null>((all, list) => (all === null ? [...list] : all.flatMap((head) => list.map((tail) => `${head}_${tail}`))), null) ?? []

function unpivotOf(node: SqlNode, outer: Scope | null, reader: FromReader): From {
  const source = fromOf(node.source, outer, reader)
  const [pivot, ...others] = nodes(node.pivots)
  const valueNames = items(node.unpivot_names).map(String)
  const nameNames = items(pivot?.unpivot_names).map(String)
  if (!pivot || others.length > 0 || valueNames.length !== 1 || nameNames.length !== 1) throw new Unresolved('an UNPIVOT of several values')
  const turned = nodes(pivot.entries).map((entry) => {
    if (isNode(entry.star_expr) || isNode(entry.expr) || items(entry.values).length !== 1) throw new Unresolved('an UNPIVOT over computed columns')
    return visible(source.star, entryName({ ...entry, alias: '' }))
  })
  turned.forEach(reader.name)
  const columns: Column[] = [
    ...source.star.filter((column) => !turned.includes(column)),
    { name: nameNames[0] ?? '', values: new Map(), passed: null },
    { name: valueNames[0] ?? '', values: mixed(turned, true), passed: null },
  ]
  // A null makes no row unless it is asked for.
  const rows = node.include_nulls === true ? source.rows : [...source.rows, ...influences(turned, 'filtered')]
  return named(node, { columns, rows }, null, null, reader)
}
