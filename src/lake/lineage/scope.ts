/**
 * Names in a SELECT: which column of which table an expression means, by DuckDB's own rules. A name that cannot be resolved with
 * certainty throws `Unresolved`, so that lineage is never guessed.
 */

/** A column of a table that the query reads. */
export interface Source {
  readonly table: string
  readonly column: string
}

export type ValueHow = 'copied' | 'computed'
export type RowsHow = 'filtered' | 'joined' | 'grouped' | 'ordered'

/** What a value is made of. */
export type Values = ReadonlyMap<string, { readonly source: Source; readonly how: ValueHow }>

export interface Column {
  /** Null when only the engine knows what it calls an expression without an alias. */
  readonly name: string | null
  readonly values: Values
  /** The column is there because `*` took this one along: when that goes, so does this. */
  readonly passed: Source | null
}

/** What decides which rows there are. */
export interface Influence {
  readonly source: Source
  readonly how: RowsHow
}

export interface Relation {
  readonly columns: readonly Column[]
  readonly rows: readonly Influence[]
}

/** A relation under a name, as `alias.column` finds it. */
export interface Named {
  readonly schema: string | null
  readonly alias: string | null
  readonly columns: readonly Column[]
}

export interface Scope {
  readonly relations: readonly Named[]
  /** What `*` gives, and what a bare name is looked for in: columns that USING merges are there once. */
  readonly star: readonly Column[]
  /** The names that a SELECT list gives; they may be used beside and after it. */
  readonly alias: (name: string) => Column | null
  readonly parent: Scope | null
}

export class Unresolved extends Error {
  override readonly name = 'Unresolved'
}

export const keyOf = ({ table, column }: Source): string => `${table}\0${column}`
export const same = (a: string | null, b: string): boolean => a !== null && a.toLowerCase() === b.toLowerCase()

const noAlias = (): null => null

export function scopeOf(relations: readonly Named[], star: readonly Column[], parent: Scope | null): Scope {
  return { relations, star, alias: noAlias, parent }
}

/** A column that is there by itself, as a table of the lake has it. */
export function tableColumn(source: Source): Column {
  return { name: source.column, values: new Map([[keyOf(source), { source, how: 'copied' }]]), passed: source }
}

/** Made of all these: copied stays copied only where `asIs` says so. */
export function mixed(columns: Iterable<Column>, asIs: boolean = false): Values {
  const values = new Map<string, { source: Source; how: ValueHow }>()
  for (const column of columns) {
    for (const [key, { source, how }] of column.values) {
      const computed = !asIs || how === 'computed' || values.get(key)?.how === 'computed'
      values.set(key, { source, how: computed ? 'computed' : 'copied' })
    }
  }
  return values
}

export interface Meaning {
  /** One column, or all columns of a row that is used as one value. */
  readonly columns: readonly Column[]
  /** The value is the column itself, not a field of it. */
  readonly whole: boolean
  /** The query would not run without the column. */
  readonly needed: boolean
}

/** `column`, `alias.column`, `schema.alias.column`, each with fields of a struct behind it; from the inside outwards. */
export function lookUp(path: readonly string[], scope: Scope | null): Meaning {
  for (let here = scope; here !== null; here = here.parent) {
    const found = lookUpIn(path, here)
    if (found) return found
  }
  throw new Unresolved(`no column ${path.join('.')} is known`)
}

function lookUpIn(path: readonly string[], scope: Scope): Meaning | null {
  const [first = '', second, third] = path
  if (third !== undefined) {
    const relation = scope.relations.find(({ schema, alias }) => same(schema, first) && same(alias, second ?? ''))
    const column = relation && columnCalled(relation.columns, third)
    if (column) return { columns: [column], whole: path.length === 3, needed: true }
  }
  if (second !== undefined) {
    for (const relation of scope.relations) {
      if (!same(relation.alias, first)) continue
      const column = columnCalled(relation.columns, second)
      if (column) return { columns: [column], whole: path.length === 2, needed: true }
    }
  }
  const column = columnCalled(scope.star, first) ?? scope.alias(first)
  if (column) return { columns: [column], whole: path.length === 1, needed: true }
  const row = path.length === 1 ? scope.relations.find(({ alias }) => same(alias, first)) : undefined
  return row ? { columns: row.columns, whole: false, needed: false } : null
}

/** A name that may be that of a column which only the engine can name is no certain miss. */
export function columnCalled(columns: readonly Column[], name: string): Column | null {
  const found = columns.find((column) => same(column.name, name))
  if (found) return found
  if (columns.some((column) => column.name === null)) throw new Unresolved(`${name} may be an expression without an alias`)
  return null
}
