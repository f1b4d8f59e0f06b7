/** One dead letter, whole: what is wrong with it, where it was, its bytes as text or in hexadecimal, and a way to mend it by hand. */
import { Button } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Send } from 'lucide-react'
import { useState } from 'react'
import { ApiError, type DeadLetterShape, letterQuery, post, type ResendAnswer, streamPath } from '../../api/index.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { Dialog } from '../../ui/dialog.tsx'
import { Choice, Fact } from '../../ui/parts.tsx'
import { Failure, InlineProblem, LoadingRows, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { bytesOf, hexLines, inLines } from './bytes.ts'
import { canBeSent, LetterState } from './letters.tsx'

/** Bytes that are written in hexadecimal: enough to see what they are. */
const mostHex = 8 * 1024

export function LetterDialog({ name, offset, onSend, onClose }: { name: string; offset: number; onSend: () => void; onClose: () => void }) {
  const { say, format } = useWords()
  const found = useQuery(letterQuery(name, offset))
  const [item] = found.data?.items ?? []
  const letter = item?.offset === offset ? item : undefined
  return (
    <Dialog title={say('letter.title', { offset: format.number(offset) })} size={720} onClose={onClose}>
      {found.isPending ? (
        <LoadingRows rows={6} />
      ) : found.isError ? (
        <Failure error={found.error} onRetry={() => void found.refetch()} />
      ) : letter === undefined ? (
        <p className="dialog-text">{say('record.gone')}</p>
      ) : (
        <Whole name={name} letter={letter} onSend={onSend} onClose={onClose} />
      )}
    </Dialog>
  )
}

function Whole({ name, letter, onSend, onClose }: { name: string; letter: DeadLetterShape; onSend: () => void; onClose: () => void }) {
  const { say, format } = useWords()
  const client = useQueryClient()
  const [form, setForm] = useState<'text' | 'hex'>(letter.text === undefined ? 'hex' : 'text')
  const [draft, setDraft] = useState<string>()
  const mend = useMutation({
    mutationFn: (value: string) => post<ResendAnswer>(`${streamPath(name)}/dead-letters/resend`, { offsets: [letter.offset], value }),
    onSuccess: ({ resent }) => {
      toast(resent > 0 ? 'ok' : 'bad', say(resent > 0 ? 'letter.mended' : 'letter.already'))
      void client.invalidateQueries({ queryKey: ['streams', name] })
      onClose()
    },
  })
  const bytes = form === 'hex' ? bytesOf(letter) : undefined
  const isWhole = letter.bytes === undefined
  return (
    <>
      <InlineReason letter={letter} />
      <dl className="facts">
        <Fact label={say('streams.column.state')}>
          <LetterState letter={letter} />
        </Fact>
        <Fact label={say('record.time')}>{format.dateTime(letter.time)}</Fact>
        {letter.partition !== null && letter.source !== null && (
          <Fact label={say('letter.source')}>
            <Link to="/streams/$name" params={{ name }} search={{ tab: 'records', partition: letter.partition, offset: letter.source }} className="link">
              {say('letter.place', { partition: letter.partition, offset: format.number(letter.source) })}
            </Link>
          </Fact>
        )}
        {letter.key !== null && <Fact label={say('record.key')}>{letter.key}</Fact>}
      </dl>
      {draft === undefined ? (
        <>
          <div className="letter-form">
            <Choice
              label={say('letter.form')}
              value={form}
              options={[
                ...(letter.text === undefined ? [] : [{ value: 'text' as const, label: say('letter.form.text') }]),
                { value: 'hex' as const, label: say('letter.form.hex') },
              ]}
              onChange={setForm}
            />
            {!isWhole && <span className="quiet small">{say('letter.firstBytes', { bytes: format.bytes(letter.bytes ?? 0) })}</span>}
          </div>
          <pre className="record-text" tabIndex={0} role="region" aria-label={say('letters.bytes')}>
            {bytes === undefined ? inLines(letter.text ?? '') : hexLines(bytes, mostHex)}
          </pre>
          {letter.partition === null && !letter.resent && <p className="dialog-text small">{say('letter.outside')}</p>}
          <div className="dialog-acts">
            {letter.text !== undefined && (
              <span className="beside">
                <CopyButton text={letter.text} label={say('record.copy')} />
              </span>
            )}
            {!letter.resent && letter.error !== 'no_letter' && isWhole && (
              <Button onClick={() => setDraft(letter.text === undefined ? '' : inLines(letter.text))}>{say('letter.edit')}</Button>
            )}
            {canBeSent(letter) && (
              <Button variant="filled" leftSection={<Send aria-hidden />} onClick={onSend}>
                {say('letter.send')}
              </Button>
            )}
          </div>
        </>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            mend.mutate(draft)
          }}
        >
          {mend.isError && (
            <InlineProblem title={problemText(mend.error, say('error.unreachable'))} hint={mend.error instanceof ApiError ? mend.error.hint : undefined} />
          )}
          <textarea
            className="record-text"
            data-autofocus
            aria-label={say('letter.draft')}
            spellCheck={false}
            rows={12}
            value={draft}
            onChange={(event) => setDraft(event.currentTarget.value)}
          />
          <p className="quiet small">{say('letter.draft.hint')}</p>
          <div className="dialog-acts">
            <Button
              onClick={() => {
                mend.reset()
                setDraft(undefined)
              }}
            >
              {say('action.cancel')}
            </Button>
            <Button type="submit" variant="filled" loading={mend.isPending} leftSection={<Send aria-hidden />}>
              {say('letter.sendDraft')}
            </Button>
          </div>
        </form>
      )}
    </>
  )
}

function InlineReason({ letter }: { letter: DeadLetterShape }) {
  return (
    <div className="inline-problem letter-reason">
      <div>
        <strong>{letter.reason}</strong>
        <div className="quiet small mono">{letter.error}</div>
      </div>
    </div>
  )
}
