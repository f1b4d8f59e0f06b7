/**
 * A CSV file as a source. It reads in blocks, never the whole file, and remembers how many bytes it took and their digest, so it
 * goes on exactly after its last stored record, also when the file has grown; a file that differs in what was taken is another file.
 */
import { createHash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { denied, errno, invalid, missing, toLagoaError } from '../../base/index.ts'
import { MAX_RECORD_BYTES } from '../decode.ts'
import { planColumns, readLine, type CsvPlan, type ReadLine } from './csv-line.ts'
import { createLineCutter, NEWLINE, type RawLine } from './lines.ts'
import { createPrefixDigest } from './prefix-digest.ts'
import type { BrokenLine, Source, SourceBatch } from './source.ts'

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
/** A batch is also full with this many bytes, or this many broken lines. */
const BATCH_BYTES = 8 * 1024 * 1024
const BATCH_BROKEN = 1000
/** How much of a broken line goes to the dead letters. */
const EXCERPT = 4096

export function csv(options: CsvOptions): Source {
  const { path, delimiter = ';' } = options
  if (delimiter.length !== 1 || '"\r\n'.includes(delimiter)) {
    throw invalid('streams.csv_delimiter', `${JSON.stringify(delimiter)} cannot separate CSV columns`, { hint: "Use one character, such as delimiter: ';'." })
  }
  return {
    kind: 'csv',
    ends: true,
    /** The header and the first record name the file; what was taken of it is compared when it is read again. */
    async identity() {
      await using file = await openFile(path)
      const [header = Buffer.alloc(0), first = Buffer.alloc(0)] = splitHead(await readHead(file))
      return `csv:${createHash('sha256').update(header).update('\n').update(first).digest('hex').slice(0, 24)}`
    },
    async *read({ resume, batch, signal }): AsyncGenerator<SourceBatch> {
      await using file = await openFile(path)
      const reading = await startReading(file, options, position(resume?.note))
      let sequence = resume?.sequence ?? 0
      let { line, blank } = reading
      let values: string[] = []
      let keys: (string | null)[] = []
      let broken: BrokenLine[] = []
      let size = 0
      const emit = (): SourceBatch => {
        const yielded = {
          sequence,
          note: { bytes: reading.at(), line, blank, digest: reading.digest() },
          values,
          keys: options.key === undefined ? null : keys,
          broken,
          blank,
        }
        values = []
        keys = []
        broken = []
        size = 0
        return yielded
      }
      for await (const lines of reading.lines(signal)) {
        for (const raw of lines) {
          line++
          const read = raw.isRest ? null : readRaw(raw, reading.plan)
          if (read === null) blank += raw.isRest ? 0 : 1
          else if ('reason' in read) {
            broken.push({ line, bytes: Buffer.from(raw.bytes.subarray(0, EXCERPT)), reason: read.reason })
            size += EXCERPT
          } else {
            values.push(read.json)
            keys.push(read.key)
            sequence++
            size += read.json.length
          }
          if (values.length >= batch || broken.length >= BATCH_BROKEN || size >= BATCH_BYTES) yield emit()
        }
      }
      // Also when nothing is left: it tells how many blank lines there were.
      yield emit()
    },
  }
}

function readRaw(raw: RawLine, plan: CsvPlan): ReadLine {
  return raw.tooLong ? { reason: `the line has ${raw.size} bytes, at most ${MAX_RECORD_BYTES} are taken` } : readLine(raw.bytes, plan)
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
  return typeof bytes === 'number' && typeof line === 'number' && typeof blank === 'number' && typeof digest === 'string'
    ? { bytes, line, blank, digest }
    : null
}

interface Reading {
  readonly plan: CsvPlan
  /** The number of the last line taken before. */
  readonly line: number
  readonly blank: number
  /** How many bytes of the file belong to the lines handed out so far, and their digest. */
  at(): number
  digest(): string
  /** Lines by block. `isRest` marks the line end of a last line that had none when it was taken. */
  lines(signal: AbortSignal): AsyncGenerator<Iterable<PlacedLine>>
}

interface PlacedLine extends RawLine {
  readonly isRest: boolean
}

async function startReading(file: FileHandle, options: CsvOptions, from: Position | null): Promise<Reading> {
  const { path } = options
  const head = await readHead(file)
  const headerEnd = head.indexOf(NEWLINE) + 1
  if (headerEnd === 0 && head.length === BLOCK) {
    throw invalid('streams.csv_header', `The header of ${path} is longer than ${BLOCK / 1024} kB`, { hint: 'The file has no line ends, or is no CSV file.' })
  }
  const plan = planColumns(headerEnd === 0 ? head : head.subarray(0, headerEnd), options)
  const start = from?.bytes ?? (headerEnd === 0 ? head.length : headerEnd)
  const digest = createPrefixDigest()
  let at = 0
  let isOpen = false
  for await (const block of blocks(file, 0, start)) {
    digest.push(block, at)
    at += block.length
    isOpen = from !== null && block.at(-1) !== NEWLINE
  }
  if (from && digest.upTo(at) !== from.digest) {
    throw invalid('streams.csv_changed', `${path} begins like a file that was read before, but the part that was taken has changed`, {
      hint: 'Give the changed file a first record of its own, or start with another LAGOA_HOME to read it from the beginning.',
    })
  }
  const placed = function* (raws: Iterable<RawLine>): Generator<PlacedLine> {
    for (const { bytes, size, tooLong } of raws) {
      at += size
      yield { bytes, size, tooLong, isRest: isOpen && bytes.toString('latin1').trim() === '' }
      isOpen = false
    }
  }
  return {
    plan,
    line: from?.line ?? 1,
    blank: from?.blank ?? 0,
    at: () => at,
    digest: () => digest.upTo(at),
    async *lines(signal) {
      const cutter = createLineCutter(MAX_RECORD_BYTES)
      for await (const block of blocks(file, start, Number.POSITIVE_INFINITY)) {
        if (signal.aborted) return
        digest.push(block, at)
        yield placed(cutter.push(block))
      }
      // The last line may lack its line end: it is whole only when nothing more is written to the file, which a file being replayed promises.
      const last = cutter.end()
      if (last) yield placed([last])
    },
  }
}

async function* blocks(file: FileHandle, start: number, end: number): AsyncGenerator<Buffer> {
  for (let at = start; at < end;) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(BLOCK), 0, Math.min(BLOCK, end - at), at)
    if (bytesRead === 0) return
    at += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

async function openFile(path: string): Promise<FileHandle> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    const code = errno(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') throw missing('streams.csv_missing', `There is no file ${path}`, { hint: 'Check the path given with --data.' })
    if (code === 'EACCES' || code === 'EPERM') throw denied('streams.csv_denied', `${path} may not be read`, { hint: `Allow it: chmod u+r ${path}` })
    throw toLagoaError(error)
  }
  const stat = await file.stat()
  if (stat.isFile()) return file
  await file.close()
  if (stat.isDirectory()) throw invalid('streams.csv_is_folder', `${path} is a folder`, { hint: 'Name a CSV file: --data path/to/file.csv' })
  throw invalid('streams.csv_no_file', `${path} is not a regular file, and a position in it could not be kept`, { hint: 'Write its content to a file first.' })
}

async function readHead(file: FileHandle): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(BLOCK), 0, BLOCK, 0)
  return buffer.subarray(0, bytesRead)
}

/** The first two lines without their line ends, which a last line may lack and get later. */
function splitHead(head: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let from = 0; lines.length < 2 && from < head.length;) {
    const newline = head.indexOf(NEWLINE, from)
    const end = newline < 0 ? head.length : newline
    lines.push(head.subarray(from, head[end - 1] === 0x0d ? end - 1 : end))
    from = end + 1
  }
  return lines
}
