/** Expectations: which rows break them, and the quarantine that holds those that may not pass. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid } from '../base/index.ts'
import { readCondition } from './checks.ts'
import { fieldsOfRelation, type CommitOptions, type CreateOptions, type DeltaTable, type Relation } from './delta/index.ts'
import type { Model } from './model.ts'
import { quoteName, quoteText } from './sql.ts'

export interface CheckResult {
  readonly severity: 'warn' | 'quarantine' | 'fail'
  readonly violations: number
}

export interface Verdict {
  readonly checks: Readonly<Record<string, CheckResult>>
  readonly good: Relation
  /** The rows to hold with `_failed`, the rules that each breaks, and `_input_version`; null when the model holds none. */
  readonly bad: Relation | null
  readonly held: number
}

/** Judges the rows of a table that this connection can read. A broken `fail` rule throws. */
export async function judge(connection: DuckDBConnection, model: Model, rows: string, version: number): Promise<Verdict> {
  const columns = (await fieldsOfRelation({ connection, sql: rows })).map(({ name }) => name)
  const rules: { readonly name: string; readonly severity: CheckResult['severity']; readonly broken: string; readonly condition: string }[] = []
  for (const { name, severity, condition } of model.expectations) {
    const text = await readCondition(connection, condition, columns, `Expectation ${name} of ${model.name}`)
    rules.push({ name, severity, condition, broken: `((${text}\n) is false)` })
  }
  const holding = rules.filter(({ severity }) => severity === 'quarantine')
  const bad = holding.length === 0 ? 'false' : holding.map(({ broken }) => broken).join(' or ')
  const counts = await count(connection, model, rows, [...rules.map(({ broken }) => broken), `(${bad})`])
  const checks = Object.fromEntries(rules.map(({ name, severity }, i) => [name, { severity, violations: counts[i] ?? 0 }]))
  const failed = rules.find(({ name, severity }) => severity === 'fail' && (checks[name]?.violations ?? 0) > 0)
  if (failed) {
    const violations = checks[failed.name]?.violations ?? 0
    throw invalid(
      'lake.expectation_failed',
      `${model.name}: ${violations} ${violations === 1 ? 'row breaks' : 'rows break'} ${failed.name} (${failed.condition})`,
      {
        hint: 'The table stays at its last version. Mend the SQL or the source, or make the expectation quarantine(...).',
      },
    )
  }
  if (holding.length === 0) return { checks, good: { connection, sql: rows }, bad: null, held: 0 }
  const reasons = holding.map(({ name, broken }) => `case when ${broken} then ${quoteText(name)} end`).join(', ')
  // A table made from a quarantine may carry these two columns already.
  const own = columns.filter((name) => !['_failed', '_input_version'].includes(name.toLowerCase())).map(quoteName)
  return {
    checks,
    good: { connection, sql: `select * from (${rows}) where not (${bad})` },
    bad: {
      connection,
      sql: `select ${own.join(', ')}, concat_ws(', ', ${reasons}) as _failed, ${version}::bigint as _input_version from (${rows}) where ${bad}`,
    },
    held: counts.at(-1) ?? 0,
  }
}

async function count(connection: DuckDBConnection, model: Model, rows: string, conditions: readonly string[]): Promise<number[]> {
  try {
    const reader = await connection.runAndReadAll(`select ${conditions.map((condition) => `count(*) filter (where ${condition})`).join(', ')} from (${rows})`)
    return (reader.getRows()[0] ?? []).map(Number)
  } catch (error) {
    throw invalid(
      'lake.expectation_sql',
      `An expectation of ${model.name} cannot be computed: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]}`,
      { hint: 'Its condition is SQL over the columns of the table, true or false for each row.', cause: error },
    )
  }
}

/** Which held rows a refresh replaces: all, those of some windows, or those ahead of what the table covers, left there by a crash. */
export type HeldScope = 'all' | { readonly where: string } | { readonly after: number }

/** Stores the held rows before the table itself is committed; doing it again replaces what the first time stored. */
export async function hold(
  quarantine: DeltaTable,
  model: Model,
  { bad, held }: Verdict,
  scope: HeldScope,
  shape: Pick<CreateOptions, 'configuration'>,
  commit: CommitOptions,
): Promise<void> {
  if (bad === null) return
  const exists = (await quarantine.snapshot()) !== null
  if (!exists && held === 0) return
  const as: CreateOptions = { fields: await fieldsOfRelation(bad), description: `Rows of ${model.name} that broke an expectation`, ...shape }
  if (!exists) await quarantine.create(as)
  const options: CommitOptions = commit.signal ? { signal: commit.signal } : {}
  if (scope === 'all') await quarantine.overwrite(bad, { ...options, as })
  else await quarantine.overwrite(bad, { ...options, where: 'where' in scope ? scope.where : `_input_version > ${scope.after}` })
}
