import { basename } from 'node:path'
import type { Platform } from '../../platform/index.ts'
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
          mode: config.database.url === undefined ? ('embedded' as const) : ('mixed' as const),
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
