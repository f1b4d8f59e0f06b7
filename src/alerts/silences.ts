/**
 * Silences: until a time, nothing that a rule has to say goes to its queues. Its episodes begin and end as ever and stand in the
 * history; only the messages are left out, and they do not come later. Which rules are silent is read in the transaction that stores
 * the alerts, on the database's clock.
 */
import { invalid, missing, newId } from '../base/index.ts'
import type { Migration, Records } from '../storage/index.ts'

export interface Silence {
  readonly id: string
  readonly rule: string
  readonly reason: string
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
]

/** True for a rule, named `r.rule` in the statement, that is silent now. */
export const IS_SILENT = 'exists (select from alert_silences s where s.rule = r.rule and s.ended_at is null and s.until > now())'

const COLUMNS = `id, rule, reason, created_at as "createdAt", until, ended_at as "endedAt", (ended_at is null and until > now()) as active`

/** A silence is no way to remove a rule. */
const LONGEST_MS = 366 * 86_400_000
const LONGEST_REASON = 500
const LISTED = 200

export async function silenceRule(records: Records, rule: string, { until, reason }: { readonly until: number; readonly reason: string }): Promise<Silence> {
  const ms = until - Date.now()
  if (!(ms > 0 && ms <= LONGEST_MS))
    throw invalid('alerts.silence_time', `Rule ${rule} cannot be silent until ${shownTime(until)}`, { hint: 'Choose a time to come, at most a year away.' })
  if (reason.trim() === '' || reason.length > LONGEST_REASON)
    throw invalid('alerts.silence_reason', `A silence of rule ${rule} needs a reason of 1 to ${LONGEST_REASON} characters`, {
      hint: 'Say why, for those who wonder later: "sensor 4 is being replaced".',
    })
  const [made] = await records.query<Silence>(
    `insert into alert_silences (id, rule, reason, until) values ($1, $2, $3, to_timestamp($4::double precision / 1000)) returning ${COLUMNS}`,
    [newId(), rule, reason.trim(), until],
  )
  if (!made) throw missing('alerts.no_silence', `The silence of rule ${rule} was not stored`)
  return made
}

/** Ends it now; one that is over stays as it was. */
export async function endSilence(records: Records, id: string): Promise<Silence> {
  const [ended] = await records.query<Silence>(
    `update alert_silences set ended_at = case when ended_at is null and until > now() then now() else ended_at end where id = $1 returning ${COLUMNS}`,
    [id],
  )
  if (!ended) throw missing('alerts.no_silence', `There is no silence ${id}`, { hint: 'lagoa alerts silences lists them.' })
  return ended
}

/** Those that hold first, then the newest; at most 200. */
export async function listSilences(records: Records): Promise<Silence[]> {
  return records.query<Silence>(`select ${COLUMNS} from alert_silences order by (ended_at is null and until > now()) desc, created_at desc, id limit ${LISTED}`)
}

const shownTime = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms))
