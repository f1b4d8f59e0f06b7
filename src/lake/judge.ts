/**
 * Expectations at work: which rows of a refresh break them, and what becomes of those. The rows stand in a temporary table, whose order
 * is theirs; `rest` is what the table has beside them.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid, LagoaError, parseDuration } from '../base/index.ts'
import { rowCondition } from './conditions.ts'
import { fieldsOfRelation, type Relation } from './delta/index.ts'
import { describeCheck, isTableCheck, type Check, type CheckKind, type Expectation } from './expectations.ts'
import type { Model } from './model.ts'
import { quoteName, quoteText } from './sql.ts'

export interface CheckResult {
  readonly severity: Expectation['severity']
  readonly kind: CheckKind
  /** The check as it was then, as a person reads it. */
  readonly rule: string
  /** Rows that break it; 1 for a check of the whole table. */
  readonly violations: number
  /** Some of the rows that break it; those that are held stand in the quarantine instead. */
  readonly samples?: readonly SampleRow[]
  /** What a check of the whole table found. */
  readonly found?: string
}

export type SampleRow = Readonly<Record<string, unknown>>
export type CheckResults = Readonly<Record<string, CheckResult>>

/** Columns that a quarantine has beside those of its table. */
export const HELD_COLUMNS = {
  /** The rules that the row breaks. */
  failed: '_failed',
  /** The version of the input that the refresh covered. */
  inputVersion: '_input_version',
  /** The input version that brought a newer good row with the row's key; null while there is none. */
  supersededBy: '_superseded_by',
  /** The replay that is about to put the row into the table. */
  replay: '_replay',
} as const

export interface Verdict {
  readonly checks: CheckResults
  readonly good: Relation
  /** The rows to hold, with `HELD_COLUMNS`. */
  readonly bad: Relation
  /** The place (`_lagoa_row`, the offered table's rowid) of each row to hold, and the rules that it breaks. */
  readonly reasons: Relation
  readonly held: number
}

export interface Offer {
  readonly connection: DuckDBConnection
  /** A temporary table, in the order of the rows. */
  readonly table: string
  /** The columns that identify a row, of which the last one wins; null when rows are only rows. */
  readonly keys: readonly string[] | null
  /** SQL for the rows of the table that stay beside these; those with the same key are replaced. Null when nothing stays. */
  readonly rest: (() => Promise<string>) | null
  readonly version: number
  readonly now: number
  /** Whether a broken `fail` rule holds the row instead of stopping everything. */
  readonly lenient?: boolean
}

/** A refused refresh, with what the checks found. */
export class ExpectationFailed extends LagoaError {
  readonly checks: CheckResults

  constructor(message: string, checks: CheckResults) {
    super('invalid', 'lake.expectation_failed', message, {
      hint: 'The table stays at its last version. Mend the SQL or the source, or make the expectation quarantine(...).',
    })
    this.checks = checks
  }
}

interface Rule {
  readonly name: string
  readonly severity: Expectation['severity']
  readonly check: Check
  /** SQL over the offered rows, true where one breaks it; null for checks of the whole table. */
  readonly broken: string | null
  /** Such a row may not pass. */
  readonly holds: boolean
}

const SAMPLES = 5
const LONGEST_CELL = 200
const MOST_CELLS = 40

