/**
 * Deletion vectors (section "Deletion Vectors"): which rows of a data file are gone although the file holds them. A vector is read
 * from where its descriptor says and checked; what it holds is a set of rows.
 */
import { open } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import { LagoaError, invalid, missing, unsupported } from '../../base/index.ts'
import { isObject, numberOf, textOf } from './json.ts'
import { BadBitmap, bitmapArrayRuns } from './roaring.ts'
import { dataPath } from './paths.ts'
import { MOST_POSITIONS, RowSet, type Run } from './row-set.ts'
import type { Place } from './types.ts'

/** Section "Deletion Vector Descriptor Schema". */
export interface DeletionVector {
  /** `u`: a file named by a UUID in the table's folder; `i`: in the descriptor itself; `p`: a file by its absolute path. */
  readonly storageType: string
  readonly pathOrInlineDv: string
  readonly offset: number | null
  readonly sizeInBytes: number
  /** How many rows it deletes. */
  readonly cardinality: number
}

/** Null when it is none; one of which a part is missing is damage. */
export function deletionVectorFrom(value: unknown): DeletionVector | null {
  if (!isObject(value)) return null
  const storageType = textOf(value.storageType)
  // A Parquet checkpoint may hold a struct of nulls where there is none.
  if (storageType === null) return null
  const pathOrInlineDv = textOf(value.pathOrInlineDv)
  const sizeInBytes = numberOf(value.sizeInBytes)
  const cardinality = numberOf(value.cardinality)
  if (pathOrInlineDv === null || sizeInBytes === null || cardinality === null)
    throw invalid('lake.log_damaged', `A deletion vector of the log lacks its path, size or cardinality: ${JSON.stringify(value)}`, {
      hint: 'Restore the _delta_log folder from a backup. Without the vector, deleted rows would be back.',
    })
  return { storageType, pathOrInlineDv, offset: numberOf(value.offset), sizeInBytes, cardinality }
}

/** What tells the vectors of a data file apart (section "Derived Fields"). */
export function vectorId(vector: DeletionVector): string {
  return `${vector.storageType}${vector.pathOrInlineDv}${vector.offset === null ? '' : `@${vector.offset}`}`
}

/** The rows that a vector takes away from a data file. */
export async function readVector(place: Place, root: string, file: string, vector: DeletionVector): Promise<RowSet> {
  const bytes = vector.storageType === 'i' ? inlineBytes(root, file, vector) : await storedBytes(place, root, file, vector)
  try {
    return checkedRows(bitmapArrayRuns(bytes), vector.cardinality)
  } catch (error) {
    throw error instanceof BadBitmap ? damaged(root, file, error.message) : error
  }
}

function checkedRows(runs: Iterable<Run>, cardinality: number): RowSet {
  const rows = new RowSet()
  let count = 0
  let last = -1
  for (const [start, end] of runs) {
    if (start <= last) throw new BadBitmap('its positions do not ascend')
    if (end > MOST_POSITIONS) throw new BadBitmap(`it names row ${end - 1}, and files have at most ${MOST_POSITIONS} rows here`)
    last = end - 1
    count += end - start
    if (count > cardinality) break
    rows.add(start, end)
  }
  if (count !== cardinality) throw new BadBitmap(`it deletes ${count > cardinality ? 'more' : count} rows and the log says ${cardinality}`)
  return rows
}

function inlineBytes(root: string, file: string, vector: DeletionVector): Uint8Array {
  const bytes = fromBase85(vector.pathOrInlineDv)
  if (bytes === null || bytes.length < vector.sizeInBytes) throw damaged(root, file, 'its text in the log is cut off or no base85')
  return bytes.subarray(0, vector.sizeInBytes)
}

