/** Ctrl+C and its kin: the first asks a command to end in order, the second ends it. */
import { unavailable } from '../base/index.ts'

/** Exit code of a command that was stopped by a signal, as shells have it. */
export const INTERRUPTED = 130

/** Aborts at the first SIGINT or SIGTERM; the second ends the process at once. */
export function onStopSignal(): AbortSignal {
  const controller = new AbortController()
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED)
    controller.abort(unavailable('cli.stopped', 'Stopped before the end', { hint: 'Nothing is lost: the same command goes on from here.' }))
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return controller.signal
}
