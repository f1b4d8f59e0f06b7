/** Short results of what the reader asked for. At most four at a time; a failure stays until it is closed. */
import { ActionIcon } from '@mantine/core'
import { X } from 'lucide-react'
import { useSyncExternalStore } from 'react'
import { Mark } from './parts.tsx'
import { useWords } from './words/index.tsx'

type Toast = { readonly id: number; readonly tone: 'ok' | 'bad'; readonly title: string; readonly detail: string | undefined }

let shown: readonly Toast[] = []
let next = 1
const listeners = new Set<() => void>()

function show(toasts: readonly Toast[]): void {
  shown = toasts
  for (const listener of listeners) listener()
}

export function toast(tone: Toast['tone'], title: string, detail?: string): void {
  const id = next++
  show([...shown, { id, tone, title, detail }].slice(-4))
  if (tone === 'ok') window.setTimeout(() => close(id), 6_000)
}

function close(id: number): void {
  show(shown.filter((each) => each.id !== id))
}

export function Toasts() {
  const { say } = useWords()
  const list = useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => shown,
  )
  return (
    <div className="toasts" role="status">
      {list.map((each) => (
        <div className="toast" key={each.id}>
          <Mark tone={each.tone} />
          <div>
            <strong>{each.title}</strong>
            {each.detail !== undefined && <div className="quiet">{each.detail}</div>}
          </div>
          <ActionIcon variant="subtle" color="gray" size={24} aria-label={say('action.close')} onClick={() => close(each.id)}>
            <X />
          </ActionIcon>
        </div>
      ))}
    </div>
  )
}
