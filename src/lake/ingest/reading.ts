/**
 * Reads one prepared file into a Parquet file of the work folder, typed for the table that takes it, and says what in it is good, what is
 * bad and what the table has to become. Nothing of the table is touched here: a bad line found at the end costs no commit. A file without
 * anything to leave out is written as the table will have it, so that the table can take it as it is.
 */
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { conflict, invalid, LagoaError, overLimit, unavailable } from '../../base/index.ts'
import { writeParquet, type ParquetFile } from '../delta/index.ts'
import { interruptible } from '../interrupt.ts'
import { quoteName, quoteText } from '../sql.ts'
import { csvSql, isNotStrict, KEEP_REJECTS, sniffCsv, type CsvShape } from './csv.ts'
import { FILE_FIELDS, type FileFormat, type FileOptions } from './declare.ts'
import { openJson } from './json.ts'
import { KEPT_RAW, linesAt } from './lines.ts'
import { cleanNames } from './names.ts'
import { fitOf, INSTANT, storedColumns, type Column, type Fit } from './types.ts'

/** A column that the table has already. */
export interface KnownColumn extends Column {
  readonly nullable: boolean
}

export interface ReadRequest {
  readonly connection: DuckDBConnection
  /** For messages. */
  readonly name: string
  readonly file: string
  readonly format: FileFormat
  readonly bytes: number
  readonly options: FileOptions
  /** Types that were asked for, by the column's name in the table. */
  readonly asked: ReadonlyMap<string, string>
  /** The columns of the table; null when there is none yet. */
  readonly known: readonly KnownColumn[] | null
  readonly mayEvolve: boolean
  /** What each row carries beside the values of the file, as SQL. */
  readonly stamp: Stamp
  readonly work: string
  readonly signal: AbortSignal | undefined
}

/** SQL by column; the columns are those that every table of files has. For CSV the file that the row is in is `SOURCE`. */
export type Stamp = Readonly<Record<keyof typeof FILE_FIELDS, string>>

export interface Reading {
  /** A SELECT of the good rows, in the columns and types that the table will have. */
  readonly good: string
  /** The same with their stamp; also as a file when that holds nothing else. */
  readonly stamped: { readonly sql: string; readonly parquet?: ParquetFile }
  readonly columns: readonly Column[]
  /** A SELECT of `line, byte, columns, error, raw`; null when nothing is bad. */
  readonly bad: string | null
  readonly rows: number
  readonly badRows: number
  /** Rows without any value. */
  readonly blank: number
  /** Columns that the table does not have yet, and those whose type has to grow. */
  readonly added: readonly Column[]
  readonly widened: readonly Column[]
  readonly renamed: readonly { readonly from: string; readonly to: string }[]
  readonly notes: readonly string[]
}

export async function readFileInto(request: ReadRequest): Promise<Reading> {
  const { connection, name, format, signal } = request
  try {
    return format === 'csv' ? await readCsv(request) : await readNested(request)
  } catch (error) {
    signal?.throwIfAborted()
    throw explained(name, format, error)
  } finally {
    for (const table of REJECTS) await connection.run(`drop table if exists temp.${table}`)
  }
}

function explained(name: string, format: FileFormat, error: unknown): unknown {
  const text = error instanceof Error ? error.message : ''
  const found =
    /^(?:Invalid Input|Conversion|Binder|IO|Parser|Out of Range|Serialization|Not implemented) Error: ([^\n]*)/.exec(text)?.[1] ??
    /^(?:TProtocolException|Malformed JSON)[^\n]*/.exec(text)?.[0]
  if (/No space left|max_temp_directory_size/.test(text))
    return unavailable('storage.disk_full', `${name} could not be ingested, the disk is full`, {
      hint: 'Free some space, then ingest it again; nothing was committed.',
      cause: error,
    })
  if (text.startsWith('Out of Memory'))
    return overLimit('lake.ingest_memory', `${name} needs more memory than the lake may use`, {
      hint: 'Raise lake.memory in lagoa.config.ts, or ingest the file in parts.',
      cause: error,
    })
  if (found === undefined) return error
  return invalid('lake.file_unreadable', `${name} cannot be read as ${format}: ${found}`, {
    hint:
      format === 'csv'
        ? "Name its dialect: --delimiter ';' --header true --encoding latin1, for example; or --format."
        : 'Check the file, or name its format with --format.',
    cause: error,
  })
}

