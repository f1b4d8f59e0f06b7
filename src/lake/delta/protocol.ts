/**
 * Protocol: which tables may be read and written here (sections "Protocol Evolution" and "Table Features").
 * A feature is refused by its name before anything is read or written wrongly.
 */
import { closest, denied, invalid, unsupported } from '../../base/index.ts'
import { constraintsOf, defaultOf, generationOf, invariantOf } from './computed.ts'
import { listOf, isObject, textOf } from './json.ts'
import { mappingMode } from './mapping.ts'
import { eachField } from './schema.ts'
import { isWidening } from './widening.ts'
import type { DeltaField, DeltaType, Metadata, Protocol } from './types.ts'

/** New tables that ask for nothing more: every Delta reader of the last years opens them. */
export const NEW_TABLE: Protocol = { minReaderVersion: 1, minWriterVersion: 2 }

interface Feature {
  readonly name: string
  /** The reader and writer versions of before table features that bring it. */
  readonly since?: readonly [reader: number, writer: number]
  /** Readers must know it too. */
  readonly forReaders?: true
  /** Features that must be there with it. */
  readonly needs?: readonly string[]
  /** Whether a table's settings and columns make use of it. */
  readonly isActive?: (metadata: Metadata) => boolean
}

/** Sections "Table Features" and "Valid Feature Names in Table Features". */
const FEATURES: readonly Feature[] = [
  { name: 'appendOnly', since: [1, 2], isActive: isOn('delta.appendOnly') },
  { name: 'invariants', since: [1, 2], isActive: hasField((field) => invariantOf(field) !== null) },
  { name: 'checkConstraints', since: [1, 3], isActive: (metadata) => constraintsOf(metadata).size > 0 },
  { name: 'changeDataFeed', since: [1, 4], isActive: isOn('delta.enableChangeDataFeed') },
  { name: 'generatedColumns', since: [1, 4], isActive: hasField((field) => generationOf(field) !== null) },
  { name: 'columnMapping', since: [2, 5], forReaders: true, isActive: (metadata) => mappingMode(metadata) !== 'none' },
  {
    name: 'identityColumns',
    since: [1, 6],
    isActive: hasField((field) => Object.keys(field.metadata).some((key) => key.startsWith('delta.identity.'))),
  },
  { name: 'allowColumnDefaults', isActive: hasField((field) => defaultOf(field) !== null) },
  { name: 'deletionVectors', forReaders: true, isActive: isOn('delta.enableDeletionVectors') },
  { name: 'timestampNtz', forReaders: true, isActive: hasType('timestamp_ntz') },
  { name: 'typeWidening', forReaders: true, isActive: isOn('delta.enableTypeWidening') },
  { name: 'typeWidening-preview', forReaders: true },
  { name: 'variantType', forReaders: true, isActive: hasType('variant') },
  { name: 'v2Checkpoint', forReaders: true, isActive: (metadata) => metadata.configuration['delta.checkpointPolicy'] === 'v2' },
  { name: 'vacuumProtocolCheck', forReaders: true },
  { name: 'domainMetadata' },
  { name: 'clustering', needs: ['domainMetadata'] },
  { name: 'rowTracking', needs: ['domainMetadata'], isActive: isOn('delta.enableRowTracking') },
  { name: 'inCommitTimestamp', isActive: isOn('delta.enableInCommitTimestamps') },
  { name: 'icebergCompatV1', isActive: isOn('delta.enableIcebergCompatV1') },
  { name: 'icebergCompatV2', isActive: isOn('delta.enableIcebergCompatV2') },
]

const READABLE: ReadonlySet<string> = new Set([
  'columnMapping',
  'deletionVectors',
  'timestampNtz',
  'typeWidening',
  'typeWidening-preview',
  'v2Checkpoint',
  'vacuumProtocolCheck',
])
const WRITABLE: ReadonlySet<string> = new Set([
  'allowColumnDefaults',
  'appendOnly',
  'changeDataFeed',
  'checkConstraints',
  'clustering',
  'columnMapping',
  'deletionVectors',
  'domainMetadata',
  'generatedColumns',
  'inCommitTimestamp',
  'invariants',
  'timestampNtz',
  'typeWidening',
  'typeWidening-preview',
  'vacuumProtocolCheck',
])

