/** Of what an asset or a column is made, what is made of it, and what would break without it. All of it is in the address. */
import './lineage.css'
import { useMediaQuery } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useEffect, useMemo, useRef, useState } from 'react'
import { impactQuery, type LineageShape, lineageQuery } from '../../api/index.ts'
import { defaultDepth, depths, directions, type LineageSearch, readNames, writeNames } from '../../app/search.ts'
import { placeName, tierOf } from '../../ui/assets.ts'
import { Layouts } from '../../ui/graph/layout.ts'
import { Choice, PageHead, Tag } from '../../ui/parts.tsx'
import { FailedScreen, InlineProblem, LoadingScreen, problemText } from '../../ui/states.tsx'
import { type Say, useWords } from '../../ui/words/index.tsx'
import { Browse } from './browse.tsx'
import { drawing, reach } from './drawing.ts'
import { Find } from './find.tsx'
import { Graph } from './graph.tsx'
import { Inspector } from './inspector.tsx'
import { LineageList } from './list.tsx'
import { worstOf } from './sentences.ts'

const route = getRouteApi('/lineage')
/** A graph of more assets than this is shown without its columns at first. */
const mostWithColumns = 30

export function LineageScreen() {
  const { asset } = route.useSearch()
  return asset === undefined ? <Browse /> : <GraphPage asset={asset} />
}

