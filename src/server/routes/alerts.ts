import { z } from 'zod'
import { closest, invalid, missing, parseDuration } from '../../base/index.ts'
import type { AlertView, RuleView } from '../../alerts/index.ts'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import { AlertList, RuleList, SilenceList, SilenceShape, type AlertShape, type RuleShape } from '../wire.ts'

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
        const stuck = await stuckStreams(platform, new Set(rules.map(({ on }) => on)))
        return { items: rules.map((rule) => ruleShape(rule, stuck.get(rule.on))) }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/rules/{name}/silences',
      access: { action: 'write', resource: 'rules' },
      summary: 'Silence a rule: until then its alerts stand in the history, and nothing goes to its queues',
      params: z.object({ name: z.string() }),
      body: z.strictObject({ ...Time, reason: z.string(), by: z.string().optional() }).refine(hasOneTime, { error: ONE_TIME }),
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
        return alerts.silence(name, { until: timeOf(body), reason: body.reason, by: body.by })
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
      method: 'patch',
      path: '/api/v1/silences/{id}',
      access: { action: 'write', resource: 'rules' },
      summary: 'Give a silence that holds another end: until then, or for so long from now',
      params: z.object({ id: z.string() }),
      body: z.strictObject(Time).refine(hasOneTime, { error: ONE_TIME }),
      answer: SilenceShape,
      handle: async ({ params, body }) => alerts.extendSilence(params.id, timeOf(body)),
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
        severity: z.enum(['info', 'warning', 'critical']).optional(),
        since: z.coerce.number().optional().describe('Started at this time or after it, in epoch milliseconds'),
        until: z.coerce.number().optional().describe('Started before this time'),
        limit: limitParam(1000, 100),
        cursor: z.string().optional(),
      }),
      answer: AlertList,
      async handle({ query }) {
        const { state, rule, severity, since, until, limit, cursor } = query
        const page = await alerts.listAlerts({
          limit,
          ...(state === undefined ? {} : { state }),
          ...(rule === undefined ? {} : { rule }),
          ...(severity === undefined ? {} : { severity }),
          ...(since === undefined ? {} : { since }),
          ...(until === undefined ? {} : { until }),
          ...(cursor === undefined ? {} : { cursor }),
        })
        return { items: page.items.map(alertShape), ...(page.cursor === undefined ? {} : { cursor: page.cursor }) }
      },
    }),
  ]
}

/** When a silence ends: at a time, or after a while. */
const Time = { until: z.number().optional(), for: z.string().optional() }
const ONE_TIME = "give either until (epoch milliseconds) or for, such as '2h'"
type TimeBody = { readonly until?: number | undefined; readonly for?: string | undefined }
const hasOneTime = (body: TimeBody): boolean => (body.until === undefined) !== (body.for === undefined)

function timeOf(body: TimeBody): number {
  if (body.until !== undefined) return body.until
  const ms = parseDuration(body.for ?? '')
  if (ms === null) throw invalid('alerts.silence_time', `"${body.for}" is no duration`, { hint: "Write for: '2h', for example." })
  return Date.now() + ms
}

type Problem = NonNullable<RuleShape['problem']>

/** Streams whose readings do not get to their rules, and why. */
async function stuckStreams(platform: Platform, names: ReadonlySet<string>): Promise<ReadonlyMap<string, Problem>> {
  const found = new Map<string, Problem>()
  for (const [name, runtime] of platform.pipeline?.streams ?? []) {
    if (!names.has(name)) continue
    const { problem, sinks } = await runtime.status()
    const failing = sinks.find(({ kind, state }) => kind === 'alerts' && state === 'retrying')
    if (problem) found.set(name, problemShape(problem))
    else if (failing) found.set(name, { message: failing.error ?? `The rules of ${name} are tried again` })
  }
  return found
}

const problemShape = ({ message, hint }: { readonly message: string; readonly hint?: string | undefined }): Problem => ({
  message,
  ...(hint === undefined ? {} : { hint }),
})

function ruleShape({ to, limits, problem, ...rule }: RuleView, stuck: Problem | undefined): RuleShape {
  const told = stuck ?? (problem && problemShape(problem))
  return { ...rule, to: [...to], limits: [...limits], ...(told ? { problem: told } : {}) }
}

export function alertShape({ id, rule, mode, severity, key, state, startedAt, resolvedAt, matched, values, message, delivery }: AlertView): AlertShape {
  const told = { ...(message ? { message } : {}), ...(delivery ? { delivery } : {}) }
  return { id, rule, mode, severity, key, state, startedAt, resolvedAt, matched, values: { ...values }, ...told }
}
