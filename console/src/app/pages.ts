/** The pages that exist, in the order of the sidebar; the palette offers the same. */
import {
  Activity,
  Bell,
  Boxes,
  Cable,
  CodeXml,
  Database,
  HeartPulse,
  KeyRound,
  LayoutDashboard,
  ListChecks,
  type LucideIcon,
  SquareTerminal,
  Waypoints,
  Workflow,
} from 'lucide-react'

type PageLink = {
  readonly to: '/' | '/live' | '/streams' | '/alerts' | '/lake' | '/sql' | '/lineage' | '/keys' | '/flows' | '/runs' | '/workloads' | '/transforms' | '/health'
  readonly title: `page.${'overview' | 'live' | 'streams' | 'alerts' | 'lake' | 'sql' | 'lineage' | 'keys' | 'flows' | 'runs' | 'workloads' | 'transforms' | 'health'}`
  readonly icon: LucideIcon
}

export const pageGroups: readonly { readonly title: 'group.data' | 'group.work' | 'group.system' | undefined; readonly pages: readonly PageLink[] }[] = [
  {
    title: undefined,
    pages: [
      { to: '/', title: 'page.overview', icon: LayoutDashboard },
      { to: '/live', title: 'page.live', icon: Activity },
      { to: '/alerts', title: 'page.alerts', icon: Bell },
    ],
  },
  {
    title: 'group.data',
    pages: [
      { to: '/streams', title: 'page.streams', icon: Cable },
      { to: '/lake', title: 'page.lake', icon: Database },
      { to: '/sql', title: 'page.sql', icon: SquareTerminal },
      { to: '/lineage', title: 'page.lineage', icon: Waypoints },
      { to: '/keys', title: 'page.keys', icon: KeyRound },
    ],
  },
  {
    title: 'group.work',
    pages: [
      { to: '/flows', title: 'page.flows', icon: Workflow },
      { to: '/runs', title: 'page.runs', icon: ListChecks },
      { to: '/workloads', title: 'page.workloads', icon: Boxes },
      { to: '/transforms', title: 'page.transforms', icon: CodeXml },
    ],
  },
  { title: 'group.system', pages: [{ to: '/health', title: 'page.health', icon: HeartPulse }] },
]
