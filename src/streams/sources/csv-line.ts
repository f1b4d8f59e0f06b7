/** One line of a CSV file: its cells, and the message that they make by the plan that the header allowed. */
import { invalid } from '../../base/index.ts'
import type { CsvColumn, CsvOptions } from './csv.ts'

export interface CsvPlan {
  readonly delimiter: string
  readonly decimal: '.' | ','
  /** How many cells each line must have. */
  readonly width: number
  readonly columns: readonly PlannedColumn[]
  readonly add: Readonly<Record<string, unknown>>
  readonly key: string | undefined
}

interface PlannedColumn {
  readonly field: string
  readonly index: number
  readonly number: boolean
}

/** A message, the reason why there is none, or null for a line that holds nothing. */
export type ReadLine = { readonly json: string; readonly key: string | null } | { readonly reason: string } | null

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Finds the wanted columns in the header line. */
export function planColumns(header: Buffer, options: CsvOptions): CsvPlan {
  const { path, delimiter = ';', decimal = '.', add = {}, key } = options
  const names = headerNames(header, delimiter, path)
  const repeated = names.find((name, index) => name !== '' && names.indexOf(name) !== index)
  if (repeated !== undefined)
    throw invalid('streams.csv_header', `${path} has two columns named ${repeated}`, { hint: 'Rename one of them in the header line.' })
  const wanted = options.columns ?? Object.fromEntries(names.filter((name) => name !== '').map((name) => [name, name]))
  const columns = Object.entries(wanted).map(([field, spec]): PlannedColumn => {
    const column: CsvColumn = typeof spec === 'string' || isList(spec) ? { from: spec } : spec
    const candidates = typeof column.from === 'string' ? [column.from] : column.from
    const index = candidates.map((name) => names.indexOf(name)).find((found) => found >= 0)
    if (index === undefined) {
      throw invalid('streams.csv_column', `${path} has no column ${candidates.join(' or ')}`, {
        hint: `Its columns are: ${names.filter(Boolean).join(', ')}. Check the delimiter too.`,
      })
    }
    return { field, index, number: column.type === 'number' }
  })
  return { delimiter, decimal, width: names.length, columns, add, key }
}

const isList = (spec: string | readonly string[] | CsvColumn): spec is readonly string[] => Array.isArray(spec)

function headerNames(header: Buffer, delimiter: string, path: string): string[] {
  let text: string
  try {
    text = withoutLineEnd(utf8.decode(header)).replace(/^\uFEFF/, '')
  } catch {
    throw invalid('streams.csv_header', `The header of ${path} is not UTF-8 text`, { hint: 'Convert it first: iconv -f latin1 -t utf-8 FILE (or -f utf-16).' })
  }
  if (text.trim() === '') throw invalid('streams.csv_header', `${path} has no header line`, { hint: 'The first line must name the columns.' })
  const names = splitLine(text, delimiter)
  if (names === null)
    throw invalid('streams.csv_header', `The header of ${path} has broken quotes`, {
      hint: 'Close each quoted name, and put nothing between its closing quote and the delimiter.',
    })
  return names.map((name) => name.trim())
}

export function readLine(bytes: Buffer, plan: CsvPlan): ReadLine {
  let text: string
  try {
    text = withoutLineEnd(utf8.decode(bytes))
  } catch {
    return { reason: 'the line is not valid UTF-8' }
  }
  if (text.trim() === '') return null
  const cells = splitLine(text, plan.delimiter)
  if (cells === null) return { reason: 'broken quotes: a quoted value is not closed on its line, or something follows its closing quote' }
  if (cells.every((cell) => cell.trim() === '')) return null
  if (cells.length !== plan.width) return { reason: `${plan.width} columns are wanted, this line has ${cells.length}` }
  const message: Record<string, unknown> = { ...plan.add }
  for (const { field, index, number } of plan.columns) {
    const cell = cells[index] ?? ''
    const value = number ? readNumber(cell.trim(), plan.decimal) : cell
    if (Number.isNaN(value)) return { reason: `${field}: ${JSON.stringify(cell.slice(0, 40))} is no number` }
    message[field] = value
  }
  const key = plan.key === undefined ? null : message[plan.key]
  return { json: JSON.stringify(message), key: key === null || key === undefined || key === '' ? null : String(key) }
}

/** The number, null for an empty cell, NaN for anything else: `1.234` is no number where the comma is the decimal sign. */
function readNumber(text: string, decimal: '.' | ','): number | null {
  if (text === '') return null
  if (!(decimal === ',' ? COMMA_NUMBER : POINT_NUMBER).test(text)) return Number.NaN
  const value = Number(decimal === ',' ? text.replace(',', '.') : text)
  return Number.isFinite(value) ? value : Number.NaN
}

const POINT_NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
const COMMA_NUMBER = /^[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?$/

const withoutLineEnd = (text: string): string => text.replace(/\r?\n$|\r$/, '')

/** The cells of one line (RFC 4180 quoting, without line ends inside quotes); null when its quotes are broken. */
export function splitLine(text: string, delimiter: string): string[] | null {
  if (!text.includes('"')) return text.split(delimiter)
  const cells: string[] = []
  let at = 0
  for (;;) {
    if (text[at] !== '"') {
      const end = text.indexOf(delimiter, at)
      cells.push(end < 0 ? text.slice(at) : text.slice(at, end))
      if (end < 0) return cells
      at = end + 1
      continue
    }
    let cell = ''
    for (at += 1; ; at += 2) {
      const quote = text.indexOf('"', at)
      if (quote < 0) return null
      cell += text.slice(at, quote)
      at = quote
      if (text[quote + 1] !== '"') break
      cell += '"'
    }
    cells.push(cell)
    at += 1
    if (at >= text.length) return cells
    if (text[at] !== delimiter) return null
    at += 1
  }
}
