/** A box to type in that offers assets and columns; what is chosen becomes the beginning of the graph. */
import { useDebouncedValue } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Search } from 'lucide-react'
import { useId, useState } from 'react'
import { assetsQuery, type Place } from '../../api/index.ts'
import { kindIcons, placeName } from '../../ui/assets.ts'
import { useWords } from '../../ui/words/index.tsx'

const mostAssets = 8
const mostColumns = 3

export function Find({ onChoose }: { onChoose: (place: Place) => void }) {
  const { say } = useWords()
  const [text, setText] = useState('')
  const [open, setOpen] = useState(false)
  const [at, setAt] = useState(0)
  const [wanted] = useDebouncedValue(text.trim(), 120)
  const answer = useQuery({ ...assetsQuery(wanted, mostAssets), enabled: open })
  const id = useId()
  const found = (answer.data?.items ?? []).flatMap(({ id: asset, kind, matched }) => [
    { kind, place: { asset } },
    ...(wanted === '' ? [] : matched.slice(0, mostColumns).map((column) => ({ kind, place: { asset, column } }))),
  ])
  const chosen = Math.min(at, found.length - 1)
  const choose = (place: Place): void => {
    setOpen(false)
    setText('')
    setAt(0)
    onChoose(place)
  }
  return (
    <div
      className="find"
      onBlur={(event) => {
        if (!event.currentTarget.contains(event.relatedTarget)) setOpen(false)
      }}
    >
      <Search aria-hidden />
      <input
        className="text-input"
        role="combobox"
        aria-expanded={open}
        aria-controls={`${id}-list`}
        aria-activedescendant={open && chosen >= 0 ? `${id}-${chosen}` : undefined}
        aria-label={say('lineage.find')}
        placeholder={say('lineage.find')}
        value={text}
        onFocus={() => setOpen(true)}
        onChange={(event) => {
          setText(event.currentTarget.value)
          setOpen(true)
          setAt(0)
        }}
        onKeyDown={(event) => {
          if (event.key === 'Escape') setOpen(false)
          else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
            event.preventDefault()
            if (open) setAt((chosen + (event.key === 'ArrowDown' ? 1 : found.length - 1)) % Math.max(1, found.length))
            else setOpen(true)
          } else if (event.key === 'Enter') {
            const each = found[chosen]
            if (open && each !== undefined) choose(each.place)
          }
        }}
      />
      <ul role="listbox" id={`${id}-list`} aria-label={say('palette.results')} hidden={!open || (found.length === 0 && !answer.isSuccess)}>
        {found.map(({ place, kind }, i) => {
          const Icon = kindIcons[kind]
          const isColumn = 'column' in place
          return (
            <li
              key={`${place.asset}\n${isColumn ? place.column : ''}`}
              id={`${id}-${i}`}
              role="option"
              aria-selected={i === chosen}
              className={isColumn ? 'of-asset' : undefined}
              // The box must not lose the focus before the press is over.
              onPointerDown={(event) => event.preventDefault()}
              onClick={() => choose(place)}
              onPointerMove={() => setAt(i)}
            >
              {!isColumn && <Icon aria-hidden />}
              <span className="cut">{placeName(place)}</span>
              <span>{say(isColumn ? 'palette.column' : `asset.${kind}`)}</span>
            </li>
          )
        })}
        {found.length === 0 && (
          <li role="option" aria-selected={false} aria-disabled>
            {say('palette.none', { text: wanted })}
          </li>
        )}
      </ul>
    </div>
  )
}
