/**
 * Schemas: the schema string of a table (section "Schema Serialization Format"), its types as DuckDB types, and the
 * Delta types of a DuckDB result.
 */
import {
  DuckDBArrayType,
  DuckDBDecimalType,
  DuckDBListType,
  DuckDBMapType,
  DuckDBStructType,
  DuckDBTypeId,
  type DuckDBConnection,
  type DuckDBType,
} from '@duckdb/node-api'
import { closest, invalid, unsupported } from '../../base/index.ts'
import { isObject, listOf, textOf } from './json.ts'
import { identifier } from './sql.ts'
import type { DeltaField, DeltaType, Relation } from './types.ts'

export function parseSchema(schemaString: string): DeltaField[] | null {
  let parsed: unknown
  try {
    parsed = JSON.parse(schemaString)
  } catch {
    return null
  }
  const type = typeFrom(parsed)
  return typeof type === 'object' && type?.type === 'struct' ? [...type.fields] : null
}

export function schemaString(fields: readonly DeltaField[]): string {
  return JSON.stringify({ type: 'struct', fields })
}

function typeFrom(value: unknown): DeltaType | null {
  if (typeof value === 'string') return value
  if (!isObject(value)) return null
  if (value.type === 'struct') {
    const fields = listOf(value.fields).map(fieldFrom)
    return fields.every((field) => field !== null) ? { type: 'struct', fields } : null
  }
  if (value.type === 'array') {
    const elementType = typeFrom(value.elementType)
    return elementType && { type: 'array', elementType, containsNull: value.containsNull !== false }
  }
  if (value.type === 'map') {
    const keyType = typeFrom(value.keyType)
    const valueType = typeFrom(value.valueType)
    return keyType && valueType && { type: 'map', keyType, valueType, valueContainsNull: value.valueContainsNull !== false }
  }
  return null
}

function fieldFrom(value: unknown): DeltaField | null {
  if (!isObject(value)) return null
  const name = textOf(value.name)
  const type = typeFrom(value.type)
  if (name === null || type === null) return null
  return { name, type, nullable: value.nullable !== false, metadata: isObject(value.metadata) ? value.metadata : {} }
}

const PRIMITIVES: Readonly<Record<string, string>> = {
  string: 'VARCHAR',
  long: 'BIGINT',
  integer: 'INTEGER',
  short: 'SMALLINT',
  byte: 'TINYINT',
  float: 'FLOAT',
  double: 'DOUBLE',
  boolean: 'BOOLEAN',
  binary: 'BLOB',
  date: 'DATE',
  timestamp: 'TIMESTAMPTZ',
  timestamp_ntz: 'TIMESTAMP',
}

/** The DuckDB type that holds a Delta type's values. Types that no code here knows are refused by name. */
export function duckType(type: DeltaType): string {
  if (typeof type === 'string') {
    const known = PRIMITIVES[type]
    if (known) return known
    const decimal = /^decimal\((\d+),\s*(-?\d+)\)$/.exec(type)
    if (decimal) return `DECIMAL(${decimal[1]},${decimal[2]})`
    if (type === 'decimal') return 'DECIMAL(10,0)'
    throw unsupported('lake.type_unsupported', `Columns of the Delta type ${type} cannot be read or written here`, {
      hint: `Types known: ${Object.keys(PRIMITIVES).join(', ')}, decimal(p,s), struct, array, map.`,
    })
  }
  switch (type.type) {
    case 'struct':
      return `STRUCT(${type.fields.map((field) => `${identifier(field.name)} ${duckType(field.type)}`).join(', ')})`
    case 'array':
      return `${duckType(type.elementType)}[]`
    case 'map':
      return `MAP(${duckType(type.keyType)}, ${duckType(type.valueType)})`
  }
}

