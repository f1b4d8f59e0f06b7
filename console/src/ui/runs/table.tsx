/** Runs as a table, the same wherever runs are listed. */
import { Link } from '@tanstack/react-router'
import type { RunShape } from '../../api/index.ts'
import { useNow } from '../now.ts'
import { useWords } from '../words/index.tsx'
import { RunLink, RunStateMark, RunTime, TriggerWord } from './marks.tsx'

export function RunsTable({ runs, label, flow = true }: { runs: readonly RunShape[]; label: string; flow?: boolean }) {
  const { say, format } = useWords()
  const now = useNow(10_000)
  const partitions = runs.some(({ partition }) => partition !== null)
  return (
    <div className="scroll-x" tabIndex={0} role="group" aria-label={label}>
      <table className="list-table runs-table cards">
        <thead>
          <tr>
            <th scope="col">{say('runs.column.run')}</th>
            <th scope="col">{say('runs.column.state')}</th>
            {flow && <th scope="col">{say('runs.column.flow')}</th>}
            {partitions && <th scope="col">{say('runs.column.partition')}</th>}
            <th scope="col">{say('runs.column.trigger')}</th>
            <th scope="col">{say('runs.column.created')}</th>
            <th scope="col" className="num">
              {say('runs.column.duration')}
            </th>
            <th scope="col">{say('runs.column.tasks')}</th>
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.id}>
              <td>
                <RunLink id={run.id} />
              </td>
              <td>
                <RunStateMark state={run.state} paused={run.paused && run.endedAt === null} />
              </td>
              {flow && (
                <td>
                  <RunOf run={run} />
                </td>
              )}
              {partitions && <td className={run.partition === null ? 'empty' : 'mono'}>{run.partition ?? '–'}</td>}
              <td>
                <TriggerWord run={run} />
              </td>
              <td title={format.dateTime(run.createdAt)}>{format.ago(run.createdAt, now)}</td>
              <td className="num">
                <RunTime run={run} />
              </td>
              <td>
                {run.error === null ? (
                  run.tasks === 0 ? (
                    '–'
                  ) : (
                    say('runs.tasks', { done: format.number(run.tasks - run.open), of: format.number(run.tasks) })
                  )
                ) : (
                  <span className="cut run-error" title={run.error.message}>
                    {run.error.task}: {run.error.message}
                  </span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** What a run is of: its flow, and the workload that it was asked for by. */
function RunOf({ run }: { run: RunShape }) {
  const { say } = useWords()
  if (run.kind === 'workload' && run.subject !== null)
    return (
      <Link to="/workloads/$id" params={{ id: run.subject }} className="link">
        {say('runs.workload')}
        <span className="quiet"> {run.flow}</span>
      </Link>
    )
  return (
    <Link to="/flows/$name" params={{ name: run.flow }} className="link">
      {run.flow}
    </Link>
  )
}
