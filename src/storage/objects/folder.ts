/**
 * Objects as files of a folder. A file appears under its name only when it is whole and on the disk: written beside its place,
 * synced, then linked (put if absent) or renamed (put), and the folder synced.
 */
import { readFile as readFileCallback, realpathSync, stat as statCallback, type Dirent } from 'node:fs'
import { copyFile, type FileHandle, link, open, readdir, rename, rmdir, unlink } from 'node:fs/promises'
import { dirname, extname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { conflict, denied, errno, LagoaError, missing, toLagoaError, unavailable } from '../../base/index.ts'
import { ensureFolder, syncFolder } from '../folders.ts'
import { checkPath, checkPrefix, compareUtf8, RESERVED_PREFIX } from './paths.ts'
import type { ObjectInfo, Objects, ObjectsCapabilities, StagedObject } from './port.ts'
import { removeWhenLeftOver, temporaryName } from './temporary.ts'

// A log is thousands of small files: looked at and read without a FileHandle each, they take a third less of the processor's time.
const readFile = promisify(readFileCallback)
const stat = promisify(statCallback)

/**
 * Opens the folder, which is made when absent, and removes what killed processes left half written there. With `readOnly` it is left as it
 * is, and every write rejects with `storage.read_only`.
 */
export async function openFolderObjects(dir: string, options: { readonly readOnly?: boolean } = {}): Promise<Objects> {
  const root = resolve(dir)
  if (options.readOnly === true) {
    if (!(await isFolder(root))) throw missing('storage.no_file', `There is no folder ${root}`, { hint: 'Check the spelling of the path.' })
    return new FolderObjects(root, true)
  }
  await naming(root, () => ensureFolder(root))
  await removeLeftovers(root)
  return new FolderObjects(root)
}

class FolderObjects implements Objects {
  readonly capabilities: ObjectsCapabilities = { name: 'folder', inPlace: true }
  readonly #root: string
  readonly #readOnly: boolean
  #closed = false

  constructor(root: string, readOnly: boolean = false) {
    this.#root = root
    this.#readOnly = readOnly
  }

  async get(path: string): Promise<Uint8Array | null> {
    const file = this.#file(path)
    return naming(file, () => readFile(file).catch(nullWhenAbsent))
  }

  async getRange(path: string, start: number, end: number): Promise<Uint8Array | null> {
    const file = this.#file(path)
    return naming(file, async () => {
      const handle = await open(file, 'r').catch(nullWhenAbsent)
      if (!handle) return null
      try {
        const info = await handle.stat()
        if (!info.isFile()) return null
        const from = Math.min(Math.max(0, start), info.size)
        const wanted = Math.max(0, Math.min(end, info.size) - from)
        return await readFully(handle, from, wanted)
      } finally {
        await handle.close()
      }
    })
  }

  async head(path: string): Promise<ObjectInfo | null> {
    const file = this.#file(path)
    return naming(file, () => describe(file, path))
  }

  async put(path: string, bytes: Uint8Array): Promise<void> {
    const file = this.#writable(path)
    await naming(file, async () => {
      const temporary = await this.#write(file, bytes)
      await this.#moveInto(temporary, file, path)
    })
  }

  async putIfAbsent(path: string, bytes: Uint8Array): Promise<boolean> {
    const file = this.#writable(path)
    return naming(file, async () => {
      // Spares the write where the answer is known; the link decides.
      if (await isThere(file, path)) return false
      const temporary = await this.#write(file, bytes)
      try {
        await link(temporary, file)
      } catch (error) {
        if (errno(error) === 'EEXIST' && (await isThere(file, path))) return false
        throw error
      } finally {
        await unlink(temporary).catch(() => undefined)
      }
      await syncFolder(dirname(file))
      return true
    })
  }

  async *list(prefix: string, options: { readonly after?: string } = {}): AsyncIterable<ObjectInfo> {
    this.#refuseWhenClosed()
    checkPrefix(prefix)
    const cut = prefix.lastIndexOf('/') + 1
    yield* this.#walk(prefix.slice(0, cut), prefix, options.after ?? null)
  }

  async delete(path: string): Promise<void> {
    const file = this.#writable(path)
    await naming(file, async () => {
      try {
        await unlink(file)
      } catch (error) {
        if (ABSENT.has(errno(error) ?? '') || (await isFolder(file))) return
        throw error
      }
      await syncFolder(dirname(file)).catch(nullWhenAbsent)
    })
  }

  async localFile(path: string): Promise<string> {
    const file = this.#file(path)
    const info = await naming(file, () => describe(file, path))
    if (!info) throw missing('storage.missing_object', `There is no object ${path} in ${this.#root}`, { hint: 'List what is there with: lagoa tables' })
    return file
  }

  hold(): () => void {
    this.#refuseWhenClosed()
    return () => undefined
  }

  async copy(from: string, to: string): Promise<void> {
    const source = this.#file(from)
    const file = this.#writable(to)
    if (source === file) return
    await naming(file, async () => {
      await ensureFolder(dirname(file))
      const temporary = temporaryName(dirname(file))
      // Objects are replaced and never changed in place, so one file may stand under two names.
      await link(source, temporary).catch(async (error: unknown) => {
        const code = errno(error) ?? ''
        if (ABSENT.has(code) || (await isFolder(source))) throw missing('storage.missing_object', `There is no object ${from} in ${this.#root}`)
        await copyDurably(source, temporary)
      })
      await this.#moveInto(temporary, file, to)
      // Renaming one name of a file onto another of its names leaves both.
      await unlink(temporary).catch(nullWhenAbsent)
    })
  }

  uri(path: string): string {
    return pathToFileURL(this.#file(path)).href
  }

  pathOf(uri: string): string | null {
    this.#refuseWhenClosed()
    if (!/^file:\/(?:\/\/)?[^/]/i.test(uri)) return null
    let file: string
    try {
      file = fileURLToPath(uri.replace(/^file:\/+/i, 'file:///'))
    } catch {
      return null
    }
    if (resolve(file) !== file) return null
    for (const root of [this.#root, realRoot(this.#root)]) if (file.startsWith(`${root}/`)) return file.slice(root.length + 1)
    return null
  }

  async stage(path: string): Promise<StagedObject> {
    const file = this.#writable(path)
    // The extension is kept for engines that tell the format by it.
    const temporary = temporaryName(dirname(file)) + extname(file)
    await naming(file, () => ensureFolder(dirname(file)))
    let published = false
    return {
      file: temporary,
      publish: () =>
        naming(file, async () => {
          this.#refuseWhenClosed()
          const handle = await open(temporary, 'r+')
          let size: number
          try {
            await handle.sync()
            size = (await handle.stat()).size
          } finally {
            await handle.close()
          }
          await this.#moveInto(temporary, file, path)
          published = true
          return size
        }),
      discard: async () => {
        if (published) return
        await naming(file, () => unlink(temporary).catch(nullWhenAbsent))
      },
    }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw unavailable('storage.closed', 'The object store was closed by this process')
  }

  #file(path: string): string {
    this.#refuseWhenClosed()
    checkPath(path)
    return join(this.#root, path)
  }

  #writable(path: string): string {
    const file = this.#file(path)
    if (this.#readOnly)
      throw denied('storage.read_only', `${file} is not written: ${this.#root} was opened to be read only`, {
        hint: 'Bring the data into the lake to change it.',
      })
    return file
  }

  /** Writes and syncs a temporary file beside `file`; answers its name. */
  async #write(file: string, bytes: Uint8Array): Promise<string> {
    const temporary = temporaryName(dirname(file))
    const handle = await this.#create(temporary)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } catch (error) {
      await handle.close().catch(() => undefined)
      await unlink(temporary).catch(() => undefined)
      throw error
    }
    await handle.close()
    return temporary
  }

  async #create(temporary: string): Promise<FileHandle> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await open(temporary, 'wx', 0o644)
      } catch (error) {
        // Twice, because another caller may remove the folder as empty between making and using it.
        if (errno(error) !== 'ENOENT' || attempt >= 2) throw error
        await ensureFolder(dirname(temporary))
      }
    }
  }

  async #moveInto(temporary: string, file: string, path: string): Promise<void> {
    try {
      await rename(temporary, file).catch(async (error: unknown) => {
        if (!(await isFolder(file))) throw error
        await clearEmptyFolder(file, path)
        await rename(temporary, file)
      })
    } catch (error) {
      await unlink(temporary).catch(() => undefined)
      throw error
    }
    await syncFolder(dirname(file))
  }

  /** One folder at a time. A folder sorts as its name with `/`, which is where its objects' paths stand in byte order. */
  async *#walk(folder: string, prefix: string, after: string | null): AsyncGenerator<ObjectInfo> {
    const here = join(this.#root, folder)
    const entries = await naming(here, () => readdir(here, { withFileTypes: true }).catch(nullWhenAbsent))
    if (!entries) return
    const names: string[] = []
    for (const entry of entries) {
      if (entry.name.startsWith(RESERVED_PREFIX)) {
        if (!this.#readOnly) await removeWhenLeftOver(here, entry.name)
        continue
      }
      const isDirectory = await leadsOn(entry, here, folder)
      if (!isDirectory && (folder === '' || !entry.isFile())) continue
      const path = folder + entry.name + (isDirectory ? '/' : '')
      if (!couldMatch(path, prefix, isDirectory) || isOver(path, after, isDirectory)) continue
      names.push(path)
    }
    names.sort(compareUtf8)
    for (let i = 0; i < names.length;) {
      this.#refuseWhenClosed()
      const path = names[i] ?? ''
      if (path.endsWith('/')) {
        yield* this.#walk(path, prefix, after)
        i++
        continue
      }
      let until = i
      while (until < names.length && until - i < 64 && !names[until]?.endsWith('/')) until++
      const infos = await Promise.all(names.slice(i, until).map((name) => this.head(name)))
      for (const info of infos) if (info) yield info
      i = until
    }
  }
}

