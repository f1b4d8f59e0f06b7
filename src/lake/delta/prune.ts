/**
 * Pruning: which files can hold a row for which a condition is true. `Test` is what a SQL condition says about single columns and
 * constants; everything else is `any`, which keeps every file.
 */
import { isObject, listOf, textOf, textsOf, type JsonObject } from './json.ts'
import { boundsOf, compareText, daysOf, microsOf, parseStats, type Bounds, type Comparable } from './stats.ts'
import type { PartitionValues } from './actions.ts'
import type { DeltaField, DeltaType } from './types.ts'

export type Operator = '=' | '<>' | '<' | '<=' | '>' | '>='

export type Test =
  | { readonly kind: 'and' | 'or'; readonly of: readonly Test[] }
  | { readonly kind: 'compare'; readonly column: string; readonly operator: Operator; readonly value: Comparable }
  | { readonly kind: 'null'; readonly column: string; readonly isNull: boolean }
  | { readonly kind: 'any' }

export const ANY: Test = { kind: 'any' }

export function mayMatch(test: Test, bounds: (column: string) => Bounds): boolean {
  switch (test.kind) {
    case 'any':
      return true
    case 'and':
      return test.of.every((part) => mayMatch(part, bounds))
    case 'or':
      return test.of.some((part) => mayMatch(part, bounds))
    case 'null': {
      const { nullCount, rows } = bounds(test.column)
      return test.isNull ? nullCount !== 0 : nullCount === null || nullCount !== rows
    }
    case 'compare':
      return mayCompare(test.operator, test.value, bounds(test.column))
  }
}

function mayCompare(operator: Operator, value: Comparable, { min, max, nullCount, rows, maybeNaN }: Bounds): boolean {
  if (rows !== null && nullCount === rows) return false
  const low = min === null ? null : compare(min, value)
  const high = max === null ? null : compare(max, value)
  // NaN is above every number, so a row of NaN passes > and >= whatever the maximum is, and differs from every constant.
  switch (operator) {
    case '=':
      return !((low !== null && low > 0) || (high !== null && high < 0))
    case '<':
      return !(low !== null && low >= 0)
    case '<=':
      return !(low !== null && low > 0)
    case '>':
      return maybeNaN || !(high !== null && high <= 0)
    case '>=':
      return maybeNaN || !(high !== null && high < 0)
    case '<>':
      return maybeNaN || !(low === 0 && high === 0)
  }
}

/** Null when the two are of different kinds and so say nothing. */
function compare(a: Comparable, b: Comparable): number | null {
  if (typeof a === 'string') return typeof b === 'string' ? compareText(a, b) : null
  return typeof b === 'number' ? a - b : null
}

/** Bounds of a file's columns by its statistics and partition values. */
export function fileBounds(
  fields: readonly DeltaField[],
  partitionColumns: readonly string[],
  file: { readonly stats: string | null; readonly partitionValues: PartitionValues },
): (column: string) => Bounds {
  const types = new Map(fields.map((field) => [field.name, field.type]))
  let stats: JsonObject | null | undefined
  return (column) => {
    const type = types.get(column) ?? 'unknown'
    if (!partitionColumns.includes(column)) {
      stats ??= parseStats(file.stats)
      return boundsOf(stats, column, type)
    }
    const text = file.partitionValues[column] ?? null
    if (text === null || text === '') return { min: null, max: null, nullCount: 1, rows: 1, maybeNaN: false }
    const value = typeof type === 'string' ? constant(type, text) : null
    return { min: value, max: value, nullCount: 0, rows: null, maybeNaN: value === null }
  }
}

/** A constant of SQL, or a partition value, as it compares with a column of this type; null when that is not certain. */
function constant(type: string, value: unknown): Comparable | null {
  switch (type) {
    case 'string':
      return textOf(value)
    case 'date':
      return typeof value === 'string' ? daysOf(value) : null
    case 'timestamp':
    case 'timestamp_ntz':
      return typeof value === 'string' ? microsOf(value) : null
    case 'boolean':
    case 'binary':
      return null
    default: {
      const number = typeof value === 'string' && /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
      if (typeof number !== 'number' || !Number.isFinite(number) || Math.abs(number) > Number.MAX_SAFE_INTEGER) return null
      // A float column compares as float with constants of other types; which one DuckDB picks is not worth knowing.
      if (type === 'float' && Math.fround(number) !== number) return null
      if (type.startsWith('decimal') && !Number.isInteger(number)) return null
      return number
    }
  }
}

/** Rows whose column lies between two values (given as DuckDB's text; null when there are none), or is null when `nulls`. */
export function rangeTest(field: DeltaField, low: string | null, high: string | null, nulls: boolean): Test {
  const of: Test[] = nulls ? [{ kind: 'null', column: field.name, isNull: true }] : []
  if (low === null || high === null) return { kind: 'or', of }
  const type = typeof field.type === 'string' ? field.type : ''
  const [min, max] = [constant(type, low), constant(type, high)]
  if (min === null || max === null) return ANY
  const between: Test = {
    kind: 'and',
    of: [
      { kind: 'compare', column: field.name, operator: '>=', value: min },
      { kind: 'compare', column: field.name, operator: '<=', value: max },
    ],
  }
  return { kind: 'or', of: [...of, between] }
}

