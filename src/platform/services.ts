/**
 * How the engines are. Each is asked by one round trip, all at once, none longer than two seconds, and at most once a second however many
 * look. An engine that hangs is not asked again on top of a question that it has not answered. Looked at every five seconds also when
 * nobody does, so that the past is known to whoever comes.
 */
import { toLagoaError, unavailable, type LagoaError } from '../base/index.ts'
import type { ServiceUse } from './uses.ts'

export type ServiceName = 'records' | 'objects' | 'keys' | 'eventLog' | 'queue' | 'query' | 'sandbox'

export interface Service {
  readonly name: ServiceName
  readonly adapter: string
  /** Where it is, without secrets; null inside this process. */
  readonly address: string | null
  /** degraded: it answers, but slowly, or it refuses what is written to it. */
  readonly state: 'up' | 'degraded' | 'down'
  /** Since when, as far as this process saw. */
  readonly since: number
  readonly latencyMs: number | null
  /** In milliseconds, one each five seconds, the oldest first; null where it did not answer. */
  readonly history: readonly (number | null)[]
  /** Why it is down, or was when it last was. */
  readonly lastError: ServiceFault | null
  /** When a connection is tried next, where it is down and tried by itself. */
  readonly retryAt: number | null
  readonly usedBy: readonly ServiceUse[]
  /** What is wrong and what to do, while it is not up. */
  readonly detail?: string
  readonly hint?: string
}

export interface ServiceFault {
  readonly at: number
  readonly code: string
  readonly message: string
  readonly hint?: string
}

export interface Probe {
  readonly name: ServiceName
  readonly adapter: string
  readonly address: string | null
  /** One round trip to the engine; rejects when it is down. */
  ping(): Promise<unknown>
  retryAt?(): number | null
}

export interface Services {
  start(): void
  stop(): void
  read(): Promise<readonly Service[]>
}

export interface ServicesOptions {
  readonly probes: readonly Probe[]
  /** Who needs which engine. */
  readonly uses: () => Promise<ReadonlyMap<ServiceName, readonly ServiceUse[]>>
}

const TIMEOUT_MS = 2_000
const FRESH_MS = 1_000
const SAMPLE_MS = 5_000
const SAMPLES = 60
/** An answer that takes so long is told of. */
const SLOW_MS = 1_000
/** A question without an answer is given up after this; until then it is the one that is waited for. */
const HANGS_MS = 15_000

export function watchServices({ probes, uses }: ServicesOptions): Services {
  const watched = probes.map(watchOne)
  let known: ReadonlyMap<ServiceName, readonly ServiceUse[]> = new Map()
  let reading: { readonly began: number; readonly services: Promise<readonly Service[]> } | null = null
  let timer: NodeJS.Timeout | undefined

  async function look(): Promise<readonly Service[]> {
    const using = within(uses(), TIMEOUT_MS)
      .then((found) => void (known = found))
      .catch(() => undefined)
    const answers = await Promise.all(watched.map((one) => one.ask()))
    // What uses an engine that is away may not be told anew; what was known before is still so.
    await using
    return answers.map((answer, i) => watched[i]?.judge(answer, known.get(answer.name) ?? [])).filter((service) => service !== undefined)
  }

  function read(): Promise<readonly Service[]> {
    if (reading === null || performance.now() - reading.began > FRESH_MS) reading = { began: performance.now(), services: look() }
    return reading.services
  }

  async function sample(): Promise<void> {
    const services = await read()
    for (const [i, { latencyMs }] of services.entries()) watched[i]?.remember(latencyMs)
  }

  return {
    read,
    start() {
      const take = (): void => void sample().catch(() => undefined)
      take()
      timer = setInterval(take, SAMPLE_MS)
      timer.unref()
    },
    stop: () => clearInterval(timer),
  }
}

interface Answer {
  readonly name: ServiceName
  readonly latencyMs: number | null
  readonly fault: LagoaError | null
}

interface Watched {
  ask(): Promise<Answer>
  judge(answer: Answer, usedBy: readonly ServiceUse[]): Service
  remember(latencyMs: number | null): void
}

function watchOne(probe: Probe): Watched {
  const { name, adapter, address } = probe
  const history: (number | null)[] = []
  let asked: { readonly began: number; readonly answer: Promise<number> } | null = null
  let state: Service['state'] | null = null
  let since = 0
  let lastError: ServiceFault | null = null

  function question(): Promise<number> {
    const now = performance.now()
    if (asked !== null && now - asked.began < HANGS_MS) return asked.answer
    const own = { began: now, answer: probe.ping().then(() => performance.now() - now) }
    asked = own
    const forget = (): void => {
      if (asked === own) asked = null
    }
    own.answer.then(forget, forget)
    return own.answer
  }

  return {
    async ask() {
      try {
        return { name, latencyMs: await within(question(), TIMEOUT_MS), fault: null }
      } catch (error) {
        return { name, latencyMs: null, fault: toLagoaError(error) }
      }
    },
    judge({ latencyMs, fault }, usedBy) {
      const now = Date.now()
      const refused = usedBy.find((use) => use.state === 'waiting' && use.engineRefuses)
      const next = fault ? 'down' : (latencyMs ?? 0) >= SLOW_MS || refused ? 'degraded' : 'up'
      if (next !== state) since = now
      state = next
      if (fault) lastError = { at: now, code: fault.code, message: fault.message, ...(fault.hint === undefined ? {} : { hint: fault.hint }) }
      const detail = fault?.message ?? refused?.error
      return {
        name,
        adapter,
        address,
        state,
        since,
        latencyMs,
        history: [...history],
        lastError,
        retryAt: fault ? (probe.retryAt?.() ?? null) : null,
        // How a lane on another node fares is not told here; behind an engine that is down it waits like the others.
        usedBy: fault ? usedBy.map((use) => (use.kind === 'lane' && use.pending > 0 ? { ...use, state: 'waiting' } : use)) : usedBy,
        ...(detail === undefined ? {} : { detail }),
        ...(fault?.hint === undefined ? {} : { hint: fault.hint }),
      }
    },
    remember(latencyMs) {
      history.push(latencyMs)
      if (history.length > SAMPLES) history.shift()
    },
  }
}

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () =>
          reject(
            unavailable('platform.no_answer', `No answer within ${ms / 1000} s`, { hint: 'Look whether it runs, and whether it can be reached from here.' }),
          ),
        ms,
      )
    })
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
