/**
 * Runs on real nodes that are killed, stand still and have wrong clocks, on a database that is stopped at once and comes back. When all is over
 * every task has been completed once, in its order, and every run has ended as the model says. LAGOA_TEST_ROUNDS and LAGOA_TEST_SEED choose the
 * rounds; the same seed chooses the same ones.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId, silentLog } from '../../src/base/index.ts'
import { openRunEngine, runMigrations, type RunEngine, type RunGraph } from '../../src/flows/index.ts'
import { migrate, openRecords, type Records } from '../../src/storage/index.ts'
import { eventually, temporaryFolder } from '../helpers/cli.ts'
import { noPostgresServer, startPostgresServer, type PostgresServer } from '../helpers/postgres-server.ts'
import { insist } from './insist.ts'
import { random } from './random.ts'
import { takenBackMs, wrongs, type Pause } from './runs/checks.ts'
import { readJournals } from './runs/journal.ts'
import { startRunNodes, type RunNode, type RunNodes } from './runs/nodes.ts'
import { chain, CHILD, kindsOf, lotOf, paramsOf, plain, POOLS, type AskedRun, type Step } from './runs/work.ts'

const FULL = process.env.CHAOS_FORM === 'full'
const ROUNDS = Number(process.env.LAGOA_TEST_ROUNDS ?? (FULL ? 330 : 11))
const SEED = Number(process.env.LAGOA_TEST_SEED ?? 20_261_121)
const NODES = FULL ? 3 : 2
const TASKS_PER_ROUND = 310
/** Of the run engine: src/flows/engine/engine.ts. */
const LEASE_MS = 5_000
const PROMISED_MS = LEASE_MS + 1_000
/** What a loaded machine may take beyond. */
const MARGIN_MS = 15_000
const KINDS = kindsOf(SEED, 250)

const stuck = { ...plain, ms: 600_000 }
/** A state that lasts, as the state of the run and those of its tasks, and what cancelling makes of it. */
interface Cancel {
  readonly when: string
  readonly steps: readonly Step[]
  /** Slots of a pool of its own. */
  readonly pool?: number
  /** Runs at a time. */
  readonly slots?: number
  readonly isPaused?: boolean
  readonly before: string
  readonly after: string
}
const CANCELS: readonly Cancel[] = [
  { when: 'a task runs and one waits for it', steps: [stuck, plain], before: 'running: running waiting', after: 'cancelled: cancelled cancelled' },
  {
    when: 'a task is to be tried again',
    steps: [{ ...plain, failures: 1, laterMs: 3_600_000 }, plain],
    before: 'running: delayed waiting',
    after: 'cancelled: cancelled cancelled',
  },
  {
    when: 'a task looks again later',
    steps: [plain, { ...plain, defers: 'moment', laterMs: 3_600_000 }],
    before: 'running: succeeded delayed',
    after: 'cancelled: succeeded cancelled',
  },
  {
    when: 'a task waits for another run',
    steps: [{ ...stuck, defers: 'run' }, plain],
    before: 'running: deferred waiting',
    after: 'cancelled: cancelled cancelled',
  },
  {
    when: 'elements run, and one waits for a slot',
    steps: [{ ...stuck, elements: 4 }, plain],
    pool: 3,
    before: 'running: expanded waiting running running running ready',
    after: 'cancelled: cancelled cancelled cancelled cancelled cancelled cancelled',
  },
  {
    when: 'an element is held back',
    steps: [{ ...stuck, elements: 4 }, plain],
    pool: 3,
    isPaused: true,
    before: 'running: expanded waiting running running running held',
    after: 'cancelled: cancelled cancelled cancelled cancelled cancelled cancelled',
  },
  { when: 'it stands in the queue', steps: [stuck], slots: 1, before: 'queued:', after: 'cancelled:' },
]

