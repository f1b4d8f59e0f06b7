/** What a task's function gets beside its input. */
import type { Json } from './engine/words.ts'
import type { Window } from './partitions.ts'

export interface TaskContext extends Omit<Tools, 'write' | 'ingest'> {
  /**
   * Takes files into a table: paths and patterns below the project folder, or `objects://bucket/key`. A file whose content is there already is not taken
   * again; one that has changed replaces its rows. Lines that do not fit are kept aside in `TABLE_quarantine`.
   */
  ingest(paths: string | readonly string[], table: string, options?: IngestSettings): Promise<Ingested>
  /**
   * Writes what a SELECT answers into a table that the project does not declare: `schema.table`, or a place as `bucket/path`. It is made when it is not
   * there. Rows that are appended are appended once, however often the task is tried; `overwrite` is the default.
   */
  write(table: string, sql: string, options?: { readonly mode?: 'overwrite' | 'append' }): Promise<Written>
  readonly run: {
    readonly id: string
    readonly flow: string
    readonly params: Json
    readonly partition: string | null
    /** Who or what asked for it; `from` and `to` of what it follows, when it follows a table or a stream. */
    readonly trigger: { readonly [key: string]: Json }
  }
  /** The time of the run's partition, from its first instant to the first one after it; null where the flow has none. */
  readonly window: Window | null
  readonly task: string
  /** The time in epoch milliseconds; under test, that of the test's clock. */
  now(): number
  /** Counts from 1. */
  readonly attempt: number
  /** Aborts when the run is cancelled, the time is up, or the task is another's by now. */
  readonly signal: AbortSignal
  /** The same for every try of this task in this run: for systems that take one thing once. */
  readonly idempotencyKey: string
  log(message: string, level?: 'debug' | 'info' | 'warn' | 'error'): void
  /** How far it is, shown while it runs. It may be said as often as one likes: only the newest is kept, now and then. */
  progress(done: number, total?: number): void
  /** A secret of the configuration; it never shows in logs. */
  secret(name: string): string
}

/** What the platform lends to tasks. Nothing of it is known here. */
export interface Tools {
  /** Reads tables of the lake; at most `limit` rows come back. */
  sql(
    text: string,
    options?: { readonly limit?: number },
  ): Promise<{
    readonly columns: readonly { readonly name: string; readonly type: string }[]
    readonly rows: readonly (readonly Json[])[]
    readonly truncated: boolean
  }>
  write(table: string, sql: string, options: { readonly mode: 'overwrite' | 'append'; readonly once: string; readonly signal: AbortSignal }): Promise<Written>
  ingest(paths: readonly string[], table: string, settings: IngestSettings & { readonly signal: AbortSignal }): Promise<Ingested>
  readonly keys: ToolKeys
  readonly objects: ToolObjects
  /** Appends records to a stream of the project; answers how many were taken. */
  publish(stream: string, records: readonly unknown[]): Promise<number>
  /** The newest records of a stream as they were sent, the oldest of them first. */
  records(stream: string, options: { readonly limit: number; readonly partition?: number }): Promise<Json[]>
  /** Whether every sink of a stream (cache, tables, rules, objects) has taken what the log had when this was asked. */
  caughtUp(stream: string): Promise<boolean>
  /** How far a table or a stream is: it changes when there is more. */
  position(of: { readonly kind: 'table' | 'stream'; readonly name: string }): Promise<Json>
  /** What a rule has done so far. */
  rule(name: string): Promise<{ readonly matched: number; readonly fired: number; readonly queued: number }>
  /** Runs users' Python behind walls, over rows; what `task.python` does. */
  python(call: PythonCall): Promise<PythonAnswer>
  /** Puts messages into a queue, which is made when it is not there. The same message with the same id is one, where the engine remembers it. */
  send(queue: string, messages: readonly { readonly id: string; readonly body: string }[], options?: { readonly durable?: boolean }): Promise<void>
}

export interface Written {
  readonly table: string
  /** Its address, for other engines. */
  readonly uri: string
  readonly rows: number
  readonly version: number
}

/** How a CSV file is read; what is not said is found out. */
export interface IngestSettings {
  readonly delimiter?: string
  readonly decimal?: '.' | ','
  readonly header?: boolean
  readonly encoding?: string
  /** Texts that mean no value. */
  readonly null?: readonly string[]
}

export interface Ingested {
  readonly table: string
  readonly version: number | null
  /** Each with its name in the table's column `_file`. */
  readonly files: readonly { readonly file: string; readonly outcome: string; readonly rows: number; readonly bad: number }[]
}

export interface ToolKeys {
  /** Rejects when the key store does not answer. */
  ping(): Promise<void>
  get(key: string): Promise<Readonly<Record<string, string>> | null>
  set(key: string, fields: Readonly<Record<string, string>>, options?: { readonly ttl?: string | number }): Promise<void>
}

export interface ToolObjects {
  get(path: string): Promise<Uint8Array | null>
  put(path: string, bytes: Uint8Array | string): Promise<void>
  list(prefix: string): AsyncIterable<{ readonly path: string; readonly size: number; readonly modified: number }>
}

export interface PythonCall {
  /** A script of the project, or null for the code itself. */
  readonly file: string | null
  readonly code: string | null
  /** A table, an object, a query, rows, or what a task answered: who carries it out tells them apart. */
  readonly input: unknown
  /** JSON values that `process` gets by these names. */
  readonly arguments: Readonly<Record<string, unknown>>
  /** The table that the result replaces the rows of. */
  readonly into: string | null
  readonly timeoutMs: number | null
  readonly memoryBytes: number | null
  /** The path of the object that the result becomes when it is no table. */
  readonly place: string
  /** The same for every try: a table is written once. */
  readonly key: string
  readonly signal: AbortSignal
  readonly log: (line: string) => void
}

/** The result lies where `object` or `table` says, as Parquet with all its types; small ones are there as rows, too. */
export interface PythonAnswer {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly count: number
  /** Null when they are many, and when they are a table. */
  readonly rows: readonly Json[] | null
  readonly table: string | null
  readonly object: string | null
}
