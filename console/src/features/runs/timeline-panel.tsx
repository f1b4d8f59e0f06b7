/** The tasks of a run over time: a row a task, a bar a try, and the path that decided how long it took. */
import { Button } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { Route } from 'lucide-react'
import type { RunNodeShape } from '../../api/index.ts'
import { Mark, Panel } from '../../ui/parts.tsx'
import { doneOf, ElementsBar, progressWord } from '../../ui/runs/task-graph.tsx'
import { taskTones } from '../../ui/runs/states.ts'
import { useWords } from '../../ui/words/index.tsx'
import { counted, type TimelineRow, timeline } from './timeline.ts'

export function TimelinePanel({
  tasks,
  began,
  now,
  critical,
  showsCritical,
  onCritical,
  chosen,
  onChoose,
}: {
  tasks: readonly RunNodeShape[]
  began: number | null
  now: number
  critical: ReadonlySet<number>
  showsCritical: boolean
  onCritical: (on: boolean) => void
  chosen: number | undefined
  onChoose: (node: number) => void
}) {
  const { say, format } = useWords()
  const narrow = useMediaQuery('(max-width: 767px)', undefined, { getInitialValueInEffect: false })
  const { ticks, rows } = timeline(tasks, began, now, narrow ? 3 : 8)
  const { done, running, failed } = counted(tasks)
  return (
    <Panel
      title={say('run.tasks')}
      className="timeline"
      right={
        <>
          <span role="status">
            {[
              say('run.tasks.done', { n: done, count: format.number(done) }),
              running > 0 ? say('run.tasks.running', { n: running, count: format.number(running) }) : '',
              failed > 0 ? say('run.tasks.failed', { n: failed, count: format.number(failed) }) : '',
            ]
              .filter((part) => part !== '')
              .join(', ')}
          </span>
          <Button
            size="xs"
            aria-pressed={showsCritical}
            className={showsCritical ? 'pressed' : ''}
            leftSection={<Route aria-hidden />}
            onClick={() => onCritical(!showsCritical)}
          >
            {say('run.critical')}
          </Button>
        </>
      }
    >
      <div className="timeline-axis" aria-hidden>
        <span />
        <div>
          {ticks.map(({ at, ms }) => (
            <i key={ms} style={{ left: `${at * 100}%` }} className={at > 0.94 ? 'last' : undefined}>
              {ms === 0 ? '0' : format.span(ms)}
            </i>
          ))}
        </div>
        <span />
      </div>
      <ol className="timeline-rows">
        {rows.map((row) => (
          <Row
            key={row.task.n}
            row={row}
            ticks={ticks.map(({ at }) => at)}
            marked={showsCritical && critical.has(row.task.node)}
            faded={showsCritical && !critical.has(row.task.node)}
            chosen={row.task.n === chosen}
            onChoose={onChoose}
          />
        ))}
      </ol>
    </Panel>
  )
}

function Row({
  row: { task, bars, ms },
  ticks,
  marked,
  faded,
  chosen,
  onChoose,
}: {
  row: TimelineRow
  ticks: readonly number[]
  marked: boolean
  faded: boolean
  chosen: boolean
  onChoose: (node: number) => void
}) {
  const { say, format } = useWords()
  const { state, elements, progress } = task
  const word = say(`task.state.${state}`)
  const share =
    state === 'running' && progress !== null && progress.total !== null && progress.total > 0 ? Math.min(1, progress.done / progress.total) : undefined
  return (
    <li>
      <button
        type="button"
        className={`timeline-row${marked ? ' critical' : ''}${faded ? ' faded' : ''}`}
        aria-pressed={chosen}
        onClick={() => onChoose(task.n)}
      >
        <span className="timeline-name">
          <Mark tone={taskTones[state]} label={word} />
          <span className="cut" title={task.name}>
            {task.name}
          </span>
          {marked && <span className="unseen">{say('run.critical.on')}</span>}
          {elements !== null && (
            <span className="timeline-elements">
              {format.count(doneOf(elements.states))}/{format.count(elements.total)}
            </span>
          )}
        </span>
        <span className="timeline-track" aria-hidden>
          {ticks.map((at) => (
            <i key={at} className="tick" style={{ left: `${at * 100}%` }} />
          ))}
          {bars.map((bar, i) => (
            <span
              key={i}
              className={`timeline-bar ${bar.state}${elements !== null && bar.attempt === null ? ' elements' : ''}`}
              style={{ left: `${bar.left * 100}%`, width: `max(3px, ${bar.width * 100}%)` }}
              title={[bar.attempt === null ? '' : say('task.attempt', { n: bar.attempt }), say(`attempt.${bar.state}`), format.length(bar.ms)]
                .filter((part) => part !== '')
                .join(', ')}
            >
              {bar.attempt === null && elements !== null && <ElementsBar states={elements.states} total={elements.total} />}
              {bar.state === 'running' && bar.attempt !== null && share !== undefined && <b style={{ width: `${share * 100}%` }} />}
            </span>
          ))}
        </span>
        <span className={state === 'failed' ? 'timeline-ms c-bad' : 'timeline-ms'} title={ms === null ? word : undefined}>
          {ms === null || state === 'skipped' ? word : format.length(ms)}
          {state === 'running' && progress !== null && <span className="quiet"> {progressWord(format, progress)}</span>}
          {ms !== null && state === 'failed' && <span className="unseen"> {word}</span>}
        </span>
      </button>
    </li>
  )
}
