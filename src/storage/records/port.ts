/**
 * Records: everything that is rows and needs transactions. One dialect, PostgreSQL 15 or newer, embedded or a server.
 *
 * - `query` runs one statement on any pooled connection; with a `name` it is prepared once per connection.
 * - `transaction` runs its body on one connection: commits when it returns, rolls back when it throws. Serialisation failures
 *   and deadlocks (SQLSTATE 40001, 40P01) run the body again, at most five times: it must have no other effect.
 * - Every acknowledged commit survives a crash (`fsync` and `synchronous_commit` are on).
 * - bytea comes back as Buffer, int8 as number (refused beyond 2^53), numeric as the nearest number, timestamptz as whole epoch
 *   milliseconds, date as `YYYY-MM-DD`, json as parsed values, uuid and enums as text, arrays of these as arrays. Any other type
 *   is refused by name: cast it to text.
 * - A Date goes out as an instant, an object as JSON, an array as a SQL array (so a JSON array is passed as its text).
 * - When the database is away, calls reject with kind `unavailable`; the caller decides about retries.
 */
export interface Records extends Queryable {
  /** The transaction is over when this settles; `tx` is of no use afterwards. */
  transaction<T>(body: (tx: Queryable) => Promise<T>): Promise<T>
  /** Calls back on NOTIFY of this channel; reconnects by itself and then calls back once, since notices may have been missed. */
  listen(channel: string, onNotice: (payload: string) => void): Promise<() => Promise<void>>
  /** A connection of one's own, outside the pool, for what lives as long as a session (advisory locks). */
  session(): Promise<RecordsSession>
  /** Waits for what is under way; safe to call twice. Afterwards calls reject with `storage.closed`. */
  close(): Promise<void>
}

export interface RecordsSession extends Queryable {
  /** Calls back once when the connection breaks before `close`; never after. */
  onLost(callback: () => void): void
  close(): Promise<void>
}

export interface Queryable {
  /** Runs statements separated by `;`, without values, in one transaction, and answers nothing. */
  script(text: string): Promise<void>
  query<R extends object = Record<string, unknown>>(text: string, values?: readonly SqlValue[], options?: { readonly name?: string }): Promise<R[]>
}

export type SqlValue = string | number | boolean | bigint | null | Uint8Array | Date | readonly SqlValue[] | { readonly [key: string]: unknown }

/** One step of the database's shape. Names are ordered and never change; each runs once, in a transaction. */
export interface Migration {
  readonly name: string
  readonly sql: string
}
