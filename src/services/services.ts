/**
 * Local services of a home: each below `<home>/services/<name>/`, started in the background, adopted when it runs, started again when it
 * died, stopped only as itself. What one cannot do holds up no other.
 *
 *   <home>/services/<name>/settings.json   ports and secrets, chosen once
 *   <home>/services/<name>/server.pid      who the process is
 *   <home>/services/<name>/server.log      what it says
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { closest, conflict, denied, invalid, LagoaError, systemClock, toLagoaError, unavailable, unsupported } from '../base/index.ts'
import { ensureFolder } from '../storage/index.ts'
import { accepts } from './ask.ts'
import { kafka } from './kafka.ts'
import { alone } from './lock.ts'
import type { Machine } from './machine.ts'
import { postgres } from './postgres.ts'
import { end, hasRecord, launch, logFile, recorded, wordsSince } from './processes.ts'
import { rabbitmq } from './rabbitmq.ts'
import { redis } from './redis.ts'
import { s3 } from './s3.ts'
import { SERVER, type Program, type Service } from './service.ts'
import { isFree, makeSettings, readSettings, type Settings } from './settings.ts'

const SERVICES: readonly Service[] = [postgres, redis, kafka, rabbitmq, s3]

/**
 * `running`: it answers. `silent`: its process lives, but does not answer. `died`: it was started and is gone without having been stopped.
 * `stopped`: it can be started. `missing`: its programs are not on this machine.
 */
export type ServiceState = 'running' | 'silent' | 'died' | 'stopped' | 'missing'

export interface ServiceView {
  readonly name: string
  readonly group: string
  readonly state: ServiceState
  /** Where it listens, or will; null when it was never started. */
  readonly address: string | null
  readonly pid: number | null
  /** When the process started, in epoch milliseconds. */
  readonly since: number | null
  readonly log: string | null
  /** What is wrong; with `stopped`, why it could not be started just now. */
  readonly problem?: LagoaError
}

export interface ServicesOptions {
  /** Absolute path of the home folder. */
  readonly home: string
  readonly machine: Machine
  /** Names of services and groups; all when there is none. */
  readonly names: readonly string[]
  /** Gives up; what was not ready yet is stopped again. */
  readonly signal: AbortSignal
}

export type Progress = (name: string, step: 'starts' | 'ready' | 'failed' | 'stops' | 'gone', ms: number) => void

/** Starts what does not run and answers when everything does, or cannot. Rejects only when the signal aborts or another command holds the home. */
export async function startServices({ home, machine, names, signal }: ServicesOptions, tell: Progress): Promise<readonly ServiceView[]> {
  const chosen = choose(names)
  if (process.platform === 'win32')
    throw unsupported('services.windows', 'Services cannot be started on Windows itself', {
      hint: 'Use the Windows Subsystem for Linux, or servers elsewhere.',
    })
  const root = join(home, 'services')
  await ensureFolder(root)
  return alone(root, signal, async () => {
    const views = await Promise.all(
      chosen.map(async (service) => {
        const began = performance.now()
        const ms = (): number => performance.now() - began
        const folder = join(root, service.name)
        try {
          await bringUp(service, folder, machine, signal, () => tell(service.name, 'starts', ms()))
          tell(service.name, 'ready', ms())
          return await viewOf(service, folder, machine, signal)
        } catch (error) {
          if (signal.aborted) return null
          const problem = toLagoaError(error)
          tell(service.name, 'failed', ms())
          return { ...(await viewOf(service, folder, machine, signal)), problem }
        }
      }),
    )
    signal.throwIfAborted()
    return views.filter((view) => view !== null)
  })
}

export interface Stopped {
  readonly name: string
  /** False for one that did not run. */
  readonly stopped: boolean
}

/** Stops what runs. Rejects when something does not end. */
export async function stopServices({ home, names, signal }: ServicesOptions, tell: Progress): Promise<readonly Stopped[]> {
  const chosen = choose(names)
  const root = join(home, 'services')
  if (!(await stat(root).catch(() => null))) return chosen.map(({ name }) => ({ name, stopped: false }))
  return alone(root, signal, async () => {
    const outcomes = await Promise.allSettled(chosen.map((service) => takeDown(service, join(root, service.name), tell, signal)))
    // The lock is given back when all of them are done, also after a failure.
    return outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason
      return outcome.value
    })
  })
}