function realRoot(root: string): string {
  try {
    return realpathSync(root)
  } catch {
    return root
  }
}

async function copyDurably(from: string, to: string): Promise<void> {
  await copyFile(from, to)
  const handle = await open(to, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Directories, and links to directories where buckets are: a bucket may live on another disk. */
async function leadsOn(entry: Dirent, here: string, folder: string): Promise<boolean> {
  if (entry.isDirectory()) return true
  return folder === '' && entry.isSymbolicLink() && (await isFolder(join(here, entry.name)))
}

const couldMatch = (path: string, prefix: string, isDirectory: boolean): boolean => path.startsWith(prefix) || (isDirectory && prefix.startsWith(path))

/** Everything at or below this path comes before or is `after`. */
function isOver(path: string, after: string | null, isDirectory: boolean): boolean {
  if (after === null) return false
  return isDirectory ? compareUtf8(path, after) < 0 && !after.startsWith(path) : compareUtf8(path, after) <= 0
}

const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'])

function nullWhenAbsent(error: unknown): null {
  if (ABSENT.has(errno(error) ?? '')) return null
  throw error
}

async function describe(file: string, path: string): Promise<ObjectInfo | null> {
  const info = await stat(file).catch(nullWhenAbsent)
  return info?.isFile() ? { path, size: info.size, modified: Math.floor(info.mtimeMs) } : null
}

async function isThere(file: string, path: string): Promise<boolean> {
  const info = await stat(file).catch(nullWhenAbsent)
  if (!info?.isDirectory()) return info !== null
  await clearEmptyFolder(file, path)
  return false
}

/**
 * Deleting objects leaves their folders, because somebody may be about to write there. They go when their name is wanted for an
 * object; with objects below, the name is taken.
 */
async function clearEmptyFolder(folder: string, path: string): Promise<void> {
  if (await removeEmpty(folder)) return
  throw conflict('storage.path_taken', `${path} cannot be an object: there are objects below ${path}/`, { hint: 'Choose another name, or delete those first.' })
}

async function removeEmpty(folder: string): Promise<boolean> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isDirectory() || !(await removeEmpty(join(folder, entry.name)))) return false
  }
  return rmdir(folder).then(
    () => true,
    () => false,
  )
}

