/**
 * The shapes of the HTTP API under `/api/v1`: one zod schema a thing, the source of validation, of `/openapi.json` and
 * of the console's types. Times are epoch milliseconds; sizes are bytes; lists page by `limit` and `cursor`.
 */
import { z } from 'zod'

const page = <T extends z.ZodType>(item: T): z.ZodObject<{ items: z.ZodArray<T>; cursor: z.ZodOptional<z.ZodString> }> =>
  z.object({ items: z.array(item), cursor: z.string().optional().describe('Pass it to get the next page; absent at the end') })

export const FieldShape = z.object({
  name: z.string(),
  type: z.string(),
  nullable: z.boolean(),
  unit: z.string().optional(),
  description: z.string().optional(),
})

export const ServiceHealth = z.object({
  name: z.enum(['records', 'objects', 'keys', 'eventLog', 'queue', 'query', 'sandbox']),
  adapter: z.string().describe('Which engine serves it, such as postgres or kafka'),
  state: z.enum(['up', 'degraded', 'down', 'off']).describe('degraded: it answers, but slowly, or it refuses what is written to it'),
  latencyMs: z.number().nullable(),
  detail: z.string().optional().describe('What is wrong'),
  hint: z.string().optional().describe('What to do when it is down'),
})

export const ServiceShape = ServiceHealth.extend({
  address: z.string().nullable().describe('Where it is, without secrets; null inside this process'),
  since: z.number().describe('Since when it is in this state, as far as this process saw'),
  history: z.array(z.number().nullable()).describe('Latencies, one each five seconds, the oldest first, at most 60; null where it did not answer'),
  lastError: z
    .object({ at: z.number(), code: z.string(), message: z.string(), hint: z.string().optional() })
    .nullable()
    .describe('Why it is down, or was when it last was'),
  retryAt: z.number().nullable().describe('When a connection is tried next, where it is down and tried by itself'),
  usedBy: z.array(
    z.object({
      kind: z.enum(['stream', 'lane', 'queue', 'tables', 'engine']),
      name: z.string().describe('Of the stream, of the stream and its sink, of the queue, of the engine; how many tables'),
      state: z.enum(['running', 'waiting']),
      pending: z.number().describe('Records or messages that are not there yet'),
      error: z.string().optional(),
      retryAt: z.number().nullable().describe('When it is tried again'),
    }),
  ),
})
export const ServiceList = z.object({ items: z.array(ServiceShape) })

export const NodeShape = z.object({
  id: z.string(),
  url: z.string().describe('Where it answers'),
  host: z.string(),
  pid: z.number(),
  seenAt: z.number(),
  duties: z.array(z.string()).describe('What this node does for all: sources, partitions of streams, the upkeep of tables'),
  self: z.boolean().describe('It is the one that answers'),
})
export const NodeList = z.object({ items: z.array(NodeShape) })

export const System = z.object({
  version: z.string(),
  project: z.string(),
  title: z.string(),
  mode: z.enum(['embedded', 'external', 'mixed']),
  startedAt: z.number(),
  now: z.number(),
  memoryBytes: z.number().describe('All processes of Lagoa together, proportional set size'),
  services: z.array(ServiceHealth),
  problems: z
    .array(z.object({ code: z.string(), message: z.string(), hint: z.string().optional(), file: z.string().optional() }))
    .describe('What is wrong with the project as loaded'),
})

const SinkShape = z.object({
  name: z.string(),
  kind: z.enum(['alerts', 'live', 'table', 'objects', 'dead_letters']),
  position: z.number().describe('The next offset it will take, summed over partitions'),
  lag: z.number().describe('Records in the log that it has not taken yet'),
  state: z.enum(['running', 'retrying', 'stopped']),
  error: z.string().optional(),
  retryAt: z.number().optional().describe('When a failing one is tried again'),
})

const ProblemShape = z.object({ message: z.string(), hint: z.string().optional().describe('What to do about it') })

export const StreamShape = z.object({
  name: z.string(),
  description: z.string().optional(),
  key: z.string().optional(),
  eventTime: z.string().optional(),
  live: z.object({ by: z.string(), ttlMs: z.number().nullable() }).optional(),
  fields: z.array(FieldShape),
  partitions: z.array(z.object({ partition: z.number(), earliest: z.number(), next: z.number(), bytes: z.number() })),
  records: z.number().describe('Records ever taken'),
  deadLetters: z.number().nullable().describe('Records that ever became dead letters; null while the event log does not answer'),
  perSecond: z.number().describe('Records per second over the last ten seconds'),
  history: z.array(z.number()).describe('Records in each of the last 60 seconds, oldest first'),
  problem: ProblemShape.optional().describe('Why the event log does not answer'),
  source: z
    .object({ kind: z.string(), state: z.enum(['running', 'paused', 'ended', 'failed']), records: z.number(), blank: z.number(), error: z.string().optional() })
    .optional(),
  sinks: z.array(SinkShape),
})
export const StreamList = page(StreamShape)

