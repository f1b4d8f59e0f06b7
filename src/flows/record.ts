/** Runs of one task that were carried out elsewhere, kept in the history when they are over. */
import type { Records } from '../storage/index.ts'
import type { Json, TaskError } from './engine/words.ts'

export interface PastRun {
  readonly id: string
  readonly kind: string
  readonly by: string
  readonly subject?: string | undefined
  readonly params: Json
  readonly state: 'succeeded' | 'failed' | 'cancelled'
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt: number
  readonly output: Json
  readonly error: TaskError | null
  /** What its task said. */
  readonly lines: readonly string[]
}

/** As many of a log as are kept of a run. */
const MOST_LINES = 5_000

/** Keeps them in one statement; one that is there already stays as it is. */
export async function recordRuns(records: Records, flow: string, graph: string, runs: readonly PastRun[]): Promise<void> {
  const rows = runs.map((run) => ({ ...run, trigger: { by: run.by }, lines: undefined, error: run.error && plainError(run.error) }))
  const lines = runs.flatMap(({ id, endedAt, lines: said }) =>
    said.length === 0 ? [] : [{ id, lines: said.slice(0, MOST_LINES).map((line) => [endedAt, 'info', plainText(line)]) }],
  )
  await records.query(
    `with past as (
       select *, to_timestamp("startedAt" / 1000.0) as started, to_timestamp("endedAt" / 1000.0) as ended from jsonb_to_recordset($1::jsonb) p (
         id text, kind text, trigger jsonb, subject text, params jsonb, state text, "startedAt" float8, "endedAt" float8, output jsonb, error jsonb)
     ), kept as (
       insert into runs (id, kind, flow, graph, params, state, priority, trigger, subject, tasks, open, failed, created_at, started_at, ended_at)
       select id, kind, $2, $3, params, state, 0, trigger, subject, 1, 0, case when state = 'failed' then 1 else 0 end, started, started, ended from past
       on conflict do nothing returning id
     ), tasks as (
       insert into run_tasks (run, n, node, state, pool, priority, attempt, fence, started_at, ended_at, output, error)
       select p.id, 0, 0, p.state, n.pool, n.priority, 1, 1, p.started, p.ended, p.output, nullif(p.error, 'null') from past p join kept k using (id) join run_nodes n on n.graph = $3 and n.node = 0
     ), tries as (
       insert into run_attempts (run, n, fence, attempt, worker, state, started_at, ended_at, error)
       select p.id, 0, 1, 1, p.trigger ->> 'by', p.state, p.started, p.ended, nullif(p.error, 'null') from past p join kept k using (id)
     )
     insert into run_logs (run, n, fence, seq, lines)
     select l.id, 0, 1, 0, l.lines from jsonb_to_recordset($4::jsonb) l (id text, lines jsonb) join kept k using (id)`,
    [JSON.stringify(rows), flow, graph, JSON.stringify(lines)],
    { name: 'run_record' },
  )
}

/** The same text as PostgreSQL can hold it: without NUL and lone surrogates. */
export const plainText = (text: string): string => text.toWellFormed().replaceAll('\u0000', '\uFFFD')

function plainError({ code, kind, message, hint }: TaskError): TaskError {
  return { code, kind, message: plainText(message), ...(hint === undefined ? {} : { hint: plainText(hint) }) }
}
