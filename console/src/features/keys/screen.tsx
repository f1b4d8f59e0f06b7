/** The live cache: where the reader stands among the keys, those that are there, and beside them the one that is read. */
import './keys.css'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Folder } from 'lucide-react'
import { keyPagesQuery, keyPrefixesQuery, systemQuery } from '../../api/index.ts'
import { keyTypes } from '../../app/search.ts'
import { Find } from '../../ui/filters.tsx'
import { useNow } from '../../ui/now.ts'
import { Choice, Mark, PageHead } from '../../ui/parts.tsx'
import { Empty, Failure, InlineProblem, LoadingRows } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { KeyDetail } from './detail.tsx'
import { KeyList } from './list.tsx'
import { listed, patternOf, stepsTo } from './shape.ts'

const route = getRouteApi('/keys')
/** A prefix with as many keys is counted no further. */
const mostCounted = 1_000

export function KeysScreen() {
  const { say, format } = useWords()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const now = useNow()
  const prefix = search.prefix ?? ''
  const pages = useInfiniteQuery(keyPagesQuery({ prefix, pattern: patternOf(prefix, search.q ?? ''), type: search.type }))
  const prefixes = useQuery(keyPrefixesQuery(prefix))
  const service = useQuery(systemQuery).data?.services.find(({ name }) => name === 'keys')
  const entries = listed(pages.data?.pages ?? [])
  const filtered = search.q !== undefined || search.type !== undefined
  const set = (change: Partial<typeof search>): void => void navigate({ search: (old) => ({ ...old, ...change }), replace: true })
  const count = format.number(entries.length)
  const title =
    pages.data === undefined || (entries.length === 0 && pages.hasNextPage)
      ? say('page.keys')
      : entries.length === 0
        ? say(filtered ? 'keys.title.noMatch' : 'keys.title.none')
        : pages.hasNextPage
          ? say('keys.title.some', { n: entries.length, count })
          : say('keys.title', { n: entries.length, count })

  return (
    <>
      <PageHead
        title={title}
        sub={
          service === undefined ? undefined : (
            <span className="facts-line">
              {say('keys.sub', { adapter: service.adapter })}
              <span className="keys-service">
                <Mark tone={service.state === 'up' ? 'ok' : service.state === 'degraded' ? 'warn' : 'bad'} />
                {service.state === 'up' && service.latencyMs !== null ? `${format.number(service.latencyMs, 1)} ms` : say(`service.${service.state}`)}
              </span>
            </span>
          )
        }
      />
      <div className={search.key === undefined ? 'keys-columns' : 'keys-columns with-key'}>
        <div className="panel">
          <div className="panel-head keys-filters">
            <nav className="keys-way" aria-label={say('keys.way')}>
              <ol>
                <li>
                  <Link to="/keys" search={{ ...search, prefix: undefined }} activeOptions={{ exact: true }} aria-current={prefix === '' ? 'page' : undefined}>
                    {say('keys.all')}
                  </Link>
                </li>
                {stepsTo(prefix).map((step) => (
                  <li key={step.prefix}>
                    <Link
                      to="/keys"
                      search={{ ...search, prefix: step.prefix }}
                      className="mono cut"
                      aria-current={step.prefix === prefix ? 'page' : undefined}
                    >
                      {step.label}
                    </Link>
                  </li>
                ))}
              </ol>
            </nav>
            <Find label={say('keys.find')} value={search.q} onChange={(value) => set({ q: value || undefined })} />
            <Choice
              label={say('keys.type')}
              value={search.type ?? 'all'}
              options={[{ value: 'all', label: say('keys.type.all') }, ...keyTypes.map((type) => ({ value: type, label: say(`keys.type.${type}`) }))]}
              onChange={(type) => set({ type: type === 'all' ? undefined : type })}
            />
          </div>
          {prefixes.data !== undefined && prefixes.data.items.length > 0 && (
            <nav className="keys-prefixes" aria-label={say('keys.prefixes')}>
              <ul>
                {prefixes.data.items.map((each) => (
                  <li key={each.prefix}>
                    <Link to="/keys" search={{ ...search, prefix: each.prefix }} title={each.prefix}>
                      <Folder aria-hidden />
                      <span className="mono cut">{each.prefix.slice(prefix.length)}</span>
                      <span className="quiet">
                        {format.number(each.keys)}
                        {each.keys >= mostCounted && '+'}
                        <span className="unseen"> {say('keys.here')}</span>
                      </span>
                    </Link>
                  </li>
                ))}
                {!prefixes.data.complete && <li className="quiet small">{say('keys.prefixes.more')}</li>}
              </ul>
            </nav>
          )}
          {pages.isError && pages.data !== undefined && (
            <div className="keys-old">
              <InlineProblem title={say('keys.old')} hint={pages.error.message} />
            </div>
          )}
          {pages.isPending ? (
            <LoadingRows rows={10} />
          ) : pages.isError && pages.data === undefined ? (
            <Failure error={pages.error} onRetry={() => void pages.refetch()} />
          ) : entries.length === 0 && !pages.hasNextPage ? (
            <Empty
              title={say(filtered ? 'keys.noMatch' : prefix === '' ? 'keys.none' : 'keys.none.here')}
              actions={
                filtered || prefix !== '' ? (
                  <Link to="/keys" className="action-link">
                    {say('keys.clear')}
                  </Link>
                ) : undefined
              }
            >
              {filtered || prefix !== '' ? undefined : say('keys.none.text')}
            </Empty>
          ) : (
            <KeyList
              entries={entries}
              search={search}
              now={now}
              more={
                pages.hasNextPage
                  ? { loading: pages.isFetchingNextPage, searching: filtered, get: () => void pages.fetchNextPage({ cancelRefetch: false }) }
                  : undefined
              }
            />
          )}
        </div>
        {search.key !== undefined && (
          <KeyDetail
            key={search.key}
            name={search.key}
            raw={search.view === 'raw'}
            now={now}
            onView={(view) => set({ view: view === 'raw' ? 'raw' : undefined })}
            onClose={() => set({ key: undefined, view: undefined })}
          />
        )}
      </div>
    </>
  )
}