const FROM_DUCK: ReadonlyMap<DuckDBTypeId, string> = new Map([
  [DuckDBTypeId.BOOLEAN, 'boolean'],
  [DuckDBTypeId.TINYINT, 'byte'],
  [DuckDBTypeId.SMALLINT, 'short'],
  [DuckDBTypeId.UTINYINT, 'short'],
  [DuckDBTypeId.INTEGER, 'integer'],
  [DuckDBTypeId.USMALLINT, 'integer'],
  [DuckDBTypeId.BIGINT, 'long'],
  [DuckDBTypeId.UINTEGER, 'long'],
  // sum() of integers is HUGEINT: `long` is what its user means, and a value that does not fit fails the write.
  [DuckDBTypeId.UBIGINT, 'long'],
  [DuckDBTypeId.HUGEINT, 'long'],
  [DuckDBTypeId.UHUGEINT, 'long'],
  [DuckDBTypeId.FLOAT, 'float'],
  [DuckDBTypeId.DOUBLE, 'double'],
  [DuckDBTypeId.VARCHAR, 'string'],
  [DuckDBTypeId.UUID, 'string'],
  [DuckDBTypeId.ENUM, 'string'],
  [DuckDBTypeId.BLOB, 'binary'],
  [DuckDBTypeId.DATE, 'date'],
  [DuckDBTypeId.TIMESTAMP_TZ, 'timestamp'],
  // A timestamp without zone would force the timestampNtz feature on every reader; it is taken as UTC instead.
  [DuckDBTypeId.TIMESTAMP, 'timestamp'],
  [DuckDBTypeId.TIMESTAMP_S, 'timestamp'],
  [DuckDBTypeId.TIMESTAMP_MS, 'timestamp'],
  [DuckDBTypeId.TIMESTAMP_NS, 'timestamp'],
  [DuckDBTypeId.SQLNULL, 'string'],
])

const WITHOUT_ZONE: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.TIMESTAMP,
  DuckDBTypeId.TIMESTAMP_S,
  DuckDBTypeId.TIMESTAMP_MS,
  DuckDBTypeId.TIMESTAMP_NS,
])

/** `wanted` is the type of the column that the value is for, where there is one: a timestamp without zone may stay one. */
function deltaType(column: string, type: DuckDBType, wanted?: DeltaType): DeltaType {
  const inner = typeof wanted === 'string' ? undefined : wanted
  if (type instanceof DuckDBDecimalType) return `decimal(${type.width},${type.scale})`
  if (type instanceof DuckDBListType || type instanceof DuckDBArrayType)
    return { type: 'array', elementType: deltaType(column, type.valueType, inner?.type === 'array' ? inner.elementType : undefined), containsNull: true }
  if (type instanceof DuckDBMapType) {
    const map = inner?.type === 'map' ? inner : undefined
    return {
      type: 'map',
      keyType: deltaType(column, type.keyType, map?.keyType),
      valueType: deltaType(column, type.valueType, map?.valueType),
      valueContainsNull: true,
    }
  }
  if (type instanceof DuckDBStructType) {
    const known = inner?.type === 'struct' ? inner.fields : []
    return {
      type: 'struct',
      fields: type.entryNames.map((name, i) => ({
        name,
        type: deltaType(column, type.entryTypes[i] ?? type, known.find((field) => field.name === name)?.type),
        nullable: true,
        metadata: {},
      })),
    }
  }
  if (wanted === 'timestamp_ntz' && WITHOUT_ZONE.has(type.typeId)) return wanted
  const known = FROM_DUCK.get(type.typeId)
  if (known) return known
  throw invalid('lake.type_unsupported', `Column ${column} has the type ${type.toString()}, which a Delta table cannot hold`, {
    hint: `Cast it in the query: ${identifier(column)}::varchar`,
  })
}

