/**
 * Statistics and partition values of files as typed columns of a checkpoint (section "Checkpoint Schema"), beside the text that the log
 * holds or instead of it: engines that plan over many files need not parse them. Tables ask for them by their settings.
 */
import { storedFields, storedPartitions } from './mapping.ts'
import { duckType } from './schema.ts'
import { identifier, literal } from './sql.ts'
import type { DeltaField, Metadata } from './types.ts'
import { indexedColumns } from './write.ts'

/** More fields of the action `add`, and the SQL of their values. */
export interface ParsedColumns {
  /** `, name type` for each. */
  readonly types: string
  /** `, 'name': value` for each, over the SQL of the statistics' text and of the map of partition values. */
  values(stats: string, partitions: string): string
}

const NONE: ParsedColumns = { types: '', values: () => '' }

/** What `delta.checkpoint.writeStatsAsStruct` asks for; nothing by default. */
export function parsedColumns(metadata: Metadata): ParsedColumns {
  if (metadata.configuration['delta.checkpoint.writeStatsAsStruct'] !== 'true') return NONE
  const partitions = partitionFields(metadata)
  const partitionType = `struct(${partitions.map(({ name, type }) => `${identifier(name)} ${duckType(type)}`).join(', ')})`
  const stats = groups(metadata)
  return {
    types: `${partitions.length === 0 ? '' : `, partitionValues_parsed ${partitionType}`}, stats_parsed ${stats.type}`,
    values: (text, map) => {
      // The empty text stands for null (section "Partition Value Serialization").
      const parts = partitions.map(
        (field) => `${literal(field.name)}: cast(nullif(map_extract_value(${map}, ${literal(field.name)}), '') as ${duckType(field.type)})`,
      )
      return `${parts.length === 0 ? '' : `, 'partitionValues_parsed': {${parts.join(', ')}}`}, 'stats_parsed': from_json(${text}, ${literal(stats.structure)})`
    },
  }
}

/** Whether checkpoints hold the statistics' text (`delta.checkpoint.writeStatsAsJson`). */
export function writesText(metadata: Metadata): boolean {
  return metadata.configuration['delta.checkpoint.writeStatsAsJson'] !== 'false'
}

function partitionFields(metadata: Metadata): DeltaField[] {
  const names = storedPartitions(metadata)
  return storedFields(metadata).filter(({ name }) => names.includes(name))
}

/** A struct as DuckDB's type and as the structure by which it reads JSON; null when it would be empty. */
interface Shape {
  readonly type: string
  readonly structure: string
}

function groups(metadata: Metadata): Shape {
  const names = storedPartitions(metadata)
  const data = storedFields(metadata).filter(({ name }) => !names.includes(name))
  const shapeOf = (typeOf: (field: DeltaField) => string | null): Shape | null => {
    const most = indexedColumns(metadata)
    return structOf(data, typeOf, { left: most < 0 ? Number.MAX_SAFE_INTEGER : most })
  }
  const bounds = shapeOf(({ type }) => (type === 'boolean' || type === 'binary' ? null : duckType(type)))
  const counts = shapeOf(() => 'BIGINT')
  const entries: [string, Shape | null][] = [
    ['numRecords', { type: 'BIGINT', structure: '"BIGINT"' }],
    ['tightBounds', { type: 'BOOLEAN', structure: '"BOOLEAN"' }],
    ['minValues', bounds],
    ['maxValues', bounds],
    ['nullCount', counts],
  ]
  return joined(entries.flatMap(([name, shape]) => (shape === null ? [] : [{ name, shape }])))
}

function structOf(fields: readonly DeltaField[], typeOf: (field: DeltaField) => string | null, budget: { left: number }): Shape | null {
  const entries = fields.flatMap((field): { name: string; shape: Shape }[] => {
    if (typeof field.type !== 'string') {
      const inner = field.type.type === 'struct' ? structOf(field.type.fields, typeOf, budget) : null
      return inner === null ? [] : [{ name: field.name, shape: inner }]
    }
    if (budget.left-- <= 0) return []
    const type = typeOf(field)
    return type === null ? [] : [{ name: field.name, shape: { type, structure: JSON.stringify(type) } }]
  })
  return entries.length === 0 ? null : joined(entries)
}

function joined(entries: readonly { readonly name: string; readonly shape: Shape }[]): Shape {
  return {
    type: `struct(${entries.map(({ name, shape }) => `${identifier(name)} ${shape.type}`).join(', ')})`,
    structure: `{${entries.map(({ name, shape }) => `${JSON.stringify(name)}:${shape.structure}`).join(',')}}`,
  }
}