// --- columns: from the file's to the table's

interface Placed {
  /** In the staged rows. */
  readonly name: string
  /** As the table spells it. */
  readonly column: string
  /** What the staged values are, and what the table keeps. */
  readonly from: string
  readonly to: string
  readonly fit: Fit
  readonly isNew: boolean
  readonly nullable: boolean
}

/** Puts the file's columns beside the table's. A file that cannot go into the table is refused with the column at fault. */
function place(request: ReadRequest, columns: readonly Column[]): Placed[] {
  const { known, mayEvolve, name } = request
  const byName = new Map((known ?? []).map((column) => [column.name.toLowerCase(), column]))
  if (known && !columns.some((column) => byName.has(column.name.toLowerCase())))
    throw refused(
      name,
      `none of its columns (${listed(columns)}) is one of the table's (${listed(known)})`,
      'Is it the right table? A file without a header line is --header false.',
    )
  return columns.map((column): Placed => {
    const have = byName.get(column.name.toLowerCase())
    if (!have) {
      if (known && !mayEvolve)
        throw refused(
          name,
          `it has a column ${column.name}, which the table does not`,
          "Declare the column, or let the table follow its files with schema: 'evolve'.",
        )
      return { name: column.name, column: column.name, from: column.type, to: column.type, fit: 'same', isNew: true, nullable: true }
    }
    const fit = fitOf(column.type, have.type, mayEvolve)
    if (fit === 'never')
      throw refused(
        name,
        `its column ${column.name} is ${column.type}, the table keeps it as ${have.type}`,
        'Ingest it into another table, or give the column another name in the file.',
      )
    return {
      name: column.name,
      column: have.name,
      from: column.type,
      to: fit === 'widen' ? column.type : have.type,
      fit,
      isNew: false,
      nullable: have.nullable,
    }
  })
}

const listed = (columns: readonly Column[]): string =>
  columns
    .slice(0, 8)
    .map(({ name }) => name)
    .join(', ') + (columns.length > 8 ? ', ...' : '')

export const refused = (name: string, why: string, hint: string): LagoaError => conflict('lake.file_refused', `${name} was refused: ${why}`, { hint })

/** The staged value as the table keeps it. */
function kept({ name, from, to, fit }: Placed): string {
  const value = quoteName(name)
  if (from === to) return value
  if (fit === 'text') return /^(STRUCT|MAP)\(|\]$/.test(from) ? `to_json(${value})::varchar` : `cast(${value} as varchar)`
  return fit === 'try' ? `try_cast(${value} as ${to})` : `cast(${value} as ${to})`
}

/** A condition that is true when the table could not keep the staged value as it is; null when it always can. */
function misfit(column: Placed): string | null {
  const { name, from, to, fit, nullable } = column
  const value = quoteName(name)
  const absent = nullable ? null : `${value} is null`
  if (fit !== 'try' || from === to) return absent
  const whole = to.endsWith('INT') ? ` or not regexp_full_match(trim(${value}), '[+-]?[0-9]+')` : ''
  const changed =
    from === 'VARCHAR'
      ? `(${value} is not null and (${kept(column)} is null${whole}))`
      : // There and back: what rounds, or loses an inner field, does not fit.
        `(${value} is not null and try_cast(${kept(column)} as ${from}) is distinct from ${value})`
  return absent === null ? changed : `(${absent} or ${changed})`
}

const mayMisfit = (column: Placed, staged: ParquetFile): boolean => (column.fit === 'try' && column.from !== column.to) || nullsOf(column, staged) !== 0

const STAMPS = Object.keys(FILE_FIELDS).map(quoteName)

// --- CSV

