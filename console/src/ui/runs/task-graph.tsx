/** The tasks of a flow as boxes and what is behind what as lines; of a run, each with where it stands. */
import './runs.css'
import type { Node, NodeProps } from '@xyflow/react'
import { Boxes, Clock, Database, Eye, GitBranch, Globe, type LucideIcon, Play, SquareTerminal, Workflow } from 'lucide-react'
import { createContext, useContext, useEffect, useMemo, useState } from 'react'
import { Ends, GraphCanvas, type GraphDrawing } from '../graph/canvas.tsx'
import { Layouts } from '../graph/layout.ts'
import { Mark } from '../parts.tsx'
import { useWords } from '../words/index.tsx'
import { type TaskState, taskStates, taskTones } from './states.ts'

export type DrawnTask = {
  readonly node: number
  readonly name: string
  readonly kind: string
  /** Absent for a flow that is only looked at. */
  readonly state?: TaskState | undefined
  readonly ms?: number | null | undefined
  readonly progress?: { readonly done: number; readonly total: number | null } | null | undefined
  readonly elements?: { readonly total: number; readonly states: { readonly [state in TaskState]?: number | undefined } } | null | undefined
  readonly critical?: boolean | undefined
}

const width = 196
const height = 56
const heightWithBar = 72

const kindIcons: Readonly<Record<string, LucideIcon>> = {
  run: Play,
  map: Boxes,
  sql: Database,
  http: Globe,
  command: SquareTerminal,
  flow: Workflow,
  branch: GitBranch,
  sensor: Eye,
}
const taskKinds = ['run', 'map', 'sql', 'http', 'command', 'flow', 'branch', 'sensor'] as const

/** The kind of a task as a word. */
export function taskKindWord(say: ReturnType<typeof useWords>['say'], kind: string): string {
  const known = taskKinds.find((each) => each === kind)
  return known === undefined ? kind : say(`task.kind.${known}`)
}

type Box = Node<{ task: DrawnTask }, 'task'>
const nodeTypes = { task: TaskBox }
const Acts = createContext<{ chosen: number | undefined; onChoose: ((node: number) => void) | undefined }>({ chosen: undefined, onChoose: undefined })

export function TaskGraph({
  tasks,
  edges,
  label,
  chosen,
  onChoose,
}: {
  tasks: readonly DrawnTask[]
  edges: readonly (readonly [number, number])[]
  label: string
  chosen?: number | undefined
  onChoose?: ((node: number) => void) | undefined
}) {
  const { say } = useWords()
  const [layouts] = useState(() => new Layouts())
  useEffect(() => {
    layouts.warm()
    return () => layouts.close()
  }, [layouts])
  const drawing = useMemo((): GraphDrawing => {
    const critical = new Set(tasks.filter((task) => task.critical === true).map(({ node }) => node))
    const names = new Map(tasks.map(({ node, name }) => [node, name]))
    return {
      boxes: tasks.map((task) => ({ id: String(task.node), type: 'task', width, height: hasBar(task) ? heightWithBar : height, data: { task } })),
      lines: edges.map(([from, to]) => {
        const traced = critical.has(from) && critical.has(to)
        return {
          id: `${from}-${to}`,
          from: String(from),
          to: String(to),
          fromSide: 'head',
          toSide: 'head',
          className: traced ? 'line traced' : 'line',
          label: say('task.line', { from: names.get(from) ?? '', to: names.get(to) ?? '' }),
          above: traced,
        }
      }),
    }
  }, [tasks, edges, say])
  const acts = useMemo(() => ({ chosen, onChoose }), [chosen, onChoose])
  return (
    <Acts value={acts}>
      <GraphCanvas drawing={drawing} layouts={layouts} types={nodeTypes} label={label} start="0" instead={say('task.graph.instead')} />
    </Acts>
  )
}

/** A node that maps over a list is as tall as it will be, so that nothing moves when its elements are known. */
const hasBar = ({ kind, state }: DrawnTask): boolean => kind === 'map' && state !== undefined

function TaskBox({ data: { task } }: NodeProps<Box>) {
  const { say, format } = useWords()
  const { chosen, onChoose } = useContext(Acts)
  const { node, name, kind, state, ms, progress, elements } = task
  const Icon = kindIcons[kind] ?? Clock
  const content = (
    <>
      <b className="cut">{name}</b>
      <span className="box-kind">
        {state === undefined ? (
          <>
            <Icon aria-hidden />
            {taskKindWord(say, kind)}
          </>
        ) : (
          <>
            <Mark tone={taskTones[state]} />
            <span className={state === 'failed' ? 'cut c-bad' : 'cut'}>
              {say(`task.state.${state}`)}
              {state === 'running' && progress !== null && progress !== undefined && ` ${progressWord(format, progress)}`}
            </span>
            {ms !== null && ms !== undefined && <span className="box-effect quiet">{format.length(ms)}</span>}
          </>
        )}
      </span>
      {hasBar(task) && (
        <span className="box-elements">
          {elements === null || elements === undefined ? (
            <span className="quiet">{say('task.elements.unknown')}</span>
          ) : (
            <>
              <ElementsBar states={elements.states} total={elements.total} />
              <span>{say('task.elements.done', { done: format.number(doneOf(elements.states)), of: format.number(elements.total) })}</span>
            </>
          )}
        </span>
      )}
    </>
  )
  return (
    <div className={`box nopan${node === chosen ? ' inspected' : ''}${task.critical === true ? ' critical' : ''}`}>
      <Ends side="head" top={28} />
      {onChoose === undefined ? (
        <div className="box-head" title={name}>
          {content}
        </div>
      ) : (
        <button type="button" className="box-head" title={name} aria-pressed={node === chosen} onClick={() => onChoose(node)}>
          {content}
        </button>
      )}
    </div>
  )
}

export const doneOf = (states: { readonly [state in TaskState]?: number | undefined }): number =>
  (['succeeded', 'failed', 'skipped', 'cancelled'] as const).reduce((sum, state) => sum + (states[state] ?? 0), 0)

export function progressWord(format: ReturnType<typeof useWords>['format'], { done, total }: { done: number; total: number | null }): string {
  return total === null || total <= 0 ? format.count(done) : format.percent(Math.min(1, done / total), 0)
}

/** What is done grows from the left. */
const lengthStates: readonly TaskState[] = [
  'succeeded',
  'skipped',
  'cancelled',
  ...taskStates.filter((state) => state !== 'succeeded' && state !== 'skipped' && state !== 'cancelled'),
]

/** How many elements are in which state, as lengths. The counts beside it say the same in numbers. */
export function ElementsBar({ states, total }: { states: { readonly [state in TaskState]?: number | undefined }; total: number }) {
  return (
    <span className="elements-bar" aria-hidden>
      {lengthStates
        .filter((state) => (states[state] ?? 0) > 0)
        .map((state) => (
          <i key={state} className={taskTones[state]} style={{ flexGrow: (states[state] ?? 0) / Math.max(1, total) }} />
        ))}
    </span>
  )
}
