/**
 * Column mapping (section "Column Mapping"): the names under which data files, statistics and partition values know a table's
 * columns, so that columns could be renamed and dropped without rewriting files.
 */
import { randomUUID } from 'node:crypto'
import { unsupported } from '../../base/index.ts'
import { numberOf, textOf } from './json.ts'
import { fileList, identifier, literal, query } from './sql.ts'
import type { DeltaField, DeltaType, Metadata, Place } from './types.ts'

export function mappingMode(metadata: Metadata): string {
  return metadata.configuration['delta.columnMapping.mode'] ?? 'none'
}

const ID = 'delta.columnMapping.id'
const PHYSICAL_NAME = 'delta.columnMapping.physicalName'
const MAX_ID = 'delta.columnMapping.maxColumnId'

/**
 * The metadata with a number and a stored name for each column that has none (section "Writer Requirements for Column Mapping"). Columns
 * that `before` has too, by name and type, keep theirs. `stored` tells what a new one is called in files: by its own name while there are
 * files that call it so, by a name of its own otherwise, since a dropped column may have had the name.
 */
export function mapped(metadata: Metadata, before: readonly DeltaField[], stored: 'own name' | 'new name'): Metadata {
  let id = Math.max(numberOf(metadata.configuration[MAX_ID]) ?? 0, highestId(metadata.fields), highestId(before))
  const mapField = (field: DeltaField, known: DeltaField | undefined): DeltaField => {
    const same = known && shapeOf(known.type) === shapeOf(field.type) ? known : undefined
    const type = mapType(field.type, known?.type)
    if (isMapped(field)) return { ...field, type }
    const from = same && isMapped(same) ? same.metadata : { [ID]: ++id, [PHYSICAL_NAME]: stored === 'own name' ? field.name : `col-${randomUUID()}` }
    return { ...field, type, metadata: { ...field.metadata, [ID]: from[ID], [PHYSICAL_NAME]: from[PHYSICAL_NAME] } }
  }
  const mapFields = (fields: readonly DeltaField[], known: readonly DeltaField[]): DeltaField[] =>
    fields.map((field) =>
      mapField(
        field,
        known.find((other) => other.name.toLowerCase() === field.name.toLowerCase()),
      ),
    )
  const mapType = (type: DeltaType, known: DeltaType | undefined): DeltaType => {
    if (typeof type === 'string') return type
    const other = typeof known === 'string' ? undefined : known
    if (type.type === 'struct') return { ...type, fields: mapFields(type.fields, other?.type === 'struct' ? other.fields : []) }
    if (type.type === 'array') return { ...type, elementType: mapType(type.elementType, other?.type === 'array' ? other.elementType : undefined) }
    const map = other?.type === 'map' ? other : undefined
    return { ...type, keyType: mapType(type.keyType, map?.keyType), valueType: mapType(type.valueType, map?.valueType) }
  }
  const fields = mapFields(metadata.fields, before)
  return { ...metadata, fields, configuration: { ...metadata.configuration, [MAX_ID]: String(id) } }
}

/** The same columns without what a mapping says of them. */
export function unmapped(field: DeltaField): DeltaField {
  const { [ID]: _id, [PHYSICAL_NAME]: _name, ...metadata } = field.metadata
  const inside = (type: DeltaType): DeltaType => {
    if (typeof type === 'string') return type
    if (type.type === 'struct') return { ...type, fields: type.fields.map(unmapped) }
    if (type.type === 'array') return { ...type, elementType: inside(type.elementType) }
    return { ...type, keyType: inside(type.keyType), valueType: inside(type.valueType) }
  }
  return { ...field, type: inside(field.type), metadata }
}

function isMapped(field: DeltaField): boolean {
  return textOf(field.metadata[PHYSICAL_NAME]) !== null && numberOf(field.metadata[ID]) !== null
}

function shapeOf(type: DeltaType): string {
  return typeof type === 'string' ? type : type.type
}

function highestId(fields: readonly DeltaField[]): number {
  const inside = (type: DeltaType): number => {
    if (typeof type === 'string') return 0
    if (type.type === 'struct') return highestId(type.fields)
    return type.type === 'array' ? inside(type.elementType) : Math.max(inside(type.keyType), inside(type.valueType))
  }
  return Math.max(0, ...fields.map((field) => Math.max(numberOf(field.metadata[ID]) ?? 0, inside(field.type))))
}

/** The `field_ids` of a COPY that writes these stored columns; null without a mapping. */
export function fieldIds(metadata: Metadata, fields: readonly DeltaField[]): string | null {
  return mappingMode(metadata) === 'none' || fields.length === 0 ? null : `{${idsOf(fields)}}`
}

function idsOf(fields: readonly DeltaField[]): string {
  return fields
    .flatMap((field) => {
      const id = numberOf(field.metadata[ID])
      // A column of change data files alone has none.
      if (id === null) return []
      const inside = typeof field.type === 'string' ? '' : idsInside(field.type)
      return `${identifier(field.name)}: ${inside === '' ? id : `{__duckdb_field_id: ${id}, ${inside}}`}`
    })
    .join(', ')
}

function idsInside(type: Exclude<DeltaType, string>): string {
  const part = (name: string, inner: DeltaType): string => {
    const inside = typeof inner === 'string' ? '' : idsInside(inner)
    return inside === '' ? '' : `${name}: {${inside}}`
  }
  if (type.type === 'struct') return idsOf(type.fields)
  if (type.type === 'array') return part('element', type.elementType)
  return [part('key', type.keyType), part('value', type.valueType)].filter((text) => text !== '').join(', ')
}

/** The table's columns in their order, named as its files name them, nested ones too. Without a mapping they are the columns themselves. */
export function storedFields(metadata: Metadata): readonly DeltaField[] {
  return mappingMode(metadata) === 'none' ? metadata.fields : metadata.fields.map(storedField)
}

/** The partition columns as files know them. */
export function storedPartitions(metadata: Metadata): string[] {
  const stored = storedFields(metadata)
  return metadata.partitionColumns.map((name) => stored[metadata.fields.findIndex((field) => field.name === name)]?.name ?? name)
}

function storedField(field: DeltaField): DeltaField {
  return { ...field, name: textOf(field.metadata[PHYSICAL_NAME]) ?? field.name, type: storedType(field.type) }
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
    const id = field.metadata[ID]
    if (typeof id === 'number') into.set(id, storedField(field).name)
    collectIds(field.type, into)
  }
}