const CarrierShape = z.object({ url: z.string(), host: z.string(), here: z.boolean().describe('The node that answers') })
export const StreamDetail = StreamShape.extend({
  lanes: z
    .array(
      z.object({
        sink: z.string(),
        kind: SinkShape.shape.kind,
        partition: z.number(),
        position: z.number().describe('The next offset it will take'),
        lag: z.number(),
        state: z.enum(['running', 'retrying', 'stopped', 'elsewhere']).describe('elsewhere: only how far it has come is known here'),
        error: z.string().optional(),
      }),
    )
    .describe('One partition on its way to one sink'),
  carriers: z.array(z.object({ partition: z.number(), node: CarrierShape })).describe('Which node carries a partition; one that none carries is absent'),
})

export const RecordShape = z.object({
  partition: z.number(),
  offset: z.number(),
  time: z.number(),
  key: z.string().nullable(),
  value: z.unknown().describe('The JSON value, or the text as it came when it is not JSON'),
  error: z.string().optional().describe('Why it is a dead letter'),
})
export const RecordList = page(RecordShape).extend({ next: z.number().describe('The offset after the last record that was looked at: read on from there') })

export const ResendAnswer = z.object({
  resent: z.number(),
  already: z.number().describe('Letters that had been sent again before'),
  skipped: z.number().describe('Letters that cannot be sent'),
  reasons: z.array(z.string()).describe('Why some were skipped, each reason once'),
  left: z.number().describe('Letters that are left because of the limit'),
})

export const DeadLetterShape = z.object({
  offset: z.number().describe('Among the dead letters'),
  time: z.number().describe('When it became one'),
  error: z.string().describe('The code of the fault'),
  reason: z.string().describe('What is wrong with the record'),
  partition: z.number().nullable().describe('Where it was in the stream; null for what never got in, such as a line of a file'),
  source: z.number().nullable().describe('Its offset there'),
  key: z.string().nullable(),
  text: z.string().optional().describe('The bytes, where they are text'),
  base64: z.string().optional().describe('The bytes, where they are none'),
  bytes: z.number().optional().describe('How many bytes there were, when only the first of them are here'),
  resent: z.boolean().describe('It was sent again'),
})
export const DeadLetterList = page(DeadLetterShape).extend({
  kept: z.number().describe('Letters that the log keeps'),
  waiting: z.number().describe('Letters that came since the last time that all were sent again'),
})

const GroupShape = z.object({
  group: z.string(),
  partitions: z.array(
    z.object({ partition: z.number(), offset: z.number().describe('The next offset to read'), lag: z.number().describe('Records in the log from there on') }),
  ),
})
export const GroupList = page(GroupShape)

export const ProduceAnswer = z.object({
  accepted: z.number(),
  rejected: z.number(),
  results: z.array(
    z.union([
      z.object({ partition: z.number(), offset: z.number() }),
      z.object({ error: z.object({ code: z.string(), message: z.string(), field: z.string().optional() }) }),
    ]),
  ),
})

/** The newest record per key, missing values as null. */
export const LatestShape = z.object({ key: z.string(), at: z.number(), fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])) })
export const LatestList = page(LatestShape)

export const SeriesShape = z.object({
  from: z.number(),
  until: z.number(),
  stepMs: z.number().describe('Width of one point; 0 when points are single readings'),
  series: z.array(z.object({ key: z.string(), times: z.array(z.number()), values: z.record(z.string(), z.array(z.number().nullable())) })),
})

export const TableSummary = z.object({
  name: z.string(),
  tier: z.enum(['bronze', 'silver', 'gold', 'other']),
  description: z.string().optional(),
  rows: z.number().nullable(),
  bytes: z.number(),
  files: z.number(),
  version: z.number().nullable().describe('null until the first write'),
  updatedAt: z.number().nullable(),
  from: z.array(z.string()).describe('The streams and tables it is made from'),
  freshness: z
    .object({
      state: z.enum(['fresh', 'stale', 'unknown']),
      since: z.number().nullable().describe('Since when it is stale; null while it is not'),
      newest: z.number().nullable().describe('The time that the newest data is of'),
      withinMs: z.number(),
    })
    .optional()
    .describe('How the table meets its freshness target; absent without one'),
  refresh: z.object({ state: z.enum(['idle', 'running', 'failed', 'waiting']), lastMs: z.number().nullable(), error: z.string().optional() }),
  checks: z.object({ passed: z.number(), failed: z.number() }),
  quarantined: z.number(),
})
export const TableList = page(TableSummary)

