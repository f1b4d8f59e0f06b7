/** The records of a stream: as they come, or read on from an offset or a time; all of them or those that meet a condition. */
import { Button } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { ArrowUp, Pause, Play } from 'lucide-react'
import { type FormEvent, useEffect, useId, useRef, useState } from 'react'
import { ApiError, backOff, fetchRecords, recordPagesQuery, type RecordShape, type RecordsFrom, type StreamDetail } from '../../api/index.ts'
import { type RecordPlace, readPlace, writePlace } from '../../app/search.ts'
import { Choice, Mark, Prose } from '../../ui/parts.tsx'
import { Empty, Failure, InlineProblem, LoadingRows, problemText } from '../../ui/states.tsx'
import { type RowColumn, VirtualRows } from '../../ui/virtual-rows.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { fromLocalInput, localInput, oneLine } from './bytes.ts'
import { type Followed, newerThan, nothingYet, take } from './following.ts'
import { RecordDialog } from './record.tsx'

const route = getRouteApi('/streams/$name')
const everyMs = 1_000
/** Records that are kept on the screen, and asked for at once. */
const mostShown = 500
const mostAtOnce = 200
/** More partitions than this are looked at one by one. */
const mostTogether = 12
const aQuarter = 15 * 60_000
/** Characters of a value that a cell holds; the record itself shows all. */
const mostInCell = 400

export function Records({ stream }: { stream: StreamDetail }) {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const mode = search.offset !== undefined ? 'offset' : search.time !== undefined ? 'time' : 'live'
  const all = stream.partitions.map(({ partition }) => partition)
  const together = mode === 'live' && search.partition === undefined && all.length <= mostTogether
  const partition = search.partition ?? all[0] ?? 0
  const partitions = together && all.length > 0 ? all : [partition]
  const place = readPlace(search.open)
  const open = (record: RecordPlace): void => set({ open: writePlace(record) })
  const from: RecordsFrom = { partition, offset: search.offset, time: search.time, filter: search.filter }
  return (
    <section className="panel" aria-labelledby="records-title">
      <h2 id="records-title" className="unseen">
        {stream.name}
      </h2>
      <Controls stream={stream} mode={mode} partition={together ? undefined : partition} />
      {mode === 'live' ? (
        <Follow key={`${partitions.join()} ${search.filter}`} name={stream.name} partitions={partitions} filter={search.filter} onOpen={open} />
      ) : (
        <ReadOn name={stream.name} from={from} onOpen={open} />
      )}
      {place !== undefined && <RecordDialog name={stream.name} place={place} onOpen={open} onClose={() => set({ open: undefined })} />}
    </section>
  )
}

type Mode = 'live' | 'offset' | 'time'

function Controls({ stream, mode, partition }: { stream: StreamDetail; mode: Mode; partition: number | undefined }) {
  const { say } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const id = useId()
  const [filter, setFilter] = useState(search.filter ?? '')
  const [place, setPlace] = useState(mode === 'offset' ? String(search.offset) : mode === 'time' ? localInput(search.time ?? 0) : '')
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const [shownMode, setShownMode] = useState<Mode>(mode)
  const [first] = stream.partitions

  const show = (next: Mode): void => {
    setShownMode(next)
    const at = partition ?? first?.partition ?? 0
    const earliest = stream.partitions.find((each) => each.partition === at)?.earliest ?? 0
    if (next === 'live') return set({ offset: undefined, time: undefined })
    const time = Date.now() - aQuarter
    setPlace(next === 'offset' ? String(earliest) : localInput(time))
    return set(next === 'offset' ? { offset: earliest, time: undefined, partition: at } : { offset: undefined, time, partition: at })
  }
  const go = (event: FormEvent): void => {
    event.preventDefault()
    const offset = /^\d{1,15}$/.test(place.trim()) ? Number(place.trim()) : undefined
    const time = fromLocalInput(place)
    if (shownMode === 'offset' && offset === undefined) return
    if (shownMode === 'time' && time === undefined) return
    set({
      filter: filter.trim() === '' ? undefined : filter.trim(),
      ...(shownMode === 'live' ? {} : shownMode === 'offset' ? { offset, time: undefined } : { offset: undefined, time }),
    })
  }
  return (
    <form className="panel-head list-filters record-controls" onSubmit={go}>
      <Choice
        label={say('records.from')}
        value={shownMode}
        options={(['live', 'offset', 'time'] as const).map((value) => ({ value, label: say(`records.from.${value}`) }))}
        onChange={show}
      />
      {shownMode === 'offset' && (
        <input
          className="text-input place"
          inputMode="numeric"
          pattern="\d{1,15}"
          required
          aria-label={say('record.offset')}
          value={place}
          onChange={(event) => setPlace(event.currentTarget.value)}
        />
      )}
      {shownMode === 'time' && (
        <input
          className="text-input place"
          type="datetime-local"
          step={1}
          required
          aria-label={say('record.time')}
          value={place}
          onChange={(event) => setPlace(event.currentTarget.value)}
        />
      )}
      {stream.partitions.length > 1 && (
        <select
          className="select"
          aria-label={say('stream.partition')}
          value={partition ?? ''}
          onChange={(event) => set({ partition: event.currentTarget.value === '' ? undefined : Number(event.currentTarget.value) })}
        >
          {mode === 'live' && stream.partitions.length <= mostTogether && <option value="">{say('records.allPartitions')}</option>}
          {stream.partitions.map((each) => (
            <option key={each.partition} value={each.partition}>
              {say('records.partition', { n: each.partition })}
            </option>
          ))}
        </select>
      )}
      <span className="filter-field">
        <label htmlFor={`${id}-filter`} className="unseen">
          {say('records.filter')}
        </label>
        <input
          id={`${id}-filter`}
          className="text-input mono"
          type="search"
          spellCheck={false}
          autoComplete="off"
          placeholder={say('records.filter.example', { example: exampleOf(stream) })}
          value={filter}
          onChange={(event) => {
            setFilter(event.currentTarget.value)
            if (event.currentTarget.value === '') set({ filter: undefined })
          }}
        />
      </span>
      <Button type="submit">{say('records.apply')}</Button>
    </form>
  )
}

