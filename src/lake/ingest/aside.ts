/**
 * What could not be ingested, kept beside the table in `<table>_quarantine`: one row a bad line with its place, reason and text, and one
 * row without a line for a file that was refused as a whole. The rows belong to the file's content: ingesting it again replaces them.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { t, type Schema } from '../../base/index.ts'
import type { DeltaTable, Relation } from '../delta/index.ts'
import { quoteText } from '../sql.ts'
import { deltaFieldsOf } from '../stage.ts'

const ASIDE_FIELDS = {
  _file: t.string().nullable().describe('File that the line is in'),
  _line: t.long().nullable().describe('Number of the line, or of the record where there are no lines; null when the whole file was refused'),
  _byte: t.long().nullable().describe('Where in the unpacked file the line begins'),
  _column: t.string().nullable().describe('Columns at fault'),
  _error: t.string().nullable().describe('What is wrong'),
  _raw: t.string().nullable().describe('The line as it stands in the file'),
  _content: t.string().nullable().describe('Digest of the file'),
  _ingested_at: t.timestamp().nullable().describe('When it was read'),
} satisfies Schema

export interface Owner {
  readonly file: string
  readonly content: string
  readonly at: number
}

/** A SELECT of `line, byte, columns, error, raw` as the rows of a quarantine. */
export function asideRows(sql: string, { file, content, at }: Owner): string {
  return `select ${quoteText(file)} as _file, line::bigint as _line, byte::bigint as _byte, columns as _column, error as _error, raw as _raw, ${quoteText(content)} as _content, ${instant(at)} as _ingested_at from (${sql}\n)`
}

export const instant = (at: number): string => `make_timestamptz(${Math.round(at * 1000)})`

/** Puts these rows in the place of those that the contents had; `rows` null takes them away. */
export async function keepAside(
  quarantine: DeltaTable,
  table: string,
  owners: readonly Owner[],
  rows: Relation | null,
  connection: DuckDBConnection,
  signal?: AbortSignal,
): Promise<void> {
  const there = await quarantine.snapshot()
  if (!there && rows === null) return
  if (!there) await quarantine.create({ fields: deltaFieldsOf(ASIDE_FIELDS), description: `Lines and files that could not be ingested into ${table}` })
  const none = Object.keys(ASIDE_FIELDS).map((name) => `null as ${name}`)
  // A refusal of an earlier state of the file is over, whatever becomes of this one.
  const list = (texts: readonly string[]): string => (texts.length === 1 ? '= ' : 'in ') + `(${texts.map(quoteText).join(', ')})`
  const where = `_content ${list(owners.map(({ content }) => content))} or (_file ${list(owners.map(({ file }) => file))} and _line is null)`
  await quarantine.overwrite(rows ?? { connection, sql: `select ${none.join(', ')} where false` }, { where, ...(signal ? { signal } : {}) })
}

/** Files that were refused and not ingested since, with the reason. */
export async function refusals(
  quarantine: DeltaTable,
  connection: DuckDBConnection,
  most: number,
): Promise<{ readonly file: string; readonly error: string }[]> {
  const snapshot = await quarantine.snapshot()
  if (!snapshot?.metadata.fields.some(({ name }) => name === '_content')) return []
  const scan = await quarantine.scan(snapshot, { where: '_line is null' })
  const reader = await connection.runAndReadAll(
    `select _file, _error from (${scan}) where _line is null and _content is not null order by _ingested_at desc, _file limit ${most}`,
  )
  return reader.getRows().map(([file, error]) => ({ file: String(file), error: String(error) }))
}
