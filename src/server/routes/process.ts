/**
 * `POST /process`: users' Python over a data set of the object store. What goes wrong in their code is 422 with the same fields. With
 * `Prefer: respond-async` it is a job that is asked for later, or told by a webhook. Under `/process` for the clients of its document, and
 * under `/api/v1/process`.
 */
import type { ServerResponse } from 'node:http'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { z } from 'zod'
import { invalid, overLimit } from '../../base/index.ts'
import type { Platform } from '../../platform/index.ts'
import { factsOf, type JobEvent, type Processing, type StoredJob } from '../../processing/index.ts'
import { check, jsonRoute, limitParam, type HttpContext, type Route } from '../route.ts'
import { FindingList, JobList, JobShape, ProcessAnswer } from '../wire.ts'

const Body = z.strictObject({
  dataset_path: z.string().min(1).describe('bucket/path/file.csv in the object store: CSV, Parquet or JSON'),
  code: z.string().min(1).max(1_000_000).describe('Python that defines process(df)'),
  timeout: z.number().positive().optional().describe('Seconds'),
  max_memory: z.number().positive().optional().describe('MB'),
  webhook: z
    .strictObject({ url: z.string().min(1).max(2_000) })
    .optional()
    .describe('Is told when the job is over, as Standard Webhooks says; makes the request a job'),
})
const Known = z.object({ id: z.string() })

/** How long a request may ask to be waited for. */
const LONGEST_WAIT_S = 60
const MOST_FOLLOWERS = 200
const KEEP_ALIVE_MS = 15_000

export const processRoutes = ({ processing }: Platform): Route[] => {
  const followers = { count: 0 }
  return ['/process', '/api/v1/process'].flatMap((root) => routesAt(root, processing, followers))
}

