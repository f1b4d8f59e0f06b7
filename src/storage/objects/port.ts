/**
 * Objects: immutable blobs under `bucket/key` paths; the lake, artifacts and finished logs live here.
 *
 * Promises of every adapter:
 * - A read after a successful write sees the write (strong consistency), also from another process.
 * - `putIfAbsent` is atomic across processes: of any number of callers for one path exactly one gets `true`. It never
 *   exposes a part of the object, and once it answered the object survives a crash.
 * - `put` replaces atomically: a reader sees the old or the new bytes.
 * - A path is `bucket/key`: at least two segments of at most 255 bytes, 1024 in all, none of them empty, `.` or `..`; anything
 *   else rejects with `storage.bad_path`. A prefix may be empty and may end anywhere.
 * - `list` yields paths in ascending UTF-8 byte order.
 * - Names that start with `.lagoa-` inside a folder belong to the adapter and are never listed.
 * - Local files are a cache unless `capabilities.inPlace`: what `localFile` answered stays as long as the oldest hold that was open
 *   then. Who gives such a file to an engine takes a hold first and releases it when the engine is done.
 * - Methods may be called concurrently. After `close` they reject with `storage.closed`.
 * - Nothing is retried inside except what the engine's own client does for single requests.
 */
export interface Objects {
  readonly capabilities: ObjectsCapabilities
  /** The whole object, or null when there is none. */
  get(path: string): Promise<Uint8Array | null>
  /** Bytes [start, end) of the object; fewer when it is shorter; null when there is none. */
  getRange(path: string, start: number, end: number): Promise<Uint8Array | null>
  head(path: string): Promise<ObjectInfo | null>
  put(path: string, bytes: Uint8Array): Promise<void>
  putIfAbsent(path: string, bytes: Uint8Array): Promise<boolean>
  /** Objects whose path starts with `prefix`, only those after `after` when given. */
  list(prefix: string, options?: { readonly after?: string }): AsyncIterable<ObjectInfo>
  /** Removing what is not there is no error. */
  delete(path: string): Promise<void>
  /** A local file with the object's bytes, for engines that read files; never write to it. Rejects with `storage.missing_object`. */
  localFile(path: string): Promise<string>
  /** Keeps local files until the answer is called; calling it again does nothing. Holds may overlap. */
  hold(): () => void
  /** A local file to write into (by DuckDB, say) that becomes the object when published. */
  stage(path: string): Promise<StagedObject>
  /** Makes the bytes of `from` those of `to` as well, without carrying them through this process; replaces as `put` does. Rejects with `storage.missing_object`. */
  copy(from: string, to: string): Promise<void>
  /** The address by which other engines find the object, percent-encoded: `file:///...` or `s3://bucket/key`. */
  uri(path: string): string
  /** The path behind an address, also one as other engines spell it (`file:/...`, `s3a://...`); null when it lies elsewhere. */
  pathOf(uri: string): string | null
  close(): Promise<void>
}

export interface ObjectInfo {
  readonly path: string
  readonly size: number
  /** Epoch milliseconds. */
  readonly modified: number
}

export interface StagedObject {
  /** Where to write. The file does not exist yet. */
  readonly file: string
  /** Makes the file durable and visible under its path, all or nothing, replacing as `put` does; answers its size in bytes. */
  publish(): Promise<number>
  /** Removes what was written; safe after publish (then it does nothing). */
  discard(): Promise<void>
}

export interface ObjectsCapabilities {
  readonly name: 'folder' | 's3'
  /** Local files are the objects themselves, so an engine can read them in place. */
  readonly inPlace: boolean
}
