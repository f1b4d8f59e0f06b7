/**
 * How runs grow old: a while after a run has ended its log leaves the database for the object store, later it is removed, and at last the run
 * with all that there is of it. In small steps, so that none holds the database up; each can be cut off anywhere and is done again.
 */
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { systemClock, toLagoaError, type Log } from '../base/index.ts'
import type { Objects, Records } from '../storage/index.ts'
import type { BatchPlace, PartLine } from './log-reading.ts'
import type { LogLevel } from './logs.ts'

export interface Keep {
  /** After its end; null is for ever. */
  readonly runsMs: number | null
  readonly logsMs: number | null
}

export interface Retention {
  /** Until the signal aborts: a duty of one node. */
  run(signal: AbortSignal): Promise<void>
  /** All that is due now. */
  once(signal: AbortSignal): Promise<void>
}

export interface RetentionOptions {
  readonly records: Records
  readonly objects: Objects
  readonly log: Log
  readonly keep: Keep
  /** A run that has ended keeps its log in the database as long: nodes may still be writing their last lines. */
  readonly settleMs?: number | undefined
  readonly everyMs?: number | undefined
  /** A clock in place of the database's, for tests. */
  readonly now?: (() => number) | undefined
}

const SETTLE_MS = 60_000
const EVERY_MS = 60_000
const RUNS_AT_ONCE = 50
const PARTS_AT_ONCE = 500
const ROWS_AT_ONCE = 20
/** Text of a part before it is packed; one batch more may be in it. */
const PART_CHARACTERS = 4_000_000

