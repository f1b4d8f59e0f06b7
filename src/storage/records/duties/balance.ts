/** Which duties a node takes and which it gives away, from what all nodes hold: a pure decision, made anew at each beat. */

export interface Holding {
  /** This node. */
  readonly node: string
  /** What this node offers to do. */
  readonly offered: readonly string[]
  /** By duty, the node that has it; of those whose lease is over there is no entry. */
  readonly holders: ReadonlyMap<string, string>
  /** All nodes at work, this one included. */
  readonly nodes: readonly string[]
  /** Duties that were free at the last beat, too: whoever has a share left did not want them. */
  readonly leftOver: ReadonlySet<string>
  /** Duties that this node gave away before and that nobody took. */
  readonly kept: ReadonlySet<string>
}

export interface Balance {
  readonly take: readonly string[]
  readonly give: readonly string[]
}

/** An even share, and what nobody else takes. A node gives only while another has at least two duties less. */
export function balance({ node, offered, holders, nodes, leftOver, kept }: Holding): Balance {
  const held = offered.filter((duty) => holders.get(duty) === node)
  const free = offered.filter((duty) => !holders.has(duty)).sort((a, b) => rank(a, node) - rank(b, node))
  const share = Math.ceil(offered.length / Math.max(1, nodes.length))
  const wanted = new Set(free.slice(0, Math.max(0, share - held.length)))
  for (const duty of free) if (leftOver.has(duty)) wanted.add(duty)
  const counts = new Map(nodes.map((name) => [name, 0]))
  for (const [, holder] of holders) counts.set(holder, (counts.get(holder) ?? 0) + 1)
  const least = Math.min(...nodes.filter((name) => name !== node).map((name) => counts.get(name) ?? 0))
  const excess = wanted.size > 0 || !Number.isFinite(least) ? 0 : Math.floor((held.length - least) / 2)
  const give = held
    .filter((duty) => !kept.has(duty))
    .sort((a, b) => rank(b, node) - rank(a, node))
    .slice(0, Math.max(0, excess))
  return { take: [...wanted], give }
}

/** Each node has an order of its own, so that several do not reach for the same duty (rendezvous hashing; FNV-1a, 32 bits). */
function rank(duty: string, node: string): number {
  let hash = 0x811c9dc5
  for (const character of `${node}\n${duty}`) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193)
  return hash >>> 0
}
