/** Where the reader stands, from the address alone. */

export type Crumb = {
  readonly label: string
  readonly page?:
    | 'page.overview'
    | 'page.live'
    | 'page.streams'
    | 'page.alerts'
    | 'page.lake'
    | 'page.sql'
    | 'page.lineage'
    | 'page.branches'
    | 'page.keys'
    | 'page.flows'
    | 'page.runs'
    | 'page.workloads'
    | 'page.transforms'
    | 'page.health'
  readonly to?:
    | '/'
    | '/live'
    | '/streams'
    | '/alerts'
    | '/lake'
    | '/sql'
    | '/lineage'
    | '/lake/branches'
    | '/keys'
    | '/flows'
    | '/runs'
    | '/workloads'
    | '/transforms'
    | '/health'
  readonly tier?: 'bronze' | 'silver' | 'gold'
}

const pages: Readonly<Record<string, Pick<Crumb, 'page' | 'to'>>> = {
  '': { page: 'page.overview', to: '/' },
  live: { page: 'page.live', to: '/live' },
  streams: { page: 'page.streams', to: '/streams' },
  alerts: { page: 'page.alerts', to: '/alerts' },
  lake: { page: 'page.lake', to: '/lake' },
  sql: { page: 'page.sql', to: '/sql' },
  lineage: { page: 'page.lineage', to: '/lineage' },
  keys: { page: 'page.keys', to: '/keys' },
  flows: { page: 'page.flows', to: '/flows' },
  runs: { page: 'page.runs', to: '/runs' },
  workloads: { page: 'page.workloads', to: '/workloads' },
  transforms: { page: 'page.transforms', to: '/transforms' },
  health: { page: 'page.health', to: '/health' },
}

export function crumbs(pathname: string): Crumb[] {
  const [first = '', second, third] = pathname.replace(/^\//, '').split('/')
  const page = pages[first]
  if (page === undefined) return [{ label: first }]
  const found: Crumb[] = [{ label: first, ...page }]
  if (second === undefined || second === '') return found
  if (first === 'lake' && second === 'branches')
    return [
      ...found,
      { label: second, page: 'page.branches', to: '/lake/branches' },
      ...(third === undefined || third === '' ? [] : [{ label: decode(third) }]),
    ]
  const name = decode(second)
  if (first !== 'lake') return [...found, { label: name }]
  const dot = name.indexOf('.')
  const tier = name.slice(0, Math.max(0, dot))
  if (tier === 'bronze' || tier === 'silver' || tier === 'gold') return [...found, { label: tier, to: '/lake', tier }, { label: name.slice(dot + 1) }]
  return [...found, { label: name }]
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