const OPERATORS: Readonly<Record<string, Operator>> = {
  COMPARE_EQUAL: '=',
  COMPARE_NOT_DISTINCT_FROM: '=',
  COMPARE_NOTEQUAL: '<>',
  COMPARE_LESSTHAN: '<',
  COMPARE_LESSTHANOREQUALTO: '<=',
  COMPARE_GREATERTHAN: '>',
  COMPARE_GREATERTHANOREQUALTO: '>=',
}
const MIRRORED: Readonly<Record<Operator, Operator>> = { '=': '=', '<>': '<>', '<': '>', '<=': '>=', '>': '<', '>=': '<=' }

/** From the tree that DuckDB's `json_serialize_sql` gives for a condition. */
export function testFrom(node: unknown, fields: readonly DeltaField[]): Test {
  if (!isObject(node)) return ANY
  switch (node.class) {
    case 'CONJUNCTION':
      return { kind: node.type === 'CONJUNCTION_AND' ? 'and' : 'or', of: listOf(node.children).map((child) => testFrom(child, fields)) }
    case 'COMPARISON': {
      const operator = OPERATORS[textOf(node.type) ?? '']
      return operator ? comparison(operator, node.left, node.right, fields) : ANY
    }
    case 'BETWEEN':
      return { kind: 'and', of: [comparison('>=', node.input, node.lower, fields), comparison('<=', node.input, node.upper, fields)] }
    case 'OPERATOR': {
      const [first, ...rest] = listOf(node.children)
      if (node.type === 'COMPARE_IN') return { kind: 'or', of: rest.map((item) => comparison('=', first, item, fields)) }
      const column = columnFrom(first, fields)
      if (column && node.type === 'OPERATOR_IS_NULL') return { kind: 'null', column: column.name, isNull: true }
      if (column && node.type === 'OPERATOR_IS_NOT_NULL') return { kind: 'null', column: column.name, isNull: false }
      return ANY
    }
    default:
      return ANY
  }
}

function comparison(operator: Operator, left: unknown, right: unknown, fields: readonly DeltaField[]): Test {
  const column = columnFrom(left, fields)
  if (!column) return columnFrom(right, fields) && !columnFrom(left, fields) ? comparison(MIRRORED[operator], right, left, fields) : ANY
  const value = valueFrom(right, column.type)
  return value === null ? ANY : { kind: 'compare', column: column.name, operator, value }
}

function columnFrom(node: unknown, fields: readonly DeltaField[]): DeltaField | null {
  if (!isObject(node) || node.class !== 'COLUMN_REF') return null
  const names = textsOf(node.column_names)
  const name = names.length === 1 ? names[0]?.toLowerCase() : undefined
  return fields.find((field) => field.name.toLowerCase() === name) ?? null
}

/** The types of literals that compare with a column of a type without changing that column's values. */
function valueFrom(node: unknown, type: DeltaType): Comparable | null {
  if (!isObject(node) || typeof type !== 'string') return null
  if (node.class === 'CAST') {
    const target = isObject(node.cast_type) ? textOf(node.cast_type.id) : null
    const fits =
      (type === 'date' && target === 'DATE') ||
      (type === 'timestamp' && (target === 'TIMESTAMP WITH TIME ZONE' || target === 'TIMESTAMP' || target === 'DATE')) ||
      (type === 'timestamp_ntz' && (target === 'TIMESTAMP' || target === 'DATE'))
    if (!fits || node.try_cast === true) return null
    const inner = literalFrom(node.child)
    if (typeof inner !== 'string') return null
    // A zone in the text means something else, or nothing, to the types without one.
    if (target !== 'TIMESTAMP WITH TIME ZONE' && !/^[\d :.T-]*$/.test(inner)) return null
    if (target === 'DATE' && daysOf(inner) === null) return null
    return constant(type, inner)
  }
  const value = literalFrom(node)
  const wantsText = type === 'string' || type === 'date' || type === 'timestamp' || type === 'timestamp_ntz'
  if (wantsText !== (typeof value === 'string')) return null
  if (type === 'timestamp_ntz' && typeof value === 'string' && /[Z+]|\d-\d\d(:?\d\d)?$/.test(value.slice(10))) return null
  return constant(type, value)
}

function literalFrom(node: unknown): string | number | null {
  if (!isObject(node) || node.class !== 'CONSTANT' || !isObject(node.value) || node.value.is_null === true) return null
  const { type, value } = node.value
  const id = isObject(type) ? textOf(type.id) : null
  if (id === 'VARCHAR') return textOf(value)
  if (typeof value !== 'number') return null
  if (id !== 'DECIMAL') return value
  const scale = isObject(type) && isObject(type.type_info) && typeof type.type_info.scale === 'number' ? type.type_info.scale : null
  // Dividing by a power of ten rounds once, like parsing the literal as a double does.
  return scale === null || scale > 22 || !Number.isSafeInteger(value) ? null : value / 10 ** scale
}
