import { useWords } from '../../ui/words/index.tsx'

/** How long a key lives on, by the second. */
export function Left({ expiresAt, now }: { expiresAt: number | null; now: number }) {
  const { say, format } = useWords()
  if (expiresAt === null) return <span className="quiet">{say('keys.stays')}</span>
  if (expiresAt <= now) return <span className="c-warn">{say('keys.expired')}</span>
  return format.duration(Math.ceil((expiresAt - now) / 1000) * 1000)
}
