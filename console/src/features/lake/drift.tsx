/** What changed the columns of a table, or tried to, with some of the rows that brought it. */
import type { DriftShape } from '../../api/index.ts'
import { cellText } from '../../ui/cells.ts'
import { Panel, Tag } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'

const tones = { taken: 'plain', refused: 'bad', unknown_fields: 'warn' } as const

export function DriftPanel({ drift, now }: { drift: readonly DriftShape[]; now: number }) {
  const { say, format } = useWords()
  return (
    <Panel title={say('drift.title')} right={<span>{format.number(drift.length)}</span>}>
      <ol className="drift">
        {drift.map((each) => (
          <li key={`${each.version} ${each.changes.join()}`}>
            <div className="drift-head">
              <Tag kind={tones[each.kind]}>{say(`drift.${each.kind}`)}</Tag>
              <span title={format.dateTime(each.at)}>{format.ago(each.at, now)}</span>
              <span className="quiet">{say('drift.version', { version: format.number(each.version) })}</span>
            </div>
            <ul>
              {each.changes.map((change) => (
                <li key={change}>{change}</li>
              ))}
            </ul>
            {each.samples.length > 0 && <Samples rows={each.samples} label={say('drift.samples', { version: format.number(each.version) })} />}
          </li>
        ))}
      </ol>
    </Panel>
  )
}

function Samples({ rows, label }: { rows: DriftShape['samples']; label: string }) {
  const { format } = useWords()
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  return (
    <div className="scroll-x" tabIndex={0} role="region" aria-label={label}>
      <table className="list-table">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, place) => (
            <tr key={place}>
              {columns.map((column) => (
                <td key={column} className="mono">
                  {cellText(row[column], 'text', format)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
