/** One flow: its graph, when it runs, how to ask for a run, and the runs that were. */
import './flows.css'
import { Button, Tabs } from '@mantine/core'
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { History, Pause, Play } from 'lucide-react'
import { useMemo, useState } from 'react'
import { type FlowDetailShape, flowPath, flowQuery, post, runPagesQuery } from '../../api/index.ts'
import { type FlowTab, flowTabs } from '../../app/search.ts'
import { useNow } from '../../ui/now.ts'
import { Fact, PageHead, Panel, Tag } from '../../ui/parts.tsx'
import { RunBars } from '../../ui/runs/marks.tsx'
import { usualMs } from '../../ui/runs/states.ts'
import { RunsTable } from '../../ui/runs/table.tsx'
import { TaskGraph, taskKindWord } from '../../ui/runs/task-graph.tsx'
import { Empty, FailedScreen, Failure, LoadingRows, LoadingScreen, More, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { BackfillDialog } from './backfill.tsx'
import { Backfills } from './backfills.tsx'
import { ScheduleWord } from './list.tsx'
import { TriggerDialog } from './trigger.tsx'

const route = getRouteApi('/flows/$name')

export function FlowScreen() {
  const { name } = route.useParams()
  const flow = useQuery(flowQuery(name))
  if (flow.data === undefined) return flow.isError ? <FailedScreen error={flow.error} onRetry={() => void flow.refetch()} /> : <LoadingScreen />
  return <FlowPage key={name} flow={flow.data} />
}

function FlowPage({ flow }: { flow: FlowDetailShape }) {
  const { say, format } = useWords()
  const { tab = 'graph' } = route.useSearch()
  const navigate = route.useNavigate()
  const now = useNow(10_000)
  const [asking, setAsking] = useState<'run' | 'backfill'>()
  const { name, description, owner, tags, schedule, partition, last } = flow
  const tabs = flowTabs.filter((each) => each !== 'backfills' || partition !== null)
  const usual = usualMs(last)
  return (
    <>
      <PageHead
        title={name}
        tags={tags.map((tag) => (
          <Tag key={tag} kind="plain">
            {tag}
          </Tag>
        ))}
        sub={description}
        actions={
          <>
            {schedule !== null && <PauseSchedule name={name} paused={schedule.paused} />}
            {partition !== null && (
              <Button leftSection={<History aria-hidden />} onClick={() => setAsking('backfill')}>
                {say('backfill.new')}
              </Button>
            )}
            <Button variant="filled" leftSection={<Play aria-hidden />} onClick={() => setAsking('run')}>
              {say('flow.run')}
            </Button>
          </>
        }
      />
      <dl className="facts">
        <Fact label={say('flows.column.schedule')}>
          <ScheduleWord flow={flow} now={now} />
        </Fact>
        {schedule !== null && schedule.nextAt !== null && !schedule.paused && <Fact label={say('flow.next')}>{format.dateTime(schedule.nextAt)}</Fact>}
        {schedule !== null && schedule.cron !== undefined && (
          <Fact label={say('flow.cron')}>
            <span className="mono">{schedule.cron}</span> <span className="quiet">{schedule.timeZone}</span>
          </Fact>
        )}
        {partition !== null && <Fact label={say('flow.partition')}>{say(`flow.partition.${partition}`)}</Fact>}
        {owner !== undefined && <Fact label={say('table.owner')}>{owner}</Fact>}
        {usual !== undefined && <Fact label={say('flow.usual')}>{format.length(usual)}</Fact>}
        <Fact label={say('flows.column.last')}>
          <RunBars runs={last} name={name} slots={last.length} />
        </Fact>
      </dl>
      <Tabs
        value={tabs.includes(tab) ? tab : 'graph'}
        onChange={(next) => {
          const chosen = flowTabs.find((each) => each === next)
          if (chosen !== undefined) void navigate({ search: chosen === 'graph' ? {} : { tab: chosen }, replace: true })
        }}
        keepMounted={false}
        className="table-tabs"
      >
        <Tabs.List aria-label={name}>
          {tabs.map((each: FlowTab) => (
            <Tabs.Tab key={each} value={each}>
              {say(`flow.tab.${each}`)} {each === 'tasks' && <i>{format.number(flow.tasks)}</i>}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="graph">
          <Graph flow={flow} />
        </Tabs.Panel>
        <Tabs.Panel value="tasks">
          <Tasks flow={flow} />
        </Tabs.Panel>
        <Tabs.Panel value="runs">
          <Runs name={name} />
        </Tabs.Panel>
        <Tabs.Panel value="backfills">
          <Backfills name={name} onBackfill={() => setAsking('backfill')} />
        </Tabs.Panel>
      </Tabs>
      {asking === 'run' && <TriggerDialog flow={flow} onClose={() => setAsking(undefined)} />}
      {asking === 'backfill' && partition !== null && <BackfillDialog flow={flow} unit={partition} onClose={() => setAsking(undefined)} />}
    </>
  )
}

function PauseSchedule({ name, paused }: { name: string; paused: boolean }) {
  const { say } = useWords()
  const client = useQueryClient()
  const turn = useMutation({
    mutationFn: () => post(`${flowPath(name)}/schedule`, { paused: !paused }),
    onSuccess: () => {
      toast('ok', say(paused ? 'schedule.resumed' : 'schedule.isPaused', { name }))
      return client.invalidateQueries({ queryKey: ['flows'] })
    },
    onError: (error) => toast('bad', problemText(error, say('error.unreachable'))),
  })
  return (
    <Button leftSection={paused ? <Play aria-hidden /> : <Pause aria-hidden />} loading={turn.isPending} onClick={() => turn.mutate()}>
      {say(paused ? 'schedule.resume' : 'schedule.pause')}
    </Button>
  )
}

function Graph({ flow }: { flow: FlowDetailShape }) {
  const { say } = useWords()
  const tasks = useMemo(() => flow.nodes.map(({ name, kind }, node) => ({ node, name, kind })), [flow.nodes])
  return (
    <section className="panel drawing flow-graph" aria-label={say('flow.tab.graph')}>
      <TaskGraph tasks={tasks} edges={flow.edges} label={say('flow.graph', { name: flow.name })} />
    </section>
  )
}

function Tasks({ flow }: { flow: FlowDetailShape }) {
  const { say, format } = useWords()
  const before = (node: number): string => flow.edges.flatMap(([from, to]) => (to === node ? [flow.nodes[from]?.name ?? ''] : [])).join(', ')
  return (
    <Panel>
      <div className="scroll-x" tabIndex={0} role="group" aria-label={say('flow.tab.tasks')}>
        <table className="list-table">
          <thead>
            <tr>
              <th scope="col">{say('task.column.name')}</th>
              <th scope="col">{say('task.column.kind')}</th>
              <th scope="col">{say('task.column.after')}</th>
              <th scope="col" className="num">
                {say('task.column.retries')}
              </th>
              <th scope="col" className="num">
                {say('task.column.timeout')}
              </th>
              <th scope="col">{say('task.column.pool')}</th>
              <th scope="col">{say('task.column.about')}</th>
            </tr>
          </thead>
          <tbody>
            {flow.nodes.map((task, node) => (
              <tr key={task.name}>
                <td>
                  <b className="strong">{task.name}</b>
                </td>
                <td>{taskKindWord(say, task.kind)}</td>
                <td className="after">{before(node) || '–'}</td>
                <td className="num">{format.number(task.retries)}</td>
                <td className="num">{task.timeoutMs === null ? '–' : format.length(task.timeoutMs)}</td>
                <td>{task.pool}</td>
                <td className="about">{task.description ?? '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  )
}

function Runs({ name }: { name: string }) {
  const { say } = useWords()
  const pages = useInfiniteQuery(runPagesQuery({ flow: name }))
  const items = pages.data?.pages.flatMap((page) => page.items) ?? []
  return (
    <Panel
      title={say('page.runs')}
      right={
        <Link to="/runs" search={{ flow: name }} className="link">
          {say('flow.filterRuns')}
        </Link>
      }
    >
      {pages.isPending ? (
        <LoadingRows />
      ) : pages.isError && pages.data === undefined ? (
        <Failure error={pages.error} onRetry={() => void pages.refetch()} />
      ) : items.length === 0 ? (
        <Empty title={say('flow.noRuns.title')}>{say('flow.noRuns.text')}</Empty>
      ) : (
        <RunsTable runs={items} label={say('page.runs')} flow={false} />
      )}
      <More pages={pages} label={say('runs.more')} />
    </Panel>
  )
}
