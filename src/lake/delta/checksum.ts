/**
 * Version checksums (section "Version Checksum File"): beside a commit, what the table amounts to at its version. A checkpoint that says
 * something else is not believed. They are a help and no part of the log: one that is missing or unreadable is done without.
 */
import { metadataJson } from './actions.ts'
import { isObject, numberOf, textOf, type JsonObject } from './json.ts'
import { logFolder, paddedVersion } from './paths.ts'
import type { TableState } from './replay.ts'
import { hasCommitTimestamps } from './timestamps.ts'
import type { Place } from './types.ts'

/** Longer lists of applications are left out, so that a checksum stays small beside its commit. */
const MOST_TRANSACTIONS = 100

function checksumPath(root: string, version: number): string {
  return `${logFolder(root)}${paddedVersion(version)}.crc`
}

/** Writes the checksum of a version whose commit is there; one that is there already stays. */
export async function writeChecksum({ objects }: Place, root: string, state: TableState): Promise<void> {
  const { version, metadata, protocol, bytes, fileCount, transactions, domains, timestamp } = state
  const checksum = {
    tableSizeBytes: bytes,
    numFiles: fileCount,
    numMetadata: 1,
    numProtocol: 1,
    ...(hasCommitTimestamps(metadata) ? { inCommitTimestampOpt: timestamp } : {}),
    ...(transactions.size > MOST_TRANSACTIONS
      ? {}
      : { setTransactions: [...transactions.values()].map(({ lastUpdated, ...txn }) => ({ ...txn, ...(lastUpdated === null ? {} : { lastUpdated }) })) }),
    domainMetadata: [...domains.values()],
    metadata: metadataJson(metadata),
    protocol,
  }
  await objects.putIfAbsent(checksumPath(root, version), new TextEncoder().encode(JSON.stringify(checksum)))
}

/** The checksum of a version as it stands there; null when there is none that can be read. */
export async function readChecksum({ objects }: Place, root: string, version: number): Promise<JsonObject | null> {
  const bytes = await objects.get(checksumPath(root, version))
  if (bytes === null) return null
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return isObject(parsed) ? parsed : null
  } catch {
    return null
  }
}

/** What a checksum says otherwise than the state of the same version, in words; null when they agree. */
export function disagreement(checksum: JsonObject, state: TableState): string | null {
  const files = numberOf(checksum.numFiles)
  if (files !== null && files !== state.fileCount) return `${state.fileCount} files instead of ${files}`
  const bytes = numberOf(checksum.tableSizeBytes)
  if (bytes !== null && bytes !== state.bytes) return `${state.bytes} bytes instead of ${bytes}`
  const id = isObject(checksum.metadata) ? textOf(checksum.metadata.id) : null
  return id !== null && id !== state.metadata.id ? `the table ${state.metadata.id} instead of ${id}` : null
}
