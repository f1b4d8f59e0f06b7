import { z } from 'zod'
import { closest, invalid, missing, parseDuration } from '../../base/index.ts'
import type { AlertView } from '../../alerts/index.ts'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import { AlertList, RuleList, SilenceList, SilenceShape, type AlertShape } from '../wire.ts'

export function alertRoutes(platform: Platform): Route[] {
  const { alerts } = platform
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
      method: 'post',
      path: '/api/v1/rules/{name}/silences',
      access: { action: 'write', resource: 'rules' },
      summary: 'Silence a rule: until then its alerts stand in the history, and nothing goes to its queues',
      params: z.object({ name: z.string() }),
      body: z
        .strictObject({ until: z.number().optional(), for: z.string().optional(), reason: z.string() })
        .refine((body) => (body.until === undefined) !== (body.for === undefined), { error: "give either until (epoch milliseconds) or for, such as '2h'" }),
      answer: SilenceShape,
      answerStatus: 201,
      async handle({ params: { name }, body }) {
        const names = (platform.pipeline?.rules ?? []).map((rule) => rule.name)
        if (!names.includes(name)) {
          const near = closest(name, names)
          throw missing('alerts.no_rule', `There is no rule ${name}`, {
            hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'GET /api/v1/rules lists them.',
          })
        }
        const ms = body.for === undefined ? null : parseDuration(body.for)
        if (body.for !== undefined && ms === null)
          throw invalid('alerts.silence_time', `"${body.for}" is no duration`, { hint: "Write for: '2h', for example." })
        return alerts.silence(name, { until: body.until ?? Date.now() + (ms ?? 0), reason: body.reason })
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/silences',
      access: { action: 'read', resource: 'rules' },
      summary: 'Silences: those that hold first, then the newest, at most 200',
      answer: SilenceList,
      async handle() {
        return { items: await alerts.listSilences() }
      },
    }),
    jsonRoute({
      method: 'delete',
      path: '/api/v1/silences/{id}',
      access: { action: 'write', resource: 'rules' },
      summary: 'End a silence now',
      params: z.object({ id: z.string() }),
      answer: SilenceShape,
      handle: ({ params }) => alerts.endSilence(params.id),
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
