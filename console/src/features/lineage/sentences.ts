/** What the catalogue says of uses and impact, as the ids and values of a sentence; the server's own sentences are English only. */
import type { ImpactShape, LineageEdge } from '../../api/types.ts'
import { placeName } from '../../ui/assets.ts'

export type ImpactItem = ImpactShape['items'][number]
export type Effect = ImpactItem['effect']
type Part = NonNullable<LineageEdge['use']>['part']

/** The worst first. */
export const effects: readonly Effect[] = ['breaks', 'may_break', 'goes', 'changes', 'waits']

export type Sentence =
  | { readonly id: `use.${Part}`; readonly values: { readonly column: string; readonly name: string } }
  | {
      readonly id: 'impact.madeOf' | 'impact.mayBeMadeOf' | 'impact.partOf' | 'impact.takenAlong' | 'impact.rowsBy' | 'impact.waitsFor' | 'impact.fedBy'
      readonly values: { readonly from: string }
    }

/** Why the item is in the answer. `broken` are the assets of the answer that break, or may. */
export function impactSentence({ asset, column, use, effect, path }: ImpactItem, broken: ReadonlySet<string>): Sentence {
  const from = path.at(-2)
  const fromName = from === undefined ? '' : placeName(from)
  if (use !== undefined) return sentenceOfUse(use, fromName)
  switch (effect) {
    case 'breaks':
      return { id: 'impact.madeOf', values: { from: fromName } }
    case 'may_break':
      return { id: 'impact.mayBeMadeOf', values: { from: from === undefined ? '' : placeName({ asset: from.asset }) } }
    case 'goes':
      return column === undefined
        ? { id: 'impact.partOf', values: { from: fromName } }
        : { id: 'impact.takenAlong', values: { from: from === undefined ? '' : placeName({ asset: from.asset }) } }
    case 'changes':
      return { id: column === undefined ? 'impact.rowsBy' : 'impact.madeOf', values: { from: fromName } }
    case 'waits': {
      const cause = path.find((place) => place.asset !== asset && broken.has(place.asset))
      return cause === undefined
        ? { id: 'impact.fedBy', values: { from: fromName } }
        : { id: 'impact.waitsFor', values: { from: placeName({ asset: cause.asset }) } }
    }
  }
}

export function sentenceOfUse(use: NonNullable<LineageEdge['use']>, column: string): Sentence {
  return { id: `use.${use.part}`, values: { column, name: use.name ?? '' } }
}

export type AssetImpact = { readonly asset: string; readonly items: readonly ImpactItem[] }

/** The items of one effect, those of an asset together, in the order in which the assets come first. */
export function byAsset(items: readonly ImpactItem[], effect: Effect): AssetImpact[] {
  const grouped = Map.groupBy(
    items.filter((item) => item.effect === effect),
    (item) => item.asset,
  )
  return [...grouped].map(([asset, own]) => ({ asset, items: own }))
}

/** The worst that happens to each asset. */
export function worstOf(items: readonly ImpactItem[]): Map<string, Effect> {
  const worst = new Map<string, Effect>()
  for (const { asset, effect } of items) {
    const known = worst.get(asset)
    if (known === undefined || effects.indexOf(effect) < effects.indexOf(known)) worst.set(asset, effect)
  }
  return worst
}

/** The assets between what goes and the item, for a reader who asks by which way. */
export function wayOf({ asset, path }: ImpactItem): string[] {
  const start = path[0]?.asset
  return [...new Set(path.map((place) => place.asset))].filter((each) => each !== start && each !== asset).map((each) => placeName({ asset: each }))
}
