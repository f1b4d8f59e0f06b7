/**
 * What alerts keep in the database, and the few statements that change it. Times are epoch milliseconds as doubles: event times
 * come from outside and may be beyond what a timestamptz holds. Many rows travel as one JSON parameter.
 */
import type { Migration, Queryable, Records } from '../storage/index.ts'
import type { CompiledRule } from './compile.ts'
import type { Episode } from './episodes.ts'
import { queueMigrations } from './queue/postgres.ts'
import { IS_SILENT, silenceMigrations } from './silences.ts'
import { RuleStates, type AlertRecord, type EndReason, type Outcome } from './step.ts'

export const alertMigrations: readonly Migration[] = [
  {
    name: '0210_alerts',
    sql: `
      create table alert_rules (
        name text primary key,
        stream text not null,
        -- What states depend on beside the rule's name: when it changes, they start anew.
        signature text not null,
        matched bigint not null default 0,
        fired bigint not null default 0,
        queued bigint not null default 0,
        removed boolean not null default false
      ) with (fillfactor = 50);
      create table alert_states (
        rule text not null,
        partition integer not null,
        key text not null,
        phase text not null check (phase in ('quiet', 'pending', 'firing')),
        since double precision not null,
        matched bigint not null,
        newest double precision not null,
        alert text,
        primary key (rule, partition, key)
      ) with (fillfactor = 70);
      create index alert_states_open on alert_states (rule, phase) where phase <> 'quiet';
      create table alerts (
        id text primary key,
        rule text not null,
        mode text not null,
        severity text not null,
        key text not null,
        state text not null check (state in ('firing', 'resolved', 'fired')),
        started_at double precision not null,
        resolved_at double precision,
        matched bigint not null,
        values jsonb not null,
        message text not null,
        -- Why it ended when its condition did not end it.
        ended_by text,
        recorded_at timestamptz not null default now()
      );
      create index alerts_by_time on alerts (started_at desc, id desc);
      create index alerts_by_rule on alerts (rule, started_at desc, id desc);
      create index alerts_firing on alerts (rule) where state = 'firing';
      create index alerts_by_recording on alerts (recorded_at);
      create table alert_outbox (
        seq bigint generated always as identity primary key,
        alert text not null,
        rule text not null,
        queue text not null,
        durable boolean not null,
        body text not null,
        unique (alert, queue)
      );
      create index alert_outbox_by_queue on alert_outbox (queue, seq);
    `,
  },
  ...queueMigrations,
  ...silenceMigrations,
  {
    name: '0240_alert_sent',
    sql: `
      -- What the relay counts, apart from what deliveries count: neither waits for the other's rows.
      create table alert_sent (
        rule text not null,
        queue text not null,
        messages bigint not null,
        primary key (rule, queue)
      ) with (fillfactor = 50);
      insert into alert_sent (rule, queue, messages) select name, '', queued from alert_rules where queued > 0;
      alter table alert_rules drop column queued;
    `,
  },
]

/** The columns of `alerts` as an AlertRecord. */
export const ALERT_COLUMNS = `id, rule, mode, severity, key, state, started_at as "startedAt", resolved_at as "resolvedAt", ended_by as "endedBy", matched, values, message`

/** Rows in one JSON parameter: a delivery with more alerts than this takes several statements. */
const MOST_ROWS = 5_000

/** Where the rules stand in one partition. */
export async function loadStates(db: Queryable, rules: readonly CompiledRule[], partition: number): Promise<RuleStates> {
  const states = new RuleStates(rules.length)
  const indexOf = new Map(rules.map((rule, index) => [rule.name, index]))
  const rows = await db.query<{ rule: string; key: string } & Episode>(
    'select rule, key, phase, since, matched, newest, alert from alert_states where partition = $1 and rule = any($2)',
    [partition, [...indexOf.keys()]],
  )
  for (const { rule, key, phase, since, matched, newest, alert } of rows) {
    const index = indexOf.get(rule)
    if (index !== undefined) states.set(index, key, { phase, since, matched, newest, alert })
  }
  return states
}

