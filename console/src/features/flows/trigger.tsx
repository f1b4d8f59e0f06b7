/** Asking for a run: the params as their schema says, with what is wrong beside each. */
import { Button } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Play } from 'lucide-react'
import { ApiError, type FlowDetailShape, flowPath, postOnce, type RunShape } from '../../api/index.ts'
import { useOnce } from '../../api/once.ts'
import { Dialog } from '../../ui/dialog.tsx'
import { focusFault, SchemaFields, useSchemaForm } from '../../ui/schema-form/form.tsx'
import { InlineProblem, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'

export function TriggerDialog({ flow, begin, onClose }: { flow: FlowDetailShape; begin?: unknown; onClose: () => void }) {
  const { say } = useWords()
  const client = useQueryClient()
  const navigate = useNavigate()
  const form = useSchemaForm(flow.params, begin)
  const keyOf = useOnce()
  const { name } = flow
  const start = useMutation({
    mutationFn: (body: { params: unknown }) => postOnce<RunShape>(`${flowPath(name)}/runs`, body, keyOf(body)),
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
          if (params === undefined) focusFault(event.currentTarget)
          else start.mutate({ params })
        }}
      >
        {start.isError && (
          <InlineProblem title={problemText(start.error, say('error.unreachable'))} hint={start.error instanceof ApiError ? start.error.hint : undefined} />
        )}
        {none && <p className="dialog-text">{say('flow.run.noParams')}</p>}
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
