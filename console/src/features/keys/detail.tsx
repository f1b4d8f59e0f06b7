/** One key: what it holds, as fields or as it is, how long it lives on, and its end. */
import { ActionIcon, Button } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Copy, Trash2, X } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { ApiError, type KeyShape, keyPath, keyQuery, remove } from '../../api/index.ts'
import { Dialog } from '../../ui/dialog.tsx'
import { Choice, Panel, Tag } from '../../ui/parts.tsx'
import { Empty, Failure, InlineProblem, LoadingRows, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Left } from './left.tsx'
import { prettyJson, rawText, shownPart } from './shape.ts'

export function KeyDetail({
  name,
  raw,
  now,
  onView,
  onClose,
}: {
  name: string
  raw: boolean
  now: number
  onView: (view: 'pretty' | 'raw') => void
  onClose: () => void
}) {
  const { say, format } = useWords()
  const entry = useQuery(keyQuery(name))
  const [deleting, setDeleting] = useState(false)
  const panel = useRef<HTMLDivElement>(null)
  const isGone = entry.error instanceof ApiError && entry.error.status === 404
  const shown = isGone ? undefined : entry.data
  // On a narrow screen it stands above the list that was just pressed.
  useEffect(() => {
    // Its answer is a promise in some browsers, and no way to undo.
    panel.current?.scrollIntoView({ block: 'nearest' })
  }, [])

  return (
    <div ref={panel} className="key-detail">
      <Panel
        title={say('keys.value')}
        tag={shown === undefined ? undefined : <Tag kind="plain">{say(`keys.type.${shown.type}`)}</Tag>}
        right={
          <ActionIcon variant="subtle" color="gray" size={24} aria-label={say('action.close')} onClick={onClose}>
            <X />
          </ActionIcon>
        }
      >
        <div className="key-head">
          <strong className="mono">{name}</strong>
          <CopyButton text={name} label={say('keys.copyKey')} small />
        </div>
        {shown !== undefined ? (
          <>
            <dl className="key-facts">
              <div>
                <dt>{say('keys.column.size')}</dt>
                <dd>{format.bytes(shown.bytes)}</dd>
              </div>
              <div>
                <dt>{say('keys.column.ttl')}</dt>
                <dd>
                  <Left expiresAt={shown.expiresAt} now={now} />
                </dd>
              </div>
              {shown.updatedAt > 0 && (
                <div>
                  <dt>{say('keys.column.updated')}</dt>
                  <dd title={format.dateTime(shown.updatedAt)}>{format.ago(shown.updatedAt, now)}</dd>
                </div>
              )}
            </dl>
            {entry.isError && (
              <div className="keys-old">
                <InlineProblem title={say('keys.old')} hint={problemText(entry.error, say('error.unreachable'))} />
              </div>
            )}
            <div className="key-acts">
              <Choice
                label={say('keys.view')}
                value={raw ? 'raw' : 'pretty'}
                options={[
                  { value: 'pretty', label: say('keys.view.pretty') },
                  { value: 'raw', label: say('keys.view.raw') },
                ]}
                onChange={onView}
              />
              <span>
                <CopyButton text={rawText(shown)} label={say('keys.copyValue')} />
                <Button leftSection={<Trash2 aria-hidden />} onClick={() => setDeleting(true)}>
                  {say('keys.delete')}
                </Button>
              </span>
            </div>
            <Value entry={shown} raw={raw} />
          </>
        ) : isGone ? (
          <Empty title={say('keys.gone')}>{say('keys.gone.text')}</Empty>
        ) : entry.isError ? (
          <Failure error={entry.error} onRetry={() => void entry.refetch()} />
        ) : (
          <LoadingRows rows={6} />
        )}
      </Panel>
      {deleting && <DeleteKey name={name} onDone={onClose} onClose={() => setDeleting(false)} />}
    </div>
  )
}

function Value({ entry, raw }: { entry: KeyShape; raw: boolean }) {
  const { say } = useWords()
  if (raw) return <Text text={rawText(entry)} />
  const fields = Object.entries(entry.fields)
  if (entry.type !== 'hash') return <Text text={prettyJson(rawText(entry)) ?? rawText(entry)} />
  return (
    <div className="key-fields" tabIndex={0} role="region" aria-label={say('keys.fields')}>
      <table className="list-table">
        <thead>
          <tr>
            <th scope="col">{say('keys.column.field')}</th>
            <th scope="col">{say('keys.column.value')}</th>
          </tr>
        </thead>
        <tbody>
          {fields.slice(0, mostFields).map(([name, value]) => {
            const json = prettyJson(value)
            return (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{json === null ? <span className="mono">{shownPart(value).text}</span> : <pre className="mono">{shownPart(json).text}</pre>}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
      {fields.length > mostFields && <p className="quiet small key-cut">{say('keys.cutFields', { n: fields.length - mostFields })}</p>}
    </div>
  )
}

/** The most fields that are drawn. */
const mostFields = 200

function Text({ text }: { text: string }) {
  const { say } = useWords()
  const { text: part, cut } = shownPart(text)
  return (
    <>
      <pre className="key-text mono" tabIndex={0} aria-label={say('keys.content')} role="region">
        {part}
      </pre>
      {cut && <p className="quiet small key-cut">{say('keys.cut')}</p>}
    </>
  )
}

function CopyButton({ text, label, small = false }: { text: string; label: string; small?: boolean }) {
  const { say } = useWords()
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => toast('ok', say('keys.copied')),
      () => toast('bad', say('keys.notCopied')),
    )
  }
  return small ? (
    <ActionIcon variant="subtle" color="gray" size={24} aria-label={label} title={label} onClick={copy}>
      <Copy />
    </ActionIcon>
  ) : (
    <Button leftSection={<Copy aria-hidden />} onClick={copy}>
      {label}
    </Button>
  )
}

function DeleteKey({ name, onDone, onClose }: { name: string; onDone: () => void; onClose: () => void }) {
  const { say } = useWords()
  const client = useQueryClient()
  const gone = useMutation({
    mutationFn: () => remove<{ deleted: number }>(keyPath(name)),
    onSuccess: ({ deleted }) => {
      toast('ok', say(deleted === 0 ? 'keys.gone' : 'keys.deleted'), name)
      onDone()
      void client.invalidateQueries({ queryKey: ['keys'] })
    },
  })
  return (
    <Dialog title={say('keys.delete.title')} size={460} onClose={onClose}>
      <p className="dialog-text key-name-whole mono">{name}</p>
      <p className="dialog-text">{say('keys.delete.text')}</p>
      {gone.isError && (
        <InlineProblem title={problemText(gone.error, say('error.unreachable'))} hint={gone.error instanceof ApiError ? gone.error.hint : undefined} />
      )}
      <div className="dialog-acts">
        <Button data-autofocus onClick={onClose}>
          {say('action.cancel')}
        </Button>
        <Button variant="filled" className="danger" loading={gone.isPending} onClick={() => gone.mutate()}>
          {say('keys.delete.do')}
        </Button>
      </div>
    </Dialog>
  )
}
