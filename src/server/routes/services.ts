/** The engines one by one, and the nodes that share the work. */
import { hidePasswords, type Platform, type Service } from '../../platform/index.ts'
import { jsonRoute, type Route } from '../route.ts'
import { NodeList, ServiceList, type ServiceHealth, type ServiceShape } from '../wire.ts'

export function serviceRoutes(platform: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/services',
      access: { action: 'read', resource: 'system' },
      summary: 'Every engine: where it is, how it answers, what needs it and what waits for it',
      answer: ServiceList,
      async handle() {
        return { items: (await platform.services()).map(serviceShape) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/nodes',
      access: { action: 'read', resource: 'system' },
      summary: 'The nodes that run this project on one database, and which carries what',
      answer: NodeList,
      async handle() {
        // The first is this one; a node that has just started may not have said yet that it is there.
        const nodes = await platform.engines.duties.nodes()
        return { items: nodes.map((node, i) => ({ ...node, duties: [...node.duties], self: i === 0 && node.pid === process.pid })) }
      },
    }),
  ]
}

/** What every screen shows of an engine. */
export function serviceHealth({ name, adapter, state, latencyMs, detail, hint }: Service): ServiceHealth {
  return { name, adapter, state, latencyMs, ...(detail === undefined ? {} : { detail: hidePasswords(detail) }), ...(hint === undefined ? {} : { hint }) }
}

function serviceShape(service: Service): ServiceShape {
  const { address, since, history, lastError, retryAt, usedBy } = service
  return {
    ...serviceHealth(service),
    address,
    since,
    history: [...history],
    lastError: lastError === null ? null : { ...lastError, message: hidePasswords(lastError.message) },
    retryAt,
    usedBy: usedBy.map(({ kind, name, state, pending, error, retryAt: next }) => ({
      kind,
      name,
      state,
      pending,
      ...(error === undefined ? {} : { error: hidePasswords(error) }),
      retryAt: next,
    })),
  }
}
