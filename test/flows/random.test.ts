/** Random graphs with random behaviour, on two nodes at once, end as the model says. */
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { newId, silentLog } from '../../src/base/index.ts'
import { openRunEngine, runMigrations, type HeldTask, type Outcome, type RunEngine } from '../../src/flows/index.ts'
import { migrate, type Records } from '../../src/storage/index.ts'
import { testRecords } from '../helpers/postgres.ts'
import { cases, chosenOf, expectedOf, type Case } from './model.ts'

let records: Records
const running = new Map<string, Case>()
const nodes: RunEngine[] = []
const misorder: string[] = []
const failure = { code: 'test.failed', kind: 'invalid', message: 'It failed' }

beforeAll(async () => {
  ;({ records } = await testRecords())
  await migrate(records, runMigrations)
  for (let i = 0; i < 2; i++) {
    const one = openRunEngine({ records, log: silentLog, worker: newId(), concurrency: 5, leaseMs: 10_000, pollMs: 100, shared: true, execute })
    await one.start()
    nodes.push(one)
  }
  return async () => {
    for (const one of nodes) await one.drain(1_000)
  }
})

async function execute(task: HeldTask): Promise<Outcome> {
  const given = running.get(task.run)
  const behaviour = given?.behaviours[task.node]
  if (!given || !behaviour) throw new Error('a run that nobody asked for')
  if (Math.random() < 0.2) await sleep(Math.random() * 4)
  if (task.itemIndex !== null) return task.itemIndex === behaviour.failingElement ? { outcome: 'failed', error: failure } : { outcome: 'succeeded' }
  const before = given.graph.edges.filter(([, to]) => to === task.node).map(([from]) => from)
  const open = await records.query('select n from run_tasks where run = $1 and n = any($2) and ended_at is null', [task.run, before])
  if (open.length > 0) misorder.push(`${task.run} ${task.n}`)
  if (behaviour.defers > 0 && !task.resumed) return { outcome: 'deferred', readyMs: 1 }
  if (task.attempt <= behaviour.failures) return { outcome: 'retry', error: failure, retryMs: 1 }
  if (behaviour.elements !== null) return { outcome: 'expanded', items: Array.from({ length: behaviour.elements }, (_, i) => i) }
  if (behaviour.end === 'failed') return { outcome: 'failed', error: failure }
  return { outcome: 'succeeded', output: task.node, chosen: chosenOf(given, task.node) ?? undefined }
}

async function begin(given: Case): Promise<string> {
  const [one] = nodes
  const id = newId()
  running.set(id, given)
  const graph = (await one?.register(given.graph)) ?? ''
  await one?.enqueue([{ id, kind: 'flow', flow: 'random', graph, params: {}, trigger: {} }])
  return id
}

async function ended(id: string): Promise<{ state: string; open: number }> {
  for (let tries = 0; tries < 1_500; tries++) {
    const [row] = await records.query<{ state: string; open: number }>('select state, open from runs where id = $1 and ended_at is not null', [id])
    if (row) return row
    await sleep(5)
  }
  throw new Error(`it has not ended: ${JSON.stringify(await records.query('select n, state, waits from run_tasks where run = $1', [id]))}`)
}
const nodeStates = async (id: string): Promise<string[]> =>
  (await records.query<{ state: string }>('select state from run_tasks where run = $1 and item_index is null order by n', [id])).map(({ state }) => state)

describe('random runs', () => {
  test('end as the model says, in order, and nothing stays open', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(cases, { minLength: 1, maxLength: 4 }), async (several) => {
        const ids = await Promise.all(several.map(begin))
        for (const [i, id] of ids.entries()) {
          const wanted = expectedOf(several[i] ?? { graph: { flow: '', nodes: [], edges: [] }, behaviours: [] })
          expect(await ended(id)).toEqual({ state: wanted.run, open: 0 })
          expect(await nodeStates(id)).toEqual(wanted.nodes)
        }
        expect(misorder).toEqual([])
      }),
      { numRuns: 60, endOnFailure: true },
    )
  }, 120_000)

  test('that are cancelled at any moment end cancelled or as they would have, with nothing open', async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.nat({ max: 30 }), async (given, ms) => {
        const id = await begin(given)
        await sleep(ms)
        await nodes[1]?.cancel(id)
        const wanted = expectedOf(given)
        const { state, open } = await ended(id)
        expect([wanted.run, 'cancelled']).toContain(state)
        expect(open).toBe(0)
        expect(
          await records.query("select n, state from run_tasks where run = $1 and state not in ('succeeded', 'failed', 'skipped', 'cancelled')", [id]),
        ).toEqual([])
      }),
      { numRuns: 60, endOnFailure: true },
    )
  }, 120_000)

  test('that are run again from any node end as the model says of what is mended', async () => {
    await fc.assert(
      fc.asyncProperty(cases, fc.nat({ max: 11 }), async (given, from) => {
        const id = await begin(given)
        await ended(id)
        if (given.graph.nodes.length === 0) return
        const node = from % given.graph.nodes.length
        const mended = {
          ...given,
          behaviours: given.behaviours.map((one, i) => (i === node ? { ...one, end: 'succeeded' as const, failingElement: null } : one)),
        }
        running.set(id, mended)
        expect(await nodes[0]?.again(id, [node])).toBeGreaterThan(0)
        const after = expectedOf(mended)
        const before = expectedOf(given)
        // What does not stand behind the node is as it was, which for a mended node is the same.
        expect(await ended(id)).toEqual({ state: after.run, open: 0 })
        expect(await nodeStates(id)).toEqual(after.nodes)
        expect(after.nodes.length).toBe(before.nodes.length)
      }),
      { numRuns: 60, endOnFailure: true },
    )
  }, 120_000)
})
