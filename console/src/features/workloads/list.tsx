/** Batches that were asked for and kept: what each is, how its last run went, and a form for a new one. */
import './workloads.css'
import { Button } from '@mantine/core'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Plus } from 'lucide-react'
import { useState } from 'react'
import { type WorkloadShape, workloadKindsQuery, workloadPagesQuery } from '../../api/index.ts'
import { Find, named, NoMatch, Pick } from '../../ui/filters.tsx'
import { useNow } from '../../ui/now.ts'
import { PageHead } from '../../ui/parts.tsx'
import { RunStateMark, RunTime } from '../../ui/runs/marks.tsx'
import { Empty, Failure, Listed, More } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { WorkloadDialog } from './edit.tsx'

const route = getRouteApi('/workloads')

export function WorkloadsScreen() {
  const { say } = useWords()
  const search = route.useSearch()
  const { kind, name } = search
  const navigate = route.useNavigate()
  const [creating, setCreating] = useState(false)
  const kinds = useQuery(workloadKindsQuery)
  const pages = useInfiniteQuery(workloadPagesQuery({ kind, name }))
  const items = pages.data?.pages.flatMap((page) => page.items) ?? []
  const isFiltered = kind !== undefined || name !== undefined
  const failed = items.filter(({ lastRun }) => lastRun?.state === 'failed').length
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  return (
    <>
      <PageHead
        title={
          pages.data === undefined || isFiltered
            ? say('page.workloads')
            : items.length === 0
              ? say('workloads.title.none')
              : failed > 0
                ? say('workloads.title.failed', { n: failed })
                : say('workloads.title.well')
        }
        sub={say('workloads.sub')}
        actions={
          <Button variant="filled" leftSection={<Plus aria-hidden />} onClick={() => setCreating(true)}>
            {say('workloads.new')}
          </Button>
        }
      />
      <section className="panel" aria-label={say('page.workloads')}>
        <div className="panel-head list-filters">
          <Find label={say('workloads.find')} value={name} onChange={(value) => set({ name: value || undefined })} />
          <Pick
            label={say('workloads.column.kind')}
            all={say('workloads.kind.all')}
            value={kind}
            options={named(kinds.data?.items.map((each) => each.kind) ?? [])}
            onChange={(next) => set({ kind: next })}
          />
        </div>
        <Listed
          pages={pages}
          count={items.length}
          empty={
            isFiltered ? (
              <NoMatch title={say('workloads.noMatch')} to="/workloads" />
            ) : (
              <Empty title={say('workloads.none.title')}>{say('workloads.none.text')}</Empty>
            )
          }
        >
          <div className="scroll-x" tabIndex={0} role="group" aria-label={say('page.workloads')}>
            <table className="list-table workload-list cards">
              <thead>
                <tr>
                  <th scope="col">{say('workloads.column.name')}</th>
                  <th scope="col">{say('workloads.column.kind')}</th>
                  <th scope="col">{say('workloads.column.lastRun')}</th>
                  <th scope="col" className="num">
                    {say('runs.column.duration')}
                  </th>
                  <th scope="col">{say('workloads.column.created')}</th>
                  <th scope="col">{say('workloads.column.error')}</th>
                </tr>
              </thead>
              <tbody>
                {items.map((workload) => (
                  <Row key={workload.id} workload={workload} />
                ))}
              </tbody>
            </table>
          </div>
        </Listed>
        <More pages={pages} label={say('workloads.more')} />
      </section>
      {creating && kinds.data !== undefined && <WorkloadDialog kinds={kinds.data.items} workload={undefined} onClose={() => setCreating(false)} />}
      {creating && kinds.isError && <Failure error={kinds.error} onRetry={() => void kinds.refetch()} />}
    </>
  )
}

function Row({ workload: { id, name, kind, createdAt, lastRun } }: { workload: WorkloadShape }) {
  const { say, format } = useWords()
  const now = useNow(10_000)
  return (
    <tr>
      <td>
        <Link to="/workloads/$id" params={{ id }} className="link">
          {name}
        </Link>
      </td>
      <td>{kind}</td>
      <td>{lastRun === null ? <span className="quiet">{say('workloads.waiting')}</span> : <RunStateMark state={lastRun.state} />}</td>
      <td className="num">{lastRun === null ? '–' : <RunTime run={lastRun} />}</td>
      <td title={format.dateTime(createdAt)}>{format.ago(createdAt, now)}</td>
      <td className={lastRun?.error === null || lastRun === null ? 'empty' : undefined}>
        {lastRun?.error !== null && lastRun?.error !== undefined ? (
          <span className="cut workload-error" title={lastRun.error.message}>
            {lastRun.error.message}
          </span>
        ) : (
          '–'
        )}
      </td>
    </tr>
  )
}
