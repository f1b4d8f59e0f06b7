/**
 * CSV: DuckDB's sniffer tells the dialect and the types, from the whole file when it is small and from its beginning when it is large.
 * The read is then spelled out to the last option, so that nothing is guessed twice.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { isNode } from '../tree.ts'
import { quoteName, quoteText } from '../sql.ts'
import type { FileOptions } from './declare.ts'
import { firstBytes } from './format.ts'
import { cleanNames } from './names.ts'

/** Files up to this size are sniffed as a whole. */
const SNIFF_WHOLE = 16 * 1024 * 1024
const SAMPLE_ROWS = 100_000

export interface CsvColumn {
  /** As the file has it; null when the file gives it no name. */
  readonly source: string | null
  /** As the table can have it. */
  readonly name: string
  /** What its values look like. */
  readonly type: string
}

export interface CsvShape {
  /** Files of this shape, read one after the other. */
  readonly files: readonly string[]
  readonly columns: readonly CsvColumn[]
  /** Options of `read_csv`, as SQL. */
  readonly dialect: readonly string[]
  readonly notes: readonly string[]
  /** All lines were looked at. */
  readonly isWhole: boolean
  /** Line ends are of one kind and quotes are those of RFC 4180. */
  readonly strict: boolean
  /** The first line names the columns, and no line is a comment. */
  readonly startsWithHeader: boolean
}

export async function sniffCsv(connection: DuckDBConnection, file: string, bytes: number, options: FileOptions): Promise<CsvShape> {
  const isWhole = bytes <= SNIFF_WHOLE
  let strict = true
  const sniff = async (decimal: '.' | ','): Promise<Sniffed> => {
    const asked = { ...options, decimal }
    const sample = isWhole ? -1 : SAMPLE_ROWS
    if (!strict) return sniffed(connection, file, sample, asked, strict)
    return sniffed(connection, file, sample, asked, true).catch((error: unknown) => {
      if (!isNotStrict(error)) throw error
      strict = false
      return sniffed(connection, file, sample, asked, false)
    })
  }
  const hasQuotes = (await firstBytes(file, 1024 * 1024)).includes(0x22)
  const shaped = (found: Sniffed, decimal: '.' | ','): CsvShape => shapeOf(file, found, decimal, options, { isWhole, strict, hasQuotes })
  if (options.decimal !== undefined) return withLongNumbers(connection, shaped(await sniff(options.decimal), options.decimal))
  const point = await sniff('.')
  // Where a comma divides the values, it cannot divide the decimals.
  const comma = point.delimiter === ',' ? null : await sniff(',')
  const gain = comma === null ? -1 : numbers(comma) - numbers(point)
  const isComma = gain > 0 || (gain === 0 && (await hasCommas(connection, shaped(point, '.'))))
  return withLongNumbers(connection, isComma && comma ? shaped(comma, ',') : shaped(point, '.'))
}

function shapeOf(
  file: string,
  best: Sniffed,
  decimal: '.' | ',',
  options: FileOptions,
  { isWhole, strict, hasQuotes }: { readonly isWhole: boolean; readonly strict: boolean; readonly hasQuotes: boolean },
): CsvShape {
  const quote = options.quote ?? (best.quote === '' && !hasQuotes ? '"' : best.quote)
  const dialect = [
    `delim=${quoteText(best.delimiter)}`,
    `quote=${quoteText(quote)}`,
    `escape=${quoteText(best.escape === '' ? quote : best.escape)}`,
    `comment=${quoteText(best.comment)}`,
    `header=${best.header}`,
    `skip=${best.skip}`,
    `decimal_separator=${quoteText(decimal)}`,
    ...(best.dateFormat === null ? [] : [`dateformat=${quoteText(best.dateFormat)}`]),
    ...(best.timestampFormat === null ? [] : [`timestampformat=${quoteText(best.timestampFormat)}`]),
    ...nulls(options),
  ]
  const names = cleanNames(best.columns.map(({ name }) => name))
  const columns = best.columns.map(({ name, type }, i) => ({
    source: !best.header || name === `column${i}` || name === `column${String(i).padStart(2, '0')}` ? null : name,
    name: names[i] ?? name,
    type: type === 'TIME' ? 'VARCHAR' : type,
  }))
  return {
    files: [file],
    columns,
    dialect,
    isWhole,
    strict,
    startsWithHeader: best.header && best.skip === 0 && best.comment === '',
    notes: [
      `delimiter ${JSON.stringify(best.delimiter)}`,
      ...(decimal === ',' ? ['decimal comma'] : []),
      ...(best.header ? [] : ['no header']),
      ...(best.skip > 0 ? [`${best.skip} lines above the header left out`] : []),
      ...(best.dateFormat === null ? [] : [`dates ${best.dateFormat}`]),
    ],
  }
}

/** One bad value makes text of a column to the sniffer: then most values with a comma or a point in them tell which divides the decimals. */
async function hasCommas(connection: DuckDBConnection, shape: CsvShape): Promise<boolean> {
  const texts = shape.columns.filter(({ type }) => type === 'VARCHAR')
  if (texts.length === 0) return false
  const all = (pattern: string, not: string): string =>
    texts
      .map(({ name }) => `count(*) filter (where regexp_full_match(${quoteName(name)}, '${pattern}') and not regexp_full_match(${quoteName(name)}, '${not}'))`)
      .join(' + ')
  const rows = `(select * from ${csvSql(shape, new Map(shape.columns.map(({ name }) => [name, 'VARCHAR'])), tolerant(shape))} limit ${SAMPLE_ROWS})`
  // 1,234 may as well be a thousand.
  const sql = `select ${all('[+-]?[0-9]+,[0-9]+', '[+-]?[0-9]{1,3},[0-9]{3}')}, ${all('[+-]?[0-9]+[.][0-9]+', '')} from ${rows}`
  const [commas, points] = ((await connection.runAndReadAll(sql)).getRows()[0] ?? []).map(Number)
  return (commas ?? 0) > (points ?? 0)
}

