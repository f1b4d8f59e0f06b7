/**
 * Writing deletion vectors (section "Deletion Vectors"): files that stay and lose rows. The vectors of a commit stand one after the other
 * in one file in the table's folder; nothing is the table's until a commit names it. None is written into the log itself, which the
 * protocol allows: VACUUM of Spark fails on a table with such a vector.
 */
import { randomUUID } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { StagedObject } from '../../storage/index.ts'
import type { AddFile } from './actions.ts'
import { readVector, toBase85, type DeletionVector } from './deletions.ts'
import { isObject, numberOf } from './json.ts'
import { bitmapArrayBytes } from './roaring.ts'
import type { RowSet } from './row-set.ts'
import type { Place } from './types.ts'
import type { Written } from './write.ts'

/** Rows that a file loses, beside those that its vector took already. */
export interface Loss {
  readonly file: AddFile
  /** Rows that the data file holds, also those that its vector took. */
  readonly physicalRows: number
  readonly rows: RowSet
}

/** The files with their new vectors; losses are taken one at a time. */
export async function writeVectors(place: Place, root: string, losses: AsyncIterable<Loss>, signal?: AbortSignal): Promise<Written> {
  const vectors = new VectorFile(place, root)
  const adds: AddFile[] = []
  try {
    for await (const { file, physicalRows, rows } of losses) {
      signal?.throwIfAborted()
      const before = file.deletionVector && (await readVector(place, root, file.path, file.deletionVector))
      const gone = before ? before.with(rows) : rows
      const data = bitmapArrayBytes(gone.runs())
      adds.push({
        ...file,
        dataChange: true,
        stats: wideStats(file.stats, physicalRows),
        deletionVector: { ...(await vectors.append(data)), sizeInBytes: data.length, cardinality: gone.size },
      })
    }
    await vectors.publish()
    return { adds, rows: 0, discard: () => vectors.discard() }
  } catch (error) {
    await vectors.discard()
    throw error
  }
}

type Storage = Pick<DeletionVector, 'storageType' | 'pathOrInlineDv' | 'offset'>

/** A file of vectors (section "Deletion Vector File Storage Format"), made when the first one comes. */
class VectorFile {
  readonly #place: Place
  readonly #path: string
  readonly #name: string
  #open: { readonly staged: StagedObject; readonly handle: FileHandle; offset: number } | null = null
  #published = false

  constructor(place: Place, root: string) {
    const uuid = randomUUID()
    this.#place = place
    this.#path = `${root}/deletion_vector_${uuid}.bin`
    this.#name = toBase85(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
  }

  async append(data: Uint8Array): Promise<Storage> {
    this.#open ??= await this.#begin()
    const frame = Buffer.alloc(data.length + 8)
    frame.writeUInt32BE(data.length, 0)
    frame.set(data, 4)
    frame.writeUInt32BE(crc32(data), data.length + 4)
    await this.#open.handle.writeFile(frame)
    const { offset } = this.#open
    this.#open.offset += frame.length
    return { storageType: 'u', pathOrInlineDv: this.#name, offset }
  }

  async #begin(): Promise<{ staged: StagedObject; handle: FileHandle; offset: number }> {
    const staged = await this.#place.objects.stage(this.#path)
    const handle = await open(staged.file, 'w')
    const version = Uint8Array.of(1)
    await handle.writeFile(version)
    return { staged, handle, offset: version.length }
  }

  async publish(): Promise<void> {
    if (this.#open === null) return
    await this.#open.handle.close()
    this.#published = true
    await this.#open.staged.publish()
  }

  async discard(): Promise<void> {
    if (this.#open === null) return
    await this.#open.handle.close()
    await this.#open.staged.discard()
    if (this.#published) await this.#place.objects.delete(this.#path)
  }
}

/** Statistics of a file that lost rows: they bound what is left, but no longer tightly (section "Per-file Statistics"). */
function wideStats(stats: string | null, physicalRows: number): string {
  const bare = `{"numRecords":${physicalRows},"tightBounds":false}`
  if (stats === null) return bare
  let parsed: unknown
  try {
    parsed = JSON.parse(stats)
  } catch {
    return bare
  }
  if (!isObject(parsed) || numberOf(parsed.numRecords) !== physicalRows) return bare
  if (parsed.tightBounds === false) return stats
  // The text itself is changed: numbers that a double cannot hold would not survive being parsed and printed.
  const loose = stats.replace(/,"tightBounds":true\s*\}\s*$/, '}')
  if (parsed.tightBounds !== undefined && loose === stats) return bare
  return loose.replace(/\}\s*$/, ',"tightBounds":false}')
}
