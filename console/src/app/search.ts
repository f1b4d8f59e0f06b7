/** What each screen keeps in the URL. Unknown and malformed parts are dropped, so an old link still opens. */

type Raw = Record<string, unknown>

const oneOf = <T extends string>(value: unknown, options: readonly T[]): T | undefined => options.find((each) => each === value)
const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined)
const whole = (value: unknown): number | undefined => {
  const number = typeof value === 'string' ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined
}

export const ranges = ['5m', '15m', '1h'] as const
export type Range = (typeof ranges)[number]
export type LiveSearch = { stream?: string | undefined; range?: Range | undefined; stations?: string | undefined }
/** `stations` is a list with commas in it, each name encoded, because names may hold commas themselves. */
export const liveSearch = (raw: Raw): LiveSearch => ({ stream: text(raw['stream']), range: oneOf(raw['range'], ranges), stations: text(raw['stations']) })
export const readNames = (list: string | undefined): string[] =>
  list === undefined ? [] : list.split(',').flatMap((each) => (each === '' ? [] : [safeDecode(each)]))
export const writeNames = (names: readonly string[]): string | undefined =>
  names.length === 0 ? undefined : names.map((each) => each.replaceAll('%', '%25').replaceAll(',', '%2C')).join(',')

function safeDecode(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

export const tiers = ['bronze', 'silver', 'gold', 'other'] as const
const sorts = ['name', 'rows', 'bytes', 'version', 'updatedAt', 'checks'] as const
export type Sort = (typeof sorts)[number]
export type LakeSearch = { tier?: (typeof tiers)[number] | undefined; q?: string | undefined; sort?: Sort | undefined; desc?: boolean | undefined }
export const lakeSearch = (raw: Raw): LakeSearch => ({
  tier: oneOf(raw['tier'], tiers),
  q: text(raw['q']),
  sort: oneOf(raw['sort'], sorts),
  desc: raw['desc'] === true ? true : undefined,
})

export const tabs = ['preview', 'schema', 'history', 'quality'] as const
export type Tab = (typeof tabs)[number]
export type TableSearch = { tab?: Tab | undefined; version?: number | undefined }
export const tableSearch = (raw: Raw): TableSearch => ({ tab: oneOf(raw['tab'], tabs), version: whole(raw['version']) })

export type SqlSearch = { q?: string | undefined }
export const sqlSearch = (raw: Raw): SqlSearch => ({ q: text(raw['q']) })

const streamSorts = ['name', 'perSecond', 'records', 'partitions', 'lag', 'deadLetters'] as const
export type StreamSort = (typeof streamSorts)[number]
export type StreamsSearch = { q?: string | undefined; sort?: StreamSort | undefined; desc?: boolean | undefined }
export const streamsSearch = (raw: Raw): StreamsSearch => ({
  q: text(raw['q']),
  sort: oneOf(raw['sort'], streamSorts),
  desc: raw['desc'] === true ? true : undefined,
})

export const streamTabs = ['overview', 'records', 'letters'] as const
export type StreamTab = (typeof streamTabs)[number]
/**
 * Records are followed as they come, or read on from an `offset` or a `time` (epoch milliseconds) of one partition. `open` is the
 * record that is shown, as `partition-offset`; `letter` the dead letter.
 */
export type StreamSearch = {
  tab?: StreamTab | undefined
  partition?: number | undefined
  offset?: number | undefined
  time?: number | undefined
  filter?: string | undefined
  open?: string | undefined
  letter?: number | undefined
}
export const streamSearch = (raw: Raw): StreamSearch => {
  const offset = whole(raw['offset'])
  return {
    tab: oneOf(raw['tab'], streamTabs),
    partition: whole(raw['partition']),
    offset,
    time: offset === undefined ? whole(raw['time']) : undefined,
    filter: text(raw['filter']),
    open: readPlace(text(raw['open'])) === undefined ? undefined : text(raw['open']),
    letter: whole(raw['letter']),
  }
}

export type RecordPlace = { readonly partition: number; readonly offset: number }
export const readPlace = (place: string | undefined): RecordPlace | undefined => {
  const [, partition, offset] = /^(\d{1,9})-(\d{1,15})$/.exec(place ?? '') ?? []
  return partition === undefined || offset === undefined ? undefined : { partition: Number(partition), offset: Number(offset) }
}
export const writePlace = ({ partition, offset }: RecordPlace): string => `${partition}-${offset}`

export const alertTabs = ['firing', 'history', 'rules', 'silences'] as const
export type AlertTab = (typeof alertTabs)[number]
export const alertStates = ['firing', 'pending', 'resolved', 'fired'] as const
export const severities = ['critical', 'warning', 'info'] as const
export const alertSpans = ['1h', '24h', '7d', '30d'] as const
export type AlertSpan = (typeof alertSpans)[number]
export type AlertsSearch = {
  tab?: AlertTab | undefined
  state?: (typeof alertStates)[number] | undefined
  rule?: string | undefined
  severity?: (typeof severities)[number] | undefined
  span?: AlertSpan | undefined
}
/** An address that filters and names no tab is one of the history. */
export const alertsSearch = (raw: Raw): AlertsSearch => {
  const filters = {
    state: oneOf(raw['state'], alertStates),
    rule: text(raw['rule']),
    severity: oneOf(raw['severity'], severities),
    span: oneOf(raw['span'], alertSpans),
  }
  return { tab: oneOf(raw['tab'], alertTabs) ?? (Object.values(filters).some((each) => each !== undefined) ? 'history' : undefined), ...filters }
}

export const assetKinds = ['stream', 'files', 'table', 'task', 'alert', 'queue', 'live', 'dead_letters'] as const
export const directions = ['up', 'both', 'down'] as const
export const depths = [1, 2, 3, 5, 10, 100] as const
export const defaultDepth = 3
/**
 * `asset` is where the graph begins; `of` is the asset that the panel tells about, where it is another; `column` is one of its columns,
 * whose way is traced. `open` lists the assets that show more columns than the others. Without an asset, `q` and `kind` filter the list.
 */
export type LineageSearch = {
  asset?: string | undefined
  of?: string | undefined
  column?: string | undefined
  direction?: 'up' | 'down' | undefined
  depth?: number | undefined
  show?: 'assets' | 'columns' | undefined
  view?: 'graph' | 'list' | undefined
  panel?: 'impact' | undefined
  open?: string | undefined
  q?: string | undefined
  kind?: (typeof assetKinds)[number] | undefined
}
export const lineageSearch = (raw: Raw): LineageSearch => {
  const depth = whole(raw['depth'])
  return {
    asset: text(raw['asset']),
    of: text(raw['of']),
    column: text(raw['column']),
    direction: oneOf(raw['direction'], ['up', 'down']),
    depth: depth === undefined || depth === defaultDepth ? undefined : Math.max(1, Math.min(100, depth)),
    show: oneOf(raw['show'], ['assets', 'columns']),
    view: oneOf(raw['view'], ['graph', 'list']),
    panel: oneOf(raw['panel'], ['impact']),
    open: text(raw['open']),
    q: text(raw['q']),
    kind: oneOf(raw['kind'], assetKinds),
  }
}

export type BranchSearch = { table?: string | undefined }
export const branchSearch = (raw: Raw): BranchSearch => ({ table: text(raw['table']) })

export const keyTypes = ['hash', 'json', 'number', 'text'] as const
/** `prefix` is where the reader stands among the keys, `q` filters there, `key` is the one that is read; `view` is how. */
export type KeysSearch = {
  prefix?: string | undefined
  q?: string | undefined
  type?: (typeof keyTypes)[number] | undefined
  key?: string | undefined
  view?: 'raw' | undefined
}
export const keysSearch = (raw: Raw): KeysSearch => ({
  prefix: text(raw['prefix']),
  q: text(raw['q']),
  type: oneOf(raw['type'], keyTypes),
  key: text(raw['key']),
  view: oneOf(raw['view'], ['raw']),
})

export type FlowsSearch = { q?: string | undefined; tag?: string | undefined }
export const flowsSearch = (raw: Raw): FlowsSearch => ({ q: text(raw['q']), tag: text(raw['tag']) })

export const flowTabs = ['graph', 'tasks', 'runs', 'backfills'] as const
export type FlowTab = (typeof flowTabs)[number]
export type FlowSearch = { tab?: FlowTab | undefined }
export const flowSearch = (raw: Raw): FlowSearch => ({ tab: oneOf(raw['tab'], flowTabs) })

export const runKinds = ['flow', 'workload'] as const
const runStates = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const
export type RunsSearch = {
  state?: (typeof runStates)[number] | undefined
  kind?: string | undefined
  flow?: string | undefined
  backfill?: string | undefined
}
export const runsSearch = (raw: Raw): RunsSearch => ({
  state: oneOf(raw['state'], runStates),
  kind: text(raw['kind']),
  flow: text(raw['flow']),
  backfill: text(raw['backfill']),
})

export const runTabs = ['timeline', 'graph', 'params'] as const
export type RunTab = (typeof runTabs)[number]
export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]
/** `task` is the place of the task, or element, that the panel tells about; `level` the least that its log shows, `q` what is looked for there. */
export type RunSearch = { tab?: RunTab | undefined; task?: number | undefined; level?: LogLevel | undefined; q?: string | undefined }
export const runSearch = (raw: Raw): RunSearch => ({
  tab: oneOf(raw['tab'], runTabs),
  task: whole(raw['task']),
  level: oneOf(raw['level'], logLevels),
  q: text(raw['q']),
})

export type WorkloadsSearch = { kind?: string | undefined; name?: string | undefined }
export type TransformsSearch = { job?: string | undefined }
export const transformsSearch = (raw: Raw): TransformsSearch => ({ job: text(raw['job']) })

export const workloadsSearch = (raw: Raw): WorkloadsSearch => ({ kind: text(raw['kind']), name: text(raw['name']) })

export const workloadTabs = ['results', 'runs', 'params'] as const
export type WorkloadTab = (typeof workloadTabs)[number]
export type WorkloadSearch = { tab?: WorkloadTab | undefined }
export const workloadSearch = (raw: Raw): WorkloadSearch => ({ tab: oneOf(raw['tab'], workloadTabs) })
