/** What fires now, by rule: at whom, since when, with which values, and whether somebody was told. */
import type { UseQueryResult } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Button } from '@mantine/core'
import { BellOff } from 'lucide-react'
import type { AlertShape, Page, RuleShape } from '../../api/index.ts'
import { alertTone, alertValues, Delivery } from '../../ui/alerts.tsx'
import { useNow } from '../../ui/now.ts'
import { Mark } from '../../ui/parts.tsx'
import { Empty, Failure, LoadingRows } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Severity, SilenceTag } from './marks.tsx'

export function Firing({
  alerts,
  rules,
  onSilence,
}: {
  alerts: UseQueryResult<Page<AlertShape>>
  rules: readonly RuleShape[]
  onSilence: (rule: string) => void
}) {
  const { say, format } = useWords()
  const now = useNow()
  if (alerts.isPending)
    return (
      <div className="panel">
        <LoadingRows rows={6} />
      </div>
    )
  if (alerts.isError && alerts.data === undefined)
    return (
      <div className="panel">
        <Failure error={alerts.error} onRetry={() => void alerts.refetch()} />
      </div>
    )
  const groups = [...Map.groupBy(alerts.data.items, ({ rule }) => rule)]
  if (groups.length === 0)
    return (
      <div className="panel">
        <Empty
          title={say('alerts.title.none')}
          actions={
            <Link to="/alerts" search={{ tab: 'history' }} className="action-link">
              {say('alerts.seeHistory')}
            </Link>
          }
        >
          {say('alerts.firing.none')}
        </Empty>
      </div>
    )
  return (
    <div className="grid">
      {groups.map(([name, items]) => {
        const rule = rules.find((each) => each.name === name)
        return (
          <section key={name} className="panel" aria-labelledby={`firing-${name}`}>
            <div className="rule-head">
              <h2 id={`firing-${name}`}>{name}</h2>
              <Severity severity={items[0]?.severity ?? 'warning'} />
              <span className="quiet">{say('rule.firing', { n: Math.max(items.length, rule?.firing ?? 0) })}</span>
              {rule?.silence !== undefined && <SilenceTag silence={rule.silence} />}
              <span className="acts">
                <Link to="/alerts" search={{ tab: 'history', rule: name }} className="action-link">
                  {say('alerts.history')}
                  <span className="unseen"> {name}</span>
                </Link>
                {rule !== undefined && rule.silence === undefined && (
                  <Button size="xs" leftSection={<BellOff aria-hidden />} onClick={() => onSilence(name)}>
                    {say('silence.do')}
                    <span className="unseen"> {name}</span>
                  </Button>
                )}
              </span>
            </div>
            <ul>
              {items.map((alert) => (
                <li key={alert.id} className="row">
                  <Mark tone={alertTone(alert)} label={say('alert.firing')} />
                  <div className="what">
                    <strong>{alert.key}</strong>
                    <span className="alert-values">{alert.message ?? alertValues(alert, format)}</span>
                    <div className="quiet small">
                      {say('alert.firingFor', { span: format.duration(now - alert.startedAt) })} ·{' '}
                      {say('alert.matched', { n: alert.matched, count: format.number(alert.matched) })}
                      {alert.delivery !== undefined && ' · '}
                      <Delivery alert={alert} />
                    </div>
                  </div>
                  <time className="right" dateTime={new Date(alert.startedAt).toISOString()} title={format.dateTime(alert.startedAt)}>
                    {say('alert.since', { time: now - alert.startedAt < 20 * 3_600_000 ? format.time(alert.startedAt) : format.dateTime(alert.startedAt) })}
                  </time>
                </li>
              ))}
            </ul>
          </section>
        )
      })}
      {alerts.data.cursor !== undefined && (
        <p className="quiet">
          {say('alerts.firing.more', { n: alerts.data.items.length })}{' '}
          <Link to="/alerts" search={{ tab: 'history', state: 'firing' }} className="link">
            {say('alerts.seeHistory')}
          </Link>
        </p>
      )}
    </div>
  )
}
