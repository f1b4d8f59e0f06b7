/** Silences: which rules are quiet, why, by whom and until when; those that are over below. */
import { Button } from '@mantine/core'
import { useMutation, type UseQueryResult } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { BellOff } from 'lucide-react'
import { useState } from 'react'
import { ApiError, type Page, remove, type SilenceShape } from '../../api/index.ts'
import { useNow } from '../../ui/now.ts'
import { Mark } from '../../ui/parts.tsx'
import { Empty, Failure, LoadingRows, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { ExtendDialog, useSilenced } from './silence.tsx'

export function Silences({ silences, onSilence }: { silences: UseQueryResult<Page<SilenceShape>>; onSilence: () => void }) {
  const { say } = useWords()
  const [extending, setExtending] = useState<SilenceShape>()
  if (silences.isPending)
    return (
      <div className="panel">
        <LoadingRows />
      </div>
    )
  if (silences.isError && silences.data === undefined)
    return (
      <div className="panel">
        <Failure error={silences.error} onRetry={() => void silences.refetch()} />
      </div>
    )
  const { items } = silences.data
  return (
    <section className="panel" aria-label={say('alerts.silences')}>
      {items.length === 0 ? (
        <Empty
          title={say('silences.none.title')}
          actions={
            <Button leftSection={<BellOff aria-hidden />} onClick={onSilence}>
              {say('silence.rule')}
            </Button>
          }
        >
          {say('silences.none.text')}
        </Empty>
      ) : (
        <div className="scroll-x" tabIndex={0} role="group" aria-label={say('alerts.silences')}>
          <table className="list-table silences">
            <thead>
              <tr>
                <th scope="col">{say('streams.column.state')}</th>
                <th scope="col">{say('alerts.rule')}</th>
                <th scope="col">{say('silence.reason')}</th>
                <th scope="col">{say('silence.by')}</th>
                <th scope="col">{say('silence.from')}</th>
                <th scope="col">{say('silence.ends')}</th>
                <th scope="col">
                  <span className="unseen">{say('silence.acts')}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {items.map((silence) => (
                <Row key={silence.id} silence={silence} onExtend={() => setExtending(silence)} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {extending !== undefined && <ExtendDialog silence={extending} onClose={() => setExtending(undefined)} />}
    </section>
  )
}

function Row({ silence, onExtend }: { silence: SilenceShape; onExtend: () => void }) {
  const { say, format } = useWords()
  const now = useNow()
  const silenced = useSilenced()
  const { id, rule, active } = silence
  const end = useMutation({
    mutationFn: () => remove<SilenceShape>(`silences/${encodeURIComponent(id)}`),
    onSuccess: () => {
      toast('ok', say('silence.ended', { rule }))
      silenced()
    },
    onError: (error) =>
      toast(
        'bad',
        say('silence.endFailed', { rule }),
        [problemText(error, say('error.unreachable')), error instanceof ApiError ? error.hint : undefined].filter((part) => part !== undefined).join('\n'),
      ),
  })
  const ended = silence.endedAt ?? silence.until
  return (
    <tr className={active ? undefined : 'over'}>
      <td>
        <span className="state">
          {active ? <BellOff className="mark c-warn" aria-hidden /> : <Mark tone="off" />}
          {say(active ? 'silence.active' : silence.endedAt === null ? 'silence.over' : 'silence.cut')}
        </span>
      </td>
      <td>
        <Link to="/alerts" search={{ tab: 'rules', rule }} className="link">
          {rule}
        </Link>
      </td>
      <td className="why">{silence.reason}</td>
      <td data-label={say('silence.by')}>{silence.by ?? '–'}</td>
      <td data-label={say('silence.from')} title={format.dateTime(silence.createdAt)}>
        {format.ago(silence.createdAt, now)}
      </td>
      <td data-label={say('silence.ends')} title={format.dateTime(ended)}>
        {active
          ? say('silence.left', { time: format.dateTime(silence.until), span: format.duration(Math.max(0, silence.until - now)) })
          : format.dateTime(ended)}
      </td>
      <td>
        {active && (
          <span className="acts">
            <Button size="xs" onClick={onExtend}>
              {say('silence.extend')}
              <span className="unseen"> {rule}</span>
            </Button>
            <Button size="xs" loading={end.isPending} onClick={() => end.mutate()}>
              {say('silence.end')}
              <span className="unseen"> {rule}</span>
            </Button>
          </span>
        )}
      </td>
    </tr>
  )
}