export const TableShape = TableSummary.extend({
  fields: z.array(FieldShape),
  partitionBy: z.array(z.string()),
  merge: z.array(z.string()).optional(),
  location: z.string().describe('bucket/key of the Delta table'),
  sql: z.string().optional(),
  usedBy: z.array(z.string()),
  properties: z.record(z.string(), z.string()),
})

export const VersionShape = z.object({
  version: z.number(),
  timestamp: z.number(),
  operation: z.string(),
  rowsAdded: z.number().nullable(),
  filesAdded: z.number().nullable(),
  filesRemoved: z.number().nullable(),
  parameters: z.record(z.string(), z.unknown()),
})
export const VersionList = page(VersionShape)

export const CheckShape = z.object({
  name: z.string(),
  severity: z.enum(['warn', 'quarantine', 'fail']),
  rule: z.string(),
  state: z.enum(['passed', 'failed', 'not_run']),
  violations: z.number().describe('Rows of the last refresh that broke it'),
  total: z.number().describe('Rows that ever broke it'),
  checkedAt: z.number().nullable(),
  version: z.number().nullable(),
  kind: z.enum(['sql', 'notNull', 'unique', 'between', 'oneOf', 'matches', 'rowCount', 'fresh']),
  found: z.string().optional().describe('What a check of the whole table found'),
  samples: z.array(z.record(z.string(), z.unknown())).optional().describe('At most five rows that broke it; rows that are held stand in the quarantine'),
})
export const CheckList = page(CheckShape)

export const ReplayAnswer = z.object({
  checked: z.number().describe('Held rows that were judged'),
  released: z.number().describe('Those that were put into the table, or would be'),
  stillHeld: z.number(),
  superseded: z.number().describe('Those that pass but have a newer row with their key in the table: they leave the quarantine'),
  version: z.number().nullable().describe("The table's version that holds the effect"),
  dryRun: z.boolean(),
})

const DriftShape = z.object({
  version: z.number().describe("The table's version that first tells of it"),
  at: z.number(),
  kind: z.enum(['taken', 'refused', 'unknown_fields']),
  changes: z.array(z.string()).describe('One sentence a change'),
  fields: z.record(z.string(), z.number()).optional().describe('How many records carried an unknown field'),
  samples: z.array(z.record(z.string(), z.unknown())).describe('At most five rows that brought it'),
})
export const DriftList = page(DriftShape)

/** One bar chart and one line of facts for a column's header. */
export const ProfileShape = z.object({
  version: z.number(),
  sampled: z.boolean(),
  columns: z.array(
    z.object({
      name: z.string(),
      type: z.string(),
      nullShare: z.number(),
      distinct: z.number().describe('Exact up to 200,000 rows, an estimate above'),
      min: z.unknown(),
      max: z.unknown(),
      bars: z.array(z.number()).describe('Row counts: 20 equal ranges for numbers and times, the most frequent values for text'),
    }),
  ),
})

export const QueryResult = z.object({
  columns: z.array(z.object({ name: z.string(), type: z.string() })),
  rows: z.array(z.array(z.unknown())),
  truncated: z.boolean(),
  elapsedMs: z.number(),
})

export const SilenceShape = z.object({
  id: z.string(),
  rule: z.string(),
  reason: z.string(),
  createdAt: z.number(),
  until: z.number(),
  by: z.string().nullable().describe('Who asked for it, as they wrote'),
  endedAt: z.number().nullable().describe('When it was ended before its time'),
  active: z.boolean(),
})
export const SilenceList = page(SilenceShape)

export const RuleShape = z.object({
  name: z.string(),
  on: z.string(),
  mode: z.enum(['each', 'episode']),
  when: z.string(),
  clear: z.string().optional(),
  for: z.string().optional(),
  to: z.array(z.string()),
  severity: z.enum(['info', 'warning', 'critical']),
  description: z.string().optional(),
  matched: z.number().describe('Readings that met the condition'),
  fired: z.number(),
  queued: z.number().describe('Messages that reached their queues'),
  waiting: z.number().describe('Messages that have not yet; at most 100,000 are counted'),
  firing: z.number().describe('Fingerprints that are firing now'),
  limits: z
    .array(z.object({ field: z.string(), op: z.enum(['>', '>=', '<', '<=']), value: z.number() }))
    .describe('Plain comparisons in the condition, for charts'),
  silence: SilenceShape.optional().describe('Nothing goes to its queues while it holds'),
  problem: ProblemShape.optional().describe('Why its readings are not looked at, or its messages not sent'),
})
export const RuleList = page(RuleShape)

