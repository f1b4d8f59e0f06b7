/** The bytes of a record as people read them: text, JSON in lines, or hexadecimal beside the characters. */
import type { DeadLetterShape } from '../../api/types.ts'

export function bytesOf({ text, base64 }: Pick<DeadLetterShape, 'text' | 'base64'>): Uint8Array {
  if (text !== undefined) return new TextEncoder().encode(text)
  return Uint8Array.from(atob(base64 ?? ''), (character) => character.codePointAt(0) ?? 0)
}

const WIDTH = 16

/** Sixteen bytes a line: where, what, and the characters that can be printed. */
export function hexLines(bytes: Uint8Array, most: number): string {
  const lines: string[] = []
  for (let at = 0; at < Math.min(bytes.length, most); at += WIDTH) {
    const part = [...bytes.subarray(at, Math.min(at + WIDTH, most))]
    const hex = part.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const characters = part.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCodePoint(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(WIDTH * 3 - 1)}  ${characters}`)
  }
  return lines.join('\n')
}

/** Indented where it is JSON, else as it is. */
export function inLines(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

/** A value of a record in one line. */
export const oneLine = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** The value of an input for a local date and time. */
export function localInput(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * 60_000)
  return Number.isNaN(local.getTime()) ? '' : local.toISOString().slice(0, 19)
}

/** Epoch milliseconds of what such an input holds; undefined while it is not complete. */
export function fromLocalInput(text: string): number | undefined {
  const at = text === '' ? Number.NaN : new Date(text).getTime()
  return Number.isNaN(at) || at < 0 ? undefined : at
}