/** A condition that this stream could have. */
function exampleOf({ fields, key }: StreamDetail): string {
  const number = fields.find(({ type }) => type === 'double' || type === 'int' || type === 'long')
  if (number !== undefined) return `${number.name} > 10`
  return `${key ?? fields[0]?.name ?? 'name'} == 'x'`
}

/** Told beside the filter, not in place of the records. */
const isFilterFault = (error: unknown): error is ApiError => error instanceof ApiError && error.kind === 'invalid'

function Follow({
  name,
  partitions,
  filter,
  onOpen,
}: {
  name: string
  partitions: readonly number[]
  filter: string | undefined
  onOpen: (record: RecordPlace) => void
}) {
  const { say, format } = useWords()
  const [paused, setPaused] = useState(false)
  const [turn, setTurn] = useState(0)
  const [followed, setFollowed] = useState<Followed>()
  const latest = useRef(nothingYet)
  const [error, setError] = useState<unknown>()
  // A list that is made anew begins at its top.
  const [top, setTop] = useState(0)
  const [frozen, setFrozen] = useState<readonly RecordShape[]>()
  const wanted = partitions.join(',')

  useEffect(() => {
    if (paused) return undefined
    const stop = new AbortController()
    const run = async (): Promise<void> => {
      let failures = 0
      while (!stop.signal.aborted) {
        try {
          const known = latest.current
          const answers = await Promise.all(
            wanted.split(',').map(async (text) => {
              const partition = Number(text)
              return { partition, answer: await fetchRecords(name, { partition, offset: known.next.get(partition), filter }, mostAtOnce, stop.signal) }
            }),
          )
          latest.current = take(known, answers, mostShown)
          setFollowed(latest.current)
          setError(undefined)
          failures = 0
        } catch (thrown) {
          if (stop.signal.aborted) return
          setError(thrown)
          // A condition that is wrong stays wrong.
          if (isFilterFault(thrown)) return
          failures++
        }
        await rest(failures === 0 ? everyMs : backOff(failures, Math.random()), stop.signal)
      }
    }
    void run()
    return () => stop.abort()
  }, [name, wanted, filter, paused, turn])

  if (followed === undefined)
    return error === undefined ? (
      <LoadingRows rows={10} />
    ) : isFilterFault(error) ? (
      <FilterFault error={error} />
    ) : (
      <Failure error={error} onRetry={() => setTurn(turn + 1)} />
    )
  const shown = frozen ?? followed.records
  const newer = frozen === undefined ? 0 : newerThan(frozen, followed.records)
  return (
    <>
      {error !== undefined && (
        <div className="inset">
          <InlineProblem title={problemText(error, say('error.unreachable'))} hint={error instanceof ApiError ? error.hint : undefined} />
        </div>
      )}
      <div className="row follow-bar">
        <span className="state" role="status">
          <Mark tone={paused ? 'off' : error === undefined ? 'run' : 'bad'} />
          {say(paused ? 'live.paused' : error === undefined ? 'records.following' : 'live.reconnecting')}
        </span>
        <span className="quiet small">
          {say('records.newest', { n: shown.length, count: format.number(shown.length) })}
          {followed.leftOut && ` · ${say('records.leftOut')}`}
        </span>
        <div className="right">
          {newer > 0 && (
            <Button
              size="xs"
              leftSection={<ArrowUp aria-hidden />}
              onClick={() => {
                setFrozen(undefined)
                setTop(top + 1)
              }}
            >
              {say('records.newer', { n: newer, count: newer >= mostShown ? `${format.number(mostShown)}+` : format.number(newer) })}
            </Button>
          )}
          <Button size="xs" leftSection={paused ? <Play aria-hidden /> : <Pause aria-hidden />} onClick={() => setPaused(!paused)}>
            {say(paused ? 'live.resume' : 'live.pause')}
          </Button>
        </div>
      </div>
      {shown.length === 0 ? (
        <Empty title={say(filter === undefined ? 'records.none.title' : 'records.noMatch.title')}>
          {filter === undefined ? say('records.none.text') : say('records.noMatch.text', { filter })}
        </Empty>
      ) : (
        <RecordTable
          key={top}
          records={shown}
          several={partitions.length > 1}
          label={name}
          onOpen={onOpen}
          onScroll={(from) => {
            // What somebody reads further down does not move away under their eyes.
            if (from > 24) setFrozen((now) => now ?? followed.records)
            else setFrozen(undefined)
          }}
        />
      )}
    </>
  )
}

