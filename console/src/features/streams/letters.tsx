/** Dead letters: what could not be read and why, and the way back into the stream for one, some or all of them. */
import { Button, Checkbox } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Send } from 'lucide-react'
import { useState } from 'react'
import { type DeadLetterShape, lettersQuery } from '../../api/index.ts'
import { Mark } from '../../ui/parts.tsx'
import { Empty, Failure, LoadingRows, More } from '../../ui/states.tsx'
import { type RowColumn, VirtualRows } from '../../ui/virtual-rows.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { LetterDialog } from './letter.tsx'
import { type Resend, SendAgain } from './resend.tsx'

const route = getRouteApi('/streams/$name')
/** Characters of a letter that a cell holds. */
const mostInCell = 240

/** A line of a file never got in, so there is nothing to put back as it came. */
export const canBeSent = ({ partition, resent, error }: DeadLetterShape): boolean => partition !== null && !resent && error !== 'no_letter'

export function Letters({ name }: { name: string }) {
  const { say, format } = useWords()
  const { letter } = route.useSearch()
  const navigate = route.useNavigate()
  const pages = useInfiniteQuery(lettersQuery(name))
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set())
  const [sending, setSending] = useState<Resend>()
  const show = (offset: number | undefined): void => void navigate({ search: (old) => ({ ...old, letter: offset }), replace: true })
  const [first] = pages.data?.pages ?? []
  const items = pages.data?.pages.flatMap((page) => page.items) ?? []
  const sendable = items.filter(canBeSent)
  const selected = sendable.filter(({ offset }) => chosen.has(offset)).map(({ offset }) => offset)
  const toggle = (offset: number, on: boolean): void => {
    const next = new Set(chosen)
    if (on) next.add(offset)
    else next.delete(offset)
    setChosen(next)
  }

  const narrow = useMediaQuery('(max-width: 767px)')
  const columns: RowColumn<DeadLetterShape>[] = [
    {
      id: 'choose',
      title: (
        <Checkbox
          size="xs"
          aria-label={say('letters.chooseAll')}
          disabled={sendable.length === 0}
          checked={selected.length > 0 && selected.length === sendable.length}
          indeterminate={selected.length > 0 && selected.length < sendable.length}
          onChange={(event) => setChosen(event.currentTarget.checked ? new Set(sendable.map(({ offset }) => offset)) : new Set())}
        />
      ),
      width: 38,
      cell: (item) =>
        canBeSent(item) ? (
          <Checkbox
            size="xs"
            aria-label={say('letters.choose', { offset: item.offset })}
            checked={chosen.has(item.offset)}
            onChange={(event) => toggle(item.offset, event.currentTarget.checked)}
          />
        ) : null,
    },
    ...(narrow
      ? []
      : [
          { id: 'offset', title: say('record.offset'), width: 84, num: true, cell: ({ offset }: DeadLetterShape) => format.number(offset) },
          { id: 'time', title: say('record.time'), width: 192, cell: ({ time }: DeadLetterShape) => format.dateTime(time) },
        ]),
    {
      id: 'reason',
      title: say('letters.reason'),
      cell: (item) => (
        <button type="button" className="plain-button row-open" title={item.reason} onClick={() => show(item.offset)}>
          <span className="unseen">{say('letters.open', { offset: item.offset })} </span>
          {item.reason}
        </button>
      ),
    },
    ...(narrow
      ? []
      : [
          {
            id: 'text',
            title: say('letters.bytes'),
            cell: ({ text, base64 }: DeadLetterShape) => (
              <span className="mono">{text === undefined ? `base64 ${base64?.slice(0, mostInCell) ?? ''}` : text.slice(0, mostInCell)}</span>
            ),
          },
        ]),
    { id: 'state', title: say('streams.column.state'), width: narrow ? 112 : 140, cell: (item) => <LetterState letter={item} /> },
  ]

  if (pages.isPending)
    return (
      <div className="panel">
        <LoadingRows rows={10} />
      </div>
    )
  if (pages.isError && pages.data === undefined)
    return (
      <div className="panel">
        <Failure error={pages.error} onRetry={() => void pages.refetch()} />
      </div>
    )
  const waiting = first?.waiting ?? 0
  return (
    <div className="panel">
      {items.length === 0 ? (
        <Empty title={say('letters.none.title')}>{say('letters.none.text')}</Empty>
      ) : (
        <>
          <div className="panel-head list-filters">
            <span className="quiet" role="status">
              {selected.length > 0
                ? say('letters.chosen', { n: selected.length, count: format.number(selected.length) })
                : say('letters.shown', { shown: format.number(items.length), kept: format.number(first?.kept ?? items.length) })}
            </span>
            <div className="right">
              <Button
                leftSection={<Send aria-hidden />}
                variant={selected.length > 0 ? 'filled' : 'default'}
                disabled={selected.length === 0}
                onClick={() => setSending({ offsets: selected })}
              >
                {say('letters.sendChosen')}
              </Button>
              <Button disabled={waiting === 0} onClick={() => setSending({ all: waiting })}>
                {waiting === 0 ? say('letters.allSent') : say('letters.sendAll', { n: waiting, count: format.number(waiting) })}
              </Button>
            </div>
          </div>
          <VirtualRows
            items={items}
            columns={columns}
            label={say('stream.tab.letters')}
            rowKey={({ offset }) => String(offset)}
            rowClass={({ resent }) => (resent ? 'resent' : undefined)}
            maxHeight="max(320px, calc(100dvh - 380px))"
            least={narrow ? 320 : 860}
          />
          <More pages={pages} label={say('alerts.more')} />
        </>
      )}
      {letter !== undefined && sending === undefined && (
        <LetterDialog name={name} offset={letter} onSend={() => setSending({ offsets: [letter] })} onClose={() => show(undefined)} />
      )}
      {sending !== undefined && (
        <SendAgain
          name={name}
          what={sending}
          onClose={(sent) => {
            setSending(undefined)
            // Who only looked again keeps what was chosen.
            if (!sent) return
            setChosen(new Set())
            if (letter !== undefined) show(undefined)
          }}
        />
      )}
    </div>
  )
}

export function LetterState({ letter }: { letter: DeadLetterShape }) {
  const { say } = useWords()
  return (
    <span className="state">
      <Mark tone={letter.resent ? 'ok' : canBeSent(letter) ? 'warn' : 'off'} />
      {say(letter.resent ? 'letters.state.resent' : canBeSent(letter) ? 'letters.state.waiting' : 'letters.state.outside')}
    </span>
  )
}
