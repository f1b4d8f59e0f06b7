/** Dead letters back into their stream: asked first, then in small lots with the count in sight, and told what became of them. */
import { Button } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { ApiError, post, type ResendAnswer, streamPath } from '../../api/index.ts'
import { Dialog } from '../../ui/dialog.tsx'
import { Mark } from '../../ui/parts.tsx'
import { InlineProblem, problemText } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { add, done, lotsOf, nothingSent, type Resend, type Tally } from './lots.ts'

export type { Resend } from './lots.ts'

export function SendAgain({ name, what, onClose }: { name: string; what: Resend; onClose: (sent: boolean) => void }) {
  const { say, format } = useWords()
  const client = useQueryClient()
  const [state, setState] = useState<'asked' | 'sending' | 'ended'>('asked')
  const [tally, setTally] = useState<Tally>(nothingSent)
  const [error, setError] = useState<unknown>()
  const stop = useRef(new AbortController())
  useEffect(() => () => stop.current.abort(), [])
  const total = 'all' in what ? what.all : what.offsets.length

  const close = (): void => onClose(state !== 'asked')

  const send = async (): Promise<void> => {
    stop.current = new AbortController()
    const { signal } = stop.current
    setState('sending')
    setError(undefined)
    let sum = tally
    try {
      for (const body of lotsOf(what, done(sum))) {
        const answer = await post<ResendAnswer>(`${streamPath(name)}/dead-letters/resend`, body, signal)
        sum = add(sum, answer)
        setTally(sum)
        // Somebody else sent the rest.
        if ('all' in what && answer.left === 0) break
      }
    } catch (thrown) {
      if (!signal.aborted) setError(thrown)
    }
    setState('ended')
    void client.invalidateQueries({ queryKey: ['streams', name] })
  }

  return (
    <Dialog title={say('resend.title', { n: total, count: format.number(total) })} size={480} onClose={close}>
      {state === 'asked' && <p className="dialog-text">{say('resend.text', { name })}</p>}
      {state !== 'asked' && (
        <div className="resend-progress" role="status">
          <progress value={done(tally)} max={total} aria-label={say('resend.progress')} />
          <p>
            {state === 'ended' && error === undefined && <Mark tone={tally.skipped > 0 ? 'warn' : 'ok'} />}{' '}
            {say('resend.done', { n: tally.resent, count: format.number(tally.resent), total: format.number(total) })}
            {tally.already > 0 && ` ${say('resend.already', { n: tally.already, count: format.number(tally.already) })}`}
            {tally.skipped > 0 && ` ${say('resend.skipped', { n: tally.skipped, count: format.number(tally.skipped) })}`}
          </p>
          {tally.reasons.length > 0 && (
            <ul className="quiet small">
              {tally.reasons.map((reason) => (
                <li key={reason}>{reason}</li>
              ))}
            </ul>
          )}
          {state === 'ended' && tally.resent > 0 && <p className="quiet small">{say('resend.after')}</p>}
        </div>
      )}
      {error !== undefined && <InlineProblem title={problemText(error, say('error.unreachable'))} hint={error instanceof ApiError ? error.hint : undefined} />}
      <div className="dialog-acts">
        {state === 'asked' && <Button onClick={close}>{say('action.cancel')}</Button>}
        {state === 'sending' && <Button onClick={() => stop.current.abort()}>{say('resend.stop')}</Button>}
        {state === 'ended' && error !== undefined && <Button onClick={() => void send()}>{say('action.retry')}</Button>}
        {state === 'ended' ? (
          <Button variant="filled" data-autofocus onClick={close}>
            {say('action.close')}
          </Button>
        ) : (
          <Button variant="filled" data-autofocus loading={state === 'sending'} onClick={() => void send()}>
            {say('resend.do', { n: total, count: format.number(total) })}
          </Button>
        )}
      </div>
    </Dialog>
  )
}
