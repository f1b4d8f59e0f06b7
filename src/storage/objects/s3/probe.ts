/**
 * Whether put-if-absent is exclusive on a store. Some stores accept `If-None-Match` and ignore it, others check it but not at the same
 * moment as they write: on both, two writers would each believe to have committed the same version of a table.
 */
import { randomUUID } from 'node:crypto'
import { unsupported, type LagoaError } from '../../../base/index.ts'
import { RESERVED_PREFIX } from '../paths.ts'
import { putIfAbsent } from './absent.ts'
import type { S3 } from './client.ts'
import { faultOf } from './faults.ts'
import type { Location } from './layout.ts'

const WRITERS = 8
/** The second time all connections are open, so that the writers come at once. */
const ROUNDS = 2

/** `place` answers where a key of the adapter's own lies; all are removed again. */
export async function probeExclusive(s3: S3, place: (key: string) => Location, store: string): Promise<void> {
  const run = randomUUID()
  const one = place(`${RESERVED_PREFIX}probe/${run}/one`)
  const many = Array.from({ length: ROUNDS }, (_, i) => place(`${RESERVED_PREFIX}probe/${run}/many-${i}`))
  try {
    const bytes = Buffer.from('Lagoa tries whether this store writes a key only once.\n')
    if (!(await tried(s3, one, bytes, store))) throw refused(store, 'refused a conditional put of a key that was not there')
    if (await tried(s3, one, bytes, store)) throw refused(store, 'accepted a second conditional put of one key')
    for (const key of many) {
      const won = await Promise.all(Array.from({ length: WRITERS }, () => tried(s3, key, bytes, store)))
      const winners = won.filter(Boolean).length
      if (winners !== 1) throw refused(store, `let ${winners} of ${WRITERS} concurrent conditional puts of one key succeed`)
    }
  } finally {
    await Promise.allSettled([one, ...many].map((key) => s3.delete(key)))
  }
}

async function tried(s3: S3, at: Location, bytes: Uint8Array, store: string): Promise<boolean> {
  try {
    return await putIfAbsent(s3, at, bytes)
  } catch (error) {
    const { status, name } = faultOf(error)
    if (status === 501 || (status === 400 && /NotImplemented|InvalidArgument|InvalidRequest|UnsupportedHeader/.test(name)))
      throw refused(store, `answered ${status} (${name}) to a conditional put`)
    throw error
  }
}

function refused(store: string, what: string): LagoaError {
  return unsupported('storage.not_exclusive', `The object store ${store} cannot hold tables: it ${what} (PutObject with If-None-Match: *)`, {
    hint: 'Use a store or a version of it with conditional writes, such as AWS S3, MinIO or Versity S3 Gateway; and no proxy in front of it that drops If-None-Match. See docs/s3.md.',
  })
}
