import './lake.css'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowDown, ArrowUp, GitBranch } from 'lucide-react'
import { type TableSummary, tablesQuery } from '../../api/index.ts'
import { type Sort, tiers } from '../../app/search.ts'
import { Find, NoMatch } from '../../ui/filters.tsx'
import { useNow } from '../../ui/now.ts'
import { Choice, Mark, PageHead, Tag } from '../../ui/parts.tsx'
import { Empty, FailedScreen, LoadingScreen } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Fresh } from './fresh.tsx'
import { freshness, shownTables } from './order.ts'

const route = getRouteApi('/lake')

export function LakeScreen() {
  const { say, format } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const tables = useQuery(tablesQuery)
  const now = useNow()
  if (tables.data === undefined) return tables.isError ? <FailedScreen error={tables.error} onRetry={() => void tables.refetch()} /> : <LoadingScreen />

  const all = tables.data.items
  const byName = new Map(all.map((table) => [table.name, table]))
  const shown = shownTables(all, search, format.compare)
  const failed = all.filter((table) => table.refresh.state === 'failed').length
  const failing = all.reduce((sum, table) => sum + table.checks.failed, 0)
  const stale = all.filter((table) => freshness(table, byName) === 'stale').length
  const behind = all.filter((table) => freshness(table, byName) === 'behind').length
  const title =
    all.length === 0
      ? say('lake.title.empty')
      : failed > 0
        ? say('lake.title.failed', { n: failed })
        : failing > 0
          ? say('lake.title.checks', { n: failing })
          : stale > 0
            ? say('lake.title.stale', { n: stale })
            : behind > 0
              ? say('lake.title.behind', { n: behind })
              : say('lake.title.fresh', { n: all.length })
  const present = tiers.filter((tier) => all.some((table) => table.tier === tier))
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const sortBy = (column: Sort): void => {
    // Numbers are mostly wanted largest first; a second press turns the order, a third gives the usual one back.
    const first = column !== 'name'
    if (search.sort !== column) set({ sort: column, desc: first || undefined })
    else if ((search.desc === true) === first) set({ desc: !first || undefined })
    else set({ sort: undefined, desc: undefined })
  }
  const column = (id: Sort, num = false) => {
    const on = search.sort === id
    return (
      <th className={num ? 'num' : undefined} aria-sort={on ? (search.desc === true ? 'descending' : 'ascending') : 'none'} scope="col">
        <button type="button" className="sort" onClick={() => sortBy(id)}>
          {say(`lake.column.${id}`)}
          {on && (search.desc === true ? <ArrowDown aria-hidden /> : <ArrowUp aria-hidden />)}
        </button>
      </th>
    )
  }

  return (
    <>
      <PageHead
        title={title}
        sub={
          all.length === 0
            ? undefined
            : say('lake.sub', {
                tables: all.length,
                rows: format.count(all.reduce((sum, table) => sum + (table.rows ?? 0), 0)),
                size: format.bytes(all.reduce((sum, table) => sum + table.bytes, 0)),
              })
        }
        actions={
          all.length === 0 ? undefined : (
            <Link to="/lake/branches" className="action-link tall">
              <GitBranch aria-hidden />
              {say('page.branches')}
            </Link>
          )
        }
      />
      {all.length === 0 ? (
        <div className="panel">
          <Empty title={say('lake.empty.title')}>{say('lake.empty.text')}</Empty>
        </div>
      ) : (
        <section className="panel" aria-label={say('page.lake')}>
          <div className="panel-head list-filters">
            <Choice
              label={say('lake.tier')}
              value={search.tier ?? 'all'}
              options={[{ value: 'all', label: say('lake.tier.all') }, ...present.map((tier) => ({ value: tier, label: say(`tier.${tier}`) }))]}
              onChange={(tier) => set({ tier: tier === 'all' ? undefined : tier })}
            />
            <Find label={say('lake.find')} value={search.q} onChange={(value) => set({ q: value || undefined })} />
            <div className="right" role="status">
              {shown.length < all.length && say('lake.shown', { shown: shown.length, all: all.length })}
            </div>
          </div>
          {shown.length === 0 ? (
            <NoMatch title={say('lake.nothing')} to="/lake" />
          ) : (
            <div className="scroll-x" tabIndex={0} role="region" aria-label={say('lake.tables')}>
              <table className="list-table lake-list">
                <thead>
                  <tr>
                    {column('name')}
                    {column('rows', true)}
                    {column('bytes', true)}
                    {column('version', true)}
                    {column('updatedAt')}
                    <th scope="col">{say('lake.column.state')}</th>
                    {column('checks')}
                  </tr>
                </thead>
                <tbody>
                  {shown.map((table) => (
                    <Row key={table.name} table={table} now={now} byName={byName} />
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </section>
      )}
    </>
  )
}

function Row({ table, now, byName }: { table: TableSummary; now: number; byName: ReadonlyMap<string, TableSummary> }) {
  const { say, format } = useWords()
  const checks = table.checks.passed + table.checks.failed
  const state = freshness(table, byName)
  return (
    <tr>
      <td>
        <Link to="/lake/$name" params={{ name: table.name }} className="table-name">
          <Tag kind={table.tier === 'other' ? 'plain' : table.tier}>{say(`tier.${table.tier}`)}</Tag>
          <b>{table.tier === 'other' ? table.name : table.name.slice(table.name.indexOf('.') + 1)}</b>
        </Link>
      </td>
      <td className="num">{table.rows === null ? '–' : format.number(table.rows)}</td>
      <td className="num">{table.version === null ? '–' : format.bytes(table.bytes)}</td>
      <td className="num">{table.version === null ? '–' : format.number(table.version)}</td>
      <td title={table.updatedAt === null ? undefined : format.dateTime(table.updatedAt)}>
        {table.updatedAt === null ? say('lake.never') : format.ago(table.updatedAt, now)}
      </td>
      <td>
        {state === 'failed' || state === 'behind' || state === 'stale' ? (
          <Link to="/lake/$name" params={{ name: table.name }}>
            <Fresh state={state} error={table.refresh.error} />
          </Link>
        ) : (
          <Fresh state={state} error={undefined} />
        )}
      </td>
      <td>
        {checks === 0 ? (
          <span className="quiet">{say('lake.noChecks')}</span>
        ) : table.checks.failed > 0 ? (
          <Link to="/lake/$name" params={{ name: table.name }} search={{ tab: 'quality' }} className="state c-bad">
            <Mark tone="bad" />
            {say('lake.checksFailed', { n: table.checks.failed })}
          </Link>
        ) : (
          <span className="state">
            <Mark tone="ok" />
            {say('lake.checksPassed', { n: checks })}
          </span>
        )}
        {table.quarantined > 0 && <span className="quiet small"> · {say('lake.quarantined', { rows: format.count(table.quarantined) })}</span>}
      </td>
    </tr>
  )
}
