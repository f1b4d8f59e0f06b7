/**
 * Declarations: from what is asked of a table (columns, constraints, settings) to the metadata and the protocol that say so. Everything
 * that cannot be kept is refused here, before anything is written.
 */
import { randomUUID } from 'node:crypto'
import { checkExpressions, constraintKey } from './computed.ts'
import { mapped, mappingMode, unmapped } from './mapping.ts'
import { NEW_TABLE, askedProperties, checkWritable, protocolFor } from './protocol.ts'
import { checkFields } from './schema.ts'
import type { ColumnSpec, CreateOptions, DeltaField, Metadata, Protocol } from './types.ts'

/** What a table says of itself; part of every state. */
export interface Declared {
  readonly protocol: Protocol
  readonly metadata: Metadata
}

/** A new table. */
export function declaredNew(root: string, options: CreateOptions): Declared {
  const { configuration, features } = askedProperties(root, options.configuration ?? {})
  const metadata: Metadata = {
    id: randomUUID(),
    fields: options.fields.map(fieldOf),
    partitionColumns: options.partitionBy ?? [],
    configuration: { ...configuration, ...constraintEntries(options.constraints) },
    createdTime: Date.now(),
    ...(options.description === undefined ? {} : { description: options.description }),
  }
  return settled(root, null, metadata, features)
}

/** An existing table in another shape, its settings added to those it has. */
export function declaredAs(root: string, before: Declared, options: CreateOptions): Declared {
  const { configuration, features } = askedProperties(root, options.configuration ?? {})
  const metadata: Metadata = {
    ...before.metadata,
    fields: options.fields.map(fieldOf),
    partitionColumns: options.partitionBy ?? [],
    configuration: { ...before.metadata.configuration, ...configuration, ...constraintEntries(options.constraints) },
    ...(options.description === undefined ? {} : { description: options.description }),
  }
  return settled(root, before, metadata, features)
}

/**
 * The metadata with what follows from it (numbers and stored names of mapped columns, the protocol that it needs), once it has been found
 * to be one that can be kept here.
 */
export function settled(root: string, before: Declared | null, wanted: Metadata, features: readonly string[] = []): Declared {
  const isMapped = mappingMode(wanted) !== 'none'
  const wasMapped = before !== null && mappingMode(before.metadata) !== 'none'
  const known = before?.metadata.fields ?? []
  const metadata = isMapped ? mapped(wanted, known, before !== null && !wasMapped ? 'own name' : 'new name') : wanted
  checkFields(root, metadata.fields, metadata.partitionColumns, isMapped)
  const protocol = protocolFor(root, before?.protocol ?? NEW_TABLE, metadata, features)
  checkWritable(root, protocol, metadata, false)
  checkExpressions(root, metadata)
  return { protocol, metadata }
}

/** What changed, for a commit: nothing when the two are one. */
export function declarationChange(before: Declared, after: Declared): Partial<Declared> {
  return {
    ...(after.metadata === before.metadata ? {} : { metadata: after.metadata }),
    ...(after.protocol === before.protocol ? {} : { protocol: after.protocol }),
  }
}

/** A column as the schema keeps it (section "Column Metadata"). */
export function fieldOf({ generated, default: value, comment, ...field }: ColumnSpec): DeltaField {
  const { name, type, nullable, metadata } = unmapped(field)
  return {
    name,
    type,
    nullable,
    metadata: {
      ...metadata,
      ...(comment === undefined ? {} : { comment }),
      ...(generated === undefined ? {} : { 'delta.generationExpression': generated }),
      ...(value === undefined ? {} : { CURRENT_DEFAULT: value }),
    },
  }
}

function constraintEntries(constraints: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(constraints).map(([name, expression]) => [constraintKey(name), expression]))
}
