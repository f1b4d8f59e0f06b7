/**
 * The browser's one event stream. Screens subscribe with the streams they show; the hub keeps a single connection that
 * asks for the union. After a failure it waits 1 s, 2 s, ... 30 s (with jitter, so that many browsers do not return at
 * once) and tells its listeners with `onGap` that messages may be missing: whoever holds data fetches it again.
 * A tab that stays hidden for long lets go of its connection, because a browser grants a server only six.
 */
import { backOff } from './back-off.ts'
import type { LiveMessage } from './types.ts'

export type ConnectionState = { is: 'connecting' | 'open' | 'resting' } | { is: 'waiting'; until: number }

type Subscription = { readonly streams: readonly string[]; readonly onMessage: (message: LiveMessage) => void; readonly onGap: () => void }

const hiddenForMs = 5 * 60_000

export class EventHub {
  readonly #subscriptions = new Set<Subscription>()
  readonly #stateListeners = new Set<() => void>()
  #state: ConnectionState = { is: 'connecting' }
  #source: EventSource | undefined
  #asked = ''
  #attempt = 0
  #missed = false
  #timer: number | undefined
  #hiddenTimer: number | undefined
  #started = false

  /** Opens the connection; the answer closes it and everything that waits. */
  start(): () => void {
    this.#started = true
    document.addEventListener('visibilitychange', this.#onVisibility)
    window.addEventListener('online', this.retryNow)
    this.#open()
    return () => {
      this.#started = false
      document.removeEventListener('visibilitychange', this.#onVisibility)
      window.removeEventListener('online', this.retryNow)
      window.clearTimeout(this.#hiddenTimer)
      this.#close()
    }
  }

  subscribe(subscription: Subscription): () => void {
    this.#subscriptions.add(subscription)
    this.#reconsider()
    return () => {
      this.#subscriptions.delete(subscription)
      this.#reconsider()
    }
  }

  readonly onState = (listener: () => void): (() => void) => {
    this.#stateListeners.add(listener)
    return () => this.#stateListeners.delete(listener)
  }

  readonly state = (): ConnectionState => this.#state

  readonly retryNow = (): void => {
    if (this.#state.is === 'waiting') this.#open()
  }

  /** Streams come and go in the same tick when a screen changes, so the connection is looked at once afterwards. */
  #reconsider(): void {
    queueMicrotask(() => {
      if (this.#started && this.#source !== undefined && this.#wanted() !== this.#asked) this.#open()
    })
  }

  #wanted(): string {
    const names = new Set<string>()
    for (const each of this.#subscriptions) for (const name of each.streams) names.add(name)
    return [...names].toSorted().join(',')
  }

  #open(): void {
    this.#close()
    this.#asked = this.#wanted()
    const source = new EventSource(`/api/v1/events?streams=${encodeURIComponent(this.#asked)}`)
    this.#source = source
    if (this.#attempt === 0) this.#become({ is: 'connecting' })
    source.onopen = () => {
      this.#attempt = 0
      this.#become({ is: 'open' })
      if (this.#missed) {
        this.#missed = false
        for (const each of this.#subscriptions) each.onGap()
      }
    }
    source.onmessage = (event: MessageEvent<string>) => {
      const message: LiveMessage = JSON.parse(event.data)
      for (const each of this.#subscriptions) each.onMessage(message)
    }
    source.onerror = () => {
      this.#close()
      this.#missed = true
      const wait = backOff(this.#attempt++, Math.random())
      this.#become({ is: 'waiting', until: Date.now() + wait })
      this.#timer = window.setTimeout(() => this.#open(), wait)
    }
  }

  #close(): void {
    window.clearTimeout(this.#timer)
    this.#source?.close()
    this.#source = undefined
  }

  #become(state: ConnectionState): void {
    this.#state = state
    for (const listener of this.#stateListeners) listener()
  }

  readonly #onVisibility = (): void => {
    window.clearTimeout(this.#hiddenTimer)
    if (document.visibilityState === 'hidden') {
      this.#hiddenTimer = window.setTimeout(() => {
        this.#close()
        this.#missed = true
        this.#become({ is: 'resting' })
      }, hiddenForMs)
    } else if (this.#source === undefined) this.#open()
  }
}

export const hub = new EventHub()
