/** A walk through the catalogue as indented lines: each place once, with how it is made. */
import { placeText, type Edge, type LineageAnswer, type Place } from '../catalog/index.ts'
import { dim } from './output.ts'

/** The kinds of edges that only say that rows come along; said of whole assets, they are not worth a word. */
const PLAIN: ReadonlySet<Edge['how']> = new Set(['read', 'copied'])

export function flowText(title: string, { edges }: LineageAnswer, start: Place, direction: 'up' | 'down'): string {
  const whole = start.column === undefined
  const keyOf = (place: Place): string => (whole ? place.asset : placeText(place) + place.asset)
  const next = new Map<string, Map<string, { readonly place: Place; readonly hows: Set<string> }>>()
  for (const edge of edges) {
    const [from, to] = direction === 'down' ? [edge.from, edge.to] : [edge.to, edge.from]
    const reached = next.get(keyOf(from)) ?? new Map<string, { place: Place; hows: Set<string> }>()
    next.set(keyOf(from), reached)
    const at = reached.get(keyOf(to)) ?? { place: whole ? { asset: to.asset } : to, hows: new Set() }
    reached.set(keyOf(to), at)
    if (!whole || !PLAIN.has(edge.how)) at.hows.add(howText(edge))
  }
  const seen = new Set([keyOf(start)])
  const lines: string[] = []
  const write = (key: string, indent: string): void => {
    for (const [to, { place, hows }] of next.get(key) ?? []) {
      const again = seen.has(to) && next.has(to)
      // Uses inside the asset that is asked for have no further place to name.
      lines.push(`${indent}${placeText(place)}${hows.size === 0 ? '' : dim(`  ${[...hows].join(', ')}`)}${again ? dim('  (above)') : ''}`)
      if (seen.has(to)) continue
      seen.add(to)
      write(to, `${indent}  `)
    }
  }
  write(keyOf(start), '  ')
  return [title, ...(lines.length === 0 ? ['  nothing'] : lines)].join('\n')
}

function howText({ how, use }: Edge): string {
  if (how !== 'used' || !use) return how
  const part = use.part.replaceAll('_', ' ')
  return use.name === undefined ? part : `${part} ${use.name}`
}