async function takeDown(service: Service, folder: string, tell: Progress, signal: AbortSignal): Promise<Stopped> {
  const began = performance.now()
  const names = await recordsIn(folder)
  const running = await Promise.all(names.map((name) => recorded(folder, name)))
  const stopped = running.some((one) => one !== null)
  if (stopped) tell(service.name, 'stops', 0)
  for (const name of names) await end(folder, name, service.ending, STOP_GRACE_MS, signal)
  if (stopped) tell(service.name, 'gone', performance.now() - began)
  return { name: service.name, stopped }
}

export function servicesNow({ home, machine, names, signal }: ServicesOptions): Promise<readonly ServiceView[]> {
  return Promise.all(choose(names).map((service) => viewOf(service, join(home, 'services', service.name), machine, signal)))
}

/** What a shell exports for those who use these services, secrets included. */
export async function variablesFor(home: string, names: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {}
  for (const service of names.length === 0 ? [] : choose(names)) {
    const settings = await readSettings(join(home, 'services', service.name))
    if (settings) Object.assign(found, service.variables(settings))
  }
  return found
}

const STOP_GRACE_MS = 30_000
/** Of what was not ready nobody has used anything yet. */
const GIVE_UP_GRACE_MS = 3_000
const RETRY_MS = 15_000

function choose(words: readonly string[]): readonly Service[] {
  for (const word of words) {
    if (SERVICES.some(({ name, group }) => name === word || group === word)) continue
    const known = [...new Set(SERVICES.flatMap(({ name, group }) => [name, group]))]
    const near = closest(word, known)
    throw invalid('services.unknown', `There is no service ${word}`, {
      hint:
        near.length > 0
          ? `Did you mean ${near.join(' or ')}?`
          : `The services are ${SERVICES.map(({ name }) => name).join(', ')}; the groups core, stream, lake.`,
    })
  }
  return words.length === 0 ? SERVICES : SERVICES.filter(({ name, group }) => words.includes(name) || words.includes(group))
}

async function viewOf(service: Service, folder: string, machine: Machine, signal: AbortSignal): Promise<ServiceView> {
  const { name, group } = service
  const running = await recorded(folder, SERVER)
  try {
    const settings = await readSettings(folder)
    const base = {
      name,
      group,
      address: settings && service.address(settings),
      pid: running?.pid ?? null,
      since: running?.since ?? null,
      log: settings && logFile(folder, SERVER),
    }
    if (running && settings) {
      try {
        await service.ask(settings, signal)
        return { ...base, state: 'running' }
      } catch (error) {
        return { ...base, state: 'silent', problem: silent(service, running.pid, folder, error) }
      }
    }
    if (await hasRecord(folder, SERVER)) return { ...base, state: 'died', problem: died(service, folder) }
    try {
      await service.find(machine)
      return { ...base, state: 'stopped' }
    } catch (error) {
      return { ...base, state: 'missing', problem: toLagoaError(error) }
    }
  } catch (error) {
    const problem = toLagoaError(error)
    return { name, group, state: running ? 'silent' : 'stopped', address: null, pid: running?.pid ?? null, since: running?.since ?? null, log: null, problem }
  }
}

/** Returns when the service answers; what it had to start is stopped again when it does not. */
async function bringUp(service: Service, folder: string, machine: Machine, signal: AbortSignal, starts: () => void): Promise<void> {
  const running = await recorded(folder, SERVER)
  const known = await readSettings(folder)
  if (running && known) return await untilAnswers(service, folder, known, service.startLimitMs, signal)

  const install = await service.find(machine)
  starts()
  await refuseOrphanedData(service, folder)
  await ensureFolder(folder, 0o700)
  const settings = await makeSettings(folder, service)
  const begun: string[] = []
  try {
    for (const program of await install({ folder, settings, signal })) {
      if (await recorded(folder, program.name)) continue
      for (const port of program.ports) await refuseTakenPort(service, port, settings)
      begun.push(program.name)
      await start(service, folder, program, settings, signal)
    }
  } catch (error) {
    for (const name of begun.toReversed()) await end(folder, name, service.ending, GIVE_UP_GRACE_MS)
    throw error
  }
}

