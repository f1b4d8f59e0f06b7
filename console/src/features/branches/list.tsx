/** The branches of the lake, and the making of one. */
import './branches.css'
import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { GitBranchPlus } from 'lucide-react'
import { useState } from 'react'
import { branchesQuery } from '../../api/index.ts'
import { useNow } from '../../ui/now.ts'
import { PageHead } from '../../ui/parts.tsx'
import { Empty, FailedScreen, LoadingScreen } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { CreateBranch } from './create.tsx'

export function BranchesScreen() {
  const { say, format } = useWords()
  const branches = useQuery(branchesQuery)
  const [creating, setCreating] = useState(false)
  const now = useNow(10_000)
  if (branches.data === undefined) return branches.isError ? <FailedScreen error={branches.error} onRetry={() => void branches.refetch()} /> : <LoadingScreen />
  const { items } = branches.data
  const create = (
    <Button variant="filled" leftSection={<GitBranchPlus aria-hidden />} onClick={() => setCreating(true)}>
      {say('branches.create')}
    </Button>
  )
  return (
    <>
      <PageHead
        title={items.length === 0 ? say('branches.title.none') : say('branches.title', { n: items.length })}
        sub={say('branches.sub')}
        actions={items.length === 0 ? undefined : create}
      />
      <section className="panel" aria-label={say('page.branches')}>
        {items.length === 0 ? (
          <Empty title={say('branches.empty.title')} actions={create}>
            {say('branches.empty.text')}
          </Empty>
        ) : (
          <ul className="branch-list">
            {items.map((branch) => (
              <li key={branch.name} className="row">
                <div className="what">
                  <Link to="/lake/branches/$branch" params={{ branch: branch.name }} className="branch-name">
                    {branch.name}
                  </Link>
                  <div className="quiet small">{format.list(branch.tables.map(({ table }) => table))}</div>
                </div>
                <div className="right">
                  <time dateTime={new Date(branch.createdAt).toISOString()} title={format.dateTime(branch.createdAt)}>
                    {say('branches.made', { ago: format.ago(branch.createdAt, now) })}
                  </time>
                </div>
              </li>
            ))}
          </ul>
        )}
      </section>
      {creating && <CreateBranch taken={items.map(({ name }) => name)} onClose={() => setCreating(false)} />}
    </>
  )
}
