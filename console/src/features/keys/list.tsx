/** The keys as rows, of which only those in view are drawn; the next page is fetched when the end comes near. */
import { Button } from '@mantine/core'
import { Link } from '@tanstack/react-router'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useRef } from 'react'
import type { KeyShape } from '../../api/index.ts'
import type { KeysSearch } from '../../app/search.ts'
import { Tag } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Left } from './left.tsx'

const rowHeight = 30
/** So many rows before the end more are fetched. */
const ahead = 40

interface More {
  readonly loading: boolean
  /** A filter may find nothing for long: then the reader says whether to go on. */
  readonly searching: boolean
  readonly get: () => void
}

export function KeyList({ entries, search, now, more }: { entries: readonly KeyShape[]; search: KeysSearch; now: number; more: More | undefined }) {
  const { say, format } = useWords()
  const { prefix = '', key: selected } = search
  const scroller = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
    getItemKey: (index) => entries[index]?.key ?? index,
  })
  const items = rows.getVirtualItems()
  const above = items[0]?.start ?? 0
  const below = rows.getTotalSize() - (items.at(-1)?.end ?? 0)
  const last = items.at(-1)?.index ?? 0
  const isNear = more !== undefined && !more.searching && !more.loading && last >= entries.length - ahead
  useEffect(() => {
    if (isNear) more?.get()
  }, [isNear, more])

  return (
    <>
      <div className="keys-scroller" ref={scroller} tabIndex={0} role="region" aria-label={say('keys.list')}>
        <table className="list-table keys-list" aria-rowcount={more === undefined ? entries.length + 1 : -1}>
          <thead>
            <tr aria-rowindex={1}>
              <th scope="col">{say('keys.column.key')}</th>
              <th scope="col">{say('keys.column.type')}</th>
              <th scope="col" className="num">
                {say('keys.column.size')}
              </th>
              <th scope="col" className="num">
                {say('keys.column.ttl')}
              </th>
              <th scope="col">{say('keys.column.updated')}</th>
            </tr>
          </thead>
          <tbody>
            {above > 0 && (
              <tr className="gap" aria-hidden>
                <td style={{ height: above }} />
              </tr>
            )}
            {items.map((item) => {
              const entry = entries[item.index]
              if (entry === undefined) return null
              const isSelected = entry.key === selected
              return (
                <tr key={item.key} aria-rowindex={item.index + 2} className={isSelected ? 'selected' : undefined}>
                  <td>
                    <Link
                      to="/keys"
                      search={{ ...search, key: entry.key }}
                      replace
                      className="key-name mono cut"
                      title={entry.key}
                      aria-current={isSelected ? 'true' : undefined}
                    >
                      {prefix !== '' && entry.key.startsWith(prefix) && entry.key.length > prefix.length ? (
                        <>
                          <span className="quiet">{prefix}</span>
                          {entry.key.slice(prefix.length)}
                        </>
                      ) : (
                        entry.key
                      )}
                    </Link>
                  </td>
                  <td>
                    <Tag kind="plain">{say(`keys.type.${entry.type}`)}</Tag>
                  </td>
                  <td className="num">{format.bytes(entry.bytes)}</td>
                  <td className="num">
                    <Left expiresAt={entry.expiresAt} now={now} />
                  </td>
                  <td title={entry.updatedAt > 0 ? format.dateTime(entry.updatedAt) : undefined}>{entry.updatedAt > 0 && format.ago(entry.updatedAt, now)}</td>
                </tr>
              )
            })}
            {below > 0 && (
              <tr className="gap" aria-hidden>
                <td style={{ height: below }} />
              </tr>
            )}
          </tbody>
        </table>
      </div>
      {more !== undefined && (
        <div className="keys-more">
          <Button loading={more.loading} onClick={more.get}>
            {say(more.searching ? 'keys.searchOn' : 'keys.more')}
          </Button>
        </div>
      )}
    </>
  )
}
