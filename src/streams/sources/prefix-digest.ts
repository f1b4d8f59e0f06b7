/** The SHA-256 of what was taken so far of bytes that come in blocks; what is taken may end anywhere in the newest block or before it. */
import { createHash } from 'node:crypto'

export interface PrefixDigest {
  /** Passes on to the next block, when everything before `taken` is taken. */
  push(block: Buffer, taken: number): void
  /** The digest of the bytes before `taken`, which never goes back. */
  upTo(taken: number): string
}

export function createPrefixDigest(): PrefixDigest {
  const hash = createHash('sha256')
  let hashed = 0
  let block: Buffer = Buffer.alloc(0)
  let blockAt = 0
  /** Where a line that goes on into the newest block begins. */
  let open = { at: 0, digest: hash.copy().digest('hex') }

  const advance = (to: number): void => {
    hash.update(block.subarray(hashed - blockAt, to - blockAt))
    hashed = to
  }
  const upTo = (taken: number): string => {
    if (taken <= open.at) return open.digest
    advance(taken)
    return hash.copy().digest('hex')
  }
  return {
    upTo,
    push(next, taken) {
      open = { at: taken, digest: upTo(taken) }
      advance(blockAt + block.length)
      blockAt += block.length
      block = next
    },
  }
}
