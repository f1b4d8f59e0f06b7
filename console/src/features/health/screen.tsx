/** The engines one by one, the nodes that share the work, and this process. */
import './health.css'
import { Button } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { type ServiceShape, servicesQuery, systemQuery } from '../../api/index.ts'
import { useNow } from '../../ui/now.ts'
import { PageHead } from '../../ui/parts.tsx'
import { FailedScreen, InlineProblem, LoadingScreen } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { Engine } from './engine.tsx'
import { Nodes } from './nodes.tsx'

export function HealthScreen() {
  const { say, format } = useWords()
  const services = useQuery(servicesQuery)
  const system = useQuery(systemQuery).data
  const now = useNow()
  if (services.data === undefined) return services.isError ? <FailedScreen error={services.error} onRetry={() => void services.refetch()} /> : <LoadingScreen />
  const { items } = services.data
  const down = items.filter(({ state }) => state === 'down').length
  const degraded = items.filter(({ state }) => state === 'degraded').length
  const title =
    down > 0
      ? say('health.title.down', { n: down })
      : degraded > 0
        ? say('health.title.degraded', { n: degraded })
        : say('health.title.up', { n: items.length })

  return (
    <>
      <PageHead
        title={title}
        sub={
          system === undefined ? undefined : (
            <span className="facts-line">
              <span>{say('health.version', { version: system.version })}</span>
              <span>{say('health.uptime', { span: format.duration(now - system.startedAt) })}</span>
              <span>{say('health.memory', { size: format.bytes(system.memoryBytes) })}</span>
            </span>
          )
        }
      />
      {services.isError && (
        <InlineProblem
          title={say('overview.old')}
          hint={say('overview.old.hint')}
          action={
            <Button size="xs" onClick={() => void services.refetch()}>
              {say('action.retry')}
            </Button>
          }
        />
      )}
      {system?.problems.map((problem) => (
        <InlineProblem
          key={problem.code}
          title={say('attention.project.title')}
          hint={[problem.message, problem.hint].filter((text) => text !== undefined).join('. ')}
        />
      ))}
      <ul className="engines" aria-label={say('health.engines')}>
        {byTrouble(items).map((service) => (
          <Engine key={service.name} service={service} now={now} />
        ))}
      </ul>
      <Nodes now={now} />
    </>
  )
}

/** What needs somebody comes first; the others keep their places. */
function byTrouble(services: readonly ServiceShape[]): ServiceShape[] {
  const rank: Readonly<Record<ServiceShape['state'], number>> = { down: 0, degraded: 1, up: 2, off: 2 }
  return services.toSorted((a, b) => rank[a.state] - rank[b.state])
}
