/** The versions of a table: a rail to travel along, and the full history. */
import { Link } from '@tanstack/react-router'
import type { Version } from '../../api/index.ts'
import { Panel } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'

const onRail = 8
const bars = 44

function describe(version: Version, say: ReturnType<typeof useWords>['say'], format: ReturnType<typeof useWords>['format']): string {
  const parts = [version.operation.toLowerCase()]
  if (version.rowsAdded !== null && version.rowsAdded > 0) parts.push(say('history.rows', { n: version.rowsAdded, rows: format.number(version.rowsAdded) }))
  else if (version.filesRemoved !== null && version.filesRemoved > 0)
    parts.push(say('history.files', { from: version.filesRemoved, to: version.filesAdded ?? 0 }))
  return parts.join(', ')
}

export function VersionRail({ name, versions, current, now }: { name: string; versions: readonly Version[]; current: number | undefined; now: number }) {
  const { say, format } = useWords()
  const newest = versions[0]?.version
  const shownVersion = current ?? newest
  const recent = versions.slice(0, bars).toReversed()
  const most = Math.max(1, ...recent.map((each) => each.rowsAdded ?? 0))
  // The version on screen stays on the rail also when it is an old one.
  const at = versions.findIndex((each) => each.version === shownVersion)
  const from = Math.max(0, Math.min(at - onRail + 3, versions.length - onRail))
  const rail = versions.slice(from, from + onRail)
  return (
    <Panel
      title={say('versions.title')}
      right={
        current !== undefined && current !== newest ? (
          <Link from="/lake/$name" to="/lake/$name" params={{ name }} search={(old) => ({ ...old, version: undefined })} className="link">
            {say('versions.newest')}
          </Link>
        ) : undefined
      }
    >
      {recent.length > 2 && (
        <svg className="version-bars" viewBox={`0 0 ${bars * 6} 34`} preserveAspectRatio="none" role="img" aria-label={say('versions.bars')}>
          {recent.map((each, i) => {
            const height = Math.max(2, (Math.sqrt(each.rowsAdded ?? 0) / Math.sqrt(most)) * 32)
            return (
              <rect
                key={each.version}
                x={(bars - recent.length + i) * 6}
                width={4.4}
                y={34 - height}
                height={height}
                rx={1}
                fill={each.version === shownVersion ? 'var(--acc)' : 'var(--line2)'}
              />
            )
          })}
        </svg>
      )}
      <ol className="rail">
        {rail.map((each) => (
          <li key={each.version}>
            <Link
              from="/lake/$name"
              to="/lake/$name"
              params={{ name }}
              search={(old) => ({ ...old, version: each.version === newest ? undefined : each.version })}
              activeOptions={{ includeSearch: true, exact: true }}
              aria-current={each.version === shownVersion ? 'true' : undefined}
              replace
            >
              <span className="knot" aria-hidden />
              <b>{format.number(each.version)}</b>
              <span className="when" title={format.dateTime(each.timestamp)}>
                {format.ago(each.timestamp, now)}
              </span>
              <span className="what">{describe(each, say, format)}</span>
            </Link>
          </li>
        ))}
      </ol>
    </Panel>
  )
}

export function History({ name, versions, now, shown }: { name: string; versions: readonly Version[]; now: number; shown: number | undefined }) {
  const { say, format } = useWords()
  return (
    <div className="panel scroll-x" tabIndex={0} role="region" aria-label={say('table.tab.history')}>
      <table className="list-table">
        <thead>
          <tr>
            <th scope="col">{say('lake.column.version')}</th>
            <th scope="col">{say('history.when')}</th>
            <th scope="col">{say('history.operation')}</th>
            <th scope="col" className="num">
              {say('history.rowsAdded')}
            </th>
            <th scope="col" className="num">
              {say('history.filesAdded')}
            </th>
            <th scope="col" className="num">
              {say('history.filesRemoved')}
            </th>
            <th scope="col">
              <span className="unseen">{say('history.open')}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {versions.map((each, i) => (
            <tr key={each.version}>
              <td>
                <b>{format.number(each.version)}</b>
              </td>
              <td title={format.ago(each.timestamp, now)}>{format.dateTime(each.timestamp)}</td>
              <td className="mono">{each.operation}</td>
              <td className="num">{each.rowsAdded === null ? '–' : format.number(each.rowsAdded)}</td>
              <td className="num">{each.filesAdded === null ? '–' : format.number(each.filesAdded)}</td>
              <td className="num">{each.filesRemoved === null ? '–' : format.number(each.filesRemoved)}</td>
              <td>
                {each.version === shown ? (
                  <span className="quiet">{say('history.shown')}</span>
                ) : (
                  <Link className="link" to="/lake/$name" params={{ name }} search={{ version: i === 0 ? undefined : each.version }}>
                    {say('history.open')}
                    <span className="unseen"> {each.version}</span>
                  </Link>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
