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
  FieldShape,
  ImpactShape,
  KeyPrefixes,
  KeyShape,
  LatestShape,
  LineageEdge,
  LineageNode,
  LineageShape,
  LiveMessage,
  NodeShape,
  Overview,
  ProfileShape,
  QueryResult,
  ReplayAnswer,
  RuleShape,
  SeriesShape,
  ServiceHealth,
  ServiceShape,
  StreamShape,
  System,
  TableShape,
  TableSummary,
  VersionShape,
} from '../../../src/server/wire.ts'

export type Page<T> = { items: T[]; cursor?: string | undefined }
export type Version = VersionShape
