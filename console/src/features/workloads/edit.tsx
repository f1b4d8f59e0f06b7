/** A workload to be made, or to be changed: its name, its kind, and the params that the kind's schema names. */
import { Button } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useId, useState } from 'react'
import { ApiError, patch, postOnce, type WorkloadKindList, workloadPath, type WorkloadShape } from '../../api/index.ts'
import { useOnce } from '../../api/once.ts'
import { Dialog } from '../../ui/dialog.tsx'
import { focusFault, SchemaFields, useSchemaForm } from '../../ui/schema-form/form.tsx'
import { InlineProblem, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'

type Kinds = WorkloadKindList['items']

/** Without a workload it makes a new one. */
export function WorkloadDialog({ kinds, workload, onClose }: { kinds: Kinds; workload: WorkloadShape | undefined; onClose: () => void }) {
  const { say } = useWords()
  const id = useId()
  const [name, setName] = useState(workload?.name ?? '')
  const [kind, setKind] = useState(workload?.kind ?? kinds[0]?.kind ?? '')
  const chosen = kinds.find((each) => each.kind === kind)
  return (
    <Dialog title={workload === undefined ? say('workloads.new') : say('workload.edit.title', { name: workload.name })} size={560} onClose={onClose}>
      <div className="schema-form workload-head">
        <div className="field">
          <label htmlFor={`${id}-kind`}>{say('workloads.column.kind')}</label>
          <select id={`${id}-kind`} className="select" value={kind} onChange={(event) => setKind(event.currentTarget.value)}>
            {kinds.map((each) => (
              <option key={each.kind} value={each.kind}>
                {each.kind}
              </option>
            ))}
          </select>
          {chosen !== undefined && <p className="quiet small">{chosen.about}</p>}
        </div>
      </div>
      {chosen !== undefined && (
        <KindForm
          key={kind}
          kind={chosen}
          begin={workload?.kind === kind ? workload.params : undefined}
          name={name}
          onName={setName}
          workload={workload}
          onClose={onClose}
        />
      )}
    </Dialog>
  )
}

function KindForm({
  kind,
  begin,
  name,
  onName,
  workload,
  onClose,
}: {
  kind: Kinds[number]
  begin: unknown
  name: string
  onName: (name: string) => void
  workload: WorkloadShape | undefined
  onClose: () => void
}) {
  const { say } = useWords()
  const id = useId()
  const client = useQueryClient()
  const navigate = useNavigate()
  const form = useSchemaForm(kind.params, begin)
  const keyOf = useOnce()
  const [tried, setTried] = useState(false)
  // The version that the form began with: what others change meanwhile is not overwritten.
  const [version] = useState(workload?.version)
  const nameless = tried && name.trim() === ''
  const save = useMutation({
    mutationFn: (body: { name: string; kind: string; params: unknown }) =>
      workload === undefined ? postOnce<WorkloadShape>('workloads', body, keyOf(body)) : patch<WorkloadShape>(workloadPath(workload.id), body, version),
    onSuccess: async (made) => {
      toast('ok', say(workload === undefined ? 'workload.made' : 'workload.saved', { name: made.name }))
      onClose()
      await client.invalidateQueries({ queryKey: ['workloads'] })
      if (workload === undefined) await navigate({ to: '/workloads/$id', params: { id: made.id } })
    },
  })
  const conflict = save.error instanceof ApiError && save.error.kind === 'conflict'
  return (
    <form
      className="schema-form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault()
        setTried(true)
        const params = form.check()
        if (params === undefined || name.trim() === '') focusFault(event.currentTarget)
        else save.mutate({ name: name.trim(), kind: kind.kind, params })
      }}
    >
      {save.isError && (
        <InlineProblem
          title={conflict ? say('workload.conflict') : problemText(save.error, say('error.unreachable'))}
          hint={conflict ? say('workload.conflict.hint') : save.error instanceof ApiError ? save.error.hint : undefined}
          action={
            conflict ? (
              <button
                type="button"
                className="action-link"
                onClick={() => {
                  void client.invalidateQueries({ queryKey: ['workloads'] })
                  onClose()
                }}
              >
                {say('workload.conflict.do')}
              </button>
            ) : undefined
          }
        />
      )}
      <div className="field">
        <label htmlFor={`${id}-name`}>{say('workloads.column.name')}</label>
        <input
          id={`${id}-name`}
          data-autofocus
          className="text-input"
          maxLength={200}
          autoComplete="off"
          value={name}
          aria-required
          aria-invalid={nameless}
          aria-describedby={nameless ? `${id}-nameless` : undefined}
          onChange={(event) => onName(event.currentTarget.value)}
        />
        {nameless && (
          <p id={`${id}-nameless`} className="small c-bad" role="alert">
            {say('form.fault.required')}
          </p>
        )}
      </div>
      <SchemaFields form={form} refused={save.error} />
      <div className="dialog-acts">
        <Button onClick={onClose}>{say('action.cancel')}</Button>
        <Button type="submit" variant="filled" loading={save.isPending}>
          {say(workload === undefined ? 'workload.make' : 'workload.save')}
        </Button>
      </div>
    </form>
  )
}
