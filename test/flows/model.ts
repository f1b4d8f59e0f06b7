/** What must come of a run, worked out without a database, and random runs to try it on. */
import fc from 'fast-check'
import type { RunGraph, RunNode, Rule } from '../../src/flows/index.ts'

/** What a task does when it is executed. */
export interface Behaviour {
  /** Attempts that fail before the last one; each is tried again. */
  readonly failures: number
  readonly end: 'succeeded' | 'failed'
  /** Becomes that many elements; null for none. */
  readonly elements: number | null
  /** Which of the elements fails; null for none. */
  readonly failingElement: number | null
  /** Goes on to these places among the nodes behind it; null for all. */
  readonly chosen: readonly number[] | null
  readonly defers: number
}

export interface Case {
  readonly graph: RunGraph
  readonly behaviours: readonly Behaviour[]
}

export const node = (name: string, more: Partial<RunNode> = {}): RunNode => ({
  name,
  about: {},
  pool: 'default',
  priority: 0,
  rule: 'all_succeeded',
  optional: false,
  ...more,
})

const behaviour: fc.Arbitrary<Behaviour> = fc.record({
  failures: fc.constantFrom(0, 0, 0, 1, 2),
  end: fc.constantFrom('succeeded', 'succeeded', 'succeeded', 'failed'),
  elements: fc.constantFrom(null, null, null, 0, 1, 3),
  failingElement: fc.constantFrom(null, null, 0),
  chosen: fc.option(fc.uniqueArray(fc.nat(3), { maxLength: 3 }), { nil: null, freq: 5 }),
  defers: fc.constantFrom(0, 0, 0, 1),
})

export const cases: fc.Arbitrary<Case> = fc.nat({ max: 12 }).chain((size) =>
  fc
    .record({
      rules: fc.array(fc.constantFrom<Rule>('all_succeeded', 'all_succeeded', 'none_failed', 'all_done'), { minLength: size, maxLength: size }),
      optional: fc.array(fc.constantFrom(false, false, false, true), { minLength: size, maxLength: size }),
      edges: fc.array(fc.tuple(fc.nat(Math.max(0, size - 1)), fc.nat(Math.max(0, size - 1))), { maxLength: size * 2 }),
      behaviours: fc.array(behaviour, { minLength: size, maxLength: size }),
      priorities: fc.array(fc.integer({ min: -2, max: 2 }), { minLength: size, maxLength: size }),
    })
    .map(({ rules, optional, edges, behaviours, priorities }) => {
      const forward = new Map(
        edges.filter(([a, b]) => a !== b).map(([a, b]) => [`${Math.min(a, b)} ${Math.max(a, b)}`, [Math.min(a, b), Math.max(a, b)] as const]),
      )
      return {
        graph: {
          flow: 'random',
          nodes: rules.map((rule, i) => node(`n${i}`, { rule, optional: optional[i] ?? false, priority: priorities[i] ?? 0 })),
          edges: [...forward.values()],
        },
        behaviours,
      }
    }),
)

export type End = 'succeeded' | 'failed' | 'skipped'

/** The ends of the nodes and of the run. Nodes stand in an order in which those before come first. */
export function expectedOf({ graph, behaviours }: Case): { readonly run: 'succeeded' | 'failed'; readonly nodes: readonly End[] } {
  const ends: End[] = []
  const reasons: (string | null)[] = []
  for (const [i, { rule }] of graph.nodes.entries()) {
    const before = graph.edges.filter(([, to]) => to === i).map(([from]) => from)
    const failed = before.filter((b) => (ends[b] === 'failed' && graph.nodes[b]?.optional !== true) || reasons[b] === 'upstream_failed').length
    const skipped = before.filter(
      (b) => (ends[b] === 'skipped' && reasons[b] !== 'upstream_failed') || (ends[b] === 'succeeded' && !goesTo({ graph, behaviours }, b, i)),
    ).length
    const isSkipped = rule !== 'all_done' && (failed > 0 || (rule === 'all_succeeded' ? skipped > 0 : skipped > 0 && skipped === before.length))
    ends[i] = isSkipped ? 'skipped' : endOf(behaviours[i])
    reasons[i] = isSkipped ? (failed > 0 ? 'upstream_failed' : 'branch') : null
  }
  const isFailed = ends.some((end, i) => end === 'failed' && graph.nodes[i]?.optional !== true)
  return { run: isFailed ? 'failed' : 'succeeded', nodes: ends }
}

function endOf(behaviour: Behaviour | undefined): End {
  if (!behaviour) return 'succeeded'
  const { elements, failingElement, end } = behaviour
  if (elements !== null) return failingElement !== null && failingElement < elements ? 'failed' : 'succeeded'
  return end
}

/** The nodes that a branch names; null when it names none. */
export function chosenOf({ graph, behaviours }: Case, from: number): number[] | null {
  const { chosen, elements } = behaviours[from] ?? { chosen: null, elements: null }
  if (chosen === null || elements !== null) return null
  const behind = graph.edges.filter(([source]) => source === from).map(([, to]) => to)
  return behind.filter((_, place) => chosen.includes(place))
}

function goesTo(given: Case, from: number, to: number): boolean {
  const chosen = chosenOf(given, from)
  return chosen === null || chosen.includes(to)
}
