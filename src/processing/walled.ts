/**
 * The one way to the sandbox: what runs users' Python here asks this. The sandbox is opened when the first code comes, since most projects have
 * none and its Python takes memory; until then nothing of it runs.
 */
import { invalid, overLimit, toLagoaError, unavailable, type LagoaError } from '../base/index.ts'
import type { Finding, JobInput, JobLimits, JobResult, Phase, RunJobOptions, Sandbox, SandboxState } from '../sandbox/index.ts'

export interface Walled {
  /** The most that a job may ask for. */
  readonly most: JobLimits
  run(job: WalledJob, options: RunJobOptions): Promise<JobResult>
  validate(code: string): Promise<readonly Finding[]>
  /** How the sandbox is; null while nobody has asked for it. */
  state(): Promise<SandboxState | null>
  /** What has run in this process, for metrics. */
  figures(): WalledFigures
  close(): Promise<void>
}

export interface WalledFigures {
  /** In the sandbox now, or waiting for a place there. */
  readonly running: number
  readonly ended: Readonly<Partial<Record<JobResult['status'], number>>>
  readonly phaseMs: Readonly<Partial<Record<Phase, number>>>
}

export interface WalledJob {
  readonly code: string
  readonly input: JobInput
  /** Further data sets, which `process` gets by these names. */
  readonly inputs?: Readonly<Record<string, JobInput>> | undefined
  /** JSON values, which `process` gets by these names. */
  readonly arguments?: Readonly<Record<string, unknown>> | undefined
  /** A local file that is not there yet. */
  readonly output: string
  /** Absent: the most that is allowed. */
  readonly timeoutMs?: number | undefined
  readonly memoryBytes?: number | undefined
}

/** Asked of one user for another there would be a tenant each; until there are users, all are one. */
const TENANT = 'default'
const MOST_INPUTS = 16
const PHASES: readonly Phase[] = ['queued', 'decoding', 'validating', 'running', 'encoding']
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
const MOST_ARGUMENTS = 1_000_000

export function openWalled({ open, most }: { readonly open: () => Promise<Sandbox>; readonly most: JobLimits }): Walled {
  let opening: Promise<Sandbox> | null = null
  /** Why the last one who asked was refused. */
  let refused: SandboxState | null = null
  let running = 0
  const ended = new Map<JobResult['status'], number>()
  const phaseMs = new Map<Phase, number>()

  async function sandbox(): Promise<Sandbox> {
    opening ??= open()
    let opened: Sandbox
    try {
      opened = await opening
    } catch (error) {
      opening = null
      const { code, message, hint = '' } = toLagoaError(error)
      refused = { ready: false, code, message, hint }
      throw error
    }
    const { state } = opened
    refused = state.ready ? null : state
    // One that fell starts again by itself.
    if (state.ready || state.code === 'sandbox.starting') return opened
    // What is missing may be mended meanwhile: the next one who asks looks again.
    opening = null
    await opened.close()
    throw unavailable(state.code, state.message, { hint: state.hint })
  }

  return {
    most,
    async run({ code, input, inputs = {}, arguments: given = {}, output, timeoutMs = most.wallMs, memoryBytes = most.memoryBytes }, options) {
      refuseMore({ timeoutMs, memoryBytes }, most)
      refuseNames([...Object.keys(inputs), ...Object.keys(given)], Object.keys(inputs).length)
      if (JSON.stringify(given).length > MOST_ARGUMENTS)
        throw invalid('process.arguments', `The values that process gets have more than ${MOST_ARGUMENTS} characters`, { hint: 'Give them as a data set.' })
      const walls = await sandbox()
      const limits = { ...most, wallMs: timeoutMs, cpuMs: timeoutMs, memoryBytes }
      running++
      try {
        const result = await walls.run({ tenant: TENANT, code, input, inputs, arguments: given, output, limits }, options)
        ended.set(result.status, (ended.get(result.status) ?? 0) + 1)
        for (const phase of PHASES) phaseMs.set(phase, (phaseMs.get(phase) ?? 0) + result.timings[phase])
        return result
      } finally {
        running--
      }
    },
    figures: () => ({ running, ended: Object.fromEntries(ended), phaseMs: Object.fromEntries(phaseMs) }),
    validate: async (code) => (await sandbox()).validate(code),
    async state() {
      const opened = await opening?.catch(() => null)
      return opened?.state ?? refused
    },
    async close() {
      const opened = await opening?.catch(() => null)
      await opened?.close()
    },
  }
}

/** What became of a code that did not succeed, as an error for those who asked for rows; `file` is what they call it. Null when it did. */
export function faultOf({ status, message, line }: JobResult, file: string): LagoaError | null {
  if (status === 'success') return null
  const text = `${file}${line === null ? '' : `, line ${line}`}: ${message ?? `it ended as ${status}`}`
  if (status === 'rejected' || status === 'error') return invalid(`process.${status}`, text, { hint: 'Correct the code; docs/python.md says what it may use.' })
  // What a killed process did is not known: whether it would do better the next time neither.
  if (status === 'killed') return invalid('process.killed', text)
  return overLimit(`process.${status}`, text, { hint: 'Use fewer rows and columns at a time, or raise the limits of sandbox in the configuration.' })
}

export function refuseMore({ timeoutMs, memoryBytes }: { readonly timeoutMs: number; readonly memoryBytes: number }, most: JobLimits): void {
  if (timeoutMs > most.wallMs) throw tooMuch('timeout', 'timeout', timeoutMs / 1000, most.wallMs / 1000, 'seconds')
  if (memoryBytes > most.memoryBytes) throw tooMuch('max_memory', 'memory', memoryBytes / 2 ** 20, Math.floor(most.memoryBytes / 2 ** 20), 'MB')
}

const tooMuch = (name: string, setting: string, asked: number, allowed: number, unit: string): LagoaError =>
  invalid('process.limit', `${name} is ${asked} ${unit}; ${allowed} is the most here`, {
    hint: `Ask for less, or raise sandbox.${setting} in the configuration.`,
  })

function refuseNames(names: readonly string[], inputs: number): void {
  if (inputs > MOST_INPUTS) throw invalid('process.inputs', `There are ${inputs} data sets beside the first; ${MOST_INPUTS} is the most`)
  const wrong = names.find((name, place) => !NAME.test(name) || names.indexOf(name) !== place)
  if (wrong !== undefined)
    throw invalid('process.names', `${JSON.stringify(wrong)} cannot be the name of an argument of process`, {
      hint: 'Use letters, digits and _, beginning with a letter, and each name once.',
    })
}
