/**
 * Rows that differ, with a sign before each: plus came, minus went, and in a changed row the value before is struck out beside the one
 * after. Colour says the same again.
 */
import { useQuery } from '@tanstack/react-query'
import { type BranchDiff, tableQuery } from '../../api/index.ts'
import { cellKind, cellText } from '../../ui/cells.ts'
import { useWords } from '../../ui/words/index.tsx'
import { type Cell, changedRows, shownColumns } from './changes.ts'

const signs = { added: '+', removed: '−', changed: '~' } as const

export function DiffGrid({ diff }: { diff: BranchDiff }) {
  const { say, format } = useWords()
  const types = new Map(useQuery(tableQuery(diff.table)).data?.fields.map(({ name, type }) => [name, type]))
  const columns = shownColumns(diff)
  const rows = changedRows(diff, columns)
  const total = diff.added + diff.removed + diff.changed
  const kindOf = (column: string, value: unknown): ReturnType<typeof cellKind> => {
    const type = types.get(column)
    return type !== undefined ? cellKind(type) : typeof value === 'number' ? 'number' : 'text'
  }
  const isNumber = (column: string): boolean => rows.every(({ cells }) => cells.every((cell) => cell.column !== column || isNumeric(cell))) && rows.length > 0
  const value = (column: string, shown: unknown) =>
    shown === null || shown === undefined ? <span className="nothing">null</span> : cellText(shown, kindOf(column, shown), format)
  const change = (column: string): string | undefined => {
    const typed = diff.columnsChanged.find((each) => each.column === column)
    if (typed !== undefined) return say('branch.column.type', { before: typed.before, after: typed.after })
    if (diff.columnsAdded.includes(column)) return say('branch.column.added')
    return diff.columnsRemoved.includes(column) ? say('branch.column.removed') : undefined
  }
  return (
    <>
      {diff.columnsAdded.length + diff.columnsRemoved.length + diff.columnsChanged.length > 0 && (
        <ul className="column-changes">
          {diff.columnsAdded.map((column) => (
            <li key={`+${column}`}>{say('branch.columnAdded', { column })}</li>
          ))}
          {diff.columnsRemoved.map((column) => (
            <li key={`-${column}`}>{say('branch.columnRemoved', { column })}</li>
          ))}
          {diff.columnsChanged.map(({ column, before, after }) => (
            <li key={`~${column}`}>{say('branch.columnChanged', { column, before, after })}</li>
          ))}
        </ul>
      )}
      {rows.length > 0 && (
        <div className="scroll-x diff-rows" tabIndex={0} role="region" aria-label={say('branch.rows', { table: diff.table })}>
          <table className="list-table">
            <thead>
              <tr>
                <th scope="col">
                  <span className="unseen">{say('branch.change')}</span>
                </th>
                {columns.map((column) => (
                  <th key={column} scope="col" className={isNumber(column) ? 'num' : undefined}>
                    {column}
                    {diff.keys.includes(column) && <span className="column-note"> {say('branch.key')}</span>}
                    {change(column) !== undefined && <span className="column-note"> {change(column)}</span>}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row, i) => (
                <tr key={i} className={row.change}>
                  <td className="sign">
                    <span aria-hidden>{signs[row.change]}</span>
                    <span className="unseen">{say(`branch.sign.${row.change}`)}</span>
                  </td>
                  {row.cells.map((cell) => (
                    <td key={cell.column} className={[isNumber(cell.column) ? 'num' : '', cell.differs ? 'differs' : ''].join(' ').trim() || undefined}>
                      {cell.differs ? (
                        <>
                          <del>{value(cell.column, cell.before)}</del> <ins>{value(cell.column, cell.after)}</ins>
                        </>
                      ) : (
                        value(cell.column, row.change === 'removed' ? cell.before : cell.after)
                      )}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {diff.keys.length === 0 && rows.length > 0 && <p className="diff-note">{say('branch.noKeys')}</p>}
      {rows.length < total && (
        <p className="diff-note">{say('branch.shown', { n: rows.length, rows: format.number(rows.length), all: format.number(total) })}</p>
      )}
    </>
  )
}

const isNumeric = ({ before, after }: Cell): boolean => [before, after].every((each) => each === null || each === undefined || typeof each === 'number')
