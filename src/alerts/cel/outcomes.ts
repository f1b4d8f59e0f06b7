/**
 * Truth with three values (Kleene), and what can be said of a condition before any row is looked at: the set of results it may
 * have, given the least and greatest value of each column.
 */
import type { CompareSign } from './expression.ts'

export const FALSE = 0
export const TRUE = 1
export const UNKNOWN = 2

/** Sets of possible results, as bits. */
export const CAN_BE_FALSE = 1
export const CAN_BE_TRUE = 2
export const CAN_BE_UNKNOWN = 4
export const ANYTHING = 7

/** Of the known values of a column; `least > greatest` when none is known. */
export interface Bounds {
  least: number
  greatest: number
  unknowns: boolean
}

/** The one result of a set with one member. */
export const ONLY: readonly (number | undefined)[] = [UNKNOWN, FALSE, TRUE, undefined, UNKNOWN, undefined, undefined, undefined]

export function outcomesOf(canBeTrue: boolean, canBeFalse: boolean, canBeUnknown: boolean): number {
  return (canBeTrue ? CAN_BE_TRUE : 0) | (canBeFalse ? CAN_BE_FALSE : 0) | (canBeUnknown ? CAN_BE_UNKNOWN : 0)
}

const KLEENE_AND = (a: number, b: number): number => (a === FALSE || b === FALSE ? FALSE : Math.max(a, b))
const KLEENE_OR = (a: number, b: number): number => (a === TRUE || b === TRUE ? TRUE : Math.max(a, b))

/** For each pair of sets of results, the set of what an operator makes of their members. */
function outcomeTable(operator: (a: number, b: number) => number): readonly (readonly number[])[] {
  const members = (set: number): number[] => [FALSE, TRUE, UNKNOWN].filter((value) => set & (1 << value))
  const sets = Array.from({ length: 8 }, (_, set) => set)
  return sets.map((a) => sets.map((b) => members(a).reduce((all, x) => members(b).reduce((more, y) => more | (1 << operator(x, y)), all), 0)))
}

export const AND_OUTCOMES: readonly (readonly number[])[] = outcomeTable(KLEENE_AND)
export const OR_OUTCOMES: readonly (readonly number[])[] = outcomeTable(KLEENE_OR)
export const NOT_OUTCOMES: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7].map((set) =>
  outcomesOf((set & CAN_BE_FALSE) !== 0, (set & CAN_BE_TRUE) !== 0, (set & CAN_BE_UNKNOWN) !== 0),
)

export function compareOutcomes(sign: CompareSign, a: Bounds, b: Bounds): number {
  const known = a.least <= a.greatest && b.least <= b.greatest
  const unknown = a.unknowns || b.unknowns
  if (!known) return outcomesOf(false, false, true)
  const meet = a.least <= b.greatest && b.least <= a.greatest
  const same = a.least === a.greatest && b.least === b.greatest && a.least === b.least
  switch (sign) {
    case '<':
      return outcomesOf(a.least < b.greatest, a.greatest >= b.least, unknown)
    case '<=':
      return outcomesOf(a.least <= b.greatest, a.greatest > b.least, unknown)
    case '>':
      return outcomesOf(a.greatest > b.least, a.least <= b.greatest, unknown)
    case '>=':
      return outcomesOf(a.greatest >= b.least, a.least < b.greatest, unknown)
    case '==':
      return outcomesOf(meet, !same, unknown)
    case '!=':
      return outcomesOf(!same, meet, unknown)
  }
}
