/**
 * Names of objects: a table's log files, and the percent-encoded relative paths of data files (section "Add File and Remove File").
 */
import { unsupported } from '../../base/index.ts'
import type { Objects } from '../../storage/index.ts'
import type { PartitionValues } from './actions.ts'

export function logFolder(root: string): string {
  return `${root}/_delta_log/`
}

export function paddedVersion(version: number): string {
  return String(version).padStart(20, '0')
}

export function commitPath(root: string, version: number): string {
  return `${logFolder(root)}${paddedVersion(version)}.json`
}

/** From the path of a file below the table's folder to what a log holds. */
export function encodePath(relative: string): string {
  // `=` needs no escape inside a path and partition folders are full of it.
  return relative
    .split('/')
    .map((part) => encodeURIComponent(part).replaceAll('%3D', '='))
    .join('/')
}

/** What tells files apart: writers encode the same path in different ways, one in the add action and another in the remove. */
export function pathKey(logged: string): string {
  if (!logged.includes('%')) return logged
  try {
    return decodeURIComponent(logged)
  } catch {
    // Some writers do not encode; a lone % then stands for itself.
    return logged
  }
}

/** From what a log holds to the object's path. A shallow clone names files of another table by their address; outside of this store they are refused. */
export function dataPath(objects: Objects, root: string, logged: string): string {
  if (!isAddress(logged)) {
    const key = pathKey(logged)
    if (!key.split('/').includes('..')) return `${root}/${key}`
  }
  const path = objects.pathOf(logged.startsWith('/') ? `file://${logged}` : logged)
  if (path !== null) return path
  throw unsupported('lake.foreign_file', `Table ${root} uses the file ${logged}, which lies outside of this object store`, {
    hint: 'It is a shallow clone of a table elsewhere; make a deep clone of it.',
  })
}

/** Not relative to the table's folder. */
export function isAddress(logged: string): boolean {
  return /^[a-z][a-z0-9+.-]*:/i.test(logged) || logged.startsWith('/')
}

/**
 * What a log holds for a file whose name was not chosen here: encoded as java.net.URI does, which escapes what may not stand in a path and
 * leaves other letters than ASCII alone. Spark's VACUUM deletes live files that the log encodes otherwise.
 */
export function asJavaEncodes(path: string): string {
  return path.replace(/[^\w\-!.~'()*,;:$&+=@/\u0080-\u{10ffff}]|[\u0080-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/gu, (char) =>
    [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}

/** The address by which the log of another table names an object. Spark finds rows of files again only by its own spelling: `file:/path`. */
export function loggedAddress(objects: Objects, path: string): string {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*:\/\/)(.*)$/is.exec(objects.uri(path)) ?? []
  return (scheme === 'file://' ? 'file:' : scheme) + asJavaEncodes(pathKey(rest))
}

/** `day=2024-01-02/site=a%2Fb/`: the folder by which people find a partition. Readers go by the log, not by this name. */
export function partitionFolder(columns: readonly string[], values: PartitionValues): string {
  return columns.map((column) => `${shortened(`${escaped(column)}=${escaped(values[column] ?? '__HIVE_DEFAULT_PARTITION__')}`)}/`).join('')
}

/** File systems name at most 255 bytes; two long values that share a folder do no harm. */
function shortened(name: string): string {
  let short = name
  while (Buffer.byteLength(short) > 200) short = [...short].slice(0, -1).join('')
  return short
}

/**
 * Everything but plain letters and digits is escaped as Hive escapes some of it, so that engines cannot differ in how they encode the path in
 * a log: Spark's VACUUM deletes live files that are encoded otherwise than by Java (`S%C3%A3o` instead of `São`), delta-rs cannot remove others.
 */
function escaped(text: string): string {
  return text.replace(/[^\w.-]|^\.|\.$/gu, (char) =>
    char === '.' ? '%2E' : [...Buffer.from(char)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}
