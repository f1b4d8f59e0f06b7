/** A name and some tables make a branch. A mistake is said beside the field that it is in. */
import { Button } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { type FormEvent, useId, useState } from 'react'
import { ApiError, type BranchShape, post, tablesQuery } from '../../api/index.ts'
import { Find } from '../../ui/filters.tsx'
import { Dialog } from '../../ui/dialog.tsx'
import { InlineProblem, problemText } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { isBranchName } from './changes.ts'

const tablesToFilter = 10

export function CreateBranch({ taken, onClose }: { taken: readonly string[]; onClose: () => void }) {
  const { say, format } = useWords()
  const navigate = useNavigate()
  const client = useQueryClient()
  const id = useId()
  const [name, setName] = useState('')
  const [chosen, setChosen] = useState<readonly string[]>([])
  const [wanted, setWanted] = useState('')
  const [tried, setTried] = useState(false)
  // What was never written has no version to fork.
  const tables = (useQuery(tablesQuery).data?.items ?? []).filter(({ version }) => version !== null)
  const shown = tables.filter((table) => table.name.toLowerCase().includes(wanted.trim().toLowerCase()) || chosen.includes(table.name))
  const nameProblem =
    name === '' ? say('branches.name.none') : taken.includes(name) ? say('branches.name.taken') : isBranchName(name) ? undefined : say('branches.name.bad')
  const create = useMutation({
    mutationFn: () => post<BranchShape>('branches', { name, tables: chosen }),
    onSuccess: async (branch) => {
      await client.invalidateQueries({ queryKey: ['branches'] })
      onClose()
      await navigate({ to: '/lake/branches/$branch', params: { branch: branch.name } })
    },
  })
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    setTried(true)
    if (nameProblem === undefined && chosen.length > 0) create.mutate()
  }
  return (
    <Dialog title={say('branches.create')} size={480} onClose={onClose}>
      <form onSubmit={submit} className="create-branch" noValidate>
        {create.isError && (
          <InlineProblem title={problemText(create.error, say('error.unreachable'))} hint={create.error instanceof ApiError ? create.error.hint : undefined} />
        )}
        <label htmlFor={`${id}-name`}>{say('branches.name')}</label>
        <input
          id={`${id}-name`}
          data-autofocus
          className="text-input"
          autoComplete="off"
          spellCheck={false}
          value={name}
          aria-invalid={tried && nameProblem !== undefined}
          aria-describedby={`${id}-name-says`}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <p id={`${id}-name-says`} className={tried && nameProblem !== undefined ? 'small c-bad' : 'quiet small'} role={tried ? 'alert' : undefined}>
          {(tried || (name !== '' && nameProblem !== say('branches.name.none')) ? nameProblem : undefined) ?? say('branches.name.hint')}
        </p>
        <fieldset aria-describedby={`${id}-tables-say`}>
          <legend>{say('branches.tables')}</legend>
          {tables.length > tablesToFilter && <Find label={say('lake.find')} value={wanted} onChange={setWanted} />}
          <div className="tables-to-choose" tabIndex={0} role="group" aria-label={say('branches.tables')}>
            {shown.map((table) => (
              <label key={table.name}>
                <input
                  type="checkbox"
                  checked={chosen.includes(table.name)}
                  onChange={(event) => setChosen(event.currentTarget.checked ? [...chosen, table.name] : chosen.filter((each) => each !== table.name))}
                />
                <span>{table.name}</span>
                <span className="quiet small">{table.rows === null ? '' : say('history.rows', { n: table.rows, rows: format.count(table.rows) })}</span>
              </label>
            ))}
            {tables.length === 0 && <p className="quiet">{say('branches.tables.unwritten')}</p>}
          </div>
          <p
            id={`${id}-tables-say`}
            className={tried && chosen.length === 0 ? 'small c-bad' : 'quiet small'}
            role={tried && chosen.length === 0 ? 'alert' : undefined}
          >
            {tried && chosen.length === 0 ? say('branches.tables.none') : say('branches.tables.hint')}
          </p>
        </fieldset>
        <div className="dialog-acts">
          <Button onClick={onClose}>{say('action.cancel')}</Button>
          <Button type="submit" variant="filled" loading={create.isPending}>
            {say('branches.create.do')}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
