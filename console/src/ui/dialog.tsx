/** A question over the page, with a heading and a way out. The page behind stays in sight and out of reach. */
import { Modal } from '@mantine/core'
import type { ReactNode } from 'react'
import { useWords } from './words/index.tsx'

export function Dialog({ title, size, onClose, children }: { title: string; size: number; onClose: () => void; children: ReactNode }) {
  const { say } = useWords()
  return (
    <Modal.Root opened onClose={onClose} size={size} transitionProps={{ duration: 80 }}>
      <Modal.Overlay />
      <Modal.Content classNames={{ content: 'dialog' }}>
        <div className="dialog-head">
          <Modal.Title>{title}</Modal.Title>
          <Modal.CloseButton aria-label={say('action.close')} />
        </div>
        <div className="dialog-body">{children}</div>
      </Modal.Content>
    </Modal.Root>
  )
}
