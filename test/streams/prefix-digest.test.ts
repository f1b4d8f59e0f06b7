import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPrefixDigest } from '../../src/streams/sources/prefix-digest.ts'

describe('the digest of what was taken', () => {
  it('is that of the bytes before the last line end, wherever blocks begin and whenever it is asked for', () => {
    const block = fc.array(fc.constantFrom('a', 'b', '\n'), { minLength: 1, maxLength: 9 }).map((parts) => Buffer.from(parts.join('')))
    fc.assert(
      fc.property(fc.array(fc.tuple(block, fc.boolean(), fc.boolean()), { maxLength: 12 }), (blocks) => {
        const whole = Buffer.concat(blocks.map(([bytes]) => bytes))
        const plain = (to: number): string => createHash('sha256').update(whole.subarray(0, to)).digest('hex')
        const digest = createPrefixDigest()
        let start = 0
        let taken = 0
        for (const [bytes, asksFirst, asksAtLines] of blocks) {
          digest.push(bytes, taken)
          if (asksFirst) expect(digest.upTo(taken)).toBe(plain(taken))
          for (let i = 0; i < bytes.length; i++) {
            if (bytes[i] !== 0x0a) continue
            taken = start + i + 1
            if (asksAtLines) expect(digest.upTo(taken)).toBe(plain(taken))
          }
          start += bytes.length
        }
        expect(digest.upTo(taken)).toBe(plain(taken))
        expect(digest.upTo(whole.length)).toBe(plain(whole.length))
      }),
    )
  })
})
