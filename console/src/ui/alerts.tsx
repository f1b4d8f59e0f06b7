/** One alert as a line, the same in the overview, on the live screen and in the history. */
import { BellOff, BellRing, Clock, Send } from 'lucide-react'
import type { AlertShape } from '../api/index.ts'
import { type Format, fieldLabel } from './format.ts'
import { Mark, type Tone } from './parts.tsx'
import { useWords } from './words/index.tsx'

export function alertTone(alert: AlertShape): Tone {
  if (alert.state === 'resolved') return 'ok'
  if (alert.state === 'pending') return 'run'
  // A single reading is over as soon as it fired.
  if (alert.state === 'fired') return alert.severity === 'info' ? 'off' : 'warn'
  return alert.severity === 'critical' ? 'bad' : alert.severity === 'warning' ? 'warn' : 'run'
}

const deliveryIcons = { waiting: Clock, sent: Send, silenced: BellOff, none: BellRing }

/** What became of the alert's message, as a picture and a word. */
export function Delivery({ alert }: { alert: AlertShape }) {
  const { say } = useWords()
  if (alert.delivery === undefined) return null
  const Icon = deliveryIcons[alert.delivery]
  return (
    <span className={`delivery ${alert.delivery}`} title={say(`delivery.${alert.delivery}.what`)}>
      <Icon aria-hidden />
      {say(`delivery.${alert.delivery}`)}
    </span>
  )
}

/** The numbers of the reading that fired it, the first few. */
export function alertValues(alert: AlertShape, format: Format): string {
  return Object.entries(alert.values)
    .filter((entry): entry is [string, number] => typeof entry[1] === 'number')
    .slice(0, 3)
    .map(([name, value]) => `${fieldLabel(name)} ${format.number(value)}`)
    .join(', ')
}

/** `every` tells of messages that were sent as they should, too. */
export function AlertRow({ alert, now, every = false }: { alert: AlertShape; now: number; every?: boolean }) {
  const { say, format } = useWords()
  const values = alertValues(alert, format)
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
          {alert.message === undefined && values !== '' && <span className="alert-values">{values}</span>}
        </div>
        <div className="quiet small">
          <span className="mono">{alert.rule}</span>
          {' · '}
          {length}
          {(every || alert.delivery === 'silenced' || alert.delivery === 'waiting') && alert.delivery !== undefined && (
            <>
              {' · '}
              <Delivery alert={alert} />
            </>
          )}
        </div>
      </div>
      <time className="right" dateTime={new Date(alert.startedAt).toISOString()} title={format.dateTime(alert.startedAt)}>
        {now - alert.startedAt < 20 * 3_600_000 ? format.time(alert.startedAt) : format.ago(alert.startedAt, now)}
      </time>
    </li>
  )
}
