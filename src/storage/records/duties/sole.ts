/** All duties at once: for a project that one process runs alone. */
import { hostname } from 'node:os'
import { toLagoaError, type Log } from '../../../base/index.ts'
import type { Duties } from './port.ts'

export function soleDuties({ log, url }: { readonly log: Log; readonly url: string }): Duties {
  const running = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>()
  const end = async (name: string): Promise<void> => {
    const one = running.get(name)
    one?.stop.abort()
    await one?.done
    if (running.get(name) === one) running.delete(name)
  }
  return {
    offer(name, run) {
      const stop = new AbortController()
      const done = run(stop.signal).catch((error: unknown) => log.error('duty.failed', { duty: name, error: toLagoaError(error) }))
      running.set(name, { stop, done })
      return { isHeld: () => !stop.signal.aborted, withdraw: () => end(name) }
    },
    nodes: () => Promise.resolve([{ id: 'this', url, host: hostname(), pid: process.pid, seenAt: Date.now(), duties: [...running.keys()].sort() }]),
    async close() {
      await Promise.all([...running.keys()].map(end))
    },
  }
}
