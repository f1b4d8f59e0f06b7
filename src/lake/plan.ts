/** What a refresh has to do, decided from versions alone. */
import type { RefreshMode } from './model.ts'

export type RefreshPlan =
  | { readonly kind: 'nothing' }
  /** All rows. `anew`: what was covered before counts for nothing, because it was made by another definition or from other tables. */
  | { readonly kind: 'rebuild'; readonly upTo: number; readonly anew: boolean }
  /** The driver's versions (after, upTo]. */
  | { readonly kind: 'changes'; readonly after: number; readonly upTo: number }

export interface RefreshState {
  /** The driver's version, or for `full` the sum of all inputs' versions plus their number; null when an input has no rows yet. */
  readonly input: number | null
  /** The version that the table's last refresh covered. */
  readonly covered: number | null
  /** The table and its quarantine were made together, by this definition and from these inputs. */
  readonly current: boolean
}

/**
 * A crash between the commits of the quarantine and of the table needs no plan of its own: held rows carry the version that they came
 * with, so the next refresh, whatever it covers, replaces those that are ahead of the table.
 */
export function planRefresh(mode: RefreshMode['kind'], { input, covered, current }: RefreshState): RefreshPlan {
  if (input === null) return { kind: 'nothing' }
  if (covered === null || !current || input < covered) return { kind: 'rebuild', upTo: input, anew: true }
  if (input === covered) return { kind: 'nothing' }
  return mode === 'full' ? { kind: 'rebuild', upTo: input, anew: false } : { kind: 'changes', after: covered, upTo: input }
}