const tolerant = ({ strict }: CsvShape): string[] => ['ignore_errors=true', ...(strict ? [] : ['strict_mode=false'])]

interface Sniffed {
  readonly delimiter: string
  readonly quote: string
  readonly escape: string
  readonly comment: string
  readonly header: boolean
  readonly skip: number
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly dateFormat: string | null
  readonly timestampFormat: string | null
}

const numbers = ({ columns }: Sniffed): number => columns.filter(({ type }) => type === 'DOUBLE' || type === 'BIGINT').length

const nulls = ({ null: texts }: FileOptions): string[] => (texts === undefined ? [] : [`nullstr=[${['', ...texts].map(quoteText).join(', ')}]`])

async function sniffed(connection: DuckDBConnection, file: string, sample: number, options: FileOptions, strict: boolean): Promise<Sniffed> {
  const given = [
    `sample_size=${sample}`,
    `decimal_separator=${quoteText(options.decimal ?? '.')}`,
    // Lines that break the dialect must not hide it.
    'ignore_errors=true',
    ...(strict ? [] : ['strict_mode=false']),
    ...(options.delimiter === undefined ? [] : [`delim=${quoteText(options.delimiter)}`]),
    ...(options.quote === undefined ? [] : [`quote=${quoteText(options.quote)}`]),
    ...(options.header === undefined ? [] : [`header=${options.header}`]),
    ...(options.skip === undefined ? [] : [`skip=${options.skip}`]),
    ...(options.dateFormat === undefined ? [] : [`dateformat=${quoteText(options.dateFormat)}`]),
    ...(options.timestampFormat === undefined ? [] : [`timestampformat=${quoteText(options.timestampFormat)}`]),
    ...nulls(options),
  ]
  const reader = await connection.runAndReadAll(
    `select Delimiter as delimiter, Quote as quote, Escape as escape, Comment as comment, HasHeader as header, SkipRows as skip, Columns as columns, DateFormat as dates, TimestampFormat as times from sniff_csv(${quoteText(file)}, ${given.join(', ')})`,
  )
  const row = reader.getRowObjectsJson()[0] ?? {}
  const text = (value: unknown): string => (typeof value === 'string' && value !== '(empty)' ? value : '')
  const format = (value: unknown, asked: string | undefined): string | null => asked ?? (typeof value === 'string' && value !== '' ? value : null)
  return {
    delimiter: text(row.delimiter) || ',',
    quote: text(row.quote),
    escape: text(row.escape),
    comment: text(row.comment),
    header: row.header === true,
    skip: Number(row.skip ?? 0),
    columns: Array.isArray(row.columns)
      ? row.columns.flatMap((column: unknown) => (isNode(column) ? [{ name: String(column.name), type: String(column.type) }] : []))
      : [],
    dateFormat: format(row.dates, options.dateFormat),
    timestampFormat: format(row.times, options.timestampFormat),
  }
}

/** Whole numbers that neither a BIGINT nor a DOUBLE holds exactly (card numbers, barcodes) are text. */
async function withLongNumbers(connection: DuckDBConnection, shape: CsvShape): Promise<CsvShape> {
  const doubles = shape.columns.filter(({ type }) => type === 'DOUBLE')
  if (doubles.length === 0) return shape
  const tests = doubles.map(({ name }) => `bool_or(regexp_full_match(${quoteName(name)}, '[+-]?[0-9]{16,}'))`)
  const all = csvSql(shape, new Map(shape.columns.map(({ name }) => [name, 'VARCHAR'])), tolerant(shape))
  const row = (await connection.runAndReadAll(`select ${tests.join(', ')} from (select * from ${all} limit ${SAMPLE_ROWS})`)).getRows()[0] ?? []
  const long = new Set(doubles.filter((_, i) => row[i] === true).map(({ name }) => name))
  return { ...shape, columns: shape.columns.map((column) => (long.has(column.name) ? { ...column, type: 'VARCHAR' } : column)) }
}

/** A call of `read_csv` that gives these columns; columns without a type in the map have the one they look like. */
export function csvSql({ files, columns, dialect }: CsvShape, types: ReadonlyMap<string, string>, more: readonly string[]): string {
  const list = columns.map(({ name, type }) => `${quoteText(name)}: ${quoteText(types.get(name) ?? type)}`)
  return `read_csv(${[`[${files.map(quoteText).join(', ')}]`, 'auto_detect=false', ...dialect, `columns={${list.join(', ')}}`, ...more].join(', ')})`
}

/** Keeps lines that cannot be read in the temporary table `reject_errors`. */
export const KEEP_REJECTS: readonly string[] = ['store_rejects=true', 'rejects_limit=0']

/** DuckDB's answer to a file whose line ends are of two kinds, or whose quotes are not those of RFC 4180. */
export const isNotStrict = (error: unknown): boolean => error instanceof Error && error.message.includes('strict mode')
