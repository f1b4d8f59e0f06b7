/**
 * A folder with copies of objects, for engines that read files; bounded, and shared by all processes of a home.
 *
 * - A file is named by what it is a copy of: object, version and size. It gets that name when it is whole and never changes, so a
 *   process that finds it may use it; one of another size was cut off and is fetched again.
 * - While a hold is open, what is asked for gets a second name (a hard link) in a folder of this process. Whoever evicts takes first
 *   names only, and those of files that have no second one: nothing goes that some process holds.
 * - The access time of a file is the last time it was asked for, within a minute. Beyond the limit those go that nobody asked for longest.
 *   The sum is known from the folder; what other processes add is seen at the latest when this one added a sixteenth of the limit.
 * - Many callers for one object are one fetch.
 */
import { createHash } from 'node:crypto'
import { link, mkdir, readdir, rename, rm, stat, unlink, utimes } from 'node:fs/promises'
import { basename, extname, join } from 'node:path'
import { bug, errno } from '../../base/index.ts'
import { ensureFolder } from '../folders.ts'
import { removeWhenLeftOver, temporaryName } from './temporary.ts'

/** What tells the contents of an object at two times apart. */
export interface Version {
  readonly etag: string
  readonly size: number
}

export interface CacheOptions {
  readonly folder: string
  readonly limitBytes: number
  /** What tells the objects of one store from those of another that was configured before. */
  readonly store: string
}

/** Writes an object into a new file and answers what it was. */
export type Fetch = (file: string) => Promise<Version>

const TOUCH_MS = 60_000
/** Of the limit, what is left after an eviction: so that not every file that comes makes one. */
const LEFT = 0.9

export async function openCache(options: CacheOptions): Promise<FileCache> {
  const { folder } = options
  for (const part of [DATA, UNFINISHED, HELD]) {
    await ensureFolder(join(folder, part))
    if (part !== DATA) for (const name of await readdir(join(folder, part))) await removeWhenLeftOver(join(folder, part), name)
  }
  const own = temporaryName(join(folder, HELD))
  await mkdir(own)
  const cache = new FileCache(options, own)
  await cache.shrink()
  return cache
}

const DATA = 'data'
const UNFINISHED = 'unfinished'
const HELD = 'held'

export class FileCache {
  readonly #folder: string
  readonly #limit: number
  readonly #store: string
  /** Where the second names of this process are. */
  readonly #own: string
  /** By the object's key: the name that its file had when it was last asked for, and when its access time was set. */
  readonly #known: Map<string, { readonly name: string; readonly touched: number }> = new Map()
  readonly #fetches: Map<string, Promise<string>> = new Map()
  /** Second names by first names. `asked` is the number of the youngest hold when it was last asked for. */
  readonly #held: Map<string, { readonly file: string; asked: number }> = new Map()
  readonly #holds: Set<number> = new Set()
  #youngest = 0
  #bytes = 0
  /** Bytes that came since the folder was looked at. */
  #unseen = 0
  /** Beyond this it is worth looking what can go: above the limit while what is held cannot. */
  #full: number
  #shrinking: Promise<void> = Promise.resolve()
  readonly #drops: Set<Promise<unknown>> = new Set()

  constructor({ folder, limitBytes, store }: CacheOptions, own: string) {
    this.#folder = folder
    this.#limit = limitBytes
    this.#full = limitBytes
    this.#store = store
    this.#own = own
  }

  /** How many bytes there are, as far as this process knows. */
  get bytes(): number {
    return this.#bytes
  }

