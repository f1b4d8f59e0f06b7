/** What must hold when all is over, read from the database and held against what nodes wrote down. Each check answers what is wrong. */
import type { Records } from '../../../src/storage/index.ts'
import type { Journal, Try } from './journal.ts'
import { POOLS, type AskedRun } from './work.ts'

interface TaskRow {
  readonly run: string
  readonly n: number
  readonly node: number
  readonly item: number | null
  readonly state: string
  readonly fence: number
  readonly pool: string
}
export interface Pause {
  readonly run: string
  /** On the database's clock: from when on it had to hold, and until when. */
  readonly from: number
  readonly until: number
  /** On the machine's steady clock: just before it was to go on. */
  readonly goesOn: bigint
}

const MOST_TOLD = 20

export async function wrongs(records: Records, asked: readonly AskedRun[], { tries }: Journal, pauses: readonly Pause[]): Promise<string[]> {
  const tasks = await records.query<TaskRow>('select run, n, node, item_index as item, state, fence, pool from run_tasks')
  const found = [
    ...(await wrongEnds(records, asked, tasks)),
    ...(await wrongCompletions(records)),
    ...twice(tries),
    ...misordered(asked, tasks, tries),
    ...crowded(tasks, tries),
    ...(await begunWhilePaused(records, tries, pauses)),
  ]
  return found.slice(0, MOST_TOLD)
}

/** Every run that was asked for has ended, as the model says or cancelled where somebody did, and nothing of it is open. */
async function wrongEnds(records: Records, asked: readonly AskedRun[], tasks: readonly TaskRow[]): Promise<string[]> {
  const found: string[] = []
  const rows = await records.query<{ id: string; state: string; open: number; parent: string | null }>('select id, state, open, parent from runs')
  const runs = new Map(rows.map((row) => [row.id, row]))
  const byRun = Map.groupBy(tasks, ({ run }) => run)
  for (const { run, kind, cancelAfterMs } of asked) {
    const row = runs.get(run.id)
    if (!row) {
      found.push(`run ${run.id} is lost`)
      continue
    }
    const states = (byRun.get(run.id) ?? [])
      .filter(({ item }) => item === null)
      .sort((a, b) => a.n - b.n)
      .map(({ state }) => state)
    if (row.state === 'cancelled' && cancelAfterMs !== null) continue
    if (row.state !== kind.run) found.push(`run ${run.id} of ${run.flow} is ${row.state}, not ${kind.run}`)
    else if (states.join() !== kind.nodes.join()) found.push(`tasks of run ${run.id} are ${states.join()}, not ${kind.nodes.join()}`)
  }
  for (const { id, state, open, parent } of rows) {
    if (open !== 0) found.push(`run ${id} is ${state} with ${open} tasks open`)
    if (parent !== null && state !== 'succeeded' && runs.get(parent)?.state !== 'cancelled') found.push(`run ${id}, which ${parent} waited for, is ${state}`)
  }
  for (const { run, n, state } of tasks)
    if (!['succeeded', 'failed', 'skipped', 'cancelled'].includes(state)) found.push(`task ${n} of run ${run} is left ${state}`)
  return found
}

/** A task that succeeded has one try that did, which is the newest one that was handed out, and the output is that one's. */
async function wrongCompletions(records: Records): Promise<string[]> {
  const rows = await records.query<{ run: string; n: number; fence: number; done: number; newest: number | null; output: number | null }>(
    `select t.run, t.n, t.fence, a.done, a.newest, case when jsonb_typeof(t.output) = 'number' then (t.output #>> '{}')::integer end as output
     from run_tasks t
     left join (select run, n, (count(*) filter (where state = 'succeeded'))::integer as done, max(fence) as newest from run_attempts group by run, n) a
       on a.run = t.run and a.n = t.n
     where t.state = 'succeeded'`,
  )
  return rows
    .filter(({ fence, done, newest, output }) => done !== 1 || newest !== fence || (output !== null && output !== fence))
    .map(({ run, n, ...row }) => `task ${n} of run ${run} was not completed once, by its newest try: ${JSON.stringify(row)}`)
}

const nameOf = ({ run, n, fence }: Pick<Try, 'run' | 'n' | 'fence'>): string => `${run} ${n} ${fence}`

/** No two nodes ever had the same try. */
function twice(tries: readonly Try[]): string[] {
  const seen = new Set<string>()
  return tries.flatMap((one) => {
    const name = nameOf(one)
    if (seen.has(name)) return [`try ${one.fence} of task ${one.n} of run ${one.run} was handed out twice`]
    seen.add(name)
    return []
  })
}

