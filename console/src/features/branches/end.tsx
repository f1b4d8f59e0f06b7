/** How a branch ends: merged, once a dry run has shown what that does, or dropped, once the reader has said so again. */
import { Button } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { ApiError, type BranchMerge, branchPath, post, remove } from '../../api/index.ts'
import { Dialog } from '../../ui/dialog.tsx'
import { Mark } from '../../ui/parts.tsx'
import { Failure, InlineProblem, LoadingRows, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'

export function MergeBranch({ name, onClose }: { name: string; onClose: () => void }) {
  const { say, format } = useWords()
  const leave = useLeave(name)
  const trial = useQuery({
    queryKey: ['branches', name, 'trial'],
    queryFn: ({ signal }) => post<BranchMerge>(`${branchPath(name)}/merge`, { dryRun: true }, signal),
    // What was true when the dialog was last open may not be so now.
    gcTime: 0,
    staleTime: 0,
    retry: false,
    refetchOnWindowFocus: false,
  })
  const merge = useMutation({
    mutationFn: () => post<BranchMerge>(`${branchPath(name)}/merge`, { dryRun: false }),
    onSuccess: ({ items }) => leave(say('branch.merged', { name }), format.list(items.filter(({ outcome }) => outcome === 'merged').map(({ table }) => table))),
  })
  const conflict = trial.error instanceof ApiError && trial.error.kind === 'conflict'
  return (
    <Dialog title={say('branch.merge.title', { name })} size={540} onClose={onClose}>
      {trial.isPending ? (
        <LoadingRows rows={4} />
      ) : trial.isError ? (
        conflict ? (
          <InlineProblem title={problemText(trial.error, '')} hint={trial.error instanceof ApiError ? trial.error.hint : undefined} />
        ) : (
          <Failure error={trial.error} onRetry={() => void trial.refetch()} />
        )
      ) : (
        <>
          <p className="dialog-text">{say(trial.data.items.some(({ outcome }) => outcome === 'merged') ? 'branch.merge.text' : 'branch.merge.nothing')}</p>
          <ul className="trial">
            {trial.data.items.map((item) => (
              <li key={item.table}>
                <Mark tone={item.outcome === 'merged' ? 'ok' : 'off'} />
                <b>{item.table}</b>
                <span className="quiet">
                  {item.outcome === 'merged'
                    ? say('branch.merge.files', { added: format.number(item.filesAdded), removed: format.number(item.filesRemoved) })
                    : say('branch.merge.unchanged')}
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
      {merge.isError && (
        <InlineProblem title={problemText(merge.error, say('error.unreachable'))} hint={merge.error instanceof ApiError ? merge.error.hint : undefined} />
      )}
      <div className="dialog-acts">
        <Button onClick={onClose}>{say(conflict ? 'action.close' : 'action.cancel')}</Button>
        {!conflict && (
          <Button variant="filled" disabled={trial.data === undefined} loading={merge.isPending} onClick={() => merge.mutate()}>
            {say('branch.merge.do')}
          </Button>
        )}
      </div>
    </Dialog>
  )
}

export function DropBranch({ name, tables, onClose }: { name: string; tables: number; onClose: () => void }) {
  const { say } = useWords()
  const leave = useLeave(name)
  const drop = useMutation({ mutationFn: () => remove<{ dropped: string }>(branchPath(name)), onSuccess: () => leave(say('branch.dropped', { name })) })
  return (
    <Dialog title={say('branch.drop.title', { name })} size={460} onClose={onClose}>
      <p className="dialog-text">{say('branch.drop.text', { n: tables })}</p>
      {drop.isError && (
        <InlineProblem title={problemText(drop.error, say('error.unreachable'))} hint={drop.error instanceof ApiError ? drop.error.hint : undefined} />
      )}
      <div className="dialog-acts">
        <Button data-autofocus onClick={onClose}>
          {say('action.cancel')}
        </Button>
        <Button variant="filled" className="danger" loading={drop.isPending} onClick={() => drop.mutate()}>
          {say('branch.drop.do')}
        </Button>
      </div>
    </Dialog>
  )
}

/** Away from a branch that is no more, with the news of it. */
function useLeave(name: string): (title: string, detail?: string) => Promise<void> {
  const client = useQueryClient()
  const navigate = useNavigate()
  return async (title, detail) => {
    toast('ok', title, detail)
    await navigate({ to: '/lake/branches' })
    client.removeQueries({ queryKey: ['branches', name] })
    void client.invalidateQueries({ queryKey: ['branches'] })
    void client.invalidateQueries({ queryKey: ['tables'] })
    void client.invalidateQueries({ queryKey: ['table'] })
  }
}