/** A guessed type that fails for more than this share of the lines was the wrong guess; below, the lines are. */
const WRONG_GUESS = 0.01
const ROUNDS = 4

async function readCsv(request: ReadRequest): Promise<Reading> {
  const { connection, file, bytes, options, signal } = request
  if (bytes === 0) return NOTHING
  const shape = await interruptible(connection, signal, () => sniffCsv(connection, file, bytes, options))
  try {
    return await readShaped(request, shape)
  } catch (error) {
    signal?.throwIfAborted()
    // The lines that were sniffed kept to the standard, a later one does not.
    if (!shape.strict || !isNotStrict(error)) throw error
    return readShaped(request, { ...shape, strict: false })
  }
}

async function readShaped(request: ReadRequest, shape: CsvShape): Promise<Reading> {
  const { asked, work, signal } = request
  const to = join(work, STAGED)
  /** What columns turned out to be instead of what they looked like. */
  const seen = new Map<string, string>()
  const fractions = new Set<string>()
  /** Whether whole numbers are judged as they are read. One that is none ends the reading then, and the next finds out what they are. */
  let quick = true
  for (let round = 1; ; round++) {
    const looks = shape.columns.map(({ name, type }) => ({ name, type: asked.get(name) ?? seen.get(name) ?? type }))
    const placed = place(request, looks.map(asInstant)).map((column): Placed =>
      fractions.has(column.name) ? { ...column, from: 'VARCHAR', fit: 'try' } : column,
    )
    const types = new Map(placed.map((column, i) => [column.name, readAs(column, looks[i]?.type ?? 'VARCHAR', fractions)]))
    const isGuess = new Set(placed.flatMap(({ isNew, name }) => (isNew && !asked.has(name) ? [name] : [])))
    const isSure = (name: string): boolean => shape.isWhole && shape.columns.some((column) => column.name === name && WHOLE_NUMBER.test(column.type))
    const whole = placed.flatMap(({ name }) => (WHOLE_NUMBER.test(types.get(name) ?? '') && !isSure(name) ? [name] : []))
    let staged: ParquetFile
    try {
      staged = await stageCsv(request, csvRows(request, shape, placed, types, quick ? new Set(whole) : NONE), to)
    } catch (error) {
      signal?.throwIfAborted()
      if (!quick || whole.length === 0 || isNotStrict(error)) throw error
      quick = false
      round--
      continue
    }
    const broken = quick ? [] : await withFractions(request, shape, whole)
    const wrong = round < ROUNDS ? await wrongGuesses(request, staged.rows, isGuess) : []
    if (wrong.length + broken.length === 0)
      return csvReading(
        request,
        shape,
        placed.map((column) => (fractions.has(column.name) ? column : { ...column, from: column.to })),
        staged,
      )
    for (const name of broken)
      if (isGuess.has(name)) seen.set(name, 'DOUBLE')
      else fractions.add(name)
    for (const name of wrong) if (!broken.includes(name)) seen.set(name, types.get(name) === 'BIGINT' ? 'DOUBLE' : 'VARCHAR')
  }
}

const NONE: ReadonlySet<string> = new Set()
const asInstant = ({ name, type }: Column): Column => ({ name, type: type === 'TIMESTAMP' ? INSTANT : type })

const WHOLE_NUMBER = /^(TINYINT|SMALLINT|INTEGER|BIGINT)$/

/** The type in which `read_csv` reads a column. */
function readAs({ name, fit, to }: Placed, looks: string, fractions: ReadonlySet<string>): string {
  if (fractions.has(name) || fit === 'text') return 'VARCHAR'
  if (to === 'DOUBLE' && WHOLE_NUMBER.test(looks)) return to
  return fit === 'try' ? to : looks
}