export const AlertShape = z.object({
  id: z.string(),
  rule: z.string(),
  mode: z.enum(['each', 'episode']),
  severity: z.enum(['info', 'warning', 'critical']),
  key: z.string().describe('Whose reading it was, such as the sensor'),
  state: z.enum(['pending', 'firing', 'resolved', 'fired']).describe('fired: a single reading of mode each'),
  startedAt: z.number(),
  resolvedAt: z.number().nullable(),
  matched: z.number(),
  values: z.record(z.string(), z.unknown()).describe('The fields of the reading that fired it'),
  message: z.string().optional(),
  delivery: z
    .enum(['waiting', 'sent', 'silenced', 'none'])
    .optional()
    .describe('What became of its message; none: the rule has no queue. Absent while it is pending, and in the event stream'),
})
export const AlertList = page(AlertShape)

export const KeyType = z.enum(['hash', 'json', 'number', 'text']).describe('hash: it has fields of its own; the others are what the one field `value` holds')
export const KeyShape = z.object({
  key: z.string(),
  type: KeyType,
  bytes: z.number().describe('Of the names and texts of its fields'),
  fields: z.record(z.string(), z.string()),
  updatedAt: z.number().describe('0 when it is not known, because another program wrote the key'),
  expiresAt: z.number().nullable(),
})
export const KeyPrefixes = z.object({
  items: z.array(z.object({ prefix: z.string(), keys: z.number().describe('Counted to a thousand') })),
  complete: z.boolean().describe('There are no others'),
})
export const KeyList = page(KeyShape)

/** What the integration routes answer: `/api/cache`, `/api/history` and `/api/alerts`. */
export const CacheFields = z.record(z.string(), z.string()).describe('The fields of the hash')
export const StoredObject = z.unknown().describe('The JSON of the object')
export const AlertMessage = z.object({ alert: z.string().describe('The body of the message, or "No alerts in queue"') })

export const Overview = z.object({
  eventsPerSecond: z.number(),
  eventsHistory: z.array(z.number()).describe('One point a second, oldest first, at most 60'),
  freshnessMs: z.number().nullable().describe('95th percentile of the age of tables whose inputs have newer data'),
  freshnessHistory: z.array(z.number()),
  checks: z.object({ passed: z.number(), failed: z.number() }),
  alerts: z.object({ firing: z.number(), today: z.number() }),
  lakeBytes: z.number(),
  lakeRows: z.number(),
  movement: z.object({
    sources: z.array(z.object({ name: z.string(), kind: z.string(), records: z.number(), perSecond: z.number() })),
    tiers: z.array(z.object({ tier: z.enum(['bronze', 'silver', 'gold']), tables: z.number(), rows: z.number(), bytes: z.number() })),
    keptShare: z.number().nullable().describe('Silver rows per bronze row, quarantined and duplicate rows left out'),
    consumers: z.array(
      z.object({
        kind: z.enum(['query', 'alerts', 'live']),
        count: z.number().describe('Rules, or streams with a live cache; 0 where there is nothing to count'),
      }),
    ),
  }),
  attention: z.array(
    z.object({
      id: z.string(),
      severity: z.enum(['error', 'warning']),
      kind: z.enum(['alert', 'check', 'table', 'sink', 'service', 'project', 'stale', 'freshness']),
      title: z.string().describe('What is the matter, in English'),
      detail: z.string(),
      subject: z.string().describe('Whom it concerns: a table, a stream and its sink, a service, a device, a rule'),
      count: z.number().nullable().describe('Rows that break a check'),
      since: z.number().nullable(),
      link: z.string(),
    }),
  ),
})

/**
 * One message of the event stream `/api/v1/events?streams=a,b`, at most ten a second. Every part is absent when nothing
 * changed. `live` holds the readings since the last message by column; beyond 2,000 a message only the newest per key.
 */
export const LiveMessage = z.object({
  at: z.number(),
  live: z
    .record(
      z.string(),
      z.object({
        keys: z.array(z.string()),
        times: z.array(z.number()),
        fields: z.record(z.string(), z.array(z.union([z.number(), z.string(), z.boolean(), z.null()]))),
        dropped: z.number(),
      }),
    )
    .optional(),
  rates: z.record(z.string(), z.number()).optional(),
  alerts: z.array(AlertShape).optional(),
  tables: z.array(z.object({ name: z.string(), version: z.number(), rows: z.number().nullable() })).optional(),
  runs: z.array(z.string()).optional().describe('Runs of which something changed, the newest changes when there are very many'),
  services: z.array(ServiceHealth).optional(),
  memoryBytes: z.number().optional(),
  reloaded: z.boolean().optional().describe('The project was changed and loaded again: fetch everything anew'),
})

