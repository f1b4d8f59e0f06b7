import { basename } from 'node:path'
import type { Config, Platform } from '../../platform/index.ts'
import { jsonRoute, type Route } from '../route.ts'
import { version } from '../version.ts'
import { System } from '../wire.ts'
import { serviceHealth } from './services.ts'

export function systemRoutes(platform: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/system',
      access: { action: 'read', resource: 'system' },
      summary: 'The version, the project, its engines and their health',
      answer: System,
      async handle() {
        const { config, problem, pipeline } = platform
        return {
          version,
          project: basename(config.project),
          title: config.title ?? pipeline?.project.name ?? '',
          mode: modeOf(config),
          startedAt: platform.startedAt,
          now: Date.now(),
          memoryBytes: await platform.memoryBytes(),
          services: (await platform.services()).map(serviceHealth),
          problems: problem ? [{ code: problem.code, message: problem.message, ...(problem.hint === undefined ? {} : { hint: problem.hint }) }] : [],
        }
      },
    }),
  ]
}

/** Whether its engines are in this process, servers of their own, or some of each. */
function modeOf({ database, kafka, redis, rabbitmq, objects }: Config): 'embedded' | 'external' | 'mixed' {
  const servers = [database.url, kafka.brokers, redis.url, rabbitmq.url].map((address) => address !== undefined)
  const external = [...servers, objects.store === 's3'].filter(Boolean).length
  return external === 0 ? 'embedded' : external === 5 ? 'external' : 'mixed'
}
