/** Everything that runs and ran: flows, workloads and what else is carried out as a run, newest first. */
import '../../ui/runs/runs.css'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { flowsQuery, runPagesQuery } from '../../api/index.ts'
import { runKinds } from '../../app/search.ts'
import { named, NoMatch, Pick } from '../../ui/filters.tsx'
import { Choice, PageHead } from '../../ui/parts.tsx'
import { runStates } from '../../ui/runs/states.ts'
import { RunsTable } from '../../ui/runs/table.tsx'
import { Empty, Listed, More } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'

const route = getRouteApi('/runs')

export function RunsScreen() {
  const { say, format } = useWords()
  const search = route.useSearch()
  const { state, kind, flow, backfill } = search
  const navigate = route.useNavigate()
  const flows = useQuery(flowsQuery).data?.items ?? []
  const pages = useInfiniteQuery(runPagesQuery({ state, kind, flow, backfill }))
  const goingOn = useInfiniteQuery(runPagesQuery({ state: 'running' })).data?.pages
  const items = pages.data?.pages.flatMap((page) => page.items) ?? []
  const running = goingOn?.flatMap((page) => page.items).length
  const isFiltered = [state, kind, flow, backfill].some((each) => each !== undefined)
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  return (
    <>
      <PageHead
        title={
          running === undefined
            ? say('page.runs')
            : running === 0
              ? say('runs.title.none')
              : say('runs.title', { n: running, count: `${format.number(running)}${(goingOn?.at(-1)?.cursor ?? '') === '' ? '' : '+'}` })
        }
        sub={say('runs.sub')}
      />
      <section className="panel" aria-label={say('page.runs')}>
        <div className="panel-head list-filters">
          <Choice
            label={say('runs.column.state')}
            value={state ?? 'all'}
            options={[{ value: 'all', label: say('runs.state.all') }, ...runStates.map((each) => ({ value: each, label: say(`run.state.${each}`) }))]}
            onChange={(next) => set({ state: next === 'all' ? undefined : next })}
          />
          <Pick<string>
            label={say('runs.kind')}
            all={say('runs.kind.all')}
            value={kind}
            options={runKinds.map((each) => ({ value: each, label: say(`runs.kind.${each}`) }))}
            onChange={(next) => set({ kind: next })}
          />
          <Pick
            label={say('runs.column.flow')}
            all={say('runs.flow.all')}
            value={flow}
            options={named(flows.map(({ name }) => name))}
            onChange={(next) => set({ flow: next })}
          />
          {backfill !== undefined && (
            <button type="button" className="action-link" onClick={() => set({ backfill: undefined })}>
              {say('runs.backfill.clear')}
            </button>
          )}
        </div>
        <Listed
          pages={pages}
          count={items.length}
          empty={isFiltered ? <NoMatch title={say('runs.noMatch')} to="/runs" /> : <Empty title={say('runs.none.title')}>{say('runs.none.text')}</Empty>}
        >
          <RunsTable runs={items} label={say('page.runs')} />
        </Listed>
        <More pages={pages} label={say('runs.more')} />
      </section>
    </>
  )
}
