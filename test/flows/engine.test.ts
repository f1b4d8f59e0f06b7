import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { newId, silentLog } from '../../src/base/index.ts'
import {
  openRunEngine,
  runMigrations,
  type HeldTask,
  type NewRun,
  type Outcome,
  type RunEngine,
  type RunEngineOptions,
  type RunGraph,
  type RunNode,
} from '../../src/flows/index.ts'
import { migrate, type Records } from '../../src/storage/index.ts'
import { testRecords } from '../helpers/postgres.ts'

let records: Records
const opened: RunEngine[] = []
beforeAll(async () => {
  ;({ records } = await testRecords())
  await migrate(records, runMigrations)
})
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.drain(0)
})

const node = (name: string, more: Partial<RunNode> = {}): RunNode => ({
  name,
  about: {},
  pool: 'default',
  priority: 0,
  rule: 'all_succeeded',
  optional: false,
  ...more,
})
const chain = (length: number): RunGraph => ({
  flow: `chain_${length}`,
  nodes: Array.from({ length }, (_, i) => node(`step_${i}`)),
  edges: Array.from({ length: length - 1 }, (_, i) => [i, i + 1] as const),
})
const newRun = (graph: RunGraph, hash: string, more: Partial<NewRun> = {}): NewRun => ({
  id: newId(),
  kind: 'flow',
  flow: graph.flow,
  graph: hash,
  params: {},
  trigger: { by: 'test' },
  ...more,
})

async function engine(execute: (task: HeldTask, signal: AbortSignal) => Promise<Outcome> | Outcome, more: Partial<RunEngineOptions> = {}): Promise<RunEngine> {
  const one = openRunEngine({
    records,
    log: silentLog,
    worker: newId(),
    concurrency: 16,
    leaseMs: 1_500,
    execute: async (task, signal) => execute(task, signal),
    ...more,
  })
  opened.push(one)
  await one.start()
  return one
}

async function ended(id: string, ms = 20_000): Promise<{ state: string; seconds: number }> {
  const until = Date.now() + ms
  for (;;) {
    const [row] = await records.query<{ state: string; seconds: number }>(
      'select state, extract(epoch from ended_at - created_at)::double precision as seconds from runs where id = $1 and ended_at is not null',
      [id],
    )
    if (row) return row
    if (Date.now() > until) throw new Error(`run ${id} has not ended: ${JSON.stringify(await tasks(id))}`)
    await sleep(5)
  }
}
const tasks = (id: string): Promise<{ n: number; state: string; attempt: number; reason: string | null; output: unknown }[]> =>
  records.query('select n, state, attempt, reason, output from run_tasks where run = $1 order by n', [id])
const states = async (id: string): Promise<string> => (await tasks(id)).map(({ state }) => state).join(' ')
const failure = { code: 'test.failed', kind: 'invalid', message: 'It failed' }