/** Throws when reading this table could give wrong rows. */
export function checkReadable(root: string, protocol: Protocol, metadata: Metadata): void {
  const features = new Set<string>()
  if (protocol.minReaderVersion > 3) features.add(`reader version ${protocol.minReaderVersion}`)
  if (protocol.minReaderVersion === 3) for (const feature of protocol.readerFeatures ?? []) if (!READABLE.has(feature)) features.add(feature)
  if (!['none', 'name', 'id'].includes(mappingMode(metadata))) features.add(`columnMapping by ${mappingMode(metadata)}`)
  for (const change of typeChanges(metadata)) if (!isWidening(change.from, change.to)) features.add(`typeWidening from ${change.from} to ${change.to}`)
  refuse(root, 'read', features)
}

/** Throws when writing could break a promise that the table makes. `removes` tells whether the write takes rows away. */
export function checkWritable(root: string, protocol: Protocol, metadata: Metadata, removes: boolean): void {
  checkReadable(root, protocol, metadata)
  const features = new Set<string>()
  for (const { name, isActive } of FEATURES) if (isActive?.(metadata) && !WRITABLE.has(name)) features.add(name)
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

/** The features that a table's protocol allows it to use, whether by their names or by a version that brings them. */
export function supportedFeatures(protocol: Protocol): Set<string> {
  const listed = [...(protocol.readerFeatures ?? []), ...(protocol.writerFeatures ?? [])]
  return new Set([...listed, ...broughtBy(protocol).map(({ name }) => name)])
}

function broughtBy({ minReaderVersion, minWriterVersion }: Protocol): Feature[] {
  // From version 7 on, features are listed. A mapping that readers were told of by their version need not be listed for them.
  if (minWriterVersion >= 7) return []
  return FEATURES.filter(({ since }) => since !== undefined && since[0] <= minReaderVersion && since[1] <= minWriterVersion)
}

/**
 * What a table must declare for what its metadata uses and for the features that were asked for: nothing more than before where that
 * does, a higher version of the old kind where one brings it all, table features otherwise.
 */
export function protocolFor(root: string, known: Protocol, metadata: Metadata, asked: readonly string[] = []): Protocol {
  const unknown = asked.filter((name) => !FEATURES.some((feature) => feature.name === name))
  if (unknown.length > 0) {
    const near = closest(
      unknown[0] ?? '',
      FEATURES.map(({ name }) => name),
    )
    throw unsupported('lake.feature_unsupported', `Table ${root} cannot have the feature ${unknown.join(', ')}: it is not known here`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'Leave it out.',
    })
  }
  const supported = supportedFeatures(known)
  const wanted = new Set(asked)
  for (const { name, isActive } of FEATURES) if (isActive?.(metadata)) wanted.add(name)
  // The feature had another name before it was final.
  if (supported.has('typeWidening-preview')) wanted.delete('typeWidening')
  for (const { name, needs } of FEATURES) if (wanted.has(name)) for (const other of needs ?? []) wanted.add(other)
  const missing = FEATURES.filter(({ name }) => wanted.has(name) && !supported.has(name))
  if (missing.length === 0) return known
  if (known.minWriterVersion < 7 && asked.length === 0 && missing.every(({ since }) => since !== undefined)) {
    const versions = missing.map(({ since }) => since ?? [1, 2])
    return {
      minReaderVersion: Math.max(known.minReaderVersion, ...versions.map(([reader]) => reader)),
      minWriterVersion: Math.max(known.minWriterVersion, ...versions.map(([, writer]) => writer)),
    }
  }
  const brought = broughtBy(known)
  const all = FEATURES.filter((feature) => brought.includes(feature) || missing.includes(feature))
  const writerFeatures = [...(known.writerFeatures ?? []), ...all.map(({ name }) => name)]
  const forReaders = FEATURES.filter((feature) => feature.forReaders && writerFeatures.includes(feature.name)).map(({ name }) => name)
  const more = forReaders.filter((name) => !known.readerFeatures?.includes(name))
  if (known.minReaderVersion < 3 && forReaders.length === 0) return { minReaderVersion: known.minReaderVersion, minWriterVersion: 7, writerFeatures }
  return { minReaderVersion: 3, minWriterVersion: 7, readerFeatures: [...(known.readerFeatures ?? []), ...more], writerFeatures }
}

function isOn(key: string): (metadata: Metadata) => boolean {
  return (metadata) => metadata.configuration[key]?.toLowerCase() === 'true'
}

function hasField(test: (field: DeltaField) => boolean): (metadata: Metadata) => boolean {
  return (metadata) => {
    let found = false
    eachField(metadata.fields, (field) => (found ||= test(field)))
    return found
  }
}

