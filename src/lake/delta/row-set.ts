/**
 * RowSet: positions of rows in a data file. They are gathered in blocks, and only a block that holds one takes memory. Sets of many files
 * become one condition of a scan.
 */
import { choiceSql, literal } from './sql.ts'

/** Positions from `start` on, before `end`. */
export type Run = readonly [start: number, end: number]

/** Rows of a block. */
const BLOCK_ROWS = 2048
const BLOCK_BYTES = BLOCK_ROWS / 8

/** What `get_bit` can address, and more rows than any data file that is read here has. */
export const MOST_POSITIONS: number = 2 ** 31 - 1

export class RowSet {
  /** By block: where its bytes are in `#bytes`, counted in blocks from 1 on; 0 when it holds nothing. */
  #slots = new Int32Array(0)
  #bytes: Buffer = Buffer.alloc(0)
  #used = 0

  static of(runs: Iterable<Run>): RowSet {
    const set = new RowSet()
    for (const [start, end] of runs) set.add(start, end)
    return set
  }

  /** Positions from `start` on, before `end`. */
  add(start: number, end: number): void {
    for (let at = start; at < end;) {
      const block = Math.floor(at / BLOCK_ROWS)
      const until = Math.min(end, (block + 1) * BLOCK_ROWS)
      this.#set(this.#slot(block) * BLOCK_BYTES, at - block * BLOCK_ROWS, until - block * BLOCK_ROWS)
      at = until
    }
  }

  #set(offset: number, from: number, to: number): void {
    for (let bit = from; bit < to;) {
      const byte = offset + (bit >> 3)
      if ((bit & 7) === 0 && bit + 8 <= to) {
        this.#bytes[byte] = 0xff
        bit += 8
      } else {
        this.#bytes[byte] = (this.#bytes[byte] ?? 0) | (0x80 >> (bit & 7))
        bit++
      }
    }
  }

  /** Where a block's bytes are, which are made when it has none. */
  #slot(block: number): number {
    if (block >= this.#slots.length) {
      const larger = new Int32Array(Math.max(block + 1, 2 * this.#slots.length))
      larger.set(this.#slots)
      this.#slots = larger
    }
    const known = this.#slots[block] ?? 0
    if (known > 0) return known - 1
    if ((this.#used + 1) * BLOCK_BYTES > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(BLOCK_BYTES, 2 * this.#bytes.length))
      larger.set(this.#bytes)
      this.#bytes = larger
    }
    this.#slots[block] = ++this.#used
    return this.#used - 1
  }

  /** How many positions there are. */
  get size(): number {
    let size = 0
    for (const [start, end] of this.runs()) size += end - start
    return size
  }

  /** Ascending, neighbouring ones joined. */
  *runs(): Generator<Run> {
    let start = -1
    let end = -1
    for (let block = 0; block < this.#slots.length; block++) {
      const slot = this.#slots[block] ?? 0
      if (slot === 0) continue
      for (let byte = 0; byte < BLOCK_BYTES; byte++) {
        const bits = this.#bytes[(slot - 1) * BLOCK_BYTES + byte] ?? 0
        if (bits === 0) continue
        for (let bit = 0; bit < 8; bit++) {
          if ((bits & (0x80 >> bit)) === 0) continue
          const position = block * BLOCK_ROWS + byte * 8 + bit
          if (position === end) {
            end++
            continue
          }
          if (start >= 0) yield [start, end]
          start = position
          end = position + 1
        }
      }
    }
    if (start >= 0) yield [start, end]
  }

  /** Both together. */
  with(other: RowSet): RowSet {
    const both = RowSet.of(this.runs())
    for (const [start, end] of other.runs()) both.add(start, end)
    return both
  }

  /** Without the positions of another. */
  without(other: RowSet): RowSet {
    const left = new RowSet()
    const gone = other.runs()
    let next = gone.next()
    for (const [start, end] of this.runs()) {
      let at = start
      while (at < end) {
        while (!next.done && next.value[1] <= at) next = gone.next()
        if (next.done || next.value[0] >= end) {
          left.add(at, end)
          break
        }
        if (next.value[0] > at) left.add(at, next.value[0])
        at = next.value[1]
      }
    }
    return left
  }
}

/** Which rows of a file are read: all but those of a set, or only those. */
export interface Selection {
  readonly rows: RowSet
  readonly only: boolean
}

/** Rows of which the bits stand in one text. */
const PART_ROWS = 0x10000

/**
 * SQL over `file_row_number` that is true for the rows to read of files that one `read_parquet` reads, null when that is every row. `file`
 * is SQL for a file's number among them. It chooses by file and by the part of it that a row lies in, so that no constant is large. It needs
 * no temporary table, so it can be run on any connection and does not change the order of rows, as a join might.
 */
export function selectionSql(selections: readonly (Selection | null)[], file: string): string | null {
  const leaves = selections.flatMap((selection, number) => (selection === null ? [] : [{ from: number, sql: fileSql(selection) }]))
  if (leaves.length === 0) return null
  const sole = selections.length === 1 ? leaves[0]?.sql : undefined
  return (
    sole ??
    choiceSql(
      leaves.map(({ from, sql }) => ({ from, sql: `case when ${file} = ${from} then ${sql} else true end` })),
      file,
    )
  )
}

function fileSql({ rows, only }: Selection): string {
  const other = only ? 'false' : 'true'
  const leaves = [...partsOf(rows)].map(({ first, last, bits }) => ({
    from: first,
    sql: `case when file_row_number between ${first} and ${last} then get_bit(from_base64(${literal(bits)})::bit, (file_row_number - ${first})::integer) = ${only ? 1 : 0} else ${other} end`,
  }))
  return leaves.length === 0 ? other : choiceSql(leaves, 'file_row_number')
}

/** The bits of each part that holds a row, from its first row to its last, in base64; DuckDB counts the bits of a byte from its highest. */
function* partsOf(rows: RowSet): Generator<{ readonly first: number; readonly last: number; readonly bits: string }> {
  let first = -1
  let last = -1
  const bytes = Buffer.alloc(PART_ROWS / 8)
  const part = (): { first: number; last: number; bits: string } => ({ first, last, bits: bytes.toString('base64', 0, ((last - first) >> 3) + 1) })
  for (const [start, end] of rows.runs()) {
    for (let position = start; position < end; position++) {
      if (first >= 0 && position - first >= PART_ROWS) {
        yield part()
        bytes.fill(0)
        first = -1
      }
      if (first < 0) first = position
      last = position
      const bit = position - first
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7))
    }
  }
  if (first >= 0) yield part()
}
