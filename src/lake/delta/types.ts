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
  /** Of a checkpoint with more files than this, only numbers are held in memory (20,000). */
  readonly filesInMemory?: number
}

/** DuckDB, opened once per process for trusted work; every command takes its own connection from it. */
export interface Duck {
  connect(): Promise<DuckDBConnection>
  /** Work that nobody waits for and whose failure harms nobody; it begins after some milliseconds, or at once when somebody wants all to be done. */
  background(work: (hurry: boolean) => Promise<void>, afterMs: number): void
  /** Has such work done, and resolves when there is none left. `close` does the same first. */
  idle(): Promise<void>
  close(): Promise<void>
}

/** Rows to write: a SELECT that `connection` can run. Its column order does not matter, names do. */
export interface Relation {
  readonly connection: DuckDBConnection
  readonly sql: string
  /** The same rows in the same order, written already: an append moves the file into the table instead of writing them again, where the table's shape allows it. */
  readonly parquet?: ParquetFile
}

/** A Parquet file that is in no table, with what was measured of it while it was written. */
export interface ParquetFile {
  readonly file: string
  readonly rows: number
  /** By DuckDB's quoted path (`"address"."city"`), as text. */
  readonly leaves: ReadonlyMap<string, Readonly<Record<string, string>>>
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

/** How far an application has come (section "Transaction Identifiers"). */
export interface Txn {
  readonly appId: string
  readonly version: number
}

export interface CommitOptions {
  /** Commits nothing and answers `skipped` when the table already holds this or a later version of the application. */
  readonly txn?: Txn
  /** More applications that the commit brings forward. It is skipped when all are there already, and a conflict when only some are. */
  readonly txns?: readonly Txn[]
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
  readonly fields: readonly ColumnSpec[]
  readonly partitionBy?: readonly string[]
  readonly description?: string
  /** Conditions by name, in the SQL of Spark, that each row must meet (`{ plausible: 'co >= 0 and co < 500' }`). */
  readonly constraints?: Readonly<Record<string, string>>
  /** Settings; those of Delta may ask for a feature (`delta.columnMapping.mode: 'name'`, `delta.feature.X: 'supported'`). */
  readonly configuration?: Readonly<Record<string, string>>
}

/** A column to make. The expressions are in the SQL of Spark, as the table keeps them for every engine. */
export interface ColumnSpec extends DeltaField {
  /** Gives the column its value from the others; a value that is given must be the same. */
  readonly generated?: string
  /** Gives the column its value where an input does not have the column. */
  readonly default?: string
  readonly comment?: string
}

export type AtVersion = { readonly version: number } | { readonly timestamp: number }

/** A column by its name; a field inside one by its path, with `element`, `key` and `value` for what arrays and maps hold. */
export type ColumnPath = string | readonly string[]

/** Expressions are in the SQL of Spark, as the table keeps them for every engine. */
export type Alteration =
  /** Old rows have no value of them. */
  | { readonly kind: 'addColumns'; readonly fields: readonly ColumnSpec[]; readonly inside?: ColumnPath }
  /** Renaming and dropping take a column mapping, so that files need not change. */
  | { readonly kind: 'renameColumn'; readonly column: ColumnPath; readonly to: string }
  | { readonly kind: 'dropColumn'; readonly column: ColumnPath }
  | { readonly kind: 'enableColumnMapping' }
  | { readonly kind: 'setNullable'; readonly column: ColumnPath }
  /** To a type that holds every value of the old one (section "Type Widening"). */
  | { readonly kind: 'changeType'; readonly column: ColumnPath; readonly type: string }
  | { readonly kind: 'setDefault'; readonly column: ColumnPath; readonly expression: string | null }
  | { readonly kind: 'comment'; readonly column: ColumnPath; readonly text: string | null }
  /** Rejects when a row of the table breaks it. */
  | { readonly kind: 'addConstraint'; readonly name: string; readonly expression: string }
  | { readonly kind: 'dropConstraint'; readonly name: string }
  | { readonly kind: 'setProperties'; readonly properties: Readonly<Record<string, string>> }
  | { readonly kind: 'unsetProperties'; readonly keys: readonly string[] }
  | { readonly kind: 'describe'; readonly text: string | null }

/** A condition on the rows of a table, in DuckDB SQL over its column names. */
export type Predicate = string

/** New values by column, in DuckDB SQL. */
export type Assignments = Readonly<Record<string, string>>

export interface UpdateOptions extends CommitOptions {
  /** Over the row as it was. */
  readonly set: Assignments
  readonly where?: Predicate
}

export type MergeOptions = MergeByKeys | MergeByCondition

export interface MergeByKeys extends CommitOptions {
  readonly keys: readonly string[]
  readonly duplicates?: 'error' | 'last'
}

/** All SQL is over the table's rows `t` and the input's rows `s`. Of the clauses of a kind only the last may be without a condition. */
export interface MergeByCondition extends CommitOptions {
  /** Which rows match. Equalities of columns in it tell which files to read. */
  readonly on: Predicate
  readonly whenMatched?: readonly MatchedClause[]
  /** For rows of the input, over `s` alone. */
  readonly whenNotMatched?: readonly InsertClause[]
  /** For rows of the table, over `t` alone. */
  readonly whenNotMatchedBySource?: readonly MatchedClause[]
  /** Takes columns that only the input has into the table. */
  readonly schema?: boolean
}

/** `all` sets the columns that the input has, by their names. */
export type MatchedClause = { readonly and?: Predicate } & ({ readonly update: 'all' | Assignments } | { readonly delete: true })

/** Columns that are not given get their generated value, their default, or null. */
export interface InsertClause {
  readonly and?: Predicate
  readonly insert: 'all' | Assignments
}

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
  /** Changes what the table says of itself, in one commit and without touching a data file. Nothing is committed when it is so already. */
  alter(change: Alteration, commit?: CommitOptions): Promise<CommitResult>
  /** Packs neighbouring small files of a partition into larger ones. Rows, their order and what followers of the table see stay the same. */
  optimize(options?: OptimizeOptions): Promise<CommitResult>
  /** Takes away the rows for which `where` is true, or all. */
  delete(where?: Predicate, commit?: CommitOptions): Promise<CommitResult>
  /** Gives columns new values in the rows for which `where` is true, or in all. */
  update(options: UpdateOptions): Promise<CommitResult>
  /**
   * By `keys`: updates rows whose keys match and inserts the others; keys compare null-safe. Two input rows with the same keys are an error,
   * or the last one wins. By `on`: of each kind of clause the first applies whose condition is true; two input rows that would change one
   * row of the table are an error. Files without matches stay as they are, and inserted rows go to files of their own.
   */
  merge(input: Relation, options: MergeOptions): Promise<CommitResult>
  history(limit?: number): Promise<HistoryEntry[]>
  /**
   * Writes what a run of commits amounts to into one file of the log, by default of those behind the last checkpoint; opening the table
   * reads it instead of them. Null when there are fewer than two.
   */
  compactLog(range?: { readonly from?: number; readonly to?: number }): Promise<{ readonly from: number; readonly to: number } | null>
  /**
   * Makes the table what it was at an earlier version, in one commit: rows, columns and settings. The protocol never falls, progress of
   * applications (`txn`) stays, and files that come back stand behind those that stayed. Rejects when files of that version are gone.
   */
  restore(to: AtVersion, commit?: CommitOptions): Promise<CommitResult>
  /**
   * Makes a table at `target` (`bucket/key`, where there is none) that reads this one's files where they lie, and pins them here. What is
   * written to the clone goes into its own folder; who drops the clone removes its pin.
   */
  shallowClone(target: string, options?: CloneOptions): Promise<CommitResult>
  /** Makes the folder's Parquet files, partitioned as Hive does or not at all, into a table in place; no file is rewritten. */
  convert(options?: ConvertOptions): Promise<CommitResult>
  /** Deletes files that no version within retention names; readers of older versions pin them. */
  vacuum(options?: VacuumOptions): Promise<VacuumResult>
  /** Keeps every file of a version against vacuums of any process here, until it is unpinned or over. What was deleted before is not brought back. */
  pin(pin: NewPin, signal?: AbortSignal): Promise<Pin>
  unpin(id: string): Promise<void>
  pins(): Promise<Pin[]>
  /** Keeps a snapshot's files against vacuums of this process until the answer is called. */
  keep(snapshot: Snapshot): () => void
  /** Compares two snapshots, of this table or of clones of it. Hold the place's objects until the SQL is no longer used. */
  difference(before: Snapshot, after: Snapshot): Promise<Difference>
  /**
   * Takes over what a shallow clone changed since it was made of `base`, a snapshot of this table; refused with a conflict when something
   * happened to the table meanwhile that a commit decided on `base` must not follow.
   */
  graft(base: Snapshot, tip: Snapshot, options?: GraftOptions): Promise<CommitResult>
  /** What there is to tell of the table, also of one that cannot be read here; null when there is none. */
  describe(): Promise<TableDescription | null>
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
  /**
   * Each row that came, went or changed in the versions from `from` to `to` (or the newest), both included; a table keeps such a feed from
   * when `delta.enableChangeDataFeed` is set. Hold the place's objects until the SQL is no longer used.
   */
  changeFeed(from: AtVersion, to?: AtVersion): Promise<ChangeFeed>
}