const rest = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const timer = window.setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        window.clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })

/** What is wrong with the condition, with the place under it that the server points at. */
function FilterFault({ error }: { error: ApiError }) {
  const [what = '', ...pointed] = error.message.split('\n')
  return (
    <div className="inset">
      <div className="inline-problem" role="alert">
        <Mark tone="bad" />
        <div>
          <strong>{what}</strong>
          {pointed.length > 0 && <pre className="pointed">{pointed.join('\n')}</pre>}
          {error.hint !== undefined && (
            <div className="quiet small">
              <Prose>{error.hint}</Prose>
            </div>
          )}
        </div>
      </div>
    </div>
  )
}

function ReadOn({ name, from, onOpen }: { name: string; from: RecordsFrom; onOpen: (record: RecordPlace) => void }) {
  const { say, format } = useWords()
  const pages = useInfiniteQuery(recordPagesQuery(name, from))
  if (pages.isPending) return <LoadingRows rows={10} />
  if (pages.isError && pages.data === undefined)
    return isFilterFault(pages.error) ? <FilterFault error={pages.error} /> : <Failure error={pages.error} onRetry={() => void pages.refetch()} />
  const records = pages.data.pages.flatMap((page) => page.items)
  const more = pages.data.pages.at(-1)?.cursor !== undefined
  return (
    <>
      <div className="row follow-bar">
        <span className="quiet small" role="status">
          {say('records.read', { n: records.length, count: format.number(records.length) })}
        </span>
        <div className="right">
          <Button size="xs" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
            {say(more ? 'records.readOn' : 'records.again')}
          </Button>
        </div>
      </div>
      {pages.isFetchNextPageError && (
        <div className="inset">
          <InlineProblem title={problemText(pages.error, say('error.unreachable'))} hint={pages.error instanceof ApiError ? pages.error.hint : undefined} />
        </div>
      )}
      {records.length === 0 ? (
        <Empty title={say('records.noneThere')}>{more ? say('records.noneYet') : undefined}</Empty>
      ) : (
        <RecordTable records={records} several={false} label={name} onOpen={onOpen} />
      )}
    </>
  )
}

function RecordTable({
  records,
  several,
  label,
  onOpen,
  onScroll,
}: {
  records: readonly RecordShape[]
  several: boolean
  label: string
  onOpen: (record: RecordPlace) => void
  onScroll?: (top: number) => void
}) {
  const { say, format } = useWords()
  const narrow = useMediaQuery('(max-width: 767px)')
  const columns: RowColumn<RecordShape>[] = [
    { id: 'time', title: say('record.time'), width: narrow ? 82 : 96, cell: ({ time }) => <span title={format.dateTime(time)}>{format.clock(time)}</span> },
    ...(several && !narrow ? [{ id: 'partition', title: say('stream.partition'), width: 78, num: true, cell: ({ partition }: RecordShape) => partition }] : []),
    { id: 'offset', title: say('record.offset'), width: narrow ? 88 : 104, num: true, cell: ({ offset }) => format.number(offset) },
    ...(narrow
      ? []
      : [
          {
            id: 'key',
            title: say('record.key'),
            width: 140,
            cell: ({ key }: RecordShape) => (key === null ? <span className="nothing">null</span> : <span title={key}>{key}</span>),
          },
        ]),
    {
      id: 'value',
      title: say('record.value'),
      cell: (record) => (
        <button type="button" className="plain-button row-open mono" onClick={() => onOpen(record)}>
          <span className="unseen">{say('record.open', { offset: record.offset })} </span>
          {oneLine(record.value).slice(0, mostInCell)}
        </button>
      ),
    },
  ]
  return (
    <VirtualRows
      items={records}
      columns={columns}
      label={say('records.of', { name: label })}
      rowKey={({ partition, offset }) => `${partition}-${offset}`}
      maxHeight="max(320px, calc(100dvh - 330px))"
      least={narrow ? 320 : 560}
      {...(onScroll === undefined ? {} : { onScroll })}
    />
  )
}