/** Judges the offered rows. A broken `fail` rule throws, unless the offer is lenient. */
export async function judge(model: Pick<Model, 'name' | 'expectations'>, offer: Offer): Promise<Verdict> {
  const { connection, table, lenient = false } = offer
  const columns = (await fieldsOfRelation({ connection, sql: `select * from ${table}` })).map(({ name }) => name)
  const rules: Rule[] = []
  const breaks = `${table}_breaks`
  await connection.run(`create or replace temp table ${breaks.replace(/^temp\./, '')} (row bigint, rule integer)`)
  for (const [index, { name, severity, check }] of model.expectations.entries()) {
    const condition = await rowCondition(connection, check, columns, `Expectation ${name} of ${model.name}`)
    const broken =
      condition !== null ? `((${condition}\n) is false)` : check.kind === 'unique' ? `rowid in (select row from ${breaks} where rule = ${index})` : null
    rules.push({ name, severity, check, broken, holds: broken !== null && (severity === 'quarantine' || (lenient && severity === 'fail')) })
  }
  return explaining(model, async () => {
    await findRepeats(offer, rules, columns, breaks)
    const held = rules.filter(({ holds }) => holds)
    const bad = held.length === 0 ? 'false' : held.map(({ broken }) => broken).join(' or ')
    const counted = rules.filter(({ broken }) => broken !== null)
    const measures = [...counted.map(({ broken }) => broken), `(${bad})`].map((condition) => `count(*) filter (where ${condition})`)
    const counts = ((await connection.runAndReadAll(`select ${measures.join(', ')} from ${table}`)).getRows()[0] ?? []).map(Number)
    const violations = new Map(counted.map((rule, i) => [rule.name, counts[i] ?? 0]))
    const own = columns.filter((name) => !isHeldColumn(name)).map(quoteName)
    const good = `select * from ${table} where not (${bad})`
    const checks: Record<string, CheckResult> = {}
    for (const rule of rules) {
      const { name, severity, check, broken, holds } = rule
      const told = { severity, kind: check.kind, rule: describeCheck(check) }
      if (isTableCheck(check)) checks[name] = { ...told, ...(await measure(offer, check, good)) }
      else {
        const count = violations.get(name) ?? 0
        const samples = count === 0 || holds ? [] : await samplesOf(connection, `select * from ${table} where ${broken}`)
        checks[name] = { ...told, violations: count, ...(samples.length > 0 ? { samples } : {}) }
      }
    }
    if (!lenient) refuseFailed(model.name, checks)
    else refuseFailed(model.name, Object.fromEntries(Object.entries(checks).filter(([name]) => !held.some((rule) => rule.name === name))))
    const reasons = held.map(({ name, broken }) => `case when ${broken} then ${quoteText(name)} end`).join(', ') || 'null::varchar'
    const same = offer.keys?.map((key) => `g.${quoteName(key)} is not distinct from b.${quoteName(key)}`).join(' and ')
    const overtaken =
      same === undefined
        ? 'null::bigint'
        : `case when exists (select 1 from (select rowid as _lagoa_row, * from ${table} where not (${bad})) g where ${same} and g._lagoa_row > b._lagoa_row) then ${offer.version}::bigint end`
    const broken = `select rowid as _lagoa_row, *, concat_ws(', ', ${reasons}) as _failed from ${table} where ${bad}`
    return {
      checks,
      good: { connection, sql: good },
      bad: {
        connection,
        sql: `select ${own.join(', ')}, _failed, ${offer.version}::bigint as _input_version, ${overtaken} as _superseded_by, null::bigint as _replay from (${broken}) b order by _lagoa_row`,
      },
      reasons: { connection, sql: `select _lagoa_row, _failed from (${broken})` },
      held: counts.at(-1) ?? 0,
    }
  })
}

const isHeldColumn = (name: string): boolean => Object.values<string>(HELD_COLUMNS).includes(name.toLowerCase())

function refuseFailed(table: string, checks: CheckResults): void {
  const failed = Object.entries(checks).find(([, { severity, violations }]) => severity === 'fail' && violations > 0)
  if (!failed) return
  const [name, { violations, rule, found }] = failed
  const what =
    found === undefined ? `${violations} ${violations === 1 ? 'row breaks' : 'rows break'} ${name} (${rule})` : `${name} is broken (${rule}): ${found}`
  throw new ExpectationFailed(`${table}: ${what}`, checks)
}

/**
 * Rows that repeat what another row has, for each `unique` check in turn. Rows that are held anyway stand in nobody's way. A row of the
 * table always stays; whether it goes with this very refresh is not asked, so that the table never has two.
 */