/** Columns read as whole numbers that hold 1.5 or 2e-3 somewhere: `read_csv` would round them without a word. */
async function withFractions({ connection, signal }: ReadRequest, shape: CsvShape, names: readonly string[]): Promise<string[]> {
  if (names.length === 0) return []
  const text = csvSql(shape, new Map(shape.columns.map(({ name }) => [name, 'VARCHAR'])), [
    'ignore_errors=true',
    ...(shape.strict ? [] : ['strict_mode=false']),
  ])
  // The cheap look comes first: most columns have no such letter anywhere.
  const tests = names.map((name) => {
    const value = quoteName(name)
    return `bool_or((contains(${value}, '.') or contains(${value}, 'e') or contains(${value}, 'E')) and try_cast(${value} as bigint) is not null)`
  })
  const row = (await interruptible(connection, signal, () => connection.runAndReadAll(`select ${tests.join(', ')} from ${text}`))).getRows()[0] ?? []
  return names.filter((_, i) => row[i] === true)
}

/** The column, while a CSV file is read, with the path of the file. No column of a table has a space in its name. */
export const SOURCE = 'source file'

/**
 * Reads small CSV files as one, which have the first one's header and so are taken to be of its shape. Null when one of them is not, or has
 * anything in it that takes more than adding its rows: then each is to be read by itself.
 */
export async function readTogether(request: ReadRequest, files: readonly string[]): Promise<Reading | null> {
  const { connection, file, bytes, options, asked, signal, work } = request
  try {
    const sniffed = await interruptible(connection, signal, () => sniffCsv(connection, file, bytes, options))
    if (!sniffed.strict || !sniffed.startsWithHeader) return null
    const shape = { ...sniffed, files }
    const looks = shape.columns.map(({ name, type }) => ({ name, type: asked.get(name) ?? type }))
    const placed = place(request, looks.map(asInstant))
    if (placed.some(({ fit }) => fit === 'widen')) return null
    const types = new Map(placed.map((column, i) => [column.name, readAs(column, looks[i]?.type ?? 'VARCHAR', NONE)]))
    const whole = new Set([...types].flatMap(([name, type]) => (WHOLE_NUMBER.test(type) ? [name] : [])))
    const staged = await stageCsv(request, csvRows(request, shape, placed, types, whole), join(work, STAGED))
    if ((await countOf(connection, 'select * from temp.reject_errors limit 1')) > 0) return null
    const fitting = placed.map((column): Placed => ({ ...column, from: column.to }))
    const reading = await csvReading(request, shape, fitting, staged)
    return reading.badRows > 0 ? null : reading
  } catch {
    signal?.throwIfAborted()
    return null
  } finally {
    for (const table of REJECTS) await connection.run(`drop table if exists temp.${table}`)
  }
}

const NOTHING: Reading = {
  good: '',
  stamped: { sql: '' },
  columns: [],
  bad: null,
  rows: 0,
  badRows: 0,
  blank: 0,
  added: [],
  widened: [],
  renamed: [],
  notes: [],
}

/**
 * A SELECT of a CSV file's rows as they are staged. `judged` names columns of whole numbers that may hold something else: `read_csv` would
 * round it, so they are read as text, and what is no whole number fails the statement.
 */
function csvRows({ stamp }: ReadRequest, shape: CsvShape, placed: readonly Placed[], types: ReadonlyMap<string, string>, judged: ReadonlySet<string>): string {
  const texts = new Map([...types].map(([name, type]) => [name, judged.has(name) ? 'VARCHAR' : type]))
  const number = (name: string): string => quoteName(`number ${name}`)
  const numbers = [...judged].map((name) => `, cast(${quoteName(name)} as ${types.get(name)}) as ${number(name)}`)
  const values = placed.map((column) => {
    const { name, to, fit } = column
    const read = types.get(name)
    const value = judged.has(name) ? wholeNumber(quoteName(name), number(name)) : quoteName(name)
    // Text that may not fit stays text until it is judged.
    return `${read === to || (fit === 'try' && column.from === read) ? value : castTo(value, read, to)} as ${quoteName(column.column)}`
  })
  const from = csvSql(shape, texts, [...KEEP_REJECTS, `filename=${quoteText(SOURCE)}`, ...(shape.strict ? [] : ['strict_mode=false'])])
  return `select ${[...values, ...stampsOf(stamp)].join(', ')} from (select *${numbers.join('')} from ${from})`
}

