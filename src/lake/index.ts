/** The lake: Delta tables on the objects port, declared by name and kept fresh. */
export {
  table,
  tierOf,
  declaredColumns,
  isMade,
  quarantineName,
  BRONZE_FIELDS,
  type StreamRef,
  type Table,
  type TableOptions,
  type TimeWindow,
} from './declare.ts'
export {
  warn,
  quarantine,
  fail,
  notNull,
  unique,
  between,
  oneOf,
  matches,
  rowCount,
  fresh,
  describeCheck,
  type Check,
  type CheckKind,
  type Expectation,
  type RowCheck,
  type TableCheck,
} from './expectations.ts'
export type { RowOf, RowsContext, RowsInput } from './rows-model.ts'
export type { PythonJob, PythonLimits, PythonRunner } from './python.ts'
export type { Freshness } from './freshness.ts'
export type { Drift, DriftEntry } from './drift.ts'
export type { ReplayResult } from './replay.ts'
export { sql, renderSql, quoteName, quoteText, quoteTable, type Sql } from './sql.ts'
export { parseSelect } from './parse.ts'
export { isNode, rewrite, type SqlNode } from './tree.ts'
export { bindTables, type Binding } from './bind.ts'
export { openDuck } from './duck.ts'
export type { AppendBatch, StreamAppender } from './appender.ts'
export { openLake, type Lake } from './lake.ts'
export type { Branch, Branches, MergedTable, TableDifference } from './branches.ts'
export { planTables, type Model, type TablePlan } from './model.ts'
export { describeTables } from './lineage/describe.ts'
export { openSqlReader, type SqlReader } from './lineage/reads.ts'
export { files, type FileFormat, type FileOptions, type FilesRef } from './ingest/declare.ts'
export { findFiles, type SourceFile } from './ingest/paths.ts'
export { openIngestion, targetOf, type Ingestion } from './ingest/ingest.ts'
export type { FileOutcome } from './ingest/run.ts'
export { watchFiles, type FileWatcher } from './ingest/watch.ts'
export { refusals } from './ingest/aside.ts'
export type { CheckResult, CheckResults, SampleRow } from './judge.ts'
export { interruptible } from './interrupt.ts'
export { CHECKS_INFO, type RefreshResult } from './refresh.ts'
export { createRefresher, type Refresher, type RefreshStatus } from './refresher.ts'
export { fieldsOfRelation, openTable } from './delta/index.ts'
export type { DeltaField, DeltaTable, DeltaType, Duck, HistoryEntry, Snapshot } from './delta/index.ts'