function hasType(wanted: string): (metadata: Metadata) => boolean {
  const isIn = (type: DeltaType): boolean => {
    if (typeof type === 'string') return type === wanted
    if (type.type === 'struct') return type.fields.some((field) => isIn(field.type))
    return type.type === 'array' ? isIn(type.elementType) : isIn(type.keyType) || isIn(type.valueType)
  }
  return ({ fields }) => fields.some((field) => isIn(field.type))
}

/** Section "Type Change Metadata". */
function typeChanges(metadata: Metadata): { from: string; to: string }[] {
  const found: { from: string; to: string }[] = []
  eachField(metadata.fields, (field) => {
    for (const change of listOf(field.metadata['delta.typeChanges']))
      if (isObject(change)) found.push({ from: textOf(change.fromType) ?? '', to: textOf(change.toType) ?? '' })
  })
  return found
}

/** Settings of Delta that mean something to some engine; `delta.feature.*` and constraints are told apart by their beginnings. */
const PROPERTIES: Readonly<Record<string, 'flag' | 'text'>> = {
  'delta.appendOnly': 'flag',
  'delta.autoOptimize.autoCompact': 'text',
  'delta.autoOptimize.optimizeWrite': 'text',
  'delta.checkpoint.writeStatsAsJson': 'flag',
  'delta.checkpoint.writeStatsAsStruct': 'flag',
  'delta.checkpointInterval': 'text',
  'delta.checkpointPolicy': 'text',
  'delta.checkpointRetentionDuration': 'text',
  'delta.columnMapping.mode': 'text',
  'delta.compatibility.symlinkFormatManifest.enabled': 'flag',
  'delta.dataSkippingNumIndexedCols': 'text',
  'delta.dataSkippingStatsColumns': 'text',
  'delta.deletedFileRetentionDuration': 'text',
  'delta.enableChangeDataFeed': 'flag',
  'delta.enableDeletionVectors': 'flag',
  'delta.enableExpiredLogCleanup': 'flag',
  'delta.enableFullRetentionRollback': 'flag',
  'delta.enableIcebergCompatV1': 'flag',
  'delta.enableIcebergCompatV2': 'flag',
  'delta.enableInCommitTimestamps': 'flag',
  'delta.enableRowTracking': 'flag',
  'delta.enableTypeWidening': 'flag',
  'delta.isolationLevel': 'text',
  'delta.logRetentionDuration': 'text',
  'delta.parquet.compression.codec': 'text',
  'delta.parquet.format.version': 'text',
  'delta.randomizeFilePrefixes': 'flag',
  'delta.randomPrefixLength': 'text',
  'delta.sampleRetentionDuration': 'text',
  'delta.setTransactionRetentionDuration': 'text',
  'delta.targetFileSize': 'text',
  'delta.tuneFileSizesForRewrites': 'flag',
  'delta.universalFormat.enabledFormats': 'text',
}

const FEATURE = 'delta.feature.'

/** Settings that were asked for, without those that only ask for a feature. A setting of Delta that does not exist is a slip. */
export function askedProperties(root: string, asked: Readonly<Record<string, string>>): { configuration: Record<string, string>; features: string[] } {
  const configuration: Record<string, string> = {}
  const features: string[] = []
  const bad = (key: string, what: string, hint: string): never => {
    throw invalid('lake.bad_property', `Table ${root} cannot have the setting ${key}: ${what}`, { hint })
  }
  for (const [key, value] of Object.entries(asked)) {
    if (key.startsWith(FEATURE)) {
      if (value !== 'supported' && value !== 'enabled') bad(key, `its value is ${value}`, `Set it to supported.`)
      features.push(key.slice(FEATURE.length))
      continue
    }
    if (key.startsWith('delta.constraints.'))
      bad(key, 'constraints are no plain settings', "Create the table with constraints: {...}, or alter it with kind: 'addConstraint'.")
    const kind = PROPERTIES[key]
    if (key.startsWith('delta.') && kind === undefined) {
      const near = closest(key, Object.keys(PROPERTIES))
      bad(
        key,
        'Delta has none of this name that could be set',
        near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'Name settings of your own otherwise than delta.*.',
      )
    }
    if (kind === 'flag' && value !== 'true' && value !== 'false') bad(key, `its value is ${value}`, 'Set it to true or false.')
    configuration[key] = value
  }
  return { configuration, features }
}

export function checkpointInterval(metadata: Metadata): number {
  const interval = Number(metadata.configuration['delta.checkpointInterval'] ?? 10)
  return Number.isInteger(interval) && interval > 0 ? interval : 10
}