const AssetKind = z.enum(['stream', 'files', 'table', 'task', 'alert', 'queue', 'live', 'dead_letters'])
const AssetHead = z.object({
  id: z.string().describe('kind:name, such as table:silver.readings'),
  kind: AssetKind,
  name: z.string(),
  description: z.string().optional(),
  owner: z.string().optional(),
  tags: z.array(z.string()),
})
const AssetColumnShape = z.object({
  name: z.string(),
  type: z.string().optional(),
  description: z.string().optional(),
  unit: z.string().optional(),
  tags: z.array(z.string()).optional(),
})

export const AssetSummary = AssetHead.extend({
  columns: z.number().describe('How many there are'),
  matched: z.array(z.string()).describe('Columns that the search found, the best first'),
})
export const AssetList = page(AssetSummary)

export const AssetShape = AssetHead.extend({
  columns: z.array(AssetColumnShape),
  partOf: z.string().optional().describe('The asset that it belongs to and goes with'),
  unknown: z.string().optional().describe('Why it is not known of which columns it is made'),
})

const PlaceShape = z.object({ asset: z.string(), column: z.string().optional().describe('Absent: the asset as a whole, its rows') })
const UseShape = z.object({
  part: z.enum([
    'sql',
    'columns',
    'merge',
    'partition',
    'window',
    'window_source',
    'expectation',
    'key',
    'event_time',
    'live_key',
    'when',
    'clear',
    'by',
    'message',
  ]),
  name: z.string().optional().describe('Of an expectation'),
})

export const LineageEdge = z.object({
  from: PlaceShape,
  to: PlaceShape,
  how: z
    .enum(['copied', 'computed', 'filtered', 'joined', 'grouped', 'ordered', 'used', 'read', 'unknown'])
    .describe('copied and computed join columns; filtered, joined, grouped and ordered decide rows; used is a definition that names the column'),
  use: UseShape.optional(),
  passed: z.boolean().optional().describe('The column goes along with all others: nothing names it'),
})
const LineageNodeShape = AssetHead.extend({
  tier: z.enum(['bronze', 'silver', 'gold', 'other']).optional().describe('Of a table'),
  distance: z.number().describe('Steps from where the walk began; negative is upstream'),
  columns: z.array(z.object({ name: z.string(), type: z.string().optional() })).describe('The first hundred'),
  columnCount: z.number(),
  traced: z.array(z.string()).describe('Columns on the way, in a walk that began at a column'),
  unknown: z.string().optional().describe('Why it is not known of which columns it is made'),
})
export const LineageShape = z.object({
  start: PlaceShape,
  nodes: z.array(LineageNodeShape),
  edges: z.array(LineageEdge),
  truncated: z.boolean().describe('There is more than the depth let through'),
})

const ImpactItem = PlaceShape.extend({
  use: UseShape.optional(),
  effect: z
    .enum(['breaks', 'may_break', 'goes', 'changes', 'waits'])
    .describe(
      'breaks: its definition names what goes. may_break: its lineage is unknown. goes: it goes too. changes: it comes from what goes. waits: it gets nothing new until what breaks is mended',
    ),
  why: z.string(),
  path: z.array(PlaceShape).describe('From what goes to this'),
})
export const ImpactShape = z.object({
  start: PlaceShape,
  items: z.array(ImpactItem).describe('The worst first'),
  counts: z.object({ breaks: z.number(), may_break: z.number(), goes: z.number(), changes: z.number(), waits: z.number() }),
  truncated: z.boolean(),
})

export const ErrorShape = z.object({
  error: z.object({ code: z.string(), kind: z.string(), message: z.string(), hint: z.string().optional(), requestId: z.string().optional() }),
})