export function openRetention({ records, objects, log, keep, settleMs = SETTLE_MS, everyMs = EVERY_MS, now }: RetentionOptions): Retention {
  const clock = (): Date | null => (now ? new Date(now()) : null)

  /** Repeats a step until it finds nothing more to do. */
  async function all(step: () => Promise<number>, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && (await step()) > 0);
  }

  async function moveLogs(signal: AbortSignal): Promise<number> {
    // By leaps from run to run, however many lines each has.
    const runs = await records.query<{ id: string }>(
      `with recursive logged (run) as (
         (select run from run_logs order by run limit 1)
         union all select (select l.run from run_logs l where l.run > logged.run order by l.run limit 1) from logged where logged.run is not null
       ) select r.id from logged join runs r on r.id = logged.run where r.ended_at < run_now($2) - $1 * interval '1 ms' limit ${RUNS_AT_ONCE}`,
      [settleMs, clock()],
    )
    for (const { id } of runs) await all(() => movePart(id), signal)
    return runs.length
  }

  /** The next lines of a run go into one object; answers how many batches. */
  async function movePart(run: string): Promise<number> {
    const places: BatchPlace[] = []
    let text = ''
    for (let after: BatchPlace = [0, -1, 0, -1]; ;) {
      const rows = await records.query<{ written: number; n: number; fence: number; seq: number; lines: readonly (readonly [number, LogLevel, string])[] }>(
        `select written::text::bigint as written, n, fence, seq, lines from run_logs
         where run = $1 and (written, n, fence, seq) > ($2::text::xid8, $3::integer, $4::integer, $5::integer)
         order by run_logs.written, n, fence, seq limit ${ROWS_AT_ONCE}`,
        [run, String(after[0]), after[1], after[2], after[3]],
        { name: 'run_log_move' },
      )
      for (const { written, n, fence, seq, lines } of rows) {
        if (text.length > PART_CHARACTERS) break
        after = [written, n, fence, seq]
        places.push(after)
        for (const [at, level, said] of lines) text += `${JSON.stringify({ written, n, fence, seq, at, level, text: said } satisfies PartLine)}\n`
      }
      if (rows.length < ROWS_AT_ONCE || text.length > PART_CHARACTERS) break
    }
    const [first] = places
    const last = places.at(-1)
    if (!first || !last) return 0
    // Named by what is in it: done again after a crash it is the same object.
    const path = `runs/${run}/log-${first.join('-')}.jsonl.gz`
    await objects.put(path, await promisify(gzip)(text))
    await records.transaction(async (tx) => {
      await tx.query(
        `insert into run_log_parts (run, path, ended_at, first, last)
         select id, $2, coalesce(ended_at, run_now($5)), $3, $4 from runs where id = $1 on conflict do nothing`,
        [run, path, first, last, clock()],
      )
      // Only those that were read: a late line may have come between them.
      await tx.query(
        'delete from run_logs l using unnest($2::integer[], $3::integer[], $4::integer[]) m (n, fence, seq) where l.run = $1 and (l.n, l.fence, l.seq) = (m.n, m.fence, m.seq)',
        [run, places.map(([, n]) => n), places.map(([, , fence]) => fence), places.map(([, , , seq]) => seq)],
      )
    })
    return places.length
  }

  async function removeLogs(ms: number): Promise<number> {
    const parts = await records.query<{ run: string; path: string }>(
      `select run, path from run_log_parts where ended_at < run_now($2) - $1 * interval '1 ms' order by ended_at limit ${PARTS_AT_ONCE}`,
      [ms, clock()],
    )
    for (const { path } of parts) await objects.delete(path)
    await records.query('delete from run_log_parts p using unnest($1::text[], $2::text[]) m (run, path) where p.run = m.run and p.path = m.path', [
      parts.map(({ run }) => run),
      parts.map(({ path }) => path),
    ])
    return parts.length
  }

  /**
   * Runs of flows in flows go after those that waited for them. The newest run of a partition that succeeded stays: backfills know by it that the
   * partition is done.
   */
  async function removeRuns(ms: number): Promise<number> {
    const removed = await records.query<{ run: string }>(
      `with old as (
         select r.id from runs r where r.ended_at < run_now($2) - $1 * interval '1 ms' and not exists (select from runs p where p.id = r.parent)
           and (r.partition is null or r.state <> 'succeeded' or exists (
             select from runs n where n.flow = r.flow and n.partition = r.partition and n.state = 'succeeded' and n.created_at > r.created_at))
         order by r.ended_at limit ${RUNS_AT_ONCE} for update skip locked
       ), gone as (delete from runs r using old where r.id = old.id returning r.id)
       insert into run_trash (run) select id from gone on conflict do nothing returning run`,
      [ms, clock()],
    )
    if (removed.length > 0) log.info('runs.removed', { runs: removed.length })
    return removed.length
  }

  /** Those of which no run is left. */
  async function removeBackfills(ms: number): Promise<number> {
    const removed = await records.query(
      `delete from run_backfills b where b.created_at < run_now($2) - $1 * interval '1 ms' and not exists (select from runs r where r.backfill = b.id) returning id`,
      [ms, clock()],
    )
    return removed.length
  }

  /** What removed runs had in the object store. */
  async function emptyTrash(signal: AbortSignal): Promise<number> {
    const rows = await records.query<{ run: string }>(`select run from run_trash limit ${RUNS_AT_ONCE}`)
    for (const { run } of rows) {
      if (signal.aborted) return 0
      for await (const { path } of objects.list(`runs/${run}/`)) await objects.delete(path)
      await records.query('delete from run_trash where run = $1', [run])
    }
    return rows.length
  }

  async function once(signal: AbortSignal): Promise<void> {
    const { runsMs, logsMs } = keep
    await all(() => moveLogs(signal), signal)
    if (logsMs !== null) await all(() => removeLogs(logsMs), signal)
    if (runsMs !== null) {
      await all(() => removeRuns(runsMs), signal)
      await removeBackfills(runsMs)
    }
    await all(() => emptyTrash(signal), signal)
  }

  return {
    once,
    async run(signal) {
      while (!signal.aborted) {
        await once(signal).catch((error: unknown) => log.warn('runs.upkeep_failed', { error: toLagoaError(error) }))
        // It rejects when the signal has aborted, also if that was while the work was done.
        await systemClock.sleep(everyMs, signal).catch(() => undefined)
      }
    },
  }
}
