/**
 * What a table expects of its rows: checks as plain values, each with what happens when it is broken. A column is named by text or by
 * a reference (`raw.c.co`), so that a renamed one is a compile error here too.
 */
import { invalid, parseDuration, type ColumnRef } from '../base/index.ts'

export type ColumnName = string | ColumnRef
export type Bound = number | string | Date

/** About single rows, which can be held back one by one. As in a CHECK constraint, null meets every check but `notNull`. */
export type RowCheck =
  /** A condition in SQL that every row should meet. */
  | { readonly kind: 'sql'; readonly condition: string }
  | { readonly kind: 'notNull'; readonly columns: readonly string[] }
  | { readonly kind: 'unique'; readonly columns: readonly string[] }
  | { readonly kind: 'between'; readonly column: string; readonly least: Bound; readonly most: Bound }
  | { readonly kind: 'oneOf'; readonly column: string; readonly values: readonly (string | number | boolean)[] }
  | { readonly kind: 'matches'; readonly column: string; readonly pattern: string; readonly flags: string }

/** About the table as a whole after the refresh: there is no row to hold back, so only `warn` and `fail` take these. */
export type TableCheck =
  | { readonly kind: 'rowCount'; readonly min: number | null; readonly max: number | null }
  | { readonly kind: 'fresh'; readonly column: string; readonly within: string | number }

export type Check = RowCheck | TableCheck
export type CheckKind = Check['kind']

export interface Expectation {
  readonly severity: 'warn' | 'quarantine' | 'fail'
  readonly check: Check
}

/** What breaks it is counted and kept. */
export const warn = (check: Check | string): Expectation => ({ severity: 'warn', check: asCheck(check) })
/** Rows that break it are held in `<table>_quarantine` with the reason, and do not reach the table until a replay finds that they may. */
export const quarantine = (check: RowCheck | string): Expectation => ({ severity: 'quarantine', check: asCheck(check) })
/** One row that breaks it stops the refresh; the table stays as it was. */
export const fail = (check: Check | string): Expectation => ({ severity: 'fail', check: asCheck(check) })

const asCheck = (check: Check | string): Check => (typeof check === 'string' ? { kind: 'sql', condition: check } : check)

/** Every one of these columns has a value. */
export const notNull = (...columns: readonly [ColumnName, ...ColumnName[]]): RowCheck => ({ kind: 'notNull', columns: columns.map(nameOf) })

/**
 * No two rows of the table have the same values in these columns; a row with a null in one of them is like no other. Held under
 * `quarantine` are all but the first: a row that the table has stays, then the first in the order of the SQL of a merged table, the
 * smallest row by all its columns elsewhere. Rows with one merge key are one row.
 */
export const unique = (...columns: readonly [ColumnName, ...ColumnName[]]): RowCheck => ({ kind: 'unique', columns: columns.map(nameOf) })

/** From `least` to `most`, both included. */
export const between = (column: ColumnName, least: Bound, most: Bound): RowCheck => ({ kind: 'between', column: nameOf(column), least, most })

/** One of these values. */
export const oneOf = (column: ColumnName, values: readonly (string | number | boolean)[]): RowCheck => ({ kind: 'oneOf', column: nameOf(column), values })

/**
 * The pattern is found in the column's text. It is read as RE2 reads it (github.com/google/re2/wiki/Syntax), in time that grows with the
 * text alone: no look-around, no back references, `\d`, `\w`, `\s` and `\b` are about ASCII; of JavaScript's flags i, m, s and u are taken.
 */
export const matches = (column: ColumnName, pattern: RegExp): RowCheck => ({
  kind: 'matches',
  column: nameOf(column),
  pattern: pattern instanceof RegExp ? pattern.source : String(pattern),
  flags: pattern instanceof RegExp ? pattern.flags : '',
})

/** How many rows the table has after a refresh. */
export const rowCount = ({ min, max }: { readonly min?: number; readonly max?: number }): TableCheck => ({
  kind: 'rowCount',
  min: min ?? null,
  max: max ?? null,
})

/** After a refresh the newest value of this time is no older than that; a table without one is not fresh. */
export const fresh = (column: ColumnName, within: string | number): TableCheck => {
  if (parseDuration(within) === null)
    throw invalid('lake.duration', `fresh(${nameOf(column)}): "${within}" is no duration`, { hint: "Write '15 min', '2h' or '1d', for example." })
  return { kind: 'fresh', column: nameOf(column), within }
}

export const isTableCheck = (check: Check): check is TableCheck => check.kind === 'rowCount' || check.kind === 'fresh'

/** The check as a person reads it. */
export function describeCheck(check: Check): string {
  switch (check.kind) {
    case 'sql':
      return check.condition
    case 'notNull':
      return `${check.columns.join(', ')} not null`
    case 'unique':
      return `unique ${check.columns.join(', ')}`
    case 'between':
      return `${check.column} between ${boundText(check.least)} and ${boundText(check.most)}`
    case 'oneOf':
      return `${check.column} one of ${check.values.map(String).join(', ')}`
    case 'matches':
      return `${check.column} matches /${check.pattern}/${check.flags}`
    case 'rowCount':
      return [check.min === null ? '' : `at least ${check.min} rows`, check.max === null ? '' : `at most ${check.max} rows`].filter(Boolean).join(', ')
    case 'fresh':
      return `newest ${check.column} within ${check.within}${typeof check.within === 'number' ? ' ms' : ''}`
  }
}

/** The columns that a check names; those of SQL only DuckDB can tell. */
export function columnsOf(check: Check): readonly string[] {
  if (check.kind === 'notNull' || check.kind === 'unique') return check.columns
  return check.kind === 'sql' || check.kind === 'rowCount' ? [] : [check.column]
}

const boundText = (bound: Bound): string => (bound instanceof Date ? bound.toISOString() : String(bound))

/** A misspelled column of a typed table is `undefined` here, which no check may take for a name. */
function nameOf(column: ColumnName | undefined): string {
  const name = typeof column === 'string' ? column : column?.name
  if (name === undefined || name === '')
    throw invalid('lake.unknown_reference', 'A check names a column that is undefined', {
      hint: 'A column of that name does not exist; check its spelling.',
    })
  return name
}
