/**
 * Duties: pieces of work of which each is done by one node at a time, out of all that run a project on one database.
 *
 * - Every node offers the duties that it could do; each is done by one of them, and they share them evenly.
 * - `run` is called when this node gets a duty and must end soon after its signal aborts: the duty is wanted elsewhere, the offer was
 *   withdrawn, or this node has not reached the database for as long as a lease lasts. It is called again when this node gets it again.
 * - A node that dies or loses the database is replaced within a lease and two seconds; one that closes, within a second.
 * - A node that was stopped and goes on may for a moment do what another does already: what a duty writes must be guarded by itself
 *   (offsets that move only from where they were, transactions of Delta, marks of producers).
 */
export interface Duties {
  offer(name: string, run: (signal: AbortSignal) => Promise<void>): Offer
  /** The nodes at work, this one first. */
  nodes(): Promise<readonly NodeView[]>
  /** Stops what runs here and hands it to the others; safe to call twice. */
  close(): Promise<void>
}

export interface Offer {
  /** Whether this node does it now. */
  isHeld(): boolean
  /** Stops it and waits until it has ended. */
  withdraw(): Promise<void>
}

export interface NodeView {
  readonly id: string
  readonly url: string
  readonly host: string
  readonly pid: number
  readonly seenAt: number
  readonly duties: readonly string[]
}
