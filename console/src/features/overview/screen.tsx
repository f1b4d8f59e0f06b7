import './overview.css'
import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { type Overview, overviewQuery, recentAlertsQuery, type ServiceHealth, systemQuery } from '../../api/index.ts'
import { AlertRow } from '../../ui/alerts.tsx'
import { useNow } from '../../ui/now.ts'
import { Mark, PageHead, Panel, PathLink, Spark, Tag } from '../../ui/parts.tsx'
import { Empty, FailedScreen, Failure, InlineProblem, LoadingRows, LoadingScreen } from '../../ui/states.tsx'
import type { Format } from '../../ui/format.ts'
import { type Say, useWords } from '../../ui/words/index.tsx'
import { Movement } from './movement.tsx'
import { situation } from './situation.ts'

export function OverviewScreen() {
  const { say, format } = useWords()
  const overview = useQuery(overviewQuery)
  const system = useQuery(systemQuery)
  const now = useNow()
  if (overview.data === undefined) return overview.isError ? <FailedScreen error={overview.error} onRetry={() => void overview.refetch()} /> : <LoadingScreen />
  const { data } = overview
  const title = situation(data, system.data)
    .map((sentence) => say(sentence.id, 'n' in sentence ? { n: sentence.n } : {}))
    .join(' ')
  return (
    <>
      <PageHead
        title={title}
        sub={`${system.data === undefined ? '' : `${system.data.title}. `}${say('overview.checked', { ago: format.ago(overview.dataUpdatedAt, now) })}`}
      />
      {overview.isError && (
        <InlineProblem
          title={say('overview.old')}
          hint={say('overview.old.hint')}
          action={
            <Button size="xs" onClick={() => void overview.refetch()}>
              {say('action.retry')}
            </Button>
          }
        />
      )}
      <Figures data={data} />
      <Movement movement={data.movement} />
      <div className="overview-columns">
        <div className="grid">
          <Attention items={data.attention} now={now} />
          {system.data === undefined ? null : <Services services={system.data.services} />}
        </div>
        <AlertsToday today={data.alerts.today} now={now} />
      </div>
    </>
  )
}

function Figures({ data }: { data: Overview }) {
  const { say, format } = useWords()
  const checks = data.checks.passed + data.checks.failed
  const [size, unit] = format.bytes(data.lakeBytes).split(' ')
  const [age, ageUnit] = data.freshnessMs === null ? ['–', ''] : format.span(data.freshnessMs).split(' ')
  return (
    <dl className="panel kpis">
      <Figure
        label={say('kpi.events')}
        value={format.rate(data.eventsPerSecond)}
        unit={say('unit.perSecond')}
        detail={
          <Link to="/streams" className="link">
            {say('kpi.events.detail')}
          </Link>
        }
      >
        <Spark values={data.eventsHistory} />
      </Figure>
      <Figure
        label={say('kpi.freshness')}
        value={age ?? ''}
        unit={ageUnit ?? ''}
        detail={say(data.freshnessMs === null ? 'kpi.freshness.none' : 'kpi.freshness.detail')}
      >
        <Spark values={data.freshnessHistory} />
      </Figure>
      <Figure
        label={say('kpi.checks')}
        value={checks === 0 ? '–' : format.number(data.checks.passed)}
        unit={checks === 0 ? '' : `/ ${format.number(checks)}`}
        detail={
          checks === 0 ? (
            say('kpi.checks.none')
          ) : data.checks.failed === 0 ? (
            say('kpi.checks.ok')
          ) : (
            <Link to="/lake" search={{ sort: 'checks', desc: true }} className="c-bad">
              {say('kpi.checks.failed', { n: data.checks.failed })}
            </Link>
          )
        }
      />
      <Figure
        label={say('kpi.alerts')}
        value={format.number(data.alerts.firing)}
        unit={say('kpi.alerts.unit')}
        detail={
          <Link to="/alerts" className="link">
            {say('kpi.alerts.today', { n: data.alerts.today })}
          </Link>
        }
      />
      <Figure label={say('kpi.lake')} value={size ?? ''} unit={unit ?? ''} detail={say('movement.rows', { rows: format.count(data.lakeRows) })} />
    </dl>
  )
}

function Figure({ label, value, unit, detail, children }: { label: string; value: string; unit: string; detail: ReactNode; children?: ReactNode }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        <div className="value">
          {value}
          <small>{unit}</small>
        </div>
        <div className="detail">{detail}</div>
        {children}
      </dd>
    </div>
  )
}

type AttentionItem = Overview['attention'][number]

