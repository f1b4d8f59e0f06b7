/**
 * Ctrl K: jump to a page, a table or a stream by a few letters of its name. The catalogue adds what it finds by other words: columns, owners,
 * tags and descriptions.
 */
import { Modal } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useRouter } from '@tanstack/react-router'
import { Activity, Bell, Cable, Columns3, Database, type LucideIcon, Workflow } from 'lucide-react'
import { useEffect, useId, useRef, useState } from 'react'
import { assetsQuery, flowsQuery, rulesQuery, streamsQuery, tablesQuery } from '../api/index.ts'
import { kindIcons } from '../ui/assets.ts'
import { useWords } from '../ui/words/index.tsx'
import { pageGroups } from './pages.ts'
import { rank } from './rank.ts'

const mostFound = 40
const mostColumns = 4

export default function Palette({ onClose }: { onClose: () => void }) {
  const { say } = useWords()
  const router = useRouter()
  const tables = useQuery(tablesQuery).data?.items ?? []
  const streams = useQuery(streamsQuery).data?.items ?? []
  const rules = useQuery(rulesQuery).data?.items ?? []
  const flows = useQuery(flowsQuery).data?.items ?? []
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const [wanted] = useDebouncedValue(text.trim(), 120)
  const assets = useQuery({ ...assetsQuery(wanted, 12), enabled: wanted !== '' }).data?.items ?? []
  const id = useId()
  const list = useRef<HTMLUListElement>(null)

  const places: { label: string; kind: string; href: string; icon: LucideIcon }[] = [
    ...pageGroups.flatMap((group) => group.pages).map((page) => ({ label: say(page.title), kind: say('palette.page'), href: page.to, icon: page.icon })),
    ...tables.map((table) => ({ label: table.name, kind: say('palette.table'), href: `/lake/${encodeURIComponent(table.name)}`, icon: Database })),
    ...streams.map((stream) => ({ label: stream.name, kind: say('palette.stream'), href: `/streams/${encodeURIComponent(stream.name)}`, icon: Cable })),
    ...streams
      .filter((stream) => stream.live !== undefined)
      .map((stream) => ({ label: stream.name, kind: say('page.live'), href: `/live?stream=${encodeURIComponent(stream.name)}`, icon: Activity })),
    ...flows.map((flow) => ({ label: flow.name, kind: say('palette.flow'), href: `/flows/${encodeURIComponent(flow.name)}`, icon: Workflow })),
    ...rules.map((rule) => ({ label: rule.name, kind: say('asset.alert'), href: `/alerts?tab=rules&rule=${encodeURIComponent(rule.name)}`, icon: Bell })),
  ]
  const lineage = (asset: string, column?: string): string => router.buildLocation({ to: '/lineage', search: { asset, column } }).href
  const named = rank(places, text)
  const catalogue =
    wanted === '' || text.trim() === ''
      ? []
      : assets.flatMap(({ id: asset, kind, name, matched }) => [
          // A table, or a live stream, is offered by its own screen already.
          ...(named.some(({ label }) => label === name) ? [] : [{ label: name, kind: say(`asset.${kind}`), href: lineage(asset), icon: kindIcons[kind] }]),
          ...matched
            .slice(0, mostColumns)
            .map((column) => ({ label: `${name}.${column}`, kind: say('palette.column'), href: lineage(asset, column), icon: Columns3 })),
        ])
  const found = [...named, ...catalogue].slice(0, mostFound)
  const chosen = Math.min(at, found.length - 1)

  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' })
  }, [chosen])

  const go = (href: string): void => {
    onClose()
    router.history.push(href)
  }

  return (
    <Modal.Root opened onClose={onClose} size={560} padding={0} yOffset="12vh" transitionProps={{ duration: 80 }}>
      <Modal.Overlay />
      <Modal.Content classNames={{ content: 'palette' }} aria-label={say('palette.open')}>
        <input
          data-autofocus
          role="combobox"
          aria-expanded
          aria-controls={`${id}-list`}
          aria-activedescendant={chosen < 0 ? undefined : `${id}-${chosen}`}
          aria-label={say('palette.open')}
          placeholder={say('palette.placeholder')}
          value={text}
          onChange={(event) => {
            setText(event.currentTarget.value)
            setAt(0)
          }}
          onKeyDown={(event) => {
            if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
              event.preventDefault()
              setAt((chosen + (event.key === 'ArrowDown' ? 1 : found.length - 1)) % Math.max(1, found.length))
            } else if (event.key === 'Enter') {
              const place = found[chosen]
              if (place !== undefined) go(place.href)
            }
          }}
        />
        {found.length === 0 && <p>{say('palette.none', { text })}</p>}
        <ul role="listbox" id={`${id}-list`} ref={list} aria-label={say('palette.results')}>
          {found.map((place, i) => (
            <li key={place.href} id={`${id}-${i}`} role="option" aria-selected={i === chosen} onClick={() => go(place.href)} onPointerMove={() => setAt(i)}>
              <place.icon aria-hidden />
              <span className="cut">{place.label}</span>
              <span>{place.kind}</span>
            </li>
          ))}
        </ul>
      </Modal.Content>
    </Modal.Root>
  )
}
