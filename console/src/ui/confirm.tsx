/** A question before something that cannot be taken back: what would happen, and one button that does it. */
import { Button } from '@mantine/core'
import { useMutation } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { ApiError } from '../api/index.ts'
import { Dialog } from './dialog.tsx'
import { InlineProblem, problemText } from './states.tsx'
import { useWords } from './words/index.tsx'

export function Confirm({
  title,
  children,
  action,
  danger = false,
  run,
  onDone,
  onClose,
}: {
  title: string
  children: ReactNode
  action: string
  danger?: boolean
  run: () => Promise<unknown>
  onDone: () => void
  onClose: () => void
}) {
  const { say } = useWords()
  const work = useMutation({
    mutationFn: run,
    onSuccess: () => {
      onClose()
      onDone()
    },
  })
  return (
    <Dialog title={title} size={460} onClose={onClose}>
      {work.isError && (
        <InlineProblem title={problemText(work.error, say('error.unreachable'))} hint={work.error instanceof ApiError ? work.error.hint : undefined} />
      )}
      <div className="dialog-text">{children}</div>
      <div className="dialog-acts">
        <Button data-autofocus onClick={onClose}>
          {say('action.cancel')}
        </Button>
        <Button variant="filled" className={danger ? 'danger' : ''} loading={work.isPending} onClick={() => work.mutate()}>
          {action}
        </Button>
      </div>
    </Dialog>
  )
}
