/** What the nodes of the chaos of runs are given to do, and how it must end. A seed alone chooses all of it. */
import fc from 'fast-check'
import { z } from 'zod'
import { idFrom } from '../../../src/base/index.ts'
import type { Json, NewRun, RunGraph } from '../../../src/flows/index.ts'
import { cases, chosenOf, expectedOf, node, type End } from '../../flows/model.ts'
import { random } from '../random.ts'

/** What a task does, as the params of its run tell the node that has it. */
const Step = z.object({
  failures: z.number(),
  end: z.enum(['succeeded', 'failed']),
  elements: z.number().nullable(),
  failingElement: z.number().nullable(),
  chosen: z.array(z.number()).nullable(),
  /** Goes on later: after a moment, or when a run of its own has ended. */
  defers: z.enum(['never', 'moment', 'run']),
  /** How long it takes, or its elements, or the run that it waits for; a moment when null. */
  ms: z.number().nullable(),
  /** How long it is put off, by a try that failed or until it looks again. */
  laterMs: z.number(),
})
export type Step = z.infer<typeof Step>
/** `child` is the graph of runs that tasks wait for. */
export const Work = z.object({ steps: z.array(Step), child: z.string() })

export const paramsOf = (steps: readonly Step[], child: string): Json => ({ steps: steps.map((step) => ({ ...step })), child })

/** Pools with few slots: what runs in them is the bottleneck, so they are never idle for long. */
export const POOLS: Readonly<Record<string, number>> = { narrow: 3, single: 1 }

/** A kind of run: a graph, what its tasks do, and how they end. */
export interface Kind {
  readonly graph: RunGraph
  readonly steps: readonly Step[]
  readonly run: 'succeeded' | 'failed'
  readonly nodes: readonly End[]
}

export const plain: Step = {
  failures: 0,
  end: 'succeeded',
  elements: null,
  failingElement: null,
  chosen: null,
  defers: 'never',
  ms: null,
  laterMs: 20,
}
const allWell = (graph: RunGraph): Kind => ({ graph, steps: graph.nodes.map(() => plain), run: 'succeeded', nodes: graph.nodes.map(() => 'succeeded') })

/** Tasks one after the other. */
export const chain = (length: number, flow: string = `chain_${length}`, pool: string = 'default'): RunGraph => ({
  flow,
  nodes: Array.from({ length }, (_, i) => node(`step_${i}`, { pool })),
  edges: Array.from({ length: length - 1 }, (_, i) => [i, i + 1] as const),
})
export const CHILD: RunGraph = chain(2, 'child')

/** Many tasks at once, most of them in pools, and one behind them all. */
const wide: RunGraph = {
  flow: 'wide',
  nodes: [...Array.from({ length: 40 }, (_, i) => node(`t${i}`, { pool: i < 20 ? 'narrow' : i < 24 ? 'single' : 'default', priority: i % 3 })), node('end')],
  edges: Array.from({ length: 40 }, (_, i) => [i, 40] as const),
}

export function kindsOf(seed: number, count: number): Kind[] {
  const next = random(seed)
  const found = fc.sample(cases, { seed, numRuns: count }).map((one, i): Kind => {
    const { run, nodes } = expectedOf(one)
    const steps = one.behaviours.map(({ failures, end, elements, failingElement, defers }, place): Step => {
      const chosen = chosenOf(one, place)
      return { ...plain, failures, end, elements, failingElement, chosen, defers: defers === 0 ? 'never' : next() < 0.5 ? 'moment' : 'run' }
    })
    return { graph: { ...one.graph, flow: `random_${i % 7}` }, steps, run, nodes }
  })
  return [allWell(wide), allWell(chain(20)), ...found]
}

export interface AskedRun {
  readonly run: NewRun
  readonly kind: Kind
  /** How long after it was asked for it is cancelled, or held back for a while; null for never. */
  readonly cancelAfterMs: number | null
  readonly pauseAfterMs: number | null
}

/** The runs of one lot: about this many tasks of all kinds. `hashes` are the names that the engine gave the graphs. */
export function lotOf(seed: number, place: number, tasks: number, kinds: readonly Kind[], hashes: ReadonlyMap<RunGraph, string>): AskedRun[] {
  const next = random(seed ^ Math.imul(place + 1, 0x9e3779b1))
  const lot: AskedRun[] = []
  for (let asked = 0; asked < tasks;) {
    const [first, second, ...others] = kinds
    const kind = next() < 0.02 ? first : next() < 0.04 ? second : others[Math.floor(next() * others.length)]
    if (!kind) break
    const fate = next()
    lot.push({
      kind,
      run: {
        id: idFrom(seed, place, lot.length),
        kind: 'flow',
        flow: kind.graph.flow,
        graph: hashes.get(kind.graph) ?? '',
        params: paramsOf(kind.steps, hashes.get(CHILD) ?? ''),
        trigger: { by: 'chaos' },
        priority: Math.floor(next() * 3),
      },
      cancelAfterMs: fate < 0.06 ? next() * 2_000 : null,
      pauseAfterMs: fate > 0.95 ? next() * 1_000 : null,
    })
    asked += Math.max(1, kind.graph.nodes.length)
  }
  return lot
}
