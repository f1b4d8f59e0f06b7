/** Repeats work on a database that may be away just now. */
import { setTimeout as sleep } from 'node:timers/promises'

const MOST_TRIES = 600

export async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (tries === MOST_TRIES) throw error
      await sleep(50)
    }
  }
}