export function isEmpty(outcome: Outcome): boolean {
  return outcome.states.length === 0 && outcome.opened.length === 0 && outcome.changed.length === 0 && outcome.totals.length === 0
}

/**
 * Stores what a delivery did; answers the alerts of earlier deliveries that it ended. It is one statement, however many tables it touches:
 * readings wait for its round trip.
 */
export async function saveOutcome(tx: Queryable, partition: number, outcome: Outcome): Promise<AlertRecord[]> {
  const states = parts(outcome.states.map(({ rule, key, episode }) => ({ rule, key, ...episode })))
  const [opened, changed, outbox] = [parts(outcome.opened), parts(outcome.changed), parts(outcome.outbox)]
  const resolved: AlertRecord[] = []
  for (let turn = 0; turn < Math.max(1, states.length, opened.length, changed.length, outbox.length); turn++) {
    const of = (lists: readonly string[]): string => lists[turn] ?? '[]'
    const totals = turn === 0 ? JSON.stringify(outcome.totals) : '[]'
    const answered = await tx.query<AlertRecord>(SAVE, [partition, of(states), of(opened), of(changed), of(outbox), totals], { name: 'alerts_save' })
    resolved.push(...answered.filter((alert) => alert.state === 'resolved'))
  }
  return resolved
}

/**
 * The same id comes again only when a stream is read anew from an earlier offset: then the newer reading of it stands. Totals are locked in
 * the order of names, so that deliveries of several partitions never wait for each other in a circle.
 */
const SAVE = `
  with states as (
    insert into alert_states (rule, partition, key, phase, since, matched, newest, alert)
    select r.rule, $1, r.key, r.phase, r.since, r.matched, r.newest, r.alert
    from json_to_recordset($2::json) as r(rule text, key text, phase text, since double precision, matched bigint, newest double precision, alert text)
    on conflict (rule, partition, key) do update
    set phase = excluded.phase, since = excluded.since, matched = excluded.matched, newest = excluded.newest, alert = excluded.alert
  ), opened as (
    insert into alerts (id, rule, mode, severity, key, state, started_at, resolved_at, matched, values, message)
    select r.id, r.rule, r.mode, r.severity, r.key, r.state, r."startedAt", r."resolvedAt", r.matched, r.values, r.message
    from json_to_recordset($3::json) as r(id text, rule text, mode text, severity text, key text, state text, "startedAt" double precision,
      "resolvedAt" double precision, matched bigint, values jsonb, message text)
    on conflict (id) do update set state = excluded.state, resolved_at = excluded.resolved_at, ended_by = null, matched = excluded.matched
  ), outbox as (
    insert into alert_outbox (alert, rule, queue, durable, body)
    select r.alert, r.rule, r.queue, r.durable, r.body
    from rows from (json_to_recordset($5::json) as (alert text, rule text, queue text, durable boolean, body text)) with ordinality as r(alert, rule, queue, durable, body, place)
    where not ${IS_SILENT}
    order by r.place
    on conflict (alert, queue) do nothing
  ), totals as (
    update alert_rules set matched = alert_rules.matched + r.matched, fired = alert_rules.fired + r.fired
    from (select locked.name, t.matched, t.fired
          from json_to_recordset($6::json) as t(rule text, matched bigint, fired bigint) join alert_rules locked on locked.name = t.rule
          order by locked.name for update of locked) as r
    where alert_rules.name = r.name
  )
  update alerts set matched = r.matched, resolved_at = r."resolvedAt", state = case when r."resolvedAt" is null then alerts.state else 'resolved' end
  from json_to_recordset($4::json) as r(id text, matched bigint, "resolvedAt" double precision)
  where alerts.id = r.id
  returning ${ALERT_COLUMNS.replace('id,', 'alerts.id,').replace('matched', 'alerts.matched')}`