/** The columns that a relation yields, all nullable; `known` columns of the same names tell which timestamps stay without a zone. */
export async function fieldsOfRelation(relation: Relation, known: readonly DeltaField[] = []): Promise<DeltaField[]> {
  const wanted = new Map(known.map((field) => [field.name.toLowerCase(), field.type]))
  const columns = await columnsOf(relation.connection, relation.sql)
  return columns.map(({ name, type }) => ({ name, type: deltaType(name, type, wanted.get(name.toLowerCase())), nullable: true, metadata: {} }))
}

/**
 * Like `fieldsOfRelation`, for an input to these columns: what is only ever a bare NULL has the type `void`. DuckDB reports such a
 * column as INTEGER, so it is asked again where an integer would not do.
 */
export async function inputFields(relation: Relation, fields: readonly DeltaField[]): Promise<DeltaField[]> {
  const input = await fieldsOfRelation(relation, fields)
  const wanted = new Map(fields.map((field) => [field.name.toLowerCase(), field.type]))
  const suspects = input.filter((field) => field.type === 'integer' && !castIsSafe('integer', wanted.get(field.name.toLowerCase()) ?? 'integer'))
  if (suspects.length === 0) return input
  const reader = await relation.connection.runAndReadAll(
    `select ${suspects.map((field) => `typeof(${identifier(field.name)})`).join(', ')} from (select 1) left join (${relation.sql}\n) on true limit 1`,
  )
  const types = reader.getRows()[0] ?? []
  const bare = new Set(suspects.filter((_, i) => types[i] === '"NULL"'))
  return input.map((field) => (bare.has(field) ? { ...field, type: 'void' } : field))
}

async function columnsOf(connection: DuckDBConnection, sql: string): Promise<{ name: string; type: DuckDBType }[]> {
  const reader = await connection.runAndReadAll(`select * from (${sql}\n) limit 0`)
  const types = reader.columnTypes()
  return reader.columnNames().flatMap((name, i) => (types[i] ? [{ name, type: types[i] }] : []))
}

export interface InputColumn {
  readonly field: DeltaField
  /** What to select for it from the input; null when the input does not have it. */
  readonly sql: string | null
}

/**
 * Lines the input's columns up with the table's. Columns the table does not have are refused; ones that the input lacks become null.
 * A cast that could change a value without an error (a fraction to a whole number, text to anything) is refused as well.
 */
export function matchColumns(root: string, fields: readonly DeltaField[], input: readonly DeltaField[]): InputColumn[] {
  const byName = new Map(input.map((field) => [field.name.toLowerCase(), field]))
  if (byName.size !== input.length)
    throw invalid('lake.duplicate_column', `The input for ${root} names a column twice: ${input.map((field) => field.name).join(', ')}`, {
      hint: 'Give every column its own name with AS; upper and lower case count as the same.',
    })
  const known = new Set(fields.map((field) => field.name.toLowerCase()))
  for (const field of input) {
    if (known.has(field.name.toLowerCase())) continue
    const near = closest(
      field.name,
      fields.map((other) => other.name),
    )
    throw invalid('lake.unknown_column', `Table ${root} has no column ${field.name}`, {
      hint: `${near.length > 0 ? `Did you mean ${near.join(' or ')}? ` : ''}Its columns are ${fields.map((other) => other.name).join(', ')}. To change them, overwrite with schema: true.`,
    })
  }
  return fields.map((field) => {
    const found = byName.get(field.name.toLowerCase())
    if (!found) return { field, sql: null }
    if (!castIsSafe(found.type, field.type)) {
      throw invalid('lake.type_mismatch', `Column ${field.name} of ${root} is ${typeName(field.type)}, the input has ${typeName(found.type)}`, {
        hint: `Cast it in the query: ${identifier(found.name)}::${duckType(field.type)}`,
      })
    }
    return { field, sql: `cast(${identifier(found.name)} as ${duckType(field.type)})` }
  })
}

