/**
 * From the file as it lies there to one that DuckDB reads in parallel: told by its content's digest, unpacked when it was packed, in UTF-8
 * when it was not. Everything streams; what is written lies in the work folder.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { open, stat, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { errno, invalid, missing, overLimit, toLagoaError, unavailable, type LagoaError } from '../../base/index.ts'
import { firstBytes, formatOfContent, packingOf, type Packing } from './format.ts'
import type { FileFormat } from './declare.ts'

const CHUNK = 1024 * 1024
/** What a packed file may become; beyond it, it is taken for one that was made to fill disks. */
const MOST_UNPACKED = 256 * 1024 ** 3

/** What is in a file, by all of its bytes. */
export interface Identity {
  /** The first 128 bits of their SHA-256, in hex: what tells one content from another, wherever it lies and whatever it is called. */
  readonly digest: string
  /** Of text that is not packed: in which encoding it can be read. */
  readonly encoding: string
}

/** Reads the file once for both; `isText` is false for one whose encoding nobody asks for. */
export async function identify(file: string, isText: boolean, signal: AbortSignal | undefined, onBytes: (bytes: number) => void): Promise<Identity> {
  const hash = createHash('sha256')
  const encoding = isText ? detectEncoding() : null
  const handle = await open(file, 'r')
  try {
    const buffer = Buffer.alloc(CHUNK)
    for (;;) {
      signal?.throwIfAborted()
      const { bytesRead } = await handle.read(buffer, 0, CHUNK)
      if (bytesRead === 0) break
      const chunk = buffer.subarray(0, bytesRead)
      hash.update(chunk)
      encoding?.take(chunk)
      onBytes(bytesRead)
    }
  } finally {
    await handle.close()
  }
  return { digest: hash.digest('hex').slice(0, 32), encoding: encoding?.verdict() ?? UTF8 }
}

export const UTF8 = 'utf-8'

/** The same of bytes in memory. */
export function identifyBytes(bytes: Uint8Array): Identity {
  const encoding = detectEncoding()
  encoding.take(bytes)
  return { digest: createHash('sha256').update(bytes).digest('hex').slice(0, 32), encoding: encoding.verdict() }
}

export interface Prepared {
  /** Its name has no character that DuckDB would take for a pattern. */
  readonly file: string
  readonly format: FileFormat
  readonly bytes: number
  readonly notes: readonly string[]
}

/** `encoding` null is that of the file, to be found out. */
export async function prepare(
  file: string,
  options: { readonly format: FileFormat | null; readonly encoding: string | null; readonly work: string; readonly signal: AbortSignal | undefined },
): Promise<Prepared> {
  const { work, signal } = options
  const notes: string[] = []
  const packing = packingOf(await firstBytes(file, 4))
  let current = join(work, 'input')
  if (packing === null) await symlink(file, current)
  else await unpack(file, packing, current, signal)
  const format = options.format ?? formatOfContent(await firstBytes(current, 64))
  if (format !== 'parquet') {
    const encoding = options.encoding === null ? await encodingOf(current, signal) : knownEncoding(options.encoding)
    // DuckDB reads no JSON behind a byte order mark.
    const isMarked = format !== 'csv' && (await firstBytes(current, 3)).equals(Buffer.from([0xef, 0xbb, 0xbf]))
    if (encoding !== UTF8 || isMarked) {
      const from = current
      current = join(work, 'utf8')
      await pipeline(readable(from, signal), toUtf8(encoding), createWriteStream(current), signal ? { signal } : {})
      if (encoding !== UTF8) notes.push(`read as ${encoding}`)
    }
  }
  return { file: current, format, bytes: (await stat(current)).size, notes }
}

function readable(file: string, signal: AbortSignal | undefined): AsyncIterable<Buffer> & NodeJS.ReadableStream {
  return createReadStream(file, { highWaterMark: CHUNK, ...(signal ? { signal } : {}) })
}

