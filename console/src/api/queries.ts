/** What the screens read, as query options: key, route and how old an answer may be. */
import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query'
import { get, post, postAsync } from './client.ts'
import type {
  FindingList,
  JobHeadShape,
  AlertShape,
  AssetShape,
  AssetSummary,
  AttemptList,
  BackfillPlanShape,
  BackfillShape,
  BranchDiff,
  BranchShape,
  CheckShape,
  DeadLetterList,
  DriftShape,
  FlowDetailShape,
  FlowShape,
  ImpactShape,
  KeyPrefixes,
  KeyShape,
  LatestShape,
  LineageShape,
  LogList,
  NodeShape,
  Overview,
  Page,
  ProfileShape,
  QueryResult,
  RecordList,
  RuleShape,
  RunDetailShape,
  RunNodeShape,
  RunShape,
  RunTaskShape,
  SeriesShape,
  ServiceShape,
  SilenceShape,
  StreamDetail,
  StreamShape,
  System,
  TableShape,
  TableSummary,
  VersionShape,
  WorkloadKindList,
  WorkloadShape,
} from './types.ts'

const list = 'limit'
const most = 1000
/** What is declared changes when the project is loaded again, and then everything is fetched anew. */
const declared = 5 * 60_000

export const systemQuery = queryOptions({ queryKey: ['system'], queryFn: ({ signal }) => get<System>('system', {}, signal), refetchInterval: 30_000 })

export const overviewQuery = queryOptions({
  queryKey: ['overview'],
  queryFn: ({ signal }) => get<Overview>('overview', {}, signal),
  refetchInterval: 5_000,
})

export const streamsQuery = queryOptions({
  queryKey: ['streams'],
  queryFn: ({ signal }) => get<Page<StreamShape>>('streams', { [list]: most }, signal),
  refetchInterval: 30_000,
})

export const streamPath = (name: string): string => `streams/${encodeURIComponent(name)}`

export const streamQuery = (name: string) =>
  queryOptions({ queryKey: ['streams', name], queryFn: ({ signal }) => get<StreamDetail>(streamPath(name), {}, signal), refetchInterval: 2_000 })

export type RecordsFrom = { partition: number; offset?: number | undefined; time?: number | undefined; filter?: string | undefined }

/** Records of one partition: the newest, or from a place on. */
export function fetchRecords(stream: string, from: RecordsFrom, limit: number, signal: AbortSignal): Promise<RecordList> {
  return get<RecordList>(`${streamPath(stream)}/records`, { ...from, limit }, signal)
}

