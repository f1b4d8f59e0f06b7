import './live.css'
import { Button, Checkbox, Popover } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ChevronDown, Pause, Play } from 'lucide-react'
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react'
import { hub, latestQuery, recentAlertsQuery, type RuleShape, rulesQuery, type StreamShape, streamsQuery, systemQuery } from '../../api/index.ts'
import { type Range, ranges, readNames, writeNames } from '../../app/search.ts'
import { Find } from '../../ui/filters.tsx'
import { AlertRow } from '../../ui/alerts.tsx'
import { useNow } from '../../ui/now.ts'
import { Choice, Mark, PageHead, Panel, Tag } from '../../ui/parts.tsx'
import { Empty, FailedScreen, Failure, InlineProblem, LoadingRows, LoadingScreen, problemText } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { FieldChart, type Line } from './chart.tsx'
import { chartFields, type Limit, limitsOf, numericFields, type TileState, tileState, valueState } from './limits.ts'
import { LiveStore, type Window } from './store.ts'
import { type TileFacts, Tiles } from './tiles.tsx'

const route = getRouteApi('/live')
const windows: Readonly<Record<Range, Window>> = {
  '5m': { rangeMs: 5 * 60_000, points: 300 },
  '15m': { rangeMs: 15 * 60_000, points: 300 },
  '1h': { rangeMs: 60 * 60_000, points: 300 },
}
const mostTiles = 48
/** The live cache has what the log had this long ago. */
const cacheFollowsMs = 600
const mostLines = 12
const urgency: Readonly<Record<TileState, number>> = { over: 0, near: 1, stale: 2, ok: 3 }

export function LiveScreen() {
  const { say } = useWords()
  const search = route.useSearch()
  const streams = useQuery(streamsQuery)
  const rules = useQuery(rulesQuery)
  if (streams.isError && streams.data === undefined) return <FailedScreen error={streams.error} onRetry={() => void streams.refetch()} />
  // Limits decide which charts there are, so they are waited for; without them the screen still works.
  if (streams.data === undefined || rules.isPending) return <LoadingScreen />
  const live = streams.data.items.filter((each) => each.live !== undefined)
  const stream = search.stream === undefined ? live[0] : live.find((each) => each.name === search.stream)
  if (stream === undefined)
    return (
      <>
        <PageHead title={say(live.length === 0 ? 'live.none.title' : 'live.missing.title')} />
        <div className="panel">
          {live.length === 0 ? (
            <Empty title={say('live.none.what')}>{say('live.none.text')}</Empty>
          ) : (
            <Empty
              title={say('live.missing.what', { name: search.stream ?? '' })}
              actions={live.map((each) => (
                <Link key={each.name} to="/live" search={{ stream: each.name }} className="action-link">
                  {each.name}
                </Link>
              ))}
            />
          )}
        </div>
      </>
    )
  return <StreamScreen key={stream.name} stream={stream} streams={live} rules={rules.data?.items ?? []} />
}

