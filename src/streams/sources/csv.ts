/**
 * A CSV file as a source. It reads in blocks, never the whole file, and remembers how many bytes it took and their digest, so it
 * goes on exactly after its last stored record, also when the file has grown; a file that differs in what was taken is another file.
 */
import { createHash, type Hash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { errno, invalid, missing, toLagoaError } from '../../base/index.ts'
import { MAX_RECORD_BYTES } from '../decode.ts'
import type { Source, SourceBatch } from './source.ts'

export interface CsvOptions {
  readonly path: string
  readonly delimiter?: string
  /** The decimal sign of numbers in `number` columns, '.' by default. */
  readonly decimal?: '.' | ','
  /** Field of the message -> name or names (the first that the header has) of its column; all columns as text when absent. */
  readonly columns?: Readonly<Record<string, string | readonly string[] | CsvColumn>>
  /** The message's field that is the record key. */
  readonly key?: string
  /** Fields that every message gets. */
  readonly add?: Readonly<Record<string, unknown>>
}

export interface CsvColumn {
  readonly from: string | readonly string[]
  readonly type?: 'text' | 'number'
}

const BLOCK = 256 * 1024

export function csv(options: CsvOptions): Source {
  const { path, delimiter = ';', decimal = '.' } = options
  if (delimiter.length !== 1) throw invalid('streams.csv_delimiter', `"${delimiter}" cannot separate CSV columns`, { hint: "Use one character, such as delimiter: ';'." })
  return {
    kind: 'csv',
    ends: true,
    /** The header and the first record name the file; what was taken of it is compared when it is read again. */
    async identity() {
      const file = await openFile(path)
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(BLOCK), 0, BLOCK, 0)
        const head = buffer.subarray(0, bytesRead)
        const firstEnd = head.indexOf(NEWLINE)
        const secondEnd = firstEnd < 0 ? -1 : head.indexOf(NEWLINE, firstEnd + 1)
        const digest = createHash('sha256').update(head.subarray(0, secondEnd < 0 ? bytesRead : secondEnd)).digest('hex').slice(0, 24)
        return `csv:${digest}`
      } finally {
        await file.close()
      }
    },
    async *read({ resume, batch, signal }): AsyncGenerator<SourceBatch> {
      const file = await openFile(path)
      try {
        const taken = createHash('sha256')
        const from = position(resume?.note)
        if (from) await skipTaken(file, from.bytes, taken, from.digest, path)
        const header = await readHeader(file, path)
        const columns = planColumns(splitLine(header.text, delimiter) ?? [], options, path)
        let at = from?.bytes ?? header.bytes
        if (!from) taken.update(header.raw)
        let line = from?.line ?? 1
        let blank = from?.blank ?? 0
        let sequence = resume?.sequence ?? 0
        let values: string[] = []
        let keys: (string | null)[] = []
        let broken: { line: number; bytes: Uint8Array; reason: string }[] = []
        const emit = (): SourceBatch => {
          const yielded = { sequence, note: { bytes: at, line, blank, digest: taken.copy().digest('hex') }, values, keys: options.key ? keys : null, broken, blank }
          values = []
          keys = []
          broken = []
          return yielded
        }
        for await (const raw of lines(file, at, signal)) {
          taken.update(raw.bytes)
          at += raw.bytes.length
          line++
          const read = raw.tooLong ? { reason: `the line has more than ${MAX_RECORD_BYTES} bytes` } : readLine(raw.bytes, delimiter, decimal, columns, options)
          if (read === null) blank++
          else if ('reason' in read) broken.push({ line, bytes: raw.bytes.subarray(0, MAX_RECORD_BYTES / 4), reason: read.reason })
          else {
            values.push(read.json)
            keys.push(read.key)
            sequence++
          }
          if (values.length >= batch || broken.length >= 1000) yield emit()
        }
        // The last yield also stores how many blank lines there were, though no record follows them.
        if (values.length > 0 || broken.length > 0) yield emit()
        else yield { sequence, note: {}, values: [], keys: null, blank }
      } finally {
        await file.close()
      }
    },
  }
}

const NEWLINE = 0x0a
const utf8 = new TextDecoder('utf-8', { fatal: true })

async function openFile(path: string): Promise<FileHandle> {
  try {
    const file = await open(path, 'r')
    if ((await file.stat()).isDirectory()) {
      await file.close()
      throw invalid('streams.csv_is_folder', `${path} is a folder`, { hint: 'Name a CSV file: --data path/to/file.csv' })
    }
    return file
  } catch (error) {
    if (errno(error) === 'ENOENT') throw missing('streams.csv_missing', `There is no file ${path}`, { hint: 'Check the path given with --data.' })
    throw toLagoaError(error)
  }
}

interface Position {
  readonly bytes: number
  readonly line: number
  readonly blank: number
  readonly digest: string
}

function position(note: Readonly<Record<string, unknown>> | undefined): Position | null {
  if (!note) return null
  const { bytes, line, blank, digest } = note
  return typeof bytes === 'number' && typeof line === 'number' && typeof blank === 'number' && typeof digest === 'string' ? { bytes, line, blank, digest } : null
}

async function skipTaken(file: FileHandle, bytes: number, taken: Hash, digest: string, path: string): Promise<void> {
  const buffer = Buffer.alloc(BLOCK)
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(BLOCK, bytes - at), at)
    if (bytesRead === 0) break
    taken.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  if (taken.copy().digest('hex') !== digest) {
    throw invalid('streams.csv_changed', `${path} begins like a file that was read before, but the part that was taken has changed`, {
      hint: 'Give the changed file a first record of its own, or start with another LAGOA_HOME to read it from the beginning.',
    })
  }
}

