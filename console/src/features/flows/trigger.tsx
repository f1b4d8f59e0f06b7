/** Asking for a run: the params as their schema says, with what is wrong beside each. */
import { Button } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Play } from 'lucide-react'
import { useId, useState } from 'react'
import { ApiError, type FlowDetailShape, flowPath, postOnce, type RunShape } from '../../api/index.ts'
import { useOnce } from '../../api/once.ts'
import { Dialog } from '../../ui/dialog.tsx'
import { focusFault, SchemaFields, useSchemaForm } from '../../ui/schema-form/form.tsx'
import { InlineProblem, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { asPartition, inputOf } from './partitions.ts'

export function TriggerDialog({ flow, onClose }: { flow: FlowDetailShape; onClose: () => void }) {
  const { say } = useWords()
  const client = useQueryClient()
  const navigate = useNavigate()
  const form = useSchemaForm(flow.params)
  const id = useId()
  const [day, setDay] = useState('')
  const [tried, setTried] = useState(false)
  const keyOf = useOnce()
  const { name, partition } = flow
  const missing = tried && partition !== null && day === ''
  const start = useMutation({
    mutationFn: (body: { params: unknown; partition: string | undefined }) => postOnce<RunShape>(`${flowPath(name)}/runs`, body, keyOf(body)),
    onSuccess: async (run) => {
      toast('ok', say('flow.started', { name }))
      onClose()
      void client.invalidateQueries({ queryKey: ['flows'] })
      void client.invalidateQueries({ queryKey: ['runs'] })
      await navigate({ to: '/runs/$id', params: { id: run.id } })
    },
  })
  const none = form.fields?.length === 0
  return (
    <Dialog title={say('flow.run.title', { name })} size={520} onClose={onClose}>
      <form
        className="schema-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          const params = form.check()
          setTried(true)
          if (params === undefined || (partition !== null && day === '')) focusFault(event.currentTarget)
          else start.mutate({ params, partition: partition === null ? undefined : asPartition(partition, day) })
        }}
      >
        {start.isError && (
          <InlineProblem title={problemText(start.error, say('error.unreachable'))} hint={start.error instanceof ApiError ? start.error.hint : undefined} />
        )}
        {partition !== null && (
          <div className="field">
            <label htmlFor={`${id}-partition`}>{say(`flow.partition.one.${partition}`)}</label>
            <input
              id={`${id}-partition`}
              className="text-input"
              {...inputOf(partition)}
              value={day}
              aria-required
              aria-invalid={missing}
              aria-describedby={missing ? `${id}-missing` : undefined}
              onChange={(event) => setDay(event.currentTarget.value)}
            />
            {missing && (
              <p id={`${id}-missing`} className="small c-bad" role="alert">
                {say('form.fault.required')}
              </p>
            )}
          </div>
        )}
        {none && partition === null && <p className="dialog-text">{say('flow.run.noParams')}</p>}
        <SchemaFields form={form} refused={start.error} />
        <div className="dialog-acts">
          <Button onClick={onClose}>{say('action.cancel')}</Button>
          <Button type="submit" variant="filled" leftSection={<Play aria-hidden />} loading={start.isPending}>
            {say('flow.run')}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
