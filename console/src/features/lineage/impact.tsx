/** What happens to the rest of the project when a column or an asset goes away, in sentences. */
import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { impactQuery, type Place } from '../../api/index.ts'
import { placeName } from '../../ui/assets.ts'
import { Mark, type Tone } from '../../ui/parts.tsx'
import { Failure, LoadingRows } from '../../ui/states.tsx'
import { type Say, useWords } from '../../ui/words/index.tsx'
import { byAsset, type Effect, effects, impactSentence, type ImpactItem, type Sentence, wayOf } from './sentences.ts'

export const effectTone: Readonly<Record<Effect, Tone>> = { breaks: 'bad', may_break: 'warn', goes: 'off', changes: 'run', waits: 'off' }
const assetsAtFirst = 12

export function Impact({ place, onInspect }: { place: Place; onInspect: (asset: string) => void }) {
  const { say } = useWords()
  const impact = useQuery(impactQuery(place))
  if (impact.isPending) return <LoadingRows rows={8} />
  if (impact.isError) return <Failure error={impact.error} onRetry={() => void impact.refetch()} />
  const { items, counts, truncated } = impact.data
  const broken = new Set(items.filter(({ effect }) => effect === 'breaks' || effect === 'may_break').map(({ asset }) => asset))
  const name = placeName(place)
  return (
    <div className="impact">
      <p className="impact-title">{items.length === 0 ? say('impact.none', { name }) : say('impact.title', { name })}</p>
      {items.length === 0 && <p className="quiet small">{say('impact.none.text')}</p>}
      {effects
        .filter((effect) => counts[effect] > 0)
        .map((effect) => (
          <Group key={`${effect}\n${name}`} effect={effect} items={items} broken={broken} onInspect={onInspect} />
        ))}
      {truncated && <p className="quiet small">{say('impact.truncated', { n: items.length })}</p>}
    </div>
  )
}

function Group({
  effect,
  items,
  broken,
  onInspect,
}: {
  effect: Effect
  items: readonly ImpactItem[]
  broken: ReadonlySet<string>
  onInspect: (asset: string) => void
}) {
  const { say } = useWords()
  const [all, setAll] = useState(false)
  const assets = byAsset(items, effect)
  const shown = all ? assets : assets.slice(0, assetsAtFirst)
  return (
    <section className="impact-group">
      <h3>
        <Mark tone={effectTone[effect]} />
        {say(`impact.effect.${effect}`, { n: assets.length })}
      </h3>
      <p className="quiet small">{say(`impact.what.${effect}`)}</p>
      <ul>
        {shown.map(({ asset, items: own }) => (
          <li key={asset}>
            <button type="button" className="plain-button link" onClick={() => onInspect(asset)}>
              {placeName({ asset })}
            </button>
            <ul>
              {own.map((item) => {
                const way = wayOf(item)
                return (
                  <li key={`${item.column ?? ''}\n${item.use?.part ?? ''}\n${item.use?.name ?? ''}`}>
                    {item.column !== undefined && <b className="mono">{item.column} </b>}
                    {sentence(say, impactSentence(item, broken))}
                    {way.length > 0 && <span className="quiet"> {say('impact.way', { way: way.join(' → ') })}</span>}
                  </li>
                )
              })}
            </ul>
          </li>
        ))}
      </ul>
      {shown.length < assets.length && (
        <Button size="xs" onClick={() => setAll(true)}>
          {say('impact.all', { n: assets.length })}
        </Button>
      )}
    </section>
  )
}

export const sentence = (say: Say, { id, values }: Sentence): string => say(id, values)