async function readHeader(file: FileHandle, path: string): Promise<{ text: string; raw: Buffer; bytes: number }> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(BLOCK), 0, BLOCK, 0)
  const end = buffer.subarray(0, bytesRead).indexOf(NEWLINE)
  const raw = buffer.subarray(0, end < 0 ? bytesRead : end + 1)
  let text: string
  try {
    text = utf8.decode(raw).replace(/^\uFEFF/, '').replace(/\r?\n$/, '')
  } catch {
    throw invalid('streams.csv_header', `The header of ${path} is not UTF-8 text`, { hint: 'Convert it first: iconv -f latin1 -t utf-8 FILE' })
  }
  if (text.trim() === '') throw invalid('streams.csv_header', `${path} has no header line`, { hint: 'The first line must name the columns.' })
  return { text, raw, bytes: raw.length }
}

/** Raw lines with their line ends; a line longer than a record may be comes as its first part, marked. */
async function* lines(file: FileHandle, start: number, signal: AbortSignal): AsyncGenerator<{ bytes: Buffer; tooLong: boolean }> {
  let rest: Buffer[] = []
  let restSize = 0
  let at = start
  while (!signal.aborted) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(BLOCK), 0, BLOCK, at)
    if (bytesRead === 0) break
    at += bytesRead
    const block = buffer.subarray(0, bytesRead)
    let from = 0
    for (let end = block.indexOf(NEWLINE); end >= 0; end = block.indexOf(NEWLINE, from)) {
      const part = block.subarray(from, end + 1)
      yield rest.length > 0 ? { bytes: Buffer.concat([...rest, part]), tooLong: restSize + part.length > MAX_RECORD_BYTES } : { bytes: part, tooLong: false }
      rest = []
      restSize = 0
      from = end + 1
    }
    if (from < bytesRead) {
      rest.push(block.subarray(from))
      restSize += bytesRead - from
      if (restSize > 64 * 1024 * 1024) {
        throw invalid('streams.csv_line', 'A line of the CSV file is longer than 64 MB', { hint: 'The file has no line ends, or is no CSV file.' })
      }
    }
  }
  // The last line may lack its line end: it is whole only when nothing more is written to the file, which a file being replayed promises.
  if (!signal.aborted && rest.length > 0) yield { bytes: Buffer.concat(rest), tooLong: restSize > MAX_RECORD_BYTES }
}

interface PlannedColumn {
  readonly field: string
  readonly index: number
  readonly number: boolean
}

interface Plan {
  readonly width: number
  readonly columns: readonly PlannedColumn[]
}

function planColumns(header: readonly string[], options: CsvOptions, path: string): Plan {
  const names = header.map((name) => name.trim())
  const repeated = names.find((name, index) => name !== '' && names.indexOf(name) !== index)
  if (repeated !== undefined) throw invalid('streams.csv_header', `${path} has two columns named ${repeated}`, { hint: 'Rename one of them in the header line.' })
  const wanted = options.columns ?? Object.fromEntries(names.filter((name) => name !== '').map((name) => [name, name]))
  const columns = Object.entries(wanted).map(([field, spec]): PlannedColumn => {
    const column: CsvColumn = typeof spec === 'string' || isList(spec) ? { from: spec } : spec
    const candidates = typeof column.from === 'string' ? [column.from] : column.from
    const index = names.findIndex((name) => candidates.includes(name))
    if (index < 0) {
      throw invalid('streams.csv_column', `${path} has no column ${candidates.join(' or ')}`, { hint: `Its columns are: ${names.filter(Boolean).join(', ')}. Check the delimiter too.` })
    }
    return { field, index, number: column.type === 'number' }
  })
  return { width: names.length, columns }
}

const isList = (spec: string | readonly string[] | CsvColumn): spec is readonly string[] => Array.isArray(spec)

type ReadLine = { readonly json: string; readonly key: string | null } | { readonly reason: string } | null

function readLine(bytes: Buffer, delimiter: string, decimal: '.' | ',', plan: Plan, options: CsvOptions): ReadLine {
  let text: string
  try {
    text = utf8.decode(bytes).replace(/\r?\n$/, '')
  } catch {
    return { reason: 'the line is not valid UTF-8' }
  }
  if (text.trim() === '') return null
  const cells = splitLine(text, delimiter)
  if (cells === null) return { reason: 'a quoted value is not closed' }
  if (cells.every((cell) => cell.trim() === '')) return null
  if (cells.length !== plan.width) return { reason: `${plan.width} columns are wanted, this line has ${cells.length}` }
  const message: Record<string, unknown> = { ...options.add }
  for (const { field, index, number } of plan.columns) {
    const cell = cells[index] ?? ''
    if (!number) {
      message[field] = cell
      continue
    }
    const trimmed = cell.trim()
    const value = Number(decimal === ',' ? trimmed.replace(',', '.') : trimmed)
    if (trimmed !== '' && !Number.isFinite(value)) return { reason: `${field}: ${JSON.stringify(cell.slice(0, 40))} is no number` }
    message[field] = trimmed === '' ? null : value
  }
  const key = options.key === undefined ? null : message[options.key]
  return { json: JSON.stringify(message), key: key === null || key === undefined ? null : String(key) }
}

/** The cells of one line (RFC 4180 quoting, without line ends inside quotes); null when a quote stays open. */
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