async function findRepeats({ connection, table, keys, rest }: Offer, rules: readonly Rule[], columns: readonly string[], breaks: string): Promise<void> {
  const gone = rules.flatMap(({ holds, check, broken }) => (holds && check.kind !== 'unique' ? [broken] : []))
  for (const [index, { check }] of rules.entries()) {
    if (check.kind !== 'unique') continue
    const tuple = check.columns.map(quoteName)
    const held = rules.flatMap(({ holds, check: other }, i) => (holds && other.kind === 'unique' && i < index ? [i] : []))
    const conditions = [...tuple.map((column) => `${column} is not null`), ...gone.map((broken) => `not ${broken}`)]
    if (held.length > 0) conditions.push(`rowid not in (select row from ${breaks} where rule in (${held.join(', ')}))`)
    const key = keys === null ? null : `struct_pack(${keys.map((column, i) => `k${i} := ${quoteName(column)}`).join(', ')})`
    const other = (left: string, right: string): string =>
      (keys ?? []).map((column) => `${left}.${quoteName(column)} is distinct from ${right}.${quoteName(column)}`).join(' or ')
    const taken = rest
      ? `select o._lagoa_row from offered o where exists (select 1 from (${await rest()}) t where ${tuple.map((column) => `t.${column} = o.${column}`).join(' and ')}${keys ? ` and (${other('t', 'o')})` : ''})`
      : 'select null::bigint as _lagoa_row where false'
    const order = keys ? '_lagoa_row' : [...columns.map(quoteName), '_lagoa_row'].join(', ')
    const repeats = key === null ? 'place > 1' : 'own is distinct from first'
    await connection.run(`insert into ${breaks}
      with offered as materialized (select rowid as _lagoa_row, * from ${table} where ${conditions.join(' and ')}),
      taken as materialized (${taken}),
      placed as (select _lagoa_row, row_number() over w as place${key === null ? '' : `, ${key} as own, first_value(${key}) over w as first`}
        from offered where _lagoa_row not in (select _lagoa_row from taken) window w as (partition by ${tuple.join(', ')} order by ${order}))
      select _lagoa_row, ${index} from taken union all select _lagoa_row, ${index} from placed where ${repeats}`)
  }
}

/** What a check of the whole table finds in the table as it will be. */
async function measure(
  offer: Offer,
  check: Extract<Check, { kind: 'rowCount' | 'fresh' }>,
  good: string,
): Promise<Pick<CheckResult, 'violations' | 'found' | 'samples'>> {
  const after = await tableAfter(offer, good)
  const one = async (expression: string): Promise<unknown> =>
    (await offer.connection.runAndReadAll(`select ${expression} from (${after})`)).getRows()[0]?.[0] ?? null
  if (check.kind === 'rowCount') {
    const rows = Number(await one('count(*)'))
    return { violations: rows < (check.min ?? 0) || rows > (check.max ?? Number.POSITIVE_INFINITY) ? 1 : 0, found: `${rows} rows` }
  }
  const newest = await one(`epoch_ms(max(${quoteName(check.column)})::timestamptz)`)
  if (newest === null) return { violations: 1, found: 'no value' }
  const age = offer.now - Number(newest)
  return { violations: age > (parseDuration(check.within) ?? 0) ? 1 : 0, found: new Date(Number(newest)).toISOString() }
}

async function tableAfter({ keys, rest }: Offer, good: string): Promise<string> {
  const offered = keys === null ? good : `select * from (${good}) qualify row_number() over (partition by ${keys.map(quoteName).join(', ')}) = 1`
  if (!rest) return offered
  const stays =
    keys === null
      ? await rest()
      : `select * from (${await rest()}) t where not exists (select 1 from (${good}) g where ${keys.map((key) => `g.${quoteName(key)} is not distinct from t.${quoteName(key)}`).join(' and ')})`
  return `(${stays}) union all by name (${offered})`
}

/** A few of the rows as JSON, with long values cut: they are shown, not processed. */
export async function samplesOf(connection: DuckDBConnection, sql: string): Promise<SampleRow[]> {
  const reader = await connection.runAndReadAll(`select * from (${sql}\n) limit ${SAMPLES}`)
  return reader.getRowObjectsJson().map((row) =>
    Object.fromEntries(
      Object.entries(row)
        .slice(0, MOST_CELLS)
        .map(([name, value]) => [name, shortened(value)]),
    ),
  )
}

function shortened(value: unknown): unknown {
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > LONGEST_CELL ? `${text.slice(0, LONGEST_CELL)}…` : text
}

async function explaining<T>(model: Pick<Model, 'name'>, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof LagoaError) throw error
    throw invalid(
      'lake.expectation_sql',
      `An expectation of ${model.name} cannot be computed: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]}`,
      { hint: 'Its condition is SQL over the columns of the table, true or false for each row.', cause: error },
    )
  }
}
