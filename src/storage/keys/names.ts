/**
 * The name under which an engine keeps a key. Keys hold what producers sent, and an engine's index takes neither any length nor any
 * character (PostgreSQL's refuses entries above 2.7 kB, and text with NUL): one such record would hold up its stream for ever. So a key
 * that is longer, or holds what is no text, is kept under its beginning and a digest of the whole, in every engine the same.
 */
import { createHash } from 'node:crypto'

/** In bytes of UTF-8. */
const LONGEST_NAME = 1_024
const LARGEST_CHARACTER = 3
const BEGINNING = 200

/** The key itself in all but those cases; the name of a name is the name. */
export function keptName(key: string): string {
  const fits = key.length * LARGEST_CHARACTER <= LONGEST_NAME || Buffer.byteLength(key) <= LONGEST_NAME
  if (fits && key.isWellFormed() && !key.includes('\0')) return key
  const digest = createHash('sha256').update(Buffer.from(key, 'utf16le')).digest('hex')
  return `${key.slice(0, BEGINNING).toWellFormed().replaceAll('\0', '\ufffd')}...${digest}`
}
