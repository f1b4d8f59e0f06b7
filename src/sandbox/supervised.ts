/**
 * The sandbox of one machine: `python/supervisor.py` and what it keeps behind bubblewrap. This side holds the queue, checks what comes
 * back and starts the supervisor again when it falls; the walls themselves are Python's, see docs/sandbox.md.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { backoff, bug, LagoaError, type Log, missing, unavailable } from '../base/index.ts'
import type { SupervisorMessage, SupervisorResult } from './messages.ts'
import type { Finding, Job, JobResult, Phase, PythonEnvironment, RunJobOptions, Sandbox, SandboxState } from './port.ts'
import { type SupervisorLife, startSupervisor } from './supervisor.ts'
import { Turns } from './turns.ts'

export interface SandboxOptions {
  /** The interpreter that has the packages. */
  readonly python: string
  readonly environment: PythonEnvironment
  /** Where a temporary folder is made and removed again. */
  readonly folder: string
  readonly capacity: number
  readonly maxQueued: number
  readonly validator: 'on' | 'off'
  readonly log: Log
  /** Without the filter of system calls: for a kernel that has none, and to see that the other walls hold by themselves. */
  readonly unsafe?: boolean
}

/** Resolves when the walls were tried, also when they do not stand: then `state` says why. */
export async function openSandbox(options: SandboxOptions): Promise<Sandbox> {
  const sandbox = new SupervisedSandbox(options, await mkdtemp(join(options.folder, 'sandbox-')))
  await sandbox.start()
  return sandbox
}

/** What is asked of the supervisor and not answered yet. */
interface Asked {
  readonly settle: (answer: Answer) => void
  readonly onPhase: (phase: Phase) => void
  readonly onLog: (line: string) => void
}

type Answer =
  | { readonly type: 'result'; readonly result: SupervisorResult }
  | { readonly type: 'findings'; readonly findings: readonly Finding[] }
  | { readonly type: 'failed'; readonly error: LagoaError }
  | { readonly type: 'cancelled' }
  | { readonly type: 'fallen' }

const PHASES: readonly Phase[] = ['queued', 'decoding', 'validating', 'running', 'encoding']
/** A supervisor that lived this long was well; its restart does not count as one of a series. */
const HEALTHY_MS = 60_000
/** How often in a row it is started again before the sandbox gives up. */
const MOST_FALLS = 6

class SupervisedSandbox implements Sandbox {
  readonly #options: SandboxOptions
  readonly #folder: string
  readonly #turns: Turns
  /** Checks of a code are short; they do not wait for jobs. */
  readonly #checks: Turns
  readonly #asked = new Map<string, Asked>()
  #state: SandboxState = { ready: false, code: 'sandbox.starting', message: 'The sandbox has not started yet', hint: 'Try again in a moment.' }
  #life: SupervisorLife | null = null
  /** Settles when the present start is over, however it ended. */
  #started: Promise<void> = Promise.resolve()
  #count = 0
  #falls = 0
  readonly #closing = new AbortController()

  constructor(options: SandboxOptions, folder: string) {
    this.#options = options
    this.#folder = folder
    this.#turns = new Turns(options.capacity, options.maxQueued)
    this.#checks = new Turns(options.capacity, options.maxQueued)
  }

  get state(): SandboxState {
    return this.#state
  }

