/** Places in a text file: which line begins where, and which lines are no JSON objects. */
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs'
import { once } from 'node:events'
import { invalid } from '../../base/index.ts'
import { isNode } from '../tree.ts'

const CHUNK = 1024 * 1024
const NEWLINE = 0x0a

/** The number of the line in which each of these offsets lies, counted from 1; the offsets ascend. */
export async function linesAt(file: string, offsets: readonly number[], signal?: AbortSignal): Promise<number[]> {
  const lines: number[] = []
  let line = 1
  let position = 0
  const until = offsets.at(-1) ?? -1
  if (until < 0) return lines
  for await (const chunk of chunks(file, signal)) {
    let from = 0
    while (lines.length < offsets.length && (offsets[lines.length] ?? 0) < position + chunk.length) {
      const to = (offsets[lines.length] ?? 0) - position
      line += newlines(chunk, from, to)
      from = Math.max(from, to)
      lines.push(line)
    }
    if (lines.length === offsets.length) break
    line += newlines(chunk, from, chunk.length)
    position += chunk.length
  }
  while (lines.length < offsets.length) lines.push(line)
  return lines
}

function newlines(chunk: Buffer, from: number, to: number): number {
  let count = 0
  for (let at = chunk.indexOf(NEWLINE, from); at !== -1 && at < to; at = chunk.indexOf(NEWLINE, at + 1)) count++
  return count
}

/** A longer line is no record, and would have to be held in memory. */
export const LONGEST_LINE: number = 16 * 1024 * 1024
/** Of a bad line this much is kept. */
export const KEPT_RAW: number = 16 * 1024

/**
 * Copies the lines that are JSON objects to one file, and `{line, byte, columns, error, raw}` of each other line to another. Blank lines
 * are neither. Answers how many were bad.
 */
export async function sortLines(file: string, good: string, bad: string, signal?: AbortSignal): Promise<number> {
  const objects = createWriteStream(good)
  const others = createWriteStream(bad)
  const failed = Promise.race([objects, others].map((out) => new Promise<never>((_, reject) => out.once('error', reject))))
  failed.catch(() => undefined)
  let line = 0
  let byte = 0
  let count = 0
  const write = async (out: WriteStream, text: string): Promise<void> => {
    if (!out.write(`${text}\n`)) await Promise.race([once(out, 'drain'), failed])
  }
  const take = async (bytes: Buffer): Promise<void> => {
    line++
    const text = bytes.toString('utf8')
    if (text.trim() !== '') {
      const error = faultOf(text)
      if (error === null) await write(objects, text)
      else {
        count++
        await write(others, JSON.stringify({ line, byte, columns: null, error, raw: text.replace(/\r$/, '').slice(0, KEPT_RAW) }))
      }
    }
    byte += bytes.length + 1
  }
  try {
    let rest: Buffer[] = []
    let held = 0
    for await (const chunk of chunks(file, signal)) {
      let from = 0
      for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
        await take(Buffer.concat([...rest, chunk.subarray(from, at)]))
        rest = []
        held = 0
        from = at + 1
      }
      rest.push(chunk.subarray(from))
      held += chunk.length - from
      if (held > LONGEST_LINE)
        throw invalid('lake.long_line', `Line ${line + 1} is longer than ${LONGEST_LINE} bytes`, {
          hint: 'Is it one record a line? A single JSON document is --format json.',
        })
    }
    if (held > 0) await take(Buffer.concat(rest))
  } finally {
    for (const out of [objects, others]) {
      out.end()
      await Promise.race([once(out, 'close'), failed])
    }
  }
  return count
}

function faultOf(text: string): string | null {
  try {
    return isNode(JSON.parse(text.replace(/^\ufeff/, ''))) ? null : 'it is JSON, but no object'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function chunks(file: string, signal: AbortSignal | undefined): AsyncIterable<Buffer> {
  return createReadStream(file, { highWaterMark: CHUNK, ...(signal ? { signal } : {}) })
}