export interface ChangeFeed {
  /**
   * Rows with the table's columns, `_change_type` (insert, delete, update_preimage, update_postimage), `_commit_version` and
   * `_commit_timestamp`, in no order.
   */
  readonly sql: string
  readonly from: number
  readonly to: number
}

export interface GraftOptions extends CommitOptions {
  /** Tells what would be taken over, and rejects where it could not be. */
  readonly dryRun?: boolean
}

/** What tells two snapshots apart. The files that both have are left out: only rows of the others can differ. */
export interface Difference {
  /** Of both, those of the later one first. */
  readonly columns: readonly string[]
  readonly columnsAdded: readonly string[]
  readonly columnsRemoved: readonly string[]
  readonly columnsChanged: readonly { readonly column: string; readonly before: string; readonly after: string }[]
  /** SQL over the rows that may be only in the one or the other, with all `columns`; the same row may be in both. */
  readonly before: string
  readonly after: string
  readonly filesBefore: number
  readonly filesAfter: number
}

export type PinReason = 'reader' | 'backup' | 'branch' | 'clone'

export interface NewPin {
  readonly id: string
  readonly reason: PinReason
  readonly version: number
  /** Epoch milliseconds at which it is over by itself. */
  readonly until?: number
  /** The table that lives on these files; its pin is removed with it. */
  readonly holder?: string
}

