/** The rules a table's rows must keep, and how the last refresh kept them. */
import { Link } from '@tanstack/react-router'
import type { CheckShape } from '../../api/index.ts'
import { Mark, Panel, Tag } from '../../ui/parts.tsx'
import { Empty } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { HeldRows } from './replay.tsx'

const worstFirst = { failed: 0, not_run: 1, passed: 2 } as const
const tone = { failed: 'bad', not_run: 'off', passed: 'ok' } as const

/** The short list beside the preview. */
export function QualityPanel({ checks, name, now }: { checks: readonly CheckShape[]; name: string; now: number }) {
  const { say, format } = useWords()
  const ran = Math.max(0, ...checks.map((check) => check.checkedAt ?? 0))
  return (
    <Panel title={say('quality.title')} right={ran > 0 ? say('quality.ran', { ago: format.ago(ran, now) }) : undefined}>
      {checks.length === 0 ? (
        <div className="row quiet">{say('quality.none')}</div>
      ) : (
        <ul>
          {sorted(checks)
            .slice(0, 8)
            .map((check) => (
              <li className="row" key={check.name} style={{ paddingBlock: 6 }}>
                <Mark tone={tone[check.state]} />
                <div className="what">{check.name}</div>
                <div className={check.state === 'failed' ? 'right c-bad' : 'right'}>
                  {check.state === 'failed' ? say('quality.broke', { n: check.violations, rows: format.count(check.violations) }) : say(`check.${check.state}`)}
                </div>
              </li>
            ))}
        </ul>
      )}
      {checks.length > 8 && (
        <div className="row">
          <Link to="/lake/$name" params={{ name }} search={{ tab: 'quality' }} className="link">
            {say('quality.all', { n: checks.length })}
          </Link>
        </div>
      )}
    </Panel>
  )
}

export function Quality({ checks, quarantined, name, now }: { checks: readonly CheckShape[]; quarantined: number; name: string; now: number }) {
  const { say, format } = useWords()
  if (checks.length === 0)
    return quarantined > 0 ? (
      <HeldRows name={name} held={quarantined} />
    ) : (
      <div className="panel">
        <Empty title={say('quality.empty.title')}>{say('quality.empty.text')}</Empty>
      </div>
    )
  return (
    <div className="grid">
      {quarantined > 0 && <HeldRows name={name} held={quarantined} />}
      <div className="panel scroll-x" tabIndex={0} role="region" aria-label={say('quality.title')}>
        <table className="list-table">
          <thead>
            <tr>
              <th scope="col">{say('quality.column.check')}</th>
              <th scope="col">{say('quality.column.state')}</th>
              <th scope="col">{say('quality.column.rule')}</th>
              <th scope="col">{say('quality.column.severity')}</th>
              <th scope="col" className="num">
                {say('quality.column.last')}
              </th>
              <th scope="col" className="num">
                {say('quality.column.ever')}
              </th>
              <th scope="col">{say('quality.column.when')}</th>
            </tr>
          </thead>
          <tbody>
            {sorted(checks).map((check) => (
              <tr key={check.name}>
                <td>
                  <b>{check.name}</b>
                </td>
                <td>
                  <span className={check.state === 'failed' ? 'state c-bad' : 'state'}>
                    <Mark tone={tone[check.state]} />
                    {say(`check.${check.state}`)}
                  </span>
                </td>
                <td className="mono" title={check.samples?.map((sample) => JSON.stringify(sample)).join('\n')}>
                  {check.rule}
                  {check.found !== undefined && <div className="quiet small">{check.found}</div>}
                </td>
                <td>
                  <Tag kind="plain">{say(`checkSeverity.${check.severity}`)}</Tag>
                </td>
                <td className="num">{format.number(check.violations)}</td>
                <td className="num">{format.number(check.total)}</td>
                <td>{check.checkedAt === null ? '–' : format.ago(check.checkedAt, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  )
}

const sorted = (checks: readonly CheckShape[]): CheckShape[] => checks.toSorted((a, b) => worstFirst[a.state] - worstFirst[b.state])
