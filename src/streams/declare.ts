/** `stream(...)`: how a project declares a topic, its schema, where its records come from and what is kept live. */
import { columnRefs, type ColumnRefs, type RecordOf, type Schema, type ValueOf } from '../base/index.ts'
import type { SimulationSettings, Source } from './sources/source.ts'

export interface StreamOptions<S extends Schema> {
  readonly schema: S
  /** The field whose value is the record key: records of one key keep their order. */
  readonly key?: keyof S & string
  /** The field that tells when the event happened; the time of arrival when absent. */
  readonly eventTime?: keyof S & string
  /** Turns messages of another shape (an older version, a foreign producer) into this schema's; others are passed through. */
  readonly upcast?: (message: Readonly<Record<string, unknown>>) => RecordOf<S> | Readonly<Record<string, unknown>>
  /** Keeps the newest record per key in the live cache. In a list, the first is the one that screens show. */
  readonly live?: Live<S> | readonly Live<S>[]
  /** Keeps each record as a JSON file in the object store, beside tables: for readers who want files. A file costs far more than a row. */
  readonly objects?: KeptObjects<S>
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

/** Which records are kept outside the log and the tables, and in which shape. */
export interface KeptForm<S extends Schema> {
  /** Only records with these values. */
  readonly only?: { readonly [K in keyof S]?: ValueOf<S[K]> }
  /** The shape in which a record is kept; its fields are then those that a template can name. Missing values come as null. */
  as?(record: KeptRecord<S>): Readonly<Record<string, unknown>>
}

/** A record as JSON carries it: times as ISO text. */
export type KeptRecord<S extends Schema> = { readonly [K in keyof S]: Jsoned<Exclude<ValueOf<S[K]>, null>> | null }
type Jsoned<T> = unknown extends T ? string | number | boolean : string | number | Date extends T ? string : T

export interface Live<S extends Schema> extends KeptForm<S> {
  /** The field whose newest record is kept; records without it have no key. */
  readonly by: keyof S & string
  /** `<stream>:<value of by>` when absent, else a template such as `sensor:{sensor}`. */
  readonly key?: string
  readonly ttl?: string | number
}

export interface KeptObjects<S extends Schema> extends KeptForm<S> {
  /** A bucket in which no table lies. */
  readonly bucket: string
  /** A template such as `processed/{date}_{time}.json`. Of several records with one key the last is kept. */
  readonly key: string
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
