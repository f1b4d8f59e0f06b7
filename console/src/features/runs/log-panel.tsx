/** What the tasks of a run say, as they say it: followed at its end until the reader scrolls back, by task, by level, by text. */
import { Button } from '@mantine/core'
import { useVirtualizer } from '@tanstack/react-virtual'
import { ArrowDownToLine, Download } from 'lucide-react'
import { useEffect, useMemo, useRef, useState } from 'react'
import { ApiError, fetchLog } from '../../api/index.ts'
import { logLevels, type LogLevel } from '../../app/search.ts'
import { Find } from '../../ui/filters.tsx'
import { Choice } from '../../ui/parts.tsx'
import { InlineProblem, LoadingRows, problemText } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { addLines, type KeptLog, type LogLine, linked, marked, noLog, shownLines } from './log.ts'

const askAgainMs = 1_000
const rowHeight = 21

/** Reads to the end, and on while the run goes on. What was read of another task, or run, is forgotten. */
function useLog(run: string, task: number | undefined, goesOn: boolean): { log: KeptLog; isReading: boolean; error: unknown } {
  const [state, setState] = useState<{ log: KeptLog; isReading: boolean; error: unknown }>({ log: noLog, isReading: true, error: undefined })
  const place = useRef<{ of: string; cursor: string | undefined }>({ of: '', cursor: undefined })
  useEffect(() => {
    const stop = new AbortController()
    const of = `${run} ${task ?? ''}`
    if (place.current.of !== of) {
      place.current = { of, cursor: undefined }
      setState({ log: noLog, isReading: true, error: undefined })
    }
    const follow = async (): Promise<void> => {
      // A run that has just ended has its last lines written within a second.
      let looksLeft = goesOn ? Number.POSITIVE_INFINITY : 2
      while (!stop.signal.aborted) {
        try {
          const { items, cursor } = await fetchLog(run, { task, cursor: place.current.cursor }, stop.signal)
          if (stop.signal.aborted) return
          if (cursor !== '') place.current.cursor = cursor
          setState((old) => ({ log: addLines(old.log, items), isReading: items.length > 0, error: undefined }))
          if (items.length > 0) continue
          if (--looksLeft <= 0) return
        } catch (error) {
          if (stop.signal.aborted) return
          setState((old) => ({ ...old, isReading: false, error }))
        }
        await new Promise<void>((done) => {
          const timer = window.setTimeout(done, askAgainMs)
          stop.signal.addEventListener('abort', () => (window.clearTimeout(timer), done()), { once: true })
        })
      }
    }
    void follow()
    return () => stop.abort()
  }, [run, task, goesOn])
  return state
}

export function LogPanel({
  run,
  task,
  taskName,
  nameOf,
  goesOn,
  level,
  q,
  onLevel,
  onFind,
  onWhole,
  onTask,
}: {
  run: string
  task: number | undefined
  taskName: string | undefined
  nameOf: (line: LogLine) => string
  goesOn: boolean
  level: LogLevel
  q: string
  onLevel: (level: LogLevel) => void
  onFind: (q: string) => void
  onWhole: () => void
  onTask: (line: LogLine) => void
}) {
  const { say, format } = useWords()
  const { log, isReading, error } = useLog(run, task, goesOn)
  const [follow, setFollow] = useState(goesOn)
  const shown = useMemo(() => shownLines(log.lines, level, q), [log.lines, level, q])
  const count = (of: LogLevel): string => {
    const n = of === 'warn' ? log.counts.warn + log.counts.error : of === 'error' ? log.counts.error : 0
    return n === 0 ? say(`log.level.${of}`) : `${say(`log.level.${of}`)} ${format.count(n)}`
  }
  return (
    <section className="panel log-panel" aria-label={say('log.title')}>
      <div className="panel-head log-head">
        <h2>{say('log.title')}</h2>
        {taskName !== undefined && (
          <Choice
            label={say('log.of')}
            value={task === undefined ? 'all' : 'task'}
            options={[
              { value: 'all', label: say('log.of.all') },
              { value: 'task', label: taskName },
            ]}
            onChange={(next) => next === 'all' && onWhole()}
          />
        )}
        <Choice label={say('log.level')} value={level} options={logLevels.map((value) => ({ value, label: count(value) }))} onChange={onLevel} />
        <Find label={say('log.find')} value={q} onChange={onFind} />
        <div className="right">
          <span role="status">{q.trim() === '' ? '' : say('log.found', { n: shown.length, count: format.number(shown.length) })}</span>
          {goesOn && (
            <Button size="xs" aria-pressed={follow} leftSection={<ArrowDownToLine aria-hidden />} onClick={() => setFollow(!follow)}>
              {say(follow ? 'log.following' : 'log.follow')}
            </Button>
          )}
          {shown.length > 0 && <Save lines={shown} nameOf={nameOf} name={`run-${run}.log`} />}
        </div>
      </div>
      {error !== undefined && (
        <InlineProblem title={problemText(error, say('error.unreachable'))} hint={error instanceof ApiError ? error.hint : say('log.asksAgain')} />
      )}
      {log.dropped > 0 && (
        <p className="log-note quiet small">{say('log.dropped', { count: format.number(log.dropped), kept: format.number(log.lines.length) })}</p>
      )}
      {log.lines.length === 0 && isReading ? (
        <LoadingRows rows={4} />
      ) : shown.length === 0 ? (
        <p className="log-note quiet">{say(log.lines.length > 0 ? 'log.noMatch' : goesOn ? 'log.nothingYet' : 'log.nothing')}</p>
      ) : (
        <Lines lines={shown} q={q} nameOf={nameOf} follow={follow} onFollow={setFollow} onTask={onTask} />
      )}
    </section>
  )
}

