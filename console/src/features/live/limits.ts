/** What a tile says about its station: fresh or stale, and how near its values are to the limits of the rules. */
import type { RuleShape, StreamShape } from '../../api/types.ts'

export type Limit = {
  readonly field: string
  readonly op: '>' | '>=' | '<' | '<='
  readonly value: number
  readonly rule: string
  readonly severity: RuleShape['severity']
}
export type ValueState = 'ok' | 'near' | 'over'
export type TileState = ValueState | 'stale'

const nearShare = 0.9
const staleAfterMs = 15_000
const staleAfterIntervals = 5

export function limitsOf(rules: readonly RuleShape[], stream: string): Limit[] {
  return rules.filter((rule) => rule.on === stream).flatMap((rule) => rule.limits.map((limit) => ({ ...limit, rule: rule.name, severity: rule.severity })))
}

/** `near` from 90 % of an upper limit, and down to a lower limit divided by 0.9. */
export function valueState(value: number, limits: readonly Limit[]): ValueState {
  let worst: ValueState = 'ok'
  for (const limit of limits) {
    const over =
      limit.op === '>' ? value > limit.value : limit.op === '>=' ? value >= limit.value : limit.op === '<' ? value < limit.value : value <= limit.value
    if (over) return 'over'
    const upper = limit.op === '>' || limit.op === '>='
    // A limit of zero or below has no meaningful share; only passing it counts.
    const near = limit.value > 0 && (upper ? value >= limit.value * nearShare : value <= limit.value / nearShare)
    if (near) worst = 'near'
  }
  return worst
}

/** No reading for longer than 15 s or five times the usual interval, whichever is longer. */
export function isStale(ageMs: number, usualIntervalMs: number | undefined): boolean {
  return ageMs > Math.max(staleAfterMs, staleAfterIntervals * (usualIntervalMs ?? 0))
}

export function tileState(
  values: Readonly<Record<string, number | null>>,
  limits: readonly Limit[],
  ageMs: number,
  usualIntervalMs: number | undefined,
): TileState {
  if (isStale(ageMs, usualIntervalMs)) return 'stale'
  let worst: ValueState = 'ok'
  for (const [field, value] of Object.entries(values)) {
    if (value === null) continue
    const state = valueState(
      value,
      limits.filter((limit) => limit.field === field),
    )
    if (state === 'over') return 'over'
    if (state === 'near') worst = 'near'
  }
  return worst
}

const numeric = /^(double|float|real|decimal|numeric|number|tinyint|smallint|int|integer|bigint|long|hugeint|u?int\d*)/i

export function numericFields(stream: StreamShape): StreamShape['fields'] {
  return stream.fields.filter((field) => numeric.test(field.type) && field.name !== stream.key && field.name !== stream.live?.by)
}

/** The fields that get a chart: those with a limit, else the first two numbers. */
export function chartFields(stream: StreamShape, limits: readonly Limit[]): StreamShape['fields'] {
  const numbers = numericFields(stream)
  const limited = numbers.filter((field) => limits.some((limit) => limit.field === field.name))
  return limited.length > 0 ? limited : numbers.slice(0, 2)
}
