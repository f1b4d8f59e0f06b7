/** One run: how it stands, its tasks over time or as a graph, what they said, and what can be done with it. */
import './run.css'
import { Tabs } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { flowQuery, type RunDetailShape, type RunNodeShape, runNodesQuery, runQuery } from '../../api/index.ts'
import { type RunSearch, type RunTab, runTabs } from '../../app/search.ts'
import { useNow } from '../../ui/now.ts'
import { Fact, PageHead, Panel } from '../../ui/parts.tsx'
import { RunLink, RunStateTag, TriggerWord } from '../../ui/runs/marks.tsx'
import { runMs, usualMs } from '../../ui/runs/states.ts'
import { TaskGraph } from '../../ui/runs/task-graph.tsx'
import { Empty, FailedScreen, Failure, InlineProblem, LoadingRows, LoadingScreen } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { RunActs } from './acts.tsx'
import { criticalPath } from './critical.ts'
import { JsonBlock } from '../../ui/json.tsx'
import type { LogLine } from './log.ts'
import { LogPanel } from './log-panel.tsx'
import { TaskPanel } from './task.tsx'
import { TimelinePanel } from './timeline-panel.tsx'

const route = getRouteApi('/runs/$id')

export function RunScreen() {
  const { id } = route.useParams()
  const run = useQuery(runQuery(id))
  if (run.data === undefined) return run.isError ? <FailedScreen error={run.error} onRetry={() => void run.refetch()} /> : <LoadingScreen />
  return <RunPage key={id} run={run.data} renewalFailed={run.isError} />
}