function routesAt(root: string, processing: Processing, followers: { count: number }): Route[] {
  const jobs = `${root}/jobs`
  return [
    // The document's client writes the slash.
    ...(root === '/process' ? [`${root}/`, root] : [root]).map((path): Route => ({
      method: 'post',
      path,
      access: { action: 'run', resource: 'process' },
      summary:
        "Run a function process(df) over a data set, behind walls; the result is a Parquet file. 422 when the user's code is refused, fails or exceeds its limits; with 'Prefer: respond-async' 202 and a job",
      body: Body,
      answer: ProcessAnswer,
      handle: (context) => handle(context, jobs, processing),
    })),
    jsonRoute({
      method: 'post',
      path: `${root}/validate`,
      access: { action: 'read', resource: 'process' },
      summary: 'What would be refused in a code, with line and column; nothing of it runs',
      body: Body.pick({ code: true }),
      answer: FindingList,
      handle: async ({ body }) => ({ findings: (await processing.validate(body.code)).map((finding) => ({ ...finding })) }),
    }),
    jsonRoute({
      method: 'get',
      path: jobs,
      access: { action: 'read', resource: 'process' },
      summary: 'Jobs, newest first',
      query: z.object({
        status: JobShape.shape.status.optional(),
        dataset_path: z.string().optional(),
        limit: limitParam(1000, 50),
        cursor: z.string().optional(),
      }),
      answer: JobList,
      async handle({ query: { dataset_path: dataset, ...query } }) {
        const { items, cursor } = await processing.list({ ...query, dataset })
        return { items: items.map(headShape), ...(cursor === undefined ? {} : { cursor }) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: `${jobs}/{id}`,
      access: { action: 'read', resource: 'process' },
      summary: 'A job: where it stands, and what came of it',
      params: Known,
      answer: JobShape,
      handle: async ({ params }) => shown(processing, await processing.get(params.id)),
    }),
    jsonRoute({
      method: 'post',
      path: `${jobs}/{id}/cancel`,
      access: { action: 'run', resource: 'process' },
      summary: 'Cancel a job: one that runs is told to stop, one that is over stays as it is',
      params: Known,
      answer: JobShape,
      handle: async ({ params }) => shown(processing, await processing.cancel(params.id)),
    }),
    {
      method: 'get',
      path: `${jobs}/{id}/events`,
      access: { action: 'read', resource: 'process' },
      summary: 'What happens to a job, as server-sent events: status, log, and end with the whole job. Goes on from Last-Event-ID',
      params: Known,
      async handle(context) {
        const { id } = Known.parse(context.req.param())
        const job = await processing.get(id)
        if (context.req.method === 'HEAD') return context.body(null, 200, { 'content-type': 'text/event-stream; charset=utf-8' })
        if (followers.count >= MOST_FOLLOWERS)
          throw overLimit('http.too_many_streams', `${MOST_FOLLOWERS} event streams are open already`, { hint: `GET ${jobs}/${job.id} from time to time.` })
        void follow(context.env.outgoing as ServerResponse, processing, id, context.req.header('last-event-id'), followers)
        return RESPONSE_ALREADY_SENT
      },
    },
  ]
}

async function handle(context: HttpContext, jobs: string, processing: Processing): Promise<Response> {
  let given: unknown
  try {
    given = await context.req.json()
  } catch (cause) {
    throw invalid('http.not_json', 'The body is not JSON', { hint: "Send JSON with the header 'content-type: application/json'.", cause })
  }
  const { dataset_path: dataset, code, timeout, max_memory: memory, webhook } = check(Body, given, 'the body') ?? Body.parse(given)
  const request = {
    dataset,
    code,
    timeoutMs: timeout === undefined ? undefined : Math.round(timeout * 1000),
    memoryBytes: memory === undefined ? undefined : Math.round(memory * 2 ** 20),
  }
  const { signal } = context.req.raw
  const preferred = preferencesOf(context.req.header('prefer'))
  const key = context.req.header('idempotency-key')
  if (!preferred.async && webhook === undefined && key === undefined) return answered(context, await processing.run(request, signal))

  const made = await processing.submit({ ...request, key, webhook: webhook?.url })
  // Without the preference who asks waits to the end, as ever; with it, as long as it says.
  const waiting = preferred.async ? AbortSignal.any([signal, AbortSignal.timeout(preferred.waitMs)]) : signal
  const job = preferred.async && preferred.waitMs === 0 ? made : await processing.ended(made.id, waiting)
  if (job.endedAt !== null) return answered(context, job)
  context.header('location', `${jobs}/${job.id}`)
  context.header('preference-applied', 'respond-async')
  return context.json(await shown(processing, job), 202)
}

/** `respond-async` and `wait=SECONDS` (RFC 7240). */
function preferencesOf(header: string | undefined): { readonly async: boolean; readonly waitMs: number } {
  const named = (header ?? '').split(',').map((one) => (one.split(';')[0] ?? '').trim().toLowerCase())
  const wait = named.flatMap((one) => /^wait\s*=\s*"?(\d{1,6})"?$/.exec(one)?.[1] ?? [])[0]
  return { async: named.includes('respond-async'), waitMs: Math.min(Number(wait ?? 0), LONGEST_WAIT_S) * 1000 }
}

const answered = (context: HttpContext, job: StoredJob): Response => context.json(answerOf(job), job.status === 'success' ? 200 : 422)

async function follow(response: ServerResponse, processing: Processing, id: string, cursor: string | undefined, followers: { count: number }): Promise<void> {
  followers.count++
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', connection: 'keep-alive' })
  response.write('retry: 1000\n\n')
  // Proxies take a silent stream for a dead one.
  const beating = setInterval(() => response.write(': still here\n\n'), KEEP_ALIVE_MS)
  try {
    for await (const event of processing.follow(id, cursor, gone.signal)) {
      const data = event.type === 'log' ? { line: event.line } : event.type === 'end' ? await shown(processing, event.job) : headShape(event.job)
      const more = response.write(`event: ${event.type}\n${idLine(event)}data: ${JSON.stringify(data)}\n\n`)
      if (!more)
        await new Promise<void>((drained) => {
          response.once('drain', drained)
          response.once('close', drained)
        })
    }
  } catch {
    // Whoever follows comes again by itself, from where it was.
  } finally {
    clearInterval(beating)
    followers.count--
    response.end()
  }
}

const idLine = ({ cursor }: JobEvent): string => (cursor === '' ? '' : `id: ${cursor}\n`)

async function shown(processing: Processing, job: StoredJob): Promise<z.output<typeof JobShape>> {
  const { webhook, delivery, deliveries, deliverAt, deliveryError, status } = job
  return {
    ...fieldsOf(job),
    ...headShape(job),
    status,
    logs: await processing.logs(job.id),
    webhook:
      webhook === null || delivery === null
        ? null
        : { url: webhook, state: delivery, attempts: deliveries, next_at: job.endedAt === null ? null : deliverAt, error: deliveryError },
  }
}

/** In which of its phases a job is, as a part of all: a small lie, since nobody knows how long the next one takes. */
const DONE: Readonly<Record<string, number>> = { queued: 0, decoding: 0.1, validating: 0.3, running: 0.4, encoding: 0.9 }

function headShape(job: StoredJob): z.output<typeof JobList>['items'][number] {
  const { id, status, dataset, phase, createdAt, startedAt, endedAt } = job
  const { parquet_path, execution_time, message } = factsOf(job)
  return {
    job_id: id,
    status,
    dataset_path: dataset,
    parquet_path,
    execution_time,
    message,
    progress: status === 'running' && phase !== null ? { phase, done: DONE[phase] ?? 0 } : null,
    created_at: createdAt,
    started_at: startedAt,
    ended_at: endedAt,
  }
}

/** The fields that a job and the answer to a request that waited have in common. */
function fieldsOf(job: StoredJob): Omit<z.output<typeof ProcessAnswer>, 'status'> {
  const { id, result } = job
  return {
    ...factsOf(job),
    traceback: result?.traceback ?? null,
    findings: (result?.findings ?? []).map((finding) => ({ ...finding })),
    log: result?.log ?? '',
    log_truncated: result?.logTruncated ?? false,
    preview: (result?.preview ?? []).map((row) => [...row]),
    types: result?.columns?.map(({ type }) => type) ?? null,
    peak_memory: result?.peakMemoryBytes ?? null,
    timings: { ...result?.timings },
    environment: result?.environment ?? null,
    job_id: id,
  }
}

function answerOf(job: StoredJob): z.output<typeof ProcessAnswer> {
  return { status: ProcessAnswer.shape.status.parse(job.status), ...fieldsOf(job) }
}
