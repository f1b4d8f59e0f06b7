/** What screens and the API ask about rules and alerts. */
import { invalid, type LagoaError } from '../base/index.ts'
import type { Records } from '../storage/index.ts'
import type { Limit } from './cel/expression.ts'
import type { CompiledRule } from './compile.ts'
import type { AlertMode, Severity } from './declare.ts'
import type { AlertRecord } from './step.ts'
import { listSilences, WAS_SILENT, type Silence } from './silences.ts'
import { ALERT_COLUMNS } from './store.ts'

export interface RuleView {
  readonly name: string
  readonly on: string
  readonly mode: AlertMode
  readonly when: string
  readonly clear?: string
  readonly for?: string
  readonly to: readonly string[]
  readonly severity: Severity
  readonly description?: string
  /** Readings that met the condition. */
  readonly matched: number
  readonly fired: number
  /** Messages that reached their queues. */
  readonly queued: number
  /** Messages that have not yet; at most 100,000 are counted. */
  readonly waiting: number
  /** Keys that are firing now. */
  readonly firing: number
  readonly limits: readonly Limit[]
  /** The silence that holds longest; absent while the rule may speak. */
  readonly silence?: Silence
  /** Why messages wait for one of its queues. */
  readonly problem?: LagoaError
}

export type AlertState = 'pending' | 'firing' | 'resolved' | 'fired'
/** What became of an alert's message: `none` when its rule has no queue, `silenced` when it was left out. */
export type Delivery = 'waiting' | 'sent' | 'silenced' | 'none'
export type AlertView = Omit<AlertRecord, 'state'> & { readonly state: AlertState; readonly delivery?: Delivery | null }

export interface AlertFilter {
  /** Pending episodes have no alert yet: they are listed only when asked for, with an id of their own and without values. */
  readonly state?: AlertState
  readonly rule?: string
  /** As it was when they fired. Pending ones are stored without: of those, ask for the `rules` that declare it. */
  readonly severity?: Severity
  readonly rules?: readonly string[]
  /** Those that started at this time or after it, and before that one, in epoch milliseconds. */
  readonly since?: number
  readonly until?: number
  /** 100 by default, at most 1,000. */
  readonly limit?: number
  readonly cursor?: string
}

export interface AlertPage {
  readonly items: AlertView[]
  /** Absent at the end. */
  readonly cursor?: string
}

export interface AlertTotals {
  readonly matched: number
  readonly fired: number
  readonly queued: number
  readonly firing: number
}

/** Messages in the outbox that are counted. */
const MOST_WAITING = 100_000

/** The rules in the given order, with their totals, and what their queues have against them. */
export async function listRules(records: Records, rules: readonly CompiledRule[], failures: ReadonlyMap<string, LagoaError>): Promise<RuleView[]> {
  const rows = await records.query<{ name: string; matched: number; fired: number; queued: number }>(
    `select name, matched, fired, coalesce((select sum(messages) from alert_sent s where s.rule = r.name), 0)::bigint as queued
     from alert_rules r where name = any($1)`,
    [rules.map(({ name }) => name)],
  )
  const totals = new Map(rows.map((row) => [row.name, row]))
  const firing = await firingCounts(records)
  const outbox = await records.query<{ rule: string; waiting: number }>(
    `select rule, count(*) as waiting from (select rule from alert_outbox limit ${MOST_WAITING}) o group by rule`,
  )
  const waiting = new Map(outbox.map((row) => [row.rule, row.waiting]))
  const problemOf = ({ routes }: CompiledRule): LagoaError | undefined => routes.map(({ name }) => failures.get(name)).find((failure) => failure !== undefined)
  const silences = (await listSilences(records)).filter(({ active }) => active).sort((a, b) => a.until - b.until)
  const silent = new Map(silences.map((silence) => [silence.rule, silence]))
  return rules.map((rule) => ({
    name: rule.name,
    on: rule.stream.name,
    mode: rule.mode,
    when: rule.whenText,
    ...(rule.clearText === null ? {} : { clear: rule.clearText }),
    ...(rule.forText === null ? {} : { for: rule.forText }),
    to: rule.routes.map(({ name }) => name),
    severity: rule.severity,
    ...(rule.description === null ? {} : { description: rule.description }),
    matched: totals.get(rule.name)?.matched ?? 0,
    fired: totals.get(rule.name)?.fired ?? 0,
    queued: totals.get(rule.name)?.queued ?? 0,
    waiting: waiting.get(rule.name) ?? 0,
    firing: firing.get(rule.name) ?? 0,
    limits: rule.limits,
    ...((silence) => (silence ? { silence } : {}))(silent.get(rule.name)),
    ...((problem) => (problem ? { problem } : {}))(problemOf(rule)),
  }))
}

