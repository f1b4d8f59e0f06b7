/**
 * Actions: the lines of a commit (section "Actions"). A commit is parsed into the kinds that this package acts on;
 * kinds it does not know are left out, because a reader is told by the protocol action when it may not ignore them.
 */
import { invalid } from '../../base/index.ts'
import { deletionVectorFrom, type DeletionVector } from './deletions.ts'
import { isObject, numberOf, textMapOf, textOf, textsOf, type JsonObject } from './json.ts'
import { parseSchema, schemaString } from './schema.ts'
import type { Metadata, Protocol } from './types.ts'

/** Null stands for a null partition value; the keys are the partition columns. */
export type PartitionValues = Readonly<Record<string, string | null>>

export interface AddFile {
  /** As it stands in the log: percent-encoded, relative to the table's folder. */
  readonly path: string
  readonly partitionValues: PartitionValues
  readonly size: number
  readonly modificationTime: number
  readonly dataChange: boolean
  /** JSON text (section "Per-file Statistics"). */
  readonly stats: string | null
  readonly tags: Readonly<Record<string, string>> | null
  readonly deletionVector: DeletionVector | null
  /** Who ordered the file's rows by the table's clustering columns (section "Clustered Table"). */
  readonly clusteringProvider?: string
}

export interface RemoveFile {
  readonly path: string
  readonly deletionTimestamp: number | null
  readonly dataChange: boolean
  readonly partitionValues: PartitionValues | null
  readonly size: number | null
  readonly deletionVector: DeletionVector | null
}

export interface Transaction {
  readonly appId: string
  readonly version: number
  readonly lastUpdated: number | null
}

/** A file of change data (section "Add CDC File"): rows with a `_change_type`, no part of the table itself. */
export interface ChangeFile {
  readonly path: string
  readonly partitionValues: PartitionValues
  readonly size: number
}

/** What a feature or an application keeps with the table (section "Domain Metadata"). */
export interface DomainMetadata {
  readonly domain: string
  readonly configuration: string
  readonly removed: boolean
}

export interface Commit {
  readonly version: number
  readonly protocol: Protocol | null
  readonly metadata: Metadata | null
  readonly adds: readonly AddFile[]
  readonly removes: readonly RemoveFile[]
  readonly changes: readonly ChangeFile[]
  readonly transactions: readonly Transaction[]
  readonly domains: readonly DomainMetadata[]
  readonly info: JsonObject | null
}

/** `file` is named in the error when the bytes are no commit. */
export function parseCommit(version: number, bytes: Uint8Array, file: string): Commit {
  const adds: AddFile[] = []
  const removes: RemoveFile[] = []
  const changes: ChangeFile[] = []
  const transactions: Transaction[] = []
  const domains: DomainMetadata[] = []
  let protocol: Protocol | null = null
  let metadata: Metadata | null = null
  let info: JsonObject | null = null
  let lines = 0
  for (const line of new TextDecoder().decode(bytes).split('\n')) {
    if (line.trim() === '') continue
    lines++
    const action = parseLine(line, lines, file)
    if (isObject(action.add)) {
      adds.push(addFrom(action.add) ?? damaged(file, lines, 'its add action has no path or size'))
    } else if (isObject(action.remove)) {
      removes.push(removeFrom(action.remove) ?? damaged(file, lines, 'its remove action has no path'))
    } else if (isObject(action.cdc)) {
      changes.push(changeFrom(action.cdc) ?? damaged(file, lines, 'its cdc action has no path or size'))
    } else if (isObject(action.domainMetadata)) {
      domains.push(domainFrom(action.domainMetadata) ?? damaged(file, lines, 'its domainMetadata action has no domain or configuration'))
    } else if (isObject(action.txn)) {
      transactions.push(transactionFrom(action.txn) ?? damaged(file, lines, 'its txn action has no appId or version'))
    } else if (isObject(action.metaData)) {
      metadata = metadataFrom(action.metaData) ?? damaged(file, lines, 'its metaData action has no readable schemaString')
    } else if (isObject(action.protocol)) {
      protocol = protocolFrom(action.protocol) ?? damaged(file, lines, 'its protocol action has no versions')
    } else if (isObject(action.commitInfo)) {
      info = action.commitInfo
    }
  }
  if (lines === 0) damaged(file, 1, 'the file is empty')
  return { version, protocol, metadata, adds, removes, changes, transactions, domains, info }
}

function parseLine(line: string, number: number, file: string): JsonObject {
  try {
    const parsed: unknown = JSON.parse(line)
    if (isObject(parsed)) return parsed
  } catch (cause) {
    return damaged(file, number, 'it is not whole JSON, the file was cut off or overwritten', cause)
  }
  return damaged(file, number, 'it is no JSON object')
}

function damaged(file: string, line: number, what: string, cause?: unknown): never {
  throw invalid('lake.log_damaged', `The commit ${file} is damaged at line ${line}: ${what}`, {
    hint: 'Restore this file from a backup. Earlier versions of the table can still be read by asking for a version before it.',
    cause,
  })
}