async function unpack(file: string, packing: Exclude<Packing, null>, to: string, signal: AbortSignal | undefined): Promise<void> {
  let written = 0
  const bounded = new Transform({
    transform(chunk: Buffer, _, done) {
      written += chunk.length
      done(
        written > MOST_UNPACKED
          ? overLimit('lake.unpacked_size', `${file} unpacks to more than ${MOST_UNPACKED} bytes`, { hint: 'Unpack it and ingest it in parts.' })
          : null,
        chunk,
      )
    },
  })
  try {
    await pipeline(
      readable(file, signal),
      packing === 'gzip' ? createGunzip() : createZstdDecompress(),
      bounded,
      createWriteStream(to),
      signal ? { signal } : {},
    )
  } catch (error) {
    signal?.throwIfAborted()
    const code = errno(error) ?? ''
    if (!/^(Z_|ERR_ZLIB|ZSTD_)/.test(code)) throw error
    throw invalid('lake.file_damaged', `${file} cannot be unpacked: ${toLagoaError(error).message}`, {
      hint: `Check it with: ${packing === 'gzip' ? 'gzip' : 'zstd'} -t; it may not have been copied to its end.`,
      cause: error,
    })
  }
}

async function encodingOf(file: string, signal: AbortSignal | undefined): Promise<string> {
  const encoding = detectEncoding()
  for await (const chunk of readable(file, signal)) encoding.take(chunk)
  return encoding.verdict()
}

interface EncodingDetector {
  take(chunk: Uint8Array): void
  verdict(): string
}

/** UTF-16 by its mark, UTF-8 when it is, and else the encoding in which every file can be read. Keeps nothing of a chunk that it was given. */
function detectEncoding(): EncodingDetector {
  let mark: string | undefined
  let rest: Buffer = Buffer.alloc(0)
  let broken = 0
  let sound = 0
  return {
    take(chunk) {
      mark ??= utf16Mark(chunk)
      const bytes = rest.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) : Buffer.concat([rest, chunk])
      const end = bytes.length - unfinished(bytes)
      rest = Buffer.from(bytes.subarray(end))
      const whole = bytes.subarray(0, end)
      if (mark !== '' || isAscii(whole)) return
      const replaced = isUtf8(whole) ? 0 : whole.toString('utf8').split('\ufffd').length - 1
      broken += replaced
      sound += Math.max(0, leads(whole) - replaced)
    },
    verdict() {
      if (mark !== undefined && mark !== '') return mark
      // A few broken characters in a file full of good ones are bad lines, not another encoding.
      return broken + rest.length > sound / 10 ? 'windows-1252' : UTF8
    },
  }
}

/** The encoding that the first two bytes name; empty when they name none. */
export function utf16Mark(start: Uint8Array): string {
  if (start[0] === 0xff && start[1] === 0xfe) return 'utf-16le'
  return start[0] === 0xfe && start[1] === 0xff ? 'utf-16be' : ''
}

/** How many bytes begin a character of several bytes. */
function leads(bytes: Uint8Array): number {
  let count = 0
  for (const byte of bytes) if (byte >= 0xc2) count++
  return count
}

/** Bytes at the end that begin a character whose end is in the next chunk. */
function unfinished(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if ((byte & 0xc0) === 0x80) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? back : 0
  }
  return 0
}

/** The canonical name of an encoding; what no decoder knows is refused. */
export function knownEncoding(label: string): string {
  try {
    return new TextDecoder(label).encoding
  } catch {
    throw invalid('lake.encoding', `There is no encoding ${label}`, { hint: 'Write utf-8, windows-1252 (which covers latin-1) or utf-16le, for example.' })
  }
}

function toUtf8(encoding: string): Transform {
  const decoder = new TextDecoder(encoding)
  return new Transform({
    transform(chunk: Buffer, _, done) {
      done(null, Buffer.from(decoder.decode(chunk, { stream: true })))
    },
    flush(done) {
      done(null, Buffer.from(decoder.decode()))
    },
  })
}

export const gone = (file: string, cause?: unknown): LagoaError =>
  missing('lake.file_gone', `${file} went away while it was read`, { hint: 'Nothing of it was ingested.', cause })

/** Throws when the file is another than when it was looked at: it is still being written. */
export async function refuseMoved(file: string, before: { readonly size: number; readonly mtimeMs: number }): Promise<void> {
  const now = await stat(file).catch(() => null)
  if (!now) throw gone(file)
  if (now.size !== before.size || now.mtimeMs !== before.mtimeMs)
    throw unavailable('lake.file_grows', `${file} was written to while it was read`, {
      hint: 'Nothing of it was ingested. Write files elsewhere and rename them into place, or ingest it again when it is whole.',
    })
}
