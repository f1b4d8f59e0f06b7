/**
 * What a table says of its rows beyond their types: columns that are computed when an input does not give them (generated columns,
 * defaults), and conditions that every row must meet (constraints, invariants, columns that take no nulls).
 */
import { invalid, type LagoaError } from '../../base/index.ts'
import { translate, translateAs, type Expression } from './expression.ts'
import { isObject, textOf } from './json.ts'
import { duckType, eachField, type InputColumn } from './schema.ts'
import { identifier, literal } from './sql.ts'
import type { DeltaField, DeltaType, Metadata } from './types.ts'

const CONSTRAINT = 'delta.constraints.'

/** Section "Generated Columns". */
export function generationOf(field: DeltaField): string | null {
  return textOf(field.metadata['delta.generationExpression'])
}

/** Section "Default Columns". */
export function defaultOf(field: DeltaField): string | null {
  return textOf(field.metadata.CURRENT_DEFAULT)
}

/** Section "Column Invariants"; null when there is none. One whose text is in no known form is refused as a whole. */
export function invariantOf(field: DeltaField): string | null {
  const kept = textOf(field.metadata['delta.invariants'])
  if (kept === null) return null
  try {
    const parsed: unknown = JSON.parse(kept)
    const outer = isObject(parsed) ? parsed.expression : null
    return (isObject(outer) ? textOf(outer.expression) : null) ?? kept
  } catch {
    return kept
  }
}

/** Expressions by the name of their constraint (section "CHECK Constraints"). */
export function constraintsOf(metadata: Metadata): Map<string, string> {
  const entries = Object.entries(metadata.configuration).filter(([key]) => key.startsWith(CONSTRAINT))
  return new Map(entries.map(([key, expression]) => [key.slice(CONSTRAINT.length), expression]))
}

export function constraintKey(name: string): string {
  // Spark knows constraints by their names in lower case.
  return `${CONSTRAINT}${name.toLowerCase()}`
}

/** SQL for a column that an input does not give: its generation expression over the row's other columns, its default, or null. */
function missingSql(fields: readonly DeltaField[], field: DeltaField): string {
  const expression = generationOf(field)
  if (expression !== null) return `cast(${generated(fields, field, expression).sql} as ${duckType(field.type)})`
  const value = defaultOf(field)
  return value === null ? `null::${duckType(field.type)}` : `cast(${translateAs(value, [], field.type).sql} as ${duckType(field.type)})`
}

/** A generated column is computed from columns that are not generated themselves. */
function generated(fields: readonly DeltaField[], field: DeltaField, expression: string): Expression {
  return translateAs(
    expression,
    fields.filter((other) => other !== field && generationOf(other) === null),
    field.type,
  )
}

/** A `select` of all the table's columns from an input that gives some of them. */
export function completedSql(columns: readonly InputColumn[], from: string): string {
  const fields = columns.map(({ field }) => field)
  const isLate = ({ field, sql }: InputColumn): boolean => sql === null && generationOf(field) !== null
  const early = columns.filter((column) => !isLate(column))
  const inner = `select ${early.map(({ field, sql }) => `${sql ?? missingSql(fields, field)} as ${identifier(field.name)}`).join(', ')} from (${from}\n)`
  if (early.length === columns.length) return inner
  return `select ${columns.map((column) => (isLate(column) ? `${missingSql(fields, column.field)} as ` : '') + identifier(column.field.name)).join(', ')} from (${inner})`
}

/** A condition that every row of a table must meet. */
export interface RowCheck {
  /** What it is, for a message: `the constraint plausible`. */
  readonly what: string
  /** As the table keeps it; null when `what` says all. */
  readonly expression: string | null
  /** True for rows that may be there. */
  readonly sql: string
  /** Of the error, unless it is `lake.check_failed`. */
  readonly code?: string
}

export function rowChecks(metadata: Metadata): RowCheck[] {
  const { fields } = metadata
  const checks: RowCheck[] = []
  for (const [name, expression] of constraintsOf(metadata)) checks.push({ what: `the constraint ${name}`, expression, sql: conditionSql(expression, fields) })
  eachField(fields, (field, path) => {
    const expression = invariantOf(field)
    if (expression !== null) checks.push({ what: `the invariant of column ${path}`, expression, sql: conditionSql(expression, fields) })
  })
  for (const field of fields) {
    const expression = generationOf(field)
    const column = identifier(field.name)
    if (expression !== null) {
      const value = `cast(${generated(fields, field, expression).sql} as ${duckType(field.type)})`
      checks.push({ what: `the generated column ${field.name}`, expression, sql: `${column} is not distinct from ${value}` })
    }
    const length = /^varchar\((\d+)\)$/i.exec(textOf(field.metadata.__CHAR_VARCHAR_TYPE_STRING) ?? '')?.[1]
    if (length !== undefined)
      checks.push({
        what: `the rule that column ${field.name} takes at most ${length} characters`,
        expression: null,
        sql: `coalesce(length(${column}) <= ${length}, true)`,
      })
    const inside = typeof field.type === 'string' ? null : keptPromises(column, field.type, 0)
    const nulls = [...(typeof field.type === 'string' || field.nullable ? [] : [`${column} is not null`]), ...(inside === null ? [] : [inside])]
    // Plain columns are judged by the statistics of the written file.
    if (nulls.length > 0)
      checks.push({
        what: `the rule that column ${field.name} takes no nulls${field.nullable ? ' inside' : ''}`,
        code: 'lake.null_value',
        expression: null,
        sql: nulls.join(' and '),
      })
  }
  return checks
}

