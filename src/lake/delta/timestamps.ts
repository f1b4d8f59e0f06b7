/**
 * In-commit timestamps (section "In-Commit Timestamps"): a table that has them on carries each commit's time inside the commit, so that
 * travelling by time survives a log that was copied. Without them, and before they were switched on, the time of the commit's file counts.
 */
import type { CommitContent } from './actions.ts'
import { numberOf, type JsonObject } from './json.ts'
import type { Metadata } from './types.ts'

const ENABLED = 'delta.enableInCommitTimestamps'
const SINCE_VERSION = 'delta.inCommitTimestampEnablementVersion'
const SINCE_TIMESTAMP = 'delta.inCommitTimestampEnablementTimestamp'

export function hasCommitTimestamps(metadata: Metadata): boolean {
  return metadata.configuration[ENABLED]?.toLowerCase() === 'true'
}

/** From which version and instant on commits carry their times: from the first commit when the table does not say. Null when they do not. */
export function commitTimestampsSince(metadata: Metadata): { readonly version: number; readonly timestamp: number } | null {
  if (!hasCommitTimestamps(metadata)) return null
  const version = numberOf(metadata.configuration[SINCE_VERSION])
  const timestamp = numberOf(metadata.configuration[SINCE_TIMESTAMP])
  return version === null || timestamp === null ? { version: 0, timestamp: Number.NEGATIVE_INFINITY } : { version, timestamp }
}

/** What a commit says of its own time. */
export function commitTimestampOf(info: JsonObject | null): number | null {
  return numberOf(info?.inCommitTimestamp)
}

/** The time of a commit: its own where the table has such, else that of its file, always later than the commit before it. */
export function timestampOf(metadata: Metadata | null, info: JsonObject | null, modified: number, before: number): number {
  const own = metadata && hasCommitTimestamps(metadata) ? commitTimestampOf(info) : null
  return own ?? Math.max(modified, before + 1)
}

/**
 * A commit with its own time, when the table that it makes has such: now, or later than the commit before it. A commit that switches the
 * timestamps on says from when on they count; one that makes a table leaves that out, and `known` is null.
 */
export function stamped(content: CommitContent, known: Metadata | null, version: number, before: number): CommitContent {
  const metadata = content.metadata ?? known
  if (metadata === null || !hasCommitTimestamps(metadata)) return content
  const timestamp = Math.max(Date.now(), before + 1)
  const info = { inCommitTimestamp: timestamp, ...content.info }
  if (!content.metadata || (known !== null && hasCommitTimestamps(known))) return { ...content, info }
  const { [SINCE_VERSION]: _version, [SINCE_TIMESTAMP]: _timestamp, ...configuration } = content.metadata.configuration
  const since = version === 0 ? {} : { [SINCE_VERSION]: String(version), [SINCE_TIMESTAMP]: String(timestamp) }
  return { ...content, info, metadata: { ...content.metadata, configuration: { ...configuration, ...since } } }
}
