/** The head of a column: its distribution as small bars and one line of facts. */
import type { ProfileShape } from '../../api/index.ts'
import { type CellKind, cellKind, instant } from '../../ui/cells.ts'
import { useWords } from '../../ui/words/index.tsx'

type Column = ProfileShape['columns'][number]

export function ColumnProfile({ column }: { column: Column }) {
  const { say, format } = useWords()
  const kind: CellKind = cellKind(column.type)
  const most = Math.max(1, ...column.bars)
  const width = 100 / Math.max(1, column.bars.length)
  const fact = (): string => {
    if (kind === 'number' && typeof column.min === 'number' && typeof column.max === 'number')
      return say('profile.range', { from: format.number(column.min), to: format.number(column.max) })
    if (kind === 'time') {
      const [from, to] = [instant(column.min), instant(column.max)]
      if (from !== undefined && to !== undefined) return say('profile.span', { span: format.span(to - from) })
    }
    return say('profile.distinct', { n: column.distinct, count: format.count(column.distinct) })
  }
  return (
    <>
      <svg className="bars" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden>
        {column.bars.map((bar, i) => {
          const height = bar === 0 ? 0 : Math.max(1.5, (bar / most) * 22)
          return <rect key={i} x={i * width} width={Math.max(0.5, width - 0.9)} y={24 - height} height={height} fill="var(--svf)" opacity="0.85" />
        })}
      </svg>
      <div className="profile-facts">
        {column.nullShare > 0 ? (
          <span className="cut c-bad" title={fact()}>
            {say('profile.nulls', { share: format.percent(column.nullShare) })}
          </span>
        ) : (
          <span className="cut">{fact()}</span>
        )}
      </div>
    </>
  )
}
