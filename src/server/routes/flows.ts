/** Flows and their runs. */
import { z } from 'zod'
import type { FlowView, RunDetail, RunView } from '../../flows/index.ts'
import type { Platform } from '../../platform/index.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import {
  AttemptList,
  BackfillList,
  BackfillPlanShape,
  BackfillShape,
  FlowDetailShape,
  FlowList,
  FlowShape,
  LogList,
  RunDetailShape,
  RunList,
  RunNodeList,
  RunShape,
  RunTaskList,
  RunTaskShape,
  TaskStateShape,
} from '../wire.ts'

const Named = z.object({ name: z.string() })
const Known = z.object({ id: z.string() })

const BackfillBody = z.strictObject({
  from: z.string().optional().describe('The first partition, or a date in it'),
  to: z.string().optional().describe('The last one; the newest that is over unless said'),
  partitions: z.array(z.string().min(1)).min(1).optional().describe('In place of a range'),
  params: z.record(z.string(), z.unknown()).optional(),
  existing: z.enum(['skip', 'again']).optional().describe('What becomes of partitions that have succeeded or are under way; skip unless said'),
  order: z.enum(['oldest', 'newest']).optional(),
  concurrency: z.number().int().min(1).max(10_000).optional().describe('Runs at a time; 16 unless said'),
})