/** How many keys are firing now, by rule; rules without any are absent. */
export async function firingCounts(records: Records): Promise<Map<string, number>> {
  const rows = await records.query<{ rule: string; firing: number }>("select rule, count(*) as firing from alert_states where phase = 'firing' group by rule")
  return new Map(rows.map(({ rule, firing }) => [rule, firing]))
}

/** Over all rules there ever were; `firing` is now. */
export async function alertTotals(records: Records): Promise<AlertTotals> {
  const [row] = await records.query<AlertTotals>(
    `select coalesce(sum(matched), 0) as matched, coalesce(sum(fired), 0) as fired,
       coalesce((select sum(messages) from alert_sent), 0) as queued,
       (select count(*) from alert_states where phase = 'firing') as firing
     from alert_rules`,
  )
  return row ?? { matched: 0, fired: 0, queued: 0, firing: 0 }
}

/** Alerts recorded at or after this time (epoch milliseconds): "today" on a screen. */
export async function firedSince(records: Records, since: number): Promise<number> {
  const [row] = await records.query<{ count: number }>('select count(*) as count from alerts where recorded_at >= to_timestamp($1::double precision / 1000)', [
    since,
  ])
  return row?.count ?? 0
}

/** One alert by its id, or null. */
export async function findAlert(records: Records, id: string): Promise<AlertView | null> {
  const [row] = await records.query<AlertView>(`select ${ALERT_COLUMNS}, ${DELIVERY} as delivery from alerts a where id = $1`, [id])
  return row ?? null
}

/** Newest first, by the event time at which they started. */
export async function listAlerts(records: Records, filter: AlertFilter = {}): Promise<AlertPage> {
  const limit = filter.limit ?? 100
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) throw invalid('alerts.bad_limit', `The limit is ${limit}`, { hint: 'Ask for 1 to 1000 alerts.' })
  const after = filter.cursor === undefined ? null : readCursor(filter.cursor)
  const pending = filter.state === 'pending'
  const rows = await records.query<AlertView>(
    `select ${SHOWN}, ${pending ? 'null' : DELIVERY} as delivery from (
       select * from (${pending ? PENDING : `select ${ALERT_COLUMNS}, recorded_at from alerts`}) found
       where ($1::text is null or rule = $1) and ($2::text is null or state = $2) and ($3::double precision is null or ("startedAt", id) < ($3, $4))
         and ($6::text is null or severity = $6) and ($7::double precision is null or "startedAt" >= $7) and ($8::double precision is null or "startedAt" < $8)
         and ($9::text[] is null or rule = any($9))
       order by "startedAt" desc, id desc limit $5
     ) a order by "startedAt" desc, id desc`,
    [
      filter.rule ?? null,
      filter.state ?? null,
      after?.startedAt ?? null,
      after?.id ?? null,
      limit + 1,
      filter.severity ?? null,
      filter.since ?? null,
      filter.until ?? null,
      filter.rules ?? null,
    ],
  )
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return rows.length > limit && last ? { items, cursor: cursorAfter(last) } : { items }
}

const SHOWN = 'id, rule, mode, severity, key, state, "startedAt", "resolvedAt", "endedBy", matched, values, message'

/** Of the alert `a`; that its rule has no queue is not told here. */
const DELIVERY = `case when exists (select from alert_outbox o where o.alert = a.id) then 'waiting' when ${WAS_SILENT} then 'silenced' else 'sent' end`

/** Only episodes can be pending; the severity stands in for the declaration's, which the database does not hold. */
const PENDING = `
  select 'pending:' || md5(rule || chr(31) || partition || chr(31) || key) as id, rule, 'episode' as mode, 'warning' as severity, key, 'pending' as state,
    since as "startedAt", null::double precision as "resolvedAt", null as "endedBy", matched, '{}'::jsonb as values, '' as message
  from alert_states where phase = 'pending'`

function cursorAfter({ startedAt, id }: AlertView): string {
  return Buffer.from(JSON.stringify([startedAt, id])).toString('base64url')
}

function readCursor(cursor: string): { readonly startedAt: number; readonly id: string } {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(value) && typeof value[0] === 'number' && typeof value[1] === 'string') return { startedAt: value[0], id: value[1] }
  } catch {
    // Falls through: text that is no cursor is told as one thing, however it is broken.
  }
  throw invalid('alerts.bad_cursor', 'The cursor is not one of this list', {
    hint: 'Pass the `cursor` of the page before, unchanged, or leave it out to start at the newest.',
  })
}
