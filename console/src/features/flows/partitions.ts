/** Partitions in forms: a field of the browser for each unit, and what it holds as the name of a partition. */
import type { FlowShape } from '../../api/types.ts'

export type Unit = NonNullable<FlowShape['partition']>

/** Weeks and days are chosen by a day; hours are those of UTC. */
export const inputOf = (unit: Unit): { readonly type: 'date' | 'month' | 'text'; readonly placeholder?: string } =>
  unit === 'hour' ? { type: 'text', placeholder: '2026-03-01T05' } : unit === 'month' ? { type: 'month' } : { type: 'date' }

/** Whoever writes an hour with its minutes means the hour. */
export function asPartition(unit: Unit, entered: string): string {
  const text = entered.trim()
  return unit === 'hour' ? text.replace(/^(\d{4}-\d\d-\d\d)[ T](\d\d)(?::\d\d){0,2}Z?$/, '$1T$2') : text
}
