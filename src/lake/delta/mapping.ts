/**
 * Column mapping (section "Column Mapping"): the names under which data files, statistics and partition values know a table's
 * columns, so that columns could be renamed and dropped without rewriting files.
 */
import { unsupported } from '../../base/index.ts'
import { textOf } from './json.ts'
import { fileList, literal, query } from './sql.ts'
import type { DeltaField, DeltaType, Metadata, Place } from './types.ts'

export function mappingMode(metadata: Metadata): string {
  return metadata.configuration['delta.columnMapping.mode'] ?? 'none'
}

/** The table's columns in their order, named as its files name them, nested ones too. Without a mapping they are the columns themselves. */
export function storedFields(metadata: Metadata): readonly DeltaField[] {
  return mappingMode(metadata) === 'none' ? metadata.fields : metadata.fields.map(storedField)
}

function storedField(field: DeltaField): DeltaField {
  return { ...field, name: textOf(field.metadata['delta.columnMapping.physicalName']) ?? field.name, type: storedType(field.type) }
}

function storedType(type: DeltaType): DeltaType {
  if (typeof type === 'string') return type
  if (type.type === 'struct') return { ...type, fields: type.fields.map(storedField) }
  if (type.type === 'array') return { ...type, elementType: storedType(type.elementType) }
  return { ...type, keyType: storedType(type.keyType), valueType: storedType(type.valueType) }
}

/** SQL that gives a value of the stored type the names of the table's type; `sql` may be repeated, so it must be cheap and pure. */
export function renamed(sql: string, type: DeltaType, stored: DeltaType, depth: number = 0): string {
  if (typeof type === 'string' || typeof stored === 'string' || JSON.stringify(type) === JSON.stringify(stored)) return sql
  const item = `lagoa_item_${depth}`
  if (type.type === 'struct' && stored.type === 'struct') {
    const entries = type.fields.map((field, i) => {
      const from = stored.fields[i] ?? field
      return `${literal(field.name)}: ${renamed(`struct_extract(${sql}, ${literal(from.name)})`, field.type, from.type, depth)}`
    })
    // A struct of nulls is another value than no struct.
    return `case when ${sql} is null then null else {${entries.join(', ')}} end`
  }
  if (type.type === 'array' && stored.type === 'array')
    return `list_transform(${sql}, lambda ${item}: ${renamed(item, type.elementType, stored.elementType, depth + 1)})`
  if (type.type === 'map' && stored.type === 'map') {
    const key = renamed(`${item}.key`, type.keyType, stored.keyType, depth + 1)
    const value = renamed(`${item}.value`, type.valueType, stored.valueType, depth + 1)
    return `case when ${sql} is null then null else map_from_entries(list_transform(map_entries(${sql}), lambda ${item}: row(${key}, ${value}))) end`
  }
  return sql
}

/**
 * With the mode `id` the number of a column in a file counts and not its name. Writers give both, so columns are read by name once all
 * footers have been found to agree; a file with other names (one taken over from Iceberg, say) is refused.
 */
export async function checkIds(place: Place, root: string, metadata: Metadata, files: readonly string[]): Promise<void> {
  if (mappingMode(metadata) !== 'id' || files.length === 0) return
  const names = new Map<number, string>()
  collectIds({ type: 'struct', fields: metadata.fields }, names)
  const listed = [...names].map(([id, name]) => `(${id}, ${literal(name)})`).join(', ')
  const connection = await place.duck.connect()
  try {
    const reader = await query(
      connection,
      `select s.file_name from parquet_schema(${fileList(files)}) s left join (values ${listed}) c(id, stored) on s.field_id = c.id
       group by s.file_name having count(c.id) = 0 or bool_or(c.stored <> s.name) limit 1`,
    )
    const other = reader.getRows()[0]?.[0]
    if (other === undefined) return
    throw unsupported('lake.feature_unsupported', `Table ${root} cannot be read here: columnMapping by id, and ${String(other)} names its columns otherwise`, {
      hint: 'Rewrite its files with the engine that made it, or copy its rows into a new table.',
    })
  } finally {
    connection.closeSync()
  }
}

function collectIds(type: DeltaType, into: Map<number, string>): void {
  if (typeof type === 'string') return
  if (type.type === 'array') return collectIds(type.elementType, into)
  if (type.type === 'map') {
    collectIds(type.keyType, into)
    return collectIds(type.valueType, into)
  }
  for (const field of type.fields) {
    const id = field.metadata['delta.columnMapping.id']
    if (typeof id === 'number') into.set(id, storedField(field).name)
    collectIds(field.type, into)
  }
}