/** The server's English, said in the reader's language where its parts allow it; what rules and errors say stays as written. */
function attentionWords(item: AttentionItem, now: number, say: Say, format: Format): { title: string; detail: string } {
  const span = item.since === null ? '' : format.duration(Math.max(0, now - item.since))
  switch (item.kind) {
    case 'alert':
      return { title: item.title, detail: say('attention.alert.detail', { rule: item.subject, span }) }
    case 'check':
      return { title: say('attention.check.title', { subject: item.subject, n: item.count ?? 0 }), detail: item.detail }
    case 'stale':
      return { title: say('attention.stale.title', { subject: item.subject }), detail: say('attention.stale.detail', { span }) }
    case 'freshness':
      return { title: say('attention.freshness.title', { subject: item.subject }), detail: say('attention.freshness.detail', { span }) }
    case 'project':
      return { title: say('attention.project.title'), detail: item.detail }
    default:
      return { title: say(`attention.${item.kind}.title`, { subject: item.subject }), detail: item.detail }
  }
}

function Attention({ items, now }: { items: Overview['attention']; now: number }) {
  const { say, format } = useWords()
  const worst = items.some((item) => item.severity === 'error') ? 'bad' : 'warn'
  return (
    <Panel title={say('attention.title')} tag={items.length > 0 ? <Tag kind={worst}>{items.length}</Tag> : undefined}>
      {items.length === 0 ? (
        <div className="row">
          <Mark tone="ok" />
          <div className="what">{say('attention.none')}</div>
        </div>
      ) : (
        <ul>
          {items
            .slice(0, 12)
            .map((item) => ({ item, ...attentionWords(item, now, say, format) }))
            .map(({ item, title, detail }) => (
              <li className="row" key={item.id}>
                <Mark tone={item.severity === 'error' ? 'bad' : 'warn'} label={say(`severity.${item.severity}`)} />
                <div className="what">
                  <strong>{title}</strong>
                  <div className="quiet small">{detail}</div>
                </div>
                {/* A problem that leads back to this page is told in full here. */}
                {item.link !== '/' && (
                  <div className="right">
                    <PathLink href={item.link} className="action-link">
                      {say(`attention.${item.kind}`)}
                      <span className="unseen">: {title}</span>
                    </PathLink>
                  </div>
                )}
              </li>
            ))}
        </ul>
      )}
    </Panel>
  )
}

function AlertsToday({ today, now }: { today: number; now: number }) {
  const { say } = useWords()
  const recent = useQuery(recentAlertsQuery({}, 6))
  const midnight = new Date(now).setHours(0, 0, 0, 0)
  const items = recent.data?.items.filter((alert) => alert.startedAt >= midnight || alert.state === 'firing') ?? []
  return (
    <Panel
      title={say('alertsToday.title')}
      tag={today > 0 ? <Tag kind="plain">{today}</Tag> : undefined}
      right={
        <Link to="/alerts" className="link">
          {say('alertsToday.all')}
        </Link>
      }
    >
      {recent.isPending ? (
        <LoadingRows rows={3} />
      ) : recent.isError ? (
        <Failure error={recent.error} onRetry={() => void recent.refetch()} />
      ) : items.length === 0 ? (
        <Empty title={say('alertsToday.none')}>{say('alertsToday.none.text')}</Empty>
      ) : (
        <ul>
          {items.map((alert) => (
            <AlertRow key={alert.id} alert={alert} now={now} />
          ))}
        </ul>
      )}
    </Panel>
  )
}

function Services({ services }: { services: ServiceHealth[] }) {
  const { say, format } = useWords()
  const down = services.filter((service) => service.state === 'down')
  return (
    <Panel
      title={say('services.title')}
      right={
        <>
          {down.length === 0 ? say('services.all') : <span className="c-bad">{say('services.down', { n: down.length })}</span>}
          <Link to="/health" className="link">
            {say('page.health')}
          </Link>
        </>
      }
    >
      {down.map((service) => (
        <div className="row" key={service.name}>
          <Mark tone="bad" />
          <div className="what">
            <strong>{say(`service.${service.name}`)}</strong>
            <div className="quiet small">{service.detail}</div>
            {service.hint !== undefined && <div className="small">{service.hint}</div>}
          </div>
        </div>
      ))}
      <ul className="services">
        {services.map((service) => (
          <li key={service.name} title={service.detail}>
            <Mark tone={service.state === 'up' ? 'ok' : service.state === 'degraded' ? 'warn' : service.state === 'down' ? 'bad' : 'off'} />
            <span>
              {say(`service.${service.name}`)} <span className="quiet small">{service.adapter}</span>
            </span>
            <span>
              {service.state === 'up'
                ? service.latencyMs === null
                  ? say('service.up')
                  : `${format.number(service.latencyMs, service.latencyMs < 10 ? 1 : 0)} ms`
                : say(`service.${service.state}`)}
            </span>
          </li>
        ))}
      </ul>
    </Panel>
  )
}