export interface Pin extends NewPin {
  /** Epoch milliseconds. */
  readonly since: number
}

export interface CloneOptions extends CommitOptions {
  readonly at?: AtVersion
}

export interface ConvertOptions extends CommitOptions {
  /** The columns that the folders' names hold (`day=2024-01-02/`), outermost first. */
  readonly partitionBy?: readonly DeltaField[]
}

export interface VacuumOptions {
  /** How long removed files are kept, in milliseconds; the table's own retention (`delta.deletedFileRetentionDuration`, 7 days) when absent. */
  readonly retainMs?: number
  /** Takes less than the table's retention, or than an hour. Nothing else may read or write the table then. */
  readonly force?: boolean
  /** Deletes nothing. */
  readonly dryRun?: boolean
  /** Told each file that was deleted, or would be. */
  readonly onFile?: (path: string, size: number) => void
  readonly progress?: (progress: VacuumProgress) => void
  readonly signal?: AbortSignal
}

export interface VacuumProgress {
  readonly listed: number
  readonly found: number
  readonly deleted: number
  readonly bytes: number
}

export interface VacuumResult {
  /** The table's version afterwards. */
  readonly version: number
  readonly dryRun: boolean
  readonly retainMs: number
  /** Files that were looked at. */
  readonly listed: number
  readonly folders: number
  /** How many were deleted, or would be. */
  readonly files: number
  readonly bytes: number
  /** The first thousand of them. */
  readonly sample: readonly string[]
}

export interface TableDescription {
  readonly root: string
  readonly id: string
  readonly name: string | null
  readonly description: string | null
  readonly createdAt: number | null
  readonly version: number
  readonly updatedAt: number | null
  readonly protocol: Protocol
  /** Each feature that the protocol names or implies, and whether it is known here. */
  readonly features: readonly { readonly name: string; readonly reads: boolean; readonly writes: boolean }[]
  /** Why the table cannot be read here, or written; null when it can. */
  readonly unreadable: string | null
  readonly unwritable: string | null
  readonly columns: readonly DeltaField[]
  readonly partitionBy: readonly string[]
  readonly clusterBy: readonly (readonly string[])[]
  readonly properties: Readonly<Record<string, string>>
  readonly constraints: readonly { readonly name: string; readonly expression: string }[]
  /** Null when the table cannot be read here. */
  readonly files: number | null
  readonly bytes: number | null
  /** Null also when some file does not tell. */
  readonly rows: number | null
  /** The oldest version that can be read. */
  readonly oldestVersion: number
  readonly commits: number
  readonly checkpoints: readonly number[]
  readonly pins: readonly Pin[]
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
  /** Reads at most about this much, the oldest files first (512 MB; 4 GB with `zOrderBy`, a partition at a time); call again for the rest. */
  readonly mostBytes?: number
  /**
   * Rewrites files so that rows that are near each other by these columns stand in the same files: conditions on any of them skip the
   * others. The order of rows is lost within what is rewritten. A table with clustering columns is clustered by those.
   */
  readonly zOrderBy?: readonly string[]
  /** Only partitions for whose values this is true. */
  readonly where?: Predicate
}
