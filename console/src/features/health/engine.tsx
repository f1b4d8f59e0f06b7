/** One engine: its state, how fast it answers now and did, what is wrong with it, and what needs it. */
import type { ServiceShape } from '../../api/index.ts'
import { Mark, Prose, Tag, type Tone } from '../../ui/parts.tsx'
import type { Format } from '../../ui/format.ts'
import { useWords } from '../../ui/words/index.tsx'
import { History } from './history.tsx'

const tones: Readonly<Record<ServiceShape['state'], Tone>> = { up: 'ok', degraded: 'warn', down: 'bad', off: 'off' }

export function Engine({ service, now }: { service: ServiceShape; now: number }) {
  const { say, format } = useWords()
  const { name, state, adapter, address, since, lastError, detail, hint, retryAt, usedBy } = service
  const waiting = usedBy.filter((use) => use.state === 'waiting')
  const others = usedBy.filter((use) => use.state !== 'waiting')
  return (
    <li className={`panel engine-card ${state}`} aria-label={say(`service.${name}`)}>
      <div className="engine-head">
        <Mark tone={tones[state]} />
        <h2>{say(`service.${name}`)}</h2>
        <Tag kind="plain">{adapter}</Tag>
        <span className={state === 'down' ? 'engine-state c-bad' : state === 'degraded' ? 'engine-state c-warn' : 'engine-state'}>
          {say('health.state', { state: say(`service.${state}`), span: format.duration(now - since) })}
        </span>
      </div>
      <div className="engine-address mono" title={address ?? undefined}>
        {address ?? say('health.inside')}
      </div>
      <div className="engine-pace">
        <span className="engine-latency">
          {service.latencyMs === null ? (
            '–'
          ) : (
            <>
              {latency(service.latencyMs, format)}
              <small> ms</small>
            </>
          )}
        </span>
        <History values={service.history} />
      </div>
      {state !== 'up' && state !== 'off' && (
        <div className={state === 'down' ? 'engine-problem bad' : 'engine-problem'} role="alert">
          <strong>{detail ?? say('health.slow')}</strong>
          {hint !== undefined && (
            <p>
              <Prose>{hint}</Prose>
            </p>
          )}
          {retryAt !== null && <p className="quiet small">{say('health.next', { n: Math.max(0, Math.ceil((retryAt - now) / 1000)) })}</p>}
        </div>
      )}
      {state === 'up' && lastError !== null && (
        <p className="quiet small engine-last">{say('health.last', { ago: format.ago(lastError.at, now), message: lastError.message })}</p>
      )}
      {waiting.length > 0 && (
        <ul className="engine-waits" aria-label={say('health.waits')}>
          {waiting.map((use) => (
            <li key={use.kind + use.name}>
              <Mark tone="warn" label={say('health.waits.one')} />
              <span>
                <Use use={use} />
                {state !== 'down' && use.error !== undefined && <span className="quiet small engine-why">{use.error}</span>}
              </span>
              {use.retryAt !== null && <span className="quiet small">{say('health.next', { n: Math.max(0, Math.ceil((use.retryAt - now) / 1000)) })}</span>}
            </li>
          ))}
        </ul>
      )}
      {others.length > 0 && (
        <details className="engine-uses" open={others.length <= fewUses}>
          <summary>{say('health.usedBy', { n: others.length })}</summary>
          <ul>
            {others.map((use) => (
              <li key={use.kind + use.name}>
                <Use use={use} />
              </li>
            ))}
          </ul>
        </details>
      )}
    </li>
  )
}

/** A sink that goes on is always a little behind; so much is worth telling. */
const manyPending = 1_000
/** More are folded away. */
const fewUses = 6

function Use({ use }: { use: ServiceShape['usedBy'][number] }) {
  const { say, format } = useWords()
  if (use.kind === 'tables') return say('health.use.tables', { n: Number(use.name) })
  const name = use.kind === 'engine' && (use.name === 'eventLog' || use.name === 'keys' || use.name === 'queue') ? say(`service.${use.name}`) : use.name
  return (
    <>
      <span className="quiet">{say(`health.use.${use.kind}`)}</span> <span className={use.kind === 'engine' ? undefined : 'mono'}>{name}</span>
      {use.pending >= (use.state === 'waiting' ? 1 : manyPending) && (
        <span className="quiet small"> {say(`health.pending.${use.kind}`, { n: use.pending, count: format.number(use.pending) })}</span>
      )}
    </>
  )
}

const latency = (ms: number, format: Format): string => format.number(ms, ms < 10 ? 1 : 0)
