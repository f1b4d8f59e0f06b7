/** Which tables the list shows, and in which order. */
import type { TableSummary } from '../../api/types.ts'
import type { LakeSearch, Sort } from '../../app/search.ts'

const tierOrder = { bronze: 0, silver: 1, gold: 2, other: 3 } as const

export function shownTables(tables: readonly TableSummary[], search: LakeSearch, compare: (a: string, b: string) => number): TableSummary[] {
  const text = search.q?.toLowerCase()
  const by = search.sort
  const way = search.desc === true ? -1 : 1
  return tables
    .filter(
      (table) =>
        (search.tier === undefined || table.tier === search.tier) &&
        (text === undefined || table.name.toLowerCase().includes(text) || (table.description ?? '').toLowerCase().includes(text)),
    )
    .toSorted((a, b) => {
      const byName = tierOrder[a.tier] - tierOrder[b.tier] || compare(a.name, b.name)
      if (by === undefined) return byName
      if (by === 'name') return way * compare(a.name, b.name)
      return way * (weight(a, by) - weight(b, by)) || byName
    })
}

/** What a column sorts by; a table that was never written comes below every other. */
function weight(table: TableSummary, by: Exclude<Sort, 'name'>): number {
  if (by === 'checks') return table.checks.failed * 1e6 + table.checks.passed
  return table[by] ?? -1
}

export type Freshness = 'never' | 'failed' | 'running' | 'waiting' | 'fresh' | 'behind' | 'stale'

/** Stale: older than the table's own target allows. Behind: a table that it is made from was written after it, by more than the grace. */
export function freshness(table: TableSummary, byName: ReadonlyMap<string, TableSummary>): Freshness {
  if (table.refresh.state === 'failed') return 'failed'
  if (table.refresh.state === 'running') return 'running'
  if (table.version === null || table.updatedAt === null) return table.refresh.state === 'waiting' ? 'waiting' : 'never'
  if (table.freshness?.state === 'stale') return 'stale'
  const graceMs = 60_000
  const newestInput = Math.max(0, ...table.from.map((name) => byName.get(name)?.updatedAt ?? 0))
  return newestInput > table.updatedAt + graceMs ? 'behind' : 'fresh'
}
