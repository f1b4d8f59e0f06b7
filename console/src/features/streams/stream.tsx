/** One stream: what it is made of and who carries it, its records as they come, and those that could not be read. */
import './streams.css'
import { Tabs } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Activity, Waypoints } from 'lucide-react'
import { type StreamDetail, streamQuery } from '../../api/index.ts'
import { type StreamTab, streamTabs } from '../../app/search.ts'
import { Fact, PageHead, Spark, Tag } from '../../ui/parts.tsx'
import { FailedScreen, InlineProblem, LoadingScreen } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Letters } from './letters.tsx'
import { StateMark } from './list.tsx'
import { StreamOverview } from './overview.tsx'
import { Records } from './records.tsx'
import { problemOf, slowest } from './state.ts'

const route = getRouteApi('/streams/$name')

export function StreamScreen() {
  const { name } = route.useParams()
  const stream = useQuery(streamQuery(name))
  if (stream.data === undefined) return stream.isError ? <FailedScreen error={stream.error} onRetry={() => void stream.refetch()} /> : <LoadingScreen />
  return <StreamPage key={name} stream={stream.data} />
}

function StreamPage({ stream }: { stream: StreamDetail }) {
  const { say, format } = useWords()
  const { tab = 'overview' } = route.useSearch()
  const navigate = route.useNavigate()
  const { name } = stream
  const problem = problemOf(stream)
  const lag = slowest(stream)
  const unknown = stream.problem !== undefined
  const counts: Readonly<Record<StreamTab, string>> = {
    overview: '',
    records: unknown ? '' : format.count(stream.records),
    letters: stream.deadLetters === null || stream.deadLetters === 0 ? '' : format.count(stream.deadLetters),
  }
  return (
    <>
      <PageHead
        title={name}
        tags={stream.live === undefined ? undefined : <Tag kind="plain">{say('asset.live')}</Tag>}
        sub={stream.description}
        actions={
          <>
            <Link to="/lineage" search={{ asset: `stream:${name}` }} className="action-link tall">
              <Waypoints aria-hidden />
              {say('page.lineage')}
            </Link>
            {stream.live !== undefined && (
              <Link to="/live" search={{ stream: name }} className="action-link tall">
                <Activity aria-hidden />
                {say('rule.watch')}
              </Link>
            )}
          </>
        }
      />
      {problem !== undefined && <InlineProblem title={problem.title} hint={problem.hint} />}
      <dl className="facts">
        <Fact label={say('streams.column.state')}>
          <StateMark stream={stream} />
        </Fact>
        <Fact label={say('streams.column.perSecond')}>
          <span className="rate">
            {unknown ? '–' : `${format.rate(stream.perSecond)}${say('unit.perSecond')}`}
            <Spark values={stream.history} width={84} height={20} />
          </span>
        </Fact>
        <Fact label={say('streams.column.records')}>{unknown ? '–' : format.number(stream.records)}</Fact>
        <Fact label={say('streams.column.lag')}>
          {unknown ? '–' : format.number(lag.lag)} {lag.lag > 0 && <span className="quiet">{lag.name}</span>}
        </Fact>
        <Fact label={say('streams.column.deadLetters')}>{stream.deadLetters === null ? '–' : format.number(stream.deadLetters)}</Fact>
        {stream.key !== undefined && <Fact label={say('streams.column.key')}>{stream.key}</Fact>}
        {stream.eventTime !== undefined && <Fact label={say('stream.eventTime')}>{stream.eventTime}</Fact>}
        {stream.source !== undefined && (
          <Fact label={say('stream.source')}>
            {stream.source.kind} <span className="quiet">{say(`stream.source.${stream.source.state}`)}</span>
          </Fact>
        )}
      </dl>
      <Tabs
        value={tab}
        onChange={(next) => {
          const chosen = streamTabs.find((each) => each === next)
          if (chosen !== undefined) void navigate({ search: chosen === 'overview' ? {} : { tab: chosen }, replace: true })
        }}
        keepMounted={false}
        className="table-tabs"
      >
        <Tabs.List aria-label={name}>
          {streamTabs.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {say(`stream.tab.${each}`)} {counts[each] !== '' && <i>{counts[each]}</i>}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="overview">
          <StreamOverview stream={stream} />
        </Tabs.Panel>
        <Tabs.Panel value="records">
          <Records stream={stream} />
        </Tabs.Panel>
        <Tabs.Panel value="letters">
          <Letters name={name} />
        </Tabs.Panel>
      </Tabs>
    </>
  )
}
