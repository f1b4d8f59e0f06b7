/** What stands beside a rule's name: how bad it is, and that it is silent. */
import { BellOff } from 'lucide-react'
import type { RuleShape, SilenceShape } from '../../api/index.ts'
import { Tag } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'

export function Severity({ severity }: { severity: RuleShape['severity'] }) {
  const { say } = useWords()
  return <Tag kind={severity === 'critical' ? 'bad' : severity === 'warning' ? 'warn' : 'plain'}>{say(`severity.${severity}`)}</Tag>
}

export function SilenceTag({ silence }: { silence: SilenceShape }) {
  const { say, format } = useWords()
  return (
    <span className="silence-tag" title={silence.reason}>
      <Tag kind="warn">
        <BellOff aria-hidden />
        {say('silence.until', { time: format.dateTime(silence.until) })}
      </Tag>
    </span>
  )
}
