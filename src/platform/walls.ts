/** The sandbox as the configuration wants it, with the Python that this machine has, and how it is told of. */
import { toLagoaError, unavailable, type Log } from '../base/index.ts'
import type { Walled } from '../processing/index.ts'
import { findEnvironment, openSandbox, type Sandbox, type SandboxState } from '../sandbox/index.ts'
import type { Config } from './config.ts'
import type { Service } from './services.ts'

export async function openWalls({ sandbox }: Config, folder: string, log: Log): Promise<Sandbox> {
  const found = await findEnvironment()
  if (!found.ready) throw unavailable(found.code, found.message, { hint: found.hint })
  if (sandbox.validator === 'off') log.warn('sandbox.validator_off', { hint: 'Users get no findings; the walls hold by themselves.' })
  const { python, environment } = found
  return openSandbox({ python, environment, folder, capacity: sandbox.capacity, maxQueued: sandbox.waiting, validator: sandbox.validator, log })
}

/** Builds the walls, tries to escape from them, and takes them down again. */
export async function tryWalls(config: Config, folder: string, log: Log): Promise<SandboxState> {
  try {
    const opened = await openWalls(config, folder, log)
    const { state } = opened
    await opened.close()
    return state
  } catch (error) {
    const { code, message, hint = '' } = toLagoaError(error)
    return { ready: false, code, message, hint }
  }
}

/** Which walls stand and which Python runs behind them, in one line. */
export function wallsText({ layers, environment }: SandboxState & { readonly ready: true }): string {
  const { user, namespaces, seccomp, memory, validator } = layers
  const walls = [
    ...(user === 'unprivileged' ? ['an unprivileged user'] : []),
    ...(namespaces === 'bubblewrap' ? ['bubblewrap'] : []),
    ...(seccomp ? ['seccomp'] : []),
    memory === 'watchdog' ? 'a watchdog of memory' : memory,
    ...(validator ? ['the validator'] : []),
  ]
  const { python, packages, source, hash } = environment
  const named = ['pandas', 'numpy', 'pyarrow', 'pycatch22'].flatMap((name) => (packages[name] === undefined ? [] : [`${name} ${packages[name]}`]))
  return `${walls.join(', ')}; Python ${python} with ${named.join(', ')} (${source}, ${hash.slice(0, 12)})`
}

/**
 * The sandbox as one of the engines, from the first code on: before that nobody needs it and nothing of it runs. It is degraded when it refuses,
 * not down: the rest of the platform runs, so a node is ready without it.
 */
export function createSandboxService(walled: Pick<Walled, 'state'>): () => Promise<Service | null> {
  let last: Pick<Service, 'state' | 'since'> | null = null
  let lastError: Service['lastError'] = null
  return async () => {
    const found = await walled.state()
    if (found === null) return null
    const state = found.ready ? 'up' : 'degraded'
    if (state !== last?.state) last = { state, since: Date.now() }
    if (!found.ready) lastError = { at: last.since, code: found.code, message: found.message, hint: found.hint }
    return {
      name: 'sandbox',
      adapter: 'bubblewrap',
      address: found.ready ? wallsText(found) : null,
      state,
      since: last.since,
      latencyMs: null,
      history: [],
      lastError,
      retryAt: null,
      usedBy: [],
      ...(!found.ready ? { detail: found.message, hint: found.hint } : {}),
    }
  }
}