export type System = z.infer<typeof System>
export type ServiceHealth = z.infer<typeof ServiceHealth>
export type ServiceShape = z.infer<typeof ServiceShape>
export type NodeShape = z.infer<typeof NodeShape>
export type StreamShape = z.infer<typeof StreamShape>
export type StreamDetail = z.infer<typeof StreamDetail>
export type RecordList = z.infer<typeof RecordList>
export type DeadLetterShape = z.infer<typeof DeadLetterShape>
export type DeadLetterList = z.infer<typeof DeadLetterList>
export type ResendAnswer = z.infer<typeof ResendAnswer>
export type SinkShape = z.infer<typeof SinkShape>
export type RecordShape = z.infer<typeof RecordShape>
export type ProduceAnswer = z.infer<typeof ProduceAnswer>
export type LatestShape = z.infer<typeof LatestShape>
export type SeriesShape = z.infer<typeof SeriesShape>
export type TableSummary = z.infer<typeof TableSummary>
export type TableShape = z.infer<typeof TableShape>
export type VersionShape = z.infer<typeof VersionShape>
export type CheckShape = z.infer<typeof CheckShape>
export type DriftShape = z.infer<typeof DriftShape>
export type ReplayAnswer = z.infer<typeof ReplayAnswer>
export type ProfileShape = z.infer<typeof ProfileShape>
export type QueryResult = z.infer<typeof QueryResult>
export type RuleShape = z.infer<typeof RuleShape>
export type SilenceShape = z.infer<typeof SilenceShape>
export type AlertShape = z.infer<typeof AlertShape>
export type KeyShape = z.infer<typeof KeyShape>
export type KeyPrefixes = z.infer<typeof KeyPrefixes>
export type Overview = z.infer<typeof Overview>
export type LiveMessage = z.infer<typeof LiveMessage>
export type AssetSummary = z.infer<typeof AssetSummary>
export type AssetShape = z.infer<typeof AssetShape>
export type LineageShape = z.infer<typeof LineageShape>
export type LineageNode = z.infer<typeof LineageNodeShape>
export type LineageEdge = z.infer<typeof LineageEdge>
export type ImpactShape = z.infer<typeof ImpactShape>
export type FieldShape = z.infer<typeof FieldShape>
export type Page<T> = { items: T[]; cursor?: string | undefined }

export const BranchShape = z.object({
  name: z.string(),
  createdAt: z.number(),
  tables: z.array(z.object({ table: z.string(), version: z.number().describe('The version that was forked') })),
})
export const BranchList = page(BranchShape)

const RowValues = z.record(z.string(), z.unknown()).nullable()
export const BranchDiff = z.object({
  table: z.string(),
  base: z.number().describe('The version that was forked'),
  newest: z.number().describe('The newest version of the table itself'),
  columnsAdded: z.array(z.string()),
  columnsRemoved: z.array(z.string()),
  columnsChanged: z.array(z.object({ column: z.string(), before: z.string(), after: z.string() })),
  keys: z.array(z.string()).describe('Columns by which rows were paired; without any a changed row is one removed and one added'),
  added: z.number(),
  removed: z.number(),
  changed: z.number(),
  columns: z.array(z.string()),
  sample: z.array(z.object({ change: z.enum(['added', 'removed', 'changed']), before: RowValues, after: RowValues })),
})
export const BranchMerge = z.object({
  dryRun: z.boolean(),
  items: z.array(
    z.object({
      table: z.string(),
      outcome: z.enum(['merged', 'unchanged']),
      version: z.number(),
      filesAdded: z.number(),
      filesRemoved: z.number(),
    }),
  ),
})

export type BranchShape = z.infer<typeof BranchShape>
export type BranchDiff = z.infer<typeof BranchDiff>
export type BranchMerge = z.infer<typeof BranchMerge>

const RunStateShape = z.enum(['queued', 'running', 'succeeded', 'failed', 'cancelled'])
const TaskErrorShape = z.object({ code: z.string(), kind: z.string(), message: z.string(), hint: z.string().optional() })

const ScheduleShape = z.object({
  cron: z.string().optional(),
  every: z.union([z.string(), z.number()]).optional(),
  timeZone: z.string(),
  nextAt: z.number().nullable(),
  paused: z.boolean(),
})

export const FlowShape = z.object({
  name: z.string(),
  description: z.string().optional(),
  owner: z.string().optional(),
  tags: z.array(z.string()),
  tasks: z.number(),
  schedule: ScheduleShape.nullable(),
  partition: z.enum(['hour', 'day', 'week', 'month']).nullable().describe('It is run for each of these by itself'),
  on: z.array(z.object({ kind: z.enum(['table', 'stream']), name: z.string() })).describe('The tables and streams that it follows'),
  last: z
    .array(z.object({ id: z.string(), state: RunStateShape, createdAt: z.number(), startedAt: z.number().nullable(), endedAt: z.number().nullable() }))
    .describe('The newest runs first, at most 32'),
})
export const FlowList = page(FlowShape)

