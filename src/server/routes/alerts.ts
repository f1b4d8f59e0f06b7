import { z } from 'zod'
import type { AlertView } from '../../alerts/index.ts'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import { AlertList, RuleList, type AlertShape } from '../wire.ts'

export function alertRoutes({ alerts }: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/rules',
      access: { action: 'read', resource: 'rules' },
      summary: 'The alert rules with their totals',
      answer: RuleList,
      async handle() {
        const rules = await alerts.listRules()
        return { items: rules.map((rule) => ({ ...rule, to: [...rule.to], limits: [...rule.limits] })) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/alerts',
      access: { action: 'read', resource: 'alerts' },
      summary: 'Alerts, newest first; reading them changes nothing',
      query: z.object({
        state: z.enum(['pending', 'firing', 'resolved', 'fired']).optional(),
        rule: z.string().optional(),
        limit: limitParam(1000, 100),
        cursor: z.string().optional(),
      }),
      answer: AlertList,
      async handle({ query }) {
        const { state, rule, limit, cursor } = query
        const page = await alerts.listAlerts({
          limit,
          ...(state === undefined ? {} : { state }),
          ...(rule === undefined ? {} : { rule }),
          ...(cursor === undefined ? {} : { cursor }),
        })
        return { items: page.items.map(alertShape), ...(page.cursor === undefined ? {} : { cursor: page.cursor }) }
      },
    }),
  ]
}

export function alertShape({ id, rule, mode, severity, key, state, startedAt, resolvedAt, matched, values, message }: AlertView): AlertShape {
  return { id, rule, mode, severity, key, state, startedAt, resolvedAt, matched, values: { ...values }, ...(message ? { message } : {}) }
}