function StreamScreen({ stream, streams, rules }: { stream: StreamShape; streams: readonly StreamShape[]; rules: readonly RuleShape[] }) {
  const { say } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const range = search.range ?? '15m'
  // A fetched list is a new array with the same content; what hangs on it should not be made anew for that.
  const limitsText = JSON.stringify(limitsOf(rules, stream.name))
  const limits = useMemo<Limit[]>(() => JSON.parse(limitsText), [limitsText])
  const fieldsText = JSON.stringify([numericFields(stream), chartFields(stream, limits)])
  const [fields, charts] = useMemo<[StreamShape['fields'], StreamShape['fields']]>(() => JSON.parse(fieldsText), [fieldsText])
  // What has a limit is what the tiles are for; the other fields have their place in the table.
  const limited = fields.filter((field) => limits.some((limit) => limit.field === field.name))
  const shown = (limited.length > 0 ? limited : fields).slice(0, 4)

  const [store, setStore] = useState<LiveStore>()
  useEffect(() => {
    const made = new LiveStore(
      stream.name,
      fields.map((field) => field.name),
      charts.map((field) => field.name),
    )
    const close = made.open(hub)
    setStore(made)
    return close
  }, [stream.name, fields, charts])
  useEffect(() => store?.show(windows[range]), [store, range])

  const latest = useQuery({ ...latestQuery(stream.name), refetchOnWindowFocus: false })
  // What came between the first look and the opening of the event stream is in neither, and the live cache follows the log a moment
  // later: look once more when the stream is open and the cache has caught up.
  const { is: connected } = useSyncExternalStore(hub.onState, hub.state)
  const refetchLatest = latest.refetch
  useEffect(() => {
    if (connected !== 'open') return undefined
    const timer = window.setTimeout(() => void refetchLatest(), cacheFollowsMs)
    return () => window.clearTimeout(timer)
  }, [connected, refetchLatest])
  useEffect(() => {
    if (store !== undefined && latest.data !== undefined) store.seed(latest.data.items)
  }, [store, latest.data])

  if (store === undefined || latest.isPending) return <LoadingScreen />
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  return (
    <LiveView
      store={store}
      stream={stream}
      streams={streams}
      fields={shown}
      charts={charts}
      limits={limits}
      range={range}
      chosen={readNames(search.stations)}
      onRange={(next) => set({ range: next === '15m' ? undefined : next })}
      onChosen={(names) => set({ stations: writeNames(names) })}
      rules={rules.filter((rule) => rule.on === stream.name)}
      problem={latest.isError ? problemText(latest.error, say('error.unreachable')) : undefined}
    />
  )
}