  async start(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#started = promise
    const { python, log, unsafe = false, capacity } = this.#options
    const began = Date.now()
    const life = startSupervisor(python, log, (message) => {
      if (message.type === 'state') {
        this.#state = this.#stateOf(message)
        resolve()
      } else this.#hear(message)
    })
    this.#life = life
    // A job takes up to three children one after the other.
    life.send({ type: 'open', python, folder: this.#folder, parked: Math.max(3, capacity), unsafe })
    void life.ended.then((how) => {
      this.#life = null
      if (Date.now() - began > HEALTHY_MS) this.#falls = 0
      for (const { settle } of this.#asked.values()) settle({ type: 'fallen' })
      if (this.#closing.signal.aborted) return resolve()
      const fellWhileStartingAgain = !this.#state.ready && this.#state.code === 'sandbox.starting' && this.#falls > 0 && this.#falls < MOST_FALLS
      if (this.#state.ready || fellWhileStartingAgain) void this.#startAgain(how)
      else if (this.#state.code === 'sandbox.starting') this.#state = notStarted(python, how)
      return resolve()
    })
    await promise
  }

  async #startAgain(how: string): Promise<void> {
    this.#options.log.error('sandbox.supervisor_fell', { how })
    this.#state = { ready: false, code: 'sandbox.starting', message: 'The sandbox is starting again after it fell', hint: 'Try again in a moment.' }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#started = promise
    try {
      await sleep(this.#falls === 0 ? 0 : backoff(this.#falls, 200, 30_000), undefined, { signal: this.#closing.signal, ref: false })
      this.#falls++
      await this.start()
    } catch {
      // Closed meanwhile.
    } finally {
      resolve()
    }
  }

  async run(job: Job, { signal, onLog, onPhase }: RunJobOptions): Promise<JobResult> {
    await this.#ready()
    const began = performance.now()
    onPhase?.('queued')
    await this.#turns.enter(job.tenant, signal)
    try {
      const queued = performance.now() - began
      await this.#ready()
      const log: string[] = []
      const answer = await this.#ask(signal, job, {
        onPhase: onPhase ?? (() => undefined),
        onLog: (line) => {
          log.push(line)
          onLog?.(line)
        },
      })
      if (answer.type === 'result') return this.#resultOf(answer.result, log, queued)
      if (answer.type === 'failed') throw answer.error
      return this.#resultOf(answer.type === 'fallen' ? FALLEN : CLOSED, log, queued)
    } finally {
      this.#turns.leave()
    }
  }

  async validate(code: string): Promise<readonly Finding[]> {
    await this.#ready()
    await this.#checks.enter('', this.#closing.signal)
    const id = this.#nextId()
    const answer = await this.#expect(id, { onPhase: () => undefined, onLog: () => undefined }, (life) => life.send({ type: 'validate', id, code })).finally(
      () => this.#checks.leave(),
    )
    if (answer.type === 'findings') return answer.findings
    throw answer.type === 'failed' ? answer.error : unavailable('sandbox.fell', 'The sandbox fell while it checked the code', { hint: 'Try again.' })
  }

  async close(): Promise<void> {
    this.#turns.refuseAll(closed())
    this.#checks.refuseAll(closed())
    this.#closing.abort(closed())
    this.#state = { ready: false, code: 'sandbox.closed', message: 'The sandbox is closed', hint: 'Start Lagoa again.' }
    await this.#life?.close()
    await this.#started
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** Sends the job and stays until the supervisor answered, so that nothing of it runs any more when this settles; throws when the signal aborted. */
  async #ask(signal: AbortSignal, job: Job, listeners: Pick<Asked, 'onLog' | 'onPhase'>): Promise<Answer> {
    signal.throwIfAborted()
    const id = this.#nextId()
    const cancel = (): void => this.#life?.send({ type: 'cancel', id })
    const answer = await this.#expect(id, listeners, (life) => {
      life.send({
        type: 'run',
        id,
        tenant: job.tenant,
        code: job.code,
        validate: this.#options.validator === 'on',
        input: job.input,
        inputs: job.inputs ?? {},
        arguments: job.arguments ?? {},
        output: job.output,
        limits: job.limits,
      })
      signal.addEventListener('abort', cancel, { once: true })
    }).finally(() => signal.removeEventListener('abort', cancel))
    if (signal.aborted) {
      // It may have been done at the very moment.
      if (answer.type === 'result') await rm(job.output, { force: true })
      throw signal.reason
    }
    return answer
  }

  #expect(id: string, listeners: Pick<Asked, 'onLog' | 'onPhase'>, send: (life: SupervisorLife) => void): Promise<Answer> {
    const life = this.#life
    if (life === null) return Promise.resolve({ type: 'fallen' })
    return new Promise<Answer>((resolve) => {
      this.#asked.set(id, { ...listeners, settle: resolve })
      send(life)
    }).finally(() => this.#asked.delete(id))
  }

  #hear(message: Exclude<SupervisorMessage, { type: 'state' }>): void {
    const asked = this.#asked.get(message.id)
    if (message.type === 'phase') asked?.onPhase(message.phase)
    else if (message.type === 'log') asked?.onLog(message.line)
    else if (message.type === 'failed') asked?.settle({ type: 'failed', error: errorOf(message) })
    else asked?.settle(message)
  }

  /** Waits for a restart that is under way; throws what `state` says when there is no sandbox. */
  async #ready(): Promise<void> {
    await this.#started
    if (!this.#state.ready) throw unavailable(this.#state.code, this.#state.message, { hint: this.#state.hint })
  }

  #nextId(): string {
    return `${++this.#count}`
  }

  #stateOf(message: Extract<SupervisorMessage, { type: 'state' }>): SandboxState {
    if (!message.ready) return { ready: false, code: message.code, message: message.message, hint: message.hint }
    return { ready: true, layers: { ...message.layers, validator: this.#options.validator === 'on' }, environment: this.#options.environment }
  }

  #resultOf(result: SupervisorResult, log: readonly string[], queued: number): JobResult {
    const timings = { queued, decoding: 0, validating: 0, running: 0, encoding: 0 }
    for (const phase of PHASES) if (phase !== 'queued') timings[phase] = result.timings[phase] ?? 0
    return { ...result, timings, log: log.join('\n'), environment: this.#options.environment.hash }
  }
}

const FALLEN: SupervisorResult = {
  status: 'killed',
  rows: null,
  columns: null,
  preview: [],
  message: 'The sandbox fell while the job ran; run it again',
  line: null,
  traceback: null,
  findings: [],
  logTruncated: false,
  peakMemoryBytes: null,
  cpuMs: null,
  timings: {},
}
const CLOSED: SupervisorResult = { ...FALLEN, message: 'The sandbox was closed while the job ran' }

function notStarted(python: string, how: string): SandboxState {
  return { ready: false, code: 'sandbox.no_python', message: `The sandbox could not be started with ${python}: ${how}`, hint: 'Run: lagoa python install' }
}

function closed(): LagoaError {
  return unavailable('sandbox.closed', 'The sandbox was closed before the job began', { hint: 'Start Lagoa again.' })
}

function errorOf({ kind, code, message, hint }: Extract<SupervisorMessage, { type: 'failed' }>): LagoaError {
  const make = { missing, unavailable, bug }[kind]
  return make(code, message, { hint: hint === '' ? undefined : hint })
}
