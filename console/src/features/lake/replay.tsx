/** Held rows and the way back: first how many pass by today's rules, then, when the reader says so, back into the table. */
import { Button } from '@mantine/core'
import { useMutation, useQueryClient } from '@tanstack/react-query'
import { ApiError, post, type ReplayAnswer } from '../../api/index.ts'
import { Mark } from '../../ui/parts.tsx'
import { problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'

export function HeldRows({ name, held }: { name: string; held: number }) {
  const { say, format } = useWords()
  const client = useQueryClient()
  const path = `tables/${encodeURIComponent(name)}/replay`
  const failed = (error: unknown): void =>
    toast(
      'bad',
      say('replay.failed', { name }),
      [problemText(error, say('error.unreachable')), error instanceof ApiError ? error.hint : undefined].filter((part) => part !== undefined).join('\n'),
    )
  const look = useMutation({ mutationFn: () => post<ReplayAnswer>(path, { dryRun: true }), onError: failed })
  const release = useMutation({
    mutationFn: () => post<ReplayAnswer>(path, { dryRun: false }),
    onSuccess: async ({ released, superseded }) => {
      look.reset()
      toast(
        'ok',
        say('replay.done', { n: released, rows: format.number(released) }),
        superseded > 0 ? say('replay.superseded', { n: superseded, rows: format.number(superseded) }) : undefined,
      )
      await client.invalidateQueries({ queryKey: ['table', name] })
      void client.invalidateQueries({ queryKey: ['tables'] })
    },
    onError: failed,
  })
  const found = look.data
  const nothing = found !== undefined && found.released + found.superseded === 0

  return (
    <div className="panel row" style={{ borderTopWidth: 1 }}>
      <Mark tone="warn" />
      <div className="what" role="status">
        <strong>{say('quality.held', { n: held, rows: format.number(held) })}</strong>
        <div className="quiet small">
          {found === undefined
            ? say('quality.held.text', { name })
            : nothing
              ? say('replay.none')
              : [
                  say('replay.ask', { n: found.released, rows: format.number(found.released), of: format.number(found.checked) }),
                  found.superseded > 0 ? say('replay.superseded', { n: found.superseded, rows: format.number(found.superseded) }) : '',
                ]
                  .filter((part) => part !== '')
                  .join(' ')}
        </div>
      </div>
      <div className="right">
        {found === undefined || nothing ? (
          <Button size="xs" loading={look.isPending} onClick={() => look.mutate()}>
            {say('replay.look')}
          </Button>
        ) : (
          <>
            <Button size="xs" variant="subtle" disabled={release.isPending} onClick={() => look.reset()}>
              {say('action.cancel')}
            </Button>
            <Button size="xs" variant="filled" loading={release.isPending} onClick={() => release.mutate()}>
              {say('replay.put')}
            </Button>
          </>
        )}
      </div>
    </div>
  )
}
