/** The rules: what each asks, what it found, whom it tells, and what keeps it from doing so. */
import { Button } from '@mantine/core'
import type { UseQueryResult } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { BellOff } from 'lucide-react'
import type { Page, RuleShape } from '../../api/index.ts'
import { Fact, Mark } from '../../ui/parts.tsx'
import { Empty, Failure, InlineProblem, LoadingRows } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Severity, SilenceTag } from './marks.tsx'

const route = getRouteApi('/alerts')

export function Rules({ rules, onSilence }: { rules: UseQueryResult<Page<RuleShape>>; onSilence: (rule: string) => void }) {
  const { say } = useWords()
  const { rule: wanted } = route.useSearch()
  if (rules.isPending)
    return (
      <div className="panel">
        <LoadingRows />
      </div>
    )
  if (rules.isError && rules.data === undefined)
    return (
      <div className="panel">
        <Failure error={rules.error} onRetry={() => void rules.refetch()} />
      </div>
    )
  const all = rules.data.items
  const shown = wanted === undefined ? all : all.filter(({ name }) => name === wanted)
  return (
    <section className="panel" aria-label={say('alerts.rules')}>
      {shown.length === 0 ? (
        <Empty
          title={wanted === undefined ? say('rules.none.title') : say('rules.missing', { name: wanted })}
          actions={
            wanted === undefined ? undefined : (
              <Link to="/alerts" search={{ tab: 'rules' }} className="action-link">
                {say('alerts.rule.all')}
              </Link>
            )
          }
        >
          {wanted === undefined ? say('rules.none.text') : undefined}
        </Empty>
      ) : (
        <ul className="rule-list">
          {shown.map((rule) => (
            <Rule key={rule.name} rule={rule} onSilence={onSilence} />
          ))}
        </ul>
      )}
      {wanted !== undefined && shown.length > 0 && shown.length < all.length && (
        <div className="more">
          <Link to="/alerts" search={{ tab: 'rules' }} className="link">
            {say('alerts.rule.all')}
          </Link>
        </div>
      )}
    </section>
  )
}

function Rule({ rule, onSilence }: { rule: RuleShape; onSilence: (rule: string) => void }) {
  const { say, format } = useWords()
  return (
    <li className="rule">
      <div className="name">
        <Mark
          tone={rule.problem !== undefined ? 'bad' : rule.firing > 0 ? 'bad' : 'ok'}
          label={say(rule.problem !== undefined ? 'rule.stuck' : rule.firing > 0 ? 'alert.firing' : 'rule.quiet')}
        />
        <b>{rule.name}</b>
        <Severity severity={rule.severity} />
        {rule.silence !== undefined && <SilenceTag silence={rule.silence} />}
        <span className="acts">
          <Link to="/lineage" search={{ asset: `alert:${rule.name}` }} className="action-link">
            {say('page.lineage')}
            <span className="unseen"> {rule.name}</span>
          </Link>
          <Link to="/live" search={{ stream: rule.on }} className="action-link">
            {say('rule.watch')}
            <span className="unseen"> {rule.name}</span>
          </Link>
          <Link to="/alerts" search={{ tab: 'history', rule: rule.name }} className="action-link">
            {say('alerts.history')}
            <span className="unseen"> {rule.name}</span>
          </Link>
          {rule.silence === undefined && (
            <Button size="xs" leftSection={<BellOff aria-hidden />} onClick={() => onSilence(rule.name)}>
              {say('silence.do')}
              <span className="unseen"> {rule.name}</span>
            </Button>
          )}
        </span>
      </div>
      {rule.description !== undefined && <div className="quiet">{rule.description}</div>}
      {rule.problem !== undefined && <InlineProblem title={rule.problem.message} hint={rule.problem.hint} />}
      <code>
        {rule.when}
        {rule.for !== undefined && ` ${say('rule.for', { for: rule.for })}`}
      </code>
      {rule.clear !== undefined && (
        <code>
          {say('rule.clear')} {rule.clear}
        </code>
      )}
      <dl className="rule-figures">
        <Fact label={say('rule.on')}>
          <Link to="/streams/$name" params={{ name: rule.on }} className="link">
            {rule.on}
          </Link>
        </Fact>
        <Fact label={say('rule.mode')}>{say(`rule.mode.${rule.mode}`)}</Fact>
        <Fact label={say('rule.matched')}>{format.count(rule.matched)}</Fact>
        <Fact label={say('rule.fired')}>{format.count(rule.fired)}</Fact>
        <Fact label={say('alerts.firing')}>{format.number(rule.firing)}</Fact>
        <Fact label={say('rule.sent')}>{rule.to.length === 0 ? '–' : format.count(rule.queued)}</Fact>
        {rule.waiting > 0 && (
          <Fact label={say('delivery.waiting')}>
            <span className="c-warn">{format.count(rule.waiting)}</span>
          </Fact>
        )}
        <Fact label={say('rule.to')}>{rule.to.length === 0 ? <span className="quiet">{say('rule.to.none')}</span> : format.list(rule.to)}</Fact>
      </dl>
    </li>
  )
}
