/** A table that is fed by a stream, as a sink of that stream. */
import type { StreamAppender } from '../lake/index.ts'
import type { Sink } from '../streams/index.ts'

/** A commit is made of at most about this many records, or of what came within the table's `every`. */
const COMMIT_RECORDS = 200_000

export function tableSink(table: string, appender: StreamAppender, onCommit: (table: string) => void): Sink {
  return {
    name: `table:${table}`,
    kind: 'table',
    pace: { records: COMMIT_RECORDS, ms: appender.every },
    position: (partition) => appender.position(partition),
    async deliver({ partition, upTo, batches }, signal) {
      const filled = batches.filter(({ rows }) => rows.count > 0)
      if (filled.length === 0) return
      const { skipped } = await appender.append(partition, upTo, filled, signal)
      if (!skipped) onCommit(table)
    },
  }
}
