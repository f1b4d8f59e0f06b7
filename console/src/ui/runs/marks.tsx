/** States of runs and tasks in words, and the bars of a flow's last runs. */
import './runs.css'
import { Link } from '@tanstack/react-router'
import type { FlowShape, RunShape } from '../../api/index.ts'
import { useNow } from '../now.ts'
import { Mark, Tag } from '../parts.tsx'
import { useWords } from '../words/index.tsx'
import { barsOf } from './bars.ts'
import { type RunState, runMs, runTones, shortId, type TaskState, taskTones, triggerOf } from './states.ts'

export function RunStateMark({ state, paused = false }: { state: RunState; paused?: boolean }) {
  const { say } = useWords()
  return (
    <span className={state === 'failed' ? 'state c-bad' : 'state'}>
      <Mark tone={paused ? 'stop' : runTones[state]} />
      {paused ? say('run.paused') : say(`run.state.${state}`)}
    </span>
  )
}

const tags = { queued: 'plain', running: 'run', succeeded: 'ok', failed: 'bad', cancelled: 'plain' } as const

export function RunStateTag({ state, paused }: { state: RunState; paused: boolean }) {
  const { say } = useWords()
  return (
    <>
      <Tag kind={tags[state]}>
        <Mark tone={runTones[state]} />
        {say(`run.state.${state}`)}
      </Tag>
      {paused && (
        <Tag kind="warn">
          <Mark tone="stop" />
          {say('run.paused')}
        </Tag>
      )}
    </>
  )
}

export function TaskStateMark({ state, reason }: { state: TaskState; reason?: string | null }) {
  const { say } = useWords()
  return (
    <span className={state === 'failed' ? 'state c-bad' : 'state'} title={reason === null || reason === undefined ? undefined : reasonWord(say, reason)}>
      <Mark tone={taskTones[state]} />
      {say(`task.state.${state}`)}
    </span>
  )
}

/** Why a task stands as it does, in words; what is not known is shown as it is. */
export function reasonWord(say: ReturnType<typeof useWords>['say'], reason: string): string {
  const known = (['upstream_failed', 'branch', 'elements_failed', 'lost'] as const).find((each) => each === reason)
  return known === undefined ? reason : say(`task.reason.${known}`)
}

export function TriggerWord({ run: { trigger, backfill } }: { run: Pick<RunShape, 'trigger' | 'backfill'> }) {
  const { say } = useWords()
  const { by, name, run, of = '' } = triggerOf(trigger)
  if (backfill !== null)
    return (
      <Link to="/runs" search={{ backfill }} className="link">
        {say('run.by.backfill')}
      </Link>
    )
  switch (by) {
    case 'flow':
      return run === undefined ? (
        say('run.by.flow')
      ) : (
        <Link to="/runs/$id" params={{ id: run }} className="link">
          {say('run.by.flow')}
        </Link>
      )
    case 'table':
    case 'stream':
      return say(`run.by.${by}`, { name: of })
    case 'command line':
      return say('run.by.commandLine')
    case 'other':
      return name || '–'
    default:
      return say(`run.by.${by}`)
  }
}

export function RunLink({ id }: { id: string }) {
  return (
    <Link to="/runs/$id" params={{ id }} className="link mono" title={id}>
      {shortId(id)}
    </Link>
  )
}

export function RunTime({ run }: { run: Pick<RunShape, 'startedAt' | 'endedAt'> }) {
  const { format } = useWords()
  const now = useNow()
  const ms = runMs(run, now)
  return ms === null ? '–' : format.length(ms)
}

const barWidth = 5
const barStep = 7
const barHeight = 22

/**
 * The last runs, the newest one on the right, as tall as they were long. What failed stands on a foot, what goes on is hollow, what was
 * cancelled is a dash: none is told by its colour alone. In words, for those who hear it.
 */
export function RunBars({ runs, name, slots = 32 }: { runs: FlowShape['last']; name: string; slots?: number }) {
  const { say, format } = useWords()
  const now = useNow(5_000)
  if (runs.length === 0) return <span className="quiet">{say('flows.neverRan')}</span>
  const bars = barsOf(runs, now, barHeight)
  const failed = runs.filter(({ state }) => state === 'failed').length
  const label = say('flows.bars', { name, n: runs.length, failed })
  return (
    <svg className="run-bars" width={slots * barStep} height={barHeight + 5} role="img" aria-label={label}>
      <path className="ground" d={`M0 ${barHeight + 0.5}H${slots * barStep - (barStep - barWidth)}`} />
      {bars.map(({ id, state, height, ms }, i) => {
        const x = (slots - bars.length + i) * barStep
        const hollow = state === 'running' || state === 'queued'
        return (
          <g key={id} className={`bar ${state}`}>
            <title>{[say(`run.state.${state}`), ms === null ? '' : format.length(ms)].filter((part) => part !== '').join(', ')}</title>
            <rect
              x={hollow ? x + 0.6 : x}
              y={barHeight - height + (hollow ? 0.6 : 0)}
              width={hollow ? barWidth - 1.2 : barWidth}
              height={Math.max(1, hollow ? height - 1.2 : height)}
              rx="1"
            />
            {state === 'failed' && <rect x={x} y={barHeight + 2} width={barWidth} height={3} />}
          </g>
        )
      })}
    </svg>
  )
}
