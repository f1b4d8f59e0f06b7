/** Workloads, under `/api/v1/workloads` and, for the clients of the workload document, under `/workloads` as well. */
import { z } from 'zod'
import { invalid } from '../../base/index.ts'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, limitParam, type HttpContext, type Route } from '../route.ts'
import { RunList, RunShape, WorkloadKindList, WorkloadList, WorkloadResults, WorkloadShape } from '../wire.ts'
import { runShape } from './flows.ts'

const Known = z.object({ id: z.string() })
const Paged = z.object({ limit: limitParam(1000, 50), cursor: z.string().optional() })
const Name = z.string().min(1).max(200)
const Body = z.strictObject({ name: Name, kind: z.string(), params: z.unknown() })

export const workloadRoutes = (platform: Platform): Route[] => [
  jsonRoute({
    method: 'get',
    path: '/api/v1/workload-kinds',
    access: { action: 'read', resource: 'workloads' },
    summary: 'The kinds of workloads, with the schema of what each takes',
    answer: WorkloadKindList,
    handle: async () => ({ items: platform.workloads.kinds.map((kind) => ({ ...kind })) }),
  }),
  ...routesAt('/api/v1/workloads', platform),
  ...routesAt('/workloads', platform),
]

function routesAt(root: string, { workloads }: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: root,
      access: { action: 'read', resource: 'workloads' },
      summary: 'Workloads, newest first',
      query: Paged.extend({ kind: z.string().optional(), name: z.string().optional().describe('Part of the name') }),
      answer: WorkloadList,
      handle: ({ query }) => workloads.list(query),
    }),
    jsonRoute({
      method: 'post',
      path: root,
      access: { action: 'write', resource: 'workloads' },
      summary: 'Create a workload; a worker takes it up at once. With an Idempotency-Key the same request again answers the same workload',
      body: Body,
      answer: WorkloadShape,
      answerStatus: 201,
      async handle({ body, context }) {
        const made = await workloads.create({ ...body, key: context.req.header('idempotency-key') })
        context.header('location', `${root}/${made.id}`)
        return tagged(context, made)
      },
    }),
    jsonRoute({
      method: 'get',
      path: `${root}/{id}`,
      access: { action: 'read', resource: 'workloads' },
      summary: 'A workload; its version is the ETag',
      params: Known,
      answer: WorkloadShape,
      handle: async ({ params, context }) => tagged(context, await workloads.get(params.id)),
    }),
    ...(['put', 'patch'] as const).map((method) =>
      jsonRoute({
        method,
        path: `${root}/{id}`,
        access: { action: 'write', resource: 'workloads' },
        summary: method === 'put' ? 'Replace a workload; If-Match guards against changes of others' : 'Change a workload; what is not named stays',
        params: Known,
        body: method === 'put' ? Body : Body.partial(),
        answer: WorkloadShape,
        handle: async ({ params, body, context }) =>
          tagged(
            context,
            await workloads.update(
              params.id,
              { ...(body.name === undefined ? {} : { name: body.name }), ...(body.kind === undefined ? {} : { kind: body.kind }), params: body.params },
              expected(context),
            ),
          ),
      }),
    ),
    jsonRoute({
      method: 'delete',
      path: `${root}/{id}`,
      access: { action: 'write', resource: 'workloads' },
      summary: 'Delete a workload with its results; what runs of it is cancelled',
      params: Known,
      answer: z.object({ deleted: z.string() }),
      async handle({ params, context }) {
        await workloads.remove(params.id, expected(context))
        return { deleted: params.id }
      },
    }),
    jsonRoute({
      method: 'post',
      path: `${root}/{id}/runs`,
      access: { action: 'run', resource: 'workloads' },
      summary: 'Run a workload again',
      params: Known,
      answer: RunShape,
      answerStatus: 201,
      handle: async ({ params, context }) => runShape(await workloads.run(params.id, context.req.header('idempotency-key'))),
    }),
    jsonRoute({
      method: 'get',
      path: `${root}/{id}/runs`,
      access: { action: 'read', resource: 'workloads' },
      summary: 'The runs of a workload, newest first',
      params: Known,
      query: Paged,
      answer: RunList,
      async handle({ params, query }) {
        const { items, cursor } = await workloads.runs(params.id, query)
        return { items: items.map(runShape), ...(cursor === undefined ? {} : { cursor }) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: `${root}/{id}/results`,
      access: { action: 'read', resource: 'workloads' },
      summary: 'What the last run that succeeded yielded; of a word count the most frequent words first',
      params: Known,
      query: z.object({ limit: limitParam(10_000, 100), cursor: z.string().optional() }),
      answer: WorkloadResults,
      handle: ({ params, query }) => workloads.results(params.id, query),
    }),
    jsonRoute({
      method: 'post',
      path: `${root}/{id}/cancel`,
      access: { action: 'run', resource: 'workloads' },
      summary: 'Cancel what runs of a workload',
      params: Known,
      answer: z.object({ cancelled: z.number().describe('Runs') }),
      handle: async ({ params }) => ({ cancelled: await workloads.cancel(params.id) }),
    }),
  ]
}

function tagged<T extends { readonly version: number }>(context: HttpContext, workload: T): T {
  context.header('etag', `"${workload.version}"`)
  return workload
}

/** The version that `If-Match` names. */
function expected(context: HttpContext): number | undefined {
  const given = context.req.header('if-match')
  if (given === undefined || given === '*') return undefined
  const version = /^(?:W\/)?"(\d+)"$/.exec(given.trim())?.[1]
  if (version === undefined)
    throw invalid('http.if_match', `If-Match is ${given}, which is no ETag of a workload`, { hint: 'Send the ETag that reading it answered, such as "3".' })
  return Number(version)
}
