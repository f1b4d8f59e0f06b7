/** The sandbox as the configuration wants it, with the Python that this machine has. */
import { unavailable, type Log } from '../base/index.ts'
import { findEnvironment, openSandbox, type Sandbox } from '../sandbox/index.ts'
import type { Config } from './config.ts'

export async function openWalls({ sandbox }: Config, folder: string, log: Log): Promise<Sandbox> {
  const found = await findEnvironment()
  if (!found.ready) throw unavailable(found.code, found.message, { hint: found.hint })
  if (sandbox.validator === 'off') log.warn('sandbox.validator_off', { hint: 'Users get no findings; the walls hold by themselves.' })
  const { python, environment } = found
  return openSandbox({ python, environment, folder, capacity: sandbox.capacity, maxQueued: sandbox.waiting, validator: sandbox.validator, log })
}
