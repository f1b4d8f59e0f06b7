/** Milliseconds before attempt `attempt` (from 0); `dice` in 0..1 spreads it over the upper half. */
export function backOff(attempt: number, dice: number): number {
  const full = Math.min(30_000, 1_000 * 2 ** Math.min(attempt, 5))
  return Math.round(full / 2 + (full / 2) * dice)
}