export const FlowDetailShape = FlowShape.extend({
  params: z.unknown().describe('JSON Schema of the params of a run'),
  nodes: z
    .array(
      z.object({
        name: z.string(),
        kind: z.string(),
        description: z.string().optional(),
        retries: z.number(),
        timeoutMs: z.number().nullable(),
        pool: z.string(),
      }),
    )
    .describe('The tasks; those before come first'),
  edges: z.array(z.tuple([z.number(), z.number()])).describe('From and to, as places in nodes'),
})

export const RunShape = z.object({
  id: z.string(),
  kind: z.string(),
  flow: z.string(),
  state: RunStateShape,
  paused: z.boolean(),
  params: z.unknown(),
  trigger: z.unknown().describe('Who or what asked for it'),
  partition: z.string().nullable(),
  backfill: z.string().nullable(),
  subject: z.string().nullable().describe('What it is about: the id of a workload'),
  parent: z.string().nullable().describe('The run one of whose tasks it is'),
  tasks: z.number(),
  open: z.number().describe('Tasks that have not ended'),
  failed: z.number(),
  createdAt: z.number(),
  startedAt: z.number().nullable(),
  endedAt: z.number().nullable(),
  error: TaskErrorShape.extend({ task: z.string() }).nullable().describe('Of the first task that failed'),
})
export const RunList = page(RunShape)

export const RunDetailShape = RunShape.extend({
  graph: z
    .object({
      nodes: z.array(
        z.object({
          name: z.string(),
          about: z.record(z.string(), z.unknown()),
          pool: z.string(),
          priority: z.number(),
          rule: z.string(),
          optional: z.boolean(),
        }),
      ),
      edges: z.array(z.tuple([z.number(), z.number()])),
    })
    .describe('As it was when the run began'),
})

export const BackfillPlanShape = z.object({
  partitions: z.number().describe('Those that it will run'),
  skipped: z.number().describe('Those that have succeeded or are under way'),
  first: z.string().nullable(),
  last: z.string().nullable(),
  sample: z.array(z.string()),
})

export const BackfillShape = z.object({
  id: z.string(),
  flow: z.string(),
  state: z.enum(['running', 'paused', 'succeeded', 'failed', 'cancelled']),
  total: z.number(),
  queued: z.number(),
  running: z.number(),
  succeeded: z.number(),
  failed: z.number(),
  cancelled: z.number(),
  concurrency: z.number().nullable().describe('Runs at a time'),
  params: z.unknown(),
  first: z.string(),
  last: z.string(),
  createdAt: z.number(),
  endedAt: z.number().nullable(),
})
export const BackfillList = page(BackfillShape)

export const TaskStateShape = z.enum(['waiting', 'delayed', 'ready', 'held', 'running', 'deferred', 'expanded', 'succeeded', 'failed', 'skipped', 'cancelled'])

export const RunTaskShape = z.object({
  n: z.number(),
  name: z.string(),
  node: z.number(),
  index: z.number().nullable().describe('Of the element, when its node maps over a list'),
  state: TaskStateShape,
  reason: z.string().nullable(),
  attempt: z.number(),
  pool: z.string(),
  worker: z.string().nullable(),
  startedAt: z.number().nullable(),
  endedAt: z.number().nullable(),
  output: z.unknown(),
  error: TaskErrorShape.nullable(),
  child: z.string().nullable().describe('The run that it waits for'),
  progress: z.object({ done: z.number(), total: z.number().nullable() }).nullable().describe('How far it said it is; a few seconds old while it runs'),
})
export const RunTaskList = page(RunTaskShape)

export const RunNodeList = z.object({
  items: z.array(
    RunTaskShape.omit({ index: true, output: true }).extend({
      elements: z
        .object({
          total: z.number(),
          states: z.partialRecord(TaskStateShape, z.number()),
          startedAt: z.number().nullable(),
          endedAt: z.number().nullable(),
        })
        .nullable()
        .describe('Of a node that maps over a list: how many elements are in which state, and from when to when they ran'),
      tries: z
        .array(z.object({ fence: z.number(), attempt: z.number(), state: z.string(), startedAt: z.number(), endedAt: z.number() }))
        .describe('Those that ended'),
    }),
  ),
})

export const AttemptList = z.object({
  items: z.array(
    z.object({
      n: z.number(),
      fence: z.number(),
      attempt: z.number(),
      worker: z.string(),
      state: z.string(),
      startedAt: z.number(),
      endedAt: z.number(),
      error: TaskErrorShape.nullable(),
    }),
  ),
})

export const LogList = z.object({
  items: z.array(
    z.object({
      n: z.number(),
      fence: z.number(),
      node: z.number().nullable().describe('Its node; null when the task was made anew since'),
      index: z.number().nullable().describe('Of the element, when its node maps over a list'),
      at: z.number(),
      level: z.enum(['debug', 'info', 'warn', 'error']),
      text: z.string(),
    }),
  ),
  cursor: z.string().describe('Pass it to read on; the same again when nothing came'),
})

