/** Object paths, the same for every adapter: `bucket/key`, segments divided by `/`, ordered by their UTF-8 bytes. */
import { invalid, type LagoaError } from '../../base/index.ts'

/** What the adapters call their own files; never a user's. */
export const RESERVED_PREFIX = '.lagoa-'

const LONGEST_SEGMENT = 255
const LONGEST_PATH = 1024

/** Throws `storage.bad_path` for what is no path of an object. */
export function checkPath(path: string): void {
  if (!path.includes('/')) throw badPath(path, 'it has no bucket', 'Write it as bucket/key, such as silver/readings/part-0.parquet')
  checkSegments(path, path.split('/'))
}

/** A prefix may be empty and may end anywhere. */
export function checkPrefix(prefix: string): void {
  const segments = prefix.split('/')
  const last = segments.pop() ?? ''
  checkSegments(prefix, last === '' ? segments : [...segments, last], true)
}

function checkSegments(path: string, segments: readonly string[], isPrefix: boolean = false): void {
  if (Buffer.byteLength(path) > LONGEST_PATH) throw badPath(path, `it is longer than ${LONGEST_PATH} bytes`, 'Use a shorter name')
  if (path.includes('\0') || !path.isWellFormed()) throw badPath(path, 'it holds a NUL or half a character', 'Use plain Unicode text')
  if (path.startsWith('/')) throw badPath(path, 'it starts with /', 'Leave the first / out: a path starts with its bucket')
  for (const segment of segments) {
    if (segment === '') throw badPath(path, 'it has an empty part', 'Leave out the doubled or trailing /')
    if (segment === '..' || (segment === '.' && !isPrefix))
      throw badPath(path, `it has the part "${segment}"`, 'Give the path from its bucket on, without . and ..')
    if (segment.startsWith(RESERVED_PREFIX) && !isPrefix) throw badPath(path, `names that start with ${RESERVED_PREFIX} are reserved`, 'Choose another name')
    if (Buffer.byteLength(segment) > LONGEST_SEGMENT) throw badPath(path, `a part is longer than ${LONGEST_SEGMENT} bytes`, 'Use a shorter name')
  }
}

function badPath(path: string, why: string, hint: string): LagoaError {
  return invalid('storage.bad_path', `${JSON.stringify(path.slice(0, 200))} is no object path: ${why}`, { hint })
}

/**
 * Orders text by its UTF-8 bytes, which is the order of code points. JavaScript's own order differs from it only where a
 * surrogate pair (U+10000 and up) meets U+E000..U+FFFF.
 */
export function compareUtf8(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) {
    const left = a.charCodeAt(i)
    const right = b.charCodeAt(i)
    if (left === right) continue
    const leftIsSurrogate = (left & 0xf800) === 0xd800
    const rightIsSurrogate = (right & 0xf800) === 0xd800
    if (leftIsSurrogate !== rightIsSurrogate) return leftIsSurrogate ? 1 : -1
    return left - right
  }
  return a.length - b.length
}