/** No try of a task began before the tries that count of all tasks before it had ended. */
function misordered(asked: readonly AskedRun[], tasks: readonly TaskRow[], tries: readonly Try[]): string[] {
  const found: string[] = []
  const byName = new Map(tries.map((one) => [nameOf(one), one]))
  const first = new Map<string, bigint>()
  for (const { run, n, begin } of tries) {
    const key = `${run} ${n}`
    const before = first.get(key)
    if (before === undefined || begin < before) first.set(key, begin)
  }
  const byRun = Map.groupBy(tasks, ({ run }) => run)
  for (const { run, kind } of asked) {
    const own = byRun.get(run.id) ?? []
    // Of a node with its elements: when the last of them ended.
    const ends = new Map<number, bigint>()
    for (const task of own) {
      if (task.state !== 'succeeded' && task.state !== 'failed') continue
      const one = byName.get(nameOf(task))
      if (!one || one.end === null) {
        found.push(`task ${task.n} of run ${run.id} is ${task.state}, and nobody did it`)
        continue
      }
      if (one.end > (ends.get(task.node) ?? 0n)) ends.set(task.node, one.end)
      if (task.item === null)
        for (const element of own) {
          const begun = element.item !== null && element.node === task.node ? first.get(`${run.id} ${element.n}`) : undefined
          if (begun !== undefined && begun < one.end) found.push(`element ${element.n} of run ${run.id} began before its node had expanded`)
        }
    }
    for (const [from, to] of kind.graph.edges) {
      const end = ends.get(from)
      const begun = first.get(`${run.id} ${to}`)
      if (end !== undefined && begun !== undefined && begun < end) found.push(`task ${to} of run ${run.id} began before task ${from} had ended`)
    }
  }
  return found
}

/** Of tries that count, never more at a time than their pool has slots. */
function crowded(tasks: readonly TaskRow[], tries: readonly Try[]): string[] {
  const accepted = new Map(tasks.map((task) => [nameOf(task), task.pool]))
  return Object.entries(POOLS).flatMap(([pool, slots]) => {
    const moments = tries
      .filter((one) => one.end !== null && accepted.get(nameOf(one)) === pool)
      .flatMap(({ begin, end }) => [
        { at: begin, step: 1 },
        { at: end ?? begin, step: -1 },
      ])
      .sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : a.step - b.step))
    let now = 0
    let most = 0
    for (const { step } of moments) most = Math.max(most, (now += step))
    return most > slots ? [`pool ${pool} of ${slots} slots had ${most} tasks running`] : []
  })
}

/**
 * A try has the time at which its node asked for work, and an answer may be long in coming on a busy machine: one that was given out when its run
 * went on again seems to have begun before that. So its node must have begun with it before as well.
 */
async function begunWhilePaused(records: Records, tries: readonly Try[], pauses: readonly Pause[]): Promise<string[]> {
  const rows = await records.query<{ run: string; n: number; fence: number; pause: number }>(
    `select a.run, a.n, a.fence, a.state, a.started_at as begun, p.since, p.until, p.pause
     from unnest($1::text[], $2::double precision[], $3::double precision[]) with ordinality p (run, since, until, pause) join run_attempts a on a.run = p.run
     where extract(epoch from a.started_at) * 1000 > p.since and extract(epoch from a.started_at) * 1000 < p.until`,
    [pauses.map(({ run }) => run), pauses.map(({ from }) => from), pauses.map(({ until }) => until)],
  )
  const byName = new Map(tries.map((one) => [nameOf(one), one]))
  return rows
    .filter((row) => (byName.get(nameOf(row))?.begin ?? 0n) < (pauses[row.pause - 1]?.goesOn ?? 0n))
    .map((row) => `a try began while its run was paused: ${JSON.stringify(row)}`)
}

/** Of workers that were killed: how long after it each of their tasks was taken back, in ms. Kills and recoveries with an outage in between are left out. */
export async function takenBackMs(
  records: Records,
  killed: ReadonlyMap<string, number>,
  outages: readonly { readonly from: number; readonly to: number }[],
): Promise<number[]> {
  const rows = await records.query<{ worker: string; ended_at: number }>("select worker, ended_at from run_attempts where state = 'lost'")
  return rows
    .flatMap(({ worker, ended_at: endedAt }) => {
      const at = killed.get(worker)
      if (at === undefined || endedAt < at || outages.some(({ from, to }) => from < endedAt && to > at)) return []
      return [endedAt - at]
    })
    .sort((a, b) => a - b)
}
