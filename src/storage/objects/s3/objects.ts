/**
 * Objects on a store that speaks the S3 API: AWS S3, MinIO, SeaweedFS and others with conditional writes. Engines read local copies
 * that a bounded cache keeps; of an object only its first use fetches it. A bucket is written to only after put-if-absent was seen to
 * be exclusive there.
 */
import { unlink } from 'node:fs/promises'
import { LagoaError, denied, conflict, missing, unavailable } from '../../../base/index.ts'
import { openCache, type FileCache, type Version } from '../cache.ts'
import { checkPath, checkPrefix, compareUtf8 } from '../paths.ts'
import type { ObjectInfo, Objects, ObjectsCapabilities, StagedObject } from '../port.ts'
import { putIfAbsent } from './absent.ts'
import { connectS3, type S3, type S3Connection } from './client.ts'
import { faultOf, isNoBucket, isTaken, s3Error } from './faults.ts'
import { layoutOf, type Layout, type Location } from './layout.ts'
import { probeExclusive } from './probe.ts'
import { createTransfers, type Sizes, type Transfers } from './transfer.ts'

export interface S3Options extends S3Connection {
  /** One bucket for everything, made when absent; without it each object path names its bucket. */
  readonly bucket?: string
  /** Below which everything lies in the one bucket. */
  readonly prefix?: string
  readonly cache: { readonly folder: string; readonly limitBytes: number }
  /** Of parts, for stores with limits of their own. */
  readonly sizes?: Sizes
}

/**
 * Connects, and refuses a store without exclusive put-if-absent; one that is away is not waited for. With one bucket that is tried at once; otherwise on a bucket that is
 * there, and on each bucket before this process first writes to it.
 */
export async function openS3Objects(options: S3Options): Promise<Objects> {
  const layout = layoutOf(options.bucket ?? null, (options.prefix ?? '').replaceAll(/^\/+|\/+$/g, ''))
  const store = nameOf(options)
  const cache = await openCache({ ...options.cache, store: `${options.endpoint ?? 'aws'} ${layout.uri('b/k')}` })
  let objects: S3Objects | null = null
  try {
    const s3 = await connectS3(options)
    objects = new S3Objects(s3, layout, cache, createTransfers(s3, options.sizes), store)
    await objects.connect()
    return objects
  } catch (error) {
    await (objects ?? cache).close()
    throw error
  }
}

class S3Objects implements Objects {
  readonly capabilities: ObjectsCapabilities = { name: 's3', inPlace: false }
  readonly #s3: S3
  readonly #layout: Layout
  readonly #cache: FileCache
  readonly #transfers: Transfers
  readonly #store: string
  /** By bucket: that it may be written to. */
  readonly #writable: Map<string, Promise<void>> = new Map()
  readonly #running: Set<Promise<unknown>> = new Set()
  #closed = false

  constructor(s3: S3, layout: Layout, cache: FileCache, transfers: Transfers, store: string) {
    this.#s3 = s3
    this.#layout = layout
    this.#cache = cache
    this.#transfers = transfers
    this.#store = store
  }

  async connect(): Promise<void> {
    try {
      const bucket = this.#layout.bucket ?? (await this.#someBucket())
      if (bucket !== null) await this.#ready(bucket)
    } catch (error) {
      // Who may only read cannot be a second writer, and the first write tells that it is denied; a store that is away is asked again by
      // each call, and by the first write to a bucket whether it is exclusive.
      if (!(error instanceof LagoaError) || (error.code !== 'storage.denied' && error.code !== 'storage.unreachable')) throw error
    }
  }

  get(path: string): Promise<Uint8Array | null> {
    return this.#ask(`${path} could not be read`, async () => (await this.#s3.get(this.#at(path)))?.bytes ?? null)
  }

  getRange(path: string, start: number, end: number): Promise<Uint8Array | null> {
    return this.#ask(`${path} could not be read`, async () => {
      const at = this.#at(path)
      const from = Math.max(0, start)
      if (end <= from) return (await this.#s3.head(at)) && new Uint8Array()
      return (await this.#s3.get(at, { range: { start: from, end } }))?.bytes ?? null
    })
  }

