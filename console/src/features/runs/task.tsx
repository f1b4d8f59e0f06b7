/** One task of a run: what it answered or what went wrong, its tries, and its elements where it maps over a list. */
import { Button, CloseButton } from '@mantine/core'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { ArrowLeft } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { type RunDetailShape, type RunNodeShape, type RunTaskShape, runAttemptsQuery, runElementsQuery, runTaskQuery } from '../../api/index.ts'
import { useNow } from '../../ui/now.ts'
import { Fact, Mark, Prose } from '../../ui/parts.tsx'
import { reasonWord, RunLink, TaskStateMark } from '../../ui/runs/marks.tsx'
import { type TaskState, taskStates, taskTones } from '../../ui/runs/states.ts'
import { ElementsBar, progressWord, taskKindWord } from '../../ui/runs/task-graph.tsx'
import { Failure, LoadingRows } from '../../ui/states.tsx'
import { VirtualRows } from '../../ui/virtual-rows.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { RetryFrom } from './acts.tsx'
import { JsonBlock } from '../../ui/json.tsx'

export function TaskPanel({
  run,
  n,
  node,
  onClose,
  onTask,
}: {
  run: RunDetailShape
  n: number
  node: RunNodeShape | undefined
  onClose: () => void
  onTask: (n: number) => void
}) {
  const { say } = useWords()
  const goesOn = run.endedAt === null
  const found = useQuery(runTaskQuery(run.id, n, goesOn))
  const name = found.data?.name ?? run.graph.nodes[n]?.name ?? ''
  const place = useRef<HTMLElement>(null)
  // Where there is no room beside the tasks it stands below them, and must not be looked for.
  useEffect(() => {
    if (window.matchMedia('(max-width: 1150px)').matches) place.current?.scrollIntoView({ block: 'nearest' })
  }, [])
  const label = found.data !== undefined && found.data.index !== null ? `${name}[${found.data.index}]` : name
  return (
    <section className="panel task-panel" ref={place} aria-label={say('task.panel', { name: label })}>
      <div className="task-head">
        <h2>{label}</h2>
        <CloseButton size="sm" aria-label={say('task.close')} onClick={onClose} />
      </div>
      {found.data === undefined ? (
        found.isError ? (
          <Failure error={found.error} onRetry={() => void found.refetch()} />
        ) : (
          <LoadingRows rows={6} />
        )
      ) : (
        <Task run={run} task={found.data} node={node} onTask={onTask} />
      )}
    </section>
  )
}

function Task({ run, task, node, onTask }: { run: RunDetailShape; task: RunTaskShape; node: RunNodeShape | undefined; onTask: (n: number) => void }) {
  const { say, format } = useWords()
  const goesOn = run.endedAt === null
  const now = useNow(task.endedAt === null && goesOn ? 500 : 60_000)
  const about = run.graph.nodes[task.node]?.about ?? {}
  const kind = typeof about['kind'] === 'string' ? about['kind'] : 'run'
  const description = typeof about['description'] === 'string' ? about['description'] : undefined
  const isElement = task.index !== null
  const isOver = task.state === 'succeeded' || task.state === 'failed' || task.state === 'skipped' || task.state === 'cancelled'
  const isActive = task.state === 'running' || task.state === 'deferred' || task.state === 'expanded'
  return (
    <div className="task-body">
      {isElement && (
        <button type="button" className="plain-button link task-back" onClick={() => onTask(task.node)}>
          <ArrowLeft aria-hidden /> {say('task.allElements', { name: task.name })}
        </button>
      )}
      {description !== undefined && !isElement && <p className="quiet">{description}</p>}
      <dl className="facts">
        <Fact label={say('runs.column.state')}>
          <TaskStateMark state={task.state} />
        </Fact>
        {!isElement && <Fact label={say('task.column.kind')}>{taskKindWord(say, kind)}</Fact>}
        {task.startedAt !== null && <Fact label={say('task.started')}>{format.clock(task.startedAt)}</Fact>}
        {task.startedAt !== null && (task.endedAt !== null || isActive) && (
          <Fact label={say('runs.column.duration')}>{format.length((task.endedAt ?? now) - task.startedAt)}</Fact>
        )}
        {task.attempt > 1 && <Fact label={say('task.tries')}>{format.number(task.attempt)}</Fact>}
        {task.progress !== null && (
          <Fact label={say('task.progress')}>
            {task.progress.total === null
              ? format.number(task.progress.done)
              : say('task.progress.of', {
                  done: format.number(task.progress.done),
                  total: format.number(task.progress.total),
                  share: progressWord(format, task.progress),
                })}
          </Fact>
        )}
        {task.pool !== 'default' && <Fact label={say('task.column.pool')}>{task.pool}</Fact>}
        {task.child !== null && (
          <Fact label={say('task.child')}>
            <RunLink id={task.child} />
          </Fact>
        )}
      </dl>
      {task.reason !== null && <p className="task-reason quiet">{reasonWord(say, task.reason)}</p>}
      {task.error !== null && (
        <div className="unknown task-error" role="note">
          <Mark tone={task.state === 'failed' ? 'bad' : 'warn'} />
          <div>
            <strong>{task.error.message}</strong>
            {task.error.hint !== undefined && (
              <div className="small">
                <Prose>{task.error.hint}</Prose>
              </div>
            )}
            <div className="quiet small mono">{task.error.code}</div>
          </div>
        </div>
      )}
      {!isElement && isOver && (
        <div className="task-acts">
          <RetryFrom run={run} node={task.node} name={task.name} />
        </div>
      )}
      {!isElement && node !== undefined && node.elements !== null && <Elements run={run} node={node} elements={node.elements} onTask={onTask} />}
      {task.state === 'succeeded' && <JsonBlock title={say('task.output')} value={task.output} />}
      <Tries run={run} task={task} />
    </div>
  )
}

