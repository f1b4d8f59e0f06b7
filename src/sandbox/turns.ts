/**
 * Who may run now. At most `capacity` at a time; the others wait, tenant by tenant in turn and each tenant's own in the order of their
 * arrival, so that one who sends a thousand jobs delays another's first by one job only. More than `most` waiting are refused.
 */
import { unavailable } from '../base/index.ts'

interface Waiter {
  readonly start: () => void
  readonly refuse: (reason: unknown) => void
}

export class Turns {
  readonly #capacity: number
  readonly #most: number
  /** In the order of their next turn; no tenant is here without somebody who waits. */
  readonly #waiting = new Map<string, Waiter[]>()
  #running = 0

  constructor(capacity: number, most: number) {
    this.#capacity = capacity
    this.#most = most
  }

  /** Resolves when it is this one's turn; `leave` must follow. Rejects with kind `unavailable`, with the signal's reason, or with that of `refuseAll`. */
  async enter(tenant: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#running < this.#capacity) {
      this.#running++
      return
    }
    const waiting = [...this.#waiting.values()].reduce((sum, { length }) => sum + length, 0)
    if (waiting >= this.#most) {
      throw unavailable('sandbox.busy', `${this.#running} jobs run and ${waiting} wait, which is as many as may`, {
        hint: 'Try again later, or raise the limit of waiting jobs.',
      })
    }
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        start: () => {
          signal.removeEventListener('abort', onAbort)
          resolve()
        },
        refuse: (reason) => {
          signal.removeEventListener('abort', onAbort)
          reject(reason)
        },
      }
      const onAbort = (): void => {
        this.#forget(tenant, waiter)
        reject(signal.reason)
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.set(tenant, [...(this.#waiting.get(tenant) ?? []), waiter])
    })
  }

  leave(): void {
    const next = this.#waiting.entries().next()
    if (next.done === true) {
      this.#running--
      return
    }
    const [tenant, [first, ...others]] = next.value
    this.#waiting.delete(tenant)
    if (others.length > 0) this.#waiting.set(tenant, others)
    first?.start()
  }

  /** Nobody who waits now will run. */
  refuseAll(reason: unknown): void {
    const all = [...this.#waiting.values()].flat()
    this.#waiting.clear()
    for (const waiter of all) waiter.refuse(reason)
  }

  #forget(tenant: string, waiter: Waiter): void {
    const others = (this.#waiting.get(tenant) ?? []).filter((other) => other !== waiter)
    if (others.length > 0) this.#waiting.set(tenant, others)
    else this.#waiting.delete(tenant)
  }
}
