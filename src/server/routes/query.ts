import { z } from 'zod'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, type Route } from '../route.ts'
import { QueryResult } from '../wire.ts'

const Body = z.object({
  sql: z.string().min(1),
  limit: z.number().int().min(1).max(100_000).default(1000),
  branch: z.string().optional().describe('Read the tables as this branch has them'),
})

export function queryRoutes(platform: Platform): Route[] {
  return [
    jsonRoute({
      method: 'post',
      path: '/api/v1/query',
      access: { action: 'read', resource: 'tables' },
      summary: 'Run one SELECT over the tables',
      body: Body,
      answer: QueryResult,
      async handle({ body, context }) {
        const { columns, rows, truncated, elapsedMs } = await platform.query.run(body.sql, {
          limit: body.limit,
          signal: context.req.raw.signal,
          ...(body.branch === undefined ? {} : { branch: body.branch }),
        })
        return { columns: [...columns], rows: rows.map((row) => [...row]), truncated, elapsedMs }
      },
    }),
  ]
}
