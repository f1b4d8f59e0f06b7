/** A question to the lake: write it, run it with Ctrl Enter, read the rows. What was run stands in the URL. */
import './sql.css'
import { Button } from '@mantine/core'
import { useMutation, useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Play, X } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { ApiError, post, type QueryResult, tablesQuery } from '../../api/index.ts'
import { DataGrid } from '../../ui/data-grid.tsx'
import { PageHead } from '../../ui/parts.tsx'
import { Empty, InlineProblem, LoadingRows, problemText } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'

const route = getRouteApi('/sql')
const mostRows = 1_000

export function SqlScreen() {
  const { say, format } = useWords()
  const { q } = route.useSearch()
  const navigate = route.useNavigate()
  const tables = useQuery(tablesQuery).data?.items.filter((table) => table.version !== null) ?? []
  const [text, setText] = useState(q ?? '')
  const editor = useRef<HTMLTextAreaElement>(null)
  const running = useRef<AbortController>(undefined)
  const query = useMutation({
    mutationFn: (sql: string) => {
      running.current?.abort()
      running.current = new AbortController()
      return post<QueryResult>('query', { sql, limit: mostRows }, running.current.signal)
    },
  })
  useEffect(() => () => running.current?.abort(), [])
  // Another query may arrive by a link while the screen is open.
  useEffect(() => {
    if (q !== undefined) setText(q)
  }, [q])

  const run = (): void => {
    if (text.trim() === '') return
    void navigate({ search: { q: text }, replace: true })
    query.mutate(text)
  }
  const cancelled = query.error instanceof DOMException && query.error.name === 'AbortError'
  const insert = (name: string): void => {
    const area = editor.current
    if (text.trim() === '') setText(`select * from ${name} limit 100`)
    else if (area !== null) setText(`${text.slice(0, area.selectionStart)}${name}${text.slice(area.selectionEnd)}`)
    area?.focus()
  }
  const title = query.isPending
    ? say('sql.title.running')
    : query.isError && !cancelled
      ? say('sql.title.failed')
      : query.data !== undefined
        ? say('sql.title.rows', { n: query.data.rows.length, rows: format.number(query.data.rows.length) })
        : say('sql.title')

  return (
    <>
      <PageHead title={title} sub={say('sql.sub')} />
      <section className="panel" aria-label={say('sql.editor')}>
        <textarea
          ref={editor}
          className="sql-editor"
          aria-label={say('sql.editor')}
          placeholder={say('sql.placeholder')}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          value={text}
          rows={7}
          onChange={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
              event.preventDefault()
              run()
            }
          }}
        />
        <div className="sql-bar">
          {tables.length > 0 && (
            <div className="sql-names" role="group" aria-label={say('sql.tables')}>
              {tables.slice(0, 8).map((table) => (
                <button type="button" className="plain-button" key={table.name} onClick={() => insert(table.name)}>
                  {table.name}
                </button>
              ))}
            </div>
          )}
          <div className="right">
            {query.isPending && (
              <Button leftSection={<X aria-hidden />} onClick={() => running.current?.abort()}>
                {say('action.cancel')}
              </Button>
            )}
            <Button
              variant="filled"
              leftSection={<Play aria-hidden />}
              onClick={run}
              loading={query.isPending}
              disabled={text.trim() === ''}
              aria-keyshortcuts="Control+Enter"
            >
              {say('sql.run')}
            </Button>
          </div>
        </div>
      </section>
      <div style={{ marginTop: 14 }}>
        {query.isError && !cancelled && (
          <InlineProblem title={problemText(query.error, say('error.unreachable'))} hint={query.error instanceof ApiError ? query.error.hint : undefined} />
        )}
        {query.isPending && (
          <div className="panel">
            <LoadingRows rows={8} />
          </div>
        )}
        {query.isIdle && (
          <div className="panel">
            <Empty title={say('sql.empty.title')}>{say('sql.empty.text')}</Empty>
          </div>
        )}
      </div>
      {query.data !== undefined && !query.isPending && (
        <div className="panel sql-result">
          <div className="panel-head">
            <span className="quiet" role="status">
              {query.data.truncated
                ? say('sql.truncated', { rows: format.number(query.data.rows.length) })
                : say('sql.rows', { n: query.data.rows.length, rows: format.number(query.data.rows.length) })}
            </span>
            <div className="right">{format.span(query.data.elapsedMs)}</div>
          </div>
          {query.data.rows.length === 0 ? (
            <Empty title={say('sql.noRows')} />
          ) : (
            <DataGrid result={query.data} label={say('sql.result')} maxHeight="max(280px, calc(100dvh - 420px))" />
          )}
        </div>
      )}
    </>
  )
}
