/**
 * The types of a record's fields, declared once and used everywhere: validation, rules, lake columns, TypeScript types.
 *
 *   const schema = { sensor: t.string(), at: t.timestamp(), co: t.double().nullable().missing(-200).unit('mg/m3') }
 */

export type FieldType = 'string' | 'int' | 'long' | 'double' | 'boolean' | 'timestamp' | 'date' | 'json'

/** One field. `T` is the TypeScript type of a value a producer may send. */
export class Field<T = unknown> {
  declare readonly __value?: T
  readonly type: FieldType
  readonly isNullable: boolean
  /** Values that stand for "no reading": kept as received in bronze, null to rules, live cache and screens. */
  readonly missingValues: readonly (string | number)[]
  readonly unitText: string | undefined
  readonly description: string | undefined

  constructor(type: FieldType, options: Partial<FieldOptions> = {}) {
    this.type = type
    this.isNullable = options.isNullable ?? false
    this.missingValues = options.missingValues ?? []
    this.unitText = options.unitText
    this.description = options.description
  }

  /** The field may be null or absent. */
  nullable(): Field<T | null> {
    return new Field(this.type, { ...this, isNullable: true })
  }
  /** These values mean "no reading" and are never compared with a limit. */
  missing(...values: (string | number)[]): Field<T> {
    return new Field(this.type, { ...this, missingValues: values })
  }
  unit(text: string): Field<T> {
    return new Field(this.type, { ...this, unitText: text })
  }
  describe(text: string): Field<T> {
    return new Field(this.type, { ...this, description: text })
  }
}

interface FieldOptions {
  readonly isNullable: boolean
  readonly missingValues: readonly (string | number)[]
  readonly unitText: string | undefined
  readonly description: string | undefined
}

export interface FieldTypes {
  /** Unicode text. */
  string(): Field<string>
  /** A 32-bit whole number. */
  int(): Field<number>
  /** A whole number up to 2^53 - 1 in size, which is what JSON carries exactly. */
  long(): Field<number>
  /** A 64-bit float; NaN and infinities are refused. */
  double(): Field<number>
  boolean(): Field<boolean>
  /** An instant: ISO 8601 text with a zone or `Z`, epoch milliseconds, or a Date. Kept in microseconds, UTC. */
  timestamp(): Field<string | number | Date>
  /** A calendar day, `YYYY-MM-DD`. */
  date(): Field<string>
  /** Any JSON value, kept as JSON text. */
  json(): Field<unknown>
}

export const t: FieldTypes = {
  string: () => new Field('string'),
  int: () => new Field('int'),
  long: () => new Field('long'),
  double: () => new Field('double'),
  boolean: () => new Field('boolean'),
  timestamp: () => new Field('timestamp'),
  date: () => new Field('date'),
  json: () => new Field('json'),
}

export type Schema = Readonly<Record<string, Field>>

type NullableKeys<S extends Schema> = { [K in keyof S]: S[K] extends Field<infer T> ? (null extends T ? K : never) : never }[keyof S]
/** What a producer may send for a schema: nullable fields may be left out. */
export type RecordOf<S extends Schema> = { [K in Exclude<keyof S, NullableKeys<S>>]: ValueOf<S[K]> } & { [K in NullableKeys<S>]?: ValueOf<S[K]> }
export type ValueOf<F> = F extends Field<infer T> ? T : never

/** A reference to one column of an asset; tagged templates print it as its quoted name. */
export interface ColumnRef<Name extends string = string, T = unknown> {
  readonly kind: 'column'
  readonly asset: string
  readonly name: Name
  readonly __value?: T
}
export type ColumnRefs<S extends Schema> = { readonly [K in keyof S & string]: ColumnRef<K, ValueOf<S[K]>> }

export function columnRefs<S extends Schema>(asset: string, schema: S): ColumnRefs<S> {
  const refs: Record<string, ColumnRef> = {}
  for (const name of Object.keys(schema)) refs[name] = { kind: 'column', asset, name }
  return refs as ColumnRefs<S>
}
