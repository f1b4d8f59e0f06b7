/** Rows of a query as a table that only draws the rows in view. Columns keep their width while it scrolls. */
import { useVirtualizer } from '@tanstack/react-virtual'
import { type ReactNode, useMemo, useRef } from 'react'
import type { QueryResult } from '../api/index.ts'
import { cellKind, cellText, columnWidth } from './cells.ts'
import { useWords } from './words/index.tsx'

const rowHeight = 27
const sample = 60

export function DataGrid({
  result,
  label,
  maxHeight,
  header,
  least = 96,
}: {
  result: QueryResult
  label: string
  maxHeight: string
  header?: (column: string, kind: string) => ReactNode
  least?: number
}) {
  const { format } = useWords()
  const scroller = useRef<HTMLDivElement>(null)
  const columns = useMemo(
    () =>
      result.columns.map((column, i) => {
        const kind = cellKind(column.type)
        const texts = result.rows.slice(0, sample).map((row) => cellText(row[i], kind, format))
        return { ...column, kind, width: columnWidth(column.name, column.type, texts, least) }
      }),
    [result, format, least],
  )
  const rows = useVirtualizer({ count: result.rows.length, getScrollElement: () => scroller.current, estimateSize: () => rowHeight, overscan: 12 })
  const items = rows.getVirtualItems()
  const above = items[0]?.start ?? 0
  const below = rows.getTotalSize() - (items.at(-1)?.end ?? 0)
  const total = columns.reduce((sum, column) => sum + column.width, 0)
  return (
    <div className="data-grid" ref={scroller} style={{ maxHeight }} tabIndex={0} role="region" aria-label={label}>
      <table style={{ minWidth: '100%', width: total }} aria-rowcount={result.rows.length + 1}>
        <colgroup>
          {columns.map((column, i) => (
            <col key={`${i}${column.name}`} style={{ width: column.width }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column, i) => (
              <th key={`${i}${column.name}`} scope="col">
                <div className="col">
                  <b className="cut" title={column.name}>
                    {column.name}
                  </b>
                  <span>{column.type.toLowerCase()}</span>
                </div>
                {header?.(column.name, column.kind)}
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
          {items.map((item) => {
            const row = result.rows[item.index] ?? []
            return (
              <tr key={item.key} aria-rowindex={item.index + 2}>
                {columns.map((column, i) => {
                  const value = row[i]
                  const text = cellText(value, column.kind, format)
                  return (
                    <td
                      key={`${i}${column.name}`}
                      className={column.kind === 'number' ? 'num' : column.kind === 'mono' ? 'mono' : undefined}
                      title={text.length > 28 ? text : undefined}
                    >
                      {value === null || value === undefined ? <span className="nothing">null</span> : text}
                    </td>
                  )
                })}
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