function parts(rows: readonly object[]): string[] {
  return Array.from({ length: Math.ceil(rows.length / MOST_ROWS) }, (_, part) => JSON.stringify(rows.slice(part * MOST_ROWS, (part + 1) * MOST_ROWS)))
}

/**
 * Puts exactly these rules in force: new ones start with the records from now on, and what was firing under a rule that is gone, or
 * that now looks at another stream or another key, is resolved with the reason. Call it while no alert sink is running.
 */
export async function syncRules(records: Records, rules: readonly CompiledRule[], now: number): Promise<AlertRecord[]> {
  const wanted = rules.map((rule) => ({ name: rule.name, stream: rule.stream.name, signature: signatureOf(rule) }))
  return records.transaction(async (tx) => {
    const known = await tx.query<{ name: string; signature: string; removed: boolean }>(
      'select name, signature, removed from alert_rules order by name for update',
    )
    const signatures = new Map(wanted.map(({ name, signature }) => [name, signature]))
    const gone = known.filter(({ name, removed }) => !removed && !signatures.has(name)).map(({ name }) => name)
    const changed = known.filter(({ name, signature }) => signatures.has(name) && signatures.get(name) !== signature).map(({ name }) => name)
    const ended = [...(await endAll(tx, gone, 'rule_removed', now)), ...(await endAll(tx, changed, 'rule_changed', now))]
    await tx.query('update alert_rules set removed = true where name = any($1)', [gone])
    await insertRules(tx, wanted)
    return ended
  })
}

/** Makes sure that the totals of these rules have a row to be added to. */
export async function ensureRules(db: Queryable, rules: readonly CompiledRule[]): Promise<void> {
  const names = rules.map(({ name }) => name)
  const known = new Set((await db.query<{ name: string }>('select name from alert_rules where name = any($1)', [names])).map(({ name }) => name))
  const unknown = rules.filter(({ name }) => !known.has(name))
  if (unknown.length > 0)
    await insertRules(
      db,
      unknown.map((rule) => ({ name: rule.name, stream: rule.stream.name, signature: signatureOf(rule) })),
      'do nothing',
    )
}

async function insertRules(
  db: Queryable,
  rows: readonly { readonly name: string; readonly stream: string; readonly signature: string }[],
  onConflict: string = '(name) do update set stream = excluded.stream, signature = excluded.signature, removed = false',
): Promise<void> {
  await db.query(
    `insert into alert_rules (name, stream, signature)
     select r.name, r.stream, r.signature from json_to_recordset($1::json) as r(name text, stream text, signature text) order by r.name
     on conflict ${onConflict}`,
    [JSON.stringify(rows)],
  )
}

async function endAll(tx: Queryable, rules: readonly string[], reason: EndReason, now: number): Promise<AlertRecord[]> {
  if (rules.length === 0) return []
  await tx.query('delete from alert_states where rule = any($1)', [rules])
  const rows = await tx.query<AlertRecord>(
    `update alerts set state = 'resolved', resolved_at = $2, ended_by = $3 where rule = any($1) and state = 'firing' returning ${ALERT_COLUMNS}`,
    [rules, now, reason],
  )
  return rows
}

function signatureOf(rule: CompiledRule): string {
  return JSON.stringify([rule.stream.name, rule.mode, rule.by])
}

/** Forgets what ended, and what was recorded, before this time (epoch milliseconds); answers how many alerts. What is firing stays. */
export async function trimAlerts(records: Records, before: number): Promise<number> {
  const [row] = await records.query<{ count: number }>(
    `with gone as (delete from alerts where recorded_at < to_timestamp($1::double precision / 1000) and state <> 'firing' returning 1),
     quiet as (delete from alert_states where phase = 'quiet' and newest < $1 returning 1)
     select count(*) as count from gone`,
    [before],
  )
  return row?.count ?? 0
}