function GraphPage({ asset }: { asset: string }) {
  const { say } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const { of = asset, direction = 'both', depth = defaultDepth, open, panel } = search
  const narrow = useMediaQuery('(max-width: 767px)', undefined, { getInitialValueInEffect: false })
  const view = search.view ?? (narrow ? 'list' : 'graph')
  const [layouts] = useState(() => new Layouts())
  useEffect(() => {
    if (view === 'graph') layouts.warm()
    return () => layouts.close()
  }, [layouts, view])
  const inspector = useRef<HTMLDivElement>(null)

  const graph = useQuery(lineageQuery({ asset }, direction, depth))
  const trace = useQuery({ ...lineageQuery({ asset: of, column: search.column }, 'both', 100), enabled: search.column !== undefined })
  // A column that is not there is said, and nothing is traced.
  const column = trace.isError ? undefined : search.column
  const impact = useQuery({ ...impactQuery({ asset: of, column }), enabled: panel === 'impact' })
  const traced = column === undefined ? undefined : trace.data
  const show = search.show ?? ((graph.data?.nodes.length ?? 0) > mostWithColumns ? 'assets' : 'columns')
  const effects = useMemo(() => (panel === 'impact' && impact.data !== undefined ? worstOf(impact.data.items) : undefined), [panel, impact.data])
  const plan = useMemo(
    () =>
      graph.data === undefined
        ? undefined
        : drawing(graph.data, {
            columns: show === 'columns',
            open: new Set(readNames(open)),
            chosen: column === undefined ? undefined : { asset: of, column },
            trace: traced,
          }),
    [graph.data, show, open, column, of, traced],
  )

  const set = (change: Partial<LineageSearch>, replace = true): void => void navigate({ search: (old) => ({ ...old, ...change }), replace })
  const reveal = (): void => {
    if (narrow) inspector.current?.scrollIntoView({ block: 'start' })
  }
  const onInspect = (id: string): void => {
    set({ of: id === start ? undefined : id, column: undefined }, false)
    reveal()
  }
  const onTrace = (id: string, name: string | undefined): void =>
    set({ of: id === start ? undefined : id, column: id === of && name === column ? undefined : name }, false)
  const onStart = (id: string, name: string | undefined): void =>
    set({ asset: id, of: undefined, column: name, open: undefined, q: undefined, kind: undefined }, false)
  const onOpen = (id: string): void => {
    const names = readNames(open)
    set({ open: writeNames(names.includes(id) ? names.filter((each) => each !== id) : [...names, id]) })
  }

  if (graph.data === undefined || plan === undefined)
    return graph.isError ? (
      <>
        <FailedScreen error={graph.error} onRetry={() => void graph.refetch()} />
        <p className="after-failure">
          <Link to="/lineage" className="link">
            {say('lineage.allAssets')}
          </Link>
        </p>
      </>
    ) : (
      <LoadingScreen />
    )

  // The address may name an asset by its name alone; the answer says which one it is.
  const start = graph.data.start.asset
  const inspected = of === asset ? start : of
  const tier = tierOf(start)
  const notDrawn = view === 'graph' ? plan.left : 0
  const cut = graph.data.truncated && depth >= 100
  const counts = traced === undefined ? undefined : reach(traced, new Set(graph.data.nodes.map(({ id }) => id)))
  return (
    <>
      <PageHead
        title={titleOf(graph.data, direction, say)}
        tags={tier !== undefined && <Tag kind={tier}>{say(`tier.${tier}`)}</Tag>}
        sub={graph.data.nodes.find(({ id }) => id === start)?.description}
        actions={<Find onChoose={({ asset: id, column: name }) => onStart(id, name)} />}
      />
      <div className="lineage-columns">
        <section className="panel drawing" aria-label={say('page.lineage')}>
          <div className="panel-head drawing-head">
            <Choice
              label={say('lineage.view')}
              value={view}
              options={[
                { value: 'graph', label: say('lineage.view.graph') },
                { value: 'list', label: say('lineage.view.list') },
              ]}
              onChange={(next) => set({ view: next })}
            />
            {view === 'graph' && (
              <Choice
                label={say('lineage.show')}
                value={show}
                options={[
                  { value: 'columns', label: say('lineage.show.columns') },
                  { value: 'assets', label: say('lineage.show.assets') },
                ]}
                onChange={(next) => set({ show: next, open: undefined })}
              />
            )}
            <Choice
              label={say('lineage.direction')}
              value={direction}
              options={directions.map((value) => ({ value, label: say(`lineage.direction.${value}`) }))}
              onChange={(next) => set({ direction: next === 'both' ? undefined : next })}
            />
            <label className="depth">
              {say('lineage.depth')}
              <select value={depth} onChange={(event) => set({ depth: Number(event.currentTarget.value) })}>
                {[...new Set([...depths, depth])]
                  .toSorted((a, b) => a - b)
                  .map((each) => (
                    <option key={each} value={each}>
                      {each === 100 ? say('lineage.depth.all') : each}
                    </option>
                  ))}
              </select>
            </label>
            {graph.data.truncated && depth < 100 && (
              <button type="button" className="action-link" onClick={() => set({ depth: Math.min(100, depth + 1) })}>
                {say('lineage.deeper')}
              </button>
            )}
          </div>
          {(counts !== undefined || notDrawn > 0 || cut || (trace.isError && search.column !== undefined)) && (
            <div className="drawing-notes" role="status">
              {trace.isError && search.column !== undefined && (
                <InlineProblem
                  title={problemText(trace.error, say('error.unreachable'))}
                  action={
                    <button type="button" className="action-link" onClick={() => set({ column: undefined })}>
                      {say('lineage.untrace')}
                    </button>
                  }
                />
              )}
              {counts !== undefined && column !== undefined && (
                <Tag kind="run">{say('lineage.tracing', { column: placeName({ asset: inspected, column }), up: counts.up, down: counts.down })}</Tag>
              )}
              {counts !== undefined && counts.outside.length > 0 && (
                <>
                  <span className="quiet small">{say('lineage.outside', { n: counts.outside.length })}</span>
                  {inspected !== start && (
                    <button type="button" className="action-link" onClick={() => onStart(inspected, column)}>
                      {say('lineage.startAt', { name: placeName({ asset: inspected }) })}
                    </button>
                  )}
                </>
              )}
              {notDrawn > 0 && <span className="quiet small">{say('lineage.left', { n: notDrawn })}</span>}
              {cut && <span className="quiet small">{say('lineage.cut')}</span>}
            </div>
          )}
          {view === 'graph' ? (
            <Graph
              drawing={plan}
              layouts={layouts}
              start={start}
              inspected={inspected}
              effects={effects}
              onInspect={onInspect}
              onTrace={onTrace}
              onOpen={onOpen}
            />
          ) : (
            <LineageList graph={graph.data} trace={traced} inspected={inspected} effects={effects} onInspect={onInspect} onTrace={onTrace} />
          )}
        </section>
        <div ref={inspector} className="inspector-place">
          <Inspector
            key={inspected}
            id={inspected}
            column={column}
            trace={traced}
            isStart={inspected === start}
            tab={panel ?? 'about'}
            onTab={(next) => set({ panel: next === 'impact' ? next : undefined })}
            onInspect={onInspect}
            onTrace={onTrace}
            onStart={onStart}
          />
        </div>
      </div>
    </>
  )
}

/** The situation in a sentence: from how many assets it comes, and how many it feeds. */
function titleOf({ start, nodes }: LineageShape, direction: 'up' | 'down' | 'both', say: Say): string {
  const name = placeName({ asset: start.asset })
  const above = nodes.filter(({ distance }) => distance < 0).length
  const below = nodes.filter(({ distance }) => distance > 0).length
  const up = say('lineage.count', { n: above })
  const down = say('lineage.count', { n: below })
  if (direction === 'up') return above === 0 ? say('lineage.title.source', { name }) : say('lineage.title.up', { name, up })
  if (direction === 'down') return below === 0 ? say('lineage.title.end', { name }) : say('lineage.title.down', { name, down })
  if (above === 0 && below === 0) return say('lineage.title.alone', { name })
  if (above === 0) return say('lineage.title.first', { name, down })
  if (below === 0) return say('lineage.title.last', { name, up })
  return say('lineage.title.both', { name, up, down })
}
