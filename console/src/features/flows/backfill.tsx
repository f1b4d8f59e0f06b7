/** Asking for a backfill: from when to when, what becomes of partitions that were run, and, before anything begins, how many runs that makes. */
import { Button } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { History } from 'lucide-react'
import { useId, useState } from 'react'
import {
  ApiError,
  type BackfillPlanShape,
  type BackfillRequest,
  backfillPlanQuery,
  type BackfillShape,
  type FlowDetailShape,
  flowPath,
  postOnce,
} from '../../api/index.ts'
import { useOnce } from '../../api/once.ts'
import { Dialog } from '../../ui/dialog.tsx'
import { Choice } from '../../ui/parts.tsx'
import { focusFault, SchemaFields, useSchemaForm } from '../../ui/schema-form/form.tsx'
import { InlineProblem, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { asPartition, inputOf, type Unit } from './partitions.ts'

const usual = 16
const mostAtATime = 10_000

export function BackfillDialog({ flow, unit, onClose }: { flow: FlowDetailShape; unit: Unit; onClose: () => void }) {
  const { say, format } = useWords()
  const id = useId()
  const client = useQueryClient()
  const navigate = useNavigate()
  const keyOf = useOnce()
  const form = useSchemaForm(flow.params)
  const [from, setFrom] = useState('')
  const [to, setTo] = useState('')
  const [existing, setExisting] = useState<'skip' | 'again'>('skip')
  const [order, setOrder] = useState<'oldest' | 'newest'>('oldest')
  const [concurrency, setConcurrency] = useState(String(usual))
  const [tried, setTried] = useState(false)
  const { name } = flow
  const atATime = Number(concurrency)
  const wrongNumber = !Number.isInteger(atATime) || atATime < 1 || atATime > mostAtATime
  const range: BackfillRequest = { from: asPartition(unit, from), to: to === '' ? undefined : asPartition(unit, to), existing }
  const [asked] = useDebouncedValue(range, 250)
  const plan = useQuery({ ...backfillPlanQuery(name, asked), enabled: asked.from !== undefined && asked.from !== '' })
  const begin = useMutation({
    mutationFn: (body: BackfillRequest) => postOnce<BackfillShape>(`${flowPath(name)}/backfills`, body, keyOf(body)),
    onSuccess: async (made) => {
      toast('ok', say('backfill.begun', { n: made.total, count: format.number(made.total) }))
      onClose()
      for (const key of ['backfills', 'runs', 'flows']) void client.invalidateQueries({ queryKey: [key] })
      await navigate({ to: '/flows/$name', params: { name }, search: { tab: 'backfills' } })
    },
  })
  const runs = plan.data?.partitions
  const missing = tried && from === ''
  return (
    <Dialog title={say('backfill.title', { name })} size={560} onClose={onClose}>
      <form
        className="schema-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          setTried(true)
          const params = form.check()
          if (params === undefined || from === '' || wrongNumber) focusFault(event.currentTarget)
          else begin.mutate({ ...range, order, concurrency: atATime, params })
        }}
      >
        <p className="dialog-text">{say(`backfill.text.${unit}`)}</p>
        {begin.isError && (
          <InlineProblem title={problemText(begin.error, say('error.unreachable'))} hint={begin.error instanceof ApiError ? begin.error.hint : undefined} />
        )}
        <div className="backfill-range">
          <div className="field">
            <label htmlFor={`${id}-from`}>{say('backfill.from')}</label>
            <input
              id={`${id}-from`}
              className="text-input"
              {...inputOf(unit)}
              value={from}
              aria-required
              aria-invalid={missing}
              aria-describedby={missing ? `${id}-missing` : undefined}
              onChange={(event) => setFrom(event.currentTarget.value)}
            />
            {missing && (
              <p id={`${id}-missing`} className="small c-bad" role="alert">
                {say('form.fault.required')}
              </p>
            )}
          </div>
          <div className="field">
            <label htmlFor={`${id}-to`}>
              {say('backfill.to')} <span className="quiet small">{say('form.optional')}</span>
            </label>
            <input
              id={`${id}-to`}
              className="text-input"
              {...inputOf(unit)}
              value={to}
              aria-describedby={`${id}-newest`}
              onChange={(event) => setTo(event.currentTarget.value)}
            />
            <p id={`${id}-newest`} className="quiet small">
              {say('backfill.to.newest')}
            </p>
          </div>
        </div>
        <div className="field">
          <span className="label">{say('backfill.existing')}</span>
          <Choice
            label={say('backfill.existing')}
            value={existing}
            options={(['skip', 'again'] as const).map((value) => ({ value, label: say(`backfill.existing.${value}`) }))}
            onChange={setExisting}
          />
        </div>
        <div className="backfill-range">
          <div className="field">
            <span className="label">{say('backfill.order')}</span>
            <Choice
              label={say('backfill.order')}
              value={order}
              options={(['oldest', 'newest'] as const).map((value) => ({ value, label: say(`backfill.order.${value}`) }))}
              onChange={setOrder}
            />
          </div>
          <div className="field">
            <label htmlFor={`${id}-at`}>{say('backfill.atATime')}</label>
            <input
              id={`${id}-at`}
              className="text-input"
              inputMode="numeric"
              value={concurrency}
              aria-invalid={tried && wrongNumber}
              aria-describedby={tried && wrongNumber ? `${id}-number` : undefined}
              onChange={(event) => setConcurrency(event.currentTarget.value)}
            />
            {tried && wrongNumber && (
              <p id={`${id}-number`} className="small c-bad" role="alert">
                {say('form.between', { least: 1, most: format.number(mostAtATime) })}
              </p>
            )}
          </div>
        </div>
        <SchemaFields form={form} refused={begin.error} />
        <div className="backfill-plan" role="status">
          {plan.isError ? (
            <span className="c-bad">
              {problemText(plan.error, say('error.unreachable'))}
              {plan.error instanceof ApiError && plan.error.hint !== undefined && <span className="quiet"> {plan.error.hint}</span>}
            </span>
          ) : plan.data === undefined ? (
            <span className="quiet">{say('backfill.plan.none')}</span>
          ) : (
            <Plan plan={plan.data} />
          )}
        </div>
        <div className="dialog-acts">
          <Button onClick={onClose}>{say('action.cancel')}</Button>
          <Button type="submit" variant="filled" leftSection={<History aria-hidden />} loading={begin.isPending} disabled={runs === 0}>
            {runs === undefined ? say('backfill.new') : say('backfill.do', { n: runs, count: format.number(runs) })}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}

function Plan({ plan: { partitions, skipped, first, last, sample } }: { plan: BackfillPlanShape }) {
  const { say, format } = useWords()
  return (
    <>
      <strong>
        {partitions === 0
          ? say('backfill.plan.nothing')
          : say('backfill.plan', {
              n: partitions,
              count: format.number(partitions),
              span: first === last ? (first ?? '') : say('backfill.span', { first: first ?? '', last: last ?? '' }),
            })}
      </strong>
      {skipped > 0 && <span className="quiet"> {say('backfill.plan.skipped', { n: skipped, count: format.number(skipped) })}</span>}
      {sample.length > 1 && (
        <span className="quiet mono backfill-sample">
          {sample.map((name) => (
            <span key={name}>{name}</span>
          ))}
          {sample.length < partitions && '…'}
        </span>
      )}
    </>
  )
}
