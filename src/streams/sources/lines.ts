/**
 * Cuts bytes that come in blocks into lines. A line longer than the limit is passed over while it is read: of it, only the
 * first bytes are kept, so no line can fill the memory.
 */
export interface RawLine {
  /** The line with its line end; the first bytes only when it is too long. */
  readonly bytes: Buffer
  /** How many bytes it has in all. */
  readonly size: number
  readonly tooLong: boolean
}

export interface LineCutter {
  /** The lines that end in this block. */
  push(block: Buffer): Generator<RawLine>
  /** The last line when it has no line end. */
  end(): RawLine | null
}

export const NEWLINE = 0x0a
/** What is kept of a line that is too long. */
const EXCERPT = 4096

export function createLineCutter(limit: number): LineCutter {
  let parts: Buffer[] = []
  let size = 0

  const keep = (part: Buffer): void => {
    const wasTooLong = size > limit
    size += part.length
    if (wasTooLong) return
    parts.push(part)
    // A copy, so that the blocks it came in can go.
    if (size > limit) parts = [Buffer.from(Buffer.concat(parts).subarray(0, EXCERPT))]
  }

  const take = (): RawLine => {
    const line = { bytes: parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts), size, tooLong: size > limit }
    parts = []
    size = 0
    return line
  }

  return {
    *push(block) {
      let from = 0
      for (let end = block.indexOf(NEWLINE); end >= 0; end = block.indexOf(NEWLINE, from)) {
        keep(block.subarray(from, end + 1))
        from = end + 1
        yield take()
      }
      if (from < block.length) keep(block.subarray(from))
    },
    end: () => (size > 0 ? take() : null),
  }
}
