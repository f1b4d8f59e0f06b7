/** All flows: what each does, when it runs next, how its last runs went. */
import './flows.css'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { type FlowShape, flowsQuery } from '../../api/index.ts'
import { Find, named, NoMatch, Pick } from '../../ui/filters.tsx'
import { useNow } from '../../ui/now.ts'
import { Mark, PageHead, Tag } from '../../ui/parts.tsx'
import { RunBars, RunStateMark, RunTime } from '../../ui/runs/marks.tsx'
import { Empty, FailedScreen, LoadingScreen } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { spoken, untilMs } from './schedule.ts'
import { shownFlows } from './order.ts'

const route = getRouteApi('/flows')

export function FlowsScreen() {
  const { say, format } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const flows = useQuery(flowsQuery)
  if (flows.data === undefined) return flows.isError ? <FailedScreen error={flows.error} onRetry={() => void flows.refetch()} /> : <LoadingScreen />
  const all = flows.data.items
  const shown = shownFlows(all, search, format.compare)
  const failed = all.filter(({ last }) => last.find(({ endedAt }) => endedAt !== null)?.state === 'failed').length
  const running = all.filter(({ last }) => last.some(({ endedAt }) => endedAt === null)).length
  const tags = [...new Set(all.flatMap((each) => each.tags))].toSorted(format.compare)
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  return (
    <>
      <PageHead
        title={
          all.length === 0
            ? say('flows.title.none')
            : failed > 0
              ? say('flows.title.failed', { n: failed })
              : all.every(({ last }) => last.length === 0)
                ? say('flows.title.idle')
                : say('flows.title.well', { n: all.length })
        }
        sub={
          all.length === 0
            ? undefined
            : [say('flows.sub', { n: all.length }), running > 0 ? say('flows.sub.running', { n: running }) : ''].filter((part) => part !== '').join(' ')
        }
        actions={
          <Link to="/runs" className="action-link tall">
            {say('flows.allRuns')}
          </Link>
        }
      />
      {all.length === 0 ? (
        <div className="panel">
          <Empty title={say('flows.empty.title')}>{say('flows.empty.text')}</Empty>
        </div>
      ) : (
        <section className="panel" aria-label={say('page.flows')}>
          <div className="panel-head list-filters">
            <Find label={say('flows.find')} value={search.q} onChange={(value) => set({ q: value || undefined })} />
            {tags.length > 0 && (
              <Pick label={say('flows.tag')} all={say('flows.tag.all')} value={search.tag} options={named(tags)} onChange={(tag) => set({ tag })} />
            )}
            <div className="right" role="status">
              {shown.length < all.length && say('lake.shown', { shown: shown.length, all: all.length })}
            </div>
          </div>
          {shown.length === 0 ? (
            <NoMatch title={say('flows.nothing')} to="/flows" />
          ) : (
            <div className="scroll-x" tabIndex={0} role="group" aria-label={say('page.flows')}>
              <table className="list-table flow-list cards">
                <thead>
                  <tr>
                    <th scope="col">{say('flows.column.name')}</th>
                    <th scope="col">{say('flows.column.schedule')}</th>
                    <th scope="col">{say('flows.column.last')}</th>
                    <th scope="col">{say('flows.column.lastRun')}</th>
                    <th scope="col" className="num">
                      {say('runs.column.duration')}
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {shown.map((flow) => (
                    <Row key={flow.name} flow={flow} />
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

function Row({ flow }: { flow: FlowShape }) {
  const { say, format } = useWords()
  const now = useNow(10_000)
  const { name, description, owner, tags, last } = flow
  const [newest] = last
  return (
    <tr>
      <td>
        <Link to="/flows/$name" params={{ name }} className="flow-name">
          <b>{name}</b>
          {description !== undefined && (
            <span className="quiet small cut" title={description}>
              {description}
            </span>
          )}
        </Link>
        {(tags.length > 0 || owner !== undefined) && (
          <div className="flow-tags">
            {owner !== undefined && <span className="quiet small">{owner}</span>}
            {tags.map((tag) => (
              <Tag key={tag} kind="plain">
                {tag}
              </Tag>
            ))}
          </div>
        )}
      </td>
      <td>
        <ScheduleWord flow={flow} now={now} />
      </td>
      <td>
        <RunBars runs={last} name={name} />
      </td>
      <td>
        {newest === undefined ? (
          <span className="quiet">{say('flows.never')}</span>
        ) : (
          <Link to="/runs/$id" params={{ id: newest.id }} className="run-cell" title={format.dateTime(newest.createdAt)}>
            <RunStateMark state={newest.state} />
            <span className="quiet small">{format.ago(newest.createdAt, now)}</span>
          </Link>
        )}
      </td>
      <td className="num">{newest === undefined ? '–' : <RunTime run={newest} />}</td>
    </tr>
  )
}

export function ScheduleWord({ flow: { schedule, on }, now }: { flow: FlowShape; now: number }) {
  const { say, format } = useWords()
  if (on.length > 0)
    return (
      <span className="schedule">
        {say('schedule.follows')}
        <span className="quiet small">{format.list(on.map((each) => each.name))}</span>
      </span>
    )
  if (schedule === null) return <span className="quiet">{say('schedule.none')}</span>
  const { id, values } = spoken(schedule)
  return (
    <span className="schedule" title={[schedule.cron, schedule.timeZone].filter((part) => part !== undefined).join(' ')}>
      {say(id, values)}
      {schedule.paused ? (
        <span className="state small">
          <Mark tone="stop" />
          {say('schedule.paused')}
        </span>
      ) : (
        schedule.nextAt !== null && (
          <span className="quiet small" title={format.dateTime(schedule.nextAt)}>
            {untilMs(schedule.nextAt, now) < 1_000 ? say('schedule.now') : say('schedule.in', { span: format.duration(untilMs(schedule.nextAt, now)) })}
          </span>
        )
      )}
    </span>
  )
}