export const WorkloadShape = z.object({
  id: z.string(),
  name: z.string(),
  kind: z.string(),
  params: z.unknown(),
  version: z.number().describe('Raised by each change; the ETag'),
  createdAt: z.number(),
  updatedAt: z.number(),
  lastRun: RunShape.pick({ id: true, state: true, createdAt: true, startedAt: true, endedAt: true, error: true }).nullable(),
})
export const WorkloadList = page(WorkloadShape)
export const WorkloadKindList = z.object({
  items: z.array(z.object({ kind: z.string(), about: z.string(), params: z.unknown().describe('JSON Schema of its params') })),
})
export const WorkloadResults = page(z.record(z.string(), z.unknown()))

const FindingShape = z.object({
  code: z.string(),
  line: z.number().describe('From 1'),
  col: z.number().describe('In characters, from 0'),
  end_line: z.number(),
  end_col: z.number().describe('Exclusive'),
  message: z.string(),
  hint: z.string().nullable(),
})
export const FindingList = z.object({ findings: z.array(FindingShape) })

const JobEndShape = z.enum(['success', 'rejected', 'error', 'timeout', 'memory', 'output_too_large', 'killed', 'cancelled'])
const JobStatusShape = z.enum(['queued', 'running', ...JobEndShape.options])

export const ProcessAnswer = z.object({
  status: JobEndShape,
  parquet_path: z.string().nullable().describe('bucket/key of the result'),
  rows: z.number().nullable(),
  columns: z.array(z.string()).nullable(),
  execution_time: z.number().nullable().describe('Seconds, from the start of the work to the stored result'),
  message: z.string().nullable().describe("What went wrong, for the code's writer"),
  line: z.number().nullable().describe('In the code as it was sent, from 1'),
  traceback: z.string().nullable(),
  findings: z.array(FindingShape),
  log: z.string().describe('What the code printed'),
  log_truncated: z.boolean(),
  preview: z.array(z.array(z.unknown())).describe('The first 20 rows'),
  types: z.array(z.string()).nullable().describe('Of the columns'),
  peak_memory: z.number().nullable().describe('Bytes'),
  timings: z.record(z.string(), z.number()).describe('Milliseconds by phase'),
  environment: z.string().nullable().describe('Names the Python and its packages exactly'),
  job_id: z.string(),
})

const JobHead = z.object({
  job_id: z.string().describe('Also the id of its run'),
  status: JobStatusShape,
  dataset_path: z.string(),
  parquet_path: z.string().nullable(),
  execution_time: z.number().nullable(),
  message: z.string().nullable(),
  progress: z
    .object({ phase: z.enum(['queued', 'decoding', 'validating', 'running', 'encoding']), done: z.number().describe('From 0 to 1') })
    .nullable()
    .describe('Null unless it runs'),
  created_at: z.number(),
  started_at: z.number().nullable(),
  ended_at: z.number().nullable(),
})
export const JobShape = ProcessAnswer.extend({
  ...JobHead.shape,
  logs: z.array(z.string()).describe('The newest lines that it printed, at most 200, also while it runs'),
  webhook: z
    .object({
      url: z.string(),
      state: z.enum(['waiting', 'delivered', 'given_up']),
      attempts: z.number(),
      next_at: z.number().nullable(),
      error: z.string().nullable().describe('Why it was not taken the last time'),
    })
    .nullable(),
})
export const JobList = page(JobHead)
export type FlowShape = z.infer<typeof FlowShape>
export type FlowDetailShape = z.infer<typeof FlowDetailShape>
export type RunShape = z.infer<typeof RunShape>
export type RunDetailShape = z.infer<typeof RunDetailShape>
export type RunTaskShape = z.infer<typeof RunTaskShape>
export type RunNodeShape = z.infer<typeof RunNodeList>['items'][number]
export type AttemptList = z.infer<typeof AttemptList>
export type LogList = z.infer<typeof LogList>
export type FindingList = z.infer<typeof FindingList>
export type FindingShape = FindingList['findings'][number]
export type JobShape = z.infer<typeof JobShape>
export type JobHeadShape = z.infer<typeof JobList>['items'][number]
export type WorkloadShape = z.infer<typeof WorkloadShape>
export type WorkloadKindList = z.infer<typeof WorkloadKindList>
export type BackfillPlanShape = z.infer<typeof BackfillPlanShape>
export type BackfillShape = z.infer<typeof BackfillShape>
