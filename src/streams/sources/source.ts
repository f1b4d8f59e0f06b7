/**
 * A source feeds one stream. It owns a position in what it reads; the log stores that position together with the records,
 * so a source that is stopped or killed at any moment goes on exactly after its last stored record.
 */
export interface Source {
  readonly kind: string
  /** Its natural pace in records per second, used unless another rate is asked for. */
  readonly rate?: number
  /** Whether it ends by itself (a file) or goes on for ever (a simulation, a subscription). */
  readonly ends: boolean
  /** Yields batches from just after `resume`. Ends when there is no more, or when the signal aborts. */
  read(context: SourceContext): AsyncIterable<SourceBatch>
  /** A name for the position that stays the same over restarts: what is read, not where it lies. */
  identity(): Promise<string>
}

/** What a start of Lagoa may ask of a project's own source (`--stations`, `--seed`, `--count`). */
export interface SimulationSettings {
  readonly stations?: number | undefined
  readonly seed?: number | undefined
  /** Ends after this many readings. */
  readonly count?: number | undefined
  /** Epoch milliseconds of the first reading; the clock's time when absent. */
  readonly start?: number | undefined
}

export interface SourceContext {
  readonly resume: { readonly sequence: number; readonly note: Readonly<Record<string, unknown>> } | null
  /** At most this many records in a batch; whoever reads decides how often to ask. */
  readonly batch: number
  /** How many records a second are asked for; Infinity for as fast as the log takes them. */
  readonly rate: number
  readonly signal: AbortSignal
}

/**
 * Records numbered one by one: the values of a batch are the source's records `sequence - values.length + 1` to `sequence`. Record n is
 * the same every time the source is read, however it is cut into batches, so what is already stored can be told apart after a crash.
 */
export interface SourceBatch {
  readonly sequence: number
  readonly note: Readonly<Record<string, unknown>>
  /** Well-formed JSON texts, one a record. */
  readonly values: readonly string[]
  readonly keys: readonly (string | null)[] | null
  /** What could not be read as a record, with its line number, which grows; it goes to the dead letters. */
  readonly broken?: readonly BrokenLine[]
  /** Lines that hold nothing (blank, only separators), since the source began. */
  readonly blank?: number
}

export interface BrokenLine {
  readonly line: number
  /** The line, or its first bytes. */
  readonly bytes: Uint8Array
  readonly reason: string
}
