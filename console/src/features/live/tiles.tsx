/** Stations side by side: newest values, and in words and shape whether they are well. */
import { memo } from 'react'
import type { FieldShape } from '../../api/index.ts'
import { fieldLabel, unitLabel } from '../../ui/format.ts'
import { Mark, type Tone } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { type Limit, type TileState, valueState } from './limits.ts'

export type TileFacts = { readonly key: string; readonly state: TileState; readonly ageMs: number; readonly values: readonly (number | null)[] }

const tone: Readonly<Record<TileState, Tone>> = { ok: 'ok', near: 'warn', over: 'bad', stale: 'off' }

export function Tiles({ tiles, fields, limits }: { tiles: readonly TileFacts[]; fields: readonly FieldShape[]; limits: readonly Limit[] }) {
  const { say } = useWords()
  return (
    <ul className="tiles" aria-label={say('live.stations')}>
      {tiles.map((tile) => (
        <Tile
          key={tile.key}
          name={tile.key}
          state={tile.state}
          age={tile.ageMs < 2_000 ? 0 : Math.floor(tile.ageMs / 1_000)}
          values={tile.values.join('|')}
          fields={fields}
          limits={limits}
        />
      ))}
    </ul>
  )
}

/** `values` is one string, so that a tile whose reading did not change is not drawn again. */
const Tile = memo(function Tile({
  name,
  state,
  age,
  values,
  fields,
  limits,
}: {
  name: string
  state: TileState
  age: number
  values: string
  fields: readonly FieldShape[]
  limits: readonly Limit[]
}) {
  const { say, format } = useWords()
  const numbers = values.split('|').map((value) => (value === '' ? null : Number(value)))
  const never = age > 10 * 365 * 86_400
  const since = age === 0 ? say('live.now') : format.ago(-age * 1000, 0)
  // Three values and more need the width, so their unit goes below.
  const stacked = fields.length > 2
  return (
    <li className={`tile ${state}`}>
      <div className="name">
        <Mark tone={tone[state]} />
        <b className="cut" title={name}>
          {name}
        </b>
        <span title={state === 'ok' ? undefined : say(`live.state.${state}.long`)}>
          {state === 'ok' ? since : state === 'stale' ? (never ? say('live.never') : say('live.staleSince', { ago: since })) : say(`live.state.${state}`)}
        </span>
      </div>
      <div className={stacked ? 'figures stacked' : 'figures'}>
        {fields.map((field, i) => {
          const value = numbers[i] ?? null
          const level =
            state === 'stale' || value === null
              ? 'ok'
              : valueState(
                  value,
                  limits.filter((limit) => limit.field === field.name),
                )
          return (
            <div key={field.name}>
              <span className="label">
                {fieldLabel(field.name)} {field.unit !== undefined && !stacked && <small>{unitLabel(field.unit)}</small>}
              </span>
              <span className={`number ${level}`}>
                {value === null ? (
                  <i title={say('live.noData')}>
                    <span aria-hidden>–</span>
                    <span className="unseen">{say('live.noData')}</span>
                  </i>
                ) : (
                  format.number(value, digits(value))
                )}
              </span>
              {field.unit !== undefined && stacked && <span className="label">{unitLabel(field.unit)}</span>}
            </div>
          )
        })}
      </div>
    </li>
  )
})

const digits = (value: number): number => (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 1 : 2)
