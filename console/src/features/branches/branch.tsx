/** One branch: what it changed in each of its tables, and its end, merged or dropped. */
import './branches.css'
import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { GitMerge, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { branchDiffQuery, branchQuery, type BranchShape } from '../../api/index.ts'
import { useNow } from '../../ui/now.ts'
import { PageHead, Panel, Tag } from '../../ui/parts.tsx'
import { Empty, FailedScreen, Failure, LoadingRows, LoadingScreen } from '../../ui/states.tsx'
import { type Say, useWords } from '../../ui/words/index.tsx'
import { isUntouched } from './changes.ts'
import { DiffGrid } from './diff-grid.tsx'
import { DropBranch, MergeBranch } from './end.tsx'

const route = getRouteApi('/lake/branches/$branch')

export function BranchScreen() {
  const { branch: name } = route.useParams()
  const branch = useQuery(branchQuery(name))
  if (branch.data === undefined) return branch.isError ? <FailedScreen error={branch.error} onRetry={() => void branch.refetch()} /> : <LoadingScreen />
  return <BranchPage key={name} branch={branch.data} />
}

function BranchPage({ branch }: { branch: BranchShape }) {
  const { say, format } = useWords()
  const { name, tables } = branch
  const search = route.useSearch()
  const now = useNow(10_000)
  const [ending, setEnding] = useState<'merge' | 'drop'>()
  const table = tables.find((each) => each.table === search.table)?.table ?? tables[0]?.table ?? ''
  const diff = useQuery({ ...branchDiffQuery(name, table), enabled: table !== '' && ending === undefined })
  return (
    <>
      <PageHead
        title={titleOf(name, table, diff.data, say)}
        tags={<Tag kind="plain">{name}</Tag>}
        sub={say('branch.sub', { n: tables.length, ago: format.ago(branch.createdAt, now) })}
        actions={
          <>
            <Button leftSection={<Trash2 aria-hidden />} onClick={() => setEnding('drop')}>
              {say('branch.drop')}
            </Button>
            <Button variant="filled" leftSection={<GitMerge aria-hidden />} onClick={() => setEnding('merge')}>
              {say('branch.merge')}
            </Button>
          </>
        }
      />
      <div className="branch-columns">
        <section className="panel diff" aria-label={say('branch.diff', { table })}>
          <div className="panel-head">
            <h2>{table}</h2>
            {diff.data !== undefined && (
              <ul className="diff-counts">
                {(['added', 'changed', 'removed'] as const).map((change) => (
                  <li key={change} className={diff.data[change] === 0 ? 'none' : change}>
                    {say(`branch.${change}`, { n: diff.data[change], rows: format.number(diff.data[change]) })}
                  </li>
                ))}
              </ul>
            )}
          </div>
          {table === '' ? (
            <Empty title={say('branches.empty.title')} />
          ) : diff.isPending ? (
            <LoadingRows rows={12} />
          ) : diff.isError ? (
            <Failure error={diff.error} onRetry={() => void diff.refetch()} />
          ) : (
            <>
              {diff.data.newest !== diff.data.base && (
                <p className="diff-note">{say('branch.movedOn', { base: format.number(diff.data.base), newest: format.number(diff.data.newest) })}</p>
              )}
              {isUntouched(diff.data) ? (
                <Empty title={say('branch.same.title')}>{say('branch.same.text', { name, table })}</Empty>
              ) : (
                <DiffGrid diff={diff.data} />
              )}
            </>
          )}
        </section>
        <Panel title={say('branch.tables')}>
          <ul className="branch-tables">
            {tables.map((each) => (
              <li key={each.table}>
                <Link
                  to="/lake/branches/$branch"
                  params={{ branch: name }}
                  search={{ table: each.table }}
                  aria-current={each.table === table ? 'true' : undefined}
                  replace
                >
                  <b>{each.table}</b>
                  <span className="quiet small">{say('branch.forkedAt', { version: format.number(each.version) })}</span>
                </Link>
              </li>
            ))}
          </ul>
          <p className="branch-how quiet small">
            <Link to="/lake/$name" params={{ name: table }} className="link">
              {say('branch.openTable')}
            </Link>
          </p>
        </Panel>
      </div>
      {ending === 'merge' && <MergeBranch name={name} onClose={() => setEnding(undefined)} />}
      {ending === 'drop' && <DropBranch name={name} tables={tables.length} onClose={() => setEnding(undefined)} />}
    </>
  )
}

function titleOf(name: string, table: string, diff: Parameters<typeof isUntouched>[0] | undefined, say: Say): string {
  if (diff === undefined) return say('branch.title', { name })
  const rows = diff.added + diff.removed + diff.changed
  if (rows > 0) return say('branch.title.rows', { table, n: rows })
  return isUntouched(diff) ? say('branch.title.same', { table }) : say('branch.title.columns', { table })
}
