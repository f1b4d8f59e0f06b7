/**
 * The critical path of a run: the chain of tasks that decided how long it took. It ends at the task that ended last and goes back, each time to
 * the one that the task had to wait for longest. Whatever is quicker elsewhere, the run was not over sooner.
 */
export type Timed = { readonly node: number; readonly startedAt: number | null; readonly endedAt: number | null }
export type Edge = readonly [number, number]

/** The nodes of the path, the first one first. Tasks that never began are on none; those that go on end now. */
export function criticalPath(tasks: readonly Timed[], edges: readonly Edge[], now: number): number[] {
  const ends = new Map(tasks.flatMap(({ node, startedAt, endedAt }) => (startedAt === null ? [] : [[node, endedAt ?? now] as const])))
  const before = Map.groupBy(edges, ([, to]) => to)
  const latest = (nodes: Iterable<number>): number | undefined => {
    let found: number | undefined
    for (const node of nodes) {
      const end = ends.get(node)
      if (end !== undefined && (found === undefined || end > (ends.get(found) ?? 0))) found = node
    }
    return found
  }
  const path: number[] = []
  // Every edge goes from a lower to a higher node, so the way back ends.
  for (let node = latest(ends.keys()); node !== undefined; node = latest((before.get(node) ?? []).flatMap(([from]) => (from < (node ?? 0) ? [from] : []))))
    path.unshift(node)
  return path
}