export const recordPagesQuery = (stream: string, from: RecordsFrom) =>
  infiniteQueryOptions({
    queryKey: ['records', stream, from],
    queryFn: ({ signal, pageParam }) => get<RecordList>(`${streamPath(stream)}/records`, { ...from, limit: 200, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    // At the end there may be more by and by: what was read is not read again.
    getNextPageParam: (last) => String(last.next),
    retry: false,
    staleTime: declared,
  })

export const recordQuery = (stream: string, partition: number, offset: number) =>
  queryOptions({
    queryKey: ['records', stream, 'one', partition, offset],
    queryFn: ({ signal }) => fetchRecords(stream, { partition, offset }, 1, signal),
    retry: false,
    // A record never changes.
    staleTime: declared,
  })

export const lettersQuery = (stream: string) =>
  infiniteQueryOptions({
    queryKey: ['streams', stream, 'letters'],
    queryFn: ({ signal, pageParam }) => get<DeadLetterList>(`${streamPath(stream)}/dead-letters`, { limit: 50, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    // Pages that somebody has gone back to are not read again and again.
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 0) <= 2 ? 5_000 : false),
  })

export const letterQuery = (stream: string, offset: number) =>
  queryOptions({
    queryKey: ['streams', stream, 'letter', offset],
    queryFn: ({ signal }) => get<DeadLetterList>(`${streamPath(stream)}/dead-letters`, { limit: 1, cursor: offset + 1 }, signal),
  })

export const latestQuery = (stream: string) =>
  queryOptions({
    queryKey: ['latest', stream],
    queryFn: ({ signal }) => get<Page<LatestShape>>(`streams/${encodeURIComponent(stream)}/latest`, { [list]: most }, signal),
    staleTime: 0,
  })

export function fetchSeries(stream: string, fields: readonly string[], from: number, until: number, points: number, signal: AbortSignal): Promise<SeriesShape> {
  return get<SeriesShape>(`streams/${encodeURIComponent(stream)}/series`, { fields: fields.join(','), from, until, points }, signal)
}

export const tablesQuery = queryOptions({
  queryKey: ['tables'],
  queryFn: ({ signal }) => get<Page<TableSummary>>('tables', { [list]: most }, signal),
  refetchInterval: 30_000,
})

const table = (name: string): string => `tables/${encodeURIComponent(name)}`

export const tableQuery = (name: string) =>
  queryOptions({ queryKey: ['table', name], queryFn: ({ signal }) => get<TableShape>(table(name), {}, signal), refetchInterval: 15_000 })

export const rowsQuery = (name: string, version: number | undefined) =>
  queryOptions({
    queryKey: ['table', name, 'rows', version ?? 'newest'],
    queryFn: ({ signal }) => get<QueryResult>(`${table(name)}/rows`, { [list]: 200, version }, signal),
    placeholderData: keepPreviousData,
    // A version never changes once it is written.
    staleTime: version === undefined ? 0 : Number.POSITIVE_INFINITY,
  })

export const historyQuery = (name: string) =>
  queryOptions({ queryKey: ['table', name, 'history'], queryFn: ({ signal }) => get<Page<VersionShape>>(`${table(name)}/history`, { [list]: 200 }, signal) })

export const checksQuery = (name: string) =>
  queryOptions({ queryKey: ['table', name, 'checks'], queryFn: ({ signal }) => get<Page<CheckShape>>(`${table(name)}/checks`, {}, signal) })

export const driftQuery = (name: string) =>
  queryOptions({ queryKey: ['table', name, 'drift'], queryFn: ({ signal }) => get<Page<DriftShape>>(`${table(name)}/drift`, {}, signal) })

export const profileQuery = (name: string) =>
  queryOptions({
    queryKey: ['table', name, 'profile'],
    queryFn: ({ signal }) => get<ProfileShape>(`${table(name)}/profile`, {}, signal),
    placeholderData: keepPreviousData,
    staleTime: 60_000,
  })

export const rulesQuery = queryOptions({
  queryKey: ['rules'],
  queryFn: ({ signal }) => get<Page<RuleShape>>('rules', { [list]: most }, signal),
  refetchInterval: 30_000,
})

export const silencesQuery = queryOptions({
  queryKey: ['silences'],
  queryFn: ({ signal }) => get<Page<SilenceShape>>('silences', {}, signal),
  refetchInterval: 15_000,
})

export type AlertFilter = {
  state?: AlertShape['state'] | undefined
  rule?: string | undefined
  severity?: AlertShape['severity'] | undefined
  since?: number | undefined
}

export const recentAlertsQuery = (filter: AlertFilter, limit: number) =>
  queryOptions({
    queryKey: ['alerts', 'recent', filter, limit],
    queryFn: ({ signal }) => get<Page<AlertShape>>('alerts', { ...filter, limit }, signal),
    refetchInterval: 30_000,
  })

export const alertPagesQuery = (filter: AlertFilter) =>
  infiniteQueryOptions({
    queryKey: ['alerts', 'pages', filter],
    queryFn: ({ signal, pageParam }) => get<Page<AlertShape>>('alerts', { ...filter, limit: 50, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    placeholderData: keepPreviousData,
  })

export type AssetFilter = { search?: string | undefined; kind?: AssetSummary['kind'] | undefined }
export type Place = { asset: string; column?: string | undefined }

/** The server takes this much of a search; more is never typed and often pasted. */
const longestSearch = 200
const filterOf = ({ search, kind }: AssetFilter) => ({ search: search?.trim().slice(0, longestSearch), kind })

/** The best few, for a list that is renewed at each letter. */
export const assetsQuery = (search: string, limit: number) =>
  queryOptions({
    queryKey: ['assets', 'best', search, limit],
    queryFn: ({ signal }) => get<Page<AssetSummary>>('assets', { ...filterOf({ search }), limit }, signal),
    placeholderData: keepPreviousData,
    staleTime: declared,
  })

export const assetPagesQuery = (filter: AssetFilter) =>
  infiniteQueryOptions({
    queryKey: ['assets', 'pages', filter],
    queryFn: ({ signal, pageParam }) => get<Page<AssetSummary>>('assets', { ...filterOf(filter), limit: 100, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    placeholderData: keepPreviousData,
    staleTime: declared,
  })

export const assetQuery = (id: string) =>
  queryOptions({
    queryKey: ['assets', 'one', id],
    queryFn: ({ signal }) => get<AssetShape>(`assets/${encodeURIComponent(id)}`, {}, signal),
    staleTime: declared,
  })

export const lineageQuery = ({ asset, column }: Place, direction: 'up' | 'down' | 'both', depth: number) =>
  queryOptions({
    queryKey: ['lineage', asset, column ?? null, direction, depth],
    queryFn: ({ signal }) => get<LineageShape>('lineage', { asset, column, direction, depth }, signal),
    staleTime: declared,
  })

export const impactQuery = ({ asset, column }: Place) =>
  queryOptions({
    queryKey: ['impact', asset, column ?? null],
    queryFn: ({ signal }) => get<ImpactShape>('impact', { asset, column }, signal),
    staleTime: declared,
  })

export const branchesQuery = queryOptions({
  queryKey: ['branches'],
  queryFn: ({ signal }) => get<Page<BranchShape>>('branches', {}, signal),
  refetchInterval: 30_000,
})

export const branchPath = (name: string): string => `branches/${encodeURIComponent(name)}`

export const branchQuery = (name: string) =>
  queryOptions({ queryKey: ['branches', name], queryFn: ({ signal }) => get<BranchShape>(branchPath(name), {}, signal) })

export const branchDiffQuery = (name: string, table: string) =>
  queryOptions({
    queryKey: ['branches', name, 'diff', table],
    queryFn: ({ signal }) => get<BranchDiff>(`${branchPath(name)}/diff`, { table, [list]: 200 }, signal),
  })

export const servicesQuery = queryOptions({
  queryKey: ['services'],
  queryFn: ({ signal }) => get<{ items: ServiceShape[] }>('services', {}, signal),
  refetchInterval: 2_000,
})

export const nodesQuery = queryOptions({
  queryKey: ['nodes'],
  queryFn: ({ signal }) => get<{ items: NodeShape[] }>('nodes', {}, signal),
  refetchInterval: 5_000,
})

export type KeyFilter = { prefix?: string | undefined; pattern?: string | undefined; type?: KeyShape['type'] | undefined }

/** So many pages are read again to stay current; who has gone further down looks at what was. */
const renewedPages = 3

export const keyPagesQuery = (filter: KeyFilter) =>
  infiniteQueryOptions({
    queryKey: ['keys', 'pages', filter],
    queryFn: ({ signal, pageParam }) => get<Page<KeyShape>>('keys', { ...filter, limit: 200, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) <= renewedPages ? 5_000 : false),
  })

export const keyPrefixesQuery = (prefix: string) =>
  queryOptions({
    queryKey: ['keys', 'prefixes', prefix],
    queryFn: ({ signal }) => get<KeyPrefixes>('key-prefixes', { prefix, [list]: 40 }, signal),
    placeholderData: keepPreviousData,
    staleTime: 15_000,
  })

export const keyPath = (key: string): string => `keys/${encodeURIComponent(key)}`

export const keyQuery = (key: string) =>
  queryOptions({ queryKey: ['keys', 'one', key], queryFn: ({ signal }) => get<KeyShape>(keyPath(key), {}, signal), refetchInterval: 2_000 })

export const flowsQuery = queryOptions({
  queryKey: ['flows'],
  queryFn: ({ signal }) => get<Page<FlowShape>>('flows', {}, signal),
  refetchInterval: 15_000,
})

export const flowPath = (name: string): string => `flows/${encodeURIComponent(name)}`

export const flowQuery = (name: string) =>
  queryOptions({ queryKey: ['flows', name], queryFn: ({ signal }) => get<FlowDetailShape>(flowPath(name), {}, signal), refetchInterval: 15_000 })

export type RunFilter = {
  flow?: string | undefined
  state?: RunShape['state'] | undefined
  kind?: string | undefined
  backfill?: string | undefined
}

export const runPagesQuery = (filter: RunFilter) =>
  infiniteQueryOptions({
    queryKey: ['runs', filter],
    queryFn: ({ signal, pageParam }) => get<Page<RunShape>>('runs', { ...filter, limit: 50, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) <= renewedPages ? 5_000 : false),
  })

export const runPath = (id: string): string => `runs/${encodeURIComponent(id)}`

/** The event stream tells of changes on this node; those of others are looked for while a run goes on. */
const whileItRuns = 2_000

export const runQuery = (id: string) =>
  queryOptions({
    queryKey: ['run', id],
    queryFn: ({ signal }) => get<RunDetailShape>(runPath(id), {}, signal),
    refetchInterval: ({ state }) => (state.data?.endedAt === null ? whileItRuns : false),
  })

/** `goesOn` is whether the run does. */
export const runNodesQuery = (id: string, goesOn: boolean) =>
  queryOptions({
    queryKey: ['run', id, 'nodes'],
    queryFn: ({ signal }) => get<{ items: RunNodeShape[] }>(`${runPath(id)}/nodes`, {}, signal),
    refetchInterval: goesOn ? whileItRuns : false,
  })

export const runTaskQuery = (id: string, n: number, goesOn: boolean) =>
  queryOptions({
    queryKey: ['run', id, 'tasks', n],
    queryFn: ({ signal }) => get<RunTaskShape>(`${runPath(id)}/tasks/${n}`, {}, signal),
    refetchInterval: goesOn ? whileItRuns : false,
  })

export const runAttemptsQuery = (id: string, n: number) =>
  queryOptions({
    queryKey: ['run', id, 'tasks', n, 'attempts'],
    queryFn: ({ signal }) => get<AttemptList>(`${runPath(id)}/tasks/${n}/attempts`, {}, signal),
  })

/** The elements of a node that maps over a list, in their order. They may be very many, so they are not read again with each change of the run. */
export const runElementsQuery = (id: string, node: number, state: RunTaskShape['state'] | undefined, goesOn: boolean) =>
  infiniteQueryOptions({
    queryKey: ['run-elements', id, node, state ?? 'all', goesOn],
    queryFn: ({ signal, pageParam }) => get<Page<RunTaskShape>>(`${runPath(id)}/tasks`, { node, state, [list]: 200, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state: { data } }) => (goesOn && (data?.pages.length ?? 0) <= 1 ? whileItRuns : false),
  })

export function fetchLog(id: string, from: { task?: number | undefined; cursor?: string | undefined }, signal: AbortSignal): Promise<LogList> {
  return get<LogList>(`${runPath(id)}/logs`, { ...from, [list]: 5_000 }, signal)
}

export type WorkloadFilter = { kind?: string | undefined; name?: string | undefined }

export const workloadPagesQuery = (filter: WorkloadFilter) =>
  infiniteQueryOptions({
    queryKey: ['workloads', 'pages', filter],
    queryFn: ({ signal, pageParam }) => get<Page<WorkloadShape>>('workloads', { ...filter, limit: 50, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    placeholderData: keepPreviousData,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) <= renewedPages ? 5_000 : false),
  })

export const workloadKindsQuery = queryOptions({
  queryKey: ['workload-kinds'],
  queryFn: ({ signal }) => get<WorkloadKindList>('workload-kinds', {}, signal),
  staleTime: declared,
})

export const workloadPath = (id: string): string => `workloads/${encodeURIComponent(id)}`

export const workloadQuery = (id: string) =>
  queryOptions({ queryKey: ['workloads', id], queryFn: ({ signal }) => get<WorkloadShape>(workloadPath(id), {}, signal), refetchInterval: 2_000 })

export const workloadRunsQuery = (id: string) =>
  infiniteQueryOptions({
    queryKey: ['workloads', id, 'runs'],
    queryFn: ({ signal, pageParam }) => get<Page<RunShape>>(`${workloadPath(id)}/runs`, { limit: 20, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 0) <= renewedPages ? 5_000 : false),
  })

/** Of the run that yielded them: those of another are others. */
export const workloadResultsQuery = (id: string, run: string) =>
  infiniteQueryOptions({
    queryKey: ['workload-results', id, run],
    queryFn: ({ signal, pageParam }) => get<Page<Record<string, unknown>>>(`${workloadPath(id)}/results`, { [list]: 200, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    retry: false,
    staleTime: declared,
  })

export type BackfillRequest = {
  from?: string | undefined
  to?: string | undefined
  existing?: 'skip' | 'again' | undefined
  order?: 'oldest' | 'newest' | undefined
  concurrency?: number | undefined
  params?: unknown
}

export const backfillPagesQuery = (flow: string) =>
  infiniteQueryOptions({
    queryKey: ['backfills', flow],
    queryFn: ({ signal, pageParam }) => get<Page<BackfillShape>>('backfills', { flow, limit: 20, cursor: pageParam }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.cursor,
    refetchInterval: ({ state }) =>
      (state.data?.pages.length ?? 0) <= renewedPages && state.data?.pages.some(({ items }) => items.some(({ endedAt }) => endedAt === null)) === true
        ? whileItRuns
        : false,
  })

export const backfillPath = (id: string): string => `backfills/${encodeURIComponent(id)}`

/** What a backfill would run, before anything begins. */
export const backfillPlanQuery = (flow: string, request: BackfillRequest) =>
  queryOptions({
    queryKey: ['backfill-plan', flow, request],
    queryFn: ({ signal }) => post<BackfillPlanShape>(`${flowPath(flow)}/backfills/plan`, request, signal),
    retry: false,
    staleTime: 0,
  })

/** What would be refused in a code; nothing of it runs. */
export const findingsQuery = (code: string) =>
  queryOptions({
    queryKey: ['findings', code],
    queryFn: ({ signal }) => post<FindingList>('process/validate', { code }, signal),
    enabled: code.trim() !== '',
    placeholderData: keepPreviousData,
    retry: false,
    staleTime: declared,
  })

export const jobsQuery = queryOptions({
  queryKey: ['jobs'],
  queryFn: ({ signal }) => get<Page<JobHeadShape>>('process/jobs', { [list]: 100 }, signal),
  staleTime: 10_000,
})

/** Transforms that were kept: workloads of users' Python. */
export const transformsQuery = queryOptions({
  queryKey: ['workloads', 'transforms'],
  queryFn: ({ signal }) => get<Page<WorkloadShape>>('workloads', { kind: 'python', [list]: 100 }, signal),
})

export const submitJob = (request: { dataset_path: string; code: string; timeout: number; max_memory: number }): Promise<JobHeadShape> =>
  postAsync<JobHeadShape>('process', request)