function addFrom(value: JsonObject): AddFile | null {
  const path = textOf(value.path)
  const size = numberOf(value.size)
  if (path === null || size === null) return null
  return {
    path,
    partitionValues: partitionValuesFrom(value.partitionValues) ?? {},
    size,
    modificationTime: numberOf(value.modificationTime) ?? 0,
    dataChange: value.dataChange !== false,
    stats: textOf(value.stats),
    tags: isObject(value.tags) ? textMapOf(value.tags) : null,
    deletionVector: deletionVectorFrom(value.deletionVector),
    ...(typeof value.clusteringProvider === 'string' ? { clusteringProvider: value.clusteringProvider } : {}),
  }
}

function removeFrom(value: JsonObject): RemoveFile | null {
  const path = textOf(value.path)
  if (path === null) return null
  return {
    path,
    deletionTimestamp: numberOf(value.deletionTimestamp),
    dataChange: value.dataChange !== false,
    partitionValues: partitionValuesFrom(value.partitionValues),
    size: numberOf(value.size),
    deletionVector: deletionVectorFrom(value.deletionVector),
  }
}

function changeFrom(value: JsonObject): ChangeFile | null {
  const path = textOf(value.path)
  const size = numberOf(value.size)
  return path === null || size === null ? null : { path, partitionValues: partitionValuesFrom(value.partitionValues) ?? {}, size }
}

export function domainFrom(value: JsonObject): DomainMetadata | null {
  const domain = textOf(value.domain)
  const configuration = textOf(value.configuration)
  return domain === null || configuration === null ? null : { domain, configuration, removed: value.removed === true }
}

export function partitionValuesFrom(value: unknown): PartitionValues | null {
  if (!isObject(value)) return null
  const values: Record<string, string | null> = {}
  for (const [key, item] of Object.entries(value)) values[key] = textOf(item)
  return values
}

export function transactionFrom(value: JsonObject): Transaction | null {
  const appId = textOf(value.appId)
  const version = numberOf(value.version)
  return appId === null || version === null ? null : { appId, version, lastUpdated: numberOf(value.lastUpdated) }
}

export function protocolFrom(value: JsonObject): Protocol | null {
  const minReaderVersion = numberOf(value.minReaderVersion)
  const minWriterVersion = numberOf(value.minWriterVersion)
  if (minReaderVersion === null || minWriterVersion === null) return null
  return {
    minReaderVersion,
    minWriterVersion,
    ...(Array.isArray(value.readerFeatures) ? { readerFeatures: textsOf(value.readerFeatures) } : {}),
    ...(Array.isArray(value.writerFeatures) ? { writerFeatures: textsOf(value.writerFeatures) } : {}),
  }
}

export function metadataFrom(value: JsonObject): Metadata | null {
  const id = textOf(value.id)
  const fields = parseSchema(textOf(value.schemaString) ?? '')
  if (id === null || fields === null) return null
  const name = textOf(value.name)
  const description = textOf(value.description)
  const createdTime = numberOf(value.createdTime)
  return {
    id,
    fields,
    partitionColumns: textsOf(value.partitionColumns),
    configuration: textMapOf(value.configuration),
    ...(name === null ? {} : { name }),
    ...(description === null ? {} : { description }),
    ...(createdTime === null ? {} : { createdTime }),
  }
}

/** What a commit is made of before it has a version. */
export interface CommitContent {
  readonly info: JsonObject
  readonly protocol?: Protocol
  readonly metadata?: Metadata
  readonly transactions: readonly Transaction[]
  readonly removes: readonly RemoveFile[]
  readonly adds: readonly AddFile[]
  readonly changes?: readonly ChangeFile[]
  readonly domains?: readonly DomainMetadata[]
}

export function serializeCommit(content: CommitContent): Uint8Array {
  return serializeActions(content, [JSON.stringify({ commitInfo: content.info })])
}

export function serializeActions(content: Omit<CommitContent, 'info'>, first: readonly string[] = []): Uint8Array {
  const lines: string[] = [...first]
  if (content.protocol) lines.push(JSON.stringify({ protocol: content.protocol }))
  if (content.metadata) lines.push(JSON.stringify({ metaData: metadataJson(content.metadata) }))
  for (const txn of content.transactions) lines.push(JSON.stringify({ txn: withoutNulls({ ...txn }) }))
  for (const domain of content.domains ?? []) lines.push(JSON.stringify({ domainMetadata: domain }))
  for (const remove of content.removes)
    lines.push(JSON.stringify({ remove: fileJson({ ...remove, extendedFileMetadata: remove.partitionValues !== null && remove.size !== null }) }))
  for (const add of content.adds) lines.push(JSON.stringify({ add: fileJson({ ...add }) }))
  // Change data is no change of the table's own files, so the flag is always false.
  for (const change of content.changes ?? []) lines.push(JSON.stringify({ cdc: { ...change, dataChange: false } }))
  return new TextEncoder().encode(lines.join('\n') + '\n')
}

/** Metadata as the log spells it. */
export function metadataJson(metadata: Metadata): JsonObject {
  const { fields, ...rest } = metadata
  return { ...rest, format: { provider: 'parquet', options: {} }, schemaString: schemaString(fields) }
}

function fileJson(file: (AddFile | RemoveFile) & JsonObject): JsonObject {
  return withoutNulls({ ...file, deletionVector: file.deletionVector && withoutNulls({ ...file.deletionVector }) })
}

/** Absent and null mean the same in the log, but not to every reader. */
function withoutNulls(value: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== null))
}
