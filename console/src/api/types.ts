/** The server's shapes as types. The console takes nothing else from the server's tree, and nothing at run time. */
import type { VersionShape } from '../../../src/server/wire.ts'

export type {
  AlertShape,
  AssetShape,
  AssetSummary,
  BranchDiff,
  BranchMerge,
  BranchShape,
  CheckShape,
  DeadLetterList,
  DeadLetterShape,
  FieldShape,
  ImpactShape,
  LatestShape,
  LineageEdge,
  LineageNode,
  LineageShape,
  LiveMessage,
  Overview,
  ProfileShape,
  QueryResult,
  RecordList,
  RecordShape,
  ReplayAnswer,
  ResendAnswer,
  RuleShape,
  SeriesShape,
  ServiceHealth,
  SilenceShape,
  StreamDetail,
  StreamShape,
  System,
  TableShape,
  TableSummary,
  VersionShape,
} from '../../../src/server/wire.ts'

export type Page<T> = { items: T[]; cursor?: string | undefined }
export type Version = VersionShape
