import { Mark, type Tone } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import type { Freshness } from './order.ts'

const tone: Readonly<Record<Freshness, Tone>> = { fresh: 'ok', behind: 'warn', stale: 'warn', failed: 'bad', running: 'run', waiting: 'off', never: 'off' }

export function Fresh({ state, error }: { state: Freshness; error: string | undefined }) {
  const { say } = useWords()
  return (
    <span className={state === 'failed' ? 'state c-bad' : state === 'behind' || state === 'stale' ? 'state c-warn' : 'state'} title={error}>
      <Mark tone={tone[state]} />
      {say(`fresh.${state}`)}
    </span>
  )
}