export function flowRoutes({ flows }: Platform): Route[] {
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/flows',
      access: { action: 'read', resource: 'flows' },
      summary: 'The flows with their schedules and newest runs',
      answer: FlowList,
      handle: async () => ({ items: (await flows.list()).map(flowShape) }),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/flows/{name}',
      access: { action: 'read', resource: 'flows' },
      summary: 'A flow: its tasks, what is behind what, and the schema of its params',
      params: Named,
      answer: FlowDetailShape,
      async handle({ params }) {
        const { nodes, edges, params: schema, ...view } = await flows.get(params.name)
        return {
          ...flowShape(view),
          params: schema,
          edges: edges.map(pair),
          nodes: nodes.map(({ description, ...node }) => ({ ...node, ...(description === undefined ? {} : { description }) })),
        }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/flows/{name}/runs',
      access: { action: 'run', resource: 'flows' },
      summary: 'Run a flow. With an Idempotency-Key the same request again answers the same run',
      params: Named,
      body: z.strictObject({
        params: z.record(z.string(), z.unknown()).optional(),
        partition: z.string().optional(),
        priority: z.number().int().min(-1000).max(1000).optional(),
      }),
      answer: RunShape,
      answerStatus: 201,
      async handle({ params, body, context }) {
        const key = context.req.header('idempotency-key')
        return runShape(await flows.trigger(params.name, { ...body, by: 'api', key: key === undefined ? undefined : `api ${key}` }))
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/flows/{name}/schedule',
      access: { action: 'manage', resource: 'flows' },
      summary: 'Pause the schedule of a flow, or let it go on',
      params: Named,
      body: z.strictObject({ paused: z.boolean() }),
      answer: FlowDetailShape.pick({ name: true, schedule: true }),
      async handle({ params, body }) {
        await flows.pauseSchedule(params.name, body.paused)
        const { name, schedule } = flowShape(await flows.get(params.name))
        return { name, schedule }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/flows/{name}/backfills/plan',
      access: { action: 'read', resource: 'flows' },
      summary: 'Which partitions a backfill would run',
      params: Named,
      body: BackfillBody,
      answer: BackfillPlanShape,
      async handle({ params, body }) {
        const { sample, ...plan } = await flows.backfills.plan(params.name, body)
        return { ...plan, sample: [...sample] }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/flows/{name}/backfills',
      access: { action: 'run', resource: 'flows' },
      summary: 'Run a flow for many partitions. With an Idempotency-Key the same request again answers the same backfill',
      params: Named,
      body: BackfillBody,
      answer: BackfillShape,
      answerStatus: 201,
      handle({ params, body, context }) {
        const key = context.req.header('idempotency-key')
        return flows.backfills.create(params.name, { ...body, by: 'api', key: key === undefined ? undefined : `api ${key}` })
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/backfills',
      access: { action: 'read', resource: 'runs' },
      summary: 'Backfills, newest first',
      query: z.object({ flow: z.string().optional(), limit: limitParam(1000, 50), cursor: z.string().optional() }),
      answer: BackfillList,
      handle: ({ query }) => flows.backfills.list(query),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/backfills/{id}',
      access: { action: 'read', resource: 'runs' },
      summary: 'A backfill: how many of its runs have ended, and how',
      params: Known,
      answer: BackfillShape,
      handle: ({ params }) => flows.backfills.get(params.id),
    }),
    ...(['cancel', 'pause', 'resume'] as const).map((verb) =>
      jsonRoute({
        method: 'post',
        path: `/api/v1/backfills/{id}/${verb}`,
        access: { action: 'run', resource: 'runs' },
        summary: {
          cancel: 'Cancel a backfill: those of its runs that go on are told to stop',
          pause: 'Pause a backfill: it begins no more runs',
          resume: 'Let a paused backfill go on',
        }[verb],
        params: Known,
        answer: BackfillShape,
        handle: ({ params }) => (verb === 'cancel' ? flows.backfills.cancel(params.id) : flows.backfills.pause(params.id, verb === 'pause')),
      }),
    ),
    jsonRoute({
      method: 'get',
      path: '/api/v1/runs',
      access: { action: 'read', resource: 'runs' },
      summary: 'Runs, newest first',
      query: z.object({
        flow: z.string().optional(),
        state: z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled']).optional(),
        kind: z.string().optional(),
        backfill: z.string().optional(),
        limit: limitParam(1000, 50),
        cursor: z.string().optional(),
      }),
      answer: RunList,
      async handle({ query }) {
        const { items, cursor } = await flows.runs(query)
        return { items: items.map(runShape), ...(cursor === undefined ? {} : { cursor }) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/runs/{id}',
      access: { action: 'read', resource: 'runs' },
      summary: 'A run, with its graph as it was when it began',
      params: Known,
      answer: RunDetailShape,
      handle: async ({ params }) => detailShape(await flows.run(params.id)),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/runs/{id}/tasks',
      access: { action: 'read', resource: 'runs' },
      summary: 'The tasks of a run, and the elements of those that map over a list',
      params: Known,
      query: z.object({
        node: z.coerce.number().int().min(0).optional().describe('Only the elements of this node'),
        state: TaskStateShape.optional(),
        limit: limitParam(10_000, 1000),
        cursor: z.string().optional(),
      }),
      answer: RunTaskList,
      handle: ({ params, query }) => flows.tasks(params.id, query),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/runs/{id}/nodes',
      access: { action: 'read', resource: 'runs' },
      summary: 'The nodes of a run: where each stands, its tries, and its elements by state',
      params: Known,
      answer: RunNodeList,
      handle: async ({ params }) => ({ items: (await flows.nodes(params.id)).map((node) => ({ ...node, tries: [...node.tries] })) }),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/runs/{id}/tasks/{n}',
      access: { action: 'read', resource: 'runs' },
      summary: 'A task of a run, with what it answered',
      params: z.object({ id: z.string(), n: z.coerce.number().int().min(0) }),
      answer: RunTaskShape,
      handle: ({ params }) => flows.task(params.id, params.n),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/runs/{id}/tasks/{n}/attempts',
      access: { action: 'read', resource: 'runs' },
      summary: 'The tries of a task that ended',
      params: z.object({ id: z.string(), n: z.coerce.number().int().min(0) }),
      answer: AttemptList,
      handle: async ({ params }) => ({ items: await flows.attempts(params.id, params.n) }),
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/runs/{id}/logs',
      access: { action: 'read', resource: 'runs' },
      summary: 'What the tasks of a run said, wherever it lies by now',
      params: Known,
      query: z.object({
        task: z.coerce.number().int().min(0).optional(),
        search: z.string().max(1_000).optional().describe('Only lines with this in them, in any case'),
        level: z.enum(['debug', 'info', 'warn', 'error']).optional().describe('Only lines of this level, or a graver one'),
        cursor: z.string().optional(),
        limit: limitParam(10_000, 1000),
      }),
      answer: LogList,
      handle: async ({ params, query }) => {
        const { items, cursor } = await flows.logs(params.id, query)
        return { items: [...items], cursor }
      },
    }),
    ...(['cancel', 'pause', 'resume'] as const).map((verb) =>
      jsonRoute({
        method: 'post',
        path: `/api/v1/runs/{id}/${verb}`,
        access: { action: 'run', resource: 'runs' },
        summary: {
          cancel: 'Cancel a run: what is running is told to stop',
          pause: 'Pause a run: it hands out no more tasks',
          resume: 'Let a paused run go on',
        }[verb],
        params: Known,
        answer: RunDetailShape,
        handle: async ({ params }) => detailShape(verb === 'cancel' ? await flows.cancel(params.id) : await flows.pause(params.id, verb === 'pause')),
      }),
    ),
    jsonRoute({
      method: 'post',
      path: '/api/v1/runs/{id}/retry',
      access: { action: 'run', resource: 'runs' },
      summary: 'Run tasks of a run anew: those that did not succeed, or the named ones and what is behind them',
      params: Known,
      body: z.strictObject({ from: z.array(z.string()).min(1).optional() }),
      answer: RunDetailShape,
      handle: async ({ params, body }) => detailShape(await flows.retry(params.id, body.from)),
    }),
  ]
}

const pair = ([from, to]: readonly [number, number]): [number, number] => [from, to]

function flowShape({ name, description, owner, tags, tasks, schedule, partition, on, last }: FlowView): z.output<typeof FlowShape> {
  return {
    name,
    ...(description === undefined ? {} : { description }),
    ...(owner === undefined ? {} : { owner }),
    tags: [...tags],
    tasks,
    schedule: schedule && {
      ...(schedule.cron === undefined ? {} : { cron: schedule.cron }),
      ...(schedule.every === undefined ? {} : { every: schedule.every }),
      timeZone: schedule.timeZone,
      nextAt: schedule.nextAt,
      paused: schedule.paused,
    },
    partition,
    on: [...on],
    last: [...last],
  }
}

export function runShape({
  id,
  kind,
  flow,
  state,
  paused,
  params,
  trigger,
  partition,
  backfill,
  subject,
  parent,
  tasks,
  open,
  failed,
  createdAt,
  startedAt,
  endedAt,
  error,
}: RunView): z.output<typeof RunShape> {
  return { id, kind, flow, state, paused, params, trigger, partition, backfill, subject, parent, tasks, open, failed, createdAt, startedAt, endedAt, error }
}

function detailShape(run: RunDetail): z.output<typeof RunDetailShape> {
  const { nodes, edges } = run.graph
  return { ...runShape(run), graph: { nodes: nodes.map((node) => ({ ...node })), edges: edges.map(pair) } }
}
