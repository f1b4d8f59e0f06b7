/** Addresses of the console: one lazy chunk a feature. */
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router'
import { FailedScreen, LoadingScreen } from '../ui/states.tsx'
import {
  alertsSearch,
  branchSearch,
  flowSearch,
  flowsSearch,
  keysSearch,
  lakeSearch,
  lineageSearch,
  liveSearch,
  runSearch,
  runsSearch,
  sqlSearch,
  streamSearch,
  streamsSearch,
  tableSearch,
  transformsSearch,
  workloadSearch,
  workloadsSearch,
} from './search.ts'
import { NotFound, Shell } from './shell.tsx'

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound })

const overview = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: lazyRouteComponent(() => import('../features/overview/screen.tsx'), 'OverviewScreen'),
})
const live = createRoute({
  getParentRoute: () => root,
  path: '/live',
  validateSearch: liveSearch,
  component: lazyRouteComponent(() => import('../features/live/screen.tsx'), 'LiveScreen'),
})
const lake = createRoute({
  getParentRoute: () => root,
  path: '/lake',
  validateSearch: lakeSearch,
  component: lazyRouteComponent(() => import('../features/lake/list.tsx'), 'LakeScreen'),
})
const table = createRoute({
  getParentRoute: () => root,
  path: '/lake/$name',
  validateSearch: tableSearch,
  component: lazyRouteComponent(() => import('../features/lake/table.tsx'), 'TableScreen'),
})
// A table's name has a dot in it, so none is called branches.
const branches = createRoute({
  getParentRoute: () => root,
  path: '/lake/branches',
  component: lazyRouteComponent(() => import('../features/branches/list.tsx'), 'BranchesScreen'),
})
const branch = createRoute({
  getParentRoute: () => root,
  path: '/lake/branches/$branch',
  validateSearch: branchSearch,
  component: lazyRouteComponent(() => import('../features/branches/branch.tsx'), 'BranchScreen'),
})
const sql = createRoute({
  getParentRoute: () => root,
  path: '/sql',
  validateSearch: sqlSearch,
  component: lazyRouteComponent(() => import('../features/sql/screen.tsx'), 'SqlScreen'),
})
const lineage = createRoute({
  getParentRoute: () => root,
  path: '/lineage',
  validateSearch: lineageSearch,
  component: lazyRouteComponent(() => import('../features/lineage/screen.tsx'), 'LineageScreen'),
})
const streams = createRoute({
  getParentRoute: () => root,
  path: '/streams',
  validateSearch: streamsSearch,
  component: lazyRouteComponent(() => import('../features/streams/list.tsx'), 'StreamsScreen'),
})
const stream = createRoute({
  getParentRoute: () => root,
  path: '/streams/$name',
  validateSearch: streamSearch,
  component: lazyRouteComponent(() => import('../features/streams/stream.tsx'), 'StreamScreen'),
})
const alerts = createRoute({
  getParentRoute: () => root,
  path: '/alerts',
  validateSearch: alertsSearch,
  component: lazyRouteComponent(() => import('../features/alerts/screen.tsx'), 'AlertsScreen'),
})

const keys = createRoute({
  getParentRoute: () => root,
  path: '/keys',
  validateSearch: keysSearch,
  component: lazyRouteComponent(() => import('../features/keys/screen.tsx'), 'KeysScreen'),
})
const flows = createRoute({
  getParentRoute: () => root,
  path: '/flows',
  validateSearch: flowsSearch,
  component: lazyRouteComponent(() => import('../features/flows/list.tsx'), 'FlowsScreen'),
})
const flow = createRoute({
  getParentRoute: () => root,
  path: '/flows/$name',
  validateSearch: flowSearch,
  component: lazyRouteComponent(() => import('../features/flows/flow.tsx'), 'FlowScreen'),
})
const runs = createRoute({
  getParentRoute: () => root,
  path: '/runs',
  validateSearch: runsSearch,
  component: lazyRouteComponent(() => import('../features/runs/list.tsx'), 'RunsScreen'),
})
const run = createRoute({
  getParentRoute: () => root,
  path: '/runs/$id',
  validateSearch: runSearch,
  component: lazyRouteComponent(() => import('../features/runs/run.tsx'), 'RunScreen'),
})
const workloads = createRoute({
  getParentRoute: () => root,
  path: '/workloads',
  validateSearch: workloadsSearch,
  component: lazyRouteComponent(() => import('../features/workloads/list.tsx'), 'WorkloadsScreen'),
})
const workload = createRoute({
  getParentRoute: () => root,
  path: '/workloads/$id',
  validateSearch: workloadSearch,
  component: lazyRouteComponent(() => import('../features/workloads/workload.tsx'), 'WorkloadScreen'),
})
const transforms = createRoute({
  getParentRoute: () => root,
  path: '/transforms',
  validateSearch: transformsSearch,
  component: lazyRouteComponent(() => import('../features/transforms/screen.tsx'), 'TransformsScreen'),
})
const health = createRoute({
  getParentRoute: () => root,
  path: '/health',
  component: lazyRouteComponent(() => import('../features/health/screen.tsx'), 'HealthScreen'),
})

export const router = createRouter({
  routeTree: root.addChildren([
    overview,
    live,
    lake,
    table,
    branches,
    branch,
    sql,
    lineage,
    streams,
    stream,
    alerts,
    keys,
    flows,
    flow,
    runs,
    run,
    workloads,
    transforms,
    workload,
    health,
  ]),
  defaultPreload: 'intent',
  defaultPendingComponent: LoadingScreen,
  defaultPendingMs: 150,
  defaultErrorComponent: ({ error, reset }) => <FailedScreen error={error} onRetry={reset} />,
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}
