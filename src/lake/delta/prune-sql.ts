/**
 * Pruning in SQL: a condition over the files of a checkpoint that is false for none that `mayMatch` would keep, so that a few of a million
 * files have to be looked at one by one. Where a bound cannot be compared with certainty the file stays in.
 */
import { statsSql, type Source } from './checkpoint-files.ts'
import type { Operator, Test } from './prune.ts'
import { literal } from './sql.ts'
import type { Comparable } from './stats.ts'
import type { DeltaField } from './types.ts'

/**
 * SQL for the place (file, row) of each file that may hold a row for which the test is true. `stored` are the table's columns as its files
 * and statistics name them; the test speaks of those too.
 */
export function pruneSql(test: Test, stored: readonly DeltaField[], partitionColumns: readonly string[], source: Source): string {
  const types = new Map(stored.map((field) => [field.name, field.type]))
  const paths: string[] = []
  const found = (path: string): string => {
    const known = paths.indexOf(path)
    return `found[${known === -1 ? paths.push(path) : known + 1}]`
  }
  const conditionOf = (one: Test, ofLeaf: (leaf: Leaf, type: string) => string): string => {
    switch (one.kind) {
      case 'any':
        return 'true'
      case 'and':
      case 'or':
        // An empty "and" holds, an empty "or" does not.
        return one.of.length === 0 ? String(one.kind === 'and') : `(${one.of.map((part) => conditionOf(part, ofLeaf)).join(` ${one.kind} `)})`
      case 'null':
      case 'compare': {
        const type = types.get(one.column)
        return typeof type !== 'string' || one.column.includes('\0') ? 'true' : ofLeaf(one, type)
      }
    }
  }
  const isPartition = ({ column }: Leaf): boolean => partitionColumns.includes(column)
  // Partition values are cheap to look at: statistics are parsed for the files that they leave.
  const byPartition = conditionOf(test, (leaf, type) => (isPartition(leaf) ? ofPartition(leaf, type) : 'true'))
  const byStats = conditionOf(test, (leaf, type) => (isPartition(leaf) ? 'true' : ofStats(leaf, type, found)))
  // Text that is no JSON says nothing. Without statistics to look at, there is nothing to extract.
  const extracted = paths.length === 0 ? 'null' : `try(json_extract_string(${statsSql(source)}, [${paths.map(literal).join(', ')}]))`
  return `select file_index::integer, file_row_number::integer from (
    select file_index, file_row_number, ${extracted} as found from ${source.sql} where add.path is not null and (${byPartition}) is not false
  ) where (${byStats}) is not false`
}

type Leaf = Extract<Test, { kind: 'null' | 'compare' }>

function ofPartition(test: Leaf, type: string): string {
  const value = `nullif(element_at(add.partitionValues, ${literal(test.column)})[1], '')`
  if (test.kind === 'null') return `${value} is ${test.isNull ? '' : 'not '}null`
  return `(${value} is not null and ${mayCompare(test.operator, test.value, type, value, value, 'false')})`
}

/** `found` gives what stands in the statistics at a path, as text. */
function ofStats(test: Leaf, type: string, found: (path: string) => string): string {
  const of = (group: string): string => found(`/${group}/${pointer(test.column)}`)
  const nulls = `try_cast(${of('nullCount')} as double)`
  const rows = `try_cast(${found('/numRecords')} as double)`
  if (test.kind === 'null') return test.isNull ? `${nulls} is distinct from 0` : `(${nulls} is null or ${nulls} is distinct from ${rows})`
  // A column whose NaNs were not counted may hold some, and those are above every bound.
  const maybeNaN = type === 'float' || type === 'double' ? `try_cast(${of('nanCount')} as double) is distinct from 0` : 'false'
  return `((${nulls} is null or ${nulls} is distinct from ${rows}) and ${mayCompare(test.operator, test.value, type, of('minValues'), of('maxValues'), maybeNaN)})`
}

/** A column's name inside a JSON pointer (RFC 6901). */
function pointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

/** Not false when a row between two bounds (text, null when unknown) may compare so with a constant. */
function mayCompare(operator: Operator, constant: Comparable, type: string, min: string, max: string, maybeNaN: string): string {
  const [low, high] = [boundSql(type, min, constant), boundSql(type, max, constant)]
  const values = valueSql(type, constant)
  if (low === null || high === null || values === null) return 'true'
  const notAbove = `(${low} <= ${values.high}) is not false`
  const notBelow = `(${high} >= ${values.low}) is not false`
  switch (operator) {
    case '=':
      return `(${notAbove} and ${notBelow})`
    case '<':
    case '<=':
      return notAbove
    case '>':
    case '>=':
      return maybeNaN === 'false' ? notBelow : `(${notBelow} or ${maybeNaN})`
    case '<>':
      return 'true'
  }
}

/** A bound as SQL that compares with `valueSql` of the same type, null when its text is no such value. */
function boundSql(type: string, text: string, constant: Comparable): string | null {
  if (type === 'string') return typeof constant === 'string' ? text : null
  if (typeof constant !== 'number') return null
  switch (type) {
    case 'date':
      return `try_cast(${text} as date)`
    case 'timestamp':
    case 'timestamp_ntz':
      return `try_cast(${text} as timestamptz)`
    case 'byte':
    case 'short':
    case 'integer':
    case 'long':
    case 'float':
    case 'double':
      return finite(text)
    default:
      return type.startsWith('decimal') ? finite(text) : null
  }
}

/** NaN and infinity in statistics are the business of the exact test. */
function finite(text: string): string {
  return `case when isfinite(try_cast(${text} as double)) then try_cast(${text} as double) end`
}

/** The constant, moved a little down and up: what that leaves in needlessly, the exact test takes out. */
function valueSql(type: string, constant: Comparable): { readonly low: string; readonly high: string } | null {
  if (typeof constant === 'string') return type !== 'string' || constant.includes('\0') ? null : { low: literal(constant), high: literal(constant) }
  switch (type) {
    case 'date': {
      const day = `(date '1970-01-01' + ${Math.trunc(constant)}::integer)`
      return { low: day, high: day }
    }
    case 'timestamp':
    case 'timestamp_ntz':
      // Bounds may have been cut to milliseconds.
      return { low: `make_timestamptz(${Math.trunc(constant) - 2000})`, high: `make_timestamptz(${Math.trunc(constant) + 2000})` }
    default: {
      const slack = Math.abs(constant) * (type === 'float' ? 1e-5 : 1e-12)
      return { low: `${doubleSql(constant - slack)}`, high: `${doubleSql(constant + slack)}` }
    }
  }
}

function doubleSql(value: number): string {
  return `${literal(String(value))}::double`
}
