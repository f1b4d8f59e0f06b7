/** Rows of anything as a table that only draws those in view. Columns keep their width; one without a width takes what is left. */
import { useVirtualizer } from '@tanstack/react-virtual'
import { type ReactNode, useRef } from 'react'

export type RowColumn<T> = {
  readonly id: string
  readonly title: ReactNode
  readonly width?: number
  readonly num?: boolean
  readonly cell: (item: T) => ReactNode
}

export function VirtualRows<T>({
  items,
  columns,
  label,
  rowKey,
  rowClass,
  maxHeight,
  rowHeight = 29,
  least = 560,
  onScroll,
}: {
  items: readonly T[]
  columns: readonly RowColumn<T>[]
  label: string
  rowKey: (item: T) => string
  rowClass?: (item: T) => string | undefined
  maxHeight: string
  rowHeight?: number
  /** Narrower than this the table is scrolled sideways. */
  least?: number
  onScroll?: (top: number) => void
}) {
  const scroller = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    getItemKey: (index) => ((item) => (item === undefined ? index : rowKey(item)))(items[index]),
    overscan: 12,
  })
  const shown = rows.getVirtualItems()
  const above = shown[0]?.start ?? 0
  const below = rows.getTotalSize() - (shown.at(-1)?.end ?? 0)
  return (
    <div
      className="data-grid virtual-rows"
      ref={scroller}
      style={{ maxHeight }}
      tabIndex={0}
      role="region"
      aria-label={label}
      onScroll={onScroll === undefined ? undefined : (event) => onScroll(event.currentTarget.scrollTop)}
    >
      <table style={{ width: '100%', minWidth: least }} aria-rowcount={items.length + 1}>
        <colgroup>
          {columns.map(({ id, width }) => (
            <col key={id} style={width === undefined ? undefined : { width }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map(({ id, title, num }) => (
              <th key={id} scope="col" className={num === true ? 'num' : undefined}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {above > 0 && (
            <tr className="gap" aria-hidden>
              <td colSpan={columns.length} style={{ height: above }} />
            </tr>
          )}
          {shown.map(({ index, key }) => {
            const item = items[index]
            return item === undefined ? null : (
              <tr key={key} aria-rowindex={index + 2} className={rowClass?.(item)}>
                {columns.map(({ id, num, cell }) => (
                  <td key={id} className={num === true ? 'num' : undefined} style={{ height: rowHeight }}>
                    {cell(item)}
                  </td>
                ))}
              </tr>
            )
          })}
          {below > 0 && (
            <tr className="gap" aria-hidden>
              <td colSpan={columns.length} style={{ height: below }} />
            </tr>
          )}
        </tbody>
      </table>
    </div>
  )
}
