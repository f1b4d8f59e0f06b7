/** A rule is made quiet for a while, with a reason for those who wonder later; or gets longer than it had. */
import { Button } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type FormEvent, useId, useState } from 'react'
import { ApiError, patch, post, type SilenceShape } from '../../api/index.ts'
import { Dialog } from '../../ui/dialog.tsx'
import { Choice } from '../../ui/parts.tsx'
import { InlineProblem, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'

const lengths = ['30min', '2h', '8h', '1d', '7d', 'other'] as const
type Length = (typeof lengths)[number]
const nameKey = 'lagoa-name'

type Time = { for: string } | { until: number }

/** What is asked for, or undefined while the date is missing. */
function timeOf(length: Length, until: string): Time | undefined {
  if (length !== 'other') return { for: length }
  const at = until === '' ? Number.NaN : new Date(until).getTime()
  return Number.isNaN(at) ? undefined : { until: at }
}

/** Everything that tells of silences is read again. */
export function useSilenced(): () => void {
  const client = useQueryClient()
  return () => {
    for (const key of ['silences', 'rules', 'alerts']) void client.invalidateQueries({ queryKey: [key] })
  }
}

export function SilenceDialog({ rule, rules, onClose }: { rule: string | undefined; rules: readonly string[]; onClose: () => void }) {
  const { say } = useWords()
  const id = useId()
  const silenced = useSilenced()
  const [chosen, setChosen] = useState(rule ?? (rules.length === 1 ? rules[0] : undefined) ?? '')
  const [length, setLength] = useState<Length>('2h')
  const [until, setUntil] = useState('')
  const [reason, setReason] = useState('')
  const [by, setBy] = useState(rememberedName)
  const [tried, setTried] = useState(false)
  const time = timeOf(length, until)
  const make = useMutation({
    mutationFn: (asked: Time) =>
      post<SilenceShape>(`rules/${encodeURIComponent(chosen)}/silences`, { ...asked, reason: reason.trim(), ...(by.trim() === '' ? {} : { by: by.trim() }) }),
    onSuccess: () => {
      rememberName(by.trim())
      toast('ok', say('silence.made', { rule: chosen }))
      silenced()
      onClose()
    },
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    setTried(true)
    if (chosen !== '' && time !== undefined && reason.trim() !== '') make.mutate(time)
  }
  return (
    <Dialog title={rule === undefined ? say('silence.rule') : say('silence.title', { rule })} size={500} onClose={onClose}>
      <form onSubmit={submit} className="silence-form" noValidate>
        <p className="dialog-text">{say('silence.text')}</p>
        {make.isError && (
          <InlineProblem title={problemText(make.error, say('error.unreachable'))} hint={make.error instanceof ApiError ? make.error.hint : undefined} />
        )}
        {rule === undefined && (
          <>
            <label htmlFor={`${id}-rule`}>{say('alerts.rule')}</label>
            <select
              id={`${id}-rule`}
              className="select"
              value={chosen}
              onChange={(event) => setChosen(event.currentTarget.value)}
              aria-invalid={tried && chosen === ''}
            >
              <option value="">{say('silence.chooseRule')}</option>
              {rules.map((each) => (
                <option key={each} value={each}>
                  {each}
                </option>
              ))}
            </select>
            {tried && chosen === '' && (
              <p className="small c-bad" role="alert">
                {say('silence.noRule')}
              </p>
            )}
          </>
        )}
        <For length={length} until={until} onLength={setLength} onUntil={setUntil} missing={tried && time === undefined} />
        <label htmlFor={`${id}-reason`}>{say('silence.reason')}</label>
        <input
          id={`${id}-reason`}
          data-autofocus
          className="text-input"
          maxLength={500}
          autoComplete="off"
          placeholder={say('silence.reason.example')}
          value={reason}
          aria-invalid={tried && reason.trim() === ''}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        {tried && reason.trim() === '' && (
          <p className="small c-bad" role="alert">
            {say('silence.noReason')}
          </p>
        )}
        <label htmlFor={`${id}-by`}>{say('silence.by')}</label>
        <input
          id={`${id}-by`}
          className="text-input"
          maxLength={100}
          autoComplete="name"
          placeholder={say('silence.by.hint')}
          value={by}
          onChange={(event) => setBy(event.currentTarget.value)}
        />
        <div className="dialog-acts">
          <Button onClick={onClose}>{say('action.cancel')}</Button>
          <Button type="submit" variant="filled" loading={make.isPending}>
            {say('silence.do')}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

export function ExtendDialog({ silence, onClose }: { silence: SilenceShape; onClose: () => void }) {
  const { say, format } = useWords()
  const silenced = useSilenced()
  const [length, setLength] = useState<Length>('2h')
  const [until, setUntil] = useState('')
  const [tried, setTried] = useState(false)
  const time = timeOf(length, until)
  const extend = useMutation({
    mutationFn: (asked: Time) => patch<SilenceShape>(`silences/${encodeURIComponent(silence.id)}`, asked),
    onSuccess: (moved) => {
      toast('ok', say('silence.extended', { rule: silence.rule, time: format.dateTime(moved.until) }))
      silenced()
      onClose()
    },
  })
  return (
    <Dialog title={say('silence.extend.title', { rule: silence.rule })} size={460} onClose={onClose}>
      <form
        className="silence-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          setTried(true)
          if (time !== undefined) extend.mutate(time)
        }}
      >
        <p className="dialog-text">{say('silence.extend.text', { time: format.dateTime(silence.until) })}</p>
        {extend.isError && (
          <InlineProblem title={problemText(extend.error, say('error.unreachable'))} hint={extend.error instanceof ApiError ? extend.error.hint : undefined} />
        )}
        <For length={length} until={until} onLength={setLength} onUntil={setUntil} missing={tried && time === undefined} />
        <div className="dialog-acts">
          <Button onClick={onClose}>{say('action.cancel')}</Button>
          <Button type="submit" variant="filled" loading={extend.isPending}>
            {say('silence.extend')}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

function For({
  length,
  until,
  onLength,
  onUntil,
  missing,
}: {
  length: Length
  until: string
  onLength: (length: Length) => void
  onUntil: (until: string) => void
  missing: boolean
}) {
  const { say } = useWords()
  return (
    <>
      <span className="label">{say('silence.for')}</span>
      <Choice label={say('silence.for')} value={length} options={lengths.map((value) => ({ value, label: say(`silence.for.${value}`) }))} onChange={onLength} />
      {length === 'other' && (
        <input
          className="text-input"
          type="datetime-local"
          aria-label={say('silence.ends')}
          aria-invalid={missing}
          value={until}
          onChange={(event) => onUntil(event.currentTarget.value)}
        />
      )}
      {missing && (
        <p className="small c-bad" role="alert">
          {say('silence.noTime')}
        </p>
      )}
    </>
  )
}

/** Nobody signs in here, so a name is what somebody calls themselves; it is kept for the next time. */
function rememberedName(): string {
  try {
    return localStorage.getItem(nameKey) ?? ''
  } catch {
    return ''
  }
}

function rememberName(name: string): void {
  try {
    localStorage.setItem(nameKey, name)
  } catch {
    // It is asked for again.
  }
}