/** The cheap look comes first: most whole numbers are written as they are printed. */
const wholeNumber = (text: string, number: string): string =>
  `case when cast(${number} as varchar) is not distinct from ${text} then ${number} when regexp_full_match(trim(${text}), '[+-]?[0-9]+') then ${number} else error('no whole number') end`

/** A cast between the two kinds of times goes through a calendar, which is slow, and changes nothing in UTC. */
const castTo = (value: string, from: string | undefined, to: string): string =>
  from === 'TIMESTAMP' && to === INSTANT ? `coalesce(make_timestamptz(epoch_us(${value})), cast(${value} as ${to}))` : `cast(${value} as ${to})`

async function stageCsv(request: ReadRequest, sql: string, to: string): Promise<ParquetFile> {
  for (const table of REJECTS) await request.connection.run(`drop table if exists temp.${table}`)
  return stage(request, sql, to)
}

/** The rows as they were read, in the work folder. */
export const STAGED = 'rows.parquet'

const REJECTS = ['reject_errors', 'reject_scans']

const stampsOf = (stamp: Stamp): string[] => Object.entries(stamp).map(([name, value]) => `${value} as ${quoteName(name)}`)

async function stage({ connection, signal }: ReadRequest, sql: string, to: string): Promise<ParquetFile> {
  return interruptible(connection, signal, () => writeParquet({ connection, sql }, to, signal))
}

async function wrongGuesses({ connection }: ReadRequest, rows: number, guessed: ReadonlySet<string>): Promise<string[]> {
  if (guessed.size === 0) return []
  const reader = await connection.runAndReadAll(
    `select column_name, count(*) from temp.reject_errors where error_type = 'CAST' group by 1 having count(*) > ${WRONG_GUESS * rows}`,
  )
  return reader.getRows().flatMap(([name]) => (typeof name === 'string' && guessed.has(name) ? [name] : []))
}

/** Bad lines up to this number are told by their line in the file; of more, by their place among the records. */
const LINES_COUNTED = 200_000

async function csvReading(request: ReadRequest, shape: CsvShape, placed: readonly Placed[], staged: ParquetFile): Promise<Reading> {
  const dropped = emptyColumns(shape, placed, staged)
  const rejected = await badLines(request)
  const reading = await judged(
    request,
    placed.filter(({ name }) => !dropped.has(name)),
    staged,
    true,
    rejected,
  )
  // The file still has the columns that are left out.
  const stamped = dropped.size > 0 ? { sql: reading.stamped.sql } : reading.stamped
  return { ...reading, stamped, renamed: renamedIn(shape), notes: notesOn(shape, dropped) }
}

const renamedIn = (shape: CsvShape): Reading['renamed'] =>
  shape.columns.flatMap(({ source, name }) => (source === null || source === name ? [] : [{ from: source, to: name }]))

const notesOn = (shape: CsvShape, dropped: ReadonlySet<string>): string[] => [
  ...shape.notes,
  ...(dropped.size > 0 ? [`${dropped.size} columns without name and values left out`] : []),
]

/** A trailing delimiter makes a column without a name; one that also has no value anywhere is none. */
function emptyColumns(shape: CsvShape, placed: readonly Placed[], staged: ParquetFile): ReadonlySet<string> {
  const unnamed = new Set(shape.columns.flatMap(({ source, name }) => (source === null ? [name] : [])))
  if (unnamed.size === shape.columns.length) return NONE
  return new Set(placed.flatMap((column) => (unnamed.has(column.name) && nullsOf(column, staged) === staged.rows ? [column.name] : [])))
}

/** How many nulls there are in a staged column; null when nobody counted them. */
function nullsOf({ column }: Placed, staged: ParquetFile): number | null {
  const count = staged.leaves.get(quoteName(column))?.null_count
  return count === undefined ? (staged.rows === 0 ? 0 : null) : Number(count)
}

