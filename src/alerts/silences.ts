/**
 * Silences: until a time, nothing that a rule has to say goes to its queues. Its episodes begin and end as ever and stand in the
 * history; only the messages are left out, and they do not come later. Which rules are silent is read in the transaction that stores
 * the alerts, on the database's clock.
 */
import { conflict, invalid, missing, newId } from '../base/index.ts'
import type { Migration, Records } from '../storage/index.ts'

export interface Silence {
  readonly id: string
  readonly rule: string
  readonly reason: string
  /** Who asked for it, as they wrote; null when they did not say. */
  readonly by: string | null
  /** Epoch milliseconds, as the other times here. */
  readonly createdAt: number
  readonly until: number
  /** When it was ended before its time; null when it was not. */
  readonly endedAt: number | null
  readonly active: boolean
}

export const silenceMigrations: readonly Migration[] = [
  {
    name: '0230_alert_silences',
    sql: `
      create table alert_silences (
        id text primary key,
        rule text not null,
        reason text not null,
        created_at timestamptz not null default now(),
        until timestamptz not null,
        ended_at timestamptz
      );
      create index alert_silences_open on alert_silences (rule, until) where ended_at is null;
    `,
  },
  { name: '0231_alert_silences_by', sql: 'alter table alert_silences add column made_by text;' },
]

/** True for a rule, named `r.rule` in the statement, that is silent now. */
export const IS_SILENT = 'exists (select from alert_silences s where s.rule = r.rule and s.ended_at is null and s.until > now())'

/** True for an alert, named `a` in the statement with `a.recorded_at`, that was recorded while its rule was silent. */
export const WAS_SILENT = `exists (select from alert_silences s where s.rule = a.rule and s.created_at <= a.recorded_at
  and a.recorded_at < s.until and (s.ended_at is null or a.recorded_at < s.ended_at))`

const COLUMNS = `id, rule, reason, made_by as "by", created_at as "createdAt", until, ended_at as "endedAt", (ended_at is null and until > now()) as active`

/** A silence is no way to remove a rule. */
const LONGEST_MS = 366 * 86_400_000
const LONGEST_REASON = 500
const LONGEST_NAME = 100
const LISTED = 200

export interface SilenceOptions {
  readonly until: number
  readonly reason: string
  readonly by?: string | undefined
}

export async function silenceRule(records: Records, rule: string, { until, reason, by = '' }: SilenceOptions): Promise<Silence> {
  checkTime(rule, until)
  if (reason.trim() === '' || reason.length > LONGEST_REASON)
    throw invalid('alerts.silence_reason', `A silence of rule ${rule} needs a reason of 1 to ${LONGEST_REASON} characters`, {
      hint: 'Say why, for those who wonder later: "sensor 4 is being replaced".',
    })
  if (by.length > LONGEST_NAME)
    throw invalid('alerts.silence_by', `Who silences rule ${rule} is told in at most ${LONGEST_NAME} characters`, { hint: 'Give a name.' })
  const [made] = await records.query<Silence>(
    `insert into alert_silences (id, rule, reason, until, made_by) values ($1, $2, $3, to_timestamp($4::double precision / 1000), $5) returning ${COLUMNS}`,
    [newId(), rule, reason.trim(), until, by.trim() === '' ? null : by.trim()],
  )
  if (!made) throw missing('alerts.no_silence', `The silence of rule ${rule} was not stored`)
  return made
}

/** Gives one that holds another end; what it kept from the queues so far stays out. */
export async function extendSilence(records: Records, id: string, until: number): Promise<Silence> {
  const [known] = await records.query<Silence>(`select ${COLUMNS} from alert_silences where id = $1`, [id])
  if (!known) throw noSilence(id)
  checkTime(known.rule, until)
  const [moved] = await records.query<Silence>(
    `update alert_silences set until = to_timestamp($2::double precision / 1000) where id = $1 and ended_at is null and until > now() returning ${COLUMNS}`,
    [id, until],
  )
  if (!moved)
    throw conflict('alerts.silence_over', `The silence of rule ${known.rule} is over`, { hint: `lagoa alerts silence ${known.rule} begins a new one.` })
  return moved
}

/** Ends it now; one that is over stays as it was. */
export async function endSilence(records: Records, id: string): Promise<Silence> {
  const [ended] = await records.query<Silence>(
    `update alert_silences set ended_at = case when ended_at is null and until > now() then now() else ended_at end where id = $1 returning ${COLUMNS}`,
    [id],
  )
  if (!ended) throw noSilence(id)
  return ended
}

/** Those that hold first, then the newest; at most 200. */
export async function listSilences(records: Records): Promise<Silence[]> {
  return records.query<Silence>(`select ${COLUMNS} from alert_silences order by (ended_at is null and until > now()) desc, created_at desc, id limit ${LISTED}`)
}

function checkTime(rule: string, until: number): void {
  const ms = until - Date.now()
  if (!(ms > 0 && ms <= LONGEST_MS))
    throw invalid('alerts.silence_time', `Rule ${rule} cannot be silent until ${shownTime(until)}`, { hint: 'Choose a time to come, at most a year away.' })
}

const noSilence = (id: string): Error => missing('alerts.no_silence', `There is no silence ${id}`, { hint: 'lagoa alerts silences lists them.' })

const shownTime = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms))
