/** Types of columns: which of DuckDB's a table can hold, and what becomes of a file's column in a table that has it already. */
import { DuckDBArrayType, DuckDBListType, DuckDBMapType, DuckDBStructType, DuckDBTypeId, type DuckDBConnection, type DuckDBType } from '@duckdb/node-api'
import { quoteName } from '../sql.ts'
import { usable } from './names.ts'

/** A column of a relation. Types are those of DuckDB, as SQL has them. */
export interface Column {
  readonly name: string
  readonly type: string
}

/** Times without a zone are read as UTC. */
export const INSTANT = 'TIMESTAMP WITH TIME ZONE'

const AS: ReadonlyMap<DuckDBTypeId, string> = new Map([
  [DuckDBTypeId.UTINYINT, 'SMALLINT'],
  [DuckDBTypeId.USMALLINT, 'INTEGER'],
  [DuckDBTypeId.UINTEGER, 'BIGINT'],
  [DuckDBTypeId.UBIGINT, 'DECIMAL(20,0)'],
  [DuckDBTypeId.HUGEINT, 'DECIMAL(38,0)'],
  [DuckDBTypeId.UHUGEINT, 'DECIMAL(38,0)'],
  [DuckDBTypeId.TIMESTAMP, INSTANT],
  [DuckDBTypeId.TIMESTAMP_S, INSTANT],
  [DuckDBTypeId.TIMESTAMP_MS, INSTANT],
  [DuckDBTypeId.TIMESTAMP_NS, INSTANT],
])
const KEPT: ReadonlySet<DuckDBTypeId> = new Set([
  DuckDBTypeId.BOOLEAN,
  DuckDBTypeId.TINYINT,
  DuckDBTypeId.SMALLINT,
  DuckDBTypeId.INTEGER,
  DuckDBTypeId.BIGINT,
  DuckDBTypeId.FLOAT,
  DuckDBTypeId.DOUBLE,
  DuckDBTypeId.DECIMAL,
  DuckDBTypeId.VARCHAR,
  DuckDBTypeId.BLOB,
  DuckDBTypeId.DATE,
  DuckDBTypeId.TIMESTAMP_TZ,
])

/**
 * The type in which a table holds values of this one without loss: itself where it can, the next larger number, an instant for times
 * without zone, text for the rest (UUID, TIME, ENUM). Null for nested values whose names a table cannot have: they become JSON text.
 */
function storedAs(type: DuckDBType): string | null {
  if (type instanceof DuckDBListType || type instanceof DuckDBArrayType) {
    const inner = storedAs(type.valueType)
    return inner === null ? null : `${inner}[]`
  }
  if (type instanceof DuckDBMapType) {
    const key = storedAs(type.keyType)
    const value = storedAs(type.valueType)
    return key === null || value === null ? null : `MAP(${key}, ${value})`
  }
  if (type instanceof DuckDBStructType) {
    const fields = type.entryNames.map((name, i) => [name, storedAs(type.entryTypes[i] ?? type)] as const)
    if (fields.length === 0 || fields.some(([name, inner]) => !usable(name) || inner === null)) return null
    return `STRUCT(${fields.map(([name, inner]) => `${quoteName(name)} ${inner}`).join(', ')})`
  }
  if (type.typeId === DuckDBTypeId.UNION) return null
  return AS.get(type.typeId) ?? (KEPT.has(type.typeId) ? (type.alias === 'JSON' ? 'VARCHAR' : type.toString()) : 'VARCHAR')
}

/** The columns of a SELECT, each with an expression over it that a table can hold, and the type of that. */
export async function storedColumns(connection: DuckDBConnection, sql: string): Promise<(Column & { readonly value: string })[]> {
  const reader = await connection.runAndReadAll(`select * from (${sql}\n) limit 0`)
  const types = reader.columnTypes()
  return reader.columnNames().flatMap((name, i) => {
    const type = types[i]
    if (!type) return []
    const stored = storedAs(type)
    const column = quoteName(name)
    return stored === null
      ? [{ name, type: 'VARCHAR', value: `to_json(${column})::varchar` }]
      : [{ name, type: stored, value: stored === type.toString() ? column : `cast(${column} as ${stored})` }]
  })
}

/** The columns of a SELECT as they are. */
export async function columnsOf(connection: DuckDBConnection, sql: string): Promise<Column[]> {
  const reader = await connection.runAndReadAll(`select * from (${sql}\n) limit 0`)
  const types = reader.columnTypes()
  return reader.columnNames().map((name, i) => ({ name, type: types[i]?.toString() ?? 'VARCHAR' }))
}

/**
 * What becomes of values of type `from` in a column of type `to`: they are of it, every one can be cast, all become text, the column is
 * widened to take them, each is tried and the rows of those that do not fit are kept aside, or the two have nothing in common.
 */
export type Fit = 'same' | 'cast' | 'text' | 'widen' | 'try' | 'never'

export function fitOf(from: string, to: string, mayWiden: boolean): Fit {
  if (from === to) return 'same'
  if (to === 'VARCHAR') return 'text'
  if (isNested(from) || isNested(to)) return isNested(to) && from === 'VARCHAR' ? 'never' : isNested(from) && isNested(to) ? 'try' : 'never'
  if (to === 'BLOB' || from === 'BLOB') return 'never'
  if (fitsIn(from, to)) return 'cast'
  return mayWiden && fitsIn(to, from) && from !== 'VARCHAR' ? 'widen' : 'try'
}

const isNested = (type: string): boolean => /^(STRUCT|MAP)\(|\]$/.test(type)

const WHOLE = ['TINYINT', 'SMALLINT', 'INTEGER', 'BIGINT']
const NUMBERS = [...WHOLE, 'FLOAT', 'DOUBLE']

/** Every value of one type is a value of the other; whole numbers beyond 2^53 in a DOUBLE are looked at when it comes to that. */
function fitsIn(from: string, to: string): boolean {
  if (from === 'DATE') return to === INSTANT
  if (to === 'DOUBLE') return NUMBERS.includes(from)
  return WHOLE.includes(from) && WHOLE.includes(to) && WHOLE.indexOf(from) < WHOLE.indexOf(to)
}
