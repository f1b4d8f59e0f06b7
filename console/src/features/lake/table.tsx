import './lake.css'
import { Button, Tabs } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { RotateCw, SquareTerminal, Waypoints } from 'lucide-react'
import {
  ApiError,
  assetQuery,
  checksQuery,
  driftQuery,
  historyQuery,
  post,
  profileQuery,
  rowsQuery,
  type TableShape,
  tableQuery,
  tablesQuery,
  type Version,
} from '../../api/index.ts'
import { type Tab, tabs } from '../../app/search.ts'
import { DataGrid } from '../../ui/data-grid.tsx'
import { fieldLabel, unitLabel } from '../../ui/format.ts'
import { useNow } from '../../ui/now.ts'
import { Fact, PageHead, Panel, Tag } from '../../ui/parts.tsx'
import { Empty, FailedScreen, Failure, InlineProblem, LoadingRows, LoadingScreen, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { DriftPanel } from './drift.tsx'
import { Fresh } from './fresh.tsx'
import { freshness } from './order.ts'
import { ColumnProfile } from './profile.tsx'
import { Quality, QualityPanel } from './quality.tsx'
import { History, VersionRail } from './versions.tsx'

const route = getRouteApi('/lake/$name')

export function TableScreen() {
  const { name } = route.useParams()
  const table = useQuery(tableQuery(name))
  if (table.data === undefined) return table.isError ? <FailedScreen error={table.error} onRetry={() => void table.refetch()} /> : <LoadingScreen />
  return <TablePage key={name} table={table.data} />
}

function TablePage({ table }: { table: TableShape }) {
  const { say, format } = useWords()
  const { tab = 'preview', version } = route.useSearch()
  const navigate = route.useNavigate()
  const now = useNow()
  const { name } = table
  const history = useQuery(historyQuery(name))
  const checks = useQuery(checksQuery(name))
  const all = useQuery(tablesQuery).data?.items ?? []
  const asset = useQuery(assetQuery(`table:${name}`)).data
  const { run, running } = useRefresh(name)
  const versions = history.data?.items ?? []
  const newest = versions[0]?.version ?? table.version ?? undefined
  const past = version !== undefined && version !== newest
  const shown = past ? versions.find((each) => each.version === version) : undefined
  const total = table.checks.passed + table.checks.failed
  const fresh = freshness(table, new Map(all.map((each) => [each.name, each])))
  const busy = running || table.refresh.state === 'running'
  const counts: Readonly<Record<Tab, string>> = {
    preview: '',
    schema: format.number(table.fields.length),
    history: table.version === null ? '' : format.number(table.version + 1),
    quality: total === 0 ? '' : `${format.number(table.checks.passed)} / ${format.number(total)}`,
  }

  return (
    <>
      <PageHead
        title={table.tier === 'other' ? name : name.slice(name.indexOf('.') + 1)}
        tags={
          <>
            <Tag kind={table.tier === 'other' ? 'plain' : table.tier}>{say(`tier.${table.tier}`)}</Tag>
            {table.checks.failed > 0 && (
              <Link to="/lake/$name" params={{ name }} search={{ tab: 'quality' }}>
                <Tag kind="warn">{say('lake.checksFailed', { n: table.checks.failed })}</Tag>
              </Link>
            )}
            {asset?.tags.map((tag) => (
              <Tag key={tag} kind="plain">
                #{tag}
              </Tag>
            ))}
            {past && <Tag kind="run">{say('table.atVersion', { version: format.number(version) })}</Tag>}
          </>
        }
        sub={table.description ?? say('table.madeFrom', { from: table.from.length === 0 ? '–' : format.list(table.from) })}
        actions={
          <>
            <Link to="/lineage" search={{ asset: `table:${name}` }} className="action-link tall">
              <Waypoints aria-hidden />
              {say('page.lineage')}
            </Link>
            <Link to="/sql" search={{ q: `select * from ${name} limit 100` }} className="action-link tall">
              <SquareTerminal aria-hidden />
              {say('table.query')}
            </Link>
            <Button variant="filled" leftSection={<RotateCw aria-hidden />} loading={busy} onClick={run}>
              {say('table.refresh')}
            </Button>
          </>
        }
      />
      {table.refresh.state === 'failed' && table.refresh.error !== undefined && (
        <InlineProblem
          title={say('table.refreshFailed')}
          hint={table.refresh.error}
          action={
            <Button size="xs" onClick={run} loading={busy}>
              {say('action.retry')}
            </Button>
          }
        />
      )}
      <dl className="facts">
        {asset?.owner !== undefined && <Fact label={say('table.owner')}>{asset.owner}</Fact>}
        <Fact label={say('lake.column.rows')}>{table.rows === null ? '–' : format.number(table.rows)}</Fact>
        <Fact label={say('lake.column.bytes')}>{format.bytes(table.bytes)}</Fact>
        <Fact label={say('table.files')}>{format.number(table.files)}</Fact>
        {table.partitionBy.length > 0 && <Fact label={say('table.partitionedBy')}>{table.partitionBy.join(', ')}</Fact>}
        <Fact label={say('table.lastWrite')}>{table.updatedAt === null ? say('lake.never') : format.ago(table.updatedAt, now)}</Fact>
        <Fact label={say('lake.column.state')}>
          <Fresh state={fresh} error={table.refresh.error} />
        </Fact>
        {table.freshness && table.freshness.newest !== null && (
          <Fact label={say('table.newest')}>
            {say('table.newest.of', { ago: format.ago(table.freshness.newest, now), within: format.span(table.freshness.withinMs) })}
          </Fact>
        )}
        {table.quarantined > 0 && (
          <Fact label={say('table.quarantined')}>
            <Link to="/lake/$name" params={{ name }} search={{ tab: 'quality' }} className="link">
              {format.number(table.quarantined)}
            </Link>
          </Fact>
        )}
        {table.from.length > 0 && (
          <Fact label={say('table.from')}>
            <Names names={table.from} known={all.map((each) => each.name)} />
          </Fact>
        )}
        {table.usedBy.length > 0 && (
          <Fact label={say('table.usedBy')}>
            <Names names={table.usedBy} known={all.map((each) => each.name)} />
          </Fact>
        )}
      </dl>
      <Tabs
        value={tab}
        onChange={(next) => {
          const chosen = tabs.find((each) => each === next)
          if (chosen !== undefined) void navigate({ search: (old) => ({ ...old, tab: chosen === 'preview' ? undefined : chosen }), replace: true })
        }}
        keepMounted={false}
        className="table-tabs"
      >
        <Tabs.List aria-label={name}>
          {tabs.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {say(`table.tab.${each}`)} {counts[each] !== '' && <i>{counts[each]}</i>}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="preview">
          <div className="table-columns">
            <Preview name={name} version={past ? version : undefined} written={table.version !== null} onRefresh={run} busy={busy} shown={shown} now={now} />
            <div className="grid">
              {history.isError ? (
                <Panel title={say('versions.title')}>
                  <Failure error={history.error} onRetry={() => void history.refetch()} />
                </Panel>
              ) : (
                versions.length > 0 && <VersionRail name={name} versions={versions} current={version} now={now} />
              )}
              {checks.data !== undefined && <QualityPanel checks={checks.data.items} name={name} now={now} />}
            </div>
          </div>
        </Tabs.Panel>
        <Tabs.Panel value="schema">
          <Schema table={table} now={now} />
        </Tabs.Panel>
        <Tabs.Panel value="history">
          {history.isPending ? (
            <div className="panel">
              <LoadingRows rows={10} />
            </div>
          ) : history.isError ? (
            <div className="panel">
              <Failure error={history.error} onRetry={() => void history.refetch()} />
            </div>
          ) : versions.length === 0 ? (
            <div className="panel">
              <Empty title={say('table.unwritten.title')}>{say('table.unwritten.text')}</Empty>
            </div>
          ) : (
            <History name={name} versions={versions} now={now} shown={version ?? newest} />
          )}
        </Tabs.Panel>
        <Tabs.Panel value="quality">
          {checks.isPending ? (
            <div className="panel">
              <LoadingRows />
            </div>
          ) : checks.isError ? (
            <div className="panel">
              <Failure error={checks.error} onRetry={() => void checks.refetch()} />
            </div>
          ) : (
            <Quality checks={checks.data.items} quarantined={table.quarantined} name={name} now={now} />
          )}
        </Tabs.Panel>
      </Tabs>
    </>
  )
}

/** What a refresh did, and how many rows its checks hold back. */
type Refreshed = { outcome: 'nothing' | 'rebuilt' | 'changed'; version: number | null; rows: number; held: number; ms: number }

/** Refresh takes as long as the table's query; its result is told in a toast, wherever the reader is by then. */
function useRefresh(name: string): { run: () => void; running: boolean } {
  const { say, format } = useWords()
  const client = useQueryClient()
  const refresh = useMutation({
    mutationFn: () => post<Refreshed>(`tables/${encodeURIComponent(name)}/refresh`),
    onSuccess: async ({ outcome, held }) => {
      await client.invalidateQueries({ queryKey: ['table', name] })
      const after = client.getQueryData(tableQuery(name).queryKey)
      void client.invalidateQueries({ queryKey: ['tables'] })
      if (after?.refresh.state === 'failed') toast('bad', say('refresh.failed', { name }), after.refresh.error)
      else if (after?.refresh.state === 'running') toast('ok', say('refresh.started', { name }))
      else if (outcome !== 'nothing' && after !== undefined)
        toast(
          'ok',
          say('refresh.done', { name }),
          [
            say('refresh.done.detail', { version: format.number(after.version ?? 0), rows: format.number(after.rows ?? 0) }),
            held > 0 ? say('refresh.held', { n: held, rows: format.number(held) }) : '',
          ]
            .filter((part) => part !== '')
            .join('\n'),
        )
      else toast('ok', say('refresh.same', { name }))
    },
    onError: (error) =>
      toast(
        'bad',
        say('refresh.failed', { name }),
        [problemText(error, say('error.unreachable')), error instanceof ApiError ? error.hint : undefined].filter((part) => part !== undefined).join('\n'),
      ),
  })
  return { run: () => refresh.mutate(), running: refresh.isPending }
}

function Names({ names, known }: { names: readonly string[]; known: readonly string[] }) {
  return (
    <span className="names">
      {names.map((each) =>
        known.includes(each) ? (
          <Link key={each} to="/lake/$name" params={{ name: each }} className="link">
            {each}
          </Link>
        ) : (
          <Link key={each} to="/streams/$name" params={{ name: each }} className="link">
            {each}
          </Link>
        ),
      )}
    </span>
  )
}

function Preview({
  name,
  version,
  written,
  onRefresh,
  busy,
  shown,
  now,
}: {
  name: string
  version: number | undefined
  written: boolean
  onRefresh: () => void
  busy: boolean
  shown: Version | undefined
  now: number
}) {
  const { say, format } = useWords()
  const rows = useQuery({ ...rowsQuery(name, version), enabled: written })
  const profile = useQuery({ ...profileQuery(name), enabled: written })
  if (!written)
    return (
      <div className="panel">
        <Empty
          title={say('table.unwritten.title')}
          actions={
            <Button onClick={onRefresh} loading={busy}>
              {say('table.refresh')}
            </Button>
          }
        >
          {say('table.unwritten.text')}
        </Empty>
      </div>
    )
  const columns = new Map(profile.data?.columns.map((column) => [column.name, column]))
  return (
    <section className="panel preview" aria-label={say('table.tab.preview')}>
      <div className="panel-head">
        {version !== undefined ? (
          <>
            <Tag kind="run">{say('preview.version', { version: format.number(version) })}</Tag>
            {shown !== undefined && <span className="quiet">{format.ago(shown.timestamp, now)}</span>}
            <Link from="/lake/$name" to="/lake/$name" params={{ name }} search={(old) => ({ ...old, version: undefined })} className="link">
              {say('versions.newest')}
            </Link>
          </>
        ) : (
          <span className="quiet">{rows.data === undefined ? '' : say('preview.rows', { n: rows.data.rows.length })}</span>
        )}
        <div className="right">
          {profile.data?.sampled === true && <span>{say('preview.sampled')}</span>}
          {rows.data !== undefined && <span>{format.span(rows.data.elapsedMs)}</span>}
        </div>
      </div>
      {rows.isPending ? (
        <LoadingRows rows={14} />
      ) : rows.isError ? (
        <Failure error={rows.error} onRetry={() => void rows.refetch()} />
      ) : rows.data.rows.length === 0 ? (
        <Empty title={say('preview.empty.title')}>{say('preview.empty.text')}</Empty>
      ) : (
        <div style={{ opacity: rows.isPlaceholderData ? 0.55 : 1 }}>
          <DataGrid
            result={rows.data}
            label={say('preview.label', { name })}
            maxHeight="max(320px, calc(100dvh - 330px))"
            header={(column) => {
              const facts = columns.get(column)
              return facts === undefined ? <div className="bars" /> : <ColumnProfile column={facts} />
            }}
          />
        </div>
      )}
    </section>
  )
}

function Schema({ table, now }: { table: TableShape; now: number }) {
  const { say } = useWords()
  const drift = useQuery(driftQuery(table.name)).data?.items ?? []
  return (
    <div className="grid">
      <div className="panel scroll-x" tabIndex={0} role="region" aria-label={say('table.tab.schema')}>
        <table className="list-table">
          <thead>
            <tr>
              <th scope="col">{say('schema.column')}</th>
              <th scope="col">{say('schema.type')}</th>
              <th scope="col">{say('schema.unit')}</th>
              <th scope="col">{say('schema.nullable')}</th>
              <th scope="col">{say('schema.description')}</th>
            </tr>
          </thead>
          <tbody>
            {table.fields.map((field) => (
              <tr key={field.name}>
                <td>
                  <b>{field.name}</b> {fieldLabel(field.name) !== field.name && <span className="quiet">{fieldLabel(field.name)}</span>}{' '}
                  {table.merge?.includes(field.name) === true && <Tag kind="plain">{say('schema.mergeKey')}</Tag>}{' '}
                  {table.partitionBy.includes(field.name) && <Tag kind="plain">{say('schema.partition')}</Tag>}
                </td>
                <td className="mono">{field.type}</td>
                <td>{field.unit === undefined ? '–' : unitLabel(field.unit)}</td>
                <td>{say(field.nullable ? 'schema.nullable.yes' : 'schema.nullable.no')}</td>
                <td className="quiet">{field.description ?? '–'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {drift.length > 0 && <DriftPanel drift={drift} now={now} />}
      {table.sql !== undefined && (
        <Panel title={say('schema.sql')} right={<span className="mono">{table.location}</span>}>
          <pre className="code" tabIndex={0}>
            {table.sql}
          </pre>
        </Panel>
      )}
    </div>
  )
}
