/**
 * Objects to and from files: small ones in one request, large ones in parts, a few at once. However many transfers run, the parts in
 * memory are bounded, because each waits at one gate.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { missing, unavailable } from '../../../base/index.ts'
import type { Version } from '../cache.ts'
import type { Part, Range, S3 } from './client.ts'
import { createGate, type Gate } from './gate.ts'
import type { Location } from './layout.ts'

export interface Sizes {
  /** A download asks for this many bytes at once. */
  readonly download: number
  /** A larger file is uploaded in parts of this size, or larger ones where the store's limit of parts asks for it. */
  readonly upload: number
  /** A larger object is copied in parts. */
  readonly copy: number
}

/** 5 GB is what stores copy in one request. */
const DEFAULT_SIZES: Sizes = { download: 8 * 1024 ** 2, upload: 16 * 1024 ** 2, copy: 5 * 1024 ** 3 }

/** Parts in memory at once: 64 MB each way. */
const DOWNLOADS = 8
const UPLOADS = 4
const MOST_PARTS = 10_000
const COPIED_PART = 1024 ** 3

export interface Transfers {
  /** Rejects with `storage.missing_object`; with PreconditionFailed when `etag` is not the object's. */
  download(at: Location, path: string, file: string, etag?: string): Promise<Version>
  upload(file: string, at: Location): Promise<Version>
  /** False when there is nothing to copy. */
  copy(from: Location, to: Location): Promise<boolean>
}

export function createTransfers(s3: S3, sizes: Sizes = DEFAULT_SIZES): Transfers {
  const downloading = createGate(DOWNLOADS)
  const uploading = createGate(UPLOADS)

  /** An upload in parts: whole or nothing, also when this fails or is stopped. */
  const inParts = async (at: Location, ranges: readonly Range[], send: (upload: string, range: Range, number: number) => Promise<Part>): Promise<string> => {
    const upload = await s3.startUpload(at)
    try {
      const parts = await all(uploading, ranges, (range, i) => send(upload, range, i + 1))
      return await s3.finishUpload(at, upload, parts)
    } catch (error) {
      // The store removes what is left of it, when it can be told; else its own rules do (docs/s3.md).
      await s3.abortUpload(at, upload).catch(() => undefined)
      throw error
    }
  }

  return {
    async download(at, path, file, etag) {
      const handle = await open(file, 'wx')
      try {
        const first = await downloading(async () => {
          const got = await s3.get(at, { range: { start: 0, end: sizes.download }, ...(etag === undefined ? {} : { etag }) })
          if (!got) throw missing('storage.missing_object', `There is no object ${path}`)
          await writeFully(handle, got.bytes, 0)
          return { etag: got.etag, size: got.size, had: got.bytes.length }
        })
        const version = { etag: first.etag, size: first.size }
        await all(downloading, rangesOf(first.had, first.size, sizes.download), async (range) => {
          const got = await s3.get(at, { range, ...(first.etag === '' ? {} : { etag: first.etag }) })
          const wanted = range.end - range.start
          if (got?.bytes.length !== wanted)
            throw unavailable('storage.cut_off', `The store gave ${got?.bytes.length ?? 0} of ${wanted} bytes of ${path}`, {
              hint: 'Try again; if it happens again, look at the log of the store.',
            })
          await writeFully(handle, got.bytes, range.start)
        })
        return version
      } finally {
        await handle.close()
      }
    },

    async upload(file, at) {
      const handle = await open(file, 'r')
      try {
        const { size } = await handle.stat()
        if (size <= sizes.upload) {
          const etag = await uploading(async () => s3.put(at, await readFully(handle, 0, size)))
          return { etag, size }
        }
        const each = Math.max(sizes.upload, Math.ceil(size / MOST_PARTS))
        const etag = await inParts(at, rangesOf(0, size, each), async (upload, range, number) =>
          s3.uploadPart(at, upload, number, await readFully(handle, range.start, range.end - range.start)),
        )
        return { etag, size }
      } finally {
        await handle.close()
      }
    },

    async copy(from, to) {
      const source = await s3.head(from)
      if (!source) return false
      if (source.size <= sizes.copy) {
        await s3.copy(from, to)
        return true
      }
      const each = Math.max(Math.min(COPIED_PART, sizes.copy), Math.ceil(source.size / MOST_PARTS))
      await inParts(to, rangesOf(0, source.size, each), (upload, range, number) => s3.copyPart(to, upload, number, from, range, source.etag))
      return true
    },
  }
}

/** The results in order. When one fails, those that run are waited for, the others are left, and then it is thrown. */
async function all<T, R>(gate: Gate, items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const failures: unknown[] = []
  const results: R[] = []
  await Promise.all(
    items.map((item, i) =>
      gate(async () => {
        if (failures.length > 0) return
        try {
          results[i] = await work(item, i)
        } catch (error) {
          failures.push(error)
        }
      }),
    ),
  )
  if (failures.length > 0) throw failures[0]
  return results
}

function rangesOf(start: number, end: number, each: number): Range[] {
  return Array.from({ length: Math.max(0, Math.ceil((end - start) / each)) }, (_, i) => ({
    start: start + i * each,
    end: Math.min(start + (i + 1) * each, end),
  }))
}

async function readFully(handle: FileHandle, from: number, wanted: number): Promise<Uint8Array> {
  const bytes = Buffer.allocUnsafeSlow(wanted)
  let filled = 0
  while (filled < wanted) {
    const { bytesRead } = await handle.read(bytes, filled, wanted - filled, from + filled)
    if (bytesRead === 0) throw new Error(`the file ended ${wanted - filled} bytes early`)
    filled += bytesRead
  }
  return bytes
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done)
    done += bytesWritten
  }
}
