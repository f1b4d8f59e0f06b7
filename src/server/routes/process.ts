/** `POST /process`: users' Python over a data set of the object store. What goes wrong in their code is 422 with the same fields. */
import { z } from 'zod'
import { LagoaError } from '../../base/index.ts'
import type { Platform } from '../../platform/index.ts'
import type { Processed } from '../../processing/index.ts'
import { check, jsonRoute, type HttpContext, type Route } from '../route.ts'
import { FindingList, ProcessAnswer } from '../wire.ts'

const Body = z.strictObject({
  dataset_path: z.string().min(1).describe('bucket/path/file.csv in the object store: CSV, Parquet or JSON'),
  code: z.string().min(1).max(1_000_000).describe('Python that defines process(df)'),
  timeout: z.number().positive().optional().describe('Seconds'),
  max_memory: z.number().positive().optional().describe('MB'),
})

export function processRoutes({ processing }: Platform): Route[] {
  const handle = async (context: HttpContext): Promise<Response> => {
    let given: unknown
    try {
      given = await context.req.json()
    } catch (cause) {
      throw new LagoaError('invalid', 'http.not_json', 'The body is not JSON', { hint: "Send JSON with the header 'content-type: application/json'.", cause })
    }
    const { dataset_path: dataset, code, timeout, max_memory: memory } = check(Body, given, 'the body') ?? Body.parse(given)
    const processed = await processing.run(
      {
        dataset,
        code,
        timeoutMs: timeout === undefined ? undefined : Math.round(timeout * 1000),
        memoryBytes: memory === undefined ? undefined : Math.round(memory * 2 ** 20),
      },
      context.req.raw.signal,
    )
    return context.json(answerOf(processed), processed.result.status === 'success' ? 200 : 422)
  }
  return [
    ...['/process/', '/process'].map((path): Route => ({
      method: 'post',
      path,
      access: { action: 'run', resource: 'process' },
      summary:
        "Run a function process(df) over a data set, behind walls; the result is a Parquet file. 422 when the user's code is refused, fails or exceeds its limits",
      body: Body,
      answer: ProcessAnswer,
      handle,
    })),
    jsonRoute({
      method: 'post',
      path: '/process/validate',
      access: { action: 'read', resource: 'process' },
      summary: 'What would be refused in a code, with line and column; nothing of it runs',
      body: Body.pick({ code: true }),
      answer: FindingList,
      handle: async ({ body }) => ({ findings: (await processing.validate(body.code)).map((finding) => ({ ...finding })) }),
    }),
  ]
}

function answerOf({ id, parquet, seconds, result }: Processed): z.output<typeof ProcessAnswer> {
  const { status, rows, columns, preview, message, line, traceback, findings, log, logTruncated, peakMemoryBytes, timings, environment } = result
  return {
    status,
    parquet_path: parquet,
    rows,
    columns: columns?.map(({ name }) => name) ?? null,
    execution_time: status === 'success' ? seconds : null,
    message,
    line,
    traceback,
    findings: findings.map((finding) => ({ ...finding })),
    log,
    log_truncated: logTruncated,
    preview: preview.map((row) => [...row]),
    types: columns?.map(({ type }) => type) ?? null,
    peak_memory: peakMemoryBytes,
    timings: { ...timings },
    environment,
    job_id: id,
  }
}
