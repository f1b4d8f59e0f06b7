/**
 * From what a user names to the files it means: a file, a folder (all files below it whose names tell a format), a pattern, or the same
 * in the object store: `objects://bucket/key`, and a plain `bucket/key` when this machine has no such file.
 */
import { glob, readdir, stat } from 'node:fs/promises'
import { join, matchesGlob, relative, resolve, sep } from 'node:path'
import { missing, overLimit } from '../../base/index.ts'
import { compareUtf8, type Objects } from '../../storage/index.ts'
import { formatOf } from './format.ts'

/** One file, wherever it is. */
export interface SourceFile {
  /** What stands in `_file`: relative to the project when it lies in it. */
  readonly name: string
  /** Where it is, for messages and to tell files apart. */
  readonly path: string
  readonly size: number
  /** Epoch milliseconds. */
  readonly modified: number
  /** A local file with its bytes, not to be written to. */
  local(): Promise<string>
}

export interface Whereabouts {
  readonly objects: Objects
  /** Relative paths start here. */
  readonly base: string
  /** Names are told relative to this folder. */
  readonly project: string
  /** The format was given, so names need not tell it. */
  readonly anyName: boolean
}

const OBJECTS = 'objects://'
/** Files that one call takes; a folder with more is named in parts. */
const MOST_FILES = 100_000

/** The files in the order of their paths, each once. A path that means no file at all is an error, unless `empty` allows it. */
export async function findFiles(paths: readonly string[], place: Whereabouts, empty: 'refuse' | 'allow' = 'refuse'): Promise<SourceFile[]> {
  const found = new Map<string, SourceFile>()
  for (const path of paths) {
    let count = 0
    for await (const file of filesAt(path, place)) {
      count++
      found.set(file.path, file)
      if (found.size > MOST_FILES)
        throw overLimit('lake.too_many_files', `${path} means more than ${MOST_FILES} files`, {
          hint: 'Name a part of them, such as a folder or 2026-01-*.csv.',
        })
    }
    if (count === 0 && empty === 'refuse')
      throw missing('lake.no_files', `There is no file ${path}, neither on this machine nor in the object store`, {
        hint: 'Name a file, a folder with .csv, .json, .ndjson or .parquet files (also .gz and .zst), a pattern in quotes, or objects://bucket/prefix.',
      })
  }
  return [...found.values()].sort((a, b) => compareUtf8(a.path, b.path))
}

async function* filesAt(path: string, place: Whereabouts): AsyncGenerator<SourceFile> {
  if (path.startsWith(OBJECTS)) {
    yield* objectsAt(path.slice(OBJECTS.length), place)
    return
  }
  const full = resolve(place.base, path)
  const info = await stat(full).catch(() => null)
  if (info?.isDirectory()) yield* filesBelow(full, place)
  else if (info?.isFile()) yield localFile(full, info, place.project)
  else {
    let any = false
    if (isPattern(path)) {
      for await (const match of glob(full)) {
        const at = await stat(match).catch(() => null)
        if (!at?.isFile() || isHidden(match.slice(match.lastIndexOf(sep) + 1))) continue
        any = true
        yield localFile(match, at, place.project)
      }
    }
    if (!any && /^[^/.][^/]*\/./.test(path)) yield* objectsAt(path, place)
  }
}

const isPattern = (path: string): boolean => /[*?[{]/.test(path)
/** `_SUCCESS`, `.part`: what other programs leave beside their files. */
const isHidden = (name: string): boolean => /^[._]/.test(name)
const taken = (name: string, anyName: boolean): boolean => !isHidden(name) && (anyName || formatOf(name) !== null)

async function* filesBelow(folder: string, place: Whereabouts): AsyncGenerator<SourceFile> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory() && !isHidden(entry.name)) yield* filesBelow(path, place)
    if (!entry.isFile() || !taken(entry.name, place.anyName)) continue
    const info = await stat(path).catch(() => null)
    if (info) yield localFile(path, info, place.project)
  }
}

function localFile(path: string, { size, mtimeMs }: { readonly size: number; readonly mtimeMs: number }, project: string): SourceFile {
  const inside = relative(project, path)
  const name = inside.startsWith('..') || inside === '' || resolve(project, inside) !== path ? path : inside
  return { name: name.split(sep).join('/'), path, size, modified: mtimeMs, local: () => Promise.resolve(path) }
}

async function* objectsAt(path: string, { objects, anyName }: Whereabouts): AsyncGenerator<SourceFile> {
  const fixed = /^[^*?[{]*/.exec(path)?.[0] ?? ''
  const whole = path.replace(/\/$/, '')
  for await (const { path: key, size, modified } of objects.list(fixed)) {
    const name = key.slice(key.lastIndexOf('/') + 1)
    const wanted =
      fixed !== path
        ? matchesGlob(key, path) && !isHidden(name)
        : key === path || (key.startsWith(`${whole}/`) && isVisible(key, whole) && taken(name, anyName))
    if (wanted) yield { name: OBJECTS + key, path: OBJECTS + key, size, modified, local: () => objects.localFile(key) }
  }
}

/** No folder between the prefix and the object is hidden: the logs of tables are no files to ingest. */
const isVisible = (key: string, prefix: string): boolean =>
  !key
    .slice(prefix.length + 1)
    .split('/')
    .some(isHidden)