/** The lines that DuckDB refused, once each, with their place in the file. */
async function badLines({ connection, file, work, signal }: ReadRequest): Promise<{ readonly sql: string; readonly count: number } | null> {
  const kept = join(work, 'bad.parquet')
  // What is said to begin with the end of the line before begins one byte later.
  const lines = `select line_byte_position - 1 + case when any_value(csv_line)[1] = chr(10) then 1 else 0 end as byte, min(line) as line, string_agg(distinct column_name, ', ' order by column_name) as columns,
      string_agg(distinct what, '; ' order by what) as error,
      left(trim(any_value(csv_line), chr(10) || chr(13)), ${KEPT_RAW}) as raw
    from (select *, case error_type when 'CAST' then error_message else lower(error_type) || ': ' || error_message end as what from temp.reject_errors) group by line_byte_position`
  const bytes = (await connection.runAndReadAll(`select byte from (${lines}) order by byte limit ${LINES_COUNTED + 1}`)).getRows().map(([byte]) => Number(byte))
  if (bytes.length === 0) return null
  const counted = bytes.length <= LINES_COUNTED
  const places = counted ? await linesAt(file, bytes, signal) : []
  const placed = `select * replace (places.line as line) from (${lines}) as bad join (select unnest([${bytes.join(', ')}]::bigint[]) as at, unnest([${places.join(', ')}]::bigint[]) as line) as places on places.at = bad.byte`
  await connection.run(`copy (select line, byte, columns, error, raw from (${counted ? placed : lines}) order by byte) to ${quoteText(kept)} (format parquet)`)
  const sql = `select line, byte, columns, error, raw from read_parquet(${quoteText(kept)})`
  return { sql, count: counted ? bytes.length : await countOf(connection, sql) }
}

// --- JSON and Parquet

async function readNested(request: ReadRequest): Promise<Reading> {
  const { connection, file, format, bytes, work, signal } = request
  if (bytes === 0) return NOTHING
  const source =
    format === 'parquet'
      ? { reads: [`select * from read_parquet(${quoteText(file)})`], bad: null, values: null }
      : await openJson(connection, file, bytes, format, work, signal)
  const to = join(work, STAGED)
  let failure: unknown
  for (const read of source.reads) {
    try {
      const columns = await interruptible(connection, signal, () => storedColumns(connection, read))
      const names = cleanNames(columns.map(({ name }) => name))
      const placed = place(
        request,
        columns.map(({ type }, i) => ({ name: names[i] ?? '', type })),
      )
      const values = placed.map((column, i) => `${columns[i]?.value ?? 'null'} as ${quoteName(column.column)}`)
      const staged = await stage(request, `select ${[...values, ...stampsOf(request.stamp)].join(', ')} from (${read})`, to)
      const bad = source.bad === null ? null : { sql: source.bad, count: await countOf(connection, source.bad) }
      const reading = await judged(request, placed, staged, false, bad)
      return { ...reading, renamed: columns.flatMap(({ name }, i) => (name === names[i] ? [] : [{ from: name, to: names[i] ?? '' }])) }
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof LagoaError) throw error
      if (source.values !== null && error instanceof Error && error.message.includes('non-record JSON')) {
        const values = Number((await connection.runAndReadAll(source.values)).getRows()[0]?.[0] ?? 0)
        if (values === 0 && source.bad === null) return NOTHING
        throw refused(request.name, 'there is no JSON object with fields in it', 'Each row is an object: {"id": 1, ...}, one a line, or in an array.')
      }
      failure = error
    }
  }
  throw failure
}

// --- good and bad rows

const countOf = async (connection: DuckDBConnection, sql: string): Promise<number> =>
  Number((await connection.runAndReadAll(`select count(*) from (${sql}\n)`)).getRows()[0]?.[0] ?? 0)

