/**
 * The clauses of a merge as SQL over the table's rows `t` and the input's rows `s`: which clause applies to a row, and what it makes of it.
 * Of the clauses of a kind the first applies whose condition is true.
 */
import { invalid } from '../../base/index.ts'
import { completedSql, generationOf } from './computed.ts'
import { identifier } from './sql.ts'
import type { InputColumn } from './schema.ts'
import type { DeltaField, InsertClause, MatchedClause, MergeByCondition, Predicate } from './types.ts'

/** What a clause does, its expressions typed as the columns that they are for. */
export interface Clause {
  readonly and: Predicate | null
  readonly action: 'update' | 'delete' | 'insert'
  /** New values by column; none for a delete. */
  readonly values: ReadonlyMap<string, string>
}

export interface Clauses {
  readonly matched: readonly Clause[]
  readonly notMatched: readonly Clause[]
  readonly notMatchedBySource: readonly Clause[]
}

/** `valuesOf` gives the typed expressions of an assignment; those of rows without a match in the input are over `t` alone. */
export async function clausesOf(
  root: string,
  options: MergeByCondition,
  valuesOf: (assigned: 'all' | Readonly<Record<string, string>>, over: 'both' | 's' | 't') => Promise<ReadonlyMap<string, string>>,
): Promise<Clauses> {
  const { whenMatched = [], whenNotMatched = [], whenNotMatchedBySource = [] } = options
  if (whenMatched.length + whenNotMatched.length + whenNotMatchedBySource.length === 0)
    throw invalid('lake.bad_option', `The merge into ${root} does nothing`, { hint: "Add a clause, such as whenNotMatched: [{ insert: 'all' }]." })
  for (const clauses of [whenMatched, whenNotMatched, whenNotMatchedBySource]) {
    const open = clauses.findIndex(({ and }) => and === undefined)
    if (open >= 0 && open < clauses.length - 1)
      throw invalid('lake.bad_option', `Clause ${open + 1} of the merge into ${root} has no condition, so those behind it never apply`, {
        hint: 'Give it one with `and`, or put it last.',
      })
  }
  const changing = async (clause: MatchedClause, over: 'both' | 't'): Promise<Clause> => {
    const and = clause.and ?? null
    if ('delete' in clause) return { and, action: 'delete', values: new Map() }
    if (clause.update === 'all' && over === 't')
      throw invalid('lake.bad_option', `The merge into ${root} cannot update 'all' in rows that no input row matches`, {
        hint: 'Name the columns to set: update: { gone: "true" }.',
      })
    return { and, action: 'update', values: await valuesOf(clause.update, over) }
  }
  const inserting = async (clause: InsertClause): Promise<Clause> => ({ and: clause.and ?? null, action: 'insert', values: await valuesOf(clause.insert, 's') })
  // One after the other: they ask over one connection.
  const each = async <T>(items: readonly T[], make: (item: T) => Promise<Clause>): Promise<Clause[]> => {
    const made: Clause[] = []
    for (const item of items) made.push(await make(item))
    return made
  }
  return {
    matched: await each(whenMatched, (clause) => changing(clause, 'both')),
    notMatched: await each(whenNotMatched, inserting),
    notMatchedBySource: await each(whenNotMatchedBySource, (clause) => changing(clause, 't')),
  }
}

/** SQL for the number of the first clause that applies, from `first` on; null when none does. */
export function clauseNumber(clauses: readonly Clause[], first: number = 0): string {
  if (clauses.length === 0) return 'null::integer'
  return `case ${clauses.map(({ and }, i) => `when ${and === null ? 'true' : `(${and}\n)`} then ${first + i}`).join(' ')} end`
}

/**
 * A `select` of the table's columns from `from`, which has the rows `t` (and `s`) and in `number` SQL for the clause that applies. Without
 * one a row stays as it is; generated columns that no clause sets follow what they come from.
 */
export function updatedSql(fields: readonly DeltaField[], clauses: readonly Clause[], number: string, from: string): string {
  const late = new Set(fields.filter((field) => generationOf(field) !== null && !clauses.some(({ values }) => values.has(field.name))))
  const columns = fields.map(({ name }) => {
    const cases = clauses.flatMap(({ values }, i) => {
      const value = values.get(name)
      return value === undefined ? [] : [`when ${i} then ${value}`]
    })
    const old = `t.${identifier(name)}`
    return `${cases.length === 0 ? old : `case ${number} ${cases.join(' ')} else ${old} end`} as ${identifier(name)}`
  })
  const inner = `select ${columns.join(', ')} from ${from}`
  return late.size === 0
    ? inner
    : completedSql(
        fields.map((field): InputColumn => ({ field, sql: late.has(field) ? null : identifier(field.name) })),
        inner,
      )
}

/** A `select` of the table's columns from `from`, which has the rows `s`; what the clause does not give is computed, a default, or null. */
export function insertedSql(fields: readonly DeltaField[], { values }: Clause, from: string): string {
  const given = fields.flatMap(({ name }) => {
    const value = values.get(name)
    return value === undefined ? [] : [`${value} as ${identifier(name)}`]
  })
  const inner = `select ${given.length === 0 ? '1 as lagoa_row' : given.join(', ')} from ${from}`
  return completedSql(
    fields.map((field): InputColumn => ({ field, sql: values.has(field.name) ? identifier(field.name) : null })),
    inner,
  )
}
