/** What the supervisor says, one JSON object a line. It is ours, but what it passes on came from users' code: every field is checked. */
import { z } from 'zod'
import type { Finding, JobInput, JobLimits, ResultColumn } from './port.ts'

const finding = z.strictObject({
  code: z.string(),
  line: z.int().nonnegative(),
  col: z.int().nonnegative(),
  end_line: z.int().nonnegative(),
  end_col: z.int().nonnegative(),
  message: z.string(),
  hint: z.string().nullable(),
}) satisfies z.ZodType<Finding>

const column = z.strictObject({ name: z.string(), type: z.string() }) satisfies z.ZodType<ResultColumn>

const result = z.strictObject({
  status: z.enum(['success', 'rejected', 'error', 'timeout', 'memory', 'output_too_large', 'killed']),
  rows: z.int().nonnegative().nullable(),
  columns: z.array(column).nullable(),
  preview: z.array(z.array(z.unknown())),
  message: z.string().nullable(),
  line: z.int().nonnegative().nullable(),
  traceback: z.string().nullable(),
  findings: z.array(finding),
  logTruncated: z.boolean(),
  peakMemoryBytes: z.int().nonnegative().nullable(),
  cpuMs: z.int().nonnegative().nullable(),
  timings: z.partialRecord(z.enum(['decoding', 'validating', 'running', 'encoding']), z.number().nonnegative()),
})

export const supervisorMessage = z.discriminatedUnion('type', [
  z.discriminatedUnion('ready', [
    z.strictObject({
      type: z.literal('state'),
      ready: z.literal(true),
      layers: z.strictObject({
        user: z.enum(['unprivileged', 'none']),
        namespaces: z.enum(['bubblewrap', 'none']),
        seccomp: z.boolean(),
        memory: z.enum(['cgroup2', 'cgroup1', 'watchdog']),
      }),
      python: z.string(),
      packages: z.record(z.string(), z.string()),
    }),
    z.strictObject({ type: z.literal('state'), ready: z.literal(false), code: z.string(), message: z.string(), hint: z.string() }),
  ]),
  z.strictObject({ type: z.literal('phase'), id: z.string(), phase: z.enum(['decoding', 'validating', 'running', 'encoding']) }),
  z.strictObject({ type: z.literal('log'), id: z.string(), line: z.string() }),
  z.strictObject({ type: z.literal('result'), id: z.string(), result }),
  z.strictObject({
    type: z.literal('failed'),
    id: z.string(),
    kind: z.enum(['missing', 'unavailable', 'bug']),
    code: z.string(),
    message: z.string(),
    hint: z.string(),
  }),
  z.strictObject({ type: z.literal('cancelled'), id: z.string() }),
  z.strictObject({ type: z.literal('findings'), id: z.string(), findings: z.array(finding) }),
])

export type SupervisorMessage = z.infer<typeof supervisorMessage>
export type SupervisorResult = z.infer<typeof result>

export type SupervisorRequest =
  | { readonly type: 'open'; readonly python: string; readonly folder: string; readonly parked: number; readonly unsafe: boolean }
  | {
      readonly type: 'run'
      readonly id: string
      readonly tenant: string
      readonly code: string
      readonly validate: boolean
      readonly input: JobInput
      readonly inputs: Readonly<Record<string, JobInput>>
      readonly arguments: Readonly<Record<string, unknown>>
      readonly output: string
      readonly limits: JobLimits
    }
  | { readonly type: 'cancel'; readonly id: string }
  | { readonly type: 'validate'; readonly id: string; readonly code: string }
