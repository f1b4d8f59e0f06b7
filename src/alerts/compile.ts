/** Declared rule -> rule ready to run. Everything a project can get wrong in a rule is found here, when it is loaded. */
import { z } from 'zod'
import { closest, invalid, parseDuration, type Schema } from '../base/index.ts'
import { checkCondition } from './cel/check.ts'
import { fieldsOf, limitsOf, type Expression, type Limit } from './cel/expression.ts'
import type { Alert, AlertMode, Condition, Route, RuleStream, Severity } from './declare.ts'
import type { EpisodeRule } from './episodes.ts'
import type { JsonScalar } from './values.ts'

export interface CompiledRule {
  readonly name: string
  readonly stream: RuleStream
  readonly mode: AlertMode
  readonly severity: Severity
  readonly when: Expression
  readonly clear: Expression | null
  readonly whenText: string
  readonly clearText: string | null
  /** How `for` was written, for people. */
  readonly forText: string | null
  readonly episode: EpisodeRule
  /** The field that tells whose reading it is; null when the stream as a whole is one. */
  readonly by: string | null
  readonly routes: readonly Route[]
  readonly description: string | null
  /** The plain comparisons of the condition, for charts. */
  readonly limits: readonly Limit[]
  message(key: string, values: Readonly<Record<string, JsonScalar>>): string
}

const text = z.string()
/** What declarations look like at run time, where types check nothing. The stream and the conditions are looked at by themselves. */
const OPTIONS = z.strictObject({
  on: z.looseObject({ kind: z.literal('stream'), name: text }, { error: 'must be a stream, as in on: readings' }),
  when: z.unknown(),
  clear: z.unknown().optional(),
  for: z.custom<string | { readonly readings: number }>(isHold, { error: "must be a duration such as '5 min', or { readings: 3 }" }).optional(),
  mode: z.enum(['episode', 'each']).optional(),
  by: text.optional(),
  severity: z.enum(['info', 'warning', 'critical']).optional(),
  to: z.array(
    z.strictObject({ kind: z.literal('queue'), name: text.regex(/^[^\s\0]{1,200}$/, 'must be 1 to 200 characters without spaces'), durable: z.boolean() }),
    {
      error: "must be a list of routes, as in to: [queue('sensor_alert')]",
    },
  ),
  message: text.max(2_000).optional(),
  description: text.max(10_000).optional(),
  owner: text.max(200).optional(),
  tags: z.array(text.max(200)).optional(),
})

const READINGS = z.strictObject({ readings: z.int().min(1).max(1_000_000) })

function isHold(given: unknown): boolean {
  return typeof given === 'string' ? (parseDuration(given) ?? 0) > 0 : READINGS.safeParse(given).success
}

/** Throws a LagoaError that names the rule, the place and what to write instead. */
export function compileRule(alert: Alert): CompiledRule {
  const { name, options } = alert
  if (typeof name !== 'string' || !/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/.test(name)) {
    throw invalid('alerts.bad_name', `A rule is called ${JSON.stringify(name)}`, { hint: 'Use letters, digits, _ . and -, at most 100 of them.' })
  }
  const shape = OPTIONS.safeParse(options)
  if (!shape.success) {
    const [issue] = shape.error.issues
    throw invalid(
      'alerts.bad_rule',
      `Rule "${name}": ${issue ? `\`${issue.path.join('.') || 'options'}\` ${lowerFirst(issue.message)}` : 'its options are wrong'}`,
      {
        hint: "A rule looks like alert('high_co', { on: readings, when: cel`${readings.c.co} > 10`, to: [queue('sensor_alert')] }).",
      },
    )
  }
  const { schema } = options.on
  const when = condition(name, 'when', options.when, options.on)
  const clear = options.clear === undefined ? null : condition(name, 'clear', options.clear, options.on)
  const mode = options.mode ?? 'episode'
  if (mode === 'each' && (clear !== null || options.for !== undefined)) {
    throw invalid(
      'alerts.bad_rule',
      `Rule "${name}": mode 'each' alerts on every matching reading, so \`${clear === null ? 'for' : 'clear'}\` has no meaning`,
      {
        hint: `Leave it out, or use mode: 'episode'.`,
      },
    )
  }
  const by = options.by ?? options.on.options.key ?? null
  if (by !== null) knownField(name, 'by', by, schema)
  const held = options.for
  return {
    name,
    stream: options.on,
    mode,
    severity: options.severity ?? 'warning',
    when: when.expression,
    clear: clear?.expression ?? null,
    whenText: when.text,
    clearText: clear?.text ?? null,
    forText: held === undefined ? null : typeof held === 'string' ? held : `${held.readings} ${held.readings === 1 ? 'reading' : 'readings'}`,
    episode: {
      readings: typeof held === 'object' ? held.readings : 1,
      holdMs: typeof held === 'string' ? (parseDuration(held) ?? 0) : 0,
      hasClear: clear !== null,
    },
    by,
    routes: uniqueRoutes(options.to),
    description: options.description ?? null,
    limits: limitsOf(when.expression),
    message: options.message === undefined ? plainMessage(name, when.expression, schema) : template(name, options.message, schema),
  }
}

