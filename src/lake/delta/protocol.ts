/**
 * Protocol: which tables may be read and written here (sections "Protocol Evolution" and "Table Features").
 * A feature is refused by its name before anything is read or written wrongly.
 */
import { denied, unsupported } from '../../base/index.ts'
import { mappingMode } from './mapping.ts'
import type { DeltaField, DeltaType, Metadata, Protocol } from './types.ts'

/** New tables: every Delta reader of the last years opens them. */
export const NEW_TABLE: Protocol = { minReaderVersion: 1, minWriterVersion: 2 }

const READABLE: ReadonlySet<string> = new Set(['columnMapping', 'deletionVectors', 'timestampNtz', 'v2Checkpoint', 'vacuumProtocolCheck'])
/** `invariants` alone asks for nothing; an expression on some column does, and activeFeatures names it then. */
const WRITABLE: ReadonlySet<string> = new Set(['appendOnly', 'invariants'])

/** Throws when reading this table could give wrong rows. */
export function checkReadable(root: string, protocol: Protocol, metadata: Metadata): void {
  const features = new Set<string>()
  if (protocol.minReaderVersion > 3) features.add(`reader version ${protocol.minReaderVersion}`)
  if (protocol.minReaderVersion === 3) for (const feature of protocol.readerFeatures ?? []) if (!READABLE.has(feature)) features.add(feature)
  if (!['none', 'name', 'id'].includes(mappingMode(metadata))) features.add(`columnMapping by ${mappingMode(metadata)}`)
  refuse(root, 'read', features)
}

/** Throws when writing could break a promise that the table makes. `removes` tells whether the write takes rows away. */
export function checkWritable(root: string, protocol: Protocol, metadata: Metadata, removes: boolean): void {
  checkReadable(root, protocol, metadata)
  const features = new Set(activeFeatures(metadata))
  if (protocol.minWriterVersion > 7) features.add(`writer version ${protocol.minWriterVersion}`)
  if (protocol.minWriterVersion === 7) for (const feature of protocol.writerFeatures ?? []) if (!WRITABLE.has(feature)) features.add(feature)
  refuse(root, 'written', features)
  if (removes && metadata.configuration['delta.appendOnly'] === 'true') {
    throw denied('lake.append_only', `Table ${root} is append-only (delta.appendOnly is true): its rows cannot be replaced or removed`, {
      hint: 'Append instead, or create the table without delta.appendOnly.',
    })
  }
}

function refuse(root: string, what: 'read' | 'written', features: ReadonlySet<string>): void {
  if (features.size === 0) return
  throw unsupported('lake.feature_unsupported', `Table ${root} cannot be ${what} here: it uses ${[...features].join(', ')}`, {
    hint:
      what === 'read'
        ? 'Read it with Spark, or have its owner drop the feature (ALTER TABLE ... DROP FEATURE).'
        : 'Write it with the engine that made it, or copy its rows into a new table.',
  })
}

/** Features that a table's settings and columns switch on, whatever version it declares. */
function activeFeatures(metadata: Metadata): string[] {
  const on = (key: string): boolean => metadata.configuration[key]?.toLowerCase() === 'true'
  const features: string[] = []
  if (on('delta.enableChangeDataFeed')) features.push('changeDataFeed')
  if (on('delta.enableDeletionVectors')) features.push('deletionVectors')
  if (on('delta.enableRowTracking')) features.push('rowTracking')
  if (on('delta.enableInCommitTimestamps')) features.push('inCommitTimestamp')
  if (on('delta.enableIcebergCompatV1') || on('delta.enableIcebergCompatV2')) features.push('icebergCompat')
  if (mappingMode(metadata) !== 'none') features.push('columnMapping')
  if (Object.keys(metadata.configuration).some((key) => key.startsWith('delta.constraints.'))) features.push('checkConstraints')
  visitFields(metadata.fields, (field) => {
    const keys = Object.keys(field.metadata)
    if (keys.includes('delta.invariants')) features.push('invariants')
    if (keys.includes('delta.generationExpression')) features.push('generatedColumns')
    if (keys.some((key) => key.startsWith('delta.identity.'))) features.push('identityColumns')
    if (keys.includes('CURRENT_DEFAULT')) features.push('allowColumnDefaults')
    if (field.type === 'timestamp_ntz') features.push('timestampNtz')
    if (field.type === 'variant') features.push('variantType')
  })
  return features
}

function visitFields(fields: readonly DeltaField[], visit: (field: DeltaField) => void): void {
  const inside = (type: DeltaType): void => {
    if (typeof type === 'string') {
      visit({ name: '', type, nullable: true, metadata: {} })
      return
    }
    if (type.type === 'struct') visitFields(type.fields, visit)
    else if (type.type === 'array') inside(type.elementType)
    else {
      inside(type.keyType)
      inside(type.valueType)
    }
  }
  for (const field of fields) {
    visit(field)
    if (typeof field.type !== 'string') inside(field.type)
  }
}

export function checkpointInterval(metadata: Metadata): number {
  const interval = Number(metadata.configuration['delta.checkpointInterval'] ?? 10)
  return Number.isInteger(interval) && interval > 0 ? interval : 10
}

/** How long a removed file is remembered in checkpoints, in milliseconds (delta.deletedFileRetentionDuration). */
export function tombstoneRetention(metadata: Metadata): number {
  const match = /^interval\s+(\d+)\s+(second|minute|hour|day|week)s?$/i.exec(metadata.configuration['delta.deletedFileRetentionDuration'] ?? '')
  return match ? Number(match[1]) * (UNITS[match[2]?.toLowerCase() ?? ''] ?? 0) : 604_800_000
}

const UNITS: Readonly<Record<string, number>> = { second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000, week: 604_800_000 }
