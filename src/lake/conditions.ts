/** Checks as SQL, and what can be found wrong with them before any row is there. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { closest, invalid, LagoaError } from '../base/index.ts'
import { columnsOf, describeCheck, isTableCheck, type Bound, type Check, type Expectation } from './expectations.ts'
import { parseSelect, type ParsedSelect } from './parse.ts'
import { quoteColumns, quoteName, quoteText } from './sql.ts'

/** A condition that is false for exactly the rows that break the check by themselves; null where only the other rows can tell. */
export async function rowCondition(connection: DuckDBConnection, check: Check, columns: readonly string[], what: string): Promise<string | null> {
  refuseUnknown(check, columns, what)
  switch (check.kind) {
    case 'sql':
      return readCondition(connection, check.condition, columns, what)
    case 'notNull':
      return check.columns.map((column) => `${quoteName(column)} is not null`).join(' and ')
    case 'between':
      return `${quoteName(check.column)} between ${literal(check.least)} and ${literal(check.most)}`
    case 'oneOf':
      return `${quoteName(check.column)} in (${check.values.map(literal).join(', ')})`
    case 'matches':
      return `regexp_matches(${quoteName(check.column)}::varchar, ${quoteText(re2(check, what))})`
    default:
      return null
  }
}

/** Refuses what no rows could make right: a held table, a pattern that RE2 does not read, bounds the wrong way round. */
export async function checkExpectation(
  connection: DuckDBConnection,
  { severity, check }: Expectation,
  columns: readonly string[],
  what: string,
): Promise<void> {
  if (severity === 'quarantine' && isTableCheck(check))
    throw invalid('lake.table_check_held', `${what} is about the whole table (${describeCheck(check)}), so there are no rows to put into quarantine`, {
      hint: 'Make it warn(...) or fail(...).',
    })
  const empty =
    (check.kind === 'oneOf' && check.values.length === 0) ||
    (check.kind === 'rowCount' && check.min === null && check.max === null) ||
    ((check.kind === 'notNull' || check.kind === 'unique') && check.columns.length === 0)
  if (empty) throw invalid('lake.empty_check', `${what} asks for nothing: ${check.kind} without values`, { hint: 'Give it something to check by.' })
  if ((check.kind === 'between' && check.least > check.most) || (check.kind === 'rowCount' && (check.min ?? 0) > (check.max ?? Number.POSITIVE_INFINITY)))
    throw invalid('lake.empty_range', `${what} can never be met: ${describeCheck(check)}`, { hint: 'Put the smaller bound first.' })
  if (check.kind === 'matches') await checkPattern(connection, check, what)
  if (columns.length > 0) await rowCondition(connection, check, columns, what)
}

/** The condition as DuckDB reads it: as it stands, or with the columns quoted when a bare name is a word of SQL. */
async function readCondition(connection: DuckDBConnection, condition: string, columns: readonly string[], what: string): Promise<string> {
  const parse = (text: string): Promise<ParsedSelect> => parseSelect(connection, `select 1 where (${text}\n)`, what, () => columns)
  const quoted = quoteColumns(condition, columns)
  const [text, parsed] = await parse(condition).then(
    (found) => [condition, found] as const,
    async () => [quoted, await parse(quoted)] as const,
  )
  if (parsed.tables.length > 0)
    throw invalid('lake.expectation_sql', `${what} reads ${parsed.tables.join(', ')}`, {
      hint: 'Its condition is about the columns of one row; compare with other tables in the SQL.',
    })
  return text
}

function refuseUnknown(check: Check, columns: readonly string[], what: string): void {
  const known = new Set(columns.map((column) => column.toLowerCase()))
  const stranger = columnsOf(check).find((column) => !known.has(column.toLowerCase()))
  if (stranger === undefined) return
  const near = closest(stranger, columns)
  throw invalid('lake.unknown_column', `${what} names the column ${stranger}, which does not exist`, {
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The columns are: ${columns.join(', ')}.`,
  })
}

function literal(value: Bound | boolean): string {
  if (value instanceof Date) return `timestamptz ${quoteText(value.toISOString())}`
  return typeof value === 'string' ? quoteText(value) : String(value)
}

type Pattern = Extract<Check, { kind: 'matches' }>

/** JavaScript's way to write a few things in RE2's. */
function re2({ pattern, flags }: Pattern, what: string): string {
  const odd = [...flags].find((flag) => !'imsugd'.includes(flag))
  if (odd !== undefined) throw invalid('lake.pattern', `${what}: the flag ${odd} means nothing here`, { hint: 'Of the flags i, m, s and u are taken.' })
  const mode = [...flags].filter((flag) => 'ims'.includes(flag)).join('')
  const text = pattern
    .replaceAll(/\\u\{([0-9a-fA-F]+)\}|\\u([0-9a-fA-F]{4})/g, (_, braced: string | undefined, four: string | undefined) => `\\x{${braced ?? four}}`)
    .replaceAll(/(?<!\\)\(\?<(?![=!])/g, '(?P<')
    .replaceAll('\\/', '/')
  return mode === '' ? text : `(?${mode})${text}`
}

async function checkPattern(connection: DuckDBConnection, check: Pattern, what: string): Promise<void> {
  try {
    await connection.runAndReadAll(`select regexp_matches('', ${quoteText(re2(check, what))})`)
  } catch (cause) {
    if (cause instanceof LagoaError || !(cause instanceof Error)) throw cause
    throw invalid('lake.pattern', `${what}: the pattern /${check.pattern}/ cannot be read: ${cause.message.replace(/^.*?Error: /, '').split('\n')[0]}`, {
      hint: 'Patterns are those of RE2: no look-around ((?=...), (?<!...)) and no back references (\\1).',
      cause,
    })
  }
}