async function start(service: Service, folder: string, program: Program, settings: Settings, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + RETRY_MS
  for (;;) {
    const logStart = await launch(folder, program)
    try {
      return program.name === SERVER
        ? await untilAnswers(service, folder, settings, service.startLimitMs, signal)
        : await untilAccepts(service, folder, program, signal)
    } catch (error) {
      if (signal.aborted || (await recorded(folder, program.name))) throw error
      const words = await wordsSince(logFile(folder, program.name), logStart)
      if (!program.tryAgain?.test(words) || Date.now() > deadline)
        throw unavailable('services.failed', `${service.title} did not start. Its last words:\n${words || '(none)'}`, {
          hint: `See ${logFile(folder, program.name)}`,
          cause: error,
        })
      await systemClock.sleep(250, signal)
    }
  }
}

async function untilAnswers(service: Service, folder: string, settings: Settings, withinMs: number, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + withinMs
  for (;;) {
    signal.throwIfAborted()
    try {
      await service.ask(settings, signal)
      // Whoever took the port first would answer, and ours end.
      if (await recorded(folder, SERVER)) return
    } catch (error) {
      signal.throwIfAborted()
      const running = await recorded(folder, SERVER)
      if (!running) throw error
      const { kind, message } = toLagoaError(error)
      // Settings that say too little do not mend themselves.
      if (kind === 'invalid') throw error
      if (kind === 'denied')
        throw denied('services.refused', `${service.title} refuses the login in ${settings.file}: ${message}`, {
          hint: `Put the password of its data back, or start anew without the data: rm -r ${folder}`,
          cause: error,
        })
      if (Date.now() > deadline) throw silent(service, running.pid, folder, error)
    }
    if (!(await recorded(folder, SERVER))) throw unavailable('services.failed', `${service.title} ended`, { hint: `See ${logFile(folder, SERVER)}` })
    await systemClock.sleep(50, signal)
  }
}

async function untilAccepts(service: Service, folder: string, { name, ports }: Program, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + service.startLimitMs
  while (!(await Promise.all(ports.map(accepts))).every(Boolean)) {
    if (!(await recorded(folder, name)) || Date.now() > deadline)
      throw unavailable('services.failed', `${service.title} did not start`, { hint: `See ${logFile(folder, name)}` })
    await systemClock.sleep(20, signal)
  }
}

/** Settings that are gone took the passwords of the data with them. */
async function refuseOrphanedData(service: Service, folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  if (names.length === 0 || (await readSettings(folder)) !== null) return
  throw conflict('services.no_settings', `${folder} holds data of ${service.title}, but no settings.json with their passwords`, {
    hint: `Put the file back, or start anew without the data: rm -r ${folder}`,
  })
}

async function refuseTakenPort(service: Service, port: number, settings: Settings): Promise<void> {
  if (await isFree(port)) return
  throw conflict('services.port_taken', `Another program listens on 127.0.0.1:${port}, which ${service.title} was given`, {
    hint: `Stop that program, or have another port chosen: delete ${port} from ${settings.file}`,
  })
}

function silent(service: Service, pid: number, folder: string, cause: unknown): LagoaError {
  return unavailable('services.silent', `${service.title} (process ${pid}) does not answer: ${toLagoaError(cause).message}`, {
    hint: `See ${logFile(folder, SERVER)}; to start it again: lagoa services down ${service.name}, then up`,
    cause,
  })
}

const died = (service: Service, folder: string): LagoaError =>
  unavailable('services.died', `${service.title} is gone without having been stopped`, {
    hint: `Start it again: lagoa services up ${service.name}; what it said last is in ${logFile(folder, SERVER)}`,
  })

/** The programs of a service that left a record, the service itself first. */
async function recordsIn(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.pid')).map((name) => name.slice(0, -'.pid'.length))
  return names.sort((a, b) => Number(b === SERVER) - Number(a === SERVER))
}
