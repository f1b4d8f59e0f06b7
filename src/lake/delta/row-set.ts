/**
 * RowSet: positions of rows in a data file. Positions are gathered in blocks, and only a block that holds one takes memory; the bits of a
 * block stand as DuckDB's `get_bit` counts them, so that SQL can ask for them. Sets of many files become one condition of a scan.
 */
import { literal } from './sql.ts'

/** Positions from `start` on, before `end`. */
export type Run = readonly [start: number, end: number]

/** Rows of a block. */
const BLOCK_ROWS = 2048
const BLOCK_SHIFT = 11
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

  /** For every block up to the last, the number of the bytes that hold it, or null; and those bytes, by their numbers. */
  blocks(): { readonly numbers: readonly (number | null)[]; readonly bytes: Uint8Array } {
    let last = this.#slots.length
    while (last > 0 && this.#slots[last - 1] === 0) last--
    return {
      numbers: Array.from(this.#slots.subarray(0, last), (slot) => (slot === 0 ? null : slot - 1)),
      bytes: this.#bytes.subarray(0, this.#used * BLOCK_BYTES),
    }
  }
}

/** Which rows of a file are read: all but those of a set, or only those. */
export interface Selection {
  readonly rows: RowSet
  readonly only: boolean
}

/** Files that stand in one condition; more of them would make bits that cannot be addressed. */
const MOST_BLOCKS = 2 ** 15

/** Cuts files into neighbours whose selections fit into one condition. */
export function fittingRuns<T extends { readonly selection: Selection | null }>(files: readonly T[]): T[][] {
  const runs: T[][] = []
  let blocks = 0
  for (const file of files) {
    const more = file.selection?.rows.blocks().numbers.length ?? 0
    const run = runs.at(-1)
    if (run && blocks + more <= MOST_BLOCKS) run.push(file)
    else {
      runs.push([file])
      blocks = 0
    }
    blocks += more
  }
  return runs
}

/**
 * SQL over `file_row_number` that is true for the rows to read of files that one `read_parquet` reads, null when that is every row. `file`
 * is SQL for a file's number among them. The bits of all files stand in one text; a list tells which of its blocks are a file's, so that what
 * is said grows with the rows that are named and not with the files. It needs no temporary table and can be run on any connection.
 */
export function selectionSql(selections: readonly (Selection | null)[], file: string): string | null {
  if (selections.every((selection) => selection === null)) return null
  const nothing = 0
  const everything = 1
  const bytes: Uint8Array[] = [new Uint8Array(BLOCK_BYTES), new Uint8Array(BLOCK_BYTES).fill(0xff)]
  const order: number[] = []
  const firsts: number[] = []
  const lasts: number[] = []
  let before = bytes.length
  for (const selection of selections) {
    firsts.push(order.length + 1)
    // Behind the last block that a set names stands one for all that follow.
    const missing = selection?.only ? everything : nothing
    const blocks = selection?.rows.blocks()
    for (const number of blocks?.numbers ?? []) order.push(number === null ? missing : before + number)
    order.push(missing)
    lasts.push(blocks?.numbers.length ?? 0)
    if (!selection || !blocks) continue
    bytes.push(selection.only ? blocks.bytes.map((byte) => byte ^ 0xff) : blocks.bytes)
    before += blocks.bytes.length / BLOCK_BYTES
  }
  const bits = `from_base64(${literal(Buffer.concat(bytes).toString('base64'))})::bit`
  const list = (numbers: readonly number[]): string => `string_split('${numbers.join(',')}', ',')::integer[]`
  const one = (numbers: readonly number[]): string => (numbers.length === 1 ? String(numbers[0]) : `(${list(numbers)})[${file} + 1]`)
  const block = `(${list(order)})[${one(firsts)} + least(file_row_number >> ${BLOCK_SHIFT}, ${one(lasts)})]`
  return `get_bit(${bits}, (${block} << ${BLOCK_SHIFT}) + (file_row_number & ${BLOCK_ROWS - 1})::integer) = 0`
}