function LiveView(props: {
  store: LiveStore
  stream: StreamShape
  streams: readonly StreamShape[]
  fields: StreamShape['fields']
  charts: StreamShape['fields']
  limits: readonly Limit[]
  range: Range
  chosen: readonly string[]
  onRange: (range: Range) => void
  onChosen: (names: readonly string[]) => void
  rules: readonly RuleShape[]
  problem: string | undefined
}) {
  const { store, stream, fields, charts, limits, range, chosen } = props
  const { say, format } = useWords()
  const snapshot = useSyncExternalStore(store.subscribe, store.snapshot)
  const connection = useSyncExternalStore(hub.onState, hub.state)
  const [paused, setPaused] = useState(false)
  const system = useQuery(systemQuery).data

  // The stations are read once a snapshot: a render for another reason must not move a paused screen.
  const all = useMemo(() => {
    return snapshot.stations
      .map((station): TileFacts => {
        const ageMs = store.age(station, snapshot.at)
        return {
          key: station.key,
          state: tileState(station.values, limits, ageMs, station.intervalMs),
          ageMs,
          values: fields.map((field) => station.values[field.name] ?? null),
        }
      })
      .toSorted((a, b) => format.compare(a.key, b.key))
  }, [store, snapshot, fields, limits, format])
  const colourOf = new Map(all.map((tile, i) => [tile.key, i]))
  const filtered = chosen.length === 0 ? all : all.filter((tile) => chosen.includes(tile.key))
  // Many stations: the ones that need eyes come first, and the rest is a filter away.
  const tiles = filtered.length <= mostTiles ? filtered : filtered.toSorted((a, b) => urgency[a.state] - urgency[b.state]).slice(0, mostTiles)
  const over = all.filter((tile) => tile.state === 'over').length
  const near = all.filter((tile) => tile.state === 'near').length
  const stale = all.filter((tile) => tile.state === 'stale').length
  const rate = store.perSecond ?? stream.perSecond
  const delay = store.delayMs()

  const headline =
    all.length === 0
      ? say('live.title.waiting', { stream: stream.name })
      : over > 0
        ? say('live.title.over', { n: over })
        : stale === all.length
          ? say('live.title.silent')
          : near > 0
            ? say('live.title.near', { n: near })
            : stale > 0
              ? say('live.title.stale', { n: stale })
              : say('live.title.ok', { n: all.length })

  const toggle = (): void => {
    store.pause(!paused)
    setPaused(!paused)
  }

  return (
    <>
      <PageHead
        title={headline}
        tags={<span className="quiet">{stream.description ?? system?.title}</span>}
        sub={
          <div className="facts-line">
            <span className="facts-line" style={{ gap: 6 }}>
              <Mark tone={paused ? 'off' : connection.is === 'open' ? 'ok' : 'bad'} />
              {say(paused ? 'live.paused' : connection.is === 'open' ? 'live.streaming' : 'live.reconnecting')}
            </span>
            {connection.is === 'open' && <span>{say('live.rate', { n: format.rate(rate) })}</span>}
            {connection.is === 'open' && delay !== undefined && <span title={say('live.delay.what')}>{say('live.delay', { span: format.span(delay) })}</span>}
            {all.length > 0 && <span>{say('live.reporting', { n: all.length - stale, of: all.length })}</span>}
          </div>
        }
        actions={
          <>
            {props.streams.length > 1 && (
              <div className="stream-links">
                <StreamMenu current={stream.name} streams={props.streams} />
              </div>
            )}
            <Choice
              label={say('live.range')}
              value={range}
              onChange={props.onRange}
              options={ranges.map((value) => ({ value, label: say(`live.range.${value}`) }))}
            />
            <Button leftSection={paused ? <Play aria-hidden /> : <Pause aria-hidden />} onClick={toggle} aria-pressed={paused}>
              {say(paused ? 'live.resume' : 'live.pause')}
            </Button>
            <StationFilter keys={all.map((tile) => tile.key)} chosen={chosen} onChosen={props.onChosen} />
          </>
        }
      />
      {props.problem !== undefined && <InlineProblem title={say('live.latestFailed')} hint={props.problem} />}
      {all.length === 0 ? (
        <div className="panel" style={{ marginBottom: 14 }}>
          <Empty title={say('live.empty.title')}>{say('live.empty.text', { stream: stream.name })}</Empty>
        </div>
      ) : (
        <Tiles tiles={tiles} fields={fields} limits={limits} />
      )}
      {filtered.length > tiles.length && <p className="quiet small more-tiles">{say('live.moreTiles', { shown: tiles.length, all: filtered.length })}</p>}
      <div className="live-columns">
        <div className="live-charts">
          {store.problem !== undefined && (
            <InlineProblem
              title={say('live.seriesFailed')}
              hint={problemText(store.problem, say('error.unreachable'))}
              action={
                <Button size="xs" onClick={() => void store.load()}>
                  {say('action.retry')}
                </Button>
              }
            />
          )}
          {charts.map((field) => (
            <FieldChart
              key={field.name}
              store={store}
              field={field}
              lines={linesFor(field.name, filtered, fields, limits, colourOf)}
              limits={limits.filter((limit) => limit.field === field.name)}
              rangeLabel={say(`live.range.${range}`)}
              only={chosen.length === 1 ? chosen[0] : undefined}
              onOnly={(key) => props.onChosen(key === undefined ? [] : [key])}
            />
          ))}
          {charts.length === 0 && (
            <div className="panel">
              <Empty title={say('live.noNumbers.title')}>{say('live.noNumbers.text')}</Empty>
            </div>
          )}
        </div>
        <Feed stream={stream.name} rules={props.rules} />
      </div>
    </>
  )
}

/** At most twelve lines: all when they fit, else those nearest their limits first. Thick where the value is over. */
function linesFor(
  field: string,
  tiles: readonly TileFacts[],
  fields: StreamShape['fields'],
  limits: readonly Limit[],
  colourOf: ReadonlyMap<string, number>,
): Line[] {
  const at = fields.findIndex((each) => each.name === field)
  const own = limits.filter((limit) => limit.field === field)
  const lines = tiles.map((tile) => {
    const value = tile.values[at] ?? null
    const state = value === null || tile.state === 'stale' ? 'ok' : valueState(value, own)
    return { key: tile.key, colour: colourOf.get(tile.key) ?? 0, loud: state === 'over', order: urgency[state] }
  })
  const kept = lines.length <= mostLines ? lines : lines.toSorted((a, b) => a.order - b.order || a.colour - b.colour).slice(0, mostLines)
  return kept.toSorted((a, b) => a.colour - b.colour).map(({ key, colour, loud }) => ({ key, colour, loud }))
}