describe('a run', () => {
  test('does its tasks one after the other, each with what the one before answered', async () => {
    const graph = chain(4)
    const seen: unknown[] = []
    const one = await engine(({ n, inputs }) => {
      seen.push([n, inputs])
      return { outcome: 'succeeded', output: n * 10 }
    })
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    expect(await ended(run.id)).toMatchObject({ state: 'succeeded' })
    expect(seen).toEqual([
      [0, {}],
      [1, { 0: 0 }],
      [2, { 1: 10 }],
      [3, { 2: 20 }],
    ])
  })

  test('that fails skips what stands behind the failure and goes on with the rest', async () => {
    const graph: RunGraph = {
      flow: 'fails',
      nodes: ['a', 'b', 'c', 'd', 'e'].map((name) => node(name, name === 'e' ? { rule: 'all_done' } : {})),
      edges: [
        [0, 1],
        [1, 2],
        [0, 3],
        [2, 4],
      ],
    }
    const one = await engine(({ n }) => (n === 1 ? { outcome: 'failed', error: failure } : { outcome: 'succeeded' }))
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    expect(await ended(run.id)).toMatchObject({ state: 'failed' })
    expect(await states(run.id)).toBe('succeeded failed skipped succeeded succeeded')
    expect((await tasks(run.id))[2]).toMatchObject({ reason: 'upstream_failed' })
  })

  test('tries a task again after its delay, and counts the tries', async () => {
    const graph = chain(1)
    const one = await engine(({ attempt }) => (attempt < 3 ? { outcome: 'retry', error: failure, retryMs: 30 } : { outcome: 'succeeded' }))
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    expect(await ended(run.id)).toMatchObject({ state: 'succeeded' })
    expect(await records.query('select attempt, state, error from run_attempts where run = $1 order by fence', [run.id])).toEqual([
      { attempt: 1, state: 'failed', error: failure },
      { attempt: 2, state: 'failed', error: failure },
      { attempt: 3, state: 'succeeded', error: null },
    ])
  })

  test('maps over a list that is known only then, and goes on when all elements are done', async () => {
    const graph: RunGraph = {
      flow: 'maps',
      nodes: [node('list'), node('each'), node('sum')],
      edges: [
        [0, 1],
        [1, 2],
      ],
    }
    const one = await engine(({ n, itemIndex, item, inputs }) => {
      if (n === 0) return { outcome: 'succeeded', output: [3, 4, 5] }
      if (n === 1) return { outcome: 'expanded', items: inputs[0] as number[] }
      if (itemIndex !== null) return { outcome: 'succeeded', output: Number(item) ** 2 }
      return { outcome: 'succeeded', output: (inputs[1] as number[]).reduce((sum, square) => sum + square) }
    })
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    await ended(run.id)
    expect((await tasks(run.id)).map(({ state, output }) => [state, output])).toEqual([
      ['succeeded', [3, 4, 5]],
      ['succeeded', [9, 16, 25]],
      ['succeeded', 50],
      ['succeeded', 9],
      ['succeeded', 16],
      ['succeeded', 25],
    ])
  })

  test('of a branch skips the ways that were not chosen, and joins behind them', async () => {
    const graph: RunGraph = {
      flow: 'branches',
      nodes: [node('which'), node('left'), node('right'), node('behind_right'), node('join', { rule: 'none_failed' })],
      edges: [
        [0, 1],
        [0, 2],
        [2, 3],
        [1, 4],
        [3, 4],
      ],
    }
    const one = await engine(({ n }) => (n === 0 ? { outcome: 'succeeded', chosen: [1] } : { outcome: 'succeeded' }))
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    expect(await ended(run.id)).toMatchObject({ state: 'succeeded' })
    expect(await states(run.id)).toBe('succeeded succeeded skipped skipped succeeded')
  })

  test('waits for another run without holding a worker', async () => {
    const inner = chain(2)
    const outer: RunGraph = { flow: 'outer', nodes: [node('sub'), node('after')], edges: [[0, 1]] }
    const child = newId()
    const one = await engine(
      async ({ flow, n, resumed, run }) => {
        if (flow !== 'outer' || n !== 0) return { outcome: 'succeeded' }
        if (resumed) return { outcome: 'succeeded', output: 'the child ended' }
        await one.enqueue([newRun(inner, hash, { id: child, parent: { run, task: 0 } })])
        return { outcome: 'deferred', child }
      },
      { concurrency: 1 },
    )
    const hash = await one.register(inner)
    const run = newRun(outer, await one.register(outer))
    await one.enqueue([run])
    expect(await ended(run.id)).toMatchObject({ state: 'succeeded' })
    expect((await tasks(run.id))[0]).toMatchObject({ attempt: 1, output: 'the child ended' })
  })

  test('with a key is made once, whoever asks', async () => {
    const graph = chain(1)
    const one = await engine(() => ({ outcome: 'succeeded' }))
    const hash = await one.register(graph)
    const first = newRun(graph, hash, { key: 'same' })
    const second = newRun(graph, hash, { key: 'same' })
    const answers = await Promise.all([one.enqueue([first]), one.enqueue([second]), one.enqueue([newRun(graph, hash, { key: 'same' })])])
    expect(new Set(answers.flat()).size).toBe(1)
  })

  test('that is cancelled tells what is running within a second and starts nothing more', async () => {
    const graph = chain(3)
    let reason: unknown
    const one = await engine(
      ({ n }, signal) =>
        new Promise((done) => {
          if (n === 0) return done({ outcome: 'succeeded' })
          signal.addEventListener('abort', () => {
            reason = signal.reason
            done({ outcome: 'cancelled' })
          })
        }),
      { leaseMs: 60_000 },
    )
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    while ((await states(run.id)) !== 'succeeded running waiting') await sleep(5)
    const began = performance.now()
    expect(await one.cancel(run.id)).toBe(true)
    expect(await ended(run.id)).toMatchObject({ state: 'cancelled' })
    expect(performance.now() - began).toBeLessThan(10_000)
    expect(reason).toBe('cancelled')
    expect(await states(run.id)).toBe('succeeded cancelled cancelled')
    expect(await one.cancel(run.id)).toBe(false)
  })

  test('that is paused starts nothing until it goes on', async () => {
    const graph = chain(3)
    let release: () => void = () => undefined
    const one = await engine(({ n }) => (n === 0 ? new Promise((done) => (release = () => done({ outcome: 'succeeded' }))) : { outcome: 'succeeded' }))
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    while ((await states(run.id)) !== 'running waiting waiting') await sleep(5)
    await one.pause(run.id, true)
    release()
    while ((await states(run.id)) !== 'succeeded held waiting') await sleep(5)
    await sleep(100)
    expect(await states(run.id)).toBe('succeeded held waiting')
    await one.pause(run.id, false)
    expect(await ended(run.id)).toMatchObject({ state: 'succeeded' })
  })

  test.each([
    ['that waits to be tried again', { retry: true }, 'delayed waiting', 'held waiting'],
    ['that looks again later', { defer: true }, 'delayed waiting', 'held waiting'],
    ['that becomes elements', { elements: true }, 'running waiting', 'expanded waiting held held'],
    ['that is given back', { release: true }, 'running waiting', 'held waiting'],
  ])('that is paused hands out no task %s', async (_, does: { retry?: boolean; defer?: boolean; elements?: boolean; release?: boolean }, before, after) => {
    const graph = chain(2)
    let go: () => void = () => undefined
    let tries = 0
    const one = await engine(async ({ n, itemIndex }): Promise<Outcome> => {
      if (n !== 0 || itemIndex !== null || ++tries > 1) return { outcome: 'succeeded' }
      if (does.retry) return { outcome: 'retry', error: failure, retryMs: 150 }
      if (does.defer) return { outcome: 'deferred', readyMs: 150 }
      await new Promise<void>((done) => (go = done))
      return does.elements ? { outcome: 'expanded', items: [1, 2] } : { outcome: 'released' }
    })
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    while ((await states(run.id)) !== before) await sleep(5)
    await one.pause(run.id, true)
    go()
    while ((await states(run.id)) !== after) await sleep(5)
    await sleep(200)
    expect([await states(run.id), tries]).toEqual([after, 1])
    await one.pause(run.id, false)
    expect(await ended(run.id)).toMatchObject({ state: 'succeeded' })
  })

  test('that is paused and goes on again and again comes to its end', { timeout: 60_000 }, async () => {
    const graph = chain(2)
    const looks = new Map<string, number>()
    const look = ({ run }: HeldTask): Outcome => {
      const count = (looks.get(run) ?? 0) + 1
      looks.set(run, count)
      return count < 40 ? { outcome: 'deferred', readyMs: 1 } : { outcome: 'succeeded' }
    }
    const nodes = await Promise.all([engine(look), engine(look)])
    const [one] = nodes
    if (!one) throw new Error('there is no node')
    const hash = await one.register(graph)
    const runs = Array.from({ length: 20 }, () => newRun(graph, hash))
    await one.enqueue(runs)
    await Promise.all(
      runs.map(async ({ id }) => {
        for (let i = 0; i < 30; i++) {
          await one.pause(id, i % 2 === 0)
          await sleep(Math.random() * 15)
        }
      }),
    )
    for (const { id } of runs) expect(await ended(id, 30_000)).toMatchObject({ state: 'succeeded' })
  })

  test('goes on also with a task that was held back just as its pause ended', async () => {
    const graph = chain(2)
    let isHeld = true
    const one = await engine(({ n }) => (n === 0 && isHeld ? { outcome: 'deferred', readyMs: 60_000 } : { outcome: 'succeeded' }))
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    while ((await states(run.id)) !== 'delayed waiting') await sleep(5)
    isHeld = false
    // As a worker leaves it that saw the pause when this was still so.
    await records.query("update run_tasks set state = 'held' where run = $1 and n = 0", [run.id])
    expect((await ended(run.id)).state).toBe('succeeded')
  })

  test('that is paused does not go on when the run that it waits for has ended', async () => {
    const inner = chain(1)
    const outer: RunGraph = { flow: 'outer_paused', nodes: [node('sub'), node('after')], edges: [[0, 1]] }
    const child = newId()
    let go: () => void = () => undefined
    const one = await engine(async ({ flow, run, resumed, n }): Promise<Outcome> => {
      if (flow !== outer.flow) return new Promise((done) => (go = () => done({ outcome: 'succeeded' })))
      if (resumed || n === 1) return { outcome: 'succeeded' }
      await one.enqueue([newRun(inner, hash, { id: child, parent: { run, task: 0 } })])
      return { outcome: 'deferred', child }
    })
    const hash = await one.register(inner)
    const run = newRun(outer, await one.register(outer))
    await one.enqueue([run])
    while ((await states(run.id)) !== 'deferred waiting' || (await states(child)) !== 'running') await sleep(5)
    await one.pause(run.id, true)
    go()
    await ended(child)
    while ((await states(run.id)) !== 'held waiting') await sleep(5)
    await one.pause(run.id, false)
    expect(await ended(run.id)).toMatchObject({ state: 'succeeded' })
  })

  test('that is asked for by a task of a run that is cancelled already does not begin', async () => {
    const inner = chain(1)
    const outer: RunGraph = { flow: 'outer_cancelled', nodes: [node('sub')], edges: [] }
    const child = newId()
    let hasBegun = false
    const one = await engine(async ({ flow, run }, signal): Promise<Outcome> => {
      if (flow !== outer.flow) {
        hasBegun = true
        return { outcome: 'succeeded' }
      }
      await new Promise((told) => signal.addEventListener('abort', told))
      await one.enqueue([newRun(inner, hash, { id: child, parent: { run, task: 0 } })])
      return { outcome: 'deferred', child }
    })
    const hash = await one.register(inner)
    const run = newRun(outer, await one.register(outer))
    await one.enqueue([run])
    while ((await states(run.id)) !== 'running') await sleep(5)
    await one.cancel(run.id)
    expect(await ended(run.id)).toMatchObject({ state: 'cancelled' })
    expect(await ended(child)).toMatchObject({ state: 'cancelled' })
    expect(hasBegun).toBe(false)
  })

  test('is run again from a node on, and only what failed and what is behind it', async () => {
    const graph: RunGraph = {
      flow: 'again',
      nodes: [node('a'), node('b'), node('c'), node('d')],
      edges: [
        [0, 1],
        [1, 2],
        [0, 3],
      ],
    }
    let isMended = false
    const calls: number[] = []
    const one = await engine(({ n }) => {
      calls.push(n)
      return n === 1 && !isMended ? { outcome: 'failed', error: failure } : { outcome: 'succeeded' }
    })
    const run = newRun(graph, await one.register(graph))
    await one.enqueue([run])
    expect(await ended(run.id)).toMatchObject({ state: 'failed' })
    isMended = true
    expect(await one.again(run.id, [1])).toBe(2)
    expect(await ended(run.id)).toMatchObject({ state: 'succeeded' })
    expect(calls.toSorted((a, b) => a - b)).toEqual([0, 1, 1, 2, 3])
  })
})

describe('a pool', () => {
  test('has never more tasks running than slots, on all nodes together', async () => {
    const graph: RunGraph = { flow: 'pooled', nodes: Array.from({ length: 40 }, (_, i) => node(`t${i}`, { pool: 'narrow' })), edges: [] }
    let running = 0
    let most = 0
    const work = async (): Promise<Outcome> => {
      most = Math.max(most, ++running)
      await sleep(5)
      running--
      return { outcome: 'succeeded' }
    }
    const nodes = await Promise.all([engine(work, { shared: true }), engine(work, { shared: true })])
    await nodes[0]?.setPool('narrow', 3)
    const run = newRun(graph, (await nodes[0]?.register(graph)) ?? '')
    await nodes[0]?.enqueue([run])
    await ended(run.id)
    expect(most).toBe(3)
  })
})
