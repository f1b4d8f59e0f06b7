/** Commands that have work done: beside a server that runs on this home it is the server's, without one it is done here. */
import { LagoaError, unavailable, type Log } from '../base/index.ts'
import { openPlatform, serverOf, type Config, type Platform } from '../platform/index.ts'
import type { Arguments } from './args.ts'
import { configFor, loggerFor } from './setup.ts'
import { onStopSignal } from './signals.ts'

/** Where work is asked for: the platform, and the address of the server that carries it out when it is not this process. */
export interface Desk {
  readonly platform: Platform
  readonly server: string | null
  /** Somebody wants the command to end. */
  readonly stopped: AbortSignal
}

export async function atWork(args: Arguments, body: (desk: Desk) => Promise<number>): Promise<number> {
  const stopped = onStopSignal()
  const config = await configFor(args, false)
  const { platform, server } = await openBeside(config, loggerFor(config, args, 'warn'))
  try {
    return await body({ platform, server, stopped })
  } finally {
    await platform.close()
  }
}

/** The same for what needs the project: one that cannot be loaded is told. */
export const atWorkOnProject = (args: Arguments, body: (desk: Desk) => Promise<number>): Promise<number> =>
  atWork(args, (desk) => {
    const { pipeline, problem } = desk.platform
    if (!pipeline) throw problem ?? unavailable('project.not_loaded', 'No project is loaded', { hint: 'Name its folder with --project DIR.' })
    return body(desk)
  })

/** Without sources; beside a server only to look. */
async function openBeside(config: Config, logger: Log): Promise<{ platform: Platform; server: string | null }> {
  try {
    return { platform: await openPlatform({ config, logger, feed: { once: false, idle: true, simulation: {} }, url: 'the command line' }), server: null }
  } catch (error) {
    if (!(error instanceof LagoaError) || error.code !== 'storage.home_taken') throw error
    const platform = await openPlatform({ config, logger, feed: null })
    try {
      return { platform, server: await serverOf(platform.engines, error) }
    } catch (fault) {
      await platform.close()
      throw fault
    }
  }
}
