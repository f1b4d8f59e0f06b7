/** Which flows the list shows, and in which order. */
import type { FlowShape } from '../../api/types.ts'
import type { FlowsSearch } from '../../app/search.ts'

/** By name; those whose name, description, owner or tags have every word that is looked for. */
export function shownFlows(flows: readonly FlowShape[], { q, tag }: FlowsSearch, compare: (a: string, b: string) => number): FlowShape[] {
  const words = (q ?? '')
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '')
  return flows
    .filter((flow) => {
      const text = [flow.name, flow.description ?? '', flow.owner ?? '', ...flow.tags].join(' ').toLowerCase()
      return (tag === undefined || flow.tags.includes(tag)) && words.every((word) => text.includes(word))
    })
    .toSorted((a, b) => compare(a.name, b.name))
}
