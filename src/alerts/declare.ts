/** `alert(...)`: how a project declares a rule over a stream, when it fires and where its alerts go. */
import type { ColumnRef, Schema } from '../base/index.ts'
import { invalid } from '../base/index.ts'

export type AlertMode = 'episode' | 'each'
export type Severity = 'info' | 'warning' | 'critical'

/** What rules need to know of a stream; every declared stream is one. */
export interface RuleStream<S extends Schema = Schema> {
  readonly kind: 'stream'
  readonly name: string
  readonly schema: S
  readonly options: { readonly key?: string; readonly eventTime?: string }
}

export interface AlertOptions<S extends Schema = Schema> {
  readonly on: RuleStream<S>
  /** The condition, in CEL. A null or missing value makes a comparison unknown, which never fires. */
  readonly when: Condition
  /** Ends an episode. Without it an episode ends with the first reading for which `when` is false. Unknown never ends one. */
  readonly clear?: Condition
  /** How long the condition must hold before an episode fires: a duration in event time, or a number of consecutive matching readings. */
  readonly for?: string | { readonly readings: number }
  /** `episode` (the default): one alert from the first matching reading to the end of the condition. `each`: one alert a matching reading. */
  readonly mode?: AlertMode
  /** The field that tells whose reading it is, so that each has its own episodes; the stream's key by default. */
  readonly by?: keyof S & string
  readonly severity?: Severity
  readonly to: readonly Route[]
  /** What the alert says. `{field}` is the field's value in the reading that fired, `{key}` and `{rule}` are what they say. */
  readonly message?: string
  readonly description?: string
  /** Who answers for it: a person or a team. */
  readonly owner?: string
  readonly tags?: readonly string[]
}

export interface Alert {
  readonly kind: 'alert'
  readonly name: string
  readonly options: AlertOptions
}

export function alert<const S extends Schema>(name: string, options: AlertOptions<S>): Alert {
  return { kind: 'alert', name, options: { ...options } }
}

/** A condition in CEL: a `cel` template, or its plain text. Both are checked when the project is loaded. */
export type Condition = CelText | string

export interface CelText {
  readonly kind: 'cel'
  readonly text: string
  readonly columns: readonly ColumnRef[]
}

/**
 * CEL with references: a column prints as its name, a string, number or boolean as its literal, another `cel` in parentheses.
 *
 *   cel`${readings.c.co} > ${limit} || ${readings.c.no2} > 200`
 */
export function cel(texts: TemplateStringsArray, ...values: readonly (ColumnRef | CelText | string | number | boolean)[]): CelText {
  const columns: ColumnRef[] = []
  let text = texts[0] ?? ''
  values.forEach((value, i) => {
    text += printed(value, columns) + (texts[i + 1] ?? '')
  })
  return { kind: 'cel', text, columns }
}

function printed(value: ColumnRef | CelText | string | number | boolean, columns: ColumnRef[]): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw invalid('alerts.bad_literal', `cel\`...\` was given the number ${value}`, { hint: 'Pass a finite number.' })
    return String(value)
  }
  if (value?.kind === 'column') {
    columns.push(value)
    return value.name
  }
  if (value?.kind === 'cel') {
    columns.push(...value.columns)
    return `(${value.text})`
  }
  throw invalid('alerts.bad_literal', `cel\`...\` was given ${value === undefined ? 'undefined' : 'a value it cannot print'}`, {
    hint: 'Pass a column such as ${readings.c.co}, a string, a number, a boolean or another cel`...`.',
  })
}

/** Where alerts go. The kinds of a route are an open list: match on `kind`. */
export type Route = QueueRoute

export interface QueueRoute {
  readonly kind: 'queue'
  readonly name: string
  readonly durable: boolean
}

/**
 * Sends alerts to this queue, durable unless said otherwise. Say `{ durable: false }` when a consumer declares the queue
 * so: RabbitMQ refuses a declaration that differs from the queue it has.
 */
export function queue(name: string, options: { readonly durable?: boolean } = {}): QueueRoute {
  return { kind: 'queue', name, durable: options.durable ?? true }
}
