/** The overview's title: what the data says, in at most two sentences. */
import type { Overview, System } from '../../api/types.ts'

type Words =
  | { id: 'situation.empty' | 'situation.fresh' | 'situation.allWell' }
  | {
      id: 'situation.project' | 'situation.silent' | 'situation.failed' | 'situation.sinks' | 'situation.firing' | 'situation.checks' | 'situation.services'
      n: number
    }

export function situation(overview: Overview, system: Pick<System, 'services'> | undefined): Words[] {
  const of = (kind: Overview['attention'][number]['kind']): number => overview.attention.filter((each) => each.kind === kind).length
  const down = system?.services.filter((service) => service.state === 'down').length ?? of('service')
  const failed = of('table')
  const silent = of('stale')
  const project = of('project')
  const sinks = of('sink')
  const first: Words =
    down > 0
      ? { id: 'situation.services', n: down }
      : project > 0
        ? { id: 'situation.project', n: project }
        : failed > 0
          ? { id: 'situation.failed', n: failed }
          : sinks > 0
            ? { id: 'situation.sinks', n: sinks }
            : silent > 0
              ? { id: 'situation.silent', n: silent }
              : overview.lakeRows === 0 && overview.movement.sources.every((source) => source.records === 0)
                ? { id: 'situation.empty' }
                : { id: 'situation.fresh' }
  if (overview.alerts.firing > 0) return [first, { id: 'situation.firing', n: overview.alerts.firing }]
  if (overview.checks.failed > 0) return [first, { id: 'situation.checks', n: overview.checks.failed }]
  return first.id === 'situation.fresh' ? [first, { id: 'situation.allWell' }] : [first]
}