function Tries({ run, task }: { run: RunDetailShape; task: RunTaskShape }) {
  const { say, format } = useWords()
  // The same number of tries ended: nothing to read again.
  const tries = useQuery({ ...runAttemptsQuery(run.id, task.n), placeholderData: (old) => old })
  const { refetch } = tries
  useEffect(() => void refetch(), [refetch, task.attempt, task.state])
  const items = tries.data?.items ?? []
  if (items.length === 0 || (items.length === 1 && items[0]?.error === null && items[0].state === 'succeeded')) return null
  return (
    <div className="tries">
      <h3>{say('task.triesEnded')}</h3>
      <ol>
        {items.map((each) => (
          <li key={each.fence}>
            <Mark tone={each.state === 'succeeded' ? 'ok' : each.state === 'failed' ? 'bad' : each.state === 'lost' ? 'warn' : 'stop'} />
            <div>
              <span>
                {say('task.attempt', { n: each.attempt })} {say(`attempt.${attemptWord(each.state)}`)}
              </span>{' '}
              <span className="quiet">
                {format.clock(each.startedAt)}, {format.length(each.endedAt - each.startedAt)}
              </span>
              {each.error !== null && <div className="small try-error">{each.error.message}</div>}
            </div>
          </li>
        ))}
      </ol>
    </div>
  )
}

const attemptWord = (state: string) => (['succeeded', 'failed', 'cancelled', 'lost'] as const).find((each) => each === state) ?? 'succeeded'

/** Thousands of elements: counts by state, of which one may be chosen, and a list that draws only what is in sight. */
function Elements({
  run,
  node,
  elements,
  onTask,
}: {
  run: RunDetailShape
  node: RunNodeShape
  elements: NonNullable<RunNodeShape['elements']>
  onTask: (n: number) => void
}) {
  const { say, format } = useWords()
  const [only, setOnly] = useState<TaskState>()
  const pages = useInfiniteQuery(runElementsQuery(run.id, node.node, only, run.endedAt === null))
  const items = pages.data?.pages.flatMap((page) => page.items) ?? []
  const states = taskStates.filter((state) => (elements.states[state] ?? 0) > 0 || state === only)
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages
  const nearEnd = (top: number): void => {
    if (hasNextPage && !isFetchingNextPage && top > items.length * 29 - 1_500) void fetchNextPage()
  }
  return (
    <div className="elements">
      <h3>{say('task.elements', { n: elements.total, count: format.number(elements.total) })}</h3>
      <ElementsBar states={elements.states} total={elements.total} />
      <div className="element-states" role="group" aria-label={say('task.elements.by')}>
        {states.map((state) => (
          <button key={state} type="button" className="action-link" aria-pressed={state === only} onClick={() => setOnly(state === only ? undefined : state)}>
            <Mark tone={taskTones[state]} />
            {say(`task.state.${state}`)} {format.number(elements.states[state] ?? 0)}
          </button>
        ))}
      </div>
      {pages.isPending ? (
        <LoadingRows rows={4} />
      ) : pages.isError && pages.data === undefined ? (
        <Failure error={pages.error} onRetry={() => void pages.refetch()} />
      ) : (
        <VirtualRows
          items={items}
          label={say('task.elements.list', { name: node.name })}
          rowKey={({ n }) => String(n)}
          maxHeight="320px"
          least={0}
          onScroll={nearEnd}
          columns={[
            {
              id: 'index',
              title: say('task.elements.index'),
              width: 88,
              cell: ({ n, index }) => (
                <button type="button" className="plain-button link" onClick={() => onTask(n)}>
                  <span className="unseen">{node.name} </span>
                  {format.number(index ?? 0)}
                </button>
              ),
            },
            { id: 'state', title: say('runs.column.state'), cell: ({ state }) => <TaskStateMark state={state} /> },
            {
              id: 'ms',
              title: say('runs.column.duration'),
              width: 86,
              num: true,
              cell: ({ startedAt, endedAt }) => (startedAt === null || endedAt === null ? '–' : format.length(endedAt - startedAt)),
            },
          ]}
        />
      )}
      {hasNextPage && (
        <Button size="xs" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {say('task.elements.more', { shown: format.number(items.length) })}
        </Button>
      )}
    </div>
  )
}
