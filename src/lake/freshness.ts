/**
 * Freshness targets: how old a table's data may be, and whether it is older. Asking is cheap, because it is asked all the time: what a
 * version says is kept until there is a newer one, and a time column is read only in files that may hold something newer than is known.
 */
import { parseDuration } from '../base/index.ts'
import type { Table } from './declare.ts'
import type { DeltaTable, Duck, Snapshot } from './delta/index.ts'
import { quoteName } from './sql.ts'

export interface Freshness {
  /** `unknown`: the table has no data yet, or its time column no value. */
  readonly state: 'fresh' | 'stale' | 'unknown'
  /** Since when the table is stale; null while it is not. */
  readonly since: number | null
  /** The time that its newest data is of. */
  readonly newest: number | null
  readonly withinMs: number
}

export interface FreshnessTarget {
  /** The column whose newest value counts; null for the time of the newest version that brought data. */
  readonly column: string | null
  readonly withinMs: number
}

export function targetOf({ options: { freshness } }: Table): FreshnessTarget | null {
  if (freshness === undefined) return null
  if (typeof freshness !== 'object') return { column: null, withinMs: parseDuration(freshness) ?? 0 }
  return { column: typeof freshness.column === 'string' ? freshness.column : freshness.column.name, withinMs: parseDuration(freshness.within) ?? 0 }
}

export function judgeFreshness(newest: number | null, { withinMs }: FreshnessTarget, now: number): Freshness {
  if (newest === null) return { state: 'unknown', since: null, newest, withinMs }
  const stale = now - newest > withinMs
  return { state: stale ? 'stale' : 'fresh', since: stale ? newest + withinMs : null, newest, withinMs }
}

export interface FreshnessReader {
  newest(name: string, table: DeltaTable, target: FreshnessTarget): Promise<number | null>
}

interface Known {
  readonly id: string
  readonly version: number
  readonly column: string | null
  readonly newest: Promise<number | null>
}

export function createFreshnessReader(duck: Duck): FreshnessReader {
  const known = new Map<string, Known>()
  return {
    async newest(name, table, { column }) {
      const snapshot = await table.snapshot()
      if (!snapshot) return null
      const before = known.get(name)
      const same = before?.id === snapshot.metadata.id && before.column === column ? before : undefined
      if (same?.version === snapshot.version) return same.newest
      const newest = (async () => {
        const least = (await same?.newest.catch(() => null)) ?? null
        return column === null ? lastData(table, same?.version ?? -1, least) : newestValue(duck, table, snapshot, column, least)
      })()
      known.set(name, { id: snapshot.metadata.id, version: snapshot.version, column, newest })
      newest.catch(() => known.delete(name))
      return newest
    },
  }
}

const PAGE = 100
/** Commits that bring no data. */
const QUIET = /^(OPTIMIZE|CREATE TABLE|ADD COLUMNS|UPGRADE PROTOCOL|SET TBLPROPERTIES|VACUUM)/

/** The time of the newest commit with data; of what was looked at before only the answer is used. */
async function lastData(table: DeltaTable, seen: number, before: number | null): Promise<number | null> {
  const history = await table.history(PAGE)
  const found = history.find(({ version, operation, metrics }) => version > seen && !QUIET.test(operation) && metrics.numOutputRows !== 0)
  if (found) return found.timestamp
  return before ?? history.find(({ operation }) => !QUIET.test(operation))?.timestamp ?? null
}

async function newestValue(duck: Duck, table: DeltaTable, snapshot: Snapshot, column: string, least: number | null): Promise<number | null> {
  const connection = await duck.connect()
  try {
    const name = quoteName(column)
    const newestIn = async (where: string | null): Promise<number | null> => {
      const sql = await table.scan(snapshot, where === null ? {} : { where })
      const reader = await connection.runAndReadAll(
        `select epoch_ms(max(${name})::timestamptz) from (${sql}) where isfinite(${name})${where === null ? '' : ` and ${where}`}`,
      )
      const value = reader.getRows()[0]?.[0] ?? null
      return value === null ? null : Number(value)
    }
    // Statistics leave out every file whose values are all older; when none is newer, the value may have been taken away.
    const since = least === null ? null : await newestIn(`${name} >= timestamptz '${new Date(least).toISOString()}'`)
    return since ?? (await newestIn(null))
  } finally {
    connection.closeSync()
  }
}
