/** History: what the commits tell about themselves (section "Commit Provenance Information"), newest first. */
import { isObject, textOf } from './json.ts'
import { listLog, readCommits } from './log.ts'
import type { Table } from './operations.ts'
import { commitTimestampsSince, timestampOf } from './timestamps.ts'
import type { HistoryEntry } from './types.ts'

export async function readHistory(table: Table, limit: number): Promise<HistoryEntry[]> {
  const newest = await table.head.refresh()
  if (newest === null) return []
  const from = Math.max(0, newest.version - limit + 1)
  const { commits } = await listLog(table.place.objects, table.root, from)
  const listed = commits.filter((commit) => commit.version <= newest.version)
  // Older commits may have been cleaned away: history begins behind the last gap.
  let first = listed.length - 1
  while (first > 0 && listed[first - 1]?.version === (listed[first]?.version ?? 0) - 1) first--
  const start = listed[first]
  if (!start) return []
  const entries: HistoryEntry[] = []
  const since = commitTimestampsSince(newest.metadata)
  let timestamp = Number.NEGATIVE_INFINITY
  for await (const part of readCommits(table.place.objects, table.root, listed, start.version, newest.version)) {
    for (const { commit, modified } of part) {
      const info = commit.info ?? {}
      timestamp = timestampOf(since !== null && commit.version >= since.version ? newest.metadata : null, info, modified, timestamp)
      const metrics: Record<string, string | number> = {}
      if (isObject(info.operationMetrics)) {
        for (const [name, value] of Object.entries(info.operationMetrics)) {
          if (typeof value === 'number') metrics[name] = value
          else if (typeof value === 'string') metrics[name] = /^-?\d{1,15}$/.test(value) ? Number(value) : value
        }
      }
      entries.push({
        version: commit.version,
        timestamp,
        operation: textOf(info.operation) ?? 'UNKNOWN',
        parameters: isObject(info.operationParameters) ? info.operationParameters : {},
        metrics,
        engineInfo: textOf(info.engineInfo),
        info: isObject(info.info) ? info.info : {},
      })
    }
  }
  return entries.reverse()
}
