/** Expressions of a SELECT: which columns a value is made of. */
import { isNode, type SqlNode } from '../tree.ts'
import { lookUp, mixed, scopeOf, Unresolved, type Column, type Relation, type Scope, type Source, type Values } from './scope.ts'

/** What reading an expression needs of the query that it stands in. */
export interface Reader {
  /** A subquery in this scope; what decides its rows decides its value. */
  readonly subquery: (node: unknown, scope: Scope) => Relation
  /** The query names this column: it would not run without it. */
  readonly name: (column: Column) => void
  readonly isAggregate: (name: string) => boolean
}

/** Functions whose arguments may be lambdas; elsewhere `->` takes a member out of JSON. */
const TAKES_LAMBDA = /^(list_|array_)?(transform|apply|filter|reduce)$/
/** Names that are values by themselves where no column has them. */
const VALUE_WORDS = /^(current_(date|time|timestamp|user|role|catalog|schema)|localtime|localtimestamp|user|session_user)$/i

export function valuesOf(node: unknown, scope: Scope, reader: Reader): Values {
  if (isNode(node) && node.class === 'COLUMN_REF') {
    const { columns, whole } = referred(node, scope, reader)
    return mixed(columns, whole)
  }
  return mixed(columnsIn(node, scope, reader))
}

/** Every column that the expression reads. */
export function columnsIn(node: unknown, scope: Scope, reader: Reader): Column[] {
  if (Array.isArray(node)) return node.flatMap((item) => columnsIn(item, scope, reader))
  if (!isNode(node)) return []
  switch (node.class) {
    case 'COLUMN_REF':
      return [...referred(node, scope, reader).columns]
    case 'STAR':
      throw new Unresolved('* or COLUMNS(...) stands inside an expression')
    case 'SUBQUERY':
      return subqueryColumns(node, scope, reader)
    case 'POSITIONAL_REFERENCE': {
      const column = scope.star[Number(node.index) - 1]
      if (!column) throw new Unresolved(`#${String(node.index)} names no column`)
      reader.name(column)
      return [column]
    }
    case 'FUNCTION':
      if (TAKES_LAMBDA.test(String(node.function_name)) && Array.isArray(node.children)) return lambdaCall(node, node.children, scope, reader)
  }
  return Object.values(node).flatMap((inner) => columnsIn(inner, scope, reader))
}

/** The expression holds an aggregate of its own query, so `group by all` does not group by it. */
export function aggregates(node: unknown, isAggregate: Reader['isAggregate']): boolean {
  if (Array.isArray(node)) return node.some((item) => aggregates(item, isAggregate))
  if (!isNode(node) || node.class === 'SUBQUERY') return false
  if (node.class === 'FUNCTION' && isAggregate(String(node.function_name).toLowerCase())) return true
  return Object.values(node).some((inner) => aggregates(inner, isAggregate))
}

function referred(node: SqlNode, scope: Scope, reader: Reader): { readonly columns: readonly Column[]; readonly whole: boolean } {
  const path = Array.isArray(node.column_names) ? node.column_names.map(String) : []
  try {
    const { columns, whole, needed } = lookUp(path, scope)
    if (needed) columns.forEach(reader.name)
    return { columns, whole }
  } catch (error) {
    if (error instanceof Unresolved && path.length === 1 && VALUE_WORDS.test(path[0] ?? '')) return { columns: [], whole: false }
    throw error
  }
}

function subqueryColumns(node: SqlNode, scope: Scope, reader: Reader): Column[] {
  const { columns, rows } = reader.subquery(isNode(node.subquery) ? node.subquery.node : null, scope)
  const decided = rows.map(({ source }) => sourceColumn(source))
  const compared = columnsIn(node.child, scope, reader)
  if (node.subquery_type === 'EXISTS' || node.subquery_type === 'NOT_EXISTS') return [...compared, ...decided]
  // A row of another width would not fit.
  columns.forEach(reader.name)
  return [...compared, ...columns, ...decided]
}

const sourceColumn = (source: Source): Column => ({
  name: null,
  values: new Map([[`${source.table}\0${source.column}`, { source, how: 'computed' as const }]]),
  passed: null,
})

function lambdaCall(node: SqlNode, args: readonly unknown[], scope: Scope, reader: Reader): Column[] {
  const { children: _, ...rest } = node
  const own = columnsIn(Object.values(rest), scope, reader)
  return args.reduce<Column[]>((all, argument) => {
    if (!isNode(argument) || argument.class !== 'LAMBDA') return [...all, ...columnsIn(argument, scope, reader)]
    // The parameters stand for what the other arguments hold, which is counted already.
    const parameters = parametersOf(argument.lhs).map((name): Column => ({ name, values: new Map(), passed: null }))
    return [...all, ...columnsIn(argument.expr, scopeOf([], parameters, scope), reader)]
  }, own)
}

function parametersOf(node: unknown): string[] {
  if (Array.isArray(node)) return node.flatMap(parametersOf)
  if (!isNode(node)) return []
  if (node.class === 'COLUMN_REF' && Array.isArray(node.column_names)) return [String(node.column_names[0])]
  return parametersOf(node.children)
}