  head(path: string): Promise<ObjectInfo | null> {
    return this.#ask(`${path} could not be looked at`, async () => {
      const found = await this.#s3.head(this.#at(path))
      return found && { path, size: found.size, modified: found.modified }
    })
  }

  put(path: string, bytes: Uint8Array): Promise<void> {
    return this.#replace(path, async (at) => void (await this.#s3.put(at, bytes)))
  }

  putIfAbsent(path: string, bytes: Uint8Array): Promise<boolean> {
    return this.#replace(path, (at) => putIfAbsent(this.#s3, at, bytes))
  }

  async *list(prefix: string, options: { readonly after?: string } = {}): AsyncIterable<ObjectInfo> {
    this.#refuseWhenClosed()
    checkPrefix(prefix)
    const after = options.after ?? ''
    try {
      for (const { bucket, under, from } of await this.#parts(prefix, after)) {
        for await (const { key, size, modified } of this.#s3.list(bucket, under, from)) {
          this.#refuseWhenClosed()
          const path = this.#layout.pathOf(bucket, key)
          // Stores may start after a key, or at it.
          if (path !== null && (after === '' || compareUtf8(path, after) > 0)) yield { path, size, modified }
        }
      }
    } catch (error) {
      throw this.#told(error, `${prefix === '' ? 'The objects' : `${prefix}*`} could not be listed`)
    }
  }

  delete(path: string): Promise<void> {
    return this.#ask(`${path} could not be deleted`, async () => {
      await this.#s3.delete(this.#at(path))
      await this.#forget(path)
    })
  }

  localFile(path: string): Promise<string> {
    return this.#ask(`${path} could not be fetched`, async () => {
      const at = this.#at(path)
      if (isNeverRewritten(path)) return this.#cache.file(path, null, (file) => this.#transfers.download(at, path, file))
      for (let attempt = 1; ; attempt++) {
        const found = await this.#s3.head(at)
        if (!found) throw missing('storage.missing_object', `There is no object ${path} on ${this.#store}`)
        const version: Version = { etag: found.etag === '' ? String(found.modified) : found.etag, size: found.size }
        try {
          return await this.#cache.file(path, version, async (file) => {
            await this.#transfers.download(at, path, file, found.etag === '' ? undefined : found.etag)
            return version
          })
        } catch (error) {
          // Replaced while it was fetched.
          if (!isTaken(faultOf(error)) || attempt >= 5) throw error
        }
      }
    })
  }

  hold(): () => void {
    this.#refuseWhenClosed()
    return this.#cache.hold()
  }

  async stage(path: string): Promise<StagedObject> {
    this.#refuseWhenClosed()
    checkPath(path)
    const file = this.#cache.temporary(path)
    let published = false
    return {
      file,
      publish: async () => {
        const version = await this.#replace(path, (at) => this.#transfers.upload(file, at))
        published = true
        // It is the object's by now, whatever happens to the copy.
        if (version.etag !== '') await this.#cache.adopt(path, version, file).catch(() => undefined)
        await unlink(file).catch(() => undefined)
        return version.size
      },
      discard: async () => {
        if (!published) await unlink(file).catch(() => undefined)
      },
    }
  }

  copy(from: string, to: string): Promise<void> {
    return this.#replace(to, async (at) => {
      const source = this.#at(from)
      const done = from === to ? (await this.#s3.head(source)) !== null : await this.#transfers.copy(source, at)
      if (!done) throw missing('storage.missing_object', `There is no object ${from} on ${this.#store}`)
    })
  }

  uri(path: string): string {
    this.#at(path)
    return this.#layout.uri(path)
  }

  pathOf(uri: string): string | null {
    this.#refuseWhenClosed()
    return this.#layout.pathOfUri(uri)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#s3.abort()
    await Promise.allSettled(this.#running)
    await this.#cache.close()
    this.#s3.close()
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw closed()
  }

  #at(path: string): Location {
    this.#refuseWhenClosed()
    checkPath(path)
    return this.#layout.locate(path)
  }

  /** Runs requests so that a failure says what could not be done, where. */
  async #ask<T>(what: string, work: () => Promise<T>): Promise<T> {
    const running = work()
    this.#running.add(running)
    try {
      return await running
    } catch (error) {
      throw this.#told(error, what)
    } finally {
      this.#running.delete(running)
    }
  }

  #told(error: unknown, what: string): LagoaError {
    return this.#closed ? closed() : s3Error(error, what, this.#store)
  }

  #write<T>(path: string, work: (at: Location) => Promise<T>): Promise<T> {
    return this.#ask(`${path} could not be written`, async () => {
      const at = this.#at(path)
      await this.#ready(at.bucket)
      try {
        return await work(at)
      } catch (error) {
        if (!isNoBucket(faultOf(error))) throw error
        // Somebody removed it since.
        this.#writable.delete(at.bucket)
        await this.#ready(at.bucket)
        return await work(at)
      }
    })
  }

  /** A write after which other bytes may stand under the path, also when it fails. */
  async #replace<T>(path: string, work: (at: Location) => Promise<T>): Promise<T> {
    try {
      return await this.#write(path, work)
    } finally {
      await this.#forget(path)
    }
  }

  /** Names that are used again are compared with the store each time; only the others could be given out although replaced. */
  async #forget(path: string): Promise<void> {
    if (isNeverRewritten(path)) await this.#cache.forget(path)
  }

  /** The bucket is there and writes a key only once. */
  #ready(bucket: string): Promise<void> {
    const known = this.#writable.get(bucket)
    if (known) return known
    const work = this.#prepare(bucket).catch((error: unknown) => {
      this.#writable.delete(bucket)
      throw this.#told(error, `The bucket ${bucket} could not be prepared for writing`)
    })
    this.#writable.set(bucket, work)
    return work
  }

  async #prepare(bucket: string): Promise<void> {
    const place = (key: string): Location => (this.#layout.bucket === null ? { bucket, key } : this.#layout.locate(key))
    const probe = (): Promise<void> => probeExclusive(this.#s3, place, `${this.#store} (bucket ${bucket})`)
    try {
      await probe()
    } catch (error) {
      if (!isNoBucket(faultOf(error))) throw error
      await this.#createBucket(bucket)
      await probe()
    }
  }

  async #createBucket(bucket: string): Promise<void> {
    try {
      await this.#s3.createBucket(bucket)
    } catch (error) {
      const { name, status } = faultOf(error)
      if (name === 'BucketAlreadyOwnedByYou') return
      if (name === 'BucketAlreadyExists')
        throw conflict('storage.bucket_taken', `The bucket ${bucket} on ${this.#store} belongs to somebody else`, {
          hint: 'On a store that others share, put everything below one bucket of yours: set objects.bucket.',
          cause: error,
        })
      if (status === 403)
        throw denied('storage.no_bucket', `There is no bucket ${bucket} on ${this.#store}, and the credentials may not create it`, {
          hint: `Create it with: aws s3 mb s3://${bucket} (or set objects.bucket to one that is there).`,
          cause: error,
        })
      throw error
    }
  }

  /** A bucket to try the store on before anything is written: one of the lake's own, which Lagoa has written to before. */
  async #someBucket(): Promise<string | null> {
    try {
      const buckets = await this.#s3.buckets()
      return LAYERS.find((layer) => buckets.includes(layer)) ?? null
    } catch (error) {
      const fault = s3Error(error, 'The buckets could not be listed', this.#store)
      // Not everybody may list buckets.
      if (fault.code === 'storage.denied') return null
      throw fault
    }
  }

  /** In which buckets to list what: one, or all whose name the prefix could begin. */
  async #parts(prefix: string, after: string): Promise<{ bucket: string; under: string; from: string | null }[]> {
    const one = this.#layout.bucket
    if (one !== null) return [{ bucket: one, under: this.#layout.locate(prefix).key, from: after === '' ? null : this.#layout.locate(after).key }]
    const cut = prefix.indexOf('/')
    const names = cut >= 0 ? [prefix.slice(0, cut)] : (await this.#s3.buckets()).filter((name) => name.startsWith(prefix))
    return names
      .map((name) => `${name}/`)
      .sort(compareUtf8)
      .filter((start) => after.startsWith(start) || compareUtf8(start, after) > 0)
      .map((start) => ({
        bucket: start.slice(0, -1),
        under: prefix.slice(start.length),
        from: after.startsWith(start) ? after.slice(start.length) : null,
      }))
  }
}

/** Layers that projects usually have. */
const LAYERS = ['bronze', 'silver', 'gold'] as const

/**
 * Data files, deletion vectors and sidecars have a UUID in their name: nobody writes one again with other bytes, so a copy of them is
 * right without asking the store.
 */
function isNeverRewritten(path: string): boolean {
  return /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i.test(path.slice(path.lastIndexOf('/') + 1))
}

const closed = (): LagoaError => unavailable('storage.closed', 'The object store was closed by this process')

/** For messages: where the store is, without credentials. */
function nameOf({ endpoint, region }: S3Options): string {
  return endpoint === undefined ? `AWS S3${region === undefined ? '' : ` (${region})`}` : endpoint.replace(/\/\/[^/@]*@/, '//')
}