describe.skipIf(noPostgresServer !== null)(`chaos of runs, seed ${SEED}${noPostgresServer === null ? '' : ` (skipped: ${noPostgresServer})`}`, () => {
  let postgres: PostgresServer
  let address: string
  let records: Records
  let cluster: RunNodes
  /** Asks for runs and holds them up, but takes no tasks. */
  let asking: RunEngine
  const hashes = new Map<RunGraph, string>()
  const asked: AskedRun[] = []
  const pauses: Pause[] = []
  const outages: { from: number; to: number }[] = []
  const most = new Map<string, number>()

  beforeAll(async () => {
    postgres = await startPostgresServer()
    address = await postgres.database()
    records = await openRecords({ connection: address, max: 8, log: silentLog })
    await migrate(records, runMigrations)
    const execute = (): Promise<never> => Promise.reject(new Error('it takes no tasks'))
    asking = openRunEngine({ records, log: silentLog, worker: 'asking', concurrency: 1, shared: true, execute })
    for (const graph of [CHILD, ...KINDS.map((kind) => kind.graph)]) hashes.set(graph, await asking.register(graph))
    for (const [pool, slots] of Object.entries(POOLS)) await asking.setPool(pool, slots)
    cluster = await startRunNodes(NODES, address, temporaryFolder('runs'))
  }, 120_000)

  afterAll(async () => {
    await cluster?.close()
    await records?.close()
  })

  test(
    `${ROUNDS} faults among ${ROUNDS * TASKS_PER_ROUND} tasks lose none, complete none twice and put none out of order`,
    { timeout: 3 * 3_600_000 },
    async () => {
      process.stdout.write(`chaos of runs: seed ${SEED}, ${ROUNDS} rounds, ${NODES} nodes\n`)
      const next = random(SEED)
      const began = performance.now()
      const watching = new AbortController()
      const watched = watchPools(watching.signal)
      const underWay = new Set<Promise<void>>()
      const faults = { kill: 0, database: 0, freeze: 0 }
      const aside = (work: Promise<void>): void => {
        const one = work.finally(() => underWay.delete(one))
        underWay.add(one)
      }

      for (let round = 0; round < ROUNDS; round++) {
        await eventually('the runs do not come forward', () => insist(async () => (await open()) < 80), 120_000, 50)
        const lot = lotOf(SEED, round, TASKS_PER_ROUND, KINDS, hashes)
        asked.push(...lot)
        await insist(() => asking.enqueue(lot.map(({ run }) => run)))
        for (const one of lot) aside(disturb(one))
        await sleep(next() * 600)
        const fault = round % 16 === 8 ? 'database' : round % 33 === 4 ? 'freeze' : 'kill'
        faults[fault]++
        if (fault === 'database') await restartDatabase(next() * 1_500)
        else {
          const node = await eventually('no node is up', () => choose(cluster.nodes, next), 60_000)
          aside(fault === 'kill' ? node.kill() : node.freeze(LEASE_MS + 1_500))
        }
        if (round % 20 === 19) process.stdout.write(`chaos of runs: round ${round + 1} of ${ROUNDS}\n`)
      }
      await Promise.all(underWay)
      await eventually('not all runs have ended', () => insist(async () => (await open()) === 0), 120_000, 100).catch(async (error: unknown) => {
        throw new Error(`${String(error)}; open are ${JSON.stringify(await stillOpen())}`, { cause: error })
      })
      const seconds = (performance.now() - began) / 1_000
      watching.abort()
      await watched
      // What a node that stood still had in hand is told by now.
      await sleep(500)
      await cluster.close()

      const journal = readJournals(cluster.journals)
      expect(await wrongs(records, asked, journal, pauses)).toEqual([])
      expect(await records.query("select run, n from run_tasks where state = 'running' or worker is not null or lease_until is not null")).toEqual([])
      for (const [pool, slots] of Object.entries(POOLS)) expect(most.get(pool)).toBeLessThanOrEqual(slots)

      const back = await takenBackMs(records, cluster.killed, outages)
      const [counts] = await records.query<{ tasks: number; lost: number; late: number }>(
        `select (select count(*) from run_tasks) as tasks, (select count(*) from run_attempts where state = 'lost') as lost`,
      )
      const late = back.filter((ms) => ms > PROMISED_MS).length
      const share = (of: number): number => Math.round(back[Math.min(back.length - 1, Math.floor(back.length * of))] ?? 0)
      process.stdout.write(
        `chaos of runs: ${counts?.tasks} tasks of ${asked.length} runs in ${Math.round(seconds)} s; ${faults.kill} kills, ${faults.database} ends of the database, ${faults.freeze} nodes stood still; ` +
          `${counts?.lost} tries lost, ${journal.tries.filter(({ end }) => end === null).length} cut off, ${journal.events.get('runs.completion_refused') ?? 0} completions refused, ` +
          `${journal.events.get('runs.task_lost') ?? 0} given up by their node; ` +
          `taken back after a kill: p50 ${share(0.5)} ms, p95 ${share(0.95)} ms, at most ${share(1)} ms (promised ${PROMISED_MS}, ${late} of ${back.length} later)\n`,
      )
      expect(share(1)).toBeLessThan(PROMISED_MS + MARGIN_MS)
    },
  )

  describe('a run that is cancelled', () => {
    let nodes: RunNodes
    beforeAll(async () => {
      nodes = await startRunNodes(2, address, temporaryFolder('cancels'))
    })
    afterAll(() => nodes?.close())

    test.each(CANCELS)('while $when is cancelled at once', async (given) => {
      const runs = await bring(given)
      const began = performance.now()
      for (const id of runs) await asking.cancel(id)
      await eventually('it is not cancelled', async () => (await open()) === 0, LEASE_MS + MARGIN_MS)
      expect(performance.now() - began).toBeLessThan(LEASE_MS)
      expect(await statesOf(runs[0])).toBe(given.after)
    })

    test('is cancelled in the same way when all nodes die of it', { timeout: 120_000 }, async () => {
      const brought = await Promise.all(CANCELS.map(async (given) => ({ given, runs: await bring(given) })))
      for (const { runs } of brought) for (const id of runs) await records.query('select run_cancel($1, null)', [id])
      await Promise.all(nodes.nodes.map((one) => one.kill()))
      // Runs that tasks waited for were not told by this short way.
      for (const { id } of await records.query<{ id: string }>('select id from runs where parent is not null and ended_at is null')) await asking.cancel(id)
      await eventually('not all are cancelled', async () => (await open()) === 0, PROMISED_MS + MARGIN_MS)
      for (const { given, runs } of brought) expect(await statesOf(runs[0])).toBe(given.after)
    })

    /** Brings a run into its state; what is to be looked at is the first of those that it answers. */
    async function bring({ steps, slots, pool, isPaused, before }: Cancel): Promise<readonly [string, ...string[]]> {
      const flow = newId()
      const graph = chain(steps.length, flow, pool === undefined ? undefined : flow)
      if (pool !== undefined) await asking.setPool(flow, pool)
      const hash = await asking.register(graph, { slots })
      const ask = async (): Promise<string> => {
        const run = { id: newId(), kind: 'flow', flow, graph: hash, params: paramsOf(steps, hashes.get(CHILD) ?? ''), trigger: { by: 'chaos' } }
        await asking.enqueue([run])
        return run.id
      }
      const others: string[] = []
      if (slots !== undefined) {
        const first = await ask()
        others.push(first)
        await eventually('it does not begin', async () => (await statesOf(first)).startsWith('running: running'), 30_000)
      }
      const id = await ask()
      if (isPaused) {
        await eventually('its elements do not run', async () => (await statesOf(id)).endsWith('running ready'), 30_000)
        await asking.pause(id, true)
      }
      await eventually(`it does not come to ${before}`, async () => (await statesOf(id)) === before, 30_000)
      return [id, ...others]
    }
  })

  async function statesOf(run: string): Promise<string> {
    const [row] = await records.query<{ state: string }>('select state from runs where id = $1', [run])
    const tasks = await records.query<{ state: string }>('select state from run_tasks where run = $1 order by item_index nulls first, n', [run])
    return [`${row?.state}:`, ...tasks.map(({ state }) => state)].join(' ')
  }

  const open = async (): Promise<number> => {
    const [row] = await records.query<{ count: number }>('select count(*) as count from runs where ended_at is null')
    return row?.count ?? Number.NaN
  }

  /** For whoever has to find out why. */
  const stillOpen = (): Promise<unknown[]> =>
    records.query(
      `select r.id, r.flow, r.state, r.paused, r.open, r.cancel_at is not null as cancelled, r.parent, (
         select jsonb_agg(jsonb_build_object('n', t.n, 'state', t.state, 'waits', t.waits, 'pool', t.pool, 'worker', t.worker, 'lease', t.lease_until, 'fence', t.fence,
           'child', t.child, 'childState', (select c.state from runs c where c.id = t.child)) order by t.n)
         from run_tasks t where t.run = r.id and t.state not in ('succeeded', 'failed', 'skipped', 'cancelled')) as tasks,
         (select count(*) from pg_stat_activity where wait_event_type = 'Lock') as locked
       from runs r where r.ended_at is null order by r.id limit 5`,
    )

  async function restartDatabase(awayMs: number): Promise<void> {
    const from = Date.now()
    await postgres.kill()
    await sleep(awayMs)
    await postgres.start()
    outages.push({ from, to: Date.now() })
  }

  /** Cancels a run, or holds it up for a while, if that is its fate. */
  async function disturb({ run: { id }, cancelAfterMs, pauseAfterMs }: AskedRun): Promise<void> {
    if (cancelAfterMs !== null) {
      await sleep(cancelAfterMs)
      await insist(() => asking.cancel(id))
    }
    if (pauseAfterMs !== null) {
      await sleep(pauseAfterMs)
      const isHeld = await insist(() => asking.pause(id, true))
      const from = await insist(now)
      await sleep(1_000)
      const until = await insist(now)
      const goesOn = process.hrtime.bigint()
      await insist(() => asking.pause(id, false))
      if (isHeld) pauses.push({ run: id, from, until, goesOn })
    }
  }

  const now = async (): Promise<number> => {
    const [row] = await records.query<{ ms: number }>('select extract(epoch from clock_timestamp()) * 1000 as ms')
    return row?.ms ?? Number.NaN
  }

  /** One look sees all nodes at the same moment. */
  async function watchPools(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const rows = await records
        .query<{ pool: string; count: number }>("select pool, count(*) as count from run_tasks where state = 'running' group by pool")
        .catch(() => [])
      for (const { pool, count } of rows) most.set(pool, Math.max(most.get(pool) ?? 0, count))
      await sleep(20)
    }
  }
})

function choose(nodes: readonly RunNode[], next: () => number): RunNode | undefined {
  const up = nodes.filter(({ isUp }) => isUp)
  return up[Math.floor(next() * up.length)]
}