function Lines({
  lines,
  q,
  nameOf,
  follow,
  onFollow,
  onTask,
}: {
  lines: readonly LogLine[]
  q: string
  nameOf: (line: LogLine) => string
  follow: boolean
  onFollow: (follow: boolean) => void
  onTask: (line: LogLine) => void
}) {
  const { say, format } = useWords()
  const scroller = useRef<HTMLDivElement>(null)
  const rows = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    getItemKey: (index) => lines[index]?.key ?? index,
    overscan: 20,
  })
  const length = rows.getTotalSize()
  useEffect(() => {
    const box = scroller.current
    if (follow && box !== null) box.scrollTop = box.scrollHeight
  }, [follow, length])
  return (
    <div
      className="log-lines mono"
      ref={scroller}
      tabIndex={0}
      role="region"
      aria-label={say('log.lines')}
      onWheel={(event) => event.deltaY < 0 && onFollow(false)}
      onKeyDown={(event) => {
        if (['ArrowUp', 'PageUp', 'Home'].includes(event.key)) onFollow(false)
        if (event.key === 'End') onFollow(true)
      }}
    >
      <div style={{ height: length, position: 'relative' }}>
        {rows.getVirtualItems().map(({ index, key, start }) => {
          const line = lines[index]
          if (line === undefined) return null
          return (
            <div key={key} data-index={index} ref={rows.measureElement} className={`log-line ${line.level}`} style={{ transform: `translateY(${start}px)` }}>
              <time dateTime={new Date(line.at).toISOString()} title={format.dateTime(line.at)}>
                {format.clock(line.at)}.{String(line.at % 1000).padStart(3, '0')}
              </time>
              <span className="log-level">{say(`log.word.${line.level}`)}</span>
              <button type="button" className="plain-button log-task cut" title={nameOf(line)} tabIndex={-1} onClick={() => onTask(line)}>
                {nameOf(line)}
              </button>
              <span className="log-text">
                {linked(line.text).map((piece, i) => {
                  const shown = marked(piece, q).map((part, at) => (at % 2 === 1 ? <mark key={at}>{part}</mark> : part))
                  return i % 2 === 1 ? (
                    <a key={i} className="link" href={piece} target="_blank" rel="noopener noreferrer">
                      {shown}
                    </a>
                  ) : (
                    shown
                  )
                })}
              </span>
            </div>
          )
        })}
      </div>
    </div>
  )
}

function Save({ lines, nameOf, name }: { lines: readonly LogLine[]; nameOf: (line: LogLine) => string; name: string }) {
  const { say } = useWords()
  const save = (): void => {
    const text = lines.map((line) => `${new Date(line.at).toISOString()} ${line.level} ${nameOf(line)} ${line.text}\n`).join('')
    const address = URL.createObjectURL(new Blob([text], { type: 'text/plain' }))
    const link = document.createElement('a')
    link.href = address
    link.download = name
    link.click()
    URL.revokeObjectURL(address)
  }
  return (
    <Button size="xs" leftSection={<Download aria-hidden />} onClick={save}>
      {say('log.save')}
    </Button>
  )
}
