/** `stream(...)`: how a project declares a topic, its schema, where its records come from and what is kept live. */
import { columnRefs, type ColumnRefs, type RecordOf, type Schema } from '../base/index.ts'
import type { SimulationSettings, Source } from './sources/source.ts'

export interface StreamOptions<S extends Schema> {
  readonly schema: S
  /** The field whose value is the record key: records of one key keep their order. */
  readonly key?: keyof S & string
  /** The field that tells when the event happened; the time of arrival when absent. */
  readonly eventTime?: keyof S & string
  /** Turns messages of another shape (an older version, a foreign producer) into this schema's; others are passed through. */
  readonly upcast?: (message: Readonly<Record<string, unknown>>) => RecordOf<S> | Readonly<Record<string, unknown>>
  /** Keeps the newest record per key in the live cache, under `<stream>:<value of by>` or under a template such as `sensor:{sensor}`. */
  readonly live?: { readonly by: keyof S & string; readonly key?: string; readonly ttl?: string | number }
  /** Where records come from while Lagoa runs, beside the HTTP API. */
  readonly source?: Source | ((settings: SimulationSettings) => Source)
  /** How a file given by `--data` is read into this stream. */
  readonly replay?: (path: string) => Source
  /** Number of partitions, 1 by default. It can grow, not shrink. */
  readonly partitions?: number
  /** How long and how much the log keeps: 7 days and 10 GB per partition by default. */
  readonly retention?: { readonly time?: string | number; readonly bytes?: number }
  readonly description?: string
  /** Who answers for it: a person or a team. */
  readonly owner?: string
  readonly tags?: readonly string[]
}

export interface Stream<S extends Schema = Schema> {
  readonly kind: 'stream'
  readonly name: string
  readonly schema: S
  /** References to the columns, for rules and SQL. */
  readonly c: ColumnRefs<S>
  readonly options: StreamOptions<S>
}

export function stream<const S extends Schema>(name: string, options: StreamOptions<S>): Stream<S> {
  return { kind: 'stream', name, schema: options.schema, c: columnRefs(name, options.schema), options }
}
