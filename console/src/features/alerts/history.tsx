/** Every alert that was, newest first, by rule, severity, state and time. */
import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useMemo } from 'react'
import { alertPagesQuery, type RuleShape } from '../../api/index.ts'
import { type AlertSpan, alertSpans, alertStates, severities } from '../../app/search.ts'
import { AlertRow } from '../../ui/alerts.tsx'
import { named, Pick } from '../../ui/filters.tsx'
import { useNow } from '../../ui/now.ts'
import { Choice } from '../../ui/parts.tsx'
import { Empty, Listed, More } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'

const route = getRouteApi('/alerts')
const hour = 3_600_000
const lengths: Readonly<Record<AlertSpan, number>> = { '1h': hour, '24h': 24 * hour, '7d': 7 * 24 * hour, '30d': 30 * 24 * hour }

export function History({ rules }: { rules: readonly RuleShape[] }) {
  const { say } = useWords()
  const { state, rule, severity, span } = route.useSearch()
  const navigate = route.useNavigate()
  const now = useNow()
  // Taken when it is chosen: pages that somebody reads must not begin anew with each minute.
  const since = useMemo(() => (span === undefined ? undefined : Date.now() - lengths[span]), [span])
  const pages = useInfiniteQuery(alertPagesQuery({ state, rule, severity, since }))
  const items = pages.data?.pages.flatMap((page) => page.items) ?? []
  const filtered = [state, rule, severity, span].some((each) => each !== undefined)
  const set = (change: { state?: typeof state; rule?: typeof rule; severity?: typeof severity; span?: typeof span }): void =>
    void navigate({ search: (old) => ({ ...old, tab: 'history' as const, ...change }), replace: true })
  return (
    <section className="panel" aria-label={say('alerts.history')}>
      <div className="row alert-filters">
        <Choice
          label={say('alerts.state')}
          value={state ?? 'all'}
          options={[{ value: 'all', label: say('alerts.state.all') }, ...alertStates.map((each) => ({ value: each, label: say(`alert.${each}`) }))]}
          onChange={(next) => set({ state: next === 'all' ? undefined : next })}
        />
        <Pick
          label={say('alerts.rule')}
          all={say('alerts.rule.all')}
          value={rule}
          options={named(rules.map(({ name }) => name))}
          onChange={(next) => set({ rule: next })}
        />
        <Pick
          label={say('alerts.severity')}
          all={say('alerts.severity.all')}
          value={severity}
          options={severities.map((value) => ({ value, label: say(`severity.${value}`) }))}
          onChange={(next) => set({ severity: next })}
        />
        <Pick
          label={say('alerts.span')}
          all={say('alerts.span.all')}
          value={span}
          options={alertSpans.map((value) => ({ value, label: say(`alerts.span.${value}`) }))}
          onChange={(next) => set({ span: next })}
        />
      </div>
      <Listed
        pages={pages}
        count={items.length}
        empty={
          <Empty
            title={say(filtered ? 'alerts.noMatch' : 'alerts.none.title')}
            actions={
              filtered ? (
                <Link to="/alerts" search={{ tab: 'history' }} className="action-link">
                  {say('alerts.clear')}
                </Link>
              ) : undefined
            }
          >
            {filtered ? undefined : say('alerts.none.text')}
          </Empty>
        }
      >
        <ul className="alert-history">
          {items.map((alert) => (
            <AlertRow key={alert.id} alert={alert} now={now} every />
          ))}
        </ul>
      </Listed>
      <More pages={pages} label={say('alerts.more')} />
    </section>
  )
}
