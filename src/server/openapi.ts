/** The OpenAPI 3.1 document of all routes. */
import { z } from 'zod'
import type { Route } from './route.ts'
import { ErrorShape } from './wire.ts'

export function openApi(routes: readonly Route[], version: string): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    const operations = (paths[route.path] ??= {})
    operations[route.method] = {
      summary: route.summary,
      operationId: `${route.method}_${route.path.replaceAll(/[^A-Za-z0-9]+/g, '_').replaceAll(/^_|_$/g, '')}${/.\/$/.test(route.path) ? '_slash' : ''}`,
      tags: [route.access.resource],
      'x-access': route.access,
      parameters: [...parameters(route.params, 'path'), ...parameters(route.query, 'query')],
      ...(route.body || route.bodyTypes
        ? {
            requestBody: {
              required: true,
              content: Object.fromEntries(
                (route.bodyTypes ?? ['application/json']).map((type) => [type, { schema: route.body ? json(route.body, 'input') : {} }]),
              ),
            },
          }
        : {}),
      responses: {
        [String(route.answerStatus ?? 200)]: {
          description: 'The answer',
          ...(route.answer ? { content: { 'application/json': { schema: json(route.answer, 'output') } } } : {}),
        },
        default: { description: 'What went wrong', content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } } },
      },
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Lagoa',
      version,
      description: 'Streams, live cache, alerts and a Delta lakehouse.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths,
    components: { schemas: { Error: json(ErrorShape, 'output') } },
  }
}

function parameters(schema: z.ZodObject | undefined, place: 'path' | 'query'): Record<string, unknown>[] {
  if (!schema) return []
  return Object.entries(schema.shape).map(([name, field]) => {
    const type = field as z.ZodType
    return { name, in: place, required: place === 'path' || !type.safeParse(undefined).success, schema: json(type, 'input') }
  })
}

function json(schema: z.ZodType, io: 'input' | 'output'): unknown {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  return rest
}
