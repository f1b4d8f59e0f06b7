/** All streams: what comes in, how far behind the slowest sink is, and which of them need somebody. */
import './streams.css'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowDown, ArrowUp } from 'lucide-react'
import { type StreamShape, streamsQuery } from '../../api/index.ts'
import type { StreamSort } from '../../app/search.ts'
import { Find, NoMatch } from '../../ui/filters.tsx'
import { Mark, PageHead, Spark } from '../../ui/parts.tsx'
import { Empty, FailedScreen, InlineProblem, LoadingScreen } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { isBad, problemOf, shownStreams, slowest, stateTone, streamState } from './state.ts'

const route = getRouteApi('/streams')

export function StreamsScreen() {
  const { say, format } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const streams = useQuery({ ...streamsQuery, refetchInterval: 2_000 })
  if (streams.data === undefined) return streams.isError ? <FailedScreen error={streams.error} onRetry={() => void streams.refetch()} /> : <LoadingScreen />
  const all = streams.data.items
  const shown = shownStreams(all, search, format.compare)
  const bad = all.filter(isBad).length
  const away = all.find(({ problem }) => problem !== undefined)?.problem
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const sortBy = (column: StreamSort): void => {
    const first = column !== 'name'
    if (search.sort !== column) set({ sort: column, desc: first || undefined })
    else if ((search.desc === true) === first) set({ desc: !first || undefined })
    else set({ sort: undefined, desc: undefined })
  }
  const column = (id: StreamSort) => {
    const on = search.sort === id
    return (
      <th className={id === 'name' ? undefined : 'num'} aria-sort={on ? (search.desc === true ? 'descending' : 'ascending') : 'none'} scope="col">
        <button type="button" className="sort" onClick={() => sortBy(id)}>
          {say(`streams.column.${id}`)}
          {on && (search.desc === true ? <ArrowDown aria-hidden /> : <ArrowUp aria-hidden />)}
        </button>
      </th>
    )
  }
  return (
    <>
      <PageHead
        title={all.length === 0 ? say('streams.title.none') : bad > 0 ? say('streams.title.bad', { n: bad }) : say('streams.title', { n: all.length })}
        sub={
          all.length === 0 || away !== undefined
            ? undefined
            : say('streams.sub', {
                rate: format.rate(all.reduce((sum, { perSecond }) => sum + perSecond, 0)),
                records: format.count(all.reduce((sum, { records }) => sum + records, 0)),
              })
        }
      />
      {away !== undefined && <InlineProblem title={away.message} hint={away.hint} />}
      {all.length === 0 ? (
        <div className="panel">
          <Empty title={say('streams.empty.title')}>{say('streams.empty.text')}</Empty>
        </div>
      ) : (
        <section className="panel" aria-label={say('page.streams')}>
          <div className="panel-head list-filters">
            <Find label={say('streams.find')} value={search.q} onChange={(value) => set({ q: value || undefined })} />
            <div className="right" role="status">
              {shown.length < all.length && say('lake.shown', { shown: shown.length, all: all.length })}
            </div>
          </div>
          {shown.length === 0 ? (
            <NoMatch title={say('streams.nothing')} to="/streams" />
          ) : (
            <div className="scroll-x" tabIndex={0} role="group" aria-label={say('page.streams')}>
              <table className="list-table stream-list">
                <thead>
                  <tr>
                    {column('name')}
                    <th scope="col">{say('streams.column.key')}</th>
                    {column('perSecond')}
                    {column('records')}
                    {column('partitions')}
                    {column('lag')}
                    {column('deadLetters')}
                    <th scope="col">{say('streams.column.state')}</th>
                  </tr>
                </thead>
                <tbody>
                  {shown.map((stream) => (
                    <Row key={stream.name} stream={stream} />
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </section>
      )}
    </>
  )
}

function Row({ stream }: { stream: StreamShape }) {
  const { say, format } = useWords()
  const { name } = stream
  const lag = slowest(stream)
  const unknown = stream.problem !== undefined
  return (
    <tr>
      <td>
        <Link to="/streams/$name" params={{ name }} className="stream-name">
          <b>{name}</b>
          {stream.description !== undefined && (
            <span className="quiet small cut" title={stream.description}>
              {stream.description}
            </span>
          )}
        </Link>
      </td>
      <td className="mono">{stream.key ?? '–'}</td>
      <td className="num">
        <span className="rate">
          <Spark values={stream.history} width={64} height={20} />
          {unknown ? '–' : `${format.rate(stream.perSecond)}${say('unit.perSecond')}`}
        </span>
      </td>
      <td className="num">{unknown ? '–' : format.number(stream.records)}</td>
      <td className="num">{stream.partitions.length === 0 ? '–' : format.number(stream.partitions.length)}</td>
      <td className="num" title={lag.lag > 0 ? lag.name : undefined}>
        {unknown ? '–' : format.number(lag.lag)}
      </td>
      <td className="num">
        {stream.deadLetters === null ? (
          '–'
        ) : stream.deadLetters === 0 ? (
          <span className="quiet">0</span>
        ) : (
          <Link to="/streams/$name" params={{ name }} search={{ tab: 'letters' }} className="link">
            {format.number(stream.deadLetters)}
            <span className="unseen"> {say('streams.column.deadLetters')}</span>
          </Link>
        )}
      </td>
      <td>
        <StateMark stream={stream} />
      </td>
    </tr>
  )
}

export function StateMark({ stream }: { stream: StreamShape }) {
  const { say } = useWords()
  const state = streamState(stream)
  const tone = stateTone[state]
  return (
    <span className={tone === 'bad' ? 'state c-bad' : 'state'} title={problemOf(stream)?.title}>
      <Mark tone={tone} />
      {say(`stream.state.${state}`)}
    </span>
  )
}
