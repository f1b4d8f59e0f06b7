/** What fires now, what has fired, and the rules that decide it. */
import './alerts.css'
import { Button } from '@mantine/core'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { alertPagesQuery, recentAlertsQuery, type RuleShape, rulesQuery } from '../../api/index.ts'
import { alertStates } from '../../app/search.ts'
import { AlertRow } from '../../ui/alerts.tsx'
import { useNow } from '../../ui/now.ts'
import { Choice, Mark, PageHead, Panel, Tag } from '../../ui/parts.tsx'
import { Empty, Failure, LoadingRows } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'

const route = getRouteApi('/alerts')

export function AlertsScreen() {
  const { say, format } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const now = useNow()
  const firing = useQuery(recentAlertsQuery({ state: 'firing' }, 100))
  const rules = useQuery(rulesQuery)
  const pages = useInfiniteQuery(alertPagesQuery(search))
  // What fires now stands above the history, not twice.
  const items = (pages.data?.pages.flatMap((page) => page.items) ?? []).filter(
    (alert) => search.state !== undefined || search.rule !== undefined || alert.state !== 'firing',
  )
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const count = firing.data?.items.length ?? 0
  const title = firing.data === undefined ? say('page.alerts') : count === 0 ? say('alerts.title.none') : say('situation.firing', { n: count })
  const filtered = search.state !== undefined || search.rule !== undefined

  return (
    <>
      <PageHead title={title} sub={rules.data === undefined ? undefined : say('alerts.sub', { n: rules.data.items.length })} />
      <div className="alert-columns">
        <div className="grid">
          {count > 0 && search.state === undefined && search.rule === undefined && (
            <Panel title={say('alerts.firing')} tag={<Tag kind="bad">{format.number(count)}</Tag>}>
              <ul>
                {firing.data?.items.map((alert) => (
                  <AlertRow key={alert.id} alert={alert} now={now} />
                ))}
              </ul>
            </Panel>
          )}
          <Panel title={say('alerts.history')}>
            <div className="row alert-filters">
              <Choice
                label={say('alerts.state')}
                value={search.state ?? 'all'}
                options={[{ value: 'all', label: say('alerts.state.all') }, ...alertStates.map((state) => ({ value: state, label: say(`alert.${state}`) }))]}
                onChange={(state) => set({ state: state === 'all' ? undefined : state })}
              />
              <select aria-label={say('alerts.rule')} value={search.rule ?? ''} onChange={(event) => set({ rule: event.currentTarget.value || undefined })}>
                <option value="">{say('alerts.rule.all')}</option>
                {rules.data?.items.map((rule) => (
                  <option key={rule.name} value={rule.name}>
                    {rule.name}
                  </option>
                ))}
              </select>
            </div>
            {pages.isPending ? (
              <LoadingRows rows={8} />
            ) : pages.isError ? (
              <Failure error={pages.error} onRetry={() => void pages.refetch()} />
            ) : items.length === 0 ? (
              <Empty
                title={say(filtered ? 'alerts.noMatch' : 'alerts.none.title')}
                actions={
                  filtered ? (
                    <Link to="/alerts" className="action-link">
                      {say('alerts.clear')}
                    </Link>
                  ) : undefined
                }
              >
                {filtered ? undefined : say('alerts.none.text')}
              </Empty>
            ) : (
              <ul>
                {items.map((alert) => (
                  <AlertRow key={alert.id} alert={alert} now={now} />
                ))}
              </ul>
            )}
            {pages.hasNextPage && (
              <div className="more">
                <Button loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
                  {say('alerts.more')}
                </Button>
              </div>
            )}
          </Panel>
        </div>
        <Panel
          title={say('alerts.rules')}
          tag={rules.data !== undefined && rules.data.items.length > 0 ? <Tag kind="plain">{format.number(rules.data.items.length)}</Tag> : undefined}
        >
          {rules.isPending ? (
            <LoadingRows />
          ) : rules.isError ? (
            <Failure error={rules.error} onRetry={() => void rules.refetch()} />
          ) : rules.data.items.length === 0 ? (
            <Empty title={say('rules.none.title')}>{say('rules.none.text')}</Empty>
          ) : (
            <ul>
              {rules.data.items.map((rule) => (
                <Rule key={rule.name} rule={rule} />
              ))}
            </ul>
          )}
        </Panel>
      </div>
    </>
  )
}

function Rule({ rule }: { rule: RuleShape }) {
  const { say, format } = useWords()
  return (
    <li className="rule">
      <div className="name">
        <Mark tone={rule.firing > 0 ? 'bad' : 'ok'} />
        <b>{rule.name}</b>
        <Tag kind={rule.severity === 'critical' ? 'bad' : rule.severity === 'warning' ? 'warn' : 'plain'}>{say(`severity.${rule.severity}`)}</Tag>
        <span className="acts">
          <Link to="/lineage" search={{ asset: `alert:${rule.name}` }} className="action-link">
            {say('page.lineage')}
            <span className="unseen"> {rule.name}</span>
          </Link>
          <Link to="/live" search={{ stream: rule.on }} className="action-link">
            {say('rule.watch')}
            <span className="unseen"> {rule.name}</span>
          </Link>
        </span>
      </div>
      {rule.description !== undefined && <div className="quiet">{rule.description}</div>}
      <code>
        {rule.when}
        {rule.for !== undefined && ` ${say('rule.for', { for: rule.for })}`}
      </code>
      {rule.clear !== undefined && (
        <code>
          {say('rule.clear')} {rule.clear}
        </code>
      )}
      <div className="quiet small facts-line">
        <span>{say(`rule.mode.${rule.mode}`)}</span>
        <span>{rule.firing > 0 ? say('rule.firing', { n: rule.firing }) : say('rule.quiet')}</span>
        <span>{say('rule.fired', { n: rule.fired, count: format.count(rule.fired) })}</span>
        {rule.queued > 0 && <span>{say('rule.queued', { n: rule.queued })}</span>}
        {rule.to.length > 0 && <span className="mono">→ {rule.to.join(', ')}</span>}
      </div>
    </li>
  )
}
