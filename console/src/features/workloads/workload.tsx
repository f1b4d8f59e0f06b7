/** One workload: what it takes, what its last good run yielded, its runs, and what can be done with it. */
import './workloads.css'
import { Button, Tabs } from '@mantine/core'
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { Ban, Pencil, Play, Trash2 } from 'lucide-react'
import { useState } from 'react'
import {
  ApiError,
  post,
  postOnce,
  remove,
  type RunShape,
  workloadKindsQuery,
  workloadPath,
  workloadQuery,
  workloadRunsQuery,
  type WorkloadShape,
} from '../../api/index.ts'
import { useOnce } from '../../api/once.ts'
import { type WorkloadTab, workloadTabs } from '../../app/search.ts'
import { Confirm } from '../../ui/confirm.tsx'
import { JsonBlock } from '../../ui/json.tsx'
import { useNow } from '../../ui/now.ts'
import { Fact, PageHead, Panel, Tag } from '../../ui/parts.tsx'
import { RunLink, RunStateTag, RunTime } from '../../ui/runs/marks.tsx'
import { RunsTable } from '../../ui/runs/table.tsx'
import { Empty, FailedScreen, Failure, InlineProblem, LoadingRows, LoadingScreen, More, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { WorkloadDialog } from './edit.tsx'
import { Results } from './results.tsx'

const route = getRouteApi('/workloads/$id')

export function WorkloadScreen() {
  const { id } = route.useParams()
  const workload = useQuery(workloadQuery(id))
  if (workload.data === undefined) return workload.isError ? <FailedScreen error={workload.error} onRetry={() => void workload.refetch()} /> : <LoadingScreen />
  return <WorkloadPage key={id} workload={workload.data} />
}

function WorkloadPage({ workload }: { workload: WorkloadShape }) {
  const { say, format } = useWords()
  const { tab = 'results' } = route.useSearch()
  const navigate = route.useNavigate()
  const now = useNow(10_000)
  const { id, name, kind, params, version, createdAt, updatedAt, lastRun } = workload
  const runs = useInfiniteQuery(workloadRunsQuery(id))
  const items = runs.data?.pages.flatMap((page) => page.items) ?? []
  const good = items.find(({ state }) => state === 'succeeded')
  return (
    <>
      <PageHead
        title={name}
        tags={
          <>
            <Tag kind="plain">{kind}</Tag>
            {lastRun !== null && <RunStateTag state={lastRun.state} paused={false} />}
          </>
        }
        sub={say('workload.sub', { created: format.dateTime(createdAt) })}
        actions={<Acts workload={workload} />}
      />
      {lastRun?.error !== null && lastRun?.error !== undefined && <InlineProblem title={lastRun.error.message} hint={lastRun.error.hint} />}
      <dl className="facts">
        {lastRun !== null && (
          <Fact label={say('workloads.column.lastRun')}>
            <RunLink id={lastRun.id} /> <span className="quiet">{format.ago(lastRun.createdAt, now)}</span>
          </Fact>
        )}
        {lastRun !== null && (
          <Fact label={say('runs.column.duration')}>
            <RunTime run={lastRun} />
          </Fact>
        )}
        <Fact label={say('workload.version')}>{format.number(version)}</Fact>
        {updatedAt !== createdAt && <Fact label={say('workload.updated')}>{format.dateTime(updatedAt)}</Fact>}
        <Fact label={say('run.id')}>
          <span className="mono">{id}</span>
        </Fact>
      </dl>
      <Tabs
        value={tab}
        onChange={(next) => {
          const chosen = workloadTabs.find((each) => each === next)
          if (chosen !== undefined) void navigate({ search: chosen === 'results' ? {} : { tab: chosen }, replace: true })
        }}
        keepMounted={false}
        className="table-tabs"
      >
        <Tabs.List aria-label={name}>
          {workloadTabs.map((each: WorkloadTab) => (
            <Tabs.Tab key={each} value={each}>
              {say(`workload.tab.${each}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="results">
          {good !== undefined ? (
            <Results workload={workload} run={good} isOld={good.id !== lastRun?.id} />
          ) : runs.isPending ? (
            <Panel>
              <LoadingRows />
            </Panel>
          ) : (
            <Panel>
              <Empty title={say(lastRun?.state === 'failed' ? 'results.none.failed' : 'results.none.title')}>{say('results.none.text')}</Empty>
            </Panel>
          )}
        </Tabs.Panel>
        <Tabs.Panel value="runs">
          <Panel>
            {runs.isPending ? (
              <LoadingRows />
            ) : runs.isError && runs.data === undefined ? (
              <Failure error={runs.error} onRetry={() => void runs.refetch()} />
            ) : items.length === 0 ? (
              <Empty title={say('runs.none.title')}>{say('workloads.waiting')}</Empty>
            ) : (
              <RunsTable runs={items} label={say('page.runs')} flow={false} />
            )}
            <More pages={runs} label={say('runs.more')} />
          </Panel>
        </Tabs.Panel>
        <Tabs.Panel value="params">
          <Panel title={say('workload.tab.params')}>
            <JsonBlock title={kind} value={params} />
          </Panel>
        </Tabs.Panel>
      </Tabs>
    </>
  )
}

function Acts({ workload }: { workload: WorkloadShape }) {
  const { say } = useWords()
  const client = useQueryClient()
  const navigate = useNavigate()
  const kinds = useQuery(workloadKindsQuery).data?.items
  const keyOf = useOnce()
  const [asking, setAsking] = useState<'edit' | 'cancel' | 'delete'>()
  // Each press is another run; a press that is sent twice is one.
  const [presses, setPresses] = useState(0)
  const { id, name, version, lastRun } = workload
  const path = workloadPath(id)
  const renew = (): void => {
    void client.invalidateQueries({ queryKey: ['workloads'] })
    void client.invalidateQueries({ queryKey: ['runs'] })
  }
  const run = useMutation({
    mutationFn: () => postOnce<RunShape>(`${path}/runs`, {}, keyOf({ id, presses })),
    onSuccess: () => {
      setPresses((n) => n + 1)
      toast('ok', say('workload.started', { name }))
      renew()
    },
    onError: (error) => toast('bad', problemText(error, say('error.unreachable')), error instanceof ApiError ? error.hint : undefined),
  })
  const goesOn = lastRun !== null && lastRun.endedAt === null
  return (
    <>
      {kinds !== undefined && (
        <Button leftSection={<Pencil aria-hidden />} onClick={() => setAsking('edit')}>
          {say('workload.edit')}
        </Button>
      )}
      <Button leftSection={<Trash2 aria-hidden />} onClick={() => setAsking('delete')}>
        {say('workload.delete')}
      </Button>
      {goesOn ? (
        <Button leftSection={<Ban aria-hidden />} onClick={() => setAsking('cancel')}>
          {say('run.cancel')}
        </Button>
      ) : (
        <Button variant="filled" leftSection={<Play aria-hidden />} loading={run.isPending} onClick={() => run.mutate()}>
          {say('workload.run')}
        </Button>
      )}
      {asking === 'edit' && kinds !== undefined && <WorkloadDialog kinds={kinds} workload={workload} onClose={() => setAsking(undefined)} />}
      {asking === 'cancel' && (
        <Confirm
          title={say('workload.cancel.title', { name })}
          action={say('run.cancel')}
          danger
          run={() => post(`${path}/cancel`)}
          onDone={() => {
            toast('ok', say('run.cancelled'))
            renew()
          }}
          onClose={() => setAsking(undefined)}
        >
          {say('workload.cancel.text')}
        </Confirm>
      )}
      {asking === 'delete' && (
        <Confirm
          title={say('workload.delete.title', { name })}
          action={say('workload.delete')}
          danger
          run={() => remove(path, version)}
          onDone={() => {
            toast('ok', say('workload.deleted', { name }))
            void navigate({ to: '/workloads' }).then(() => {
              client.removeQueries({ queryKey: ['workloads', id] })
              renew()
            })
          }}
          onClose={() => setAsking(undefined)}
        >
          {say('workload.delete.text')}
        </Confirm>
      )}
    </>
  )
}
