/** What is sent again, cut into requests that are short enough to be watched, and the sum of their answers. */
import type { ResendAnswer } from '../../api/types.ts'

/** Chosen letters, or how many there are in all. */
export type Resend = { readonly offsets: readonly number[] } | { readonly all: number }
export type Tally = Omit<ResendAnswer, 'left'>

export const nothingSent: Tally = { resent: 0, already: 0, skipped: 0, reasons: [] }

export const done = ({ resent, already, skipped }: Tally): number => resent + already + skipped

export const add = (tally: Tally, answer: ResendAnswer): Tally => ({
  resent: tally.resent + answer.resent,
  already: tally.already + answer.already,
  skipped: tally.skipped + answer.skipped,
  reasons: [...new Set([...tally.reasons, ...answer.reasons])],
})

const LOT = 100

type Body = { readonly offsets: readonly number[] } | { readonly all: true; readonly limit: number }

/**
 * The requests for what is left after so many. All are those that were there when it was asked: a letter that is still wrong becomes a
 * new one at once, and would be sent without end.
 */
export function lotsOf(what: Resend, after: number): Body[] {
  const total = 'all' in what ? what.all : what.offsets.length
  const lots: Body[] = []
  for (let at = after; at < total; at += LOT)
    lots.push('all' in what ? { all: true, limit: Math.min(LOT, total - at) } : { offsets: what.offsets.slice(at, at + LOT) })
  return lots
}
