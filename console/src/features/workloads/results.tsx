/** What a workload yielded, page by page: words with their counts as bars, the output of tasks as JSON, other rows as a table. */
import { Button } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Download } from 'lucide-react'
import { type RunShape, workloadResultsQuery, type WorkloadShape } from '../../api/index.ts'
import { useNow } from '../../ui/now.ts'
import { Panel } from '../../ui/parts.tsx'
import { Empty, Failure, LoadingRows } from '../../ui/states.tsx'
import { type RowColumn, VirtualRows } from '../../ui/virtual-rows.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { columnsOf, csvOf, maxCount, tableNameOf } from './rows.ts'

type Row = { readonly n: number; readonly values: Record<string, unknown> }

export function Results({ workload, run, isOld }: { workload: WorkloadShape; run: RunShape; isOld: boolean }) {
  const { say, format } = useWords()
  const now = useNow(30_000)
  const pages = useInfiniteQuery(workloadResultsQuery(workload.id, run.id))
  const rows = (pages.data?.pages.flatMap((page) => page.items) ?? []).map((values, n): Row => ({ n, values }))
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = pages
  const nearEnd = (top: number): void => {
    if (hasNextPage && !isFetchingNextPage && top > rows.length * 29 - 1_500) void fetchNextPage()
  }
  const table = workload.kind === 'flow' ? undefined : tableNameOf(workload.id)
  return (
    <Panel
      title={say('results.title')}
      className="results"
      right={
        <>
          <span>
            {say('results.of', { ago: format.ago(run.endedAt ?? run.createdAt, now) })}
            {isOld && ` (${say('results.old')})`}
          </span>
          {table !== undefined && (
            <Link to="/sql" search={{ q: `select * exclude (_position)\nfrom ${table}\norder by _position\nlimit 100` }} className="link">
              {say('table.query')}
            </Link>
          )}
          {rows.length > 0 && (
            <Button size="xs" leftSection={<Download aria-hidden />} onClick={() => saveAs(`${workload.name}.csv`, csvOf(rows.map(({ values }) => values)))}>
              {say('results.save')}
            </Button>
          )}
        </>
      }
    >
      {pages.isPending ? (
        <LoadingRows rows={10} />
      ) : pages.isError && pages.data === undefined ? (
        <Failure error={pages.error} onRetry={() => void pages.refetch()} />
      ) : rows.length === 0 ? (
        <Empty title={say('results.empty')} />
      ) : (
        <VirtualRows
          items={rows}
          label={say('results.rows', { name: workload.name })}
          rowKey={({ n }) => String(n)}
          maxHeight="max(320px, calc(100dvh - 340px))"
          least={workload.kind === 'word_count' ? 0 : 560}
          onScroll={nearEnd}
          columns={workload.kind === 'word_count' ? wordColumns(rows, say, format) : anyColumns(rows, say)}
        />
      )}
      {rows.length > 0 && (
        <div className="more results-more">
          <span className="quiet small" role="status">
            {say(hasNextPage ? 'results.shown' : 'results.all', { n: rows.length, count: format.number(rows.length) })}
          </span>
          {hasNextPage && (
            <Button size="xs" loading={isFetchingNextPage} onClick={() => void fetchNextPage()}>
              {say('results.more')}
            </Button>
          )}
        </div>
      )}
    </Panel>
  )
}

type Words = ReturnType<typeof useWords>

/** The bars are beside the largest count, and the number stands beside each. */
function wordColumns(rows: readonly Row[], say: Words['say'], format: Words['format']): RowColumn<Row>[] {
  const most = maxCount(rows.map(({ values }) => values))
  return [
    { id: 'n', title: say('results.rank'), width: 70, num: true, cell: ({ n }) => <span className="quiet">{format.number(n + 1)}</span> },
    { id: 'word', title: say('results.word'), width: 200, cell: ({ values }) => <span title={String(values['word'])}>{String(values['word'])}</span> },
    { id: 'count', title: say('results.count'), width: 96, num: true, cell: ({ values }) => format.number(Number(values['count'])) },
    {
      id: 'bar',
      title: <span className="unseen">{say('results.share')}</span>,
      cell: ({ values }) => (
        <span className="count-bar" aria-hidden>
          <i style={{ width: `${(Number(values['count']) / most) * 100}%` }} />
        </span>
      ),
    },
  ]
}

function anyColumns(rows: readonly Row[], say: Words['say']): RowColumn<Row>[] {
  return columnsOf(rows.map(({ values }) => values)).map((name) => ({
    id: name,
    title: <b>{name}</b>,
    cell: ({ values }) => {
      const value = values[name]
      if (value === null || value === undefined) return <span className="nothing">{say('results.null')}</span>
      const text = typeof value === 'object' ? JSON.stringify(value) : String(value)
      return (
        <span className={typeof value === 'object' ? 'mono' : undefined} title={text.slice(0, 1_000)}>
          {text.slice(0, 300)}
        </span>
      )
    },
  }))
}

function saveAs(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/csv' }))
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  URL.revokeObjectURL(address)
}