function StreamMenu({ current, streams }: { current: string; streams: readonly StreamShape[] }) {
  const { say } = useWords()
  const [open, setOpen] = useState(false)
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" trapFocus>
      <Popover.Target>
        <Button rightSection={<ChevronDown aria-hidden />} onClick={() => setOpen(!open)} aria-expanded={open}>
          <span className="unseen">{say('live.stream')}: </span>
          {current}
        </Button>
      </Popover.Target>
      <Popover.Dropdown p={6}>
        <ul className="picker">
          {streams.map((stream) => (
            <li key={stream.name}>
              <Link to="/live" search={{ stream: stream.name }} aria-current={stream.name === current ? 'true' : undefined}>
                <b>{stream.name}</b>
                <span className="quiet small">{stream.description}</span>
              </Link>
            </li>
          ))}
        </ul>
      </Popover.Dropdown>
    </Popover>
  )
}

function StationFilter({ keys, chosen, onChosen }: { keys: readonly string[]; chosen: readonly string[]; onChosen: (names: readonly string[]) => void }) {
  const { say } = useWords()
  const [open, setOpen] = useState(false)
  const [text, setText] = useState('')
  const found = keys.filter((key) => key.toLowerCase().includes(text.toLowerCase())).slice(0, 200)
  return (
    <Popover opened={open} onChange={setOpen} position="bottom-end" width={230} trapFocus>
      <Popover.Target>
        <Button rightSection={<ChevronDown aria-hidden />} onClick={() => setOpen(!open)} aria-expanded={open} disabled={keys.length === 0}>
          {chosen.length === 0 ? say('live.stations.all') : say('live.stations.some', { n: chosen.length })}
        </Button>
      </Popover.Target>
      <Popover.Dropdown p={8}>
        {keys.length > 8 && <Find label={say('live.stations.find')} value={text} onChange={setText} />}
        <div className="stations-menu" role="group" aria-label={say('live.stations')} tabIndex={-1}>
          {found.map((key) => (
            <Checkbox
              key={key}
              size="xs"
              label={key}
              checked={chosen.includes(key)}
              onChange={(event) => onChosen(event.currentTarget.checked ? [...chosen, key] : chosen.filter((each) => each !== key))}
            />
          ))}
        </div>
        {chosen.length > 0 && (
          <Button size="xs" fullWidth mt={8} onClick={() => onChosen([])}>
            {say('live.stations.clear')}
          </Button>
        )}
      </Popover.Dropdown>
    </Popover>
  )
}

function Feed({ stream, rules }: { stream: string; rules: readonly RuleShape[] }) {
  const { say, format } = useWords()
  const now = useNow()
  const alerts = useQuery(recentAlertsQuery({}, 50))
  const names = new Set(rules.map((rule) => rule.name))
  const items = alerts.data?.items.filter((alert) => names.has(alert.rule)) ?? []
  const ordered = [...items.filter((alert) => alert.state === 'firing'), ...items.filter((alert) => alert.state !== 'firing')]
  const firing = items.filter((alert) => alert.state === 'firing').length
  const targets = [...new Set(rules.flatMap((rule) => rule.to))]
  return (
    <Panel
      className="feed"
      title={say('page.alerts')}
      tag={firing > 0 ? <Tag kind="bad">{say('live.firing', { n: firing })}</Tag> : undefined}
      right={
        <Link to="/alerts" search={{ tab: 'rules' }} className="link">
          {say('live.rules')}
        </Link>
      }
    >
      {alerts.isPending ? (
        <LoadingRows />
      ) : alerts.isError ? (
        <Failure error={alerts.error} onRetry={() => void alerts.refetch()} />
      ) : ordered.length === 0 ? (
        <Empty title={say(rules.length === 0 ? 'live.feed.noRules' : 'live.feed.none')}>
          {say(rules.length === 0 ? 'live.feed.noRules.text' : 'live.feed.none.text', { stream })}
        </Empty>
      ) : (
        <ul tabIndex={0} aria-label={say('page.alerts')}>
          {ordered.map((alert) => (
            <AlertRow key={alert.id} alert={alert} now={now} />
          ))}
        </ul>
      )}
      {targets.length > 0 && (
        <footer>
          {say('live.deliveredTo')} <span className="mono">{format.list(targets)}</span>
        </footer>
      )}
    </Panel>
  )
}
