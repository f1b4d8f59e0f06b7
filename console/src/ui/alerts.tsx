/** One alert as a line, the same in the overview, on the live screen and in the history. */
import type { AlertShape } from '../api/index.ts'
import { fieldLabel } from './format.ts'
import { Mark, type Tone } from './parts.tsx'
import { useWords } from './words/index.tsx'

function alertTone(alert: AlertShape): Tone {
  if (alert.state === 'resolved') return 'ok'
  if (alert.state === 'pending') return 'run'
  // A single reading is over as soon as it fired.
  if (alert.state === 'fired') return alert.severity === 'info' ? 'off' : 'warn'
  return alert.severity === 'critical' ? 'bad' : alert.severity === 'warning' ? 'warn' : 'run'
}

export function AlertRow({ alert, now, showRule = true }: { alert: AlertShape; now: number; showRule?: boolean }) {
  const { say, format } = useWords()
  const values = Object.entries(alert.values)
    .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
    .slice(0, 3)
    .map(([name, value]) => `${fieldLabel(name)} ${format.number(value)}`)
  const length =
    alert.state === 'firing'
      ? say('alert.firingFor', { span: format.duration(now - alert.startedAt) })
      : alert.resolvedAt !== null
        ? say('alert.firedFor', { span: format.duration(alert.resolvedAt - alert.startedAt) })
        : say(`alert.${alert.state}`)
  return (
    <li className="row">
      <Mark tone={alertTone(alert)} label={say(`alert.${alert.state}`)} />
      <div className="what">
        <div style={{ fontWeight: alert.state === 'firing' ? 550 : 450 }}>
          {alert.message ?? alert.key}
          {alert.message === undefined && values.length > 0 && <span className="alert-values">{values.join(', ')}</span>}
        </div>
        <div className="quiet small">
          {showRule && <span className="mono">{alert.rule}</span>}
          {showRule && ' · '}
          {length}
        </div>
      </div>
      <time className="right" dateTime={new Date(alert.startedAt).toISOString()} title={format.dateTime(alert.startedAt)}>
        {now - alert.startedAt < 20 * 3_600_000 ? format.time(alert.startedAt) : format.ago(alert.startedAt, now)}
      </time>
    </li>
  )
}