function RunPage({ run, renewalFailed }: { run: RunDetailShape; renewalFailed: boolean }) {
  const { say } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { tab = 'timeline', task, level = 'debug', q = '' } = search
  const goesOn = run.endedAt === null
  const now = useNow(goesOn ? 500 : 60_000)
  const nodes = useQuery(runNodesQuery(run.id, goesOn))
  const last = useQuery({ ...flowQuery(run.flow), retry: false, refetchInterval: false }).data?.last
  const [showsCritical, setShowsCritical] = useState(false)
  const tasks = nodes.data?.items
  const { edges } = run.graph
  const end = run.endedAt ?? now
  const critical = useMemo(
    () => new Set(showsCritical ? criticalPath((tasks ?? []).map(asTimed), edges, end) : []),
    // While it goes on the path is looked for anew with each answer, not with each tick of the clock.
    [showsCritical, tasks, edges, run.endedAt], // oxlint-disable-line react/exhaustive-deps
  )
  const set = (change: Partial<RunSearch>, replace = true): void => void navigate({ search: (old) => ({ ...old, ...change }), replace, resetScroll: false })
  const onTask = (n: number): void => set({ task: n === task ? undefined : n }, false)
  const nameOf = (line: LogLine): string => {
    const name = run.graph.nodes[line.node ?? line.n]?.name ?? String(line.n)
    return line.index === null ? name : `${name}[${line.index}]`
  }
  const chosenName = task === undefined ? undefined : (run.graph.nodes[task]?.name ?? say('task.element', { n: task }))
  return (
    <>
      <PageHead
        title={titleOf(run, say)}
        tags={<RunStateTag state={run.state} paused={run.paused && goesOn} />}
        sub={<Story run={run} now={now} usual={last === undefined ? undefined : usualMs(last)} />}
        actions={<RunActs run={run} tasks={tasks} />}
      />
      {renewalFailed && <InlineProblem title={say('run.old')} hint={say('overview.old.hint')} />}
      {run.error !== null && (
        <InlineProblem
          title={`${run.error.task}: ${run.error.message}`}
          hint={run.error.hint}
          action={
            <button
              type="button"
              className="action-link"
              onClick={() =>
                set(
                  {
                    task: Math.max(
                      0,
                      run.graph.nodes.findIndex(({ name }) => name === run.error?.task),
                    ),
                  },
                  false,
                )
              }
            >
              {say('run.seeTask')}
            </button>
          }
        />
      )}
      <Tabs
        value={tab}
        onChange={(next) => {
          const chosen = runTabs.find((each) => each === next)
          if (chosen !== undefined) set({ tab: chosen === 'timeline' ? undefined : chosen })
        }}
        keepMounted={false}
        className="table-tabs"
      >
        <Tabs.List aria-label={say('run.views')}>
          {runTabs.map((each: RunTab) => (
            <Tabs.Tab key={each} value={each}>
              {say(`run.tab.${each}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <div className={task === undefined || tab === 'params' ? 'run-columns' : 'run-columns with-task'}>
          <div className="run-main">
            <Tabs.Panel value="timeline">
              <WhenThere tasks={tasks} run={run} error={nodes.isError ? nodes.error : undefined} onRetry={() => void nodes.refetch()}>
                {(there) => (
                  <TimelinePanel
                    tasks={there}
                    began={run.startedAt}
                    now={end}
                    critical={critical}
                    showsCritical={showsCritical}
                    onCritical={setShowsCritical}
                    chosen={task}
                    onChoose={onTask}
                  />
                )}
              </WhenThere>
            </Tabs.Panel>
            <Tabs.Panel value="graph">
              <WhenThere tasks={tasks} run={run} error={nodes.isError ? nodes.error : undefined} onRetry={() => void nodes.refetch()}>
                {(there) => <Graph run={run} tasks={there} critical={critical} chosen={task} onChoose={onTask} />}
              </WhenThere>
            </Tabs.Panel>
            <Tabs.Panel value="params">
              <Params run={run} />
            </Tabs.Panel>
          </div>
          {task !== undefined && tab !== 'params' && (
            <TaskPanel
              key={task}
              run={run}
              n={task}
              node={tasks?.find(({ n }) => n === task)}
              onClose={() => set({ task: undefined })}
              onTask={(n) => set({ task: n }, false)}
            />
          )}
          <LogPanel
            run={run.id}
            task={task}
            taskName={chosenName}
            nameOf={nameOf}
            goesOn={goesOn}
            level={level}
            q={q}
            onLevel={(next) => set({ level: next === 'debug' ? undefined : next })}
            onFind={(next) => set({ q: next === '' ? undefined : next })}
            onWhole={() => set({ task: undefined })}
            onTask={(line) => set({ task: line.n })}
          />
        </div>
      </Tabs>
    </>
  )
}

/** For the critical path: an element's time is its node's, whose own end it decides. */
const asTimed = ({ node, startedAt, endedAt, state, elements }: RunNodeShape) => ({
  node,
  startedAt: startedAt ?? elements?.startedAt ?? null,
  // A task that is to be tried again has not ended, whatever its last try did.
  endedAt: state === 'succeeded' || state === 'failed' || state === 'cancelled' || state === 'skipped' ? endedAt : null,
})

function titleOf(run: RunDetailShape, say: ReturnType<typeof useWords>['say']): string {
  const { flow, state, error, paused, endedAt } = run
  if (paused && endedAt === null) return say('run.title.paused', { flow })
  if (state === 'failed') return error === null ? say('run.title.failed', { flow }) : say('run.title.failedAt', { flow, task: error.task })
  return say(`run.title.${state}`, { flow })
}

/** When it began, by whom, how long it took, how long it takes as a rule. */
function Story({ run, now, usual }: { run: RunDetailShape; now: number; usual: number | undefined }) {
  const { say, format } = useWords()
  const ms = runMs(run, now)
  const isToday = new Date(run.createdAt).toDateString() === new Date(now).toDateString()
  const at = run.startedAt ?? run.createdAt
  return (
    <span className="facts-line">
      <span title={format.dateTime(at)}>
        {say(run.startedAt === null ? 'run.asked' : 'run.began', { time: isToday ? format.clock(at) : format.dateTime(at) })} (
        <TriggerWord run={run} />)
      </span>
      {ms !== null && <span>{say(run.endedAt === null ? 'run.soFar' : 'run.took', { span: format.length(ms) })}</span>}
      {usual !== undefined && <span className="quiet">{say('run.usually', { span: format.length(usual) })}</span>}
      {run.partition !== null && <span className="mono">{run.partition}</span>}
    </span>
  )
}

function WhenThere({
  tasks,
  run,
  error,
  onRetry,
  children,
}: {
  tasks: readonly RunNodeShape[] | undefined
  run: RunDetailShape
  error: unknown
  onRetry: () => void
  children: (tasks: readonly RunNodeShape[]) => React.ReactNode
}) {
  const { say } = useWords()
  if (tasks === undefined) return <Panel>{error === undefined ? <LoadingRows rows={8} /> : <Failure error={error} onRetry={onRetry} />}</Panel>
  if (tasks.length > 0) return children(tasks)
  return (
    <Panel>
      <Empty title={say(run.state === 'queued' ? 'run.queued.title' : 'run.noTasks.title')}>
        {say(run.state === 'queued' ? (run.paused ? 'run.queued.paused' : 'run.queued.text') : 'run.noTasks.text')}
      </Empty>
    </Panel>
  )
}

function Graph({
  run,
  tasks,
  critical,
  chosen,
  onChoose,
}: {
  run: RunDetailShape
  tasks: readonly RunNodeShape[]
  critical: ReadonlySet<number>
  chosen: number | undefined
  onChoose: (node: number) => void
}) {
  const { say } = useWords()
  const drawn = useMemo(
    () =>
      tasks.map((task) => {
        const kind = run.graph.nodes[task.node]?.about['kind']
        return {
          node: task.node,
          name: task.name,
          kind: typeof kind === 'string' ? kind : 'run',
          state: task.state,
          ms: task.startedAt === null || task.endedAt === null ? null : task.endedAt - task.startedAt,
          progress: task.progress,
          elements: task.elements,
          critical: critical.has(task.node),
        }
      }),
    [tasks, run.graph, critical],
  )
  return (
    <section className="panel drawing" aria-label={say('run.tab.graph')}>
      <TaskGraph tasks={drawn} edges={run.graph.edges} label={say('run.graph', { flow: run.flow })} chosen={chosen} onChoose={onChoose} />
    </section>
  )
}

function Params({ run }: { run: RunDetailShape }) {
  const { say, format } = useWords()
  return (
    <Panel title={say('run.about')}>
      <dl className="facts run-facts">
        <Fact label={say('run.id')}>
          <span className="mono">{run.id}</span>
        </Fact>
        <Fact label={say('runs.column.flow')}>
          <Link to="/flows/$name" params={{ name: run.flow }} className="link">
            {run.flow}
          </Link>
        </Fact>
        <Fact label={say('runs.kind')}>{run.kind}</Fact>
        {run.kind === 'workload' && run.subject !== null && (
          <Fact label={say('runs.workload')}>
            <Link to="/workloads/$id" params={{ id: run.subject }} className="link">
              {say('run.openWorkload')}
            </Link>
          </Fact>
        )}
        {run.parent !== null && (
          <Fact label={say('run.parent')}>
            <RunLink id={run.parent} />
          </Fact>
        )}
        {run.backfill !== null && (
          <Fact label={say('run.backfill')}>
            <Link to="/runs" search={{ backfill: run.backfill }} className="link">
              {say('run.openBackfill')}
            </Link>
          </Fact>
        )}
        {run.partition !== null && <Fact label={say('runs.column.partition')}>{run.partition}</Fact>}
        <Fact label={say('run.createdAt')}>{format.dateTime(run.createdAt)}</Fact>
        {run.startedAt !== null && <Fact label={say('run.startedAt')}>{format.dateTime(run.startedAt)}</Fact>}
        {run.endedAt !== null && <Fact label={say('run.endedAt')}>{format.dateTime(run.endedAt)}</Fact>}
      </dl>
      <JsonBlock title={say('run.params')} value={run.params} />
      <JsonBlock title={say('run.trigger')} value={run.trigger} />
    </Panel>
  )
}