/** A constraint is met only when its expression is true: null is not enough. */
export function conditionSql(expression: string, fields: readonly DeltaField[]): string {
  return translateAs(expression, fields, 'boolean').sql
}

/** True for values that hold no null where their type takes none; null when it takes them everywhere. */
function keptPromises(sql: string, type: DeltaType, depth: number): string | null {
  if (typeof type === 'string') return null
  const item = `lagoa_item_${depth}`
  const each = (list: string, takesNulls: boolean, inner: DeltaType): string | null => {
    const inside = keptPromises(item, inner, depth + 1)
    const parts = [...(takesNulls ? [] : [`${item} is not null`]), ...(inside === null ? [] : [inside])]
    return parts.length === 0 ? null : `(${sql} is null or len(list_filter(${list}, lambda ${item}: not (${parts.join(' and ')}))) = 0)`
  }
  if (type.type === 'array') return each(sql, type.containsNull, type.elementType)
  if (type.type === 'map') return each(`map_values(${sql})`, type.valueContainsNull, type.valueType)
  const parts = type.fields.flatMap((field) => {
    const value = `struct_extract(${sql}, ${literal(field.name)})`
    const inside = keptPromises(value, field.type, depth)
    return [...(field.nullable ? [] : [`${value} is not null`]), ...(inside === null ? [] : [inside])]
  })
  // A struct that is not there breaks no promise of its fields.
  return parts.length === 0 ? null : `(${sql} is null or (${parts.join(' and ')}))`
}

/** Throws when an expression of a table cannot be evaluated here, or says what it may not. */
export function checkExpressions(root: string, metadata: Metadata): void {
  rowChecks(metadata)
  const { fields } = metadata
  for (const field of fields) {
    const expression = generationOf(field)
    const value = defaultOf(field)
    if (expression !== null && !generated(fields, field, expression).stable)
      throw badExpression(root, `the generated column ${field.name} changes with time: ${expression}`, 'Generate it from the other columns alone.')
    if (expression !== null && value !== null)
      throw badExpression(root, `column ${field.name} has both a default and an expression that generates it`, 'Keep one of them.')
    missingSql(fields, field)
  }
  for (const [name, expression] of constraintsOf(metadata)) {
    if (!translate(expression, fields).stable)
      throw badExpression(root, `the constraint ${name} changes with time: ${expression}`, 'Compare with columns and constants alone.')
  }
}

function badExpression(root: string, what: string, hint: string): LagoaError {
  return invalid('lake.bad_expression', `Table ${root}: ${what}`, { hint })
}

/** The columns that an expression of the table reads, with what reads them. */
export function readers(metadata: Metadata): Map<string, string> {
  const { fields } = metadata
  const found = new Map<string, string>()
  const note = (expression: string, what: string): void => {
    for (const column of translate(expression, fields).columns) found.set(column, what)
  }
  for (const [name, expression] of constraintsOf(metadata)) note(expression, `the constraint ${name}`)
  eachField(fields, (field, path) => {
    const invariant = invariantOf(field)
    const expression = generationOf(field)
    if (invariant !== null) note(invariant, `the invariant of column ${path}`)
    if (expression !== null) note(expression, `the generated column ${path}`)
  })
  return found
}

const MARK = 'lagoa.broken:'

/** A column's value as SQL that fails for a row which breaks a check, telling which one and the row. */
export function checkedSql(column: string, checks: readonly RowCheck[], fields: readonly DeltaField[]): string {
  const first = `case ${checks.map(({ sql }, i) => `when (${sql}) is not true then '${i}'`).join(' ')} end`
  return `case when ${checks.map(({ sql }) => `(${sql})`).join(' and ')} then ${column} else error('${MARK}' || ${first} || ':' || ${rowText(fields)}) end`
}

function rowText(fields: readonly DeltaField[]): string {
  return `to_json({${fields.map(({ name }) => `${literal(name)}: ${identifier(name)}`).join(', ')}})::varchar`
}

/** The error of a broken check from what DuckDB says; null when it says something else. */
export function brokenCheck(root: string, checks: readonly RowCheck[], error: unknown): LagoaError | null {
  const text = error instanceof Error ? error.message : ''
  const match = /lagoa\.broken:(\d+):([^]*)$/.exec(text)
  const check = match && checks[Number(match[1])]
  return check ? brokenBy(root, check, match[2] ?? '') : null
}

/** SQL for one row that breaks a check, as text. */
export function breakingSql(check: RowCheck, fields: readonly DeltaField[], from: string): string {
  return `select ${rowText(fields)} from (${from}) where (${check.sql}) is not true limit 1`
}

const SHOWN = 300

export function brokenBy(root: string, { what, expression, code = 'lake.check_failed' }: RowCheck, row: string): LagoaError {
  const shown = row.length > SHOWN ? `${row.slice(0, SHOWN)}...` : row
  return invalid(code, `A row for ${root} breaks ${what}${expression === null ? '' : ` (${expression})`}: ${shown}`, {
    hint: 'Correct such rows or filter them out, then write again; nothing was committed.',
  })
}
