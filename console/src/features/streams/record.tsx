/** One record, whole: where it is, when it came, its key, and its value in lines. */
import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { ArrowLeft, ArrowRight } from 'lucide-react'
import { recordQuery } from '../../api/index.ts'
import type { RecordPlace } from '../../app/search.ts'
import { CopyButton } from '../../ui/copy.tsx'
import { Dialog } from '../../ui/dialog.tsx'
import { Fact } from '../../ui/parts.tsx'
import { Failure, LoadingRows } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'

export function RecordDialog({
  name,
  place,
  onOpen,
  onClose,
}: {
  name: string
  place: RecordPlace
  onOpen: (place: RecordPlace) => void
  onClose: () => void
}) {
  const { say, format } = useWords()
  const { partition, offset } = place
  const found = useQuery(recordQuery(name, partition, offset))
  const [record] = found.data?.items ?? []
  const there = record?.offset === offset ? record : undefined
  const text = there === undefined ? '' : typeof there.value === 'string' ? there.value : JSON.stringify(there.value, null, 2)
  return (
    <Dialog title={say('record.title', { offset: format.number(offset) })} size={720} onClose={onClose}>
      {found.isPending ? (
        <LoadingRows rows={6} />
      ) : found.isError ? (
        <Failure error={found.error} onRetry={() => void found.refetch()} />
      ) : there === undefined ? (
        <p className="dialog-text">{say('record.gone')}</p>
      ) : (
        <>
          <dl className="facts">
            <Fact label={say('record.time')}>{format.dateTime(there.time)}</Fact>
            <Fact label={say('stream.partition')}>{partition}</Fact>
            <Fact label={say('record.offset')}>{format.number(offset)}</Fact>
            <Fact label={say('record.key')}>{there.key ?? <span className="quiet">null</span>}</Fact>
          </dl>
          <pre className="record-text" tabIndex={0} role="region" aria-label={say('record.value')}>
            {text}
          </pre>
        </>
      )}
      <div className="dialog-acts">
        <span className="beside">
          <Button size="xs" leftSection={<ArrowLeft aria-hidden />} disabled={offset === 0} onClick={() => onOpen({ partition, offset: offset - 1 })}>
            {say('record.before')}
          </Button>
          <Button size="xs" rightSection={<ArrowRight aria-hidden />} onClick={() => onOpen({ partition, offset: offset + 1 })}>
            {say('record.after')}
          </Button>
        </span>
        {there !== undefined && <CopyButton text={text} label={say('record.copy')} />}
      </div>
    </Dialog>
  )
}
