/** What can be done with a run. What cannot be taken back is asked for first, with what it would do. */
import { Button } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Ban, Pause, Play, RotateCcw } from 'lucide-react'
import { useState } from 'react'
import { ApiError, flowQuery, post, type RunDetailShape, type RunNodeShape, runPath } from '../../api/index.ts'
import { Confirm } from '../../ui/confirm.tsx'
import { problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { behind } from './timeline.ts'

/** Everything that tells of this run is read again. */
function useRunChanged(id: string): () => void {
  const client = useQueryClient()
  return () => {
    void client.invalidateQueries({ queryKey: ['run', id] })
    for (const key of ['runs', 'flows', 'workloads']) void client.invalidateQueries({ queryKey: [key] })
  }
}

export function RunActs({ run, tasks }: { run: RunDetailShape; tasks: readonly RunNodeShape[] | undefined }) {
  const { say } = useWords()
  const changed = useRunChanged(run.id)
  const [asking, setAsking] = useState<'cancel' | 'retry'>()
  const goesOn = run.endedAt === null
  // Of a flow that the project has no more nothing can be run anew.
  const isKnown = useQuery({ ...flowQuery(run.flow), retry: false, refetchInterval: false }).isSuccess
  const pause = useMutation({
    mutationFn: () => post(`${runPath(run.id)}/${run.paused ? 'resume' : 'pause'}`),
    onSuccess: () => {
      toast('ok', say(run.paused ? 'run.resumed' : 'run.isPaused'), run.paused ? undefined : say('run.isPaused.detail'))
      changed()
    },
    onError: (error) => toast('bad', problemText(error, say('error.unreachable')), error instanceof ApiError ? error.hint : undefined),
  })
  const toRetry = (tasks ?? []).filter(({ state, reason }) => state === 'failed' || state === 'cancelled' || (state === 'skipped' && reason !== 'branch'))
  const active = (tasks ?? []).filter(({ state }) => state === 'running' || state === 'deferred' || state === 'expanded').length
  return (
    <>
      {goesOn && (
        <Button leftSection={run.paused ? <Play aria-hidden /> : <Pause aria-hidden />} loading={pause.isPending} onClick={() => pause.mutate()}>
          {say(run.paused ? 'run.resume' : 'run.pause')}
        </Button>
      )}
      {goesOn && (
        <Button leftSection={<Ban aria-hidden />} onClick={() => setAsking('cancel')}>
          {say('run.cancel')}
        </Button>
      )}
      {!goesOn && isKnown && toRetry.length > 0 && (
        <Button variant="filled" leftSection={<RotateCcw aria-hidden />} onClick={() => setAsking('retry')}>
          {say('run.retry')}
        </Button>
      )}
      {asking === 'cancel' && (
        <Confirm
          title={say('run.cancel.title', { flow: run.flow })}
          action={say('run.cancel')}
          danger
          run={() => post(`${runPath(run.id)}/cancel`)}
          onDone={() => {
            toast('ok', say('run.cancelled'))
            changed()
          }}
          onClose={() => setAsking(undefined)}
        >
          {active === 0 ? say('run.cancel.none') : say('run.cancel.text', { n: active })}
        </Confirm>
      )}
      {asking === 'retry' && (
        <Confirm
          title={say('run.retry.title', { flow: run.flow })}
          action={say('run.retry')}
          run={() => post(`${runPath(run.id)}/retry`)}
          onDone={() => {
            toast('ok', say('run.retried'))
            changed()
          }}
          onClose={() => setAsking(undefined)}
        >
          {say('run.retry.text', { n: toRetry.length, names: named(toRetry.map(({ name }) => name)) })}
        </Confirm>
      )}
    </>
  )
}

export function RetryFrom({ run, node, name }: { run: RunDetailShape; node: number; name: string }) {
  const { say } = useWords()
  const changed = useRunChanged(run.id)
  const [asking, setAsking] = useState(false)
  const names = [...behind([node], run.graph.edges)].map((place) => run.graph.nodes[place]?.name ?? '')
  return (
    <>
      <Button size="xs" leftSection={<RotateCcw aria-hidden />} onClick={() => setAsking(true)}>
        {say('task.retryFrom')}
      </Button>
      {asking && (
        <Confirm
          title={say('task.retryFrom.title', { name })}
          action={say('task.retryFrom')}
          danger
          run={() => post(`${runPath(run.id)}/retry`, { from: [name] })}
          onDone={() => {
            toast('ok', say('run.retried'))
            changed()
          }}
          onClose={() => setAsking(false)}
        >
          {say('task.retryFrom.text', { n: names.length, names: named(names) })}
        </Confirm>
      )}
    </>
  )
}

/** The first few of the names. */
const named = (names: readonly string[]): string => (names.length <= 6 ? names.join(', ') : `${names.slice(0, 5).join(', ')}, … (${names.length})`)
