/** Python steps of the sandbox for tests, without the walls: one interpreter a test file, asked one thing after the other. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll } from 'vitest'
import { z } from 'zod'
import type { Finding } from '../../src/sandbox/index.ts'
import { python } from './sandbox.ts'

/** Why these tests cannot run here, or null. They need no walls. */
export const missingPython: string | null =
  spawnSync(python, ['-I', '-c', 'import pandas, pyarrow, pycatch22'], { stdio: 'ignore' }).status === 0 ? null : 'there is no Python with the packages'

const finding = z.strictObject({
  code: z.string(),
  line: z.int(),
  col: z.int(),
  end_line: z.int(),
  end_col: z.int(),
  message: z.string(),
  hint: z.string().nullable(),
})

const jobAnswer = z.strictObject({
  dataError: z.string().optional(),
  decoded: z.strictObject({ rows: z.int(), columns: z.array(z.string()), bytes: z.int() }).optional(),
  answer: z
    .strictObject({
      status: z.string(),
      message: z.string().nullable(),
      line: z.int().nullable(),
      traceback: z.string().nullable(),
      findings: z.array(finding),
      rows: z.int().nullable(),
      columns: z.array(z.string()).nullable(),
      timings: z.record(z.string(), z.number()),
    })
    .optional(),
  log: z.array(z.string()).optional(),
  encoded: z
    .strictObject({
      rows: z.int(),
      columns: z.array(z.strictObject({ name: z.string(), type: z.string() })),
      preview: z.array(z.array(z.unknown())),
    })
    .optional(),
  /** Of the Parquet file, as pyarrow reads it. */
  rows: z.array(z.record(z.string(), z.unknown())).optional(),
  changed: z.record(z.string(), z.unknown()).optional(),
})
export type JobAnswer = z.infer<typeof jobAnswer>

export interface JobRequest {
  readonly data?: string | Buffer
  readonly format?: 'csv' | 'json' | 'parquet'
  /** A Python expression that makes an Arrow table, instead of `data`. */
  readonly table?: string
  readonly code?: string
  readonly validate?: boolean
  readonly outputBytes?: number
  readonly limit?: number
}

export interface Workbench {
  check(code: string): Promise<readonly Finding[]>
  job(request: JobRequest): Promise<JobAnswer>
  /** Any other step of workbench.py. */
  step<T>(name: string, request: object, shape: z.ZodType<T>): Promise<T>
}

/** Started before the tests of the file and ended after them. */
export function workbench(): Workbench {
  let ask: (request: object) => Promise<unknown> = () => Promise.reject(new Error('The workbench has not started'))
  let end: () => Promise<void> = () => Promise.resolve()
  beforeAll(() => {
    const child = spawn(python, ['-I', '-B', join(import.meta.dirname, '..', 'sandbox', 'workbench.py')], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    ask = async (request) => {
      child.stdin.write(`${JSON.stringify(request)}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error('Python ended')
      return JSON.parse(value)
    }
    end = async () => {
      const closed = once(child, 'close')
      child.stdin.end()
      await closed
    }
  })
  afterAll(() => end())
  return {
    check: async (code) => z.array(finding).parse(await ask({ step: 'check', code })),
    job: async ({ data, ...request }) =>
      jobAnswer.parse(await ask({ step: 'job', ...request, ...(data === undefined ? {} : { data: Buffer.from(data).toString('base64') }) })),
    step: async (name, request, shape) => shape.parse(await ask({ step: name, ...request })),
  }
}