/** Visits every column and every field inside one, with its path. */
export function eachField(fields: readonly DeltaField[], visit: (field: DeltaField, path: string) => void, prefix: string = ''): void {
  const inside = (type: DeltaType, path: string): void => {
    if (typeof type === 'string') return
    if (type.type === 'struct') return eachField(type.fields, visit, `${path}.`)
    if (type.type === 'array') return inside(type.elementType, `${path}.element`)
    inside(type.keyType, `${path}.key`)
    inside(type.valueType, `${path}.value`)
  }
  for (const field of fields) {
    visit(field, prefix + field.name)
    inside(field.type, prefix + field.name)
  }
}

export function typeName(type: DeltaType): string {
  return typeof type === 'string' ? type : duckType(type)
}

const WHOLE = new Set(['byte', 'short', 'integer', 'long'])

function castIsSafe(from: DeltaType, to: DeltaType): boolean {
  if (from === 'void') return true
  if (typeof from !== 'string' || typeof to !== 'string') return JSON.stringify(bare(from)) === JSON.stringify(bare(to))
  if (from === to) return true
  if (WHOLE.has(to)) return WHOLE.has(from)
  if (to === 'double') return WHOLE.has(from) || from === 'float' || from.startsWith('decimal')
  if (to === 'float') return WHOLE.has(from) || from === 'double' || from.startsWith('decimal')
  if (to === 'timestamp') return from === 'date' || from === 'timestamp_ntz'
  if (to === 'timestamp_ntz') return from === 'date'
  if (to.startsWith('decimal')) return WHOLE.has(from) || (from.startsWith('decimal') && scaleOf(from) <= scaleOf(to))
  return false
}

function scaleOf(decimal: string): number {
  return Number(/,\s*(-?\d+)\)/.exec(decimal)?.[1] ?? 0)
}

/** A type without nullability and metadata, for comparison. */
function bare(type: DeltaType): unknown {
  if (typeof type === 'string') return type
  if (type.type === 'struct') return type.fields.map((field) => [field.name, bare(field.type)])
  return type.type === 'array' ? ['array', bare(type.elementType)] : ['map', bare(type.keyType), bare(type.valueType)]
}

/** What Parquet's readers of old trip over; with a column mapping files never hold a column's own name. */
const AWKWARD = /[ ,;{}()\n\t=]/

/** Refuses schemas that no table can have. */
export function checkFields(root: string, fields: readonly DeltaField[], partitionBy: readonly string[], isMapped: boolean = false): void {
  const fail = (message: string, hint: string): never => {
    throw invalid('lake.bad_schema', `Table ${root}: ${message}`, { hint })
  }
  if (fields.length === 0) fail('there are no columns', 'Name at least one column.')
  const names = new Set<string>()
  for (const field of fields) {
    if (field.name === '') fail('a column has an empty name', 'Give it a name.')
    if (names.has(field.name.toLowerCase())) fail(`two columns are called ${field.name}`, 'Upper and lower case count as the same name.')
    names.add(field.name.toLowerCase())
    duckType(field.type)
  }
  eachField(fields, ({ name }) => {
    if (!isMapped && AWKWARD.test(name))
      fail(
        `the column name ${JSON.stringify(name)} holds one of the characters  ,;{}()=, a tab or a line break`,
        "Choose another name, or set delta.columnMapping.mode to 'name', which allows it.",
      )
  })
  for (const name of partitionBy) {
    const field = fields.find((other) => other.name === name)
    if (!field) fail(`the partition column ${name} is not a column`, `Columns: ${fields.map((other) => other.name).join(', ')}.`)
    else if (typeof field.type !== 'string' || field.type === 'binary')
      fail(`the column ${name} of type ${typeName(field.type)} cannot be a partition column`, 'Partition by text, numbers, booleans, dates or timestamps.')
  }
  if (new Set(partitionBy).size !== partitionBy.length) fail('a partition column is named twice', 'Name each once.')
  if (partitionBy.length >= fields.length) fail('every column is a partition column', 'Leave at least one column for the data files.')
}