  hold(): () => void {
    const hold = ++this.#youngest
    this.#holds.add(hold)
    return () => {
      if (this.#holds.delete(hold)) this.#letGo()
    }
  }

  /** The file of an object: of this version, or of any when null. */
  async file(path: string, version: Version | null, fetch: Fetch): Promise<string> {
    const key = this.#keyOf(path)
    for (let attempt = 0; attempt < 5; attempt++) {
      const name = (await this.#find(key, version)) ?? (await this.#fetched(path, key, version, fetch))
      const file = await this.#use(key, name)
      if (file !== null) return file
      // Another process evicted it between two of these steps.
    }
    throw bug('storage.cache_thrashes', `${path} left the cache five times before it could be used`, { hint: 'Raise objects.cache.' })
  }

  /** Takes in a file of this cache's folder that has just become an object. */
  async adopt(path: string, version: Version, file: string): Promise<void> {
    if (version.size > this.#limit) return
    const key = this.#keyOf(path)
    const name = nameOf(path, key, version)
    await this.#moveIn(file, key, name, version.size)
    await this.#shrinkWhenFull(name)
  }

  /** Where to write a file that will be adopted. */
  temporary(path: string): string {
    // The extension is kept for engines that tell the format by it.
    return temporaryName(join(this.#folder, UNFINISHED)) + extensionOf(path)
  }

  /** The object was deleted or replaced: files of it are no longer given out. */
  async forget(path: string): Promise<void> {
    const key = this.#keyOf(path)
    this.#known.delete(key)
    for (const name of await this.#namesOf(key)) await this.#remove(name)
  }

  async close(): Promise<void> {
    this.#holds.clear()
    await Promise.allSettled(this.#fetches.values())
    this.#letGo()
    await this.#shrinking
    await Promise.allSettled(this.#drops)
    await rm(this.#own, { recursive: true, force: true })
  }

  #keyOf(path: string): string {
    return hashOf(`${this.#store}\n${path}`, 32)
  }

  #fileOf(name: string): string {
    return join(this.#folder, DATA, name.slice(0, 2), name)
  }

  /** The name of a whole file, known or left by another process or an earlier one. */
  async #find(key: string, version: Version | null): Promise<string | null> {
    const known = this.#known.get(key)?.name
    const names = known !== undefined && isOf(known, version) ? [known] : await this.#namesOf(key)
    for (const name of names) {
      if (!isOf(name, version)) continue
      const info = await stat(this.#fileOf(name)).catch(nullWhenAbsent)
      if (info?.size === sizeIn(name)) return name
      this.#known.delete(key)
      if (info) await this.#remove(name)
    }
    return null
  }

  async #namesOf(key: string): Promise<string[]> {
    const names = (await readdir(join(this.#folder, DATA, key.slice(0, 2))).catch(nullWhenAbsent)) ?? []
    return names.filter((name) => name.startsWith(`${key}.`))
  }

  #fetched(path: string, key: string, version: Version | null, fetch: Fetch): Promise<string> {
    const what = version === null ? key : nameOf(path, key, version)
    const running = this.#fetches.get(what)
    if (running) return running
    const work = this.#fetch(path, key, fetch).finally(() => this.#fetches.delete(what))
    this.#fetches.set(what, work)
    return work
  }

  async #fetch(path: string, key: string, fetch: Fetch): Promise<string> {
    const temporary = this.temporary(path)
    try {
      const version = await fetch(temporary)
      const name = nameOf(path, key, version)
      // Older versions are of no use to anybody who asks from now on.
      for (const other of await this.#namesOf(key)) if (other !== name) await this.#remove(other)
      // Not synced: after a power cut a file may be shorter than its name says, and is fetched again.
      await this.#moveIn(temporary, key, name, version.size)
      return name
    } finally {
      await rm(temporary, { force: true })
    }
  }

  async #moveIn(file: string, key: string, name: string, size: number): Promise<void> {
    const target = this.#fileOf(name)
    await rename(file, target).catch(async (error: unknown) => {
      if (errno(error) !== 'ENOENT') throw error
      await mkdir(join(this.#folder, DATA, name.slice(0, 2)), { recursive: true })
      await rename(file, target)
    })
    this.#remember(key, name, Date.now())
    this.#bytes += size
    this.#unseen += size
  }

  /** Null when the file went meanwhile. */
  async #use(key: string, name: string): Promise<string | null> {
    const first = this.#fileOf(name)
    const held = this.#held.get(name)
    if (this.#holds.size === 0 || held) {
      if (held) held.asked = this.#youngest
      if (!(await this.#touch(key, name))) return held?.file ?? null
      await this.#shrinkWhenFull(name)
      return this.#held.get(name)?.file ?? first
    }
    const file = join(this.#own, `${++links}.${name}`)
    const linked = await link(first, file).then(
      () => true,
      (error: unknown) => nullWhenAbsent(error) ?? false,
    )
    if (!linked) return null
    await this.#touch(key, name)
    const other = this.#held.get(name)
    if (other || this.#holds.size === 0) {
      // Two callers linked it at once, or the hold that was open is not any more.
      if (other) other.asked = this.#youngest
      this.#drop(file)
      return other?.file ?? first
    }
    this.#held.set(name, { file, asked: this.#youngest })
    await this.#shrinkWhenFull(name)
    return file
  }

  /** False when the file is not there. */
  async #touch(key: string, name: string): Promise<boolean> {
    const now = Date.now()
    const known = this.#known.get(key)
    if (known?.name === name && now - known.touched < TOUCH_MS) return true
    const file = this.#fileOf(name)
    const info = await stat(file).catch(nullWhenAbsent)
    if (!info) return false
    // Only the access time: by the other one engines see whether a file changed.
    await utimes(file, new Date(now), info.mtime).catch(nullWhenAbsent)
    this.#remember(key, name, now)
    return true
  }

  #remember(key: string, name: string, touched: number): void {
    // A look at the folder finds what is forgotten here.
    if (this.#known.size >= MOST_KNOWN) this.#known.clear()
    this.#known.set(key, { name, touched })
  }

  /** Gives up the second names that no open hold can have been told. */
  #letGo(): void {
    const oldest = Math.min(...this.#holds, Number.POSITIVE_INFINITY)
    let some = false
    for (const [name, { file, asked }] of this.#held) {
      if (asked >= oldest) continue
      this.#held.delete(name)
      this.#drop(file)
      some = true
    }
    if (some && this.#bytes > this.#limit) void this.shrink()
  }

  #drop(file: string): void {
    const dropped = unlink(file)
      .catch(() => undefined)
      .finally(() => this.#drops.delete(dropped))
    this.#drops.add(dropped)
  }

  async #remove(name: string): Promise<void> {
    await unlink(this.#fileOf(name)).catch(nullWhenAbsent)
  }

  async #shrinkWhenFull(keep: string): Promise<void> {
    if (this.#bytes > this.#full || this.#unseen > this.#limit / 16) await this.shrink(keep)
  }

  /** Counts what is there and removes what is beyond the limit, but for `keep`. One at a time. */
  shrink(keep: string | null = null): Promise<void> {
    const turn = this.#shrinking.then(() => this.#shrink(keep))
    // What cannot be removed now is tried again with the next file.
    this.#shrinking = turn.catch(() => undefined)
    return this.#shrinking
  }

  async #shrink(keep: string | null): Promise<void> {
    await Promise.allSettled(this.#drops)
    const names: string[] = []
    for (const shard of await readdir(join(this.#folder, DATA))) names.push(...((await readdir(join(this.#folder, DATA, shard)).catch(nullWhenAbsent)) ?? []))
    let bytes = names.reduce((sum, name) => sum + sizeIn(name), 0)
    if (bytes > this.#limit) {
      const files: { readonly name: string; readonly used: number }[] = []
      for (const name of names) {
        const info = await stat(this.#fileOf(name)).catch(nullWhenAbsent)
        if (info && info.nlink === 1 && name !== keep) files.push({ name, used: info.atimeMs })
      }
      files.sort((a, b) => a.used - b.used)
      for (const { name } of files) {
        if (bytes <= this.#limit * LEFT) break
        await this.#remove(name)
        bytes -= sizeIn(name)
      }
    }
    this.#bytes = bytes
    this.#unseen = 0
    this.#full = Math.max(this.#limit, bytes + this.#limit / 16)
  }
}

const MOST_KNOWN = 100_000
let links = 0

/** `<key>.<version>.<size><extension>` */
function nameOf(path: string, key: string, { etag, size }: Version): string {
  return `${key}.${hashOf(etag, 16)}.${size}${extensionOf(path)}`
}

function isOf(name: string, version: Version | null): boolean {
  if (version === null) return true
  const [, etag, size] = name.split('.')
  return etag === hashOf(version.etag, 16) && size === String(version.size)
}

const sizeIn = (name: string): number => Number(name.split('.')[2] ?? 0)

function extensionOf(path: string): string {
  const extension = extname(basename(path))
  return /^\.[a-zA-Z0-9]{1,16}$/.test(extension) ? extension : ''
}

const hashOf = (text: string, digits: number): string => createHash('sha256').update(text).digest('hex').slice(0, digits)

function nullWhenAbsent(error: unknown): null {
  if (errno(error) === 'ENOENT') return null
  throw error
}