/** In a file a vector stands as its size, its bytes and their CRC-32, both numbers big endian (section "Deletion Vector File Storage Format"). */
async function storedBytes(place: Place, root: string, file: string, vector: DeletionVector): Promise<Uint8Array> {
  const path = await vectorFile(place, root, file, vector)
  const handle = await open(await localFile(place, root, file, path))
  try {
    // Bytes are taken on the log's word, so that word must fit the file before they are.
    const { size } = await handle.stat()
    const offset = vector.offset ?? 1
    if (vector.sizeInBytes < 0 || offset < 0 || offset + vector.sizeInBytes + 8 > size) throw damaged(root, file, `${path} ends before it does`)
    const bytes = Buffer.alloc(vector.sizeInBytes + 8)
    await handle.read(bytes, 0, bytes.length, offset)
    const told = bytes.readUInt32BE(0)
    if (told !== vector.sizeInBytes) throw damaged(root, file, `${path} has ${told} bytes for it and the log says ${vector.sizeInBytes}`)
    const data = bytes.subarray(4, -4)
    if (crc32(data) !== bytes.readUInt32BE(bytes.length - 4)) throw damaged(root, file, `its checksum in ${path} is another one`)
    return data
  } finally {
    await handle.close()
  }
}

async function localFile(place: Place, root: string, file: string, path: string): Promise<string> {
  try {
    return await place.objects.localFile(path)
  } catch (error) {
    if (!(error instanceof LagoaError) || error.code !== 'storage.missing_object') throw error
    throw missing('lake.data_file_missing', `The deletion vector ${path} of ${file} in table ${root} is not there`, {
      hint: 'Restore the file from a backup, or read an earlier or later version. Without it deleted rows would be back.',
      cause: error,
    })
  }
}

/** The object that holds a vector. */
export async function vectorFile(place: Place, root: string, file: string, { storageType, pathOrInlineDv }: DeletionVector): Promise<string> {
  if (storageType === 'u') {
    const uuid = fromBase85(pathOrInlineDv.slice(-20))
    const folder = pathOrInlineDv.slice(0, -20)
    if (uuid?.length !== 16 || !/^[\w-]*$/.test(folder)) throw damaged(root, file, `${pathOrInlineDv} names no file`)
    const name = Buffer.from(uuid)
      .toString('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    return `${root}/${folder === '' ? '' : `${folder}/`}deletion_vector_${name}.bin`
  }
  if (storageType !== 'p')
    throw unsupported('lake.feature_unsupported', `Table ${root} cannot be read here: ${file} has a deletion vector of the storage type ${storageType}`)
  return dataPath(place.objects, root, pathOrInlineDv)
}

function damaged(root: string, file: string, what: string): LagoaError {
  return invalid('lake.deletion_vector_damaged', `The deletion vector of ${file} in table ${root} cannot be read: ${what}`, {
    hint: 'Restore the file from a backup, or read an earlier version. Without the vector, deleted rows would be back.',
  })
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'

/** The Z85 form of base85; null when the text is none. */
export function fromBase85(text: string): Uint8Array | null {
  if (text.length % 5 !== 0) return null
  const bytes = new Uint8Array((text.length / 5) * 4)
  const view = new DataView(bytes.buffer)
  for (let group = 0; group < text.length / 5; group++) {
    let value = 0
    for (const digit of text.slice(5 * group, 5 * group + 5)) {
      const known = DIGITS.indexOf(digit)
      if (known < 0) return null
      value = value * 85 + known
    }
    if (value > 0xffff_ffff) return null
    view.setUint32(4 * group, value)
  }
  return bytes
}

/** Filled up with zeros to whole groups of four bytes. */
export function toBase85(bytes: Uint8Array): string {
  const view = new DataView(new ArrayBuffer(Math.ceil(bytes.length / 4) * 4))
  bytes.forEach((byte, i) => view.setUint8(i, byte))
  let text = ''
  for (let at = 0; at < view.byteLength; at += 4) {
    let value = view.getUint32(at)
    let group = ''
    for (let digit = 0; digit < 5; digit++) {
      group = DIGITS.charAt(value % 85) + group
      value = Math.floor(value / 85)
    }
    text += group
  }
  return text
}
