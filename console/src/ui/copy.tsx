/** A button that puts a text on the clipboard and says so. */
import { Button } from '@mantine/core'
import { Check, Copy } from 'lucide-react'
import { useEffect, useState } from 'react'
import { toast } from './toasts.tsx'
import { useWords } from './words/index.tsx'

const saidForMs = 2_000

export function CopyButton({ text, label }: { text: string; label: string }) {
  const { say } = useWords()
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return undefined
    const timer = window.setTimeout(() => setCopied(false), saidForMs)
    return () => window.clearTimeout(timer)
  }, [copied])
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      setCopied(true)
    } catch {
      toast('bad', say('copy.failed'))
    }
  }
  return (
    <Button size="xs" leftSection={copied ? <Check aria-hidden /> : <Copy aria-hidden />} onClick={() => void copy()}>
      <span aria-live="polite">{copied ? say('copy.done') : label}</span>
    </Button>
  )
}