/** All rules of a project; refuses two of one name. */
export function compileRules(alerts: readonly Alert[]): CompiledRule[] {
  const names = new Set<string>()
  return alerts.map((alert) => {
    const rule = compileRule(alert)
    if (names.has(rule.name)) throw invalid('alerts.two_rules', `Two rules are called "${rule.name}"`, { hint: 'Give one of them another name.' })
    names.add(rule.name)
    return rule
  })
}

function condition(rule: string, part: 'when' | 'clear', given: Condition, on: RuleStream): { readonly text: string; readonly expression: Expression } {
  if (typeof given !== 'string' && given?.kind !== 'cel') {
    throw invalid('alerts.bad_rule', `Rule "${rule}": \`${part}\` is no condition`, {
      hint: `Write ${part}: 'co > 10', or the same as cel\`...\` with columns.`,
    })
  }
  if (typeof given === 'string') return { text: given, expression: checkCondition({ rule, part, text: given }, on.schema) }
  for (const column of given.columns) {
    if (column.asset !== on.name) {
      throw invalid('alerts.other_stream', `Rule "${rule}": its \`${part}\` uses ${column.asset}.${column.name}, but the rule is on the stream ${on.name}`, {
        hint: `Use a column of ${on.name}, or set on: to the stream ${column.asset}.`,
      })
    }
    if (!/^[A-Za-z_]\w*$/.test(column.name)) {
      throw invalid('alerts.bad_column_name', `Rule "${rule}": the field "${column.name}" of ${on.name} has a name that CEL cannot write`, {
        hint: 'Give the field a name of letters, digits and _, and rename it in the stream with `upcast`.',
      })
    }
  }
  return { text: given.text, expression: checkCondition({ rule, part, text: given.text }, on.schema) }
}

function knownField(rule: string, part: string, field: string, schema: Schema): void {
  if (Object.hasOwn(schema, field)) return
  const near = closest(field, Object.keys(schema))
  throw invalid('alerts.unknown_field', `Rule "${rule}": its \`${part}\` names "${field}", which the stream has not`, {
    hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The stream has the fields ${Object.keys(schema).slice(0, 30).join(', ')}.`,
  })
}

function uniqueRoutes(routes: readonly Route[]): Route[] {
  return routes.filter((route, i) => routes.findIndex((other) => other.kind === route.kind && other.name === route.name) === i)
}

type Message = CompiledRule['message']

function template(rule: string, given: string, schema: Schema): Message {
  const names = [...given.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1] ?? '')
  for (const name of names) if (name !== 'key' && name !== 'rule') knownField(rule, 'message', name, schema)
  return (key, values) => given.replace(/\{([^{}]*)\}/g, (_, name: string) => (Object.hasOwn(values, name) ? shown(values[name]) : name === 'key' ? key : rule))
}

/** `high_co at s1: co = 12.5 mg/m3` */
function plainMessage(rule: string, when: Expression, schema: Schema): Message {
  const fields = fieldsOf(when)
  const units = new Map(fields.map((name) => [name, schema[name]?.unitText === undefined ? '' : ` ${schema[name].unitText}`]))
  return (key, values) =>
    `${rule}${key === '' ? '' : ` at ${key}`}: ${fields.map((name) => `${name} = ${shown(values[name])}${values[name] === null ? '' : units.get(name)}`).join(', ')}`
}

function shown(value: JsonScalar | undefined): string {
  return value === null || value === undefined ? 'no reading' : String(value)
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1)
}
