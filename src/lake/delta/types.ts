/**
 * The words of Delta Lake as this package uses them; the source is PROTOCOL.md of the Delta Lake project.
 * Section names in comments refer to it.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import type { Objects } from '../../storage/index.ts'

/** Where tables live and what reads and writes their Parquet. */
export interface Place {
  readonly objects: Objects
  readonly duck: Duck
}

/** DuckDB, opened once per process for trusted work; every command takes its own connection from it. */
export interface Duck {
  connect(): Promise<DuckDBConnection>
  close(): Promise<void>
}

/** Rows to write: a SELECT that `connection` can run. Its column order does not matter, names do. */
export interface Relation {
  readonly connection: DuckDBConnection
  readonly sql: string
}

/** A JSON schema string's parsed form (section "Schema Serialization Format"). */
export interface DeltaField {
  readonly name: string
  readonly type: DeltaType
  readonly nullable: boolean
  readonly metadata: Readonly<Record<string, unknown>>
}
export type DeltaType =
  | string
  | { readonly type: 'struct'; readonly fields: readonly DeltaField[] }
  | { readonly type: 'array'; readonly elementType: DeltaType; readonly containsNull: boolean }
  | { readonly type: 'map'; readonly keyType: DeltaType; readonly valueType: DeltaType; readonly valueContainsNull: boolean }

export interface Protocol {
  readonly minReaderVersion: number
  readonly minWriterVersion: number
  readonly readerFeatures?: readonly string[]
  readonly writerFeatures?: readonly string[]
}

export interface Metadata {
  readonly id: string
  readonly name?: string
  readonly description?: string
  readonly fields: readonly DeltaField[]
  readonly partitionColumns: readonly string[]
  readonly configuration: Readonly<Record<string, string>>
  readonly createdTime?: number
}

/** One version of a table. Immutable; cheap to hold. */
export interface Snapshot {
  readonly version: number
  /** Epoch milliseconds of its commit. */
  readonly timestamp: number
  readonly protocol: Protocol
  readonly metadata: Metadata
  readonly fileCount: number
  /** Sum of the files' sizes in bytes. */
  readonly bytes: number
  /** Rows by the files' statistics; null when some file has none. */
  readonly rowCount: number | null
  /** The last version that an application stored with its `txn` actions, or null (section "Transaction Identifiers"). */
  txnVersion(appId: string): number | null
}

export interface CommitOptions {
  /** Commits nothing and answers `skipped` when the table already holds this or a later version of the application. */
  readonly txn?: { readonly appId: string; readonly version: number }
  /** Extra facts for the commit's `commitInfo`. */
  readonly info?: Readonly<Record<string, unknown>>
  readonly signal?: AbortSignal
}

export interface CommitResult {
  /** The version that holds the effect; for `skipped`, the version that was there. */
  readonly version: number
  readonly skipped: boolean
  readonly filesAdded: number
  readonly filesRemoved: number
  readonly rowsAdded: number
  readonly metrics: Readonly<Record<string, number>>
}

export interface HistoryEntry {
  readonly version: number
  readonly timestamp: number
  readonly operation: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly metrics: Readonly<Record<string, string | number>>
  readonly engineInfo: string | null
  readonly info: Readonly<Record<string, unknown>>
}

export interface CreateOptions {
  readonly fields: readonly DeltaField[]
  readonly partitionBy?: readonly string[]
  readonly description?: string
  readonly configuration?: Readonly<Record<string, string>>
}

export type AtVersion = { readonly version: number } | { readonly timestamp: number }

/** A condition on the rows of a table, in DuckDB SQL over its column names. */
export type Predicate = string

export interface DeltaTable {
  /** `bucket/key` of the table's folder. */
  readonly root: string
  /** The newest version, or the one asked for; null when there is no table. Cheap when nothing changed. */
  snapshot(at?: AtVersion): Promise<Snapshot | null>
  create(options: CreateOptions, commit?: CommitOptions): Promise<CommitResult>
  append(input: Relation, commit?: CommitOptions): Promise<CommitResult>
  /**
   * Replaces all rows, or with `where` only the rows that match it; every new row must match it then (Delta's replaceWhere).
   * `schema: true` takes the input's schema too; `as` gives the table this shape in the same commit, its settings added to those it has.
   */
  overwrite(
    input: Relation,
    options?: CommitOptions & { readonly where?: Predicate; readonly schema?: boolean; readonly as?: CreateOptions },
  ): Promise<CommitResult>
  /** Makes the table take these columns: unknown ones are added (nullable, as old rows have no value), nullable ones take nulls from now on. Types stay. */
  evolve(fields: readonly DeltaField[], commit?: CommitOptions): Promise<CommitResult>
  /** Packs neighbouring small files of a partition into larger ones. Rows, their order and what followers of the table see stay the same. */
  optimize(options?: OptimizeOptions): Promise<CommitResult>
  /**
   * Updates rows whose keys match and inserts the others; keys compare null-safe. Two input rows with the same keys are an error,
   * or the last one wins. Files without matches stay as they are, and inserted rows go to files of their own.
   */
  merge(input: Relation, options: CommitOptions & { readonly keys: readonly string[]; readonly duplicates?: 'error' | 'last' }): Promise<CommitResult>
  history(limit?: number): Promise<HistoryEntry[]>
  /**
   * SQL for DuckDB that reads this snapshot's rows, to be put in parentheses; `where` prunes files by partition values and statistics
   * (it is not applied to rows). Files are local when this resolves: hold the place's objects until the SQL is no longer used.
   */
  scan(snapshot: Snapshot, options?: { readonly where?: Predicate }): Promise<string>
  /**
   * Like `scan`, for the rows that versions (after, upTo] brought. `appendOnly` tells whether no version in between removed data; when
   * one did, rows of rewritten files appear too, and `gone` reads the files of which rows were taken.
   */
  changes(after: number, upTo: Snapshot): Promise<Changes>
}

export interface Changes {
  readonly sql: string
  readonly appendOnly: boolean
  readonly files: number
  readonly rows: number
  /** Reads the rows of removed files, also those that another file holds again; nothing when `appendOnly`. */
  gone(): Promise<string>
}

export interface OptimizeOptions extends CommitOptions {
  /** Files below this size are packed (16 MB). */
  readonly smallBytes?: number
  /** About the size of a packed file (128 MB). */
  readonly targetBytes?: number
  /** Does nothing for fewer small files than this (2). */
  readonly atLeast?: number
  /** Reads at most about this much, the oldest files first (512 MB); call again for the rest. */
  readonly mostBytes?: number
}
