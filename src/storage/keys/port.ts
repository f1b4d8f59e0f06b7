/**
 * Keys: the live cache and the online features. A key holds a small hash of text fields, as in Redis.
 *
 * Promises of every adapter:
 * - `put` of one key replaces all its fields, atomically for that key; keys of one call may become visible one by one.
 * - Guard: a write with `order` is dropped when the stored entry came from the same `source` and has an equal or higher
 *   `offset`. So replaying a stream any number of times ends in the same state. A write without `order` always applies.
 * - Within one call, later writes to a key win over earlier ones; callers should coalesce to the newest per key.
 * - `put` answers after the write is durable in the engine's own sense (Postgres: committed; Redis: acknowledged).
 * - An entry whose time to live is over is never returned, whether or not it was removed yet.
 * - An entry has at least one field; a write without any is refused with `storage.empty_entry`.
 * - A key of more than 1,024 bytes, or with what is no text in it (NUL, half of a surrogate pair), is kept under its beginning and a digest of
 *   the whole: `get` and `delete` find it by either, entries carry the kept name. Longer keys that others wrote are not answered.
 * - In an engine that others write to as well, what they wrote is answered as far as it is text; keys that the adapter needs for itself
 *   are refused with `storage.reserved_key` when written, and never answered.
 * - `scan` pages in ascending key order where `capabilities.orderedScan`, else in any order; an entry present for the whole scan is
 *   returned at least once. A page may be empty though a cursor says that there are more; where the order is any, a page may hold a few
 *   entries more than `limit`.
 * - Marks are small texts beside the keys, which no call for keys answers. What makes the engine lose keys by itself (emptied, replaced, an
 *   older copy) loses or sets back the marks, too; so a mark that is as it was left tells that what was put before it is there.
 * - When the engine is away, calls reject with kind `unavailable`; the caller decides about retries. After `close` they reject with `storage.closed`.
 */
export interface Keys {
  readonly capabilities: KeysCapabilities
  put(writes: readonly KeyWrite[]): Promise<void>
  get(key: string): Promise<KeyEntry | null>
  getMany(keys: readonly string[]): Promise<(KeyEntry | null)[]>
  /** Entries whose key starts with `prefix`. Pass the answered cursor to go on; no cursor means the end. */
  scan(prefix: string, options: { readonly limit: number; readonly cursor?: string }): Promise<{ readonly entries: KeyEntry[]; readonly cursor?: string }>
  /**
   * What stands in keys between `prefix` and the next colon, with that colon, and how many keys go on from there, counted to a thousand.
   * Looks at a bounded number of keys; not `complete` when there may be more prefixes.
   */
  prefixes(prefix: string, options: { readonly limit: number }): Promise<{ readonly prefixes: KeyPrefix[]; readonly complete: boolean }>
  /** Null when there is none. */
  mark(name: string): Promise<string | null>
  /** Sets the mark if it is `from` (null: there is none), in one step, and answers whether it was. */
  moveMark(name: string, from: string | null, to: string): Promise<boolean>
  /** Answers how many were there. */
  delete(keys: readonly string[]): Promise<number>
  /** One round trip to the engine, in milliseconds; rejects when it is down. */
  ping(): Promise<number>
  /** When an engine that is away is tried next; absent where each call tries by itself. */
  retryAt?(): number | null
  close(): Promise<void>
}

export interface KeyWrite {
  readonly key: string
  readonly fields: Readonly<Record<string, string>>
  readonly ttlMs?: number
  readonly order?: { readonly source: string; readonly offset: number }
}

export interface KeyEntry {
  readonly key: string
  readonly fields: Readonly<Record<string, string>>
  /** Epoch milliseconds of the last applied write; 0 when the engine does not know, because another program wrote the key. */
  readonly updatedAt: number
  /** Epoch milliseconds after which the entry is gone, or null when it stays. */
  readonly expiresAt: number | null
}

export interface KeyPrefix {
  readonly prefix: string
  readonly keys: number
}

/** To which keys that begin alike are counted. */
export const MOST_COUNTED = 1_000

export interface KeysCapabilities {
  readonly name: 'postgres' | 'redis'
  readonly orderedScan: boolean
}