async function isFolder(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null))?.isDirectory() === true
}

async function readFully(handle: FileHandle, from: number, wanted: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(wanted)
  let filled = 0
  while (filled < wanted) {
    const { bytesRead } = await handle.read(bytes, filled, wanted - filled, from + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

/** Runs file operations so that a failure says which file it was about. */
async function naming<T>(file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    if (thrown instanceof LagoaError) throw thrown
    const code = errno(thrown)
    if (code === 'ENOTDIR' || code === 'EEXIST') {
      throw conflict('storage.path_taken', `${file} cannot be written: a part of its path is an object`, {
        hint: 'Choose another name, or delete that object first.',
        cause: thrown,
      })
    }
    if (code === 'ENOENT') throw missing('storage.no_file', `There is no such file or folder: ${file}`, { cause: thrown })
    const fault = toLagoaError(thrown)
    throw fault.message.includes(file) ? fault : new LagoaError(fault.kind, fault.code, `${fault.message} (${file})`, { hint: fault.hint, cause: thrown })
  }
}

/** A bounded look, nearest folders first; what it does not reach is removed when `list` passes by. */
async function removeLeftovers(root: string): Promise<void> {
  const deadline = Date.now() + 50
  const folders = [root]
  for (let i = 0; i < folders.length && i < 1000 && Date.now() < deadline; i++) {
    const folder = folders[i] ?? root
    for (const entry of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
      if (entry.name.startsWith(RESERVED_PREFIX)) await removeWhenLeftOver(folder, entry.name)
      else if (entry.isDirectory()) folders.push(join(folder, entry.name))
    }
  }
}