async function judged(
  { connection, name, signal }: ReadRequest,
  placed: readonly Placed[],
  staged: ParquetFile,
  blanks: boolean,
  lines: { readonly sql: string; readonly count: number } | null,
): Promise<Reading> {
  const countsOf = async (sql: string): Promise<number[]> =>
    ((await interruptible(connection, signal, () => connection.runAndReadAll(sql))).getRows()[0] ?? []).map(Number)
  const rows = `read_parquet(${quoteText(staged.file)}, file_row_number=true)`
  const faults = placed.flatMap((column) => {
    const condition = mayMisfit(column, staged) ? misfit(column) : null
    return condition === null ? [] : [{ column, condition }]
  })
  const mayBeBlank = blanks && placed.every((column) => nullsOf(column, staged) !== 0)
  const blank = mayBeBlank ? `(${placed.map((column) => `${quoteName(column.name)} is null`).join(' and ')})` : 'false'
  const faulty = faults.length === 0 ? 'false' : `(${faults.map(({ condition }) => `coalesce(${condition}, false)`).join(' or ')})`
  const [all, empty, unfit] =
    mayBeBlank || faults.length > 0
      ? await countsOf(`select count(*), count(*) filter (where ${blank}), count(*) filter (where not ${blank} and ${faulty}) from ${rows}`)
      : [staged.rows, 0, 0]
  const rowsLeft = (all ?? 0) - (empty ?? 0) - (unfit ?? 0)
  const badRows = (unfit ?? 0) + (lines?.count ?? 0)
  const fault = `concat_ws(', ', ${faults.map(({ column, condition }) => `case when ${condition} then ${quoteText(column.column)} end`).join(', ')})`
  const why = `concat_ws('; ', ${faults.map(({ column, condition }) => `case when ${condition} then coalesce(left(${quoteName(column.name)}::varchar, 60), 'null') || ${quoteText(` does not fit ${column.to}${column.nullable ? '' : ' without nulls'}`)} end`).join(', ')})`
  const unfitRows = `select file_row_number + 1 as line, null::bigint as byte, ${fault} as columns, ${why} as error, left(to_json({${placed.map((column) => `${quoteText(column.name)}: ${quoteName(column.name)}`).join(', ')}})::varchar, ${KEPT_RAW}) as raw from ${rows} where not ${blank} and ${faulty}`
  const bad = [...(lines ? [lines.sql] : []), ...((unfit ?? 0) > 0 ? [unfitRows] : [])]
  if (badRows > rowsLeft) throw await mostlyBad(connection, name, rowsLeft, badRows, bad)
  const values = placed.map((column) => `${kept(column)} as ${quoteName(column.column)}`)
  const good = `from ${rows} where not ${blank} and not ${faulty}`
  const isWhole = rowsLeft === staged.rows && placed.every(({ from, to }) => from === to)
  return {
    good: `select ${values.join(', ')} ${good}`,
    stamped: {
      sql: `select ${[...values, ...STAMPS].join(', ')} ${good}`,
      ...(isWhole ? { parquet: staged } : {}),
    },
    columns: placed.map(({ column, to }) => ({ name: column, type: to })),
    bad: bad.length === 0 ? null : bad.join(' union all '),
    rows: rowsLeft,
    badRows,
    blank: empty ?? 0,
    added: placed.filter(({ isNew }) => isNew).map(({ column, to }) => ({ name: column, type: to })),
    widened: placed.filter(({ fit }) => fit === 'widen').map(({ column, to }) => ({ name: column, type: to })),
    renamed: [],
    notes: [],
  }
}

/** When more lines are bad than good it is the reading that is wrong, or the file. */
async function mostlyBad(connection: DuckDBConnection, name: string, good: number, bad: number, sql: readonly string[]): Promise<LagoaError> {
  const first = (await connection.runAndReadAll(`select line, error from (${sql.join(' union all ')}) order by line limit 1`)).getRows()[0] ?? []
  return refused(
    name,
    `${bad} of its ${good + bad} lines cannot be read, the first one is line ${String(first[0])}: ${String(first[1]).slice(0, 300)}`,
    "Name its dialect (--delimiter ';' --decimal ',' --header false) or the types of its columns (--columns 'a:string'), and ingest it again.",
  )
}
