/** What a screen shows when it has nothing, not yet, or no luck. */
import { Button } from '@mantine/core'
import { Inbox, PlugZap, RotateCw } from 'lucide-react'
import type { ReactNode } from 'react'
import { ApiError } from '../api/index.ts'
import { Mark, PageHead, Prose, Skeleton } from './parts.tsx'
import { useWords } from './words/index.tsx'

export function problemText(error: unknown, unreachable: string): string {
  if (error instanceof ApiError) return error.code === 'console.unreachable' ? unreachable : error.message
  return error instanceof Error ? error.message : String(error)
}

/** A failed read in place of its screen or panel: what happened, what to do, and a way to try again. */
export function Failure({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { say } = useWords()
  const unreachable = error instanceof ApiError && error.code === 'console.unreachable'
  const hint = error instanceof ApiError ? (unreachable ? say('error.unreachable.hint') : error.hint) : undefined
  const id = error instanceof ApiError ? error.requestId : undefined
  return (
    <div className="notice" role="alert">
      <PlugZap className="big" aria-hidden />
      <h2>{problemText(error, say('error.unreachable'))}</h2>
      {hint !== undefined && (
        <p>
          <Prose>{hint}</Prose>
        </p>
      )}
      {id !== undefined && (
        <p className="quiet small">
          {say('error.request')} <span className="mono">{id}</span>
        </p>
      )}
      {onRetry !== undefined && (
        <div className="actions">
          <Button leftSection={<RotateCw aria-hidden />} onClick={onRetry}>
            {say('action.retry')}
          </Button>
        </div>
      )}
    </div>
  )
}

/** The same for a whole screen, which then has a title too. */
export function FailedScreen({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const { say } = useWords()
  return (
    <>
      <PageHead title={say('error.screen')} />
      <div className="panel">
        <Failure error={error} onRetry={onRetry} />
      </div>
    </>
  )
}

/** The same, as a strip above content that is still useful. */
export function InlineProblem({ title, hint, action }: { title: string; hint?: string | undefined; action?: ReactNode }) {
  return (
    <div className="inline-problem" role="alert">
      <Mark tone="bad" />
      <div>
        <strong>{title}</strong>
        {hint !== undefined && (
          <div className="quiet small">
            <Prose>{hint}</Prose>
          </div>
        )}
      </div>
      {action !== undefined && <div className="right">{action}</div>}
    </div>
  )
}

/** A list page by page: on its way, failed, without anything (`empty`), or its items, dimmed while those of another filter come. */
export function Listed({
  pages,
  count,
  empty,
  children,
}: {
  pages: {
    readonly data: unknown
    readonly error: unknown
    readonly isPending: boolean
    readonly isPlaceholderData: boolean
    readonly refetch: () => unknown
  }
  count: number
  empty: ReactNode
  children: ReactNode
}) {
  if (pages.isPending) return <LoadingRows rows={8} />
  if (pages.data === undefined) return <Failure error={pages.error} onRetry={() => void pages.refetch()} />
  if (count === 0) return empty
  return <div style={{ opacity: pages.isPlaceholderData ? 0.55 : 1 }}>{children}</div>
}

/** The way to the next page of a list, and what kept it from coming. */
export function More({
  pages,
  label,
}: {
  pages: {
    readonly hasNextPage: boolean
    readonly isFetchingNextPage: boolean
    readonly isFetchNextPageError: boolean
    readonly error: unknown
    readonly fetchNextPage: () => unknown
  }
  label: string
}) {
  const { say } = useWords()
  if (!pages.hasNextPage) return null
  return (
    <div className="more">
      {pages.isFetchNextPageError && (
        <InlineProblem title={problemText(pages.error, say('error.unreachable'))} hint={pages.error instanceof ApiError ? pages.error.hint : undefined} />
      )}
      <Button loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
        {label}
      </Button>
    </div>
  )
}

export function Empty({ title, children, actions }: { title: string; children?: string | undefined; actions?: ReactNode }) {
  return (
    <div className="notice">
      <Inbox className="big" aria-hidden />
      <h2>{title}</h2>
      {children !== undefined && (
        <p>
          <Prose>{children}</Prose>
        </p>
      )}
      {actions !== undefined && <div className="actions">{actions}</div>}
    </div>
  )
}

export function LoadingRows({ rows = 6 }: { rows?: number }) {
  const { say } = useWords()
  return (
    <div role="status" aria-label={say('state.loading')} style={{ display: 'grid', gap: 10, padding: '8px 14px 14px' }}>
      {Array.from({ length: rows }, (_, i) => (
        <Skeleton key={i} height={15} width={`${92 - ((i * 17) % 40)}%`} />
      ))}
    </div>
  )
}

/** A whole screen that is on its way: heading, strip, body. */
export function LoadingScreen() {
  const { say } = useWords()
  return (
    <div role="status" aria-label={say('state.loading')} className="grid">
      <h1 className="unseen">{say('state.loading')}</h1>
      <Skeleton height={26} width={320} />
      <Skeleton height={86} />
      <Skeleton height={300} />
    </div>
  )
}
