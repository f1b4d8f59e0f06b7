import { z } from 'zod'
import { missing } from '../../base/index.ts'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import { KeyList, KeyShape } from '../wire.ts'

export function keyRoutes({ engines }: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/keys',
      access: { action: 'read', resource: 'keys' },
      summary: 'Entries of the live cache whose key starts with a prefix',
      query: z.object({ prefix: z.string().default(''), limit: limitParam(1000, 100), cursor: z.string().optional() }),
      answer: KeyList,
      async handle({ query: { prefix, limit, cursor } }) {
        const page = await engines.keys.scan(prefix, { limit, ...(cursor === undefined ? {} : { cursor }) })
        return {
          items: page.entries.map((entry) => ({ ...entry, fields: { ...entry.fields } })),
          ...(page.cursor === undefined ? {} : { cursor: page.cursor }),
        }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/keys/{key}',
      access: { action: 'read', resource: 'keys' },
      summary: 'One entry of the live cache',
      params: z.object({ key: z.string() }),
      answer: KeyShape,
      async handle({ params: { key } }) {
        const entry = await engines.keys.get(key)
        if (!entry) throw missing('keys.no_key', `There is no key ${key}`, { hint: 'It never was, or its time to live is over; see GET /api/v1/keys?prefix=.' })
        return { ...entry, fields: { ...entry.fields } }
      },
    }),
    jsonRoute({
      method: 'delete',
      path: '/api/v1/keys/{key}',
      access: { action: 'write', resource: 'keys' },
      summary: 'Delete one entry of the live cache; the next record of its key makes it anew',
      params: z.object({ key: z.string() }),
      answer: z.object({ deleted: z.number() }),
      async handle({ params: { key } }) {
        return { deleted: await engines.keys.delete([key]) }
      },
    }),
  ]
}
