/** The backfills of a flow: how far each is, what is going on of it, and what can be done with it. */
import { Button } from '@mantine/core'
import { useInfiniteQuery, useMutation, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Ban, History, Pause, Play } from 'lucide-react'
import { useState } from 'react'
import { ApiError, type BackfillShape, backfillPagesQuery, backfillPath, post } from '../../api/index.ts'
import { Confirm } from '../../ui/confirm.tsx'
import { useNow } from '../../ui/now.ts'
import { Mark, Panel, type Tone } from '../../ui/parts.tsx'
import { ElementsBar } from '../../ui/runs/task-graph.tsx'
import { Empty, Failure, LoadingRows, More, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'

const tones: Readonly<Record<BackfillShape['state'], Tone>> = { running: 'run', paused: 'stop', succeeded: 'ok', failed: 'bad', cancelled: 'stop' }

export function Backfills({ name, onBackfill }: { name: string; onBackfill: () => void }) {
  const { say } = useWords()
  const pages = useInfiniteQuery(backfillPagesQuery(name))
  const items = pages.data?.pages.flatMap((page) => page.items) ?? []
  return (
    <Panel title={say('flow.tab.backfills')}>
      {pages.isPending ? (
        <LoadingRows />
      ) : pages.isError && pages.data === undefined ? (
        <Failure error={pages.error} onRetry={() => void pages.refetch()} />
      ) : items.length === 0 ? (
        <Empty
          title={say('backfills.none.title')}
          actions={
            <Button leftSection={<History aria-hidden />} onClick={onBackfill}>
              {say('backfill.new')}
            </Button>
          }
        >
          {say('backfills.none.text')}
        </Empty>
      ) : (
        <ul>
          {items.map((backfill) => (
            <Item key={backfill.id} backfill={backfill} />
          ))}
        </ul>
      )}
      <More pages={pages} label={say('runs.more')} />
    </Panel>
  )
}

function Item({ backfill }: { backfill: BackfillShape }) {
  const { say, format } = useWords()
  const now = useNow(5_000)
  const client = useQueryClient()
  const [cancelling, setCancelling] = useState(false)
  const { id, state, total, queued, running, succeeded, failed, cancelled, first, last, concurrency, createdAt, endedAt } = backfill
  const path = backfillPath(id)
  const renew = (): void => {
    for (const key of ['backfills', 'runs', 'flows']) void client.invalidateQueries({ queryKey: [key] })
  }
  const pause = useMutation({
    mutationFn: () => post<BackfillShape>(`${path}/${state === 'paused' ? 'resume' : 'pause'}`),
    onSuccess: () => {
      toast('ok', say(state === 'paused' ? 'backfill.resumed' : 'backfill.isPaused'))
      renew()
    },
    onError: (error) => toast('bad', problemText(error, say('error.unreachable')), error instanceof ApiError ? error.hint : undefined),
  })
  const span = first === last ? first : say('backfill.span', { first, last })
  const counts = (
    [
      ['succeeded', succeeded],
      ['failed', failed],
      ['running', running],
      ['queued', queued],
      ['cancelled', cancelled],
    ] as const
  ).filter(([, n]) => n > 0)
  return (
    <li className="backfill">
      <div className="backfill-head">
        <span className={state === 'failed' ? 'state c-bad' : 'state'}>
          <Mark tone={tones[state]} />
          {say(`backfill.state.${state}`)}
        </span>
        <Link to="/runs" search={{ backfill: id }} className="link">
          {span}
        </Link>
        <span className="quiet small" title={format.dateTime(createdAt)}>
          {endedAt === null ? format.ago(createdAt, now) : say('backfill.took', { ago: format.ago(createdAt, now), span: format.length(endedAt - createdAt) })}
        </span>
        <span className="acts">
          {endedAt === null && (
            <>
              <Button
                size="xs"
                leftSection={state === 'paused' ? <Play aria-hidden /> : <Pause aria-hidden />}
                loading={pause.isPending}
                onClick={() => pause.mutate()}
              >
                {say(state === 'paused' ? 'run.resume' : 'run.pause')}
                <span className="unseen"> {span}</span>
              </Button>
              <Button size="xs" leftSection={<Ban aria-hidden />} onClick={() => setCancelling(true)}>
                {say('action.cancel')}
                <span className="unseen"> {span}</span>
              </Button>
            </>
          )}
        </span>
      </div>
      <ElementsBar states={{ succeeded, failed, running, ready: queued, cancelled }} total={total} />
      <p className="small backfill-counts">
        {say('backfill.done', { done: format.number(succeeded + failed + cancelled), of: format.number(total) })}
        {counts.map(([of, n]) => (
          <Link key={of} to="/runs" search={{ backfill: id, state: of }} className={of === 'failed' ? 'link c-bad' : 'link'}>
            {say(`backfill.${of}`, { n, count: format.number(n) })}
          </Link>
        ))}
        {concurrency !== null && endedAt === null && <span className="quiet">{say('backfill.concurrency', { n: concurrency })}</span>}
      </p>
      {cancelling && (
        <Confirm
          title={say('backfill.cancel.title', { span })}
          action={say('backfill.cancel')}
          danger
          run={() => post(`${path}/cancel`)}
          onDone={() => {
            toast('ok', say('backfill.isCancelled'))
            renew()
          }}
          onClose={() => setCancelling(false)}
        >
          {say('backfill.cancel.text', { n: queued + running, running: format.number(running), queued: format.number(queued) })}
        </Confirm>
      )}
    </li>
  )
}
